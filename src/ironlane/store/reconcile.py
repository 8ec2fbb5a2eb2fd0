"""What the fabric loop reads and records: the view of one switch, its saved plans, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import IronlaneError, Temporary
from ironlane.model.fabric import Attachment, ManagedPorts, PortConfig, SwitchId, Vlan
from ironlane.model.plan import Plan
from ironlane.store import leases, plans, settling
from ironlane.store.attachments import of_switch
from ironlane.store.database import Tx
from ironlane.store.leases import Lease
from ironlane.store.tables import switch_ports, switches


@dataclass(frozen=True, slots=True)
class SwitchView:
    """One switch as it stands in the rows: how to reach it, what should be on it, and since which generation."""

    id: SwitchId
    kind: str
    address: str
    port: int | None
    username: str
    secret_ref: str
    options: Mapping[str, Any]
    updated_at: datetime | None
    generation: int
    attempts: int
    ports: ManagedPorts
    attachments: Sequence[Attachment]


def view(tx: Tx, switch: SwitchId, lease: Lease, ttl: timedelta) -> SwitchView | None:
    """Claim a switch and read what its writer needs; None when it is gone or another conductor owns it."""
    if not leases.claim(tx, switches, switch, lease, ttl):
        return None
    row = tx.execute(sa.select(switches).where(switches.c.id == switch)).one()
    names = tx.execute(sa.select(switch_ports.c.name).where(switch_ports.c.switch_id == switch)).scalars()
    return SwitchView(
        id=switch,
        kind=row.kind,
        address=row.address,
        port=row.port,
        username=row.username,
        secret_ref=row.secret_ref,
        options=row.options,
        updated_at=row.updated_at,
        generation=row.generation,
        attempts=row.attempts,
        ports=ManagedPorts(switch, frozenset(names), None if row.idle_vlan is None else Vlan(row.idle_vlan)),
        attachments=of_switch(tx, switch),
    )


def save_plan(tx: Tx, seen: SwitchView, plan: Plan, rendered: Sequence[str], lease: Lease) -> str:
    """Put a plan on record before the switch is touched.

    Raises:
        Temporary: the switch is not this conductor's any more; nothing may be sent.
    """
    _fence(tx, seen.id, lease)
    return plans.save(tx, seen.id, seen.generation, plan, rendered)


def record(tx: Tx, seen: SwitchView, observed: Mapping[str, PortConfig], lease: Lease, plan_id: str | None) -> None:
    """What a read-back showed, all of it as desired: the generation that was looked at is applied."""
    _fence(tx, seen.id, lease)
    for plan in plans.unfinished(tx, seen.id):
        if plan.id == plan_id:
            plans.finish(tx, plan.id, plans.Outcome.VERIFIED)
        else:
            plans.finish(tx, plan.id, plans.Outcome.FAILED, "its conductor stopped before the switch was read back")
    newer = sa.case((switches.c.generation == seen.generation, None), else_=tx.now)
    tx.execute(
        sa.update(switches)
        .where(switches.c.id == seen.id)
        .values(
            applied_generation=seen.generation,
            state="ok",
            reason="",
            attempts=0,
            observed_at=tx.now,
            due_at=newer,
        )
    )
    settling.settle(tx, seen.id, seen.attachments, observed)


def record_failure(
    tx: Tx,
    seen: SwitchView,
    error: IronlaneError,
    lease: Lease,
    *,
    plan_id: str | None,
    observed: Mapping[str, PortConfig] | None,
    retry_at: datetime,
) -> None:
    """The switch could not be brought to what it should be: say why, and when it is tried again.

    `observed` is what a read-back after the failure showed, None when nothing could be read.
    """
    _fence(tx, seen.id, lease)
    if plan_id is not None:
        plans.finish(tx, plan_id, plans.Outcome.FAILED, error.message)
    tx.execute(
        sa.update(switches)
        .where(switches.c.id == seen.id)
        .values(state="failing", reason=error.message, attempts=seen.attempts + 1, due_at=retry_at)
    )
    if observed is not None:
        settling.settle(tx, seen.id, seen.attachments, observed)
    settling.refresh_status(tx, {a.network_port for a in of_switch(tx, seen.id) if not a.applied})


def _fence(tx: Tx, switch: SwitchId, lease: Lease) -> None:
    if not leases.holds(tx, switches, switch, lease):
        raise Temporary(f"switch {switch} belongs to another conductor now")
