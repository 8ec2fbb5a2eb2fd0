"""Sharing of networks, as rows: a policy lets a project (`*`: every project) use a network that is another's.

The rules are those of Neutron's RBAC extension. A network's `shared` says that there is a policy for every project; its
row repeats it, so that lists can filter by it, and `follow` keeps the two equal. A network that an administrator named
the segment of stands on the provider side (invariant I1) only as long as it is shared with nobody.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, NotFound
from ironlane.model.fabric import Side
from ironlane.store import access
from ironlane.store.attachments import of_network as attachments_of
from ironlane.store.database import Tx
from ironlane.store.dhcp import EVERYTHING
from ironlane.store.listing import Listing
from ironlane.store.listing import page as page_of
from ironlane.store.tables import networks, ports, rbac_policies, subnets

NETWORK, ACCESS_AS_SHARED = "network", "access_as_shared"
EVERYBODY = "*"
"""The target of a policy that is for every project."""


@dataclass(frozen=True, slots=True)
class NewPolicy:
    """What a client says of a policy it creates."""

    object_id: str
    target_project: str
    project_id: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """`project_id` is whose policy it is, `target_project` whom it lets use the network `object_id`."""

    id: str
    project_id: str
    object_type: str
    object_id: str
    target_project: str
    action: str


def create(tx: Tx, new: NewPolicy) -> Policy:
    """Share a network.

    Raises:
        NotFound: no such network.
        Conflict: it is shared with that project already; or it would change sides while switch ports are on it.
    """
    network = _network(tx, new.object_id)
    if new.target_project in _targets(tx, network.id):
        raise Conflict("An RBAC policy already exists with those values.", code="DuplicateRbacPolicy")
    policy_id = _insert(tx, network.id, new.target_project, new.project_id)
    _follow(tx, network)
    return get(tx, policy_id)


def update(tx: Tx, policy_id: str, target_project: str) -> Policy:
    """Have a policy be for another project.

    Raises:
        NotFound: no such policy.
        Conflict: the other project has one already; or who loses access has ports on the network; or as `create`.
    """
    policy = get(tx, policy_id)
    access.require_change(tx, "update_rbac_policy", policy, {"target_project": target_project})
    if target_project == policy.target_project:
        return policy
    network = _network(tx, policy.object_id)
    if target_project in _targets(tx, network.id):
        raise Conflict("An RBAC policy already exists with those values.", code="DuplicateRbacPolicy")
    here = rbac_policies.c.id == policy_id
    tx.execute(sa.update(rbac_policies).where(here).values(target_project=target_project))
    _refuse_if_used(tx, network, policy)
    _follow(tx, network)
    return get(tx, policy_id)


def delete(tx: Tx, policy_id: str) -> None:
    """Take a policy back.

    Raises:
        NotFound: no such policy.
        Conflict: who loses access has ports on the network.
    """
    policy = get(tx, policy_id)
    access.require_change(tx, "delete_rbac_policy", policy)
    network = _network(tx, policy.object_id)
    tx.execute(sa.delete(rbac_policies).where(rbac_policies.c.id == policy_id))
    _refuse_if_used(tx, network, policy)
    _follow(tx, network)


def get(tx: Tx, policy_id: str) -> Policy:
    """One policy.

    Raises:
        NotFound: there is none of this id.
    """
    seen = access.visible(tx.caller, rbac_policies)
    row = tx.one(sa.select(rbac_policies).where(rbac_policies.c.id == policy_id, *seen))
    if row is None:
        raise NotFound("RBAC policy", policy_id, code="RbacPolicyNotFound")
    return _policy(row)


def page(tx: Tx, listing: Listing) -> tuple[list[Policy], bool]:
    """The policies that a listing asks for, and whether there are more."""
    rows, more = page_of(tx, rbac_policies, listing, seen=access.visible(tx.caller, rbac_policies))
    return [_policy(row) for row in rows], more


def share(tx: Tx, network: sa.Row[Any], shared: bool) -> None:
    """Have a policy for every project, or none: what `shared` of a network does. `columns` tells what follows.

    Raises:
        Conflict: other projects, which no other policy lets in, have ports or subnets on it.
    """
    everybody = (rbac_policies.c.object_id == network.id, rbac_policies.c.target_project == EVERYBODY)
    if shared == (EVERYBODY in _targets(tx, network.id)):
        return
    if shared:
        _insert(tx, network.id, EVERYBODY, network.project_id)
        return
    tx.execute(sa.delete(rbac_policies).where(*everybody))
    if _strangers(tx, network, ports) or _strangers(tx, network, subnets):
        raise Conflict(
            f"Unable to reconfigure sharing settings for network {network.id}. Multiple projects are using it.",
            field="shared",
            code="InvalidSharedSetting",
        )


def columns(tx: Tx, network: sa.Row[Any]) -> dict[str, Any]:
    """What a network's row has to say of the policies that there are.

    Raises:
        Conflict: it would change sides while switch ports are on it.
    """
    targets = _targets(tx, network.id)
    after = side(network.provider_segment, bool(targets - {network.project_id}))
    if after != network.side and attachments_of(tx, network.id):
        raise Conflict(
            f"network {network.id} cannot change from the {network.side} side to the {after} side while switch ports"
            " are on it; unbind its ports first",
            field="shared",
            code="NetworkInUse",
        )
    return {"shared": EVERYBODY in targets, "side": after.value}


def side(named: bool, shared: bool) -> Side:
    """Which side a network stands on: whether its segment was named, and whether it is shared with anybody."""
    return Side.PROVIDER if named and not shared else Side.TENANT


def forget(tx: Tx, network_id: str) -> None:
    """A network is about to go, and its policies with it."""
    tx.execute(sa.delete(rbac_policies).where(rbac_policies.c.object_id == network_id))


def _insert(tx: Tx, network_id: str, target: str, project: str) -> str:
    row = {
        "id": str(uuid.uuid4()),
        "project_id": project,
        "object_type": NETWORK,
        "object_id": network_id,
        "target_project": target,
        "action": ACCESS_AS_SHARED,
    }
    tx.execute(sa.insert(rbac_policies), row)
    return row["id"]


def _follow(tx: Tx, network: sa.Row[Any]) -> None:
    """Bring a network's row in line with its policies."""
    values = columns(tx, network)
    stamp = {"revision_number": networks.c.revision_number + 1, "updated_at": tx.now}
    tx.execute(sa.update(networks).where(networks.c.id == network.id).values(**values, **stamp))
    if values["side"] != network.side:
        tx.hint("dhcp", EVERYTHING)


