"""All or nothing across switches: what one switch did not take is taken back from the others, and tried again later.

A network port whose links end on several switches joins all of them or none. When a switch S fails to take its part,
the port's attachments become `WITHHELD` by S: no switch is to carry them, and those that did take them off again. Once
S can be reached and its retry is due, S is tried first and alone; when it carries its part, the others follow.

What was carried by all of them once is established: if S loses its part later and fails to take it again, only S does
without, and the links on other switches go on.

A commit that a switch refuses says seldom which port it was for. So what was refused together is tried again in halves,
until the culprit stands alone and everybody else is served.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from ironlane.model.fabric import Attachment, AttachmentState, SwitchId
from ironlane.store import holdings
from ironlane.store.bindings import touch
from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import attachments

WANTED, WITHHELD = AttachmentState.WANTED, AttachmentState.WITHHELD

_OF_PORTS = attachments.c.network_port_id.in_(sa.bindparam("ports", expanding=True))
_WITHHOLD = Prepared(
    sa.update(attachments)
    .where(
        _OF_PORTS,
        attachments.c.state.in_([WANTED.value, WITHHELD.value]),
        (attachments.c.switch_id == sa.bindparam("by")) | ~attachments.c.established,
    )
    .values(
        state=WITHHELD.value,
        withheld_by=sa.bindparam("by"),
        reason=sa.bindparam("why"),
        retry_at=sa.bindparam("when"),
        attempts=attachments.c.attempts + sa.bindparam("more"),
    )
)
_BY = Prepared(
    sa.select(attachments.c.id, attachments.c.switch_id, attachments.c.applied).where(
        _OF_PORTS, attachments.c.state == WITHHELD.value, attachments.c.withheld_by == sa.bindparam("by")
    )
)
_RETRY = Prepared(
    sa.update(attachments)
    .where(_OF_PORTS, attachments.c.switch_id == sa.bindparam("by"), attachments.c.state == WITHHELD.value)
    .values(state=WANTED.value, withheld_by=None, reason="", retry_at=None)
)
_FOLLOW = Prepared(
    sa.update(attachments)
    .where(_OF_PORTS, attachments.c.state == WITHHELD.value, attachments.c.withheld_by == sa.bindparam("by"))
    # Some may not have been taken off yet, or just now without anybody's knowing it: they have to be read back anew.
    .values(state=WANTED.value, withheld_by=None, reason="", retry_at=None, attempts=0, applied=sa.false())
)
_NEXT = Prepared(
    sa.select(sa.func.min(attachments.c.retry_at).label("retry_at")).where(
        attachments.c.switch_id == sa.bindparam("by"),
        attachments.c.withheld_by == sa.bindparam("by"),
        attachments.c.state == WITHHELD.value,
    )
)


def pending(judged: Sequence[Attachment]) -> list[Attachment]:
    """What a round was to bring about: wanted, and not carried yet."""
    return [a for a in judged if a.state is WANTED and not a.applied]


def withhold(
    tx: Tx, switch: SwitchId, refused: Collection[Attachment], why: str, retry_at: datetime, *, refusal: bool
) -> None:
    """A switch did not take these; their network ports are to be on no switch until it does, but for what is
    established on others.

    `refusal` tells that the switch said no, so that they are tried again in smaller parts; a switch that does not
    answer is no reason for that.
    """
    ports = sorted({a.network_port for a in refused})
    if not ports:
        return
    tx.execute(_WITHHOLD, {"ports": ports, "by": switch, "why": why, "when": retry_at, "more": int(refusal)})
    rows = tx.execute(_BY, {"ports": ports, "by": switch}).all()
    touch(tx, {row.switch_id for row in rows} - {switch})


def due(judged: Sequence[Attachment], switch: SwitchId, now: datetime) -> list[str]:
    """Network ports that this switch is to be tried with again now: all of them, or a part after refusals."""
    waiting = [
        a
        for a in judged
        if a.state is WITHHELD and a.withheld_by == switch and (a.retry_at is None or a.retry_at <= now)
    ]
    waiting.sort(key=lambda a: (a.attempts, a.retry_at.timestamp() if a.retry_at else 0.0, a.network_port))
    ports = list(dict.fromkeys(a.network_port for a in waiting))
    if not ports:
        return []
    return ports[: max(1, len(ports) >> min(waiting[0].attempts, 30))]


def retry(tx: Tx, switch: SwitchId, ports: Collection[str]) -> None:
    """Have the switch tried with these again; the others wait until it carries its part."""
    tx.execute(_RETRY, {"ports": sorted(ports), "by": switch})


def follow(tx: Tx, switch: SwitchId, carried: Collection[Attachment]) -> None:
    """The switch carries its part of these now: the other switches may take theirs."""
    ports = sorted({a.network_port for a in carried})
    if not ports:
        return
    rows = tx.execute(_BY, {"ports": ports, "by": switch}).all()
    others = {row.switch_id for row in rows if row.switch_id != switch}
    if others:
        tx.execute(_FOLLOW, {"ports": ports, "by": switch})
        holdings.end(tx, [row.id for row in rows if row.applied])
        touch(tx, others)


def next_retry(tx: Tx, switch: SwitchId) -> datetime | None:
    """When the earliest of those that this switch did not take is to be tried again."""
    moment: datetime | None = tx.execute(_NEXT, {"by": switch}).scalar_one()
    return moment
