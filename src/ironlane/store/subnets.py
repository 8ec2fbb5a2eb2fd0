"""Subnets as rows: the addresses of networks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv6Network, ip_network
from typing import Any

import sqlalchemy as sa

from ironlane.model.addresses import (
    Address,
    Cidr,
    check_gateway,
    check_pools,
    default_gateway,
    default_pools,
    parse_address,
    parse_cidr,
)
from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.network import HostRoute, Pool, Subnet
from ironlane.store import access
from ironlane.store.database import Tx
from ironlane.store.dhcp import EVERYTHING
from ironlane.store.listing import Listing
from ironlane.store.listing import page as page_of
from ironlane.store.prepared import Prepared
from ironlane.store.tables import ip_allocations, networks, subnets

IPV6_MODES = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")
"""Values of `ipv6_ra_mode` and `ipv6_address_mode`, beside null."""

NAMESERVERS_MAX, ROUTES_MAX, POOLS_MAX = 20, 20, 64

_OF_NETWORK = Prepared(
    sa.select(subnets)
    .where(subnets.c.network_id == sa.bindparam("network"))
    .order_by(subnets.c.created_at, subnets.c.id)
)


@dataclass(frozen=True, slots=True)
class NewSubnet:
    """What a client says of a subnet it creates.

    `gateway_ip`: an address, `""` for none, None for the default. `allocation_pools` None is the default.
    """

    network_id: str
    cidr: str
    ip_version: int
    project_id: str = ""
    name: str = ""
    description: str = ""
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    allocation_pools: Sequence[Pool] | None = None
    dns_nameservers: Sequence[str] = ()
    host_routes: Sequence[HostRoute] = ()
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None
    tags: Sequence[str] = ()
    id: str | None = None  # one that is taken over from elsewhere keeps it


CHANGEABLE = frozenset(
    {
        "name",
        "description",
        "gateway_ip",
        "enable_dhcp",
        "allocation_pools",
        "dns_nameservers",
        "host_routes",
        "tags",
    }
)
"""Attributes that `update` takes."""


def create(tx: Tx, new: NewSubnet) -> Subnet:
    """Add a subnet to a network.

    Raises:
        NotFound: no such network.
        Invalid: a malformed or contradictory attribute, or a CIDR that overlaps with another subnet of the network.
        Conflict: allocation pools that overlap or hold the gateway.
    """
    if tx.one(sa.select(networks.c.id).where(networks.c.id == new.network_id)) is None:
        raise NotFound("network", new.network_id, field="network_id")
    cidr = parse_cidr(new.cidr, where="cidr", version=new.ip_version)
    _refuse_overlap(tx, new.network_id, cidr)
    gateway = default_gateway(cidr) if new.gateway_ip is None else _gateway(new.gateway_ip, cidr)
    pools = _pools(new.allocation_pools, cidr, gateway)
    _check_modes(new, cidr)
    row = {
        "id": new.id or str(uuid.uuid4()),
        "network_id": new.network_id,
        "project_id": new.project_id,
        "name": new.name,
        "description": new.description,
        "ip_version": new.ip_version,
        "cidr": str(cidr),
        "gateway_ip": None if gateway is None else str(gateway),
        "enable_dhcp": new.enable_dhcp,
        "allocation_pools": [asdict(pool) for pool in pools],
        "dns_nameservers": _nameservers(new.dns_nameservers),
        "host_routes": _routes(new.host_routes, cidr),
        "ipv6_ra_mode": new.ipv6_ra_mode,
        "ipv6_address_mode": new.ipv6_address_mode,
        "tags": list(new.tags),
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(sa.insert(subnets).values(**row))
    _touch_network(tx, new.network_id)
    return get(tx, str(row["id"]))


def update(tx: Tx, subnet_id: str, changes: Mapping[str, Any]) -> Subnet:
    """Change a subnet; keys are those of `CHANGEABLE`. A change that changes nothing leaves no trace.

    Ports keep the addresses they have, also outside new pools: pools say only what is given from now on.
    `gateway_ip` `""` or None takes the gateway away.

    Raises:
        NotFound: no such subnet.
        Invalid: a malformed or contradictory attribute.
        Conflict: pools overlap or hold the gateway; the new gateway is a port's address.
    """
    unknown = sorted(changes.keys() - CHANGEABLE)
    if unknown:
        raise Invalid(f"cannot be changed on a subnet: {', '.join(unknown)}", field=unknown[0])
    before = get(tx, subnet_id)
    access.require_change(tx, "update_subnet", before, changes, network_id=before.network_id)
    cidr = ip_network(before.cidr)
    values = dict(changes)
    gateway = _gateway(before.gateway_ip or "", cidr)
    if "gateway_ip" in changes:
        gateway = _gateway(changes["gateway_ip"] or "", cidr)
        values["gateway_ip"] = None if gateway is None else str(gateway)
        _refuse_allocated(tx, subnet_id, values["gateway_ip"])
    if changes.keys() & {"gateway_ip", "allocation_pools"}:
        given = changes.get("allocation_pools", before.allocation_pools)
        values["allocation_pools"] = [asdict(pool) for pool in _pools(given, cidr, gateway)]
    if "dns_nameservers" in changes:
        values["dns_nameservers"] = _nameservers(changes["dns_nameservers"])
    if "host_routes" in changes:
        values["host_routes"] = _routes(changes["host_routes"], cidr)
    if "tags" in changes:
        values["tags"] = list(changes["tags"])
    present = tx.execute(sa.select(subnets).where(subnets.c.id == subnet_id)).one()._mapping
    row = {name: value for name, value in values.items() if value != present[name]}
    if row:
        stamp = {"revision_number": before.revision_number + 1, "updated_at": tx.now}
        tx.execute(sa.update(subnets).where(subnets.c.id == subnet_id).values(**row, **stamp))
        _touch_network(tx, before.network_id)
    return get(tx, subnet_id)


def delete(tx: Tx, subnet_id: str) -> None:
    """Remove a subnet.

    Raises:
        NotFound: no such subnet.
        Conflict: ports have addresses of it.
    """
    subnet = get(tx, subnet_id)
    access.require_change(tx, "delete_subnet", subnet, network_id=subnet.network_id)
    count = tx.execute(sa.select(sa.func.count()).where(ip_allocations.c.subnet_id == subnet_id)).scalar_one()
    if count:
        message = f"Unable to complete operation on subnet {subnet_id}: {count} addresses of it are allocated to ports."
        raise Conflict(message, code="SubnetInUse")
    tx.execute(sa.delete(subnets).where(subnets.c.id == subnet_id))
    _touch_network(tx, subnet.network_id)


def get(tx: Tx, subnet_id: str) -> Subnet:
    """One subnet.

    Raises:
        NotFound: no such subnet.
    """
    row = tx.one(sa.select(subnets).where(subnets.c.id == subnet_id, *access.visible(tx.caller, subnets)))
    if row is None:
        raise NotFound("subnet", subnet_id)
    return subnet_of(row)


def page(tx: Tx, listing: Listing) -> tuple[list[Subnet], bool]:
    """The subnets that a listing asks for, and whether there are more."""
    rows, more = page_of(tx, subnets, listing, seen=access.visible(tx.caller, subnets))
    return [subnet_of(row) for row in rows], more


def of_network(tx: Tx, network_id: str) -> list[Subnet]:
    """The subnets of a network, the oldest first."""
    return [subnet_of(row) for row in tx.execute(_OF_NETWORK, {"network": network_id}).all()]


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


def _touch_network(tx: Tx, network_id: str) -> None:
    """A network shows its subnets, so that it has a new revision when they change; and DHCP serves them."""
    tx.execute(
        sa.update(networks)
        .where(networks.c.id == network_id)
        .values(revision_number=networks.c.revision_number + 1, updated_at=tx.now)
    )
    tx.hint("dhcp", EVERYTHING)


def _refuse_overlap(tx: Tx, network_id: str, cidr: Cidr) -> None:
    for other in of_network(tx, network_id):
        if cidr.overlaps(ip_network(other.cidr)):
            message = f"Requested subnet with cidr: {cidr} for network: {network_id} overlaps with {other.cidr}"
            raise Invalid(f"{message} (subnet {other.id})", field="cidr")


def _refuse_allocated(tx: Tx, subnet_id: str, gateway: str | None) -> None:
    query = sa.select(ip_allocations.c.port_id).where(
        ip_allocations.c.subnet_id == subnet_id, ip_allocations.c.ip_address == gateway
    )
    holder = tx.one(query)
    if holder is not None:
        message = f"{gateway} is the address of port {holder.port_id}"
        raise Conflict(message, field="gateway_ip", code="IpAddressAlreadyAllocated")


def _gateway(text: str, cidr: Cidr) -> Address | None:
    if not text:
        return None
    gateway = parse_address(text, where="gateway_ip", version=cidr.version)
    check_gateway(gateway, cidr, where="gateway_ip")
    return gateway


def _pools(given: Sequence[Pool] | None, cidr: Cidr, gateway: Address | None) -> tuple[Pool, ...]:
    if given is None:
        return default_pools(cidr, gateway)
    if len(given) > POOLS_MAX:
        raise Invalid(f"has more than {POOLS_MAX} pools", field="allocation_pools")
    return check_pools(given, cidr, gateway, where="allocation_pools")


def _nameservers(given: Sequence[str]) -> list[str]:
    if len(given) > NAMESERVERS_MAX:
        raise Invalid(f"has more than {NAMESERVERS_MAX} addresses", field="dns_nameservers")
    found = [str(parse_address(text, where=f"dns_nameservers[{index}]")) for index, text in enumerate(given)]
    if len(set(found)) != len(found):
        raise Invalid("names the same address twice", field="dns_nameservers")
    return found


def _routes(given: Sequence[HostRoute], cidr: Cidr) -> list[dict[str, str]]:
    if len(given) > ROUTES_MAX:
        raise Invalid(f"has more than {ROUTES_MAX} routes", field="host_routes")
    routes = []
    for index, route in enumerate(given):
        where = f"host_routes[{index}]"
        try:
            destination = ip_network(route.destination, strict=False)
        except ValueError:
            message = f"{route.destination!r} is not a CIDR such as 192.0.2.0/24"
            raise Invalid(message, field=f"{where}.destination") from None
        if destination.version != cidr.version:
            raise Invalid(f"{destination} is not IPv{cidr.version}", field=f"{where}.destination")
        nexthop = parse_address(route.nexthop, where=f"{where}.nexthop", version=cidr.version)
        routes.append({"destination": str(destination), "nexthop": str(nexthop)})
    if len({tuple(route.values()) for route in routes}) != len(routes):
        raise Invalid("names the same route twice", field="host_routes")
    return routes


def _check_modes(new: NewSubnet, cidr: Cidr) -> None:
    """The pairs that Neutron allows: both equal, or one of them left to others; and SLAAC needs a /64."""
    modes = {"ipv6_ra_mode": new.ipv6_ra_mode, "ipv6_address_mode": new.ipv6_address_mode}
    for name, mode in modes.items():
        if mode is None:
            continue
        if mode not in IPV6_MODES:
            raise Invalid(f"{mode!r} is not one of {', '.join(IPV6_MODES)}", field=name)
        if not isinstance(cidr, IPv6Network):
            raise Invalid("is only for IPv6 subnets", field=name)
        if not new.enable_dhcp:
            raise Invalid("can not be set when enable_dhcp is false", field=name)
        if mode != "dhcpv6-stateful" and cidr.prefixlen != 64:
            raise Invalid(f"{mode} needs a /64, not {cidr}", field="cidr")
    if len(set(modes.values()) - {None}) == 2:
        raise Invalid("must equal ipv6_address_mode when both are set", field="ipv6_ra_mode")
