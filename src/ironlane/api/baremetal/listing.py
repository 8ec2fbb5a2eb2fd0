"""Lists: filters, pages and sorting.

`GET /v1/nodes?limit=2&marker=<uuid>&sort_key=name&sort_dir=desc` answers `{"nodes": […], "next": "…"}`; `next` is
there while more follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.responses import Response

from ironlane.api.baremetal.call import Call, Json, ok
from ironlane.api.baremetal.checks import query_flag
from ironlane.api.baremetal.fields import Resource
from ironlane.api.baremetal.microversions import require
from ironlane.model.errors import Invalid, NotFound
from ironlane.store import access
from ironlane.store.database import Tx

Condition = sa.ColumnElement[bool]

_PAGING = {"limit": 1, "marker": 1, "sort_key": 1, "sort_dir": 1, "fields": 8}


@dataclass(frozen=True, slots=True)
class Filter:
    """A query parameter that narrows a list: since which version, and the condition that its value makes."""

    since: int
    condition: Callable[[Tx, str], Condition]


@dataclass(frozen=True, slots=True)
class Collection:
    """All things of a kind: where their rows are, and how lists of them are narrowed."""

    resource: Resource
    table: sa.Table
    load: Callable[[Tx, sa.Select[Any]], Sequence[Any]]
    filters: Mapping[str, Filter]
    detail: int | None = 43
    """Since which version `detail` may be asked for; None: never."""
    place: tuple[str, ...] = ()
    """Where it is, if that depends on another thing."""

    @property
    def parameters(self) -> Mapping[str, int]:
        """The query parameters of its lists, and since which version each may be used."""
        detail = {} if self.detail is None else {"detail": self.detail}
        return {**_PAGING, **{name: one.since for name, one in self.filters.items()}, **detail}


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for, and how much of each entry."""

    limit: int
    marker: str | None
    sort_key: str
    descending: bool
    names: Sequence[str] | None


async def answer(call: Call, collection: Collection, *where: Condition, detail: bool = False) -> Response:
    """One page of a list, as the query parameters ask.

    Raises:
        Invalid: unknown or malformed parameters, `fields` together with details.
        NotAcceptable: a parameter is newer than the version.
        NotFound: there is no such marker.
    """
    page = _page(call, collection, detail)
    asked = {key: value for key, value in call.query.items() if key in collection.filters}

    def read(tx: Tx) -> list[Json]:
        conditions = [*where, *(collection.filters[key].condition(tx, value) for key, value in asked.items())]
        things = collection.load(tx, _statement(tx, collection, page, conditions))
        render = partial(collection.resource.render, call, names=page.names, place=collection.place)
        return [render(thing) | {"_id": thing.id} for thing in things]

    entries = await call.store.read(read)
    more = len(entries) > page.limit
    entries = entries[: page.limit]
    idents = [entry.pop("_id") for entry in entries]
    body: Json = {collection.resource.plural: entries}
    if more:
        query = {**call.query, "limit": str(page.limit), "marker": idents[-1]}
        path = call.request.url.path[len(call.request.scope.get("root_path", "")) :]
        body["next"] = f"{call.base}{path}?{urlencode(query)}"
    return ok(body)


def _page(call: Call, collection: Collection, detail: bool) -> Page:
    query = call.query
    known = collection.parameters
    for key in query:
        if key not in known:
            told = ", ".join(sorted(known))
            raise Invalid(f'Unknown argument: "{key[:64]}"; known are {told}', field=key[:64])
        require(call.version, known[key], key)
    detail = detail or query_flag(query, "detail")
    resource = collection.resource
    names: Sequence[str] | None = None if detail else resource.short
    if "fields" in query:
        if detail:
            raise Invalid("fields: can't fetch a subset of fields with 'detail' set", field="fields")
        names = resource.chosen(query["fields"], call.version)
    sort_key = query.get("sort_key", "")
    if sort_key and _sort_column(collection, sort_key) is None:
        raise Invalid(
            f'sort_key: The sort_key value "{sort_key[:64]}" is an invalid field for sorting', field="sort_key"
        )
    direction = query.get("sort_dir", "asc")
    if direction not in {"asc", "desc"}:
        raise Invalid("sort_dir: acceptable values are 'asc' and 'desc'", field="sort_dir")
    return Page(_limit(call), query.get("marker"), sort_key, direction == "desc", names)


def _limit(call: Call) -> int:
    raw = call.query.get("limit")
    if raw is None:
        return call.settings.max_limit
    try:
        limit = int(raw)
    except ValueError:
        limit = 0
    if limit <= 0 or len(raw) > 18:
        raise Invalid("limit: must be positive", field="limit")
    return min(limit, call.settings.max_limit)


def _sort_column(collection: Collection, key: str) -> sa.Column[Any] | None:
    name = "id" if key == "uuid" else key
    column = collection.table.columns.get(name)
    if key not in collection.resource.fields or column is None or isinstance(column.type, sa.JSON):
        return None
    return column


def _statement(tx: Tx, collection: Collection, page: Page, conditions: Sequence[Condition]) -> sa.Select[Any]:
    """One row more than the page has, to know whether more follow."""
    table = collection.table
    seen = access.visible(tx.caller, table)
    column = _sort_column(collection, page.sort_key) if page.sort_key else None
    first = table.c.created_at if column is None else column
    statement = sa.select(table).where(*seen, *conditions)
    if page.marker is not None:
        row = tx.one(sa.select(first.label("value"), table.c.id).where(table.c.id == page.marker, *seen))
        if row is None:
            raise NotFound(collection.resource.name, page.marker[:64], field="marker")
        statement = statement.where(_after(first, row.value, table.c.id, row.id, page.descending))
    # Databases differ in where they put null, so that is said first.
    keys: list[Any] = [first.is_not(None), first, table.c.id]
    return statement.order_by(*(sa.desc(key) if page.descending else key for key in keys)).limit(page.limit + 1)


def _after(first: Any, value: Any, ident: Any, marker: str, descending: bool) -> Condition:
    later_id = ident < marker if descending else ident > marker
    if value is None:
        same: Condition = sa.and_(first.is_(None), later_id)
        return same if descending else sa.or_(first.is_not(None), same)
    beyond = first < value if descending else first > value
    following: Condition = sa.or_(beyond, sa.and_(first == value, later_id))
    return sa.or_(following, first.is_(None)) if descending else following
