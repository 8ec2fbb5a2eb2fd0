"""Frames and packets as bytes: Ethernet II with 802.1Q, ARP, IPv4, UDP, ICMP echo, LLDP, LACPDUs.

MAC addresses are 6 bytes, IPv4 addresses `ipaddress.IPv4Address`, frames come without preamble and FCS. Each type has
`pack()` and `parse()`; `parse` raises `FrameError` on what it cannot read.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

BROADCAST = b"\xff" * 6
LLDP_MULTICAST = bytes.fromhex("0180c200000e")
"""Nearest bridge (IEEE 802.1AB-2016, 7.1)."""
SLOW_MULTICAST = bytes.fromhex("0180c2000002")
"""Slow protocols (IEEE 802.3-2018, annex 57A)."""
LINK_LOCAL_PREFIX = bytes.fromhex("0180c20000")
"""Addresses 01-80-C2-00-00-0x, which no bridge forwards (IEEE 802.1Q-2018, table 8-1)."""

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_VLAN = 0x8100
ETHERTYPE_SLOW = 0x8809
ETHERTYPE_PROBE = 0x88B5
"""Local experimental ethertype 1 (IEEE 802-2014, 9.2.4)."""
ETHERTYPE_LLDP = 0x88CC

IPPROTO_ICMP = 1
IPPROTO_UDP = 17

NO_ADDRESS = IPv4Address(0)
LIMITED_BROADCAST = IPv4Address("255.255.255.255")


class FrameError(ValueError):
    """Bytes that are not a well-formed frame or packet of the kind asked for."""


def mac_bytes(text: str) -> bytes:
    """6 bytes from a MAC address in text, with colons, hyphens, dots or nothing between the digits."""
    digits = re.sub(r"[:.\-]", "", text)
    if not re.fullmatch(r"[0-9a-fA-F]{12}", digits):
        raise ValueError(f"{text!r} is not a MAC address")
    return bytes.fromhex(digits)


def mac_text(mac: bytes) -> str:
    """`aa:bb:cc:dd:ee:ff`."""
    return mac.hex(":")


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): ones' complement of the ones' complement sum of 16-bit words."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True, slots=True)
class Ethernet:
    """An Ethernet II frame, with at most one 802.1Q tag (`vlan`; 0 is a priority tag, None is untagged)."""

    dst: bytes
    src: bytes
    ethertype: int
    payload: bytes
    vlan: int | None = None
    priority: int = 0

    def pack(self) -> bytes:
        tag = b"" if self.vlan is None else struct.pack("!HH", ETHERTYPE_VLAN, self.priority << 13 | self.vlan)
        return self.dst + self.src + tag + struct.pack("!H", self.ethertype) + self.payload

    @classmethod
    def parse(cls, frame: bytes) -> Ethernet:
        if len(frame) < 14:
            raise FrameError(f"{len(frame)} bytes are no Ethernet frame")
        (ethertype,) = struct.unpack_from("!H", frame, 12)
        if ethertype != ETHERTYPE_VLAN:
            return cls(frame[:6], frame[6:12], ethertype, frame[14:])
        if len(frame) < 18:
            raise FrameError("the 802.1Q tag is cut off")
        tci, inner = struct.unpack_from("!HH", frame, 14)
        return cls(frame[:6], frame[6:12], inner, frame[18:], tci & 0xFFF, tci >> 13)


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP packet for IPv4 over Ethernet (RFC 826)."""

    operation: int
    sender_mac: bytes
    sender_ip: IPv4Address
    target_mac: bytes
    target_ip: IPv4Address

    REQUEST = 1
    REPLY = 2

    def pack(self) -> bytes:
        return (
            struct.pack("!HHBBH", 1, ETHERTYPE_IPV4, 6, 4, self.operation)
            + self.sender_mac
            + self.sender_ip.packed
            + self.target_mac
            + self.target_ip.packed
        )

    @classmethod
    def parse(cls, data: bytes) -> Arp:
        if len(data) < 28 or struct.unpack_from("!HHBB", data) != (1, ETHERTYPE_IPV4, 6, 4):
            raise FrameError("not ARP for IPv4 over Ethernet")
        (operation,) = struct.unpack_from("!H", data, 6)
        return cls(operation, data[8:14], IPv4Address(data[14:18]), data[18:24], IPv4Address(data[24:28]))


