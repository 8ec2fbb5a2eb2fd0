"""Baremetal ports (a node's NICs) as rows."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, NotFound
from ironlane.model.node import BaremetalPort
from ironlane.store import access
from ironlane.store.database import Tx
from ironlane.store.tables import baremetal_ports, lldp_heard


def create(tx: Tx, values: Mapping[str, Any]) -> BaremetalPort:
    """A new port. `values` has columns of the table; `id` is made when it is absent.

    Raises:
        Conflict: the UUID, the name or the MAC is another port's.
    """
    ident = values.get("id") or str(uuid.uuid4())
    if tx.one(sa.select(baremetal_ports.c.id).where(baremetal_ports.c.id == ident)) is not None:
        raise Conflict(f"A port with UUID {ident} already exists.", code="PortAlreadyExists", field="uuid")
    _refuse_taken(tx, ident, values)
    tx.execute(sa.insert(baremetal_ports).values(**{**values, "id": ident, "created_at": tx.now}))
    return get(tx, ident)


def get(tx: Tx, ident: str) -> BaremetalPort:
    """The port with this UUID or name.

    Raises:
        NotFound: there is none.
    """
    named = sa.or_(baremetal_ports.c.id == ident.lower(), baremetal_ports.c.name == ident)
    found = find(tx, named, *access.visible(tx.caller, baremetal_ports))
    if not found:
        raise NotFound("port", ident)
    return next((port for port in found if port.id == ident.lower()), found[0])


def of_node(tx: Tx, node_id: str) -> list[BaremetalPort]:
    """A node's ports, oldest first."""
    return find(tx, node_id=node_id)


def of_portgroup(tx: Tx, portgroup_id: str) -> list[BaremetalPort]:
    """A portgroup's members, oldest first."""
    return find(tx, portgroup_id=portgroup_id)


def find(tx: Tx, *where: sa.ColumnElement[bool], **equal: Any) -> list[BaremetalPort]:
    """All ports that match, oldest first. `equal` compares columns: `find(tx, address="52:…")`."""
    conditions = [*where, *(baremetal_ports.c[name] == value for name, value in equal.items())]
    order = (baremetal_ports.c.created_at, baremetal_ports.c.id)
    return select(tx, sa.select(baremetal_ports).where(*conditions).order_by(*order))


def select(tx: Tx, statement: sa.Select[Any]) -> list[BaremetalPort]:
    """The ports that a statement on the whole table selects, in its order."""
    return [BaremetalPort(**row._mapping) for row in tx.all(statement)]


def update(tx: Tx, port_id: str, changes: Mapping[str, Any]) -> BaremetalPort:
    """Change columns of a port.

    Raises:
        Conflict: the name or the MAC is another port's.
        NotFound: there is no such port.
    """
    _refuse_taken(tx, port_id, changes)
    if "address" in changes:  # another NIC: what the one before heard is not what this one hears
        other = sa.select(baremetal_ports.c.id).where(
            baremetal_ports.c.id == port_id, baremetal_ports.c.address != changes["address"]
        )
        tx.execute(sa.delete(lldp_heard).where(lldp_heard.c.baremetal_port_id.in_(other)))
    values = {"updated_at": tx.now, **changes}
    if tx.execute(sa.update(baremetal_ports).where(baremetal_ports.c.id == port_id).values(values)).rowcount == 0:
        raise NotFound("port", port_id)
    return get(tx, port_id)


def delete(tx: Tx, port_id: str) -> None:
    """Delete a port. Whether it may go is the caller's to judge.

    Raises:
        NotFound: there is no such port.
    """
    tx.execute(sa.delete(lldp_heard).where(lldp_heard.c.baremetal_port_id == port_id))
    if tx.execute(sa.delete(baremetal_ports).where(baremetal_ports.c.id == port_id)).rowcount == 0:
        raise NotFound("port", port_id)


def _refuse_taken(tx: Tx, ident: str, values: Mapping[str, Any]) -> None:
    others = baremetal_ports.c.id != ident
    name, address = values.get("name"), values.get("address")
    same_name = sa.select(baremetal_ports.c.id).where(baremetal_ports.c.name == name, others)
    if name is not None and tx.one(same_name) is not None:
        raise Conflict(f"A port with name {name} already exists.", code="PortDuplicateName", field="name")
    same_address = sa.select(baremetal_ports.c.id).where(baremetal_ports.c.address == address, others)
    if address is not None and tx.one(same_address) is not None:
        raise Conflict(f"A port with MAC address {address} already exists.", code="MACAlreadyExists", field="address")
