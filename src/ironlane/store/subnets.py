"""Subnets as rows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ironlane.model.network import HostRoute, Pool, Subnet
from ironlane.store.database import Tx
from ironlane.store.tables import subnets


def of_network(tx: Tx, network_id: str) -> list[Subnet]:
    """The subnets of a network, the oldest first."""
    query = sa.select(subnets).where(subnets.c.network_id == network_id)
    return [subnet_of(row) for row in tx.all(query.order_by(subnets.c.created_at, subnets.c.id))]


def subnet_of(row: sa.Row[Any]) -> Subnet:
    """The subnet that a row of the table holds."""
    return Subnet(
        id=row.id,
        network_id=row.network_id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        ip_version=row.ip_version,
        cidr=row.cidr,
        gateway_ip=row.gateway_ip,
        enable_dhcp=row.enable_dhcp,
        allocation_pools=tuple(Pool(**pool) for pool in row.allocation_pools),
        dns_nameservers=tuple(row.dns_nameservers),
        host_routes=tuple(HostRoute(**route) for route in row.host_routes),
        ipv6_ra_mode=row.ipv6_ra_mode,
        ipv6_address_mode=row.ipv6_address_mode,
        tags=tuple(row.tags),
        revision_number=row.revision_number,
        created_at=row.created_at,
        updated_at=row.updated_at or row.created_at,
    )