@dataclass(frozen=True, slots=True)
class Ipv4:
    """An IPv4 packet without options or fragmentation (RFC 791)."""

    src: IPv4Address
    dst: IPv4Address
    protocol: int
    payload: bytes
    ttl: int = 64

    def pack(self) -> bytes:
        total = 20 + len(self.payload)
        head = struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0x4000, self.ttl, self.protocol, 0)
        head += self.src.packed + self.dst.packed
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + self.payload

    @classmethod
    def parse(cls, data: bytes) -> Ipv4:
        if len(data) < 20 or data[0] >> 4 != 4:
            raise FrameError("not an IPv4 packet")
        length = (data[0] & 0xF) * 4
        (total,) = struct.unpack_from("!H", data, 2)
        if length < 20 or not length <= total <= len(data):
            raise FrameError("IPv4 lengths contradict each other")
        if checksum(data[:length]):
            raise FrameError("IPv4 header checksum is wrong")
        return cls(IPv4Address(data[12:16]), IPv4Address(data[16:20]), data[9], data[length:total], data[8])


@dataclass(frozen=True, slots=True)
class Udp:
    """A UDP datagram (RFC 768). The checksum covers the addresses of the IPv4 packet around it."""

    src_port: int
    dst_port: int
    payload: bytes

    def pack(self, src: IPv4Address, dst: IPv4Address) -> bytes:
        length = 8 + len(self.payload)
        head = struct.pack("!HHH", self.src_port, self.dst_port, length)
        total = checksum(_pseudo_header(src, dst, length) + head + b"\0\0" + self.payload)
        return head + struct.pack("!H", total or 0xFFFF) + self.payload

    @classmethod
    def parse(cls, packet: Ipv4) -> Udp:
        data = packet.payload
        if packet.protocol != IPPROTO_UDP or len(data) < 8:
            raise FrameError("not a UDP datagram")
        src_port, dst_port, length, total = struct.unpack_from("!HHHH", data)
        if not 8 <= length <= len(data):
            raise FrameError("UDP length is wrong")
        if total and checksum(_pseudo_header(packet.src, packet.dst, length) + data[:length]):
            raise FrameError("UDP checksum is wrong")
        return cls(src_port, dst_port, data[8:length])


def _pseudo_header(src: IPv4Address, dst: IPv4Address, length: int) -> bytes:
    return src.packed + dst.packed + struct.pack("!BBH", 0, IPPROTO_UDP, length)


@dataclass(frozen=True, slots=True)
class IcmpEcho:
    """An ICMP echo request or reply (RFC 792)."""

    reply: bool
    identifier: int
    sequence: int
    payload: bytes = b""

    def pack(self) -> bytes:
        rest = struct.pack("!HH", self.identifier, self.sequence) + self.payload
        kind = bytes([0 if self.reply else 8, 0])
        return kind + struct.pack("!H", checksum(kind + b"\0\0" + rest)) + rest

    @classmethod
    def parse(cls, packet: Ipv4) -> IcmpEcho:
        data = packet.payload
        if packet.protocol != IPPROTO_ICMP or len(data) < 8 or data[0] not in (0, 8) or checksum(data):
            raise FrameError("not an ICMP echo")
        identifier, sequence = struct.unpack_from("!HH", data, 4)
        return cls(data[0] == 0, identifier, sequence, data[8:])


