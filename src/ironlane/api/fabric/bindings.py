"""`/v1/bindings`: network ports of somebody else's Neutron, bound by us. The ML2 mechanism driver is its client."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from ironlane.api.fabric.bodies import EventsQuery, ForeignBindingBody, WithdrawQuery, require_uuid
from ironlane.api.fabric.views import MADE, foreign_binding_view
from ironlane.model.errors import Invalid
from ironlane.store import foreign_bindings
from ironlane.store.database import Hint, Store, Tx
from ironlane.store.foreign_bindings import ForeignBinding
from ironlane.store.foreign_changes import Position, position

_LOOK = 1.0
"""How often somebody who waits looks for changes that another process recorded, seconds; our own wake it at once."""


def router(store: Store, stopping: asyncio.Event) -> APIRouter:
    """The routes below `/v1/bindings`."""
    routes = APIRouter(prefix="/v1/bindings", tags=["bindings"])

    @routes.get("")
    async def list_bindings() -> dict[str, Any]:
        """All bindings, and from where to follow their changes."""
        return _answer(*await store.read(_all))

    @routes.get("/events")
    async def follow_bindings(query: Annotated[EventsQuery, Query()]) -> dict[str, Any]:
        """The bindings that changed after `after`, as they are now; waits for `wait` seconds if there are none.

        Where `stream` is another than the client followed, the numbers mean nothing: it has to compare all bindings.
        """
        return _answer(*await _wait(store, query, stopping))

    @routes.get("/{ident}")
    async def get_binding(ident: str) -> dict[str, Any]:
        """One binding: what is asked for, and what became of it."""
        return foreign_binding_view(await store.read(lambda tx: foreign_bindings.get(tx, ident)))

    @routes.put("/{ident}", responses=MADE)
    async def put_binding(ident: str, body: ForeignBindingBody, response: Response) -> dict[str, Any]:
        """Bind a network port (201), or bind it otherwise (200); durable when answered. Repeating it is harmless."""
        try:
            require_uuid(ident)
        except ValueError as error:
            raise Invalid(str(error), field="id") from error
        wish = body.wish()
        found, new = await store.write(lambda tx: foreign_bindings.put(tx, ident, body.revision, wish))
        response.status_code = 201 if new else 200
        return foreign_binding_view(found)

    @routes.delete("/{ident}", status_code=204)
    async def delete_binding(ident: str, query: Annotated[WithdrawQuery, Query()]) -> None:
        """Take a wish back; durable when answered. With `revision`, what is still on its way of it is refused."""
        await store.write(lambda tx: foreign_bindings.withdraw(tx, ident, query.revision))

    return routes


def _all(tx: Tx) -> tuple[Position, list[ForeignBinding]]:
    return position(tx), foreign_bindings.changed(tx)


async def _wait(store: Store, query: EventsQuery, stopping: asyncio.Event) -> tuple[Position, list[ForeignBinding]]:
    end = asyncio.get_running_loop().time() + query.wait
    changed = asyncio.Event()

    def hinted(hint: Hint) -> None:
        if hint.kind == "binding":
            changed.set()

    def news(tx: Tx) -> tuple[Position, list[ForeignBinding]]:
        at = position(tx)
        known = (at.stream, at.change) == (query.stream, query.after)
        return at, [] if known else foreign_bindings.changed(tx, query.after if at.stream == query.stream else 0)

    stop_listening = store.listen(hinted)
    try:
        while True:
            changed.clear()
            at, found = await store.read(news)
            left = end - asyncio.get_running_loop().time()
            if (at.stream, at.change) != (query.stream, query.after) or left <= 0 or stopping.is_set():
                return at, found
            await _first(changed, stopping, seconds=min(_LOOK, left))
    finally:
        stop_listening()


async def _first(*events: asyncio.Event, seconds: float) -> None:
    """Wait until one of the events happens, or time is up."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def _answer(at: Position, found: list[ForeignBinding]) -> dict[str, Any]:
    return {"stream": at.stream, "change": at.change, "bindings": [foreign_binding_view(one) for one in found]}
