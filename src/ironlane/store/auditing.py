"""A look at a switch that is at rest: nothing is asked of it, and it shows what it showed before.

That is what nearly all looks at nearly all switches come to, so it costs two statements, whatever the number of ports:
one asks the rows whether the switch is at rest, one records that it was seen so. Anything else takes the fabric loop's
long way (`reconcile.view`, `reconcile.record`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ironlane.model.fabric import SwitchId
from ironlane.store.database import Tx
from ironlane.store.leases import Lease
from ironlane.store.prepared import Prepared
from ironlane.store.previews import State
from ironlane.store.tables import conductors, previews, switches

_OURS = sa.and_(
    switches.c.id == sa.bindparam("switch"),
    switches.c.conductor == sa.bindparam("hostname"),
    switches.c.conductor_epoch == sa.bindparam("epoch"),
    sa.exists().where(
        conductors.c.hostname == sa.bindparam("hostname"),
        conductors.c.epoch == sa.bindparam("epoch"),
    ),
)
"""The row is the conductor's, in this life of it (`leases.holds`)."""
_AT_REST = sa.and_(
    switches.c.generation == sa.bindparam("at"),
    switches.c.applied_generation == sa.bindparam("at"),
    switches.c.state == "ok",
)
_FIND = Prepared(
    sa.select(switches.c.audit_due).where(
        _OURS,
        _AT_REST,
        sa.or_(switches.c.audit_due, switches.c.due_at <= sa.bindparam("now")),
        ~sa.exists().where(previews.c.switch_id == switches.c.id, previews.c.state == State.ASKED.value),
    )
)
_SEEN = Prepared(
    sa.update(switches)
    .where(_OURS, _AT_REST, switches.c.audit_due == sa.bindparam("asked"))
    .values(audit_due=False, observed_at=sa.bindparam("now"), due_at=sa.bindparam("next"))
)


@dataclass(frozen=True, slots=True)
class Rest:
    """A switch that is as it should be since `generation`, and due to be looked at."""

    generation: int
    asked: bool
    """Somebody asked for the look (`audit_due`)."""


def at_rest(tx: Tx, switch: SwitchId, lease: Lease, generation: int) -> Rest | None:
    """The switch, if no more than a look is due since `generation`; None when it may be: it is not ours, is not as it
    should be, or somebody has a question about it."""
    found = tx.execute(_FIND, {**_named(switch, lease, generation), "now": tx.now}).scalar_one_or_none()
    return None if found is None else Rest(generation, bool(found))


def seen(tx: Tx, switch: SwitchId, lease: Lease, rest: Rest, next_at: datetime) -> bool:
    """The switch shows what it showed when the generation was recorded. False, and nothing is recorded, when it has not
    been at rest all the time."""
    named = {**_named(switch, lease, rest.generation), "asked": rest.asked, "now": tx.now, "next": next_at}
    return tx.execute(_SEEN, named).rowcount == 1


def _named(switch: SwitchId, lease: Lease, generation: int) -> dict[str, Any]:
    return {"switch": switch, "hostname": lease.hostname, "epoch": lease.epoch, "at": generation}
