"""`/v1/nodes`: making, listing, showing, changing and deleting nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from ironlane.api.baremetal import checks, listing
from ironlane.api.baremetal.call import Call, created, done, ok
from ironlane.api.baremetal.fields import Resource, patched_fields
from ironlane.api.baremetal.listing import Collection, Condition, Filter
from ironlane.api.baremetal.microversions import require
from ironlane.api.baremetal.node_fields import INTERFACES, NODE, enabled_interfaces, interface
from ironlane.model.errors import Conflict, Forbidden, Invalid, NotFound
from ironlane.model.node import Node
from ironlane.model.states import DELETABLE, WORKING, ProvisionState
from ironlane.store import access, allocations, chassis, conductors, nodes, provisioning, vifs
from ironlane.store.database import Tx
from ironlane.store.tables import nodes as rows

CHANGEABLE_HARDWARE = frozenset({ProvisionState.ENROLL, ProvisionState.MANAGEABLE, ProvisionState.AVAILABLE})
"""States in which a node's driver, interfaces, resource class and conductor group may change (or in maintenance)."""


_ENROLL_SINCE = 11


async def create(call: Call) -> Response:
    """Add a node: in state `enroll`, before version 1.11 `available`, as in Ironic."""
    columns = {"automated_clean": call.settings.automated_clean, **NODE.new(call, await call.body())}
    _pair_reasons(columns, None)
    _name_instance(columns, None)
    if call.version < _ENROLL_SINCE:
        columns["provision_state"] = ProvisionState.AVAILABLE

    def write(tx: Tx) -> Node:
        _require_driver(tx, call, columns["driver"])
        _require_interfaces(Node(columns.get("id", ""), driver=columns["driver"], interfaces=_interfaces(columns)))
        if columns.get("protected"):
            raise Conflict("protected: only a node that is active can be protected", code="InvalidState")
        _require_related(tx, columns, columns.get("id"))
        return nodes.create(tx, columns)

    node = await call.store.write(write)
    return created(call, NODE.render(call, node), "nodes", node.id)


async def index(call: Call) -> Response:
    """List nodes."""
    return await listing.answer(call, NODES, *_without_children(call))


async def detail(call: Call) -> Response:
    """List nodes with all their fields."""
    return await listing.answer(call, NODES, *_without_children(call), detail=True)


async def children(call: Call) -> Response:
    """The UUIDs of the nodes that name a node as their parent."""

    def read(tx: Tx) -> list[str]:
        return [child.id for child in nodes.find(tx, parent_node=nodes.get(tx, call.path("node")).id)]

    return ok({"children": await call.store.read(read)})


async def shards(call: Call) -> Response:
    """The shards that nodes are in, and how many nodes are in each."""
    counted = sa.select(rows.c.shard, sa.func.count().label("count")).where(rows.c.shard.is_not(None))
    statement = counted.group_by(rows.c.shard).order_by(rows.c.shard)
    found = await call.store.read(lambda tx: [{"name": row.shard, "count": row.count} for row in tx.all(statement)])
    return ok({"shards": found})


async def show(call: Call) -> Response:
    """Show a node."""
    names = selected(call, NODE)
    node = await call.store.read(lambda tx: nodes.get(tx, call.path("node")))
    return ok(NODE.render(call, node, names))


async def update(call: Call) -> Response:
    """Change a node by a JSON patch."""
    patch = await call.body()
    for key in call.query:
        if key != "reset_interfaces":
            raise Invalid(f'Unknown argument: "{key[:64]}"', field=key[:64])
        require(call.version, 45, key)
    reset = checks.query_flag(call.query, "reset_interfaces")

    def write(tx: Tx) -> Node:
        node = nodes.get(tx, call.path("node"))
        access.require_node(tx, node, *patched_fields(patch), *(["driver"] if reset else []))
        changes = NODE.patched(call, node, patch)
        if reset:
            if "driver" not in changes:
                raise Invalid("reset_interfaces: needs a change of the driver", field="reset_interfaces")
            changes = {"interfaces": {}} | changes
        _check_changes(tx, call, node, changes)
        return nodes.update(tx, node.id, changes) if changes else node

    return ok(NODE.render(call, await call.store.write(write)))


async def delete(call: Call) -> Response:
    """Delete a node with its ports and portgroups."""

    def write(tx: Tx) -> None:
        node = nodes.get(tx, call.path("node"))
        _require_deletable(node)
        # What the lifecycle loop made for the ramdisk goes with the node. Tenant ports are their owners' to delete, but
        # nobody would ever take the switch ports of a server that is not on record any more off their networks.
        provisioning.unplug(tx, node)
        vifs.detach_all(tx, node)
        if node.allocation_uuid is not None:
            allocations.forget(tx, node.allocation_uuid)
        nodes.delete(tx, node.id)

    await call.store.write(write)
    return done()


