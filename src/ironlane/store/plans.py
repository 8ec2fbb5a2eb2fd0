"""Plans as rows: written before a switch is touched, closed after the read-back, deleted long after (`prune`).

Who held what when is not in them but in `store.holdings`, which is never deleted: history and restore need no plan.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import NotFound
from ironlane.model.fabric import SwitchId
from ironlane.model.plan import Change, Plan
from ironlane.store.attachments import config_from_json, config_to_json
from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import plans


class Outcome(StrEnum):
    """How far a plan came."""

    SAVED = "saved"
    """On record; whether the switch has seen it is not known."""
    APPLIED = "applied"
    """The switch accepted it; the read-back is still to come."""
    VERIFIED = "verified"
    """The read-back showed what the plan wanted."""
    FAILED = "failed"
    """The switch refused it, or the read-back showed something else; the reason says which."""


UNFINISHED = (Outcome.SAVED, Outcome.APPLIED)
AT_ONCE = 500
"""Plans that are deleted in one transaction, so that nobody else waits long."""

_ADD = Prepared(sa.insert(plans))
_UNFINISHED = Prepared(
    sa.select(plans)
    .where(
        plans.c.switch_id == sa.bindparam("switch"),
        plans.c.outcome.in_([outcome.value for outcome in UNFINISHED]),
        plans.c.id != sa.bindparam("but"),
    )
    .order_by(plans.c.created_at, plans.c.id)
)
_FINISH = Prepared(
    sa.update(plans)
    .where(plans.c.id == sa.bindparam("its_id"))
    .values(outcome=sa.bindparam("how"), reason=sa.bindparam("why"), finished_at=sa.bindparam("at"))
)


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """One row: what was to be changed, the exact text sent for it, and what came of it."""

    id: str
    switch: SwitchId
    generation: int
    """The switch's generation that the plan brings about."""
    plan: Plan
    rendered: tuple[str, ...]
    outcome: Outcome
    reason: str
    created_at: datetime
    finished_at: datetime | None


def save(tx: Tx, switch: SwitchId, generation: int, plan: Plan, rendered: Sequence[str]) -> str:
    """Put a plan on record before it is applied; returns its id (a UUID)."""
    plan_id = str(uuid.uuid4())
    row = {
        "id": plan_id,
        "switch_id": switch,
        "generation": generation,
        "changes": changes_to_json(plan),
        "rendered": list(rendered),
        "outcome": Outcome.SAVED.value,
        "created_at": tx.now,
    }
    tx.execute(_ADD, row)
    return plan_id


def finish(tx: Tx, plan_id: str, outcome: Outcome | str, reason: str = "") -> None:
    """Record how far a plan has come: applied, verified or failed (the last two close it).

    Raises:
        NotFound: there is no such plan.
        ValueError: not an outcome.
    """
    outcome = Outcome(outcome)
    at = None if outcome in UNFINISHED else tx.now
    if tx.execute(_FINISH, {"its_id": plan_id, "how": outcome.value, "why": reason, "at": at}).rowcount != 1:
        raise NotFound("plan", plan_id)


def unfinished(tx: Tx, switch: SwitchId, *, but: str | None = None) -> list[PlanRecord]:
    """Plans of one switch whose effect was never read back (a conductor died, or is at work), oldest first.

    The plan with the id `but` is left out.
    """
    return [_record(row) for row in tx.execute(_UNFINISHED, {"switch": switch, "but": but or ""})]


def latest(tx: Tx, switch: str | None = None, limit: int = 100) -> list[PlanRecord]:
    """The newest plans of one switch or of all, newest first, at most `limit`."""
    query = sa.select(plans).order_by(plans.c.created_at.desc(), plans.c.id).limit(limit)
    if switch is not None:
        query = query.where(plans.c.switch_id == switch)
    return [_record(row) for row in tx.all(query)]


def prune(tx: Tx, before: datetime) -> int:
    """Delete plans that ended before a moment, some hundreds at the most; returns how many. The latest of each switch
    stays, and those whose end is not known."""
    latest = sa.select(sa.func.max(plans.c.created_at).label("at"), plans.c.switch_id).group_by(plans.c.switch_id)
    newest = latest.subquery()
    ended = (
        sa.select(plans.c.id)
        .join(newest, newest.c.switch_id == plans.c.switch_id)
        .where(
            plans.c.outcome.not_in([outcome.value for outcome in UNFINISHED]),
            plans.c.finished_at < before,
            plans.c.created_at < newest.c.at,
        )
        .limit(AT_ONCE)
    )
    ids = list(tx.execute(ended).scalars())
    if ids:
        tx.execute(sa.delete(plans).where(plans.c.id.in_(ids)))
    return len(ids)


def changes_to_json(plan: Plan) -> list[dict[str, Any]]:
    """The changes of a plan as a JSON column or the fabric API shows them."""
    return [
        {
            "port": change.port,
            "before": config_to_json(change.before),
            "after": config_to_json(change.after),
            "network_ports": list(change.network_ports),
        }
        for change in plan.changes
    ]


def _record(row: sa.Row[Any]) -> PlanRecord:
    return PlanRecord(
        id=row.id,
        switch=SwitchId(row.switch_id),
        generation=row.generation,
        plan=Plan(SwitchId(row.switch_id), tuple(_change_from_json(change) for change in row.changes)),
        rendered=tuple(row.rendered),
        outcome=Outcome(row.outcome),
        reason=row.reason,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _change_from_json(value: dict[str, Any]) -> Change:
    return Change(
        port=value["port"],
        before=config_from_json(value["before"]),
        after=config_from_json(value["after"]),
        network_ports=tuple(value["network_ports"]),
    )
