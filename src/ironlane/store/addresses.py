"""Addresses of network ports: which one a port is given, and that nobody else has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network

import sqlalchemy as sa

from ironlane.model.addresses import eui64, first_free, host_range, parse_address, windows
from ironlane.model.errors import Conflict, Invalid
from ironlane.model.network import FixedIp, Subnet
from ironlane.store.database import Tx
from ironlane.store.prepared import Prepared
from ironlane.store.subnets import of_network
from ironlane.store.tables import ip_allocations

Request = Mapping[str, str | None]
"""One wish for an address, as the Networking API writes it: `{subnet_id?, ip_address?}`."""

_CHUNK = 500
"""Ids in one `IN` list, well below what every database takes."""

MAX_FIXED_IPS = 64
"""Addresses of one port at the most."""

# Statements of every request are made once: making one takes three times as long as running it.
_OF_PORTS = Prepared(
    sa.select(ip_allocations)
    .where(ip_allocations.c.port_id.in_(sa.bindparam("ports", expanding=True)))
    .order_by(ip_allocations.c.subnet_id, ip_allocations.c.ip_address)
)
_OF_PORT = Prepared(
    sa.select(ip_allocations)
    .where(ip_allocations.c.port_id == sa.bindparam("port"))
    .order_by(ip_allocations.c.subnet_id, ip_allocations.c.ip_address)
)
_RELEASE = Prepared(sa.delete(ip_allocations).where(ip_allocations.c.port_id == sa.bindparam("port")))
_COUNT = Prepared(sa.select(sa.func.count()).where(ip_allocations.c.subnet_id == sa.bindparam("subnet")))
_TAKEN = Prepared(
    sa.select(ip_allocations.c.ip_address).where(
        ip_allocations.c.subnet_id == sa.bindparam("subnet"),
        ip_allocations.c.ip_address.in_(sa.bindparam("candidates", expanding=True)),
    )
)


def of_ports(tx: Tx, port_ids: Sequence[str]) -> dict[str, tuple[FixedIp, ...]]:
    """The addresses of each port that has any."""
    if len(port_ids) == 1:  # the usual case, and a list costs SQLAlchemy twice the time
        rows = tx.execute(_OF_PORT, {"port": port_ids[0]}).all()
        return {port_ids[0]: tuple(FixedIp(row.subnet_id, row.ip_address) for row in rows)} if rows else {}
    found: dict[str, list[FixedIp]] = {}
    for start in range(0, len(port_ids), _CHUNK):
        chunk = port_ids[start : start + _CHUNK]
        for row in tx.execute(_OF_PORTS, {"ports": chunk}):
            found.setdefault(row.port_id, []).append(FixedIp(row.subnet_id, row.ip_address))
    return {port: tuple(addresses) for port, addresses in found.items()}


def conditions(port_id: sa.ColumnElement[str], wanted: Mapping[str, Sequence[str]]) -> list[sa.ColumnElement[bool]]:
    """That a port has an address as wanted: `subnet_id` or `ip_address` one of these, `ip_address_substr` in it."""
    found: list[sa.ColumnElement[bool]] = []
    for key, values in wanted.items():
        if key == "ip_address_substr":
            column: sa.ColumnElement[str] = ip_allocations.c.ip_address
            match = sa.or_(*(column.contains(value, autoescape=True) for value in values))
        else:
            match = ip_allocations.c[key].in_(list(values))
        found.append(sa.exists().where(ip_allocations.c.port_id == port_id, match))
    return found


def allocate_default(tx: Tx, subnets: Sequence[Subnet], port_id: str, mac: str) -> tuple[FixedIp, ...]:
    """Give a port what it gets when it asks for nothing in particular, from the subnets of its network.

    One IPv4 and one IPv6 address, each from the first subnet that has one left, and the stateless address of every
    subnet where hosts make their own.

    Raises:
        Conflict: there are subnets of an IP version, and all are full.
    """
    given: list[FixedIp] = []
    for version in (4, 6):
        candidates = [s for s in subnets if s.ip_version == version and not s.from_mac]
        address = next(filter(None, (_free(tx, subnet) for subnet in candidates)), None)
        if candidates and address is None:
            raise _exhausted(candidates)
        if address is not None:
            given.append(_insert(tx, port_id, address))
    given.extend(_take(tx, port_id, FixedIp(s.id, eui64(ip_network(s.cidr), mac))) for s in subnets if s.from_mac)
    return tuple(given)


def allocate(
    tx: Tx, network_id: str, port_id: str, mac: str, wishes: Sequence[Request], *, owner: str = ""
) -> tuple[FixedIp, ...]:
    """Make a port's addresses those that `wishes` name: what it has and does not wish for is released.

    A wish for a subnet alone keeps an address that the port has there.

    Raises:
        Invalid: a malformed wish, or an address or a subnet that is not of this network.
        Conflict: an address is taken, or a subnet has none left.
    """
    if len(wishes) > MAX_FIXED_IPS:
        raise Invalid(f"a port has {MAX_FIXED_IPS} addresses at the most", field="fixed_ips")
    subnets = of_network(tx, network_id)
    wanted = []
    for index, wish in enumerate(wishes):
        subnet, address = _resolve(subnets, wish, f"fixed_ips[{index}]", owner)
        if address is None and subnet.from_mac:
            address = eui64(ip_network(subnet.cidr), mac)
        wanted.append((subnet, address))
    kept: list[FixedIp] = []
    spare = list(of_ports(tx, [port_id]).get(port_id, ()))
    for subnet, address in sorted(wanted, key=lambda pair: pair[1] is None):
        match = next((f for f in spare if f.subnet_id == subnet.id and address in {None, f.ip_address}), None)
        if match is not None:
            spare.remove(match)
            kept.append(match)
            wanted.remove((subnet, address))
    release(tx, port_id, spare)
    return (*kept, *_give(tx, port_id, wanted))


def _give(tx: Tx, port_id: str, wanted: Iterable[tuple[Subnet, str | None]]) -> list[FixedIp]:
    given = []
    # Named addresses first, so that an unnamed one is not given away just before.
    for subnet, address in sorted(wanted, key=lambda pair: pair[1] is None):
        if address is not None:
            given.append(_take(tx, port_id, FixedIp(subnet.id, address)))
        elif (free := _free(tx, subnet)) is not None:
            given.append(_insert(tx, port_id, free))
        else:
            raise _exhausted([subnet])
    return given


def follow_mac(tx: Tx, network_id: str, port_id: str, mac: str) -> None:
    """Stateless addresses are made of the MAC address: give the port the ones of its new MAC."""
    for subnet in of_network(tx, network_id):
        if subnet.from_mac:
            own = [f for f in of_ports(tx, [port_id]).get(port_id, ()) if f.subnet_id == subnet.id]
            release(tx, port_id, own)
            if own:
                _take(tx, port_id, FixedIp(subnet.id, eui64(ip_network(subnet.cidr), mac)))


def release(tx: Tx, port_id: str, addresses: Iterable[FixedIp] | None = None) -> None:
    """Take addresses back from a port: these, or all."""
    if addresses is None:
        tx.execute(_RELEASE, {"port": port_id})
        return
    mine = ip_allocations.c.port_id == port_id
    for fixed in addresses:
        tx.execute(
            sa.delete(ip_allocations).where(
                mine, ip_allocations.c.subnet_id == fixed.subnet_id, ip_allocations.c.ip_address == fixed.ip_address
            )
        )


def _resolve(subnets: Sequence[Subnet], wish: Request, path: str, owner: str) -> tuple[Subnet, str | None]:
    """The subnet that a wish means, and the address in canonical form if it names one."""
    subnet_id, text = wish.get("subnet_id"), wish.get("ip_address")
    if subnet_id is None and text is None:
        raise Invalid("needs subnet_id, ip_address or both", field=path)
    among = [s for s in subnets if subnet_id in {None, s.id}]
    if not among:
        if subnet_id is None:
            raise Invalid("the network has no subnet", field=f"{path}.ip_address", code="InvalidIpForNetwork")
        raise Invalid(f"subnet {subnet_id} is not a subnet of the port's network", field=f"{path}.subnet_id")
    if text is None:
        return among[0], None
    where = f"{path}.ip_address"
    address = parse_address(text, where=where)
    for subnet in among:
        cidr = ip_network(subnet.cidr)
        first, last = host_range(cidr)
        if address.version != cidr.version or not int(first) <= int(address) <= int(last):
            continue
        if str(address) == subnet.gateway_ip and not owner.startswith("network:"):
            message = f"{address} is the gateway of subnet {subnet.id}"
            raise Invalid(message, field=where, code="InvalidIpForSubnet")
        return subnet, str(address)
    named = f"subnet {subnet_id}" if subnet_id else "any subnet of the port's network"
    code = "InvalidIpForSubnet" if subnet_id else "InvalidIpForNetwork"
    raise Invalid(f"{address} is not a host address of {named}", field=where, code=code)


def _free(tx: Tx, subnet: Subnet) -> FixedIp | None:
    """A free address of a subnet's pools; the lowest one as long as addresses are not given back."""
    count = tx.execute(_COUNT, {"subnet": subnet.id}).scalar_one()
    for candidates in windows(subnet.allocation_pools, count):
        taken = tx.execute(_TAKEN, {"subnet": subnet.id, "candidates": candidates}).scalars()
        address = first_free(candidates, set(taken))
        if address is not None:
            return FixedIp(subnet.id, address)
    return None


def _take(tx: Tx, port_id: str, fixed: FixedIp) -> FixedIp:
    holder = tx.one(
        sa.select(ip_allocations.c.port_id).where(
            ip_allocations.c.subnet_id == fixed.subnet_id, ip_allocations.c.ip_address == fixed.ip_address
        )
    )
    if holder is not None:
        message = f"IP address {fixed.ip_address} is already allocated in subnet {fixed.subnet_id}"
        raise Conflict(message, field="fixed_ips", code="IpAddressAlreadyAllocated")
    return _insert(tx, port_id, fixed)


def _insert(tx: Tx, port_id: str, fixed: FixedIp) -> FixedIp:
    row = {"subnet_id": fixed.subnet_id, "ip_address": fixed.ip_address, "port_id": port_id}
    tx.execute(sa.insert(ip_allocations), row)
    return fixed


def _exhausted(subnets: Sequence[Subnet]) -> Conflict:
    names = ", ".join(f"{s.id} ({s.cidr})" for s in subnets)
    network = subnets[0].network_id
    message = f"No more IP addresses available on network {network}: none is free in the pools of subnet {names}"
    return Conflict(message, field="fixed_ips", code="IpAddressGenerationFailure")