def selected(call: Call, resource: Resource) -> list[str] | None:
    """The fields that a `GET` of one thing asks for; None: all.

    Raises:
        Invalid: an unknown parameter or field.
        NotAcceptable: it is newer than the version.
    """
    for key in call.query:
        if key != "fields":
            raise Invalid(f'Unknown argument: "{key[:64]}"', field=key[:64])
        require(call.version, 8, key)
    return resource.chosen(call.query["fields"], call.version) if "fields" in call.query else None


def _check_changes(tx: Tx, call: Call, node: Node, changes: dict[str, Any]) -> None:
    """What Ironic refuses to change in a node's present state.

    Raises:
        Conflict, Invalid: as the message says.
    """
    _pair_reasons(changes, node)
    _name_instance(changes, node)
    hardware = sorted(changes.keys() & {"driver", "interfaces", "resource_class", "conductor_group"})
    if hardware and node.provision_state not in CHANGEABLE_HARDWARE and not node.maintenance:
        allowed = ", ".join(sorted(state.value for state in CHANGEABLE_HARDWARE))
        raise Conflict(
            f"{hardware[0]}: can only be changed in maintenance or in one of the states {allowed};"
            f" node {node.label} is {node.provision_state.value}",
            code="InvalidState",
            field=hardware[0],
        )
    if hardware:
        driver = changes.get("driver", node.driver)
        if "driver" in changes:
            _require_driver(tx, call, driver)
        _require_interfaces(Node(node.id, driver=driver, interfaces=changes.get("interfaces", node.interfaces)))
    _require_related(tx, changes, node.id)
    if "instance_uuid" in changes:
        _check_instance(node, changes["instance_uuid"])
        if node.allocation_uuid is not None:
            _release(tx, node, changes)
    if changes.get("protected") and node.provision_state is not ProvisionState.ACTIVE:
        raise Conflict(
            f"protected: only a node that is active can be protected; node {node.label} is"
            f" {node.provision_state.value}",
            code="InvalidState",
        )
    if changes.get("retired") and node.provision_state is ProvisionState.AVAILABLE:
        raise Conflict(
            f"retired: node {node.label} is available and could be deployed; manage it before it is retired",
            code="InvalidState",
        )


def _check_instance(node: Node, instance: str | None) -> None:
    if instance is not None and node.instance_uuid not in (None, instance):
        raise Conflict(
            f"instance_uuid: node {node.label} is associated with instance {node.instance_uuid}; take that off first",
            code="NodeAssociated",
        )
    if instance is None and node.provision_state in WORKING and not node.maintenance:
        raise Conflict(
            f"instance_uuid: cannot be taken off while node {node.label} is {node.provision_state.value}",
            code="InvalidState",
        )


def _release(tx: Tx, node: Node, changes: dict[str, Any]) -> None:
    """Without its instance a node has no allocation either; another instance is not to be had without one.

    Raises:
        Conflict: the node is in use.
    """
    if changes["instance_uuid"] is not None:
        raise Conflict(
            f"instance_uuid: node {node.label} belongs to allocation {node.allocation_uuid}; delete that first",
            code="NodeAssociated",
        )
    allocations.require_releasable(node)
    allocations.forget(tx, str(node.allocation_uuid))
    changes["allocation_uuid"] = None


def _require_related(tx: Tx, columns: dict[str, Any], node_id: str | None) -> None:
    """Refuse a chassis or a parent that is not there; a parent is kept by its UUID.

    Raises:
        Invalid: as said.
    """
    if columns.get("chassis_uuid") is not None:
        try:
            chassis.get(tx, columns["chassis_uuid"])
        except NotFound as error:
            raise Invalid(f"chassis_uuid: {error.message}", code=error.code, field="chassis_uuid") from None
    if columns.get("parent_node") is None:
        return
    try:
        parent = nodes.get(tx, columns["parent_node"])
    except NotFound as error:
        raise Invalid(f"parent_node: {error.message}", code=error.code, field="parent_node") from None
    if parent.id == node_id or parent.parent_node is not None:
        raise Invalid(f"parent_node: {parent.label} cannot be the parent of this node", field="parent_node")
    columns["parent_node"] = parent.id


def _without_children(call: Call) -> tuple[Condition, ...]:
    """Nodes with a parent are listed only for who asks for them."""
    if "parent_node" in call.query or checks.query_flag(call.query, "include_children"):
        return ()
    return (rows.c.parent_node.is_(None),)


def _name_instance(columns: dict[str, Any], node: Node | None) -> None:
    """nova writes `instance_info.display_name`: that is the instance's name while nobody gave it another."""
    told = columns.get("instance_info", {}).get("display_name")
    if "instance_name" not in columns and told and (node is None or node.instance_name is None):
        columns["instance_name"] = str(told)[:255]


