"""Quotas: how much of each kind a project may have, as rows where an administrator said so, else by default.

Things are counted in the transaction that makes more of them, so of two that would both be the last one, one is refused
(transactions are serializable). What belongs to no project is counted for nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.quota import UNLIMITED, Limits
from ironlane.store import access
from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import networks, ports, quotas, rbac_policies, subnets, trunks

_COUNTED: Mapping[str, sa.Table] = {
    "network": networks,
    "subnet": subnets,
    "port": ports,
    "trunk": trunks,
    "rbac_policy": rbac_policies,
}
_COUNT = {
    kind: Prepared(sa.select(sa.func.count()).where(table.c.project_id == sa.bindparam("project")))
    for kind, table in _COUNTED.items()
}
_LIMITS = Prepared(sa.select(quotas.c.resource, quotas.c.limit).where(quotas.c.project_id == sa.bindparam("project")))


def claim(tx: Tx, kind: str, projects: Iterable[str], defaults: Limits) -> None:
    """Make sure that projects may have more of a kind: one for each time that a project is named.

    Raises:
        Conflict: `OverQuota`; one of them may not.
    """
    for project, wished in Counter(projects).items():
        if not project:
            continue
        limit = limits(tx, project, defaults)[kind]
        if limit == UNLIMITED:
            continue
        present = used(tx, project, kind)
        if present + wished > limit:
            raise Conflict(
                f"Quota exceeded for resources: ['{kind}']. Project {project} has {present} of {limit}, and asks for"
                f" {wished} more; delete some, or have the quota raised",
                code="OverQuota",
            )


def limits(tx: Tx, project: str, defaults: Limits) -> dict[str, int]:
    """What a project may have of each kind."""
    own = {row.resource: row.limit for row in tx.execute(_LIMITS, {"project": project})}
    return {kind: own.get(kind, limit) for kind, limit in defaults.items()}


def used(tx: Tx, project: str, kind: str) -> int:
    """What a project has of a kind."""
    return int(tx.execute(_COUNT[kind], {"project": project}).scalar_one())


def all_(tx: Tx, defaults: Limits) -> dict[str, dict[str, int]]:
    """The projects that an administrator set a limit for, and all their limits; those that the caller sees."""
    seen = access.visible(tx.caller, quotas)
    rows = tx.all(sa.select(quotas.c.project_id).where(*seen).distinct().order_by(quotas.c.project_id))
    return {row.project_id: limits(tx, row.project_id, defaults) for row in rows}


def put(tx: Tx, project: str, changes: Limits, *, force: bool = False) -> None:
    """Set some of a project's limits.

    Raises:
        Invalid: the project has more than that already, and the limit is not forced on it.
    """
    for kind, limit in sorted(changes.items()):
        if not force and limit != UNLIMITED and (present := used(tx, project, kind)) > limit:
            raise Invalid(
                f"Quota limit {limit} for {kind} must be greater than or equal to already used {present}", field=kind
            )
        here = (quotas.c.project_id == project, quotas.c.resource == kind)
        if tx.execute(sa.update(quotas).where(*here).values(limit=limit)).rowcount == 0:
            tx.execute(sa.insert(quotas), {"project_id": project, "resource": kind, "limit": limit})


def delete(tx: Tx, project: str) -> None:
    """Give a project the default limits again.

    Raises:
        NotFound: it has them.
    """
    if tx.execute(sa.delete(quotas).where(quotas.c.project_id == project)).rowcount == 0:
        raise NotFound("quota for project", project, code="TenantQuotaNotFound")
