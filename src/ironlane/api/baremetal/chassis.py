"""`/v1/chassis`: an operator's word for what holds several nodes."""

from __future__ import annotations

from starlette.responses import Response

from ironlane.api.baremetal import checks, listing, nodes
from ironlane.api.baremetal.call import Call, created, done, ok
from ironlane.api.baremetal.fields import Field, Resource
from ironlane.api.baremetal.listing import Collection
from ironlane.api.baremetal.nodes import selected
from ironlane.model.node import Chassis
from ironlane.store import chassis
from ironlane.store.database import Tx
from ironlane.store.tables import chassis as rows
from ironlane.store.tables import nodes as node_rows

CHASSIS = Resource(
    "chassis",
    "chassis",
    {
        field.name: field
        for field in (
            Field("uuid", read=lambda one: one.id, check=checks.identifier, column="id", only_new=True),
            Field("description", check=checks.optional(checks.text())),
            Field("extra", check=checks.json_object, absent={}),
            Field("created_at"),
            Field("updated_at"),
        )
    },
    short=("uuid", "description"),
    sublinks={"nodes": 1},
)


async def create(call: Call) -> Response:
    """Add a chassis."""
    columns = CHASSIS.new(call, await call.body())
    made = await call.store.write(lambda tx: chassis.create(tx, columns))
    return created(call, CHASSIS.render(call, made), "chassis", made.id)


async def index(call: Call) -> Response:
    """List chassis."""
    return await listing.answer(call, ALL)


async def detail(call: Call) -> Response:
    """List chassis with all their fields."""
    return await listing.answer(call, ALL, detail=True)


async def show(call: Call) -> Response:
    """Show a chassis."""
    names = selected(call, CHASSIS)
    found = await call.store.read(lambda tx: chassis.get(tx, call.path("chassis")))
    return ok(CHASSIS.render(call, found, names))


async def update(call: Call) -> Response:
    """Change a chassis by a JSON patch."""
    patch = await call.body()

    def write(tx: Tx) -> Chassis:
        before = chassis.get(tx, call.path("chassis"))
        changes = CHASSIS.patched(call, before, patch)
        return chassis.update(tx, before.id, changes) if changes else before

    return ok(CHASSIS.render(call, await call.store.write(write)))


async def delete(call: Call) -> Response:
    """Delete a chassis that holds no node."""
    await call.store.write(lambda tx: chassis.delete(tx, chassis.get(tx, call.path("chassis")).id))
    return done()


async def nodes_of(call: Call) -> Response:
    """List the nodes of a chassis."""
    found = await call.store.read(lambda tx: chassis.get(tx, call.path("chassis")))
    return await listing.answer(call, nodes.NODES, node_rows.c.chassis_uuid == found.id)


async def nodes_of_detail(call: Call) -> Response:
    """List the nodes of a chassis with all their fields."""
    found = await call.store.read(lambda tx: chassis.get(tx, call.path("chassis")))
    return await listing.answer(call, nodes.NODES, node_rows.c.chassis_uuid == found.id, detail=True)


ALL = Collection(CHASSIS, rows, chassis.select, {})
