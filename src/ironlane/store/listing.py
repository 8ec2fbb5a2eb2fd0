"""One page of a table: filtered, sorted and cut in SQL, continued by marker (keyset pagination).

Nothing here knows the names that clients use; conditions and orders are given in columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from ironlane.model.errors import Invalid
from ironlane.store.database import Tx

TagRule = Literal["all", "any", "not-all", "not-any"]
"""Which of the tags named by a client a row must have: all, any, not all of them, or none."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a client wants of a collection.

    Args:
        equal: column name to the values it may have; conditions on different columns all hold.
        order: column names and whether they descend; the id decides among equals.
        limit: rows at the most; None is all of them.
        marker: id of the last row of the page before (with `reverse`: of the first row of the page after).
        tags: see `TagRule`.
        changed_since: rows that changed at that moment or later.
    """

    equal: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    order: Sequence[tuple[str, bool]] = ()
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False
    tags: Mapping[TagRule, Sequence[str]] = field(default_factory=dict)
    changed_since: datetime | None = None


class Page(NamedTuple):
    """Rows in the order asked for, and whether there are more beyond the limit."""

    rows: list[sa.Row[Any]]
    more: bool


def page(
    tx: Tx,
    table: sa.FromClause,
    listing: Listing,
    *where: sa.ColumnElement[bool],
    seen: Sequence[sa.ColumnElement[bool]] = (),
) -> Page:
    """The rows of a table (or of a query that shows one) that a listing asks for.

    Args:
        seen: conditions of the rows that there are for the caller; a marker is one of them.

    Raises:
        Invalid: the marker is the id of no row.
    """
    order = [(name, down is not listing.reverse) for name, down in (*listing.order, ("id", False))]
    query = sa.select(table).where(*seen, *where, *_conditions(table, listing))
    if listing.marker is not None:
        query = query.where(_beyond(tx, table, order, listing.marker, seen))
    query = query.order_by(*(_key(table, name).desc() if down else _key(table, name) for name, down in order))
    if listing.limit is not None:
        query = query.limit(listing.limit + 1)
    rows = list(tx.all(query))
    more = listing.limit is not None and len(rows) > listing.limit
    rows = rows[: listing.limit]
    return Page(rows[::-1] if listing.reverse else rows, more)


def _conditions(table: sa.FromClause, listing: Listing) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = [table.c[name].in_(list(values)) for name, values in listing.equal.items()]
    if listing.changed_since is not None:
        found.append(sa.func.coalesce(table.c.updated_at, table.c.created_at) >= listing.changed_since)
    for rule, names in listing.tags.items():
        if not names:
            continue
        has = [_has_tag(table, name) for name in names]
        every = sa.and_(*has) if rule in {"all", "not-all"} else sa.or_(*has)
        found.append(sa.not_(every) if rule.startswith("not") else every)
    return found


def _has_tag(table: sa.FromClause, tag: str) -> sa.ColumnElement[bool]:
    # The column is JSON text. A quote within a tag has a backslash before it, and no tag has a comma in it, so these
    # two can be nothing but a whole element of the list.
    text = sa.cast(table.c.tags, sa.Text)
    return sa.or_(*(text.contains(before + json.dumps(tag), autoescape=True) for before in ("[", ", ")))


def _key(table: sa.FromClause, name: str) -> sa.ColumnElement[Any]:
    """A column to sort by, without nulls, which databases disagree about, and with numbers for booleans."""
    column = table.c[name]
    if isinstance(column.type, sa.Boolean):
        return sa.cast(column, sa.Integer)
    if not getattr(column, "nullable", False) or isinstance(column.type, sa.types.TypeDecorator):
        return column
    return sa.func.coalesce(column, 0 if isinstance(column.type, sa.Integer) else "")


def _beyond(
    tx: Tx,
    table: sa.FromClause,
    order: Sequence[tuple[str, bool]],
    marker: str,
    seen: Sequence[sa.ColumnElement[bool]],
) -> sa.ColumnElement[bool]:
    """The rows that come after the marker's row in an order."""
    last = tx.one(sa.select(*(_key(table, name) for name, _ in order)).where(table.c.id == marker, *seen))
    if last is None:
        raise Invalid(f"{marker!r} is the id of nothing in this collection", field="marker")
    alternatives = []
    equal: list[sa.ColumnElement[bool]] = []
    for (name, down), value in zip(order, last, strict=True):
        key = _key(table, name)
        alternatives.append(sa.and_(*equal, key < value if down else key > value))
        equal.append(key == value)
    return sa.or_(*alternatives)
