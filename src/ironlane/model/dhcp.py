"""What DHCP has to answer: served subnets, a reservation per network port, and the options of each.

Options come as `extra_dhcp_opts` of a network port: `opt_name` is a number, or one of dnsmasq's names, perhaps after
conditions (`tag:ipxe,67`, `tag:!ipxe,bootfile-name`, `!175,67`). All that is not understood is refused here, so that
nothing a client wrote reaches a daemon's configuration unparsed. Sources: RFC 2132 and the RFCs named below; the names
are those of `dnsmasq --help dhcp`; 255 is the server address field (siaddr) in Ironic's and dnsmasq's convention.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from ironlane.model.errors import Invalid

NEXT_SERVER = 255
"""Not on the wire: the `siaddr` field of the answer."""

CLIENT_ID = 61
"""Not answered either: a client that sends this client identifier is the port's, whatever its MAC address is."""


class Kind(StrEnum):
    """How an option's value is written and packed."""

    ADDRESSES = "addresses"
    """One or several addresses, separated by commas."""
    TEXT = "text"
    NAMES = "names"
    """Domain names in DNS form (RFC 3397)."""
    ROUTES = "routes"
    """Pairs of a CIDR and an address (RFC 3442)."""
    U8 = "u8"
    U16 = "u16"
    U32 = "u32"
    BYTES = "bytes"
    """Of an option without a known form: addresses, hexadecimal bytes with colons, a decimal number, or text."""
    NOTHING = "nothing"
    """A blank value: the option is not sent, also where the subnet has one."""


WIDTH = {Kind.U8: 1, Kind.U16: 2, Kind.U32: 4}

_A, _T, _N = Kind.ADDRESSES, Kind.TEXT, Kind.NAMES

_V4: Mapping[int, tuple[str, Kind]] = {
    1: ("netmask", _A),
    2: ("time-offset", Kind.U32),
    3: ("router", _A),
    6: ("dns-server", _A),
    7: ("log-server", _A),
    9: ("lpr-server", _A),
    13: ("boot-file-size", Kind.U16),
    15: ("domain-name", _T),
    16: ("swap-server", _A),
    17: ("root-path", _T),
    18: ("extension-path", _T),
    19: ("ip-forward-enable", Kind.U8),
    23: ("default-ttl", Kind.U8),
    26: ("mtu", Kind.U16),
    42: ("ntp-server", _A),
    58: ("T1", Kind.U32),
    59: ("T2", Kind.U32),
    60: ("vendor-class", _T),
    61: ("client-id", Kind.BYTES),
    66: ("tftp-server", _T),
    67: ("bootfile-name", _T),
    69: ("smtp-server", _A),
    100: ("posix-timezone", _T),
    101: ("tzdb-timezone", _T),
    119: ("domain-search", _N),
    121: ("classless-static-route", Kind.ROUTES),
    150: ("tftp-server-address", _A),
    249: ("ms-classless-static-route", Kind.ROUTES),
    NEXT_SERVER: ("server-ip-address", _A),
}
_V6: Mapping[int, tuple[str, Kind]] = {
    23: ("dns-server", _A),
    24: ("domain-search", _N),
    31: ("sntp-server", _A),
    59: ("bootfile-url", _T),
    60: ("bootfile-param", _T),
}
_SYNONYMS = {"tftp-server-name": 66, "next-server": NEXT_SERVER, "ntp": 42}
_SERVERS_OWN = {
    4: frozenset({0, 50, 51, 52, 53, 54, 55, 56, 57, 82, 90, 118, 175}),
    6: frozenset({*range(1, 10), 13, 14, 18, 19, 20, 25, 26}),
}
"""Options that make up the protocol itself."""

TAGS = frozenset(
    {"ipxe", "ipxe6", "bios", "efi-ia32", "efi-x86_64", "efi-arm32", "efi-arm64", "efi-http"},
)
"""What a condition may ask for; `ARCHITECTURES` has the processor tags. `ipxe`: the client sends option 175; `ipxe6`:
its user class is iPXE; `efi-http`: its vendor class is HTTPClient."""

ARCHITECTURES: Mapping[str, tuple[int, ...]] = {
    "bios": (0,),
    "efi-ia32": (6, 15),
    "efi-x86_64": (7, 9, 16),
    "efi-arm32": (10, 18),
    "efi-arm64": (11, 19),
}
"""Tags by client architecture: option 93 of DHCP, 61 of DHCPv6 (RFC 4578, RFC 5970, and IANA's list)."""

_HEX = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2})*")
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Condition:
    """The client has a tag, or has it not."""

    tag: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class DhcpOption:
    """One option; `value` is in the written form of its `kind`."""

    number: int
    kind: Kind
    value: str
    version: int = 4
    conditions: tuple[Condition, ...] = ()

    @property
    def parts(self) -> list[str]:
        return [part.strip() for part in self.value.split(",")]

    def packed(self) -> bytes:
        """The value as it goes over the wire."""
        if self.kind is Kind.TEXT:
            return self.value.encode()
        if self.kind is Kind.ADDRESSES:
            return b"".join(ip_address(part).packed for part in self.parts)
        if self.kind is Kind.NAMES:
            return b"".join(_dns_name(part) for part in self.parts)
        if self.kind is Kind.ROUTES:
            return pack_routes(self.routes())
        if self.kind is Kind.BYTES:
            return _free_form(self.value)
        return b"" if self.kind is Kind.NOTHING else int(self.value).to_bytes(WIDTH[self.kind], "big")

    def routes(self) -> list[tuple[IPv4Network, IPv4Address]]:
        parts = self.parts
        return [(IPv4Network(parts[at]), IPv4Address(parts[at + 1])) for at in range(0, len(parts), 2)]


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one network port gives its server. `addresses` by subnet id."""

    port: str
    mac: str
    addresses: tuple[tuple[str, IPv4Address | IPv6Address], ...]
    options: tuple[DhcpOption, ...] = ()
    client_id: bytes = b""


@dataclass(frozen=True, slots=True)
class ServedSubnet:
    """What DHCP says to everybody in a subnet. `mtu` is the network's."""

    id: str
    cidr: IPv4Network | IPv6Network
    gateway: IPv4Address | IPv6Address | None = None
    nameservers: tuple[IPv4Address | IPv6Address, ...] = ()
    routes: tuple[tuple[IPv4Network | IPv6Network, IPv4Address | IPv6Address], ...] = ()
    mtu: int = 1500
    ra_mode: str | None = None
    address_mode: str | None = None

    @property
    def gives_addresses(self) -> bool:
        """Hosts get their addresses by DHCP; else they make them up themselves."""
        return isinstance(self.cidr, IPv4Network) or self.address_mode == "dhcpv6-stateful"


