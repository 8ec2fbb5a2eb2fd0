"""Allocations as rows: a wish for a node, and how it is met.

Source: Ironic's allocation API (1.52) and `conductor/allocations.py` for what counts as a candidate. Which node an
allocation has is in `nodes.allocation_uuid`; that node's `instance_uuid` is the allocation's UUID.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.node import Allocation, AllocationState, Node
from ironlane.model.states import DELETABLE, ProvisionState
from ironlane.store import access, nodes
from ironlane.store.database import Tx
from ironlane.store.tables import allocations
from ironlane.store.tables import nodes as node_rows


def create(tx: Tx, values: Mapping[str, Any]) -> Allocation:
    """A new allocation, which a conductor will meet. `values` has columns; `id` is made when it is absent.

    Raises:
        Conflict: the UUID or the name is another one's.
    """
    ident = values.get("id") or str(uuid.uuid4())
    if tx.one(sa.select(allocations.c.id).where(allocations.c.id == ident)) is not None:
        raise Conflict(f"An allocation with UUID {ident} already exists.", code="AllocationAlreadyExists", field="uuid")
    _refuse_taken(tx, ident, values)
    tx.execute(sa.insert(allocations).values(**{**values, "id": ident, "created_at": tx.now}))
    tx.hint("allocation", ident)
    return get(tx, ident)


def get(tx: Tx, ident: str) -> Allocation:
    """The allocation with this UUID or name.

    Raises:
        NotFound: there is none.
    """
    named = sa.or_(allocations.c.id == ident.lower(), allocations.c.name == ident)
    found = select(tx, sa.select(allocations).where(named, *access.visible(tx.caller, allocations)))
    if not found:
        raise NotFound("allocation", ident)
    return next((one for one in found if one.id == ident.lower()), found[0])


def of_node(tx: Tx, node: Node) -> Allocation:
    """The allocation that a node was given to.

    Raises:
        NotFound: none.
    """
    if node.allocation_uuid is None:
        raise NotFound("allocation for node", node.label, code="AllocationNotFound")
    return get(tx, node.allocation_uuid)


def select(tx: Tx, statement: sa.Select[Any]) -> list[Allocation]:
    """The allocations that a statement on the whole table selects, in its order."""
    rows = tx.all(statement)
    given = sa.select(node_rows.c.allocation_uuid, node_rows.c.id).where(
        node_rows.c.allocation_uuid.in_([row.id for row in rows])
    )
    holders = {row.allocation_uuid: row.id for row in tx.all(given)} if rows else {}
    return [
        Allocation(**{**row._mapping, "state": AllocationState(row.state), "node_id": holders.get(row.id)})
        for row in rows
    ]


def update(tx: Tx, ident: str, changes: Mapping[str, Any]) -> Allocation:
    """Change columns of an allocation.

    Raises:
        Conflict: the name is another one's.
    """
    _refuse_taken(tx, ident, changes)
    values = {"updated_at": tx.now, **changes}
    tx.execute(sa.update(allocations).where(allocations.c.id == ident).values(values))
    return get(tx, ident)


def delete(tx: Tx, allocation: Allocation) -> None:
    """Delete an allocation; its node is free again.

    Raises:
        Conflict: the node is in use.
    """
    if allocation.node_id is not None:
        node = nodes.by_id(tx, allocation.node_id)
        require_releasable(node)
        nodes.update(tx, node.id, {"allocation_uuid": None, "instance_uuid": None})
    forget(tx, allocation.id)


def forget(tx: Tx, ident: str) -> None:
    """The row goes; its node was released, or is gone."""
    tx.execute(sa.delete(allocations).where(allocations.c.id == ident))


def require_releasable(node: Node) -> None:
    """Refuse to take a node from its allocation while it is in use.

    Raises:
        Conflict: as said; not in maintenance.
    """
    if node.maintenance or node.provision_state in DELETABLE:
        return
    allowed = ", ".join(sorted(state.value for state in DELETABLE))
    raise Conflict(
        f"Cannot remove allocation {node.allocation_uuid} from node {node.label} while it is"
        f" {node.provision_state.value}; undeploy it first, or set maintenance on it. Possible in {allowed}.",
        code="InvalidState",
    )


def allocating(tx: Tx) -> list[str]:
    """The allocations that nobody has met yet, oldest first."""
    waiting = allocations.c.state == AllocationState.ALLOCATING.value
    return [row.id for row in tx.all(sa.select(allocations.c.id).where(waiting).order_by(allocations.c.created_at))]


def meet(tx: Tx, ident: str) -> Allocation | None:
    """Give an allocation a node, or say why there is none. None: it is gone, or met already.

    It is one transaction, so that no node is given away twice, whichever conductor does it.
    """
    found = select(tx, sa.select(allocations).where(allocations.c.id == ident))
    if not found or found[0].state is not AllocationState.ALLOCATING:
        return None
    allocation = found[0]
    try:
        node = _suitable(tx, allocation)
    except Invalid as refused:
        reason = f"Failed to process allocation {ident}: {refused.message}."
        return update(tx, ident, {"state": AllocationState.ERROR.value, "last_error": reason})
    return _give(tx, allocation, node)


def backfill(tx: Tx, allocation: Allocation, node: Node) -> Allocation:
    """Record an allocation of a node that is in use already.

    Raises:
        Conflict: the node is another allocation's or instance's.
        Invalid: it is not what the allocation asks for, or in no state to be allocated.
    """
    if node.instance_uuid not in (None, allocation.id) or node.allocation_uuid not in (None, allocation.id):
        raise Conflict(
            f"Node {node.label} is associated with instance {node.instance_uuid}; take that off first",
            code="NodeAssociated",
        )
    if node.resource_class != allocation.resource_class:
        raise Invalid(
            f"resource_class: node {node.label} has {node.resource_class!r}, the allocation asks for"
            f" {allocation.resource_class!r}",
            field="resource_class",
            code="AllocationFailed",
        )
    missing = sorted(set(allocation.traits) - set(node.traits))
    if missing:
        raise Invalid(f"traits: node {node.label} does not have {', '.join(missing)}", field="traits")
    if allocation.candidate_nodes and node.id not in allocation.candidate_nodes:
        raise Invalid("candidate_nodes: the node that is named is not among them", field="candidate_nodes")
    return _give(tx, allocation, node)


def _give(tx: Tx, allocation: Allocation, node: Node) -> Allocation:
    info = {**node.instance_info, "traits": list(allocation.traits)}
    changes = {"allocation_uuid": allocation.id, "instance_uuid": allocation.id, "instance_info": info}
    nodes.update(tx, node.id, changes)
    return update(tx, allocation.id, {"state": AllocationState.ACTIVE.value, "last_error": None})


def _suitable(tx: Tx, allocation: Allocation) -> Node:
    """The first that will do: in the order of `candidate_nodes`, else the oldest.

    Raises:
        Invalid: none will do; the message is what the client is told.
    """
    wanted = [
        node_rows.c.resource_class == allocation.resource_class,
        node_rows.c.provision_state == ProvisionState.AVAILABLE.value,
        node_rows.c.instance_uuid.is_(None),
        node_rows.c.maintenance == sa.false(),
        node_rows.c.power_state.is_not(None),
        node_rows.c.retired == sa.false(),
    ]
    if allocation.owner is not None:
        wanted.append(node_rows.c.owner == allocation.owner)
    listed = allocation.candidate_nodes
    if listed:
        wanted.append(node_rows.c.id.in_(list(listed)))
    found = nodes.find(tx, *wanted)
    if not found and listed:
        raise Invalid(
            f"none of the requested nodes are available and match the resource class {allocation.resource_class}"
        )
    if not found:
        raise Invalid(f"no available nodes match the resource class {allocation.resource_class}")
    suitable = _with_traits(found, allocation.traits)
    if not suitable:
        raise Invalid(f"no suitable nodes have the requested traits {', '.join(allocation.traits)}")
    return min(suitable, key=lambda node: listed.index(node.id)) if listed else suitable[0]


def _with_traits(found: Sequence[Node], traits: Collection[str]) -> list[Node]:
    return [node for node in found if set(traits) <= set(node.traits)]


def _refuse_taken(tx: Tx, ident: str, values: Mapping[str, Any]) -> None:
    name = values.get("name")
    taken = sa.select(allocations.c.id).where(allocations.c.name == name, allocations.c.id != ident)
    if name is not None and tx.one(taken) is not None:
        raise Conflict(f"An allocation with name {name} already exists.", code="AllocationDuplicateName", field="name")
