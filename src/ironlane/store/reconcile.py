"""What the fabric loop reads and records: the view of one switch, its saved plans, and the outcome."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import IronlaneError, Permanent, Temporary
from ironlane.model.fabric import Attachment, DriftPolicy, LagSupport, ManagedPorts, PortConfig, SwitchId, Vlan
from ironlane.model.lldp import Neighbour
from ironlane.model.plan import Plan
from ironlane.store import cabling, drifts, leases, plans, previews, settling, withholding
from ironlane.store.attachments import (
    of_network_ports,
    of_switch,
    port_records,
    support_from_json,
    support_to_json,
)
from ironlane.store.database import Tx
from ironlane.store.leases import Lease
from ironlane.store.prepared import Prepared
from ironlane.store.tables import switch_ports, switches

_SWITCH = Prepared(sa.select(switches).where(switches.c.id == sa.bindparam("id")))
_CURRENT = Prepared(
    sa.select(switches.c.generation, switches.c.audit_due).where(switches.c.id == sa.bindparam("id")),
)
_UNCERTAIN = Prepared(
    sa.update(switch_ports)
    .where(
        switch_ports.c.switch_id == sa.bindparam("switch"),
        switch_ports.c.name.in_(sa.bindparam("names", expanding=True)),
    )
    .values(verified=None)
)
_FREED = Prepared(
    sa.update(switch_ports)
    .where(switch_ports.c.switch_id == sa.bindparam("switch"), switch_ports.c.quarantine != "")
    .values(quarantine="")
)
_CONVERGED = Prepared(
    sa.update(switches)
    .where(switches.c.id == sa.bindparam("id_"))
    .values(
        applied_generation=sa.bindparam("its_generation"),
        state=sa.bindparam("how"),
        reason=sa.bindparam("why"),
        attempts=0,
        audit_due=sa.bindparam("again"),
        observed_at=sa.bindparam("now"),
        due_at=sa.bindparam("due"),
    )
)


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
    generation: int
    due_at: datetime | None
    attempts: int
    policy: DriftPolicy
    audit_due: bool
    """Somebody asked for a look at the switch itself."""
    ports: ManagedPorts
    verified: Mapping[str, PortConfig]
    """What each port was last read back to carry as it should; ports of which that is not known are left out."""
    attachments: Sequence[Attachment]
    lags: LagSupport | None = None
    """What is on record of what it can do for LAGs."""
    questions: Sequence[previews.Question] = ()
    """Previews that somebody asks for."""


@dataclass(slots=True)
class Outcome:
    """What one round of the loop found and did, as far as it came."""

    plan_id: str | None = None
    plan: Plan | None = None
    observed: Mapping[str, PortConfig] | None = None
    """What the switch was last read back to carry; None: not known, since a plan was sent."""
    desired: Mapping[str, PortConfig] = field(default_factory=dict)
    looked: bool = False
    """The switch itself was read before anything was sent, and compared with what was verified."""
    drifted: Mapping[str, PortConfig] = field(default_factory=dict)
    """Ports that somebody else has changed, with what they carried."""
    tolerated: Collection[str] = ()
    """Those of them that were left as they are, by the switch's policy."""
    missing: Collection[str] = ()
    """Ports that should be there, and are not on the switch."""
    lags: LagSupport | None = None
    """What the switch can do for LAGs, and which ids are somebody else's; None: it was not looked at."""
    neighbours: Mapping[str, Sequence[Neighbour]] | None = None
    """Whom the switch hears by LLDP on its ports; None: it was not asked, or does not tell."""
    quarantined: Collection[str] = ()
    """Ports that were shut because the switch would not let go of a VLAN."""


