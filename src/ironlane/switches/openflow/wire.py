"""OpenFlow 1.4 messages as octets: only those that the driver speaks.

Source: OpenFlow Switch Specification 1.4.0 (wire protocol 0x05), ONF TS-012; sections are given where a layout is read
or written. Whatever a switch says beyond this vocabulary is kept as raw octets, so that it is never taken for nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from ironlane.model.errors import Temporary

VERSION = 5
HEADER = struct.Struct("!BBHI")
"""Version, type, length of the whole message, transaction id (section 7.1.1)."""

PORT_MAX = 0xFFFFFF00
"""The highest number of a real port; above are reserved ones (section 7.2.1)."""
PORT_CONTROLLER, PORT_LOCAL, PORT_ANY = 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF
GROUP_ANY = 0xFFFFFFFF
NO_BUFFER = 0xFFFFFFFF
ALL_TABLES = 0xFF
TAGGED = 0x1000
"""OFPVID_PRESENT: the bit of VLAN_VID that says that there is a tag (section 7.2.2.8)."""
VID_MASK = 0x1FFF
ETHERTYPE_8021Q = 0x8100


class Type(IntEnum):
    """Message types (section 7.1.1)."""

    HELLO = 0
    ERROR = 1
    ECHO_REQUEST = 2
    ECHO_REPLY = 3
    FEATURES_REQUEST = 5
    FEATURES_REPLY = 6
    FLOW_MOD = 14
    GROUP_MOD = 15
    PORT_MOD = 16
    MULTIPART_REQUEST = 18
    MULTIPART_REPLY = 19
    BARRIER_REQUEST = 20
    BARRIER_REPLY = 21
    BUNDLE_CONTROL = 33
    BUNDLE_ADD = 34


class Multipart(IntEnum):
    """Kinds of multipart messages (section 7.3.5)."""

    FLOW = 1
    GROUP_DESC = 7
    PORT_DESC = 13


class Bundle(IntEnum):
    """Steps of a bundle's life (section 7.3.9.2)."""

    OPEN = 0
    COMMIT = 4
    DISCARD = 6


class FlowCommand(IntEnum):
    """What becomes of a flow (section 7.3.4.1)."""

    ADD = 0
    """Put it in; one with the same table, priority and match is replaced, cookie and all."""
    DELETE_STRICT = 4


class GroupCommand(IntEnum):
    """What becomes of a group (section 7.3.4.2)."""

    ADD = 0
    MODIFY = 1
    DELETE = 2


class GroupType(IntEnum):
    """How a group picks among its buckets (section 7.3.4.2)."""

    SELECT = 1
    """One of them, by a hash of the switch's own."""


class PortFlag(IntEnum):
    """Bits of a port's configuration (section 7.2.1)."""

    DOWN = 1 << 0
    NO_RECV = 1 << 2
    NO_FWD = 1 << 5


# --- what messages talk about ----------------------------------------------------------------------------------------


class Match(NamedTuple):
    """Which frames a flow is for; a field that is None takes any (section 7.2.2)."""

    in_port: int | None = None
    vlan_vid: int | None = None
    """0: no tag; `TAGGED | vlan`: this tag."""
    vlan_mask: int = VID_MASK
    eth_dst: bytes | None = None
    eth_dst_mask: bytes = b"\xff" * 6
    other: bytes = b""
    """Fields that Ironlane never matches on, as they came."""


@dataclass(frozen=True, slots=True)
class Output:
    """Send the frame out of a port; never out of the one that it came in by, which takes `OFPP_IN_PORT`."""

    port: int


@dataclass(frozen=True, slots=True)
class ToGroup:
    """Let a group decide."""

    group: int


@dataclass(frozen=True, slots=True)
class PushVlan:
    """Put a tag before whatever is there."""

    ethertype: int = ETHERTYPE_8021Q


@dataclass(frozen=True, slots=True)
class PopVlan:
    """Take the outer tag off."""


@dataclass(frozen=True, slots=True)
class SetVlan:
    """Rewrite the outer tag's VLAN; `TAGGED` is among the bits of `vid`."""

    vid: int


@dataclass(frozen=True, slots=True)
class OtherAction:
    """An action that Ironlane never uses, as it came."""

    octets: bytes


Action = Output | ToGroup | PushVlan | PopVlan | SetVlan | OtherAction