@dataclass(frozen=True, slots=True)
class Answers:
    """All that is to be answered, by subnet id and by port id. Whoever is not in it gets no answer."""

    subnets: Mapping[str, ServedSubnet] = field(default_factory=dict)
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    unserved: Mapping[str, str] = field(default_factory=dict)
    """Subnets or ports that cannot be served as they are, with the reason."""


def parse_option(name: str, value: str, version: int = 4) -> DhcpOption:
    """One of a port's `extra_dhcp_opts`.

    Raises:
        Invalid: `field` is `opt_name` or `opt_value`; what is not understood is refused, never passed on.
    """
    *before, last = (part.strip() for part in name.split(","))
    conditions = tuple(_condition(part) for part in before)
    number = _number(last, version)
    if number in _SERVERS_OWN[version]:
        raise Invalid(f"option {number} is the DHCP server's own and cannot be set", field="opt_name")
    table = _V4 if version == 4 else _V6
    kind = table[number][1] if number in table else Kind.BYTES
    if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in value):
        raise Invalid("has a line break or another control character in it", field="opt_value")
    if not value.strip():
        return DhcpOption(number, Kind.NOTHING, "", version, conditions)
    return DhcpOption(number, kind, _checked(kind, value.strip(), version), version, conditions)


def pack_routes(routes: list[tuple[IPv4Network, IPv4Address]]) -> bytes:
    """RFC 3442: prefix length, the significant bytes of the network, the router."""
    return b"".join(
        bytes([net.prefixlen]) + net.network_address.packed[: (net.prefixlen + 7) // 8] + router.packed
        for net, router in routes
    )


def _condition(text: str) -> Condition:
    tag = text.removeprefix("tag:")
    negated = tag.startswith("!")
    tag = tag.removeprefix("!")
    if not text.startswith("tag:"):
        if tag != "175":
            message = f"{text!r} is no condition; known are tag:NAME, tag:!NAME, 175 and !175"
            raise Invalid(message, field="opt_name")
        tag = "ipxe"
    if tag not in TAGS:
        raise Invalid(f"tag {tag!r} is not one of {', '.join(sorted(TAGS))}", field="opt_name")
    return Condition(tag, negated)


def _number(text: str, version: int) -> int:
    name = text.removeprefix("option:").removeprefix("option6:")
    table = _V4 if version == 4 else _V6
    if name.isascii() and name.isdigit():
        if 1 <= int(name) <= (255 if version == 4 else 65535):
            return int(name)
        raise Invalid(f"{name} is no option number", field="opt_name")
    for number, (known, _) in table.items():
        if name == known:
            return number
    if version == 4 and name in _SYNONYMS:
        return _SYNONYMS[name]
    raise Invalid(f"{text[:80]!r} is neither an option number nor a name of `dnsmasq --help dhcp`", field="opt_name")


def _checked(kind: Kind, value: str, version: int) -> str:
    option = DhcpOption(0, kind, value, version)
    try:
        if kind is Kind.ADDRESSES:
            found = [ip_address(part) for part in option.parts]
            if any(address.version != version for address in found):
                raise ValueError
            value = ",".join(map(str, found))
        elif kind is Kind.NAMES and not all(_NAME.fullmatch(part) for part in option.parts):
            raise ValueError
        size = len(option.packed())
    except (ValueError, OverflowError, IndexError):
        raise Invalid(f"{value[:80]!r} is not {_FORMS[kind]}", field="opt_value") from None
    if not 0 < size <= 255:
        raise Invalid(f"takes {size} bytes, and 255 is the most", field="opt_value")
    return value


_FORMS = {
    Kind.ADDRESSES: "an address, or several with commas, of this IP version",
    Kind.NAMES: "a domain name, or several with commas",
    Kind.ROUTES: "pairs of a CIDR and an address, as in 10.0.0.0/8,192.0.2.1",
    Kind.U8: "a number below 256",
    Kind.U16: "a number below 65536",
    Kind.U32: "a number below 4294967296",
    Kind.BYTES: "a value that can be sent",
    Kind.TEXT: "a text that can be sent",
}


def _free_form(value: str) -> bytes:
    """As dnsmasq reads the value of an option that it has no form for."""
    try:
        return b"".join(ip_address(part.strip()).packed for part in value.split(","))
    except ValueError:
        pass
    if value.isascii() and value.isdigit():
        number = int(value)
        return number.to_bytes(next((w for w in (1, 2, 4) if number < 1 << 8 * w), 4), "big")
    if ":" in value and _HEX.fullmatch(value):
        return bytes.fromhex(value.replace(":", ""))
    return value.encode()


def _dns_name(name: str) -> bytes:
    labels = name.rstrip(".").encode().split(b".")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