def view(tx: Tx, switch: SwitchId, lease: Lease, ttl: timedelta) -> SwitchView | None:
    """Claim a switch and read what its writer needs; None when it is gone or another conductor owns it."""
    row = tx.execute(_SWITCH, {"id": switch}).one_or_none()
    if row is None or not leases.claim(tx, switches, switch, lease, ttl):
        return None
    audit_due = row.audit_due
    if (row.conductor, row.conductor_epoch) != (lease.hostname, lease.epoch):
        # Another conductor may have changed it since this one read it last.
        tx.execute(sa.update(switches).where(switches.c.id == switch).values(audit_due=True))
        audit_due = True
    owned = port_records(tx, switch)
    return SwitchView(
        id=switch,
        kind=row.kind,
        address=row.address,
        port=row.port,
        username=row.username,
        secret_ref=row.secret_ref,
        options=row.options,
        generation=row.generation,
        due_at=row.due_at,
        attempts=row.attempts,
        policy=DriftPolicy(row.policy),
        audit_due=audit_due,
        ports=ManagedPorts(
            switch, frozenset(port.name for port in owned), None if row.idle_vlan is None else Vlan(row.idle_vlan)
        ),
        verified={port.name: port.verified for port in owned if port.verified is not None},
        attachments=of_switch(tx, switch),
        lags=support_from_json(row.lags),
        questions=previews.asked(tx, switch),
    )


def retry_withheld(tx: Tx, seen: SwitchView, lease: Lease) -> SwitchView:
    """The switch answers: what it did not take before, and is due, is tried again in this round."""
    _fence(tx, seen.id, lease)
    ports = withholding.due(seen.attachments, seen.id, tx.now)
    if not ports:
        return seen
    withholding.retry(tx, seen.id, ports)
    return replace(seen, attachments=of_switch(tx, seen.id))


def save_plan(tx: Tx, seen: SwitchView, plan: Plan, rendered: Sequence[str], lease: Lease) -> str:
    """Put a plan on record before the switch is touched. What its ports will carry is not known until read back.

    Raises:
        Temporary: the switch is not this conductor's any more; nothing may be sent.
    """
    _fence(tx, seen.id, lease)
    tx.execute(_UNCERTAIN, {"switch": seen.id, "names": [change.port for change in plan.changes]})
    return plans.save(tx, seen.id, seen.generation, plan, rendered)


def record(tx: Tx, seen: SwitchView, outcome: Outcome, lease: Lease, audit_at: datetime) -> datetime:
    """What a read-back showed, all of it as desired. Returns when to look at the switch again."""
    _fence(tx, seen.id, lease)
    _close_plans(tx, seen, outcome)
    drifts.note(tx, seen.id, outcome.drifted, seen.verified, outcome.looked)
    _note_neighbours(tx, seen, outcome)
    drifts.repaired(tx, seen.id, outcome.drifted.keys() - set(outcome.tolerated))
    observed = outcome.observed or {}
    verified = {port: config for port, config in outcome.desired.items() if observed.get(port) == config}
    settling.settle(tx, seen.id, seen.attachments, observed, verified)
    lost = [a for a in seen.attachments if a.port in outcome.missing]
    withholding.withhold(tx, seen.id, lost, _missing(seen, outcome.missing), audit_at, refusal=False)
    settling.refresh_status(tx, {a.network_port for a in lost})
    _note_lags(tx, seen, outcome)
    current = tx.execute(_CURRENT, {"id": seen.id}).one()
    audit_due = current.audit_due and not seen.audit_due  # asked for meanwhile
    retry_at = withholding.next_retry(tx, seen.id)
    due_at = tx.now if audit_due or current.generation != seen.generation else min(audit_at, retry_at or audit_at)
    reason = _attention(seen, outcome)
    values = {
        "its_generation": seen.generation,
        "how": "attention" if reason else "observed" if outcome.tolerated else "ok",
        "why": reason,
        "again": audit_due,
        "now": tx.now,
        "due": due_at,
    }
    tx.execute(_CONVERGED, {"id_": seen.id, **values})
    return due_at