class FlowKey(NamedTuple):
    """What a flow is known by: there is one of each at the most (section 6.4)."""

    table: int
    priority: int
    match: Match


class Flow(NamedTuple):
    """One flow entry. Neither actions nor `goto`: what matches is dropped."""

    table: int
    priority: int
    match: Match
    cookie: int
    actions: tuple[Action, ...] = ()
    goto: int | None = None
    instructions: bytes = b""
    """Instructions that Ironlane never uses, as they came."""
    settings: tuple[int, int, int] = (0, 0, 0)
    """Idle timeout and hard timeout in seconds (0: it stays), and flags."""

    @property
    def key(self) -> FlowKey:
        return FlowKey(self.table, self.priority, self.match)


class Bucket(NamedTuple):
    """One choice of a group, only while the watched port is up."""

    actions: tuple[Action, ...]
    watch_port: int = PORT_ANY
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """One group entry."""

    ident: int
    kind: int
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """A port as the switch describes it; names end at 15 characters (section 7.2.1)."""

    number: int
    name: str
    address: bytes = bytes(6)
    config: int = 0


class Message(NamedTuple):
    """A message that changes something: its type, its body, and the same for humans."""

    type: Type
    body: bytes
    text: str


# --- from us to the switch -------------------------------------------------------------------------------------------


def message(kind: int, xid: int, body: bytes = b"") -> bytes:
    """A whole message."""
    return HEADER.pack(VERSION, kind, HEADER.size + len(body), xid) + body


def hello() -> bytes:
    """The versions we speak: 1.4 only (section 7.5.1)."""
    return struct.pack("!HHI", 1, 8, 1 << VERSION)


def multipart(kind: Multipart) -> bytes:
    """The request for everything of a kind (section 7.3.5)."""
    body = b""
    if kind is Multipart.FLOW:
        body = struct.pack("!B3xII4xQQ", ALL_TABLES, PORT_ANY, GROUP_ANY, 0, 0) + _match(Match())
    return struct.pack("!HH4x", kind, 0) + body


def bundle_control(ident: int, step: Bundle) -> bytes:
    """A step of a bundle that is atomic and done in order (section 7.3.9)."""
    return struct.pack("!IHH", ident, step, 3)


def bundle_add(ident: int, xid: int, kind: Type, body: bytes) -> bytes:
    """A message put into a bundle; both carry the same transaction id (section 7.3.9.6)."""
    return struct.pack("!I2xH", ident, 3) + message(kind, xid, body)


def flow_mod(command: FlowCommand, flow: Flow) -> bytes:
    """Section 7.3.4.1. A flow is deleted only if it carries the very cookie, so never somebody else's."""
    mask = 0xFFFFFFFFFFFFFFFF if command is FlowCommand.DELETE_STRICT else 0
    instructions = b"" if command is FlowCommand.DELETE_STRICT else _instructions(flow)
    idle, hard, flags = flow.settings
    return (
        struct.pack("!QQBBHHH", flow.cookie, mask, flow.table, command, idle, hard, flow.priority)
        + struct.pack("!IIIHH", NO_BUFFER, PORT_ANY, GROUP_ANY, flags, 0)
        + _match(flow.match)
        + instructions
    )


def group_mod(command: GroupCommand, group: Group) -> bytes:
    """Section 7.3.4.2."""
    buckets = b"" if command is GroupCommand.DELETE else b"".join(map(_bucket, group.buckets))
    return struct.pack("!HBxI", command, group.kind, group.ident) + buckets


def port_mod(port: Port, config: int, mask: int) -> bytes:
    """Section 7.3.4.3."""
    return struct.pack("!I4x6s2xII", port.number, port.address, config, mask)


def _match(match: Match) -> bytes:
    fields = b""
    if match.in_port is not None:
        fields += struct.pack("!HBBI", 0x8000, 0 << 1, 4, match.in_port)
    if match.eth_dst is not None:
        masked = match.eth_dst_mask != b"\xff" * 6
        value = match.eth_dst + (match.eth_dst_mask if masked else b"")
        fields += struct.pack("!HBB", 0x8000, 3 << 1 | masked, len(value)) + value
    if match.vlan_vid is not None:
        masked = match.vlan_mask != VID_MASK
        value = struct.pack("!HH", match.vlan_vid, match.vlan_mask)[: 4 if masked else 2]
        fields += struct.pack("!HBB", 0x8000, 6 << 1 | masked, len(value)) + value
    return _padded(struct.pack("!HH", 1, 4 + len(fields) + len(match.other)) + fields + match.other)