@dataclass(frozen=True, slots=True)
class Lldp:
    """An LLDPDU (IEEE 802.1AB-2016, clause 8): chassis id a MAC address, `ttl` s.

    The port id is an interface's name, as switches send it, or a MAC address (`port_mac`), as hosts do.
    """

    chassis: bytes
    port: str
    system_name: str = ""
    ttl: int = 120
    port_mac: bytes = b""

    def pack(self) -> bytes:
        port = b"\x03" + self.port_mac if self.port_mac else b"\x05" + self.port.encode()
        tlvs = [(1, b"\x04" + self.chassis), (2, port), (3, struct.pack("!H", self.ttl))]
        if self.system_name:
            tlvs.append((5, self.system_name.encode()))
        return b"".join(struct.pack("!H", kind << 9 | len(value)) + value for kind, value in [*tlvs, (0, b"")])

    @classmethod
    def parse(cls, data: bytes) -> Lldp:
        """Reads the TLVs up to the end TLV; those it does not know are skipped."""
        values: dict[int, bytes] = {}
        for kind, value in lldp_tlvs(data):
            values.setdefault(kind, value)
        chassis, port, ttl = values.get(1, b""), values.get(2, b""), values.get(3, b"")
        mac = port[1:] if port[:1] == b"\x03" and len(port) == 7 else b""
        if len(chassis) != 7 or chassis[0] != 4 or not (mac or port[:1] == b"\x05") or len(ttl) != 2:
            raise FrameError("not an LLDPDU with a MAC address as chassis id, and that or an interface name as port id")
        name = values.get(5, b"").decode(errors="replace")
        label = mac_text(mac) if mac else port[1:].decode(errors="replace")
        return cls(chassis[1:], label, name, struct.unpack("!H", ttl)[0], mac)

    def frame(self, src: bytes) -> bytes:
        """The Ethernet frame that a port with MAC address `src` sends."""
        return Ethernet(LLDP_MULTICAST, src, ETHERTYPE_LLDP, self.pack()).pack()


def lldp_tlvs(data: bytes) -> list[tuple[int, bytes]]:
    """Type and value of each TLV of an LLDPDU, up to the end TLV."""
    found = []
    at = 0
    while at + 2 <= len(data):
        (head,) = struct.unpack_from("!H", data, at)
        kind, length = head >> 9, head & 0x1FF
        if kind == 0:
            break
        found.append((kind, data[at + 2 : at + 2 + length]))
        at += 2 + length
    return found


LACP_ACTIVITY = 0x01
LACP_AGGREGATION = 0x04
LACP_SYNCHRONIZATION = 0x08
LACP_COLLECTING = 0x10
LACP_DISTRIBUTING = 0x20


@dataclass(frozen=True, slots=True)
class LacpInfo:
    """One side of a LACPDU (IEEE 802.1AX-2014, 6.4.2.3): whose port it is, and the bits of its `state`."""

    system: bytes = bytes(6)
    key: int = 0
    port: int = 0
    state: int = 0
    system_priority: int = 32768
    port_priority: int = 32768

    def pack(self) -> bytes:
        head = struct.pack("!H6sH", self.system_priority, self.system, self.key)
        return head + struct.pack("!HHB3x", self.port_priority, self.port, self.state)

    @classmethod
    def parse(cls, data: bytes) -> LacpInfo:
        system_priority, system, key, port_priority, port, state = struct.unpack("!H6sHHHB3x", data)
        return cls(system, key, port, state, system_priority, port_priority)


@dataclass(frozen=True, slots=True)
class Lacpdu:
    """A LACPDU, version 1: what the sender is (`actor`) and what it believes the receiver to be (`partner`)."""

    actor: LacpInfo
    partner: LacpInfo

    def pack(self) -> bytes:
        return (
            b"\x01\x01"  # subtype LACP, version
            + b"\x01\x14"
            + self.actor.pack()
            + b"\x02\x14"
            + self.partner.pack()
            + b"\x03\x10"  # collector information: no delay
            + bytes(14)
            + bytes(52)  # terminator and padding
        )

    @classmethod
    def parse(cls, data: bytes) -> Lacpdu:
        if len(data) < 110 or data[:4] != b"\x01\x01\x01\x14" or data[22:24] != b"\x02\x14":
            raise FrameError("not a LACPDU")
        return cls(LacpInfo.parse(data[4:22]), LacpInfo.parse(data[24:42]))

    def frame(self, src: bytes) -> bytes:
        """The Ethernet frame that a port with MAC address `src` sends."""
        return Ethernet(SLOW_MULTICAST, src, ETHERTYPE_SLOW, self.pack()).pack()


def udp_frame(src_mac: bytes, dst_mac: bytes, src: IPv4Address, dst: IPv4Address, datagram: Udp) -> bytes:
    """A UDP datagram in an IPv4 packet in an untagged Ethernet frame."""
    packet = Ipv4(src, dst, IPPROTO_UDP, datagram.pack(src, dst))
    return Ethernet(dst_mac, src_mac, ETHERTYPE_IPV4, packet.pack()).pack()
