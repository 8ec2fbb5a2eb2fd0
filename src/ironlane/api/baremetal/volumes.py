"""`/v1/volume`: connectors (what storage calls a node) and targets (volumes that a node is to have).

nova and Cinder keep theirs here. Ironlane keeps them faithfully and boots no server from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from ironlane.api.baremetal import checks, listing
from ironlane.api.baremetal.call import Call, created, done, ok
from ironlane.api.baremetal.fields import Field, Resource
from ironlane.api.baremetal.listing import Collection, Condition, Filter
from ironlane.api.baremetal.nodes import selected
from ironlane.api.baremetal.ports import node_of
from ironlane.model.errors import Invalid
from ironlane.model.node import Node
from ironlane.model.secrets import masked
from ironlane.store import nodes, volumes
from ironlane.store.database import Tx

CONNECTOR_TYPES = ("iqn", "ip", "mac", "wwnn", "wwpn", "port", "portgroup")

_UUID = Field("uuid", read=lambda one: one.id, check=checks.identifier, column="id", only_new=True)
_NODE = Field("node_uuid", read=lambda one: one.node_id, check=checks.identifier, column="node_id", required=True)
_LAST = (Field("extra", check=checks.json_object, absent={}), Field("created_at"), Field("updated_at"))

CONNECTOR = Resource(
    "volume connector",
    "connectors",
    {
        field.name: field
        for field in (
            _UUID,
            _NODE,
            Field("type", check=checks.one_of(CONNECTOR_TYPES), required=True),
            Field("connector_id", check=checks.text(255, shortest=1), required=True),
            *_LAST,
        )
    },
    short=("uuid", "node_uuid", "type", "connector_id"),
    sublinks={},
    path=("volume", "connectors"),
)
TARGET = Resource(
    "volume target",
    "targets",
    {
        field.name: field
        for field in (
            _UUID,
            _NODE,
            Field("volume_type", check=checks.text(64, shortest=1), required=True),
            Field("boot_index", check=checks.index, required=True),
            Field("volume_id", check=checks.text(255, shortest=1), required=True),
            Field(
                "properties",
                read=lambda one: masked(one.properties),
                check=checks.json_object,
                absent={},
                secret=True,
            ),
            *_LAST,
        )
    },
    short=("uuid", "node_uuid", "volume_type", "boot_index", "volume_id"),
    sublinks={},
    path=("volume", "targets"),
)


@dataclass(frozen=True, slots=True)
class Handlers:
    """The handlers of one of the two; they differ in nothing but their fields."""

    resource: Resource
    kind: volumes.Kind[Any]

    @property
    def collection(self) -> Collection:
        return Collection(self.resource, self.kind.table, self.kind.select, self._filters, detail=32)

    async def create(self, call: Call) -> Response:
        """Add a volume connector or target to a node."""
        columns = self.resource.new(call, await call.body())

        def write(tx: Tx) -> Any:
            node = node_of(tx, columns["node_id"])
            return self.kind.create(tx, {**columns, "node_id": node.id})

        made = await call.store.write(write)
        return created(call, self.resource.render(call, made), *self.resource.place, made.id)

    async def index(self, call: Call) -> Response:
        """List volume connectors or targets."""
        return await listing.answer(call, self.collection)

    async def of_node(self, call: Call) -> Response:
        """List the volume connectors or targets of a node."""
        node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
        return await listing.answer(call, self.collection, self.kind.table.c.node_id == node.id)

    async def show(self, call: Call) -> Response:
        """Show a volume connector or target."""
        names = selected(call, self.resource)
        found = await call.store.read(lambda tx: self.kind.get(tx, call.path("ident")))
        return ok(self.resource.render(call, found, names))

    async def update(self, call: Call) -> Response:
        """Change a volume connector or target by a JSON patch."""
        patch = await call.body()

        def write(tx: Tx) -> Any:
            before = self.kind.get(tx, call.path("ident"))
            changes = self.resource.patched(call, before, patch)
            _require_off(nodes.by_id(tx, before.node_id), self.resource.name)
            if "node_id" in changes:
                changes["node_id"] = node_of(tx, changes["node_id"]).id
            return self.kind.update(tx, before, changes) if changes else before

        return ok(self.resource.render(call, await call.store.write(write)))

    async def delete(self, call: Call) -> Response:
        """Delete a volume connector or target."""

        def write(tx: Tx) -> None:
            found = self.kind.get(tx, call.path("ident"))
            _require_off(nodes.by_id(tx, found.node_id), self.resource.name)
            self.kind.delete(tx, found.id)

        await call.store.write(write)
        return done()

    @property
    def _filters(self) -> Mapping[str, Filter]:
        def node(tx: Tx, value: str) -> Condition:
            return self.kind.table.c.node_id == nodes.get(tx, value).id

        return {"node": Filter(32, node)}


def _require_off(node: Node, noun: str) -> None:
    """Refuse to change what a running server may be using.

    Raises:
        Invalid: `InvalidStateRequested`.
    """
    if node.power_state not in (None, "power off"):
        raise Invalid(
            f"The {noun} of node {node.label} can only be changed while it is powered off; it is {node.power_state}",
            code="InvalidStateRequested",
        )


connectors, targets = Handlers(CONNECTOR, volumes.CONNECTORS), Handlers(TARGET, volumes.TARGETS)
