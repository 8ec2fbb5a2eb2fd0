"""`/v1/nodes/{node}/history`: what happened to a node; entries are made by the loops and by requests for a state."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from ironlane.api.baremetal import listing
from ironlane.api.baremetal.call import Call, ok
from ironlane.api.baremetal.fields import Field, Resource
from ironlane.api.baremetal.listing import Collection
from ironlane.api.baremetal.nodes import selected
from ironlane.store import history, nodes
from ironlane.store.database import Tx
from ironlane.store.history import Entry
from ironlane.store.tables import node_history as rows

HISTORY = Resource(
    "history",
    "history",
    {
        field.name: field
        for field in (
            Field("uuid", read=lambda entry: entry.id),
            Field("created_at"),
            Field("severity"),
            Field("event"),
            Field("event_type"),
            Field("conductor"),
            Field("user"),
        )
    },
    short=("uuid", "created_at", "severity", "event"),
    sublinks={},
)


async def index(call: Call) -> Response:
    """List what happened to a node, oldest first."""
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    place = ("nodes", node.id, "history")
    return await listing.answer(call, replace(EVENTS, place=place), rows.c.node_id == node.id)


EVENTS = Collection(HISTORY, rows, history.select, {}, detail=78)


async def show(call: Call) -> Response:
    """Show one event of a node."""
    names = selected(call, HISTORY)

    def read(tx: Tx) -> Entry:
        return history.get(tx, nodes.get(tx, call.path("node")).id, call.path("entry"))

    entry = await call.store.read(read)
    return ok(HISTORY.render(call, entry, names, place=("nodes", entry.node_id, "history")))
