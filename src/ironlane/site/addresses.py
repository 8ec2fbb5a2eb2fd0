"""IP addresses in the site file: networks, gateways, pools."""

from __future__ import annotations

import ipaddress

from ironlane.site.fields import Fields
from ironlane.site.types import Pool, Subnet

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

SUBNET_KEYS = ("cidr", "gateway", "pool", "dns", "dhcp")


def read_subnet(fields: Fields) -> Subnet:
    """The `subnet` of a network."""
    network = read_cidr(fields, required=True)
    gateway = read_gateway(fields, network)
    return Subnet(
        cidr=str(network or ""),
        gateway=gateway,
        pools=_pools(fields, network, gateway),
        dns=tuple(item.value for item in fields.texts("dns") if _is_address(fields, item.value, "dns")),
        dhcp=fields.flag("dhcp", True),
    )


def read_cidr(fields: Fields, *, required: bool) -> IpNetwork | None:
    """`cidr` of a plane or subnet; None when there is none that can be read."""
    text = fields.text("cidr", required=required)
    if not text:
        return None
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        fields.problem("cidr", f"{error}; write the network's first address and its prefix length, as 192.0.2.0/24")
        return None


def _is_address(fields: Fields, text: str, key: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        fields.problem(key, f"{text!r} is not an IP address")
        return False
    return True


def read_gateway(fields: Fields, network: IpNetwork | None) -> str | None:
    """`gateway`, an address that a host in `network` may have."""
    text = fields.text("gateway")
    if not text or not _is_address(fields, text, "gateway"):
        return None
    address = ipaddress.ip_address(text)
    if network is not None and not _usable(address, network):
        fields.problem("gateway", f"{text} is no host's address in {network}")
        return None
    return str(address)


def _usable(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: IpNetwork) -> bool:
    if address not in network:
        return False
    small = network.prefixlen >= network.max_prefixlen - 1
    return small or address not in (network.network_address, network.broadcast_address)


def _pools(fields: Fields, network: IpNetwork | None, gateway: str | None) -> tuple[Pool, ...]:
    pools: list[Pool] = []
    spans: list[tuple[int, int]] = []
    for item in fields.texts("pool"):
        first, _, last = (part.strip() for part in item.value.partition("-"))
        try:
            low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
        except ValueError:
            fields.problem_at(item, f"{item.value!r} is no range of addresses, such as 192.0.2.10-192.0.2.99")
            continue
        span = (int(low), int(high))
        if network is not None and not (_usable(low, network) and _usable(high, network)):
            fields.problem_at(item, f"{item.value} is not within the hosts' addresses of {network}")
        elif low.version != high.version or span[0] > span[1]:
            fields.problem_at(item, f"{item.value} is upside down")
        elif gateway is not None and span[0] <= int(ipaddress.ip_address(gateway)) <= span[1]:
            fields.problem_at(item, f"{item.value} contains the gateway {gateway}")
        elif any(span[0] <= other[1] and other[0] <= span[1] for other in spans):
            fields.problem_at(item, f"{item.value} overlaps another pool")
        else:
            pools.append(Pool(str(low), str(high)))
            spans.append(span)
    return tuple(pools)
