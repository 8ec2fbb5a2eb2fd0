"""`/v2.0/{collection}/{id}/tags`: tags of networks, subnets, ports, trunks. Source: Networking API v2.0, "Tags".

`PUT …/tags` replaces them all, `POST …/tags` adds some, `…/tags/{tag}` looks at one of them. They are a set, shown in
alphabetical order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import Field
from starlette.responses import JSONResponse, Response

from ironlane.api.networking.fields import TAGS_MAX, Body, Tag, Tags
from ironlane.api.networking.requests import StoreDep, no_content, row_id
from ironlane.model.errors import Invalid, NotFound
from ironlane.store import networks, ports, subnets, trunks
from ironlane.store.database import Tx

TagName = Annotated[Tag, Field()]


class Tagged(StrEnum):
    """Collections whose items have tags."""

    NETWORKS = "networks"
    SUBNETS = "subnets"
    PORTS = "ports"
    TRUNKS = "trunks"


class TagsBody(Body):
    tags: Tags


class _HasTags(Protocol):
    @property
    def tags(self) -> tuple[str, ...]: ...


class _Noun(NamedTuple):
    name: str
    get: Callable[[Tx, str], _HasTags]
    update: Callable[[Tx, str, Mapping[str, Any]], _HasTags]


_NOUNS = {
    Tagged.NETWORKS: _Noun("network", networks.get, networks.update),
    Tagged.SUBNETS: _Noun("subnet", subnets.get, subnets.update),
    Tagged.PORTS: _Noun("port", ports.get, ports.update),
    Tagged.TRUNKS: _Noun("trunk", trunks.get, trunks.update),
}


async def list_(collection: Tagged, ident: str, store: StoreDep) -> JSONResponse:
    noun = _NOUNS[collection]
    thing = row_id(noun.name, ident)
    return JSONResponse({"tags": list((await store.read(lambda tx: noun.get(tx, thing))).tags)})


async def create(collection: Tagged, ident: str, body: TagsBody, store: StoreDep) -> JSONResponse:
    await _set(collection, ident, store, lambda tags: _added(tags, body.tags))
    return JSONResponse({"tags": body.tags}, 201)


async def replace(collection: Tagged, ident: str, body: TagsBody, store: StoreDep) -> JSONResponse:
    return JSONResponse({"tags": await _set(collection, ident, store, lambda _: body.tags)})


async def clear(collection: Tagged, ident: str, store: StoreDep) -> Response:
    await _set(collection, ident, store, lambda _: [])
    return no_content()


async def show(collection: Tagged, ident: str, tag: TagName, store: StoreDep) -> Response:
    noun = _NOUNS[collection]
    thing = row_id(noun.name, ident)
    if tag not in (await store.read(lambda tx: noun.get(tx, thing))).tags:
        raise NotFound("tag", tag)
    return no_content()


async def add(collection: Tagged, ident: str, tag: TagName, store: StoreDep) -> Response:
    await _set(collection, ident, store, lambda tags: _added(tags, [tag]))
    return Response(status_code=201)


async def remove(collection: Tagged, ident: str, tag: TagName, store: StoreDep) -> Response:
    def without(tags: Sequence[str]) -> list[str]:
        if tag not in tags:
            raise NotFound("tag", tag)
        return [other for other in tags if other != tag]

    await _set(collection, ident, store, without)
    return no_content()


def _added(present: Sequence[str], more: Sequence[str]) -> list[str]:
    tags = sorted({*present, *more})
    if len(tags) > TAGS_MAX:
        raise Invalid(f"there may be {TAGS_MAX} tags at the most, and would be {len(tags)}", field="tags")
    return tags


async def _set(
    collection: Tagged, ident: str, store: StoreDep, change: Callable[[Sequence[str]], list[str]]
) -> list[str]:
    noun = _NOUNS[collection]
    thing = row_id(noun.name, ident)
    after = await store.write(lambda tx: noun.update(tx, thing, {"tags": change(noun.get(tx, thing).tags)}))
    return list(after.tags)
