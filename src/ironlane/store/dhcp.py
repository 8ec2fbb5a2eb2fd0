"""What DHCP has to answer, as the rows say: a pure projection of networks, subnets and network ports.

Every change of those hints at it (`Tx.hint("dhcp", port id)`, or `EVERYTHING`), and `Store.write` returns only when the
process' DHCP engine has taken it in; see `conductor.dhcp`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import sqlalchemy as sa

from ironlane.model.dhcp import CLIENT_ID, Answers, DhcpOption, Reservation, ServedSubnet, parse_option
from ironlane.model.errors import Invalid
from ironlane.model.fabric import Side
from ironlane.store.database import Tx
from ironlane.store.tables import ip_allocations, networks, ports, subnets

EVERYTHING = "*"
"""The hint that subnets or networks have changed."""

_SUBNETS = (
    sa.select(subnets, networks.c.mtu, networks.c.side)
    .join(networks, networks.c.id == subnets.c.network_id)
    .where(subnets.c.enable_dhcp, networks.c.admin_state_up)
    .order_by(subnets.c.created_at, subnets.c.id)
)
_PORTS = (
    sa.select(
        ports.c.id,
        ports.c.mac_address,
        ports.c.extra_dhcp_opts,
        ip_allocations.c.subnet_id,
        ip_allocations.c.ip_address,
    )
    .join(ip_allocations, ip_allocations.c.port_id == ports.c.id)
    .where(ports.c.admin_state_up)
    .order_by(ports.c.id, ip_allocations.c.subnet_id, ip_allocations.c.ip_address)
)


def answers(tx: Tx) -> Answers:
    """Everything that is to be answered."""
    served, unserved = _subnets(tx)
    found, refused = _reservations(tx.all(_PORTS), served)
    return Answers(served, found, {**unserved, **refused})


def changed(tx: Tx, before: Answers, port_ids: Collection[str]) -> Answers:
    """The same after a change of some ports."""
    rows = tx.all(_PORTS.where(ports.c.id.in_(list(port_ids))))
    found, refused = _reservations(rows, before.subnets)
    kept = {key: value for key, value in before.reservations.items() if key not in port_ids}
    told = {key: value for key, value in before.unserved.items() if key not in port_ids}
    return Answers(before.subnets, {**kept, **found}, {**told, **refused})


def fingerprint(tx: Tx) -> tuple[Any, ...]:
    """Differs when the answers may differ: also by the hand of another process, whose hints are not heard here."""
    found: list[Any] = []
    for table in (ports, subnets, networks):
        row = tx.execute(
            sa.select(sa.func.count(), sa.func.sum(table.c.revision_number), sa.func.max(table.c.updated_at))
        ).one()
        found.extend(row)
    return tuple(found)


def _subnets(tx: Tx) -> tuple[dict[str, ServedSubnet], dict[str, str]]:
    """Those that can be served beside each other: one daemon tells subnets apart by their addresses only, so of two
    that overlap the provider's goes before the tenant's, and the older before the younger."""
    served: dict[str, ServedSubnet] = {}
    unserved: dict[str, str] = {}
    for row in sorted(tx.all(_SUBNETS), key=lambda row: row.side != Side.PROVIDER):
        subnet = _subnet(row)
        other = next((s for s in served.values() if s.cidr.overlaps(subnet.cidr)), None)
        if other is None:
            served[subnet.id] = subnet
        else:
            unserved[subnet.id] = f"subnet {subnet.id}: {subnet.cidr} overlaps with {other.cidr} of subnet {other.id}"
    return served, unserved


def _subnet(row: sa.Row[Any]) -> ServedSubnet:
    return ServedSubnet(
        id=row.id,
        cidr=ip_network(row.cidr),
        gateway=None if row.gateway_ip is None else ip_address(row.gateway_ip),
        nameservers=tuple(ip_address(text) for text in row.dns_nameservers),
        routes=tuple((ip_network(r["destination"]), ip_address(r["nexthop"])) for r in row.host_routes),
        mtu=row.mtu,
        ra_mode=row.ipv6_ra_mode,
        address_mode=row.ipv6_address_mode,
    )


def _reservations(
    rows: Collection[sa.Row[Any]], served: Mapping[str, ServedSubnet]
) -> tuple[dict[str, Reservation], dict[str, str]]:
    by_port: dict[str, list[sa.Row[Any]]] = {}
    for row in rows:
        subnet = served.get(row.subnet_id)
        if subnet is not None and subnet.gives_addresses:
            by_port.setdefault(row.id, []).append(row)
    found: dict[str, Reservation] = {}
    refused: dict[str, str] = {}
    for port, own in by_port.items():
        try:
            options = _options(own[0].extra_dhcp_opts)
        except Invalid as error:  # written before options were checked
            refused[port] = f"port {port}: extra_dhcp_opts: {error.message}"
            continue
        found[port] = Reservation(
            port=port,
            mac=own[0].mac_address,
            addresses=tuple((row.subnet_id, ip_address(row.ip_address)) for row in own),
            options=tuple(o for o in options if (o.version, o.number) != (4, CLIENT_ID)),
            client_id=next((o.packed() for o in options if (o.version, o.number) == (4, CLIENT_ID)), b""),
        )
    return found, refused


def _options(stored: Collection[Mapping[str, Any]]) -> list[DhcpOption]:
    """Fewer conditions first: where the conditions of several hold, the most particular one is answered."""
    found = [parse_option(o["opt_name"], o["opt_value"], int(o.get("ip_version") or 4)) for o in stored]
    return sorted(found, key=lambda option: len(option.conditions))
