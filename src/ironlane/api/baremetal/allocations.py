"""`/v1/allocations`: wishes for a node, which a conductor meets; `/v1/nodes/{node}/allocation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from ironlane.api.baremetal import checks, listing
from ironlane.api.baremetal.call import Call, created, done, ok
from ironlane.api.baremetal.fields import Field, Resource
from ironlane.api.baremetal.listing import Collection, Condition, Filter
from ironlane.api.baremetal.nodes import selected
from ironlane.model.errors import Invalid, NotFound
from ironlane.model.node import Allocation, Node
from ironlane.store import allocations, nodes
from ironlane.store.database import Tx
from ironlane.store.tables import allocations as rows
from ironlane.store.tables import nodes as node_rows

ALLOCATION = Resource(
    "allocation",
    "allocations",
    {
        field.name: field
        for field in (
            Field("uuid", read=lambda one: one.id, check=checks.identifier, column="id", only_new=True),
            Field("name", check=checks.optional(checks.name)),
            Field("node_uuid", read=lambda one: one.node_id),
            Field("resource_class", check=checks.optional(checks.text(80)), only_new=True),
            Field("state", read=lambda one: one.state.value),
            Field("last_error"),
            Field("traits", check=checks.list_of(checks.trait), absent=[], only_new=True),
            Field("candidate_nodes", check=checks.list_of(checks.text()), absent=[], only_new=True),
            Field("owner", 60, check=checks.optional(checks.text()), only_new=True),
            Field("extra", check=checks.json_object, absent={}),
            Field("created_at"),
            Field("updated_at"),
        )
    },
    short=(
        *("uuid", "name", "node_uuid", "resource_class", "state", "last_error", "traits", "candidate_nodes"),
        *("owner", "extra", "created_at", "updated_at"),
    ),
    sublinks={},
)


async def create(call: Call) -> Response:
    """Ask for a node: `{resource_class, traits?, candidate_nodes?, name?, owner?, extra?}`; since 1.58 `node` names one
    that is in use already."""
    body = await call.body()
    given = dict(body) if isinstance(body, dict) else body
    named = None
    if isinstance(given, dict) and given.get("node") is not None:
        if call.version < 58:
            raise Invalid("node: cannot be set on an allocation before API version 1.58", field="node")
        named = checks.text()(given.pop("node"), "node")
    elif isinstance(given, dict):
        given.pop("node", None)
    columns = ALLOCATION.new(call, given)

    def write(tx: Tx) -> Allocation:
        node = _existing(tx, named, "node") if named is not None else None
        _complete(tx, columns, node)
        made = allocations.create(tx, columns)
        return made if node is None else allocations.backfill(tx, made, node)

    made = await call.store.write(write)
    return created(call, ALLOCATION.render(call, made), "allocations", made.id)


async def index(call: Call) -> Response:
    """List allocations."""
    return await listing.answer(call, ALLOCATIONS)


async def show(call: Call) -> Response:
    """Show an allocation."""
    names = selected(call, ALLOCATION)
    found = await call.store.read(lambda tx: allocations.get(tx, call.path("allocation")))
    return ok(ALLOCATION.render(call, found, names))


async def update(call: Call) -> Response:
    """Change the name or `extra` of an allocation by a JSON patch."""
    patch = await call.body()

    def write(tx: Tx) -> Allocation:
        before = allocations.get(tx, call.path("allocation"))
        changes = ALLOCATION.patched(call, before, patch)
        return allocations.update(tx, before.id, changes) if changes else before

    return ok(ALLOCATION.render(call, await call.store.write(write)))


async def delete(call: Call) -> Response:
    """Delete an allocation; its node is free again."""

    def write(tx: Tx) -> None:
        allocations.delete(tx, allocations.get(tx, call.path("allocation")))

    await call.store.write(write)
    return done()


async def of_node(call: Call) -> Response:
    """Show the allocation that a node was given to."""
    names = selected(call, ALLOCATION)
    found = await call.store.read(lambda tx: allocations.of_node(tx, nodes.get(tx, call.path("node"))))
    return ok(ALLOCATION.render(call, found, names))


async def delete_of_node(call: Call) -> Response:
    """Delete the allocation that a node was given to."""

    def write(tx: Tx) -> None:
        allocations.delete(tx, allocations.of_node(tx, nodes.get(tx, call.path("node"))))

    await call.store.write(write)
    return done()


def _complete(tx: Tx, columns: dict[str, Any], node: Node | None) -> None:
    """What is left out, or told by name, as it is stored."""
    if node is not None:
        columns.setdefault("resource_class", node.resource_class)
        if node.instance_uuid is not None:
            columns.setdefault("id", node.instance_uuid)
    if not columns.get("resource_class"):
        raise Invalid(
            "resource_class: is mandatory unless node names one that is in use already", field="resource_class"
        )
    listed = columns.get("candidate_nodes") or []
    columns["candidate_nodes"] = [
        _existing(tx, ident, f"candidate_nodes[{index}]").id for index, ident in enumerate(listed)
    ]


def _existing(tx: Tx, ident: str, field: str) -> Node:
    """The node of that UUID or name; that there is none is the request's fault."""
    try:
        return nodes.get(tx, ident)
    except NotFound as error:
        raise Invalid(f"{field}: {error.message}", code=error.code, field=field) from None


def _node(tx: Tx, value: str) -> Condition:
    node = _existing(tx, value, "node")
    return rows.c.id.in_(sa.select(node_rows.c.allocation_uuid).where(node_rows.c.id == node.id))


def _equals(name: str) -> Filter:
    return Filter(52, lambda _tx, value: rows.c[name] == value)


_FILTERS: Mapping[str, Filter] = {
    "node": Filter(52, _node),
    "resource_class": _equals("resource_class"),
    "state": _equals("state"),
    "owner": Filter(60, lambda _tx, value: rows.c.owner == value),
}

ALLOCATIONS = Collection(ALLOCATION, rows, allocations.select, _FILTERS, detail=None)
