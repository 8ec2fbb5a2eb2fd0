"""The status of foreign bindings, and the number that each change of one gets, so that it can be followed."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import foreign_bindings, foreign_changes

_POSITION = Prepared(sa.select(foreign_changes.c.stream, foreign_changes.c.change))
_ADVANCE = Prepared(sa.update(foreign_changes).values(change=foreign_changes.c.change + 1))
_STATUSES = Prepared(
    sa.select(foreign_bindings.c.id, foreign_bindings.c.status, foreign_bindings.c.status_reason).where(
        foreign_bindings.c.id.in_(sa.bindparam("ids", expanding=True))
    )
)
_STATUS = Prepared(
    sa.update(foreign_bindings)
    .where(foreign_bindings.c.id == sa.bindparam("its_id"))
    .values(status=sa.bindparam("its_status"), status_reason=sa.bindparam("reason"), change=sa.bindparam("its_change"))
)


class Position(NamedTuple):
    """How far somebody has read: `change` is the latest in the `stream`."""

    stream: str
    change: int


def position(tx: Tx) -> Position:
    """The latest change; before the very first the stream has no name."""
    row = tx.execute(_POSITION).one_or_none()
    return Position("", 0) if row is None else Position(row.stream, row.change)


def advance(tx: Tx, ident: str) -> int:
    """The number of a change that is made to the binding `ident` in this transaction.

    Transactions are serializable and all count in the one row, so nobody sees a number before the smaller ones.
    """
    if tx.execute(_ADVANCE).rowcount == 0:
        tx.execute(sa.insert(foreign_changes).values(stream=str(uuid.uuid4()), change=1))
    tx.hint("binding", ident)
    return position(tx).change


def statuses(tx: Tx, ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """`(status, reason)` of those that are foreign bindings."""
    if not ids:
        return {}
    rows = tx.execute(_STATUSES, {"ids": sorted(ids)})
    return {row.id: (row.status, row.status_reason) for row in rows}


def set_status(tx: Tx, wished: Mapping[str, tuple[str, str]]) -> None:
    """Write `(status, reason)` of those that are foreign bindings and had another one."""
    before = statuses(tx, wished.keys())
    for ident, status in before.items():
        if status != wished[ident]:
            values = {"its_status": wished[ident][0], "reason": wished[ident][1], "its_change": advance(tx, ident)}
            tx.execute(_STATUS, {"its_id": ident, **values})
