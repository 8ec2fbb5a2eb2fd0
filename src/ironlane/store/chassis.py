"""Chassis as rows: an operator's word for what holds several nodes. Nothing else looks at them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.node import Chassis
from ironlane.store.database import Tx
from ironlane.store.tables import chassis, nodes


def create(tx: Tx, values: Mapping[str, Any]) -> Chassis:
    """A new chassis. `values` has columns of the table; `id` is made when it is absent.

    Raises:
        Conflict: the UUID is another one's.
    """
    ident = values.get("id") or str(uuid.uuid4())
    if tx.one(sa.select(chassis.c.id).where(chassis.c.id == ident)) is not None:
        raise Conflict(f"A chassis with UUID {ident} already exists.", code="ChassisAlreadyExists", field="uuid")
    tx.execute(sa.insert(chassis).values(**{**values, "id": ident, "created_at": tx.now}))
    return get(tx, ident)


def get(tx: Tx, ident: str) -> Chassis:
    """The chassis with this UUID.

    Raises:
        NotFound: there is none.
    """
    found = select(tx, sa.select(chassis).where(chassis.c.id == ident.lower()))
    if not found:
        raise NotFound("chassis", ident)
    return found[0]


def select(tx: Tx, statement: sa.Select[Any]) -> list[Chassis]:
    """The chassis that a statement on the whole table selects, in its order."""
    return [Chassis(**row._mapping) for row in tx.all(statement)]


def update(tx: Tx, ident: str, changes: Mapping[str, Any]) -> Chassis:
    """Change columns of a chassis.

    Raises:
        NotFound: there is no such chassis.
    """
    values = {"updated_at": tx.now, **changes}
    if tx.execute(sa.update(chassis).where(chassis.c.id == ident).values(values)).rowcount == 0:
        raise NotFound("chassis", ident)
    return get(tx, ident)


def delete(tx: Tx, ident: str) -> None:
    """Delete a chassis that holds no node.

    Raises:
        Invalid: it holds some (400, as in Ironic).
        NotFound: there is no such chassis.
    """
    held = tx.all(sa.select(nodes.c.id).where(nodes.c.chassis_uuid == ident))
    if held:
        raise Invalid(
            f"Chassis {ident} is not empty: take its nodes out first ({', '.join(row.id for row in held[:5])}"
            f"{', …' if len(held) > 5 else ''})",
            code="ChassisNotEmpty",
        )
    if tx.execute(sa.delete(chassis).where(chassis.c.id == ident)).rowcount == 0:
        raise NotFound("chassis", ident)
