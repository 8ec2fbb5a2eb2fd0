"""What the handlers of all nouns share: the store, the project, revisions, single and bulk bodies, lists and links."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Header, Request
from starlette.responses import JSONResponse, Response

from ironlane.api.identity.base import caller_of
from ironlane.api.listing import Attribute, Collected, parse
from ironlane.api.networking.errors import REVISION_MISMATCH
from ironlane.api.networking.fields import canonical_uuid
from ironlane.model import policy
from ironlane.model.caller import Caller
from ironlane.model.errors import Conflict, Invalid, NotFound, Rejected
from ironlane.model.quota import Limits
from ironlane.store import access, quotas
from ironlane.store.database import Store, Tx

BULK_MAX = 1000
"""Objects in one bulk request at the most: they are one transaction, and others wait for it."""


class Owned(Protocol):
    """Anything that is some project's."""

    @property
    def project_id(self) -> str: ...


New = TypeVar("New", bound=Owned)
Made = TypeVar("Made")
Changed = TypeVar("Changed")
View = dict[str, Any]


class Revised(Protocol):
    """Anything that counts its changes."""

    @property
    def revision_number(self) -> int: ...


# Dependencies are coroutines, though they wait for nothing: `api/direct.py` calls no others.
async def _store(request: Request) -> Store:
    store = request.app.state.store
    assert isinstance(store, Store)  # noqa: S101 - set in app.create, and nowhere else
    return store.on_behalf_of(caller_of(request.scope))


async def _project(request: Request) -> str:
    return caller_of(request.scope).project_id


async def _revision(if_match: Annotated[str | None, Header()] = None) -> int | None:
    if if_match is None:
        return None
    match = re.fullmatch(r"revision_number=([0-9]{1,9})", if_match)
    if match is None:
        raise Invalid(f"{if_match[:80]!r} is not revision_number=N", field="If-Match")
    return int(match.group(1))


async def _limits(request: Request) -> Limits:
    limits: Limits = request.app.state.limits
    return limits


StoreDep = Annotated[Store, Depends(_store)]
ProjectDep = Annotated[str, Depends(_project)]
"""Whose a new thing is, when the body does not say: the caller's project's, else nobody's."""
LimitsDep = Annotated[Limits, Depends(_limits)]
"""What a project may have of each kind, unless its own quota says otherwise."""
RevisionDep = Annotated[int | None, Depends(_revision)]
"""The revision that a client insists on: `If-Match: revision_number=N`."""


def moment(when: datetime) -> str:
    """A time as Neutron writes it: `2026-01-31T12:00:00Z`."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def row_id(noun: str, ident: str) -> str:
    """The id in a URL. What is no UUID is the id of nothing (clients try names in its place, and expect a 404)."""
    found = canonical_uuid(ident)
    if found is None:
        raise NotFound(noun, ident[:255].replace("\0", ""))
    return found


async def at_revision(
    store: Store,
    noun: str,
    ident: str,
    get: Callable[[Tx, str], Revised],
    change: Callable[[Tx, str], Changed],
    *,
    revision: int | None,
) -> Changed:
    """Change the thing that a URL names, and give what `change` gives: one transaction.

    Raises:
        NotFound: `ident` is the id of nothing.
        Conflict: 412, the client insists on a revision that is not the present one; besides what `change` raises.
    """
    found = row_id(noun, ident)

    def run(tx: Tx) -> Changed:
        if revision is not None and (present := get(tx, found).revision_number) != revision:
            raise Conflict(
                f"Constrained to revision_number={revision}, but {noun} {found} is at {present}",
                field="If-Match",
                code=REVISION_MISMATCH,
            )
        return change(tx, found)

    return await store.write(run)


def create_all(
    tx: Tx, plural: str, news: Sequence[New], create: Callable[[Tx, New], Made], *, kind: str, limits: Limits
) -> list[Made]:
    """Create all or, when one is refused, none: it is one transaction. The error says which one it was.

    Raises:
        NotFound, Forbidden: the caller may not.
        Conflict: `OverQuota`; besides what `create` raises.
    """
    for new in news:
        access.require_new(tx, kind, new)
    quotas.claim(tx, kind, [new.project_id for new in news], limits)
    made = []
    for index, new in enumerate(news):
        try:
            made.append(create(tx, new))
        except Rejected as error:
            if len(news) > 1:
                error.message = f"{plural}[{index}]: {error.message}"
            raise
    return made


def created(noun: str, plural: str, views: Sequence[View], *, bulk: bool) -> JSONResponse:
    """201, in the shape that was asked in."""
    return JSONResponse({plural: list(views)} if bulk else {noun: views[0]}, 201)


def no_content() -> Response:
    return Response(status_code=204)


def shown(view: View, noun: str, caller: Caller) -> View:
    """A view without the attributes that are not for this caller."""
    hidden = policy.hidden(caller, f"get_{noun}")
    return {name: value for name, value in view.items() if name not in hidden} if hidden else view


def chosen(view: View, fields: Collection[str]) -> View:
    """A view with only the fields asked for; all when none were named."""
    return {name: value for name, value in view.items() if name in fields} if fields else view


def fields_of(request: Request) -> frozenset[str]:
    """The `fields` of a request for one thing.

    Raises:
        Invalid: another parameter.
    """
    strange = sorted(set(request.query_params) - {"fields"})
    if strange:
        raise Invalid("is not a parameter of this request", field=strange[0][:255])
    return parse(request.query_params.multi_items(), {}, standard=False).fields


def collected(
    request: Request, attributes: Mapping[str, Attribute], *, special: Collection[str] = (), standard: bool = True
) -> Collected:
    """What the query string of a list request asks for; see `ironlane.api.listing.parse`."""
    limit = request.app.state.page_limit
    if unseen := _unseen(caller_of(request.scope)):  # what is not shown must not be found out by asking for it
        attributes = {name: attribute for name, attribute in attributes.items() if name not in unseen}
    pairs = request.query_params.multi_items()
    return parse(pairs, attributes, special=special, standard=standard, page_limit=limit)


def listed(
    request: Request, plural: str, asked: Collected, views: Sequence[View], more: bool, *, key: str = "id"
) -> JSONResponse:
    """200 with a page, and links to its neighbours when it is one of several.

    A page that was asked for backwards has a page after it by construction, and `more` pages before it; otherwise it is
    the other way round.
    """
    answer: dict[str, Any] = {plural: [chosen(view, asked.fields) for view in views]}
    listing = asked.listing
    if listing.limit is not None and views:
        backwards = listing.reverse
        after, before = (listing.marker is not None, more) if backwards else (more, listing.marker is not None)
        links = []
        if after:
            links.append({"rel": "next", "href": _neighbour(request, views[-1][key], reverse=False)})
        if before:
            links.append({"rel": "previous", "href": _neighbour(request, views[0][key], reverse=True)})
        if links:
            answer[f"{plural}_links"] = links
    return JSONResponse(answer)


def _unseen(caller: Caller) -> frozenset[str]:
    return policy.hidden(caller, "get_network") | policy.hidden(caller, "get_port")


def _neighbour(request: Request, marker: str, *, reverse: bool) -> str:
    kept = [(n, v) for n, v in request.query_params.multi_items() if n not in {"marker", "page_reverse"}]
    turn = [("page_reverse", "True")] if reverse else []
    query = urlencode([*kept, ("marker", marker), *turn])
    return f"{request.url.replace(query=query, fragment='')}"
