"""Addresses of subnets: canonical forms, gateways, allocation pools, and which address comes next.

All pure: what is taken comes in as an argument. Defaults follow the Networking API: the gateway is the first host
address, the pools are what remains.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise

from ironlane.model.errors import Conflict, Invalid
from ironlane.model.network import Pool

Address = IPv4Address | IPv6Address
Cidr = IPv4Network | IPv6Network

_WINDOW = 16
_WINDOW_MAX = 512


def parse_address(text: str, *, where: str, version: int | None = None) -> Address:
    """An IP address, of the given version if one is given.

    Raises:
        Invalid: not an address, of the other version, or with a zone (`fe80::1%eth0`).
    """
    try:
        address = ip_address(text)
    except ValueError:
        raise Invalid(f"{text!r} is not a valid IP address", field=where) from None
    if getattr(address, "scope_id", None):
        raise Invalid(f"{text!r} has a zone; give the address alone", field=where)
    if version is not None and address.version != version:
        raise Invalid(f"{text!r} is not an IPv{version} address", field=where)
    return address


def parse_cidr(text: str, *, where: str, version: int | None = None) -> Cidr:
    """A subnet's CIDR in canonical form: host bits are cleared, as Neutron clears them.

    Raises:
        Invalid: not a CIDR, without a prefix length, of the other IP version, or not usable for unicast hosts.
    """
    try:
        if "/" not in text:
            raise ValueError(text)
        cidr = ip_network(text, strict=False)
    except ValueError:
        raise Invalid(f"{text!r} is not a CIDR such as 192.0.2.0/24", field=where) from None
    if version is not None and cidr.version != version:
        raise Invalid(f"{text!r} is not an IPv{version} CIDR (ip_version is {version})", field=where)
    if cidr.prefixlen == 0 or cidr.is_multicast or cidr.is_loopback:
        raise Invalid(f"{text!r} cannot be a subnet of hosts", field=where)
    return cidr


def host_range(cidr: Cidr) -> tuple[Address, Address]:
    """First and last address that a host may have.

    IPv4 leaves out network and broadcast address but in /31 (RFC 3021) and /32; IPv6 leaves out the subnet-router
    anycast address (RFC 4291 2.6.1) but in /127 (RFC 6164) and /128.
    """
    small = cidr.prefixlen >= cidr.max_prefixlen - 1
    first = cidr.network_address if small else cidr.network_address + 1
    last = cidr.broadcast_address if small or cidr.version == 6 else cidr.broadcast_address - 1
    return first, last


def default_gateway(cidr: Cidr) -> Address:
    """The first host address."""
    return host_range(cidr)[0]


def default_pools(cidr: Cidr, gateway: Address | None) -> tuple[Pool, ...]:
    """All host addresses but the gateway: one or two ranges, or none in a subnet of one address."""
    first, last = (int(end) for end in host_range(cidr))
    cuts = [(first, last)]
    if gateway is not None and first <= int(gateway) <= last:
        cuts = [(first, int(gateway) - 1), (int(gateway) + 1, last)]
    kind = type(cidr.network_address)
    return tuple(Pool(str(kind(start)), str(kind(end))) for start, end in cuts if start <= end)


def check_gateway(gateway: Address, cidr: Cidr, *, where: str) -> None:
    """A gateway is a host address of its subnet; in IPv6 a link-local one is good as well (RFC 4861).

    Raises:
        Invalid: it is not.
    """
    if cidr.version == 6 and gateway.is_link_local:
        return
    first, last = host_range(cidr)
    if gateway.version != cidr.version or not int(first) <= int(gateway) <= int(last):
        raise Invalid(f"{gateway} is not a host address of {cidr}", field=where)


def check_pools(pools: Sequence[Pool], cidr: Cidr, gateway: Address | None, *, where: str) -> tuple[Pool, ...]:
    """Pools in canonical form and in the order of their addresses.

    Raises:
        Invalid: a malformed, backward or out-of-bounds pool.
        Conflict: pools that overlap, or one that holds the gateway.
    """
    first, last = host_range(cidr)
    ranges: list[tuple[Address, Address]] = []
    for index, pool in enumerate(pools):
        path = f"{where}[{index}]"
        start = parse_address(pool.start, where=f"{path}.start", version=cidr.version)
        end = parse_address(pool.end, where=f"{path}.end", version=cidr.version)
        if int(start) > int(end):
            raise Invalid(f"{start} comes after {end}", field=path, code="InvalidAllocationPool")
        if int(start) < int(first) or int(end) > int(last):
            message = f"{start}-{end} is not within the host addresses of {cidr}"
            raise Invalid(message, field=path, code="OutOfBoundsAllocationPool")
        if gateway is not None and int(start) <= int(gateway) <= int(end):
            message = f"{start}-{end} holds the gateway {gateway}"
            raise Conflict(message, field=path, code="GatewayConflictWithAllocationPools")
        ranges.append((start, end))
    ranges.sort(key=lambda pair: int(pair[0]))
    for (_, before), (after, _) in pairwise(ranges):
        if int(after) <= int(before):
            raise Conflict(f"pools overlap at {after}", field=where, code="OverlappingAllocationPools")
    return tuple(Pool(str(start), str(end)) for start, end in ranges)


def pool_size(pools: Sequence[Pool]) -> int:
    """How many addresses the pools hold."""
    return sum(int(ip_address(pool.end)) - int(ip_address(pool.start)) + 1 for pool in pools)


def pool_slice(pools: Sequence[Pool], start: int, stop: int) -> list[str]:
    """The addresses at positions `start` to `stop` (exclusive) of all pools laid end to end."""
    found: list[str] = []
    offset = 0
    for pool in pools:
        low = ip_address(pool.start)
        size = int(ip_address(pool.end)) - int(low) + 1
        found.extend(str(low + index) for index in range(max(start - offset, 0), min(stop - offset, size)))
        offset += size
    return found


def windows(pools: Sequence[Pool], taken: int) -> Iterator[list[str]]:
    """Addresses to try, in windows: a free one is most likely in the first, and surely in one of them if there is any.

    With `taken` addresses in use one of the first `taken + 1` positions is free, and unless ports came and went it is
    the last of these. So the search begins there, goes to the end, and then comes back to the beginning.
    """
    size = pool_size(pools)
    begin = max(0, min(taken, size - 1) - _WINDOW + 1)
    for low, high in ((begin, size), (0, begin)):
        position, width = low, _WINDOW
        while position < high:
            stop = min(position + width, high)
            yield pool_slice(pools, position, stop)
            position, width = stop, min(width * 2, _WINDOW_MAX)


def first_free(candidates: Sequence[str], taken: Collection[str]) -> str | None:
    """The first candidate that is not taken."""
    return next((address for address in candidates if address not in taken), None)


def eui64(cidr: Cidr, mac: str) -> str:
    """The address that a host makes for itself by SLAAC (RFC 4291 appendix A): prefix, then the MAC as modified EUI-64.

    Raises:
        Invalid: the prefix is not a /64.
    """
    if cidr.version != 6 or cidr.prefixlen != 64:
        raise Invalid(f"{cidr} is no IPv6 /64, which stateless addresses need", field="cidr")
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(IPv6Address(int(cidr.network_address) + int.from_bytes(identifier)))
