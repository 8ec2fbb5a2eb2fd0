"""`/v1/ports`: a node's NICs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from ironlane.api.baremetal import checks, listing
from ironlane.api.baremetal.call import Call, created, done, ok
from ironlane.api.baremetal.fields import Field, Resource
from ironlane.api.baremetal.listing import Collection, Condition, Filter
from ironlane.api.baremetal.nodes import selected
from ironlane.model.attach import members_of
from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.node import BaremetalPort, Node, Portgroup
from ironlane.model.states import ProvisionState
from ironlane.store import baremetal_ports, nodes, portgroups, vifs
from ironlane.store.database import Tx
from ironlane.store.tables import baremetal_ports as rows
from ironlane.store.tables import nodes as node_rows

RECABLE = frozenset({ProvisionState.ENROLL, ProvisionState.MANAGEABLE})
"""States in which it may change how a node is connected (or in maintenance)."""

CONNECTIVITY = frozenset({"portgroup_id", "pxe_enabled", "local_link_connection", "physical_network"})

VIF_KEYS = ("tenant_vif_port_id", "provisioning_vif_port_id", "cleaning_vif_port_id")

PORT = Resource(
    "port",
    "ports",
    {
        field.name: field
        for field in (
            Field("uuid", read=lambda port: port.id, check=checks.identifier, column="id", only_new=True),
            Field("address", check=checks.mac, required=True),
            Field(
                "node_uuid",
                read=lambda port: port.node_id,
                check=checks.text(),
                column="node_id",
                required=True,
                only_new=True,
            ),
            Field(
                "portgroup_uuid",
                24,
                read=lambda port: port.portgroup_id,
                check=checks.optional(checks.identifier),
                column="portgroup_id",
            ),
            Field("name", 88, check=checks.optional(checks.name)),
            Field("local_link_connection", 19, check=checks.link, absent={}),
            Field("pxe_enabled", 19, check=checks.flag, absent=True),
            Field("physical_network", 34, check=checks.optional(checks.text(64, shortest=1))),
            Field("is_smartnic", 53, check=checks.flag, absent=False),
            Field("extra", check=checks.json_object, absent={}),
            Field("internal_info", 18),
            Field("description", 97, check=checks.optional(checks.text())),
            Field("vendor", 100, check=checks.optional(checks.text(32))),
            Field("category", 101, check=checks.optional(checks.text(80))),
            Field("created_at"),
            Field("updated_at"),
        )
    },
    short=("uuid", "address", "name"),
    sublinks={},
)


async def create(call: Call) -> Response:
    """Add a NIC to a node."""
    columns = PORT.new(call, await call.body())

    def write(tx: Tx) -> BaremetalPort:
        node = node_of(tx, columns["node_id"])
        _require_portgroup(tx, columns)
        port = baremetal_ports.create(tx, {**columns, "node_id": node.id})
        _check_membership(tx, port)
        _check_smartnic(port)
        return port

    port = await call.store.write(write)
    return created(call, PORT.render(call, port), "ports", port.id)


async def index(call: Call) -> Response:
    """List NICs."""
    return await listing.answer(call, PORTS)


async def detail(call: Call) -> Response:
    """List NICs with all their fields."""
    return await listing.answer(call, PORTS, detail=True)


async def of_node(call: Call) -> Response:
    """List the NICs of a node."""
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return await listing.answer(call, PORTS, rows.c.node_id == node.id)


async def of_node_detail(call: Call) -> Response:
    """List the NICs of a node with all their fields."""
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return await listing.answer(call, PORTS, rows.c.node_id == node.id, detail=True)


async def of_portgroup(call: Call) -> Response:
    """List the members of a portgroup."""
    group = await call.store.read(lambda tx: portgroups.get(tx, call.path("portgroup")))
    return await listing.answer(call, PORTS, rows.c.portgroup_id == group.id)


async def of_portgroup_detail(call: Call) -> Response:
    """List the members of a portgroup with all their fields."""
    group = await call.store.read(lambda tx: portgroups.get(tx, call.path("portgroup")))
    return await listing.answer(call, PORTS, rows.c.portgroup_id == group.id, detail=True)


async def show(call: Call) -> Response:
    """Show a NIC."""
    names = selected(call, PORT)
    port = await call.store.read(lambda tx: baremetal_ports.get(tx, call.path("port")))
    return ok(PORT.render(call, port, names))


async def update(call: Call) -> Response:
    """Change a NIC by a JSON patch."""
    patch = await call.body()

    def write(tx: Tx) -> BaremetalPort:
        before = baremetal_ports.get(tx, call.path("port"))
        changes = PORT.patched(call, before, patch)
        if not changes:
            return before
        node = nodes.by_id(tx, before.node_id)
        _check_change(node, before, changes)
        _require_portgroup(tx, changes)
        port = baremetal_ports.update(tx, before.id, changes)
        _check_membership(tx, port)
        _check_smartnic(port)
        if changes.keys() & CONNECTIVITY and node.provision_state is ProvisionState.ACTIVE:
            vifs.plug(tx, node)  # recabled in maintenance: the old switch port leaves, the new one joins
        return port

    return ok(PORT.render(call, await call.store.write(write)))


async def delete(call: Call) -> Response:
    """Delete a NIC."""

    def write(tx: Tx) -> None:
        port = baremetal_ports.get(tx, call.path("port"))
        refuse_held("port", port)
        baremetal_ports.delete(tx, port.id)

    await call.store.write(write)
    return done()


def node_of(tx: Tx, ident: str) -> Node:
    """The node that a body names.

    Raises:
        Invalid: there is none (400, not 404: the address of the request does exist).
    """
    try:
        return nodes.get(tx, ident)
    except NotFound as error:
        raise Invalid(f"node_uuid: {error.message}", code=error.code, field="node_uuid") from None


def refuse_held(kind: str, place: BaremetalPort | Portgroup) -> None:
    """Refuse to delete what network ports are attached to."""
    held = next((place.internal_info[key] for key in VIF_KEYS if place.internal_info.get(key)), None)
    if held is not None:
        raise Conflict(
            f"Cannot delete the {kind} {place.id} as it is bound to VIF {held}; detach that first", code="InvalidState"
        )


def _check_change(node: Node, port: BaremetalPort, changes: Mapping[str, Any]) -> None:
    connectivity = sorted(changes.keys() & CONNECTIVITY)
    if connectivity and node.provision_state not in RECABLE and not node.maintenance:
        allowed = ", ".join(sorted(state.value for state in RECABLE))
        raise Conflict(
            f"{connectivity[0]}: port {port.id} can not have connectivity attributes updated unless node {node.label}"
            f" is in maintenance or in one of the states {allowed}; it is {node.provision_state.value}",
            code="Conflict",
            field=connectivity[0],
        )
    if "address" in changes and port.vif is not None:
        raise Conflict(f"address: port {port.id} holds VIF {port.vif}; detach that first", field="address")
    if "portgroup_id" in changes and port.vif is not None:
        raise Conflict(
            f"portgroup_uuid: port {port.id} holds VIF {port.vif}; detach that first", field="portgroup_uuid"
        )


def _require_portgroup(tx: Tx, columns: Mapping[str, Any]) -> None:
    if columns.get("portgroup_id") is None:
        return
    try:
        portgroups.get(tx, columns["portgroup_id"])
    except NotFound as error:
        raise Invalid(f"portgroup_uuid: {error.message}", code=error.code, field="portgroup_uuid") from None


def _check_membership(tx: Tx, port: BaremetalPort) -> None:
    """A member is on its portgroup's node and physical network, and alone only where the portgroup allows it."""
    if port.portgroup_id is None:
        return
    group = portgroups.get(tx, port.portgroup_id)
    if group.node_id != port.node_id:
        raise Invalid(
            f"portgroup_uuid: portgroup {group.id} belongs to node {group.node_id}, the port to {port.node_id}",
            field="portgroup_uuid",
        )
    members = members_of(group, baremetal_ports.of_node(tx, port.node_id))
    others = {member.physical_network for member in members if member.id != port.id}
    others |= set() if group.physical_network is None else {group.physical_network}
    if others and others != {port.physical_network}:
        raise Conflict(
            f"physical_network: port with physical network {port.physical_network} cannot become a member of portgroup"
            f" {group.id}, which has ports on physical network {', '.join(sorted(str(name) for name in others))}",
            code="PortgroupPhysnetInconsistent",
            field="physical_network",
        )
    if not group.standalone_ports_supported and (port.pxe_enabled or port.vif is not None):
        raise Conflict(
            f"pxe_enabled: port {port.id} cannot be a member of portgroup {group.id}, which does not support"
            " standalone ports, while it is PXE-enabled or holds a VIF",
            field="pxe_enabled",
        )


