"""Nodes as rows, and what clients wish of them. What their ramdisk says of itself is in `ramdisks`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound, Permanent
from ironlane.model.node import Node, NodeId
from ironlane.model.states import ProvisionState, Verb, step_for
from ironlane.store import access, history, volumes
from ironlane.store.database import Tx
from ironlane.store.tables import baremetal_ports, inventories, lldp_heard, node_history, nodes, portgroups
from ironlane.store.vault import from_row

SECRETIVE = ("driver_info", "instance_info", "driver_internal_info")
"""Columns whose secrets are sealed in the rows."""

POWER_TARGETS: Mapping[str, str] = {
    "power on": "power on",
    "power off": "power off",
    "rebooting": "rebooting",
    "soft power off": "soft power off",
    "soft rebooting": "soft rebooting",
}
"""`target` of a power change to what is stored in `target_power_state` until the loop has done it."""


def create(tx: Tx, values: Mapping[str, Any]) -> Node:
    """A new node in state `enroll`. `values` has columns of the table; `id` is made when it is absent.

    Raises:
        Conflict: the UUID, the name or the instance is another node's.
    """
    ident = values.get("id") or str(uuid.uuid4())
    if tx.one(sa.select(nodes.c.id).where(nodes.c.id == ident)) is not None:
        raise Conflict(f"A node with UUID {ident} already exists.", code="NodeAlreadyExists", field="uuid")
    _refuse_taken(tx, ident, values)
    tx.execute(sa.insert(nodes).values(created_at=tx.now, **_columns(tx, {**values, "id": ident})))
    return by_id(tx, NodeId(ident))


def get(tx: Tx, ident: str) -> Node:
    """The node with this UUID or name, for what the transaction's rule says.

    Raises:
        NotFound: there is none, for the caller.
        Forbidden: the caller may not do that to it.
    """
    named = sa.or_(nodes.c.id == ident.lower(), nodes.c.name == ident)
    found = _select(tx, sa.select(nodes).where(named, *access.visible(tx.caller, nodes)))
    if not found:
        raise NotFound("node", ident)
    node = next((node for node in found if node.id == ident.lower()), found[0])
    access.require_node(tx, node)
    return node


def by_id(tx: Tx, node_id: str) -> Node:
    """The node with this UUID.

    Raises:
        NotFound: there is none.
    """
    row = tx.one(sa.select(nodes).where(nodes.c.id == node_id))
    if row is None:
        raise NotFound("node", node_id)
    return _node(row)


def find(tx: Tx, *where: sa.ColumnElement[bool], **equal: Any) -> list[Node]:
    """All nodes that match, oldest first. `equal` compares columns: `find(tx, maintenance=True)`."""
    conditions = [*where, *(nodes.c[name] == _plain(value) for name, value in equal.items())]
    return _select(tx, sa.select(nodes).where(*conditions).order_by(nodes.c.created_at, nodes.c.id))


def select(tx: Tx, statement: sa.Select[Any]) -> list[Node]:
    """The nodes that a statement on the whole table selects, in its order."""
    return _select(tx, statement)


def update(tx: Tx, node_id: str, changes: Mapping[str, Any]) -> Node:
    """Change columns of a node; a new `due_at` is hinted to the lifecycle loop.

    Raises:
        Conflict: the name or the instance is another node's.
        NotFound: there is no such node.
    """
    _refuse_taken(tx, node_id, changes)
    values = {"updated_at": tx.now, **_columns(tx, changes)}
    if tx.execute(sa.update(nodes).where(nodes.c.id == node_id).values(values)).rowcount == 0:
        raise NotFound("node", node_id)
    if changes.get("due_at") is not None:
        tx.hint("node", node_id)
    return by_id(tx, node_id)


def delete(tx: Tx, node_id: str) -> None:
    """Delete a node with all that is its own. Whether it may go is the caller's to judge."""
    nics = sa.select(baremetal_ports.c.id).where(baremetal_ports.c.node_id == node_id)
    tx.execute(sa.delete(lldp_heard).where(lldp_heard.c.baremetal_port_id.in_(nics)))
    tx.execute(sa.delete(node_history).where(node_history.c.node_id == node_id))
    volumes.forget_node(tx, node_id)
    tx.execute(sa.delete(inventories).where(inventories.c.node_id == node_id))
    tx.execute(sa.delete(baremetal_ports).where(baremetal_ports.c.node_id == node_id))
    tx.execute(sa.delete(portgroups).where(portgroups.c.node_id == node_id))
    if tx.execute(sa.delete(nodes).where(nodes.c.id == node_id)).rowcount == 0:
        raise NotFound("node", node_id)