def _instructions(flow: Flow) -> bytes:
    encoded = b""
    if flow.actions:
        actions = b"".join(map(_action, flow.actions))
        encoded += struct.pack("!HH4x", 4, 8 + len(actions)) + actions
    if flow.goto is not None:
        encoded += struct.pack("!HHB3x", 1, 8, flow.goto)
    return encoded + flow.instructions


def _action(action: Action) -> bytes:
    match action:
        case Output(port):
            return struct.pack("!HHIH6x", 0, 16, port, 0)
        case ToGroup(group):
            return struct.pack("!HHI", 22, 8, group)
        case PushVlan(ethertype):
            return struct.pack("!HHH2x", 17, 8, ethertype)
        case PopVlan():
            return struct.pack("!HH4x", 18, 8)
        case SetVlan(vid):
            return struct.pack("!HHHBBH6x", 25, 16, 0x8000, 6 << 1, 2, vid)
        case OtherAction(octets):
            return octets


def _bucket(bucket: Bucket) -> bytes:
    actions = b"".join(map(_action, bucket.actions))
    return struct.pack("!HHII4x", 16 + len(actions), bucket.weight, bucket.watch_port, GROUP_ANY) + actions


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 8)


# --- from the switch to us -------------------------------------------------------------------------------------------


def parse_hello(version: int, body: bytes) -> bool:
    """Whether the peer speaks 1.4: by its bitmap of versions, or else by the highest one (section 7.5.1)."""
    for kind, _length, value in _elements(body):
        if kind == 1 and len(value) >= 4:
            return bool(struct.unpack_from("!I", value)[0] >> VERSION & 1)
    return version >= VERSION


def parse_features(body: bytes) -> tuple[int, int]:
    """Datapath id and number of tables (section 7.3.1)."""
    datapath, _buffers, tables = struct.unpack_from("!QIB", _at_least(body, 24))
    return datapath, tables


def parse_ports(parts: Iterable[bytes]) -> list[Port]:
    """Section 7.3.5.8 and 7.2.1; reserved ports are left out."""
    ports = []
    for part in parts:
        at = 0
        while at < len(part):
            number, length, address, name, config = struct.unpack_from("!IH2x6s2x16sI", _at_least(part, at + 40), at)
            if number <= PORT_MAX:
                ports.append(Port(number, name.rstrip(b"\0").decode(errors="replace"), address, config))
            at += max(length, 40)
    return ports


def parse_flows(parts: Iterable[bytes]) -> list[Flow]:
    """Section 7.3.5.2."""
    flows = []
    for part in parts:
        at = 0
        while at < len(part):
            (length,) = struct.unpack_from("!H", part, at)
            entry = _at_least(part[at : at + length], 56)
            # Length as such, durations and counters would make every entry a new one.
            flows.append(_parse_flow(bytes(2) + entry[2:4] + entry[12:32], entry[48:]))
            at += length
    return flows


def parse_groups(parts: Iterable[bytes]) -> list[Group]:
    """Section 7.3.5.7."""
    groups = []
    for part in parts:
        at = 0
        while at < len(part):
            length, kind, ident = struct.unpack_from("!HBxI", _at_least(part, at + 8), at)
            groups.append(Group(ident, kind, tuple(_parse_buckets(part[at + 8 : at + length]))))
            at += max(length, 8)
    return groups


@lru_cache(maxsize=1 << 14)
def _parse_flow(head: bytes, rest: bytes) -> Flow:
    """`head` is what comes before the match, without durations and counters. Most flows have been seen before."""
    table, priority, idle, hard, flags, cookie = struct.unpack("!2xBxHHHH4xQ", head)
    match_length = struct.unpack_from("!H", rest, 2)[0]
    actions: tuple[Action, ...] = ()
    goto, instructions = None, b""
    at = match_length + -match_length % 8
    while at < len(rest):
        kind, length = struct.unpack_from("!HH", rest, at)
        if kind == 1:
            goto = rest[at + 4]
        elif kind == 4 and not actions:
            actions = tuple(_parse_actions(rest[at + 8 : at + length]))
        else:
            instructions += rest[at : at + length]
        at += max(length, 8)
    match = _parse_match(rest[4:match_length])
    return Flow(table, priority, match, cookie, actions, goto, instructions, (idle, hard, flags))