def _pair_reasons(changes: dict[str, Any], node: Node | None) -> None:
    """A reason goes with its flag: it needs it, and leaves with it."""
    for name in ("maintenance", "protected", "retired"):
        reason = f"{name}_reason"
        is_set = changes.get(name, getattr(node, name) if node is not None else False)
        if changes.get(reason) is not None and not is_set:
            raise Invalid(f"{reason}: needs {name} to be true", field=reason)
        if changes.get(name) is False:
            changes[reason] = None
            if name == "maintenance" and node is not None:
                changes["fault"] = None


def _interfaces(columns: Mapping[str, Any]) -> Mapping[str, str]:
    chosen: Mapping[str, str] = columns.get("interfaces", {})
    return chosen


def _require_interfaces(node: Node) -> None:
    for kind in INTERFACES:
        if interface(node, kind) not in enabled_interfaces(node.driver, kind):
            raise Invalid(
                f"{kind}_interface: {interface(node, kind)!r} does not go with driver {node.driver!r}; use one of"
                f" {', '.join(enabled_interfaces(node.driver, kind))}",
                field=f"{kind}_interface",
            )


def _require_driver(tx: Tx, call: Call, driver: str) -> None:
    """Refuse a driver that no live conductor has."""
    found = conductors.drivers(tx, call.settings.conductor_timeout)
    if driver not in found:
        there = ", ".join(sorted(found)) or "none: no conductor is alive"
        raise Invalid(
            f"driver: No valid host was found. Reason: no conductor supports driver {driver}; there is {there}",
            code="NoValidHost",
            field="driver",
        )


def _require_deletable(node: Node) -> None:
    if node.protected:
        raise Forbidden(f"Node {node.label} is protected and cannot be undeployed, rebuilt or deleted.")
    if node.maintenance:
        return
    if node.instance_uuid is not None:
        raise Conflict(
            f"Node {node.label} is associated with instance {node.instance_uuid}; undeploy it first",
            code="NodeAssociated",
        )
    if node.provision_state not in DELETABLE:
        allowed = ", ".join(sorted(state.value for state in DELETABLE))
        raise Conflict(
            f"Can not delete node {node.label} while it is in provision state {node.provision_state.value}."
            f" Valid provision states to perform deletion are {allowed}; or set maintenance on it.",
            code="InvalidState",
        )


def _equals(column: sa.Column[Any]) -> Any:
    return lambda _tx, value: column == value


def _flag(name: str) -> Any:
    return lambda _tx, value: rows.c[name] == checks.flag(value, name)


def _associated(_tx: Tx, value: str) -> Condition:
    asked = checks.flag(value, "associated")
    return rows.c.instance_uuid.is_not(None) if asked else rows.c.instance_uuid.is_(None)


def _state(_tx: Tx, value: str) -> Condition:
    return rows.c.provision_state == value


def _contains(_tx: Tx, value: str) -> Condition:
    return rows.c.description.icontains(value, autoescape=True)


def _in_shards(_tx: Tx, value: str) -> Condition:
    return rows.c.shard.in_([name.strip() for name in value.split(",")])


def _sharded(_tx: Tx, value: str) -> Condition:
    return rows.c.shard.is_not(None) if checks.flag(value, "sharded") else rows.c.shard.is_(None)


def _child_of(tx: Tx, value: str) -> Condition:
    return rows.c.parent_node == nodes.get(tx, value).id


def _always(_tx: Tx, value: str) -> Condition:
    checks.flag(value, "include_children")
    return sa.true()


NODES = Collection(
    NODE,
    rows,
    nodes.select,
    {
        "instance_uuid": Filter(1, _equals(rows.c.instance_uuid)),
        "instance_name": Filter(104, _equals(rows.c.instance_name)),
        "associated": Filter(1, _associated),
        "maintenance": Filter(1, _flag("maintenance")),
        "chassis_uuid": Filter(1, _equals(rows.c.chassis_uuid)),
        "provision_state": Filter(9, _state),
        "driver": Filter(16, _equals(rows.c.driver)),
        "resource_class": Filter(21, _equals(rows.c.resource_class)),
        "fault": Filter(42, _equals(rows.c.fault)),
        "conductor_group": Filter(46, lambda _tx, value: rows.c.conductor_group == value.lower()),
        "conductor": Filter(49, _equals(rows.c.conductor)),
        "owner": Filter(50, _equals(rows.c.owner)),
        "description_contains": Filter(51, _contains),
        "retired": Filter(61, _flag("retired")),
        "lessee": Filter(65, _equals(rows.c.lessee)),
        "project": Filter(65, lambda _tx, value: sa.or_(rows.c.owner == value, rows.c.lessee == value)),
        "shard": Filter(82, _in_shards),
        "sharded": Filter(82, _sharded),
        "parent_node": Filter(83, _child_of),
        "include_children": Filter(83, _always),
    },
)
