"""How many addresses networks have, and how many of them are given out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from ironlane.model.addresses import pool_size
from ironlane.model.network import Network, Subnet
from ironlane.store.database import Tx
from ironlane.store.subnets import subnet_of
from ironlane.store.tables import ip_allocations, subnets

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Availability:
    """One subnet's: `total` are the addresses in its pools, `used` those that ports have, in a pool or not."""

    subnet: Subnet
    total: int
    used: int


def of_networks(tx: Tx, networks: Sequence[Network]) -> dict[str, list[Availability]]:
    """Network id to the availability of each of its subnets, the oldest first."""
    found: dict[str, list[Availability]] = {network.id: [] for network in networks}
    ids = list(found)
    for start in range(0, len(ids), _CHUNK):
        here = subnets.c.network_id.in_(ids[start : start + _CHUNK])
        rows = tx.all(sa.select(subnets).where(here).order_by(subnets.c.created_at, subnets.c.id))
        count = (
            sa.select(ip_allocations.c.subnet_id, sa.func.count().label("used"))
            .join(subnets, subnets.c.id == ip_allocations.c.subnet_id)
            .where(here)
            .group_by(ip_allocations.c.subnet_id)
        )
        used = {row.subnet_id: row.used for row in tx.all(count)}
        for row in rows:
            subnet = subnet_of(row)
            total = pool_size(subnet.allocation_pools)
            found[subnet.network_id].append(Availability(subnet, total, used.get(subnet.id, 0)))
    return found
