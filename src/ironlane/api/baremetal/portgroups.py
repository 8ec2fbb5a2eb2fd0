"""`/v1/portgroups`: NICs of a node that act as one link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ironlane.api.baremetal import checks, listing
from ironlane.api.baremetal.call import Call, created, done, ok
from ironlane.api.baremetal.fields import Field, Resource
from ironlane.api.baremetal.listing import Collection, Filter
from ironlane.api.baremetal.nodes import selected
from ironlane.api.baremetal.ports import (
    RECABLE,
    in_conductor_groups,
    in_shards,
    node_of,
    of_node_named,
    refuse_held,
)
from ironlane.model.errors import Conflict
from ironlane.model.node import Node, Portgroup
from ironlane.model.states import ProvisionState
from ironlane.store import baremetal_ports, nodes, portgroups, vifs
from ironlane.store.database import Tx
from ironlane.store.tables import portgroups as rows

_CONNECTIVITY = frozenset({"mode", "properties", "standalone_ports_supported", "address", "physical_network"})

PORTGROUP = Resource(
    "portgroup",
    "portgroups",
    {
        field.name: field
        for field in (
            Field("uuid", read=lambda group: group.id, check=checks.identifier, column="id", only_new=True),
            Field(
                "node_uuid",
                read=lambda group: group.node_id,
                check=checks.text(),
                column="node_id",
                required=True,
                only_new=True,
            ),
            Field("address", check=checks.optional(checks.mac)),
            Field("name", check=checks.optional(checks.name)),
            Field("mode", 26, check=checks.bond_mode, absent="active-backup"),
            Field("properties", 26, check=checks.bond_properties, absent={}),
            Field("standalone_ports_supported", check=checks.flag, absent=True),
            Field("physical_network", 102, check=checks.optional(checks.text(64, shortest=1))),
            Field("category", 103, check=checks.optional(checks.text(80))),
            Field("extra", check=checks.json_object, absent={}),
            Field("internal_info"),
            Field("created_at"),
            Field("updated_at"),
        )
    },
    short=("uuid", "address", "name"),
    sublinks={"ports": 24},
)


async def create(call: Call) -> Response:
    """Add a portgroup to a node."""
    columns = PORTGROUP.new(call, await call.body())

    def write(tx: Tx) -> Portgroup:
        return portgroups.create(tx, {**columns, "node_id": node_of(tx, columns["node_id"]).id})

    group = await call.store.write(write)
    return created(call, PORTGROUP.render(call, group), "portgroups", group.id)


async def index(call: Call) -> Response:
    """List portgroups."""
    return await listing.answer(call, PORTGROUPS)


async def detail(call: Call) -> Response:
    """List portgroups with all their fields."""
    return await listing.answer(call, PORTGROUPS, detail=True)


async def of_node(call: Call) -> Response:
    """List the portgroups of a node."""
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return await listing.answer(call, PORTGROUPS, rows.c.node_id == node.id)


async def of_node_detail(call: Call) -> Response:
    """List the portgroups of a node with all their fields."""
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return await listing.answer(call, PORTGROUPS, rows.c.node_id == node.id, detail=True)


async def show(call: Call) -> Response:
    """Show a portgroup."""
    names = selected(call, PORTGROUP)
    group = await call.store.read(lambda tx: portgroups.get(tx, call.path("portgroup")))
    return ok(PORTGROUP.render(call, group, names))


async def update(call: Call) -> Response:
    """Change a portgroup by a JSON patch."""
    patch = await call.body()

    def write(tx: Tx) -> Portgroup:
        before = portgroups.get(tx, call.path("portgroup"))
        changes = PORTGROUP.patched(call, before, patch)
        if not changes:
            return before
        node = nodes.by_id(tx, before.node_id)
        _check_change(tx, node, before, changes)
        group = portgroups.update(tx, before.id, changes)
        if changes.keys() & _CONNECTIVITY and node.provision_state is ProvisionState.ACTIVE:
            vifs.plug(tx, node)  # changed in maintenance: the LAG is rebuilt
        return group

    return ok(PORTGROUP.render(call, await call.store.write(write)))


async def delete(call: Call) -> Response:
    """Delete a portgroup that has no members."""

    def write(tx: Tx) -> None:
        group = portgroups.get(tx, call.path("portgroup"))
        refuse_held("portgroup", group)
        portgroups.delete(tx, group.id)

    await call.store.write(write)
    return done()


def _check_change(tx: Tx, node: Node, group: Portgroup, changes: Mapping[str, Any]) -> None:
    connectivity = sorted(changes.keys() & _CONNECTIVITY)
    if connectivity and node.provision_state not in RECABLE and not node.maintenance:
        allowed = ", ".join(sorted(state.value for state in RECABLE))
        raise Conflict(
            f"{connectivity[0]}: portgroup {group.id} can not be updated unless node {node.label} is in maintenance or"
            f" in one of the states {allowed}; it is {node.provision_state.value}",
            code="Conflict",
            field=connectivity[0],
        )
    if "address" in changes and group.vif is not None:
        raise Conflict(f"address: portgroup {group.id} holds VIF {group.vif}; detach that first", field="address")
    wanted = changes.get("physical_network")
    others = sorted({str(nic.physical_network) for nic in baremetal_ports.of_portgroup(tx, group.id)} - {str(wanted)})
    if wanted is not None and others:
        raise Conflict(
            f"physical_network: portgroup {group.id} has ports on physical network {', '.join(others)}",
            code="PortgroupPhysnetInconsistent",
            field="physical_network",
        )
    if changes.get("standalone_ports_supported") is False:
        alone = [nic.id for nic in baremetal_ports.of_portgroup(tx, group.id) if nic.pxe_enabled or nic.vif]
        if alone:
            raise Conflict(
                f"standalone_ports_supported: members of portgroup {group.id} are PXE-enabled or hold a VIF:"
                f" {', '.join(alone)}",
                field="standalone_ports_supported",
            )


PORTGROUPS = Collection(
    PORTGROUP,
    rows,
    portgroups.select,
    {
        "address": Filter(23, lambda _tx, value: rows.c.address == checks.mac(value, "address")),
        "node": Filter(24, of_node_named(rows.c.node_id)),
        "node_uuid": Filter(24, of_node_named(rows.c.node_id)),
        "conductor_groups": Filter(99, in_conductor_groups(rows.c.node_id)),
        "shard": Filter(106, in_shards(rows.c.node_id)),
    },
)
