"""Previews as rows: what would be sent to a switch, asked by an API and answered by the switch's conductor.

The API floor knows no drivers, and only the switch's writer knows what is on it. So a question is a row. It holds the
attachments that there would be on the switch, one set per generation (see `store.foresight`); the answer holds the
changes and the exact text for each.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from ironlane.model.fabric import Attachment, AttachmentState, HostId, Side, SwitchId, Vlan
from ironlane.store.attachments import lag_from_json
from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import previews

KEPT = timedelta(hours=1)
"""Older previews are deleted when new ones are asked for."""

Wishes = Sequence[Sequence[Attachment] | None]
"""The attachments of one switch, generation by generation; None where a generation does not concern the switch."""


class State(StrEnum):
    """How far a preview has come."""

    ASKED = "asked"
    """The conductor has not looked at it yet."""
    DONE = "done"
    """Answered."""
    FAILED = "failed"
    """The switch could not be asked, or cannot do it; the reason says which."""


_ASKED = Prepared(
    sa.select(previews.c.id, previews.c.wishes)
    .where(previews.c.switch_id == sa.bindparam("switch"), previews.c.state == State.ASKED.value)
    .order_by(previews.c.created_at, previews.c.id)
)


@dataclass(frozen=True, slots=True)
class Question:
    """A preview that nobody has answered yet."""

    id: str
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class Answer:
    """A preview as far as it has come. `generations` are those of the question, as `answer` was given them."""

    id: str
    switch: SwitchId
    state: State
    generations: Sequence[Mapping[str, Any] | None]
    reason: str


def ask(tx: Tx, wishes: Mapping[SwitchId, Wishes]) -> dict[SwitchId, str]:
    """Ask what would be sent to each switch; returns the ids of the previews. The switches' writers are told."""
    tx.execute(sa.delete(previews).where(previews.c.created_at < tx.now - KEPT))
    ids = {switch: str(uuid.uuid4()) for switch in wishes}
    if ids:
        tx.execute(sa.insert(previews), [_row(tx, ids[switch], switch, its) for switch, its in wishes.items()])
    for switch in ids:
        tx.hint("switch", switch)
    return ids


def asked(tx: Tx, switch: SwitchId) -> list[Question]:
    """The questions about a switch that nobody has answered yet, the oldest first."""
    return [
        Question(row.id, [None if its is None else [_attachment(item) for item in its] for its in row.wishes])
        for row in tx.execute(_ASKED, {"switch": switch})
    ]


def switches_asked(tx: Tx) -> list[str]:
    """The switches that somebody asks about: for conductors that a hint does not reach."""
    rows = sa.select(previews.c.switch_id).where(previews.c.state == State.ASKED.value).distinct()
    return list(tx.execute(rows).scalars())


def answer(tx: Tx, ident: str, generations: Sequence[Mapping[str, Any] | None]) -> None:
    """The conductor knows what would be sent."""
    _finish(tx, [ident], state=State.DONE.value, result=list(generations))


def fail(tx: Tx, ids: Collection[str], reason: str) -> None:
    """The conductor cannot tell what would be sent, and says why. What is answered already stays so."""
    _finish(tx, ids, state=State.FAILED.value, reason=reason)


def read(tx: Tx, ids: Collection[str]) -> list[Answer]:
    """How far previews have come, by switch."""
    rows = tx.all(sa.select(previews).where(previews.c.id.in_(sorted(ids))).order_by(previews.c.switch_id))
    return [Answer(r.id, SwitchId(r.switch_id), State(r.state), r.result or [], r.reason) for r in rows]


def _finish(tx: Tx, ids: Collection[str], **values: Any) -> None:
    open_ = previews.c.id.in_(sorted(ids)) & (previews.c.state == State.ASKED.value)
    tx.execute(sa.update(previews).where(open_).values(finished_at=tx.now, **values))


def _row(tx: Tx, ident: str, switch: SwitchId, wishes: Wishes) -> dict[str, Any]:
    shown = [None if its is None else [_json(attachment) for attachment in its] for its in wishes]
    return {"id": ident, "switch_id": switch, "wishes": shown, "created_at": tx.now}


def _json(attachment: Attachment) -> dict[str, Any]:
    """What the projection needs to know of an attachment."""
    return {
        "id": attachment.id,
        "switch": attachment.switch,
        "port": attachment.port,
        "network_port": attachment.network_port,
        "network": attachment.network,
        "host": attachment.host,
        "vlan": attachment.vlan,
        "side": attachment.side.value,
        "state": attachment.state.value,
        "lag": None if attachment.lag is None else asdict(attachment.lag),
        "tagged": attachment.tagged,
    }


def _attachment(value: Mapping[str, Any]) -> Attachment:
    return Attachment(
        id=value["id"],
        switch=SwitchId(value["switch"]),
        port=value["port"],
        network_port=value["network_port"],
        network=value["network"],
        host=HostId(value["host"]),
        vlan=Vlan(value["vlan"]),
        side=Side(value["side"]),
        state=AttachmentState(value["state"]),
        lag=lag_from_json(value["lag"]),
        tagged=value["tagged"],
    )
