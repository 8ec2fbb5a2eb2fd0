"""What dnsmasq reads: its configuration, a hosts file and an options file per network port. Pure text.

Facts of dnsmasq 2.90 that the text relies on, each found by trying it: among several options of one number whose tags
the client has, the one read last is answered, however many tags they name; a blank value keeps an option from being
sent; an option with a known type takes its written form only, one without takes hexadecimal bytes; within quotes only
`"` and `\\` have to be escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from ironlane.model.dhcp import ARCHITECTURES, CLIENT_ID, Answers, DhcpOption, Kind, Reservation, ServedSubnet

_KNOWN_HERE = {Kind.ADDRESSES, Kind.TEXT, Kind.NAMES, Kind.U8, Kind.U16, Kind.U32, Kind.ROUTES, Kind.NOTHING}
_MS_ROUTES = 249
_ARCHITECTURE_OPTION = {4: "93", 6: "option6:61"}


@dataclass(frozen=True, slots=True)
class DnsmasqSettings:
    """How dnsmasq is run.

    `interfaces`: network interfaces that it listens on, also for what relays send. `directory`: its own, private.
    """

    interfaces: tuple[str, ...]
    directory: Path
    lease_seconds: int = 3600
    domain: str = ""
    command: tuple[str, ...] = ("dnsmasq",)
    timeout: float = 10.0
    """Within how many seconds it has to say that it has read what it was given."""


def configuration(settings: DnsmasqSettings, answers: Answers) -> str:
    """The main file; it changes with the subnets only."""
    lines = [
        "port=0",  # no DNS
        "no-resolv",
        "no-hosts",
        "log-facility=-",
        "bind-dynamic",  # an interface may come later, and nobody else's are touched
        *(f"interface={name}" for name in settings.interfaces),
        "dhcp-authoritative",
        "dhcp-ignore=tag:!known",
        "dhcp-lease-max=100000",
        f"dhcp-leasefile={settings.directory / 'leases'}",
        f"dhcp-hostsdir={settings.directory / 'hosts'}",
        f"dhcp-optsdir={settings.directory / 'opts'}",
        "dhcp-match=set:ipxe,175",
        "dhcp-userclass=set:ipxe6,iPXE",
        "dhcp-vendorclass=set:efi-http,HTTPClient",
        *(
            f"dhcp-match=set:{tag},{option},{code}"
            for tag, codes in ARCHITECTURES.items()
            for code in codes
            for option in _ARCHITECTURE_OPTION.values()
        ),
        # iPXE would wait for a ProxyDHCP server that there is not.
        "dhcp-option=tag:ipxe,encap:175,176,1b",
    ]
    if settings.domain:
        lines.append(f"dhcp-option=15,{_quoted(settings.domain)}")
    if any(subnet.ra_mode for subnet in answers.subnets.values()):
        lines.append("enable-ra")
    for subnet in answers.subnets.values():
        lines.extend(_subnet(subnet, settings.lease_seconds))
    return "".join(f"{line}\n" for line in lines)


def hosts_file(reservation: Reservation) -> str:
    """The lines of `dhcp-hostsdir` for one port: an address each, all with the port's tag."""
    who = reservation.mac
    if reservation.client_id:
        who += ",id:" + reservation.client_id.hex(":")
    lines = []
    for _, address in reservation.addresses:
        where = f"[{address}]" if address.version == 6 else str(address)
        lines.append(f"{who},set:{_tag(reservation.port)},{where}\n")
    return "".join(lines)


def options_file(port: str, options: Sequence[DhcpOption]) -> str:
    """The lines of `dhcp-optsdir` for one port; later ones win, so the most particular come last."""
    return "".join(_option_line(_tag(port), option) for option in options)


def lease_lines(leases: str, answers: Answers) -> str:
    """A lease file without what is nobody's any more: its address may be another port's by now."""
    owners: Mapping[str, Reservation] = {str(a): r for r in answers.reservations.values() for _, a in r.addresses}
    kept = []
    for line in leases.splitlines():
        words = line.split()
        if words[:1] == ["duid"]:
            kept.append(line)
        elif len(words) >= 5:
            owner = owners.get(words[2])
            mac = words[1].removeprefix("01-").lower()
            theirs = owner is not None and (
                ":" in words[2] or mac == owner.mac or (owner.client_id and words[4] == owner.client_id.hex(":"))
            )
            if theirs:
                kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def _subnet(subnet: ServedSubnet, lease_seconds: int) -> list[str]:
    tag = f"s-{subnet.id}"
    if isinstance(subnet.cidr, IPv4Network):
        return [
            f"dhcp-range=set:{tag},{subnet.cidr.network_address},static,{subnet.cidr.netmask},{lease_seconds}",
            # Blank where there is none: dnsmasq would name itself.
            f"dhcp-option=tag:{tag},3{_listed([subnet.gateway] if subnet.gateway else [])}",
            f"dhcp-option=tag:{tag},6{_listed(subnet.nameservers)}",
            f"dhcp-option=tag:{tag},26,{subnet.mtu}",
            *_routes(tag, subnet),
        ]
    return _subnet_v6(tag, subnet, subnet.cidr, lease_seconds)


def _subnet_v6(tag: str, subnet: ServedSubnet, cidr: IPv6Network, lease_seconds: int) -> list[str]:
    if subnet.address_mode == "dhcpv6-stateful":
        mode = "static"
    elif subnet.ra_mode is None:
        return []  # somebody else's routers advertise it
    else:
        mode = "ra-stateless" if subnet.ra_mode == "dhcpv6-stateless" else "ra-only"
    nameservers = "".join(f",[{address}]" for address in subnet.nameservers)
    return [
        f"dhcp-range=set:{tag},{cidr.network_address},{mode},{cidr.prefixlen},{lease_seconds}",
        f"dhcp-option=tag:{tag},option6:23{nameservers}",
    ]


def _routes(tag: str, subnet: ServedSubnet) -> list[str]:
    """A client that is given routes does not look at the router option (RFC 3442), so the gateway is among them."""
    if not subnet.routes:
        return []
    pairs = [f"{net},{router}" for net, router in subnet.routes]
    if subnet.gateway is not None:
        pairs.append(f"0.0.0.0/0,{subnet.gateway}")
    text = ",".join(pairs)
    raw = DhcpOption(_MS_ROUTES, Kind.ROUTES, text).packed().hex(":")
    return [f"dhcp-option=tag:{tag},121,{text}", f"dhcp-option=tag:{tag},{_MS_ROUTES},{raw}"]


def _option_line(tag: str, option: DhcpOption) -> str:
    tags = [f"tag:{tag}", *(f"tag:{'!' if c.negated else ''}{c.tag}" for c in option.conditions)]
    number = str(option.number) if option.version == 4 else f"option6:{option.number}"
    return ",".join([*tags, number]) + _value(option) + "\n"


def _value(option: DhcpOption) -> str:
    if option.kind is Kind.NOTHING:
        return ""
    if option.kind is Kind.TEXT:
        return "," + _quoted(option.value)
    if option.kind not in _KNOWN_HERE or option.number in {_MS_ROUTES, CLIENT_ID}:
        return "," + _bytes(option.packed())
    if option.version == 6 and option.kind is Kind.ADDRESSES:
        return "".join(f",[{part}]" for part in option.parts)
    return "," + ",".join(option.parts)


def _bytes(value: bytes) -> str:
    return str(value[0]) if len(value) == 1 else value.hex(":")  # two digits alone would be a decimal number


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _listed(addresses: Sequence[object]) -> str:
    return "".join(f",{address}" for address in addresses)


def _tag(port: str) -> str:
    return f"p-{port}"
