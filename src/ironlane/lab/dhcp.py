"""DHCP (RFC 2131, options RFC 2132): messages, and a responder that knows network ports and nobody else."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Interface

from ironlane.lab.frames import NO_ADDRESS, FrameError

SERVER_PORT = 67
CLIENT_PORT = 68

_COOKIE = b"\x63\x82\x53\x63"
_HEAD = struct.Struct("!BBBB4sHH4s4s4s4s16s64s128s4s")
_BROADCAST_FLAG = 0x8000


class MessageType(IntEnum):
    """Option 53 (RFC 2132, section 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7


class Option(IntEnum):
    """Option numbers; RFC 2132 unless said otherwise."""

    NETMASK = 1
    ROUTER = 3
    DNS = 6
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    PARAMETER_LIST = 55
    VENDOR_CLASS = 60
    CLIENT_ID = 61
    TFTP_SERVER = 66
    BOOT_FILE = 67
    USER_CLASS = 77
    """RFC 3004."""
    TFTP_ADDRESS = 150
    """RFC 5859."""
    IPXE = 175
    """Sent by iPXE's own DHCP client (ipxe.org/howto/dhcpd)."""
    NEXT_SERVER = 255
    """Not on the wire: Ironic's number for the `siaddr` field."""


@dataclass(frozen=True, slots=True)
class DhcpMessage:
    """One message; `options` are raw bytes by number, without pad and end."""

    request: bool
    xid: bytes
    mac: bytes
    options: Mapping[int, bytes] = field(default_factory=dict)
    ciaddr: IPv4Address = NO_ADDRESS
    yiaddr: IPv4Address = NO_ADDRESS
    siaddr: IPv4Address = NO_ADDRESS
    giaddr: IPv4Address = NO_ADDRESS
    broadcast: bool = True

    @property
    def type(self) -> MessageType:
        return MessageType(self.options[Option.MESSAGE_TYPE][0])

    def text(self, option: int) -> str:
        """An option as text; empty if absent. Some servers end it with a zero byte."""
        return self.options.get(option, b"").rstrip(b"\0").decode(errors="replace")

    def address(self, option: int) -> IPv4Address | None:
        """The (first) address in an option; None if absent or malformed."""
        value = self.options.get(option, b"")
        return IPv4Address(value[:4]) if len(value) >= 4 else None

    def pack(self) -> bytes:
        head = _HEAD.pack(
            1 if self.request else 2,
            1,
            6,
            0,
            self.xid,
            0,
            _BROADCAST_FLAG if self.broadcast else 0,
            self.ciaddr.packed,
            self.yiaddr.packed,
            self.siaddr.packed,
            self.giaddr.packed,
            self.mac,
            b"",
            b"",
            _COOKIE,
        )
        body = b"".join(_pack_option(number, value) for number, value in sorted(self.options.items()))
        return (head + body + b"\xff").ljust(300, b"\0")  # the smallest BOOTP message (RFC 1542, section 2.1)

    @classmethod
    def parse(cls, data: bytes) -> DhcpMessage:
        """Raises `FrameError` when it is not a DHCP message for an Ethernet client."""
        if len(data) < _HEAD.size:
            raise FrameError("too short for DHCP")
        op, kind, length, _, xid, _, flags, ciaddr, yiaddr, siaddr, giaddr, mac, _, _, cookie = _HEAD.unpack_from(data)
        options = _parse_options(data[_HEAD.size :])
        if op not in (1, 2) or (kind, length) != (1, 6) or cookie != _COOKIE:
            raise FrameError("not a DHCP message for an Ethernet client")
        code = options.get(Option.MESSAGE_TYPE, b"")
        if len(code) != 1 or not 1 <= code[0] <= 7:
            raise FrameError("DHCP message type is missing or unknown")
        return cls(
            op == 1,
            xid,
            mac[:6],
            options,
            ciaddr=IPv4Address(ciaddr),
            yiaddr=IPv4Address(yiaddr),
            siaddr=IPv4Address(siaddr),
            giaddr=IPv4Address(giaddr),
            broadcast=bool(flags & _BROADCAST_FLAG),
        )


def _pack_option(number: int, value: bytes) -> bytes:
    """Values of more than 255 bytes are cut into several options of the same number (RFC 3396)."""
    parts = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
    return b"".join(bytes([number, len(part)]) + part for part in parts)


def _parse_options(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            raise FrameError("a DHCP option is cut off")
        options[data[at]] = options.get(data[at], b"") + data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return options


@dataclass(frozen=True, slots=True)
class ExtraOption:
    """One of a network port's `extra_dhcp_opts`, as the client of the Networking API wrote it."""

    name: str
    value: str
    ip_version: int = 4


@dataclass(frozen=True, slots=True)
class PortLease:
    """What a network port gives its server: an address with its prefix length, a gateway, DHCP options."""

    address: IPv4Interface
    gateway: IPv4Address | None = None
    options: tuple[ExtraOption, ...] = ()


FindPort = Callable[[str, int], Awaitable[PortLease | None]]
"""From a MAC address (`aa:bb:cc:dd:ee:ff`) and a VLAN to the network port there; None if there is none."""

_NAMES = {
    "netmask": Option.NETMASK,
    "router": Option.ROUTER,
    "dns-server": Option.DNS,
    "vendor-class": Option.VENDOR_CLASS,
    "client-id": Option.CLIENT_ID,
    "tftp-server": Option.TFTP_SERVER,
    "tftp-server-name": Option.TFTP_SERVER,
    "bootfile-name": Option.BOOT_FILE,
    "tftp-server-address": Option.TFTP_ADDRESS,
    "server-ip-address": Option.NEXT_SERVER,
}
_ADDRESS_OPTIONS = {Option.NETMASK, Option.ROUTER, Option.DNS, Option.TFTP_ADDRESS, Option.NEXT_SERVER}


def chosen_options(options: Iterable[ExtraOption], request: DhcpMessage) -> dict[int, bytes]:
    """The options that apply to a client's request, as raw bytes by number; 255 is the next server.

    Names are numbers or dnsmasq's names, perhaps after conditions: `tag:ipxe,67`, `tag:!ipxe,67`, `!175,67`. An
    option whose conditions hold goes before one without. What is unknown, or for IPv6, is left out.
    """
    tags = {"ipxe"} if Option.IPXE in request.options else set()
    found: dict[int, tuple[int, bytes]] = {}
    for option in options:
        *conditions, name = (part.strip() for part in option.name.split(","))
        number = _number(name)
        if option.ip_version != 4 or number is None or not all(_holds(c, tags, request) for c in conditions):
            continue
        value = _encode(number, option.value)
        if value is not None and len(conditions) >= found.get(number, (0, b""))[0]:
            found[number] = (len(conditions), value)
    return {number: value for number, (_, value) in found.items()}


def _number(name: str) -> int | None:
    name = name.removeprefix("option:")
    if name.isdigit():
        return int(name) if 1 <= int(name) <= 255 else None
    return _NAMES.get(name)


def _holds(condition: str, tags: set[str], request: DhcpMessage) -> bool:
    wanted = condition.removeprefix("tag:").removeprefix("!")
    is_set = wanted in tags if condition.startswith("tag:") else wanted.isdigit() and int(wanted) in request.options
    return is_set != ("!" in condition)


def _encode(number: int, value: str) -> bytes | None:
    if number not in _ADDRESS_OPTIONS:
        return value.encode()
    try:
        return b"".join(IPv4Address(part.strip()).packed for part in value.split(","))
    except ValueError:
        return None


class DhcpResponder:
    """Answers DISCOVER and REQUEST of MAC addresses that have a network port in the VLAN they ask from; no others."""

    def __init__(self, find_port: FindPort, *, lease_seconds: int = 3600) -> None:
        self._find_port = find_port
        self._lease_seconds = lease_seconds

    async def answer(self, request: DhcpMessage, vlan: int, server: IPv4Address) -> DhcpMessage | None:
        """The answer from the server address `server`; None to keep silent.

        A REQUEST for another address than the port's is refused (NAK); one that chose another server is ignored.
        """
        if not request.request or request.type not in (MessageType.DISCOVER, MessageType.REQUEST):
            return None
        if request.address(Option.SERVER_ID) not in (None, server):
            return None
        lease = await self._find_port(request.mac.hex(":"), vlan)
        if lease is None:
            return None
        if request.type is MessageType.DISCOVER:
            return self._grant(MessageType.OFFER, request, lease, server)
        wanted = request.address(Option.REQUESTED_ADDRESS) or request.ciaddr
        if wanted != lease.address.ip:
            options: dict[int, bytes] = {Option.MESSAGE_TYPE: bytes([MessageType.NAK]), Option.SERVER_ID: server.packed}
            return DhcpMessage(False, request.xid, request.mac, options)
        return self._grant(MessageType.ACK, request, lease, server)

    def _grant(self, kind: MessageType, request: DhcpMessage, lease: PortLease, server: IPv4Address) -> DhcpMessage:
        options: dict[int, bytes] = {
            Option.NETMASK: lease.address.netmask.packed,
            Option.LEASE_TIME: struct.pack("!I", self._lease_seconds),
        }
        if lease.gateway is not None:
            options[Option.ROUTER] = lease.gateway.packed
        options |= chosen_options(lease.options, request)
        options |= {Option.MESSAGE_TYPE: bytes([kind]), Option.SERVER_ID: server.packed}
        next_server = options.pop(Option.NEXT_SERVER, b"")
        return DhcpMessage(
            False,
            request.xid,
            request.mac,
            options,
            yiaddr=lease.address.ip,
            siaddr=IPv4Address(next_server[:4]) if next_server else NO_ADDRESS,
            giaddr=request.giaddr,
            broadcast=request.broadcast,
        )
