"""Physical networks as rows: which VLANs tenants are given on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ironlane.model.errors import Invalid
from ironlane.model.fabric import VLAN_MAX, VLAN_MIN
from ironlane.model.network import PhysicalNetwork
from ironlane.store.database import Tx
from ironlane.store.tables import physical_networks


def put(
    tx: Tx, name: str, tenant_vlans: Sequence[Sequence[int]], mtu: int = 1500, position: int = 0
) -> PhysicalNetwork:
    """Add a physical network, or make it what is said here. The one with the lowest `position` is the default.

    VLANs that tenants have already stay theirs when a range shrinks.

    Raises:
        Invalid: a range is malformed, out of 1 to 4094, or overlaps with another one.
    """
    ranges = _checked(tenant_vlans)
    values = {"tenant_vlans": [list(r) for r in ranges], "mtu": mtu, "position": position}
    where = physical_networks.c.name == name
    if tx.execute(sa.update(physical_networks).where(where).values(**values)).rowcount == 0:
        tx.execute(sa.insert(physical_networks).values(name=name, **values))
    return PhysicalNetwork(name, ranges, mtu, position)


def all_(tx: Tx) -> list[PhysicalNetwork]:
    """All physical networks, the default first."""
    rows = tx.all(sa.select(physical_networks).order_by(physical_networks.c.position, physical_networks.c.name))
    return [_physical_network(row) for row in rows]


def find(tx: Tx, name: str) -> PhysicalNetwork | None:
    """The physical network of that name, if there is one."""
    row = tx.one(sa.select(physical_networks).where(physical_networks.c.name == name))
    return None if row is None else _physical_network(row)


def _physical_network(row: sa.Row[Any]) -> PhysicalNetwork:
    return PhysicalNetwork(row.name, tuple((first, last) for first, last in row.tenant_vlans), row.mtu, row.position)


def _checked(tenant_vlans: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    for index, pair in enumerate(tenant_vlans):
        where = f"tenant_vlans[{index}]"
        if len(pair) != 2:
            raise Invalid("must be a first and a last VLAN", field=where)
        first, last = pair
        if not VLAN_MIN <= first <= last <= VLAN_MAX:
            raise Invalid(f"{first}-{last} is not a range within {VLAN_MIN} to {VLAN_MAX}", field=where)
        if any(first <= high and low <= last for low, high in ranges):
            raise Invalid(f"{first}-{last} overlaps with another range", field=where)
        ranges.append((first, last))
    return tuple(sorted(ranges))