def record_failure(
    tx: Tx, seen: SwitchView, error: IronlaneError, lease: Lease, *, outcome: Outcome, retry_at: datetime
) -> None:
    """The switch could not be brought to what it should be: say why, and when it is tried again."""
    _fence(tx, seen.id, lease)
    if outcome.plan_id is not None:
        plans.finish(tx, outcome.plan_id, plans.Outcome.FAILED, error.message)
    drifts.note(tx, seen.id, outcome.drifted, seen.verified, outcome.looked)
    _note_neighbours(tx, seen, outcome)
    _note_lags(tx, seen, outcome)
    tx.execute(
        sa.update(switches)
        .where(switches.c.id == seen.id)
        .values(state="failing", reason=error.message, attempts=seen.attempts + 1, due_at=retry_at)
    )
    if outcome.observed is not None:
        settling.settle(tx, seen.id, seen.attachments, outcome.observed)
    now = of_switch(tx, seen.id)
    left = withholding.pending(now)
    refusal = isinstance(error, Permanent)
    if not refusal:
        # A switch that does not answer holds up its own ports anyway; only bundles have to be taken back elsewhere.
        left = _spread(tx, seen.id, left)
    withholding.withhold(tx, seen.id, left, error.message, retry_at, refusal=refusal)
    settling.refresh_status(tx, {a.network_port for a in now if not a.applied})
    for port in outcome.quarantined:
        where = (switch_ports.c.switch_id == seen.id) & (switch_ports.c.name == port)
        tx.execute(sa.update(switch_ports).where(where).values(quarantine=error.message))


def _note_neighbours(tx: Tx, seen: SwitchView, outcome: Outcome) -> None:
    if outcome.neighbours is not None:
        cabling.note_shown(tx, seen.id, seen.ports.names, outcome.neighbours)


def doubt(tx: Tx, switch: SwitchId) -> None:
    """A commit may have come after another conductor took the switch over: whoever owns it has to look at it."""
    tx.execute(sa.update(switches).where(switches.c.id == switch).values(audit_due=True, due_at=tx.now))


def close_plan(tx: Tx, seen: SwitchView, plan_id: str | None, lease: Lease) -> None:
    """A plan beside the round's own was carried out and read back."""
    _fence(tx, seen.id, lease)
    if plan_id is not None:
        plans.finish(tx, plan_id, plans.Outcome.VERIFIED)


def _note_lags(tx: Tx, seen: SwitchView, outcome: Outcome) -> None:
    if outcome.lags is not None and outcome.lags != seen.lags:
        row = sa.update(switches).where(switches.c.id == seen.id)
        tx.execute(row.values(lags=support_to_json(outcome.lags)))


def _close_plans(tx: Tx, seen: SwitchView, outcome: Outcome) -> None:
    if outcome.plan_id is not None:
        plans.finish(tx, outcome.plan_id, plans.Outcome.VERIFIED)
    unfinished = plans.unfinished(tx, seen.id, but=outcome.plan_id)
    for plan in unfinished:
        # Its conductor stopped before it could say. If it is the latest of all and the switch shows it, it was
        # applied; an earlier one was made anew by the life that made the latest, so it can not have been.
        shown = all((outcome.observed or {}).get(c.port) == c.after for c in plan.plan.changes)
        applied = shown and plan is unfinished[-1] and outcome.plan_id is None
        closed = plans.Outcome.VERIFIED if applied else plans.Outcome.FAILED
        plans.finish(tx, plan.id, closed, "its conductor stopped before the switch was read back")
    if outcome.plan_id is not None:
        tx.execute(_FREED, {"switch": seen.id})


def _spread(tx: Tx, switch: SwitchId, left: Sequence[Attachment]) -> list[Attachment]:
    """Those whose network port has links on other switches as well that are not to be carried without them."""
    ports = {a.network_port for a in left}
    elsewhere = {a.network_port for a in of_network_ports(tx, ports) if a.switch != switch and not a.established}
    return [a for a in left if a.network_port in elsewhere]


def _attention(seen: SwitchView, outcome: Outcome) -> str:
    """What an operator should look at although the switch is as far as it can be."""
    parts = []
    if outcome.missing:
        parts.append(_missing(seen, outcome.missing))
    if outcome.tolerated and seen.policy is not DriftPolicy.OBSERVE:
        # What is only observed is no fault of the switch: nobody has to wait for it elsewhere.
        names = ", ".join(sorted(outcome.tolerated))
        parts.append(f"changed by somebody else, and left so by its policy: {names}")
    return "; ".join(parts)


def _missing(seen: SwitchView, ports: Collection[str]) -> str:
    return f"switch {seen.id} has no port {', '.join(sorted(ports))}: correct the site file or the cabling record"


def _fence(tx: Tx, switch: SwitchId, lease: Lease) -> None:
    if not leases.holds(tx, switches, switch, lease):
        raise Temporary(f"switch {switch} belongs to another conductor now")