def _parse_match(fields: bytes) -> Match:
    known: dict[int, bytes] = {}
    other, at = b"", 0
    while at < len(fields):
        space, field, length = struct.unpack_from("!HBB", fields, at)
        value = fields[at + 4 : at + 4 + length]
        if space == 0x8000 and field >> 1 in {0, 3, 6} and (field >> 1 or not field & 1):
            known[field >> 1] = value
        else:
            other += fields[at : at + 4 + length]
        at += 4 + length
    in_port, eth, vlan = known.get(0), known.get(3), known.get(6)
    return Match(
        in_port=None if in_port is None else int.from_bytes(in_port),
        vlan_vid=None if vlan is None else int.from_bytes(vlan[:2]),
        vlan_mask=int.from_bytes(vlan[2:]) & VID_MASK if vlan and vlan[2:] else VID_MASK,
        eth_dst=None if eth is None else eth[:6],
        eth_dst_mask=(eth[6:] if eth else b"") or b"\xff" * 6,
        other=other,
    )


def _parse_actions(octets: bytes) -> Iterator[Action]:
    at = 0
    while at < len(octets):
        kind, length = struct.unpack_from("!HH", octets, at)
        if kind == 0:
            yield Output(struct.unpack_from("!I", octets, at + 4)[0])
        elif kind == 22:
            yield ToGroup(struct.unpack_from("!I", octets, at + 4)[0])
        elif kind == 17:
            yield PushVlan(struct.unpack_from("!H", octets, at + 4)[0])
        elif kind == 18:
            yield PopVlan()
        elif kind == 25 and octets[at + 4 : at + 8] == b"\x80\x00\x0c\x02":
            yield SetVlan(struct.unpack_from("!H", octets, at + 8)[0])
        else:
            yield OtherAction(octets[at : at + length])
        at += max(length, 8)


def _parse_buckets(octets: bytes) -> Iterator[Bucket]:
    at = 0
    while at < len(octets):
        length, weight, watch_port = struct.unpack_from("!HHI", octets, at)
        yield Bucket(tuple(_parse_actions(octets[at + 16 : at + length])), watch_port, weight)
        at += max(length, 16)


def _elements(octets: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + 4 <= len(octets):
        kind, length = struct.unpack_from("!HH", octets, at)
        yield kind, length, octets[at + 4 : at + length]
        at += max(length + -length % 8, 8)


def _at_least(octets: bytes, length: int) -> bytes:
    if len(octets) < length:
        raise Temporary(f"an OpenFlow message ends after {len(octets)} octets, where {length} are due")
    return octets


# --- errors (section 7.5.4) ------------------------------------------------------------------------------------------

_ERRORS = {
    **{0: "HELLO_FAILED", 1: "BAD_REQUEST", 2: "BAD_ACTION", 3: "BAD_INSTRUCTION", 4: "BAD_MATCH"},
    **{5: "FLOW_MOD_FAILED", 6: "GROUP_MOD_FAILED", 7: "PORT_MOD_FAILED", 14: "BAD_PROPERTY", 17: "BUNDLE_FAILED"},
}
_CODES = {
    **{(0, 0): "no common version", (1, 1): "unknown type", (1, 5): "no permission", (1, 10): "we are a slave"},
    **{(5, 1): "the table is full", (5, 2): "no such table", (6, 0): "there is such a group", (6, 4): "no more groups"},
    **{(6, 8): "no such group", (17, 5): "no more bundles", (17, 13): "a message in it failed", (17, 14): "timed out"},
}
_TEMPORARY = frozenset({(1, 10), (6, 0), (6, 8), (17, 5), (17, 13), (17, 14), (17, 15)})
"""What may pass: another master, a table that has changed since it was read, a bundle that came too late."""


def parse_error(body: bytes) -> tuple[bool, str]:
    """Whether it may pass, and what it says."""
    kind, code = struct.unpack_from("!HH", _at_least(body, 4))
    meaning = _CODES.get((kind, code))
    return (kind, code) in _TEMPORARY, f"{_ERRORS.get(kind, f'error {kind}')} {code}" + (
        f" ({meaning})" * bool(meaning)
    )