def _refuse_if_used(tx: Tx, network: sa.Row[Any], gone: Policy) -> None:
    """Raises: Conflict, when a policy that is gone already leaves somebody's port on a network that is not for him."""
    strangers = _strangers(tx, network, ports)
    if gone.target_project != EVERYBODY:
        strangers = [project for project in strangers if project == gone.target_project]
    if strangers:
        raise Conflict(
            f"RBAC policy on object {network.id} cannot be removed because other objects depend on it.\n"
            f"Details: project {strangers[0]} has ports on it",
            code="RbacPolicyInUse",
        )


def _strangers(tx: Tx, network: sa.Row[Any], table: sa.Table) -> Sequence[str]:
    """Projects with rows on a network that is neither theirs nor shared with them. Nobody's rows are no matter."""
    targets = _targets(tx, network.id)
    if EVERYBODY in targets:
        return []
    here = table.c.network_id == network.id
    others = table.c.project_id.not_in(["", network.project_id, *sorted(targets)])
    found = sa.select(table.c.project_id).where(here, others).distinct().order_by(table.c.project_id)
    return list(tx.execute(found).scalars())


def _targets(tx: Tx, network_id: str) -> set[str]:
    query = sa.select(rbac_policies.c.target_project).where(rbac_policies.c.object_id == network_id)
    return set(tx.execute(query).scalars())


def _network(tx: Tx, network_id: str) -> sa.Row[Any]:
    row = tx.one(sa.select(networks).where(networks.c.id == network_id))
    if row is None:
        raise NotFound("network", network_id, field="object_id")
    return row


def _policy(row: sa.Row[Any]) -> Policy:
    return Policy(
        id=row.id,
        project_id=row.project_id,
        object_type=row.object_type,
        object_id=row.object_id,
        target_project=row.target_project,
        action=row.action,
    )
