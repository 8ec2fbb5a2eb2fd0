"""Portgroups as rows."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.node import Portgroup
from ironlane.store import access
from ironlane.store.database import Tx
from ironlane.store.tables import baremetal_ports, portgroups


def create(tx: Tx, values: Mapping[str, Any]) -> Portgroup:
    """A new portgroup. `values` has columns of the table; `id` is made when it is absent.

    Raises:
        Conflict: the UUID, the name or the MAC is another portgroup's.
    """
    ident = values.get("id") or str(uuid.uuid4())
    if tx.one(sa.select(portgroups.c.id).where(portgroups.c.id == ident)) is not None:
        raise Conflict(f"A portgroup with UUID {ident} already exists.", code="PortgroupAlreadyExists", field="uuid")
    _refuse_taken(tx, ident, values)
    tx.execute(sa.insert(portgroups).values(**{**values, "id": ident, "created_at": tx.now}))
    return get(tx, ident)


def get(tx: Tx, ident: str) -> Portgroup:
    """The portgroup with this UUID or name.

    Raises:
        NotFound: there is none.
    """
    named = sa.or_(portgroups.c.id == ident.lower(), portgroups.c.name == ident)
    found = find(tx, named, *access.visible(tx.caller, portgroups))
    if not found:
        raise NotFound("portgroup", ident)
    return next((group for group in found if group.id == ident.lower()), found[0])


def of_node(tx: Tx, node_id: str) -> list[Portgroup]:
    """A node's portgroups, oldest first."""
    return find(tx, node_id=node_id)


def find(tx: Tx, *where: sa.ColumnElement[bool], **equal: Any) -> list[Portgroup]:
    """All portgroups that match, oldest first. `equal` compares columns: `find(tx, address="52:…")`."""
    conditions = [*where, *(portgroups.c[name] == value for name, value in equal.items())]
    return select(tx, sa.select(portgroups).where(*conditions).order_by(portgroups.c.created_at, portgroups.c.id))


def select(tx: Tx, statement: sa.Select[Any]) -> list[Portgroup]:
    """The portgroups that a statement on the whole table selects, in its order."""
    return [Portgroup(**row._mapping) for row in tx.all(statement)]


def update(tx: Tx, portgroup_id: str, changes: Mapping[str, Any]) -> Portgroup:
    """Change columns of a portgroup.

    Raises:
        Conflict: the name or the MAC is another portgroup's.
        NotFound: there is no such portgroup.
    """
    _refuse_taken(tx, portgroup_id, changes)
    values = {"updated_at": tx.now, **changes}
    if tx.execute(sa.update(portgroups).where(portgroups.c.id == portgroup_id).values(values)).rowcount == 0:
        raise NotFound("portgroup", portgroup_id)
    return get(tx, portgroup_id)


def delete(tx: Tx, portgroup_id: str) -> None:
    """Delete a portgroup without members.

    Raises:
        Invalid: it has members (400, as in Ironic).
        NotFound: there is no such portgroup.
    """
    members = tx.all(sa.select(baremetal_ports.c.id).where(baremetal_ports.c.portgroup_id == portgroup_id))
    if members:
        names = ", ".join(member.id for member in members)
        raise Invalid(
            f"Portgroup {portgroup_id} is not empty: delete its ports or take them out first ({names})",
            code="PortgroupNotEmpty",
        )
    if tx.execute(sa.delete(portgroups).where(portgroups.c.id == portgroup_id)).rowcount == 0:
        raise NotFound("portgroup", portgroup_id)


def _refuse_taken(tx: Tx, ident: str, values: Mapping[str, Any]) -> None:
    others = portgroups.c.id != ident
    name, address = values.get("name"), values.get("address")
    if name is not None and tx.one(sa.select(portgroups.c.id).where(portgroups.c.name == name, others)) is not None:
        raise Conflict(f"A portgroup with name {name} already exists.", code="PortgroupDuplicateName", field="name")
    taken = sa.select(portgroups.c.id).where(portgroups.c.address == address, others)
    if address is not None and tx.one(taken) is not None:
        raise Conflict(
            f"A portgroup with MAC address {address} already exists.", code="PortgroupMACAlreadyExists", field="address"
        )
