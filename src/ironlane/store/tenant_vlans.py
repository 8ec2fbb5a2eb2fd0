"""Changing which VLANs tenants are given, without taking one away from anybody or giving one away twice."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from ironlane.model.errors import Conflict, NotFound
from ironlane.model.inventory import VlanRange
from ironlane.model.network import PhysicalNetwork
from ironlane.store import physical_networks, tables
from ironlane.store.database import Tx
from ironlane.store.segments import idle_vlans
from ironlane.store.tables import networks, segments, switches


def put(tx: Tx, name: str, tenant_vlans: Sequence[VlanRange], mtu: int, position: int) -> PhysicalNetwork:
    """Add a physical network, or make it what is said here.

    Raises:
        Invalid: a range is malformed or overlaps with another one.
        Conflict: a VLAN of a tenant network would fall out of the ranges; or one of a provider network, or one that
            idle switch ports carry, would fall into them.
    """
    before = physical_networks.find(tx, name)
    for row in tx.all(sa.select(segments).where(segments.c.physical_network == name).order_by(segments.c.vlan)):
        was = before is not None and before.is_tenant_vlan(row.vlan)
        will = any(span.holds(row.vlan) for span in tenant_vlans)
        if was and not will:
            _refuse(f"VLAN {row.vlan} cannot leave the tenant ranges of {name}: network {row.network_id} has it")
        if will and not was:
            _refuse(f"VLAN {row.vlan} cannot become a tenant VLAN of {name}: provider network {row.network_id} has it")
    for vlan in sorted(idle_vlans(tx, name)):
        if any(span.holds(vlan) for span in tenant_vlans):
            _refuse(f"VLAN {vlan} cannot become a tenant VLAN of {name}: idle switch ports carry it")
    return physical_networks.put(tx, name, [list(span) for span in tenant_vlans], mtu, position)


def delete(tx: Tx, name: str) -> None:
    """Forget a physical network that nothing is on.

    Raises:
        NotFound: there is none of that name.
        Conflict: a switch or a network is on it, or a VLAN of it has not been seen to be gone.
    """
    if physical_networks.find(tx, name) is None:
        raise NotFound("physical network", name)
    for noun, column, table in (
        ("switch", switches.c.id, switches),
        ("network", networks.c.id, networks),
        ("VLAN", segments.c.vlan, segments),
    ):
        user = tx.execute(
            sa.select(column).where(table.c.physical_network == name).order_by(column).limit(1)
        ).scalar_one_or_none()
        if user is not None:
            raise Conflict(
                f"physical network {name} cannot be deleted: {noun} {user} is on it", code="PhysicalNetworkInUse"
            )
    tx.execute(sa.delete(tables.physical_networks).where(tables.physical_networks.c.name == name))


def _refuse(message: str) -> None:
    raise Conflict(message, field="tenant_vlans", code="VlanInUse")