def request_state(tx: Tx, node: Node, verb: str, changes: Mapping[str, Any] | None = None) -> Node:
    """Apply a client's verb: the node's next state at once, the rest by the lifecycle loop.

    `changes` are further columns written with it (`instance_info`, `driver_internal_info`).

    Raises:
        Invalid: unknown verb, or not possible in the node's state.
    """
    step = step_for(verb, node.provision_state, node=node.label)
    told = f"asked to {verb}: from {node.provision_state.value} to {step.state.value}"
    history.record(tx, node.id, told)
    aborted = f"aborted by request while it was {node.provision_state.value}" if verb == Verb.ABORT else None
    return update(
        tx,
        node.id,
        {
            **(changes or {}),
            "provision_state": step.state,
            "target_provision_state": step.target,
            "provision_updated_at": tx.now,
            "step": None,
            "attempts": 0,
            "last_error": aborted,
            "generation": node.generation + 1,
            "due_at": tx.now,
        },
    )


def request_power(tx: Tx, node: Node, target: str, timeout: int | None = None) -> Node:
    """Wish for a power state: `power on`, `power off`, `rebooting`, `soft power off`, `soft rebooting`; it is given up
    after `timeout` seconds.

    Raises:
        Invalid: another target.
    """
    if target not in POWER_TARGETS:
        raise Invalid(f"{target!r} is no power target; use one of {', '.join(POWER_TARGETS)}", field="target")
    info = {k: v for k, v in node.driver_internal_info.items() if k not in {"power_timeout", "power_ordered_at"}}
    changes: dict[str, Any] = {"target_power_state": POWER_TARGETS[target], "last_error": None, "due_at": tx.now}
    changes["driver_internal_info"] = {**info, **({"power_timeout": timeout} if timeout else {})}
    return update(tx, node.id, {**changes, "generation": node.generation + 1})


def request_boot_device(tx: Tx, node: Node, device: str, *, persistent: bool) -> Node:
    """Wish for a boot device; the lifecycle loop tells the BMC."""
    return update(
        tx,
        node.id,
        {
            "boot_device": device,
            "boot_device_persistent": persistent,
            "boot_device_due": True,
            "generation": node.generation + 1,
            "due_at": tx.now,
        },
    )


def seal(tx: Tx) -> int:
    """Seal all secrets with the first encryption key: those of a release that did not, and those of an older key.

    Returns how many nodes had any.

    Raises:
        Permanent: one cannot be read, because its key is not there any more.
    """
    sealed = 0
    columns = {name: nodes.c[name] for name in SECRETIVE}
    for row in tx.all(sa.select(nodes.c.id, nodes.c.name, *columns.values())):
        try:
            after = {name: tx.vault.renewed_row(row._mapping[name]) for name in columns}
        except Permanent as error:
            raise Permanent(f"node {row.name or row.id}: {error.message}") from None
        changed = {name: value for name, value in after.items() if value != row._mapping[name]}
        if changed:
            tx.execute(sa.update(nodes).where(nodes.c.id == row.id).values(changed))
            sealed += 1
    volumes.seal(tx)
    return sealed


def _refuse_taken(tx: Tx, node_id: str, values: Mapping[str, Any]) -> None:
    name, instance = values.get("name"), values.get("instance_uuid")
    others = nodes.c.id != node_id
    if name is not None and tx.one(sa.select(nodes.c.id).where(nodes.c.name == name, others)) is not None:
        raise Conflict(f"A node with name {name} already exists.", code="DuplicateName", field="name")
    if instance is None:
        return
    holder = tx.one(sa.select(nodes.c.id).where(nodes.c.instance_uuid == instance, others))
    if holder is not None:
        raise Conflict(
            f"Instance {instance} is already associated with a node, it cannot be associated with this other node"
            f" {node_id}",
            code="InstanceAssociated",
            field="instance_uuid",
        )


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def _columns(tx: Tx, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as columns hold them: enums as text, frozen collections as JSON lists and objects, secrets sealed."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if name in SECRETIVE:
            plain[name] = tx.vault.to_row(value)
        elif isinstance(value, tuple):
            plain[name] = list(value)
        elif isinstance(value, Mapping):
            plain[name] = dict(value)
        else:
            plain[name] = _plain(value)
    return plain


def _select(tx: Tx, statement: sa.Select[Any]) -> list[Node]:
    return [_node(row) for row in tx.all(statement)]


def _node(row: sa.Row[Any]) -> Node:
    target = row.target_provision_state
    return Node(
        **{
            **row._mapping,
            **{name: from_row(row._mapping[name]) for name in SECRETIVE},
            "provision_state": ProvisionState(row.provision_state),
            "target_provision_state": ProvisionState(target) if target is not None else None,
        }
    )