def _check_smartnic(port: BaremetalPort) -> None:
    if port.is_smartnic and not {"hostname", "port_id"} <= port.local_link_connection.keys():
        raise Invalid(
            "local_link_connection.hostname: a smart NIC is named by hostname and port_id",
            field="local_link_connection.hostname",
        )


Makes = Callable[[Tx, str], Condition]
"""From a filter's value to its condition."""


def of_node_named(column: sa.Column[str]) -> Makes:
    """Things of one node, by its UUID or name."""
    return lambda tx, value: column == nodes.get(tx, value).id


def in_conductor_groups(column: sa.Column[str]) -> Makes:
    """Things of nodes in some conductor groups, with commas."""

    def condition(_tx: Tx, value: str) -> Condition:
        wanted = [name.strip().lower() for name in value.split(",")]
        return column.in_(sa.select(node_rows.c.id).where(node_rows.c.conductor_group.in_(wanted)))

    return condition


def in_shards(column: sa.Column[str]) -> Makes:
    """Things of nodes in some shards, with commas."""

    def condition(_tx: Tx, value: str) -> Condition:
        wanted = [name.strip() for name in value.split(",")]
        return column.in_(sa.select(node_rows.c.id).where(node_rows.c.shard.in_(wanted)))

    return condition


def _portgroup(tx: Tx, value: str) -> Condition:
    return rows.c.portgroup_id == portgroups.get(tx, value).id


PORTS = Collection(
    PORT,
    rows,
    baremetal_ports.select,
    {
        "address": Filter(1, lambda _tx, value: rows.c.address == checks.mac(value, "address")),
        "node": Filter(6, of_node_named(rows.c.node_id)),
        "node_uuid": Filter(1, of_node_named(rows.c.node_id)),
        "portgroup": Filter(24, _portgroup),
        "shard": Filter(82, in_shards(rows.c.node_id)),
        "conductor_groups": Filter(99, in_conductor_groups(rows.c.node_id)),
    },
)
