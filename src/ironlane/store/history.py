"""What happened to a node, as its operator reads it: each change of state, and each failure with its words.

Source: Ironic's node history (API 1.78), whose severities and field names these are.
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
from ironlane.store.database import Tx
from ironlane.store.tables import node_history

KEPT = 300
"""Entries that are kept of each node, as Ironic's default has it."""


class Severity(StrEnum):
    INFO = "INFO"
    ERROR = "ERROR"


class EventType(StrEnum):
    """What an entry is about."""

    TRANSITION = "transition"
    """From one provision state to the next."""
    PROVISION = "provision"
    """The work of a provision state failed."""
    POWER = "power"
    """What a client asked of the BMC failed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. `conductor` is None for what a client's request did, `user` for what a conductor did."""

    id: str
    node_id: str
    severity: str
    event_type: str
    event: str
    conductor: str | None
    user: str | None
    created_at: datetime


def record(
    tx: Tx,
    node_id: str,
    event: str,
    *,
    event_type: EventType = EventType.TRANSITION,
    severity: Severity = Severity.INFO,
    conductor: str | None = None,
) -> None:
    """Add an entry. It reads nothing: many nodes' transactions add theirs at once, and none is to hold up another."""
    tx.execute(
        sa.insert(node_history).values(
            id=str(uuid.uuid4()),
            node_id=node_id,
            severity=severity.value,
            event_type=event_type.value,
            event=event,
            conductor=conductor,
            user=(tx.caller.user_id or tx.caller.user_name or None) if conductor is None else None,
            created_at=tx.now,
        )
    )


def prune(tx: Tx) -> int:
    """Let the oldest entries of each node go; a thousand at the most. Returns how many went."""
    newest_first = (node_history.c.created_at.desc(), node_history.c.id.desc())
    place = sa.func.row_number().over(partition_by=node_history.c.node_id, order_by=newest_first)
    placed = sa.select(node_history.c.id, place.label("place")).subquery()
    too_old = tx.all(sa.select(placed.c.id).where(placed.c.place > KEPT).limit(_AT_ONCE))
    if too_old:
        tx.execute(sa.delete(node_history).where(node_history.c.id.in_([row.id for row in too_old])))
    return len(too_old)


_AT_ONCE = 1000


def select(tx: Tx, statement: sa.Select[Any]) -> list[Entry]:
    """The entries that a statement on the whole table selects, in its order."""
    return [Entry(**row._mapping) for row in tx.all(statement)]


def of_node(tx: Tx, node_id: str) -> Sequence[Entry]:
    """A node's entries, oldest first."""
    order = (node_history.c.created_at, node_history.c.id)
    return select(tx, sa.select(node_history).where(node_history.c.node_id == node_id).order_by(*order))


def get(tx: Tx, node_id: str, ident: str) -> Entry:
    """One entry of a node.

    Raises:
        NotFound: it has none with this UUID.
    """
    where = (node_history.c.node_id == node_id, node_history.c.id == ident.lower())
    found = select(tx, sa.select(node_history).where(*where))
    if not found:
        raise NotFound("node history entry", ident, code="NodeHistoryNotFound")
    return found[0]
