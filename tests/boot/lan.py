"""A LAN in a network namespace of the test's own, and a DHCP client on it that reads answers octet by octet.

`v0` is the server's NIC, `v1` the far end of its cable: what is sent there is raw frames with any MAC address. Nothing
here uses the product's or the lab's reading of the protocols.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_SETTLE = 5.0
"""Seconds an answer may take on a busy machine."""

DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
ASKED = bytes([1, 3, 6, 15, 26, 43, 60, 66, 67, 119, 121, 150, 175, 224, 249])


def why_not(*programs: str) -> str | None:
    """Why there can be no LAN here; None if there can."""
    missing = [p for p in ("ip", *programs) if shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if missing:
        return f"missing programs: {', '.join(missing)}"
    return None if os.geteuid() == 0 else "network namespaces need root"


def ip(*words: str) -> bytes:
    return subprocess.run(["ip", *words], check=True, capture_output=True).stdout


@contextmanager
def namespace() -> Iterator[None]:
    """The calling thread, and what it starts, in a new network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before:
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            yield
        finally:
            if libc.setns(before.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")


@dataclass(frozen=True)
class Answer:
    """A DHCP answer as it came: the fixed fields, and all options in raw octets."""

    yiaddr: str
    siaddr: str
    sname: bytes
    file: bytes
    options: dict[int, bytes] = field(default_factory=dict)

    @property
    def kind(self) -> int:
        return self.options[53][0]

    @property
    def said(self) -> dict[int, bytes]:
        """Options without those of the protocol itself (times, type, server, broadcast address)."""
        return {n: v.rstrip(b"\0") if n in {66, 67} else v for n, v in self.options.items() if n not in _PROTOCOL}


@dataclass(frozen=True)
class Answer6:
    """A DHCPv6 answer: the address in it, and all options in raw octets."""

    address: str
    options: dict[int, bytes]


_PROTOCOL = {28, 51, 53, 54, 58, 59}


class Lan:
    """Use within `namespace`."""

    def __init__(self, *addresses: str) -> None:
        ip("link", "set", "lo", "up")
        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        for name in ("accept_dad", "disable_ipv6"):  # an address that waits to be proved unique sends nothing
            Path(f"/proc/sys/net/ipv6/conf/v0/{name}").write_text("0")
        for address in addresses:
            ip("addr", "add", address, "dev", "v0", *(["nodad"] if ":" in address else []))
        for nic in ("v0", "v1"):
            ip("link", "set", nic, "up")
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self._socket.bind(("v1", 0))
        self._socket6 = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
        self._socket6.bind(("v1", 0))

    def close(self) -> None:
        self._socket.close()
        self._socket6.close()

    def ask(
        self,
        mac: str,
        kind: int = DISCOVER,
        *,
        options: dict[int, bytes] | None = None,
        asked: bytes = ASKED,
        relay: str = "",
        sentinel: str = "",
    ) -> Answer | None:
        """The answer to one question. None: none came until `sentinel`, who asks after it, was answered."""
        xid = self._send(mac, kind, {55: asked, **(options or {})}, relay)
        last = self._send(sentinel, DISCOVER, {55: asked}, "") if sentinel else b""
        deadline = time.monotonic() + _SETTLE
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                found = _answer(self._socket.recv(4096))
            except TimeoutError:
                break
            if found is not None and found[0] == xid:
                return found[1]
            if found is not None and found[0] == last:
                return None
        if sentinel:
            raise AssertionError(f"not even {sentinel} is answered")
        return None

    def lease(self, mac: str, **more: object) -> Answer:
        """DISCOVER, OFFER, REQUEST, ACK."""
        offer = self.ask(mac, **more)  # type: ignore[arg-type]
        assert offer is not None
        assert offer.kind == OFFER
        chosen = {50: socket.inet_aton(offer.yiaddr), 54: offer.options[54]}
        ack = self.ask(mac, REQUEST, options=chosen, **more)  # type: ignore[arg-type]
        assert ack is not None
        assert ack.kind == ACK
        return ack

    def renew(self, mac: str, address: str, **more: object) -> Answer | None:
        """A REQUEST as after a reboot (RFC 2131, INIT-REBOOT)."""
        return self.ask(mac, REQUEST, options={50: socket.inet_aton(address)}, **more)  # type: ignore[arg-type]

    def solicit(
        self, mac: str, asked: tuple[int, ...], *, ipxe: bool = False, seconds: float = _SETTLE
    ) -> Answer6 | None:
        """The ADVERTISE that a DHCPv6 SOLICIT for an address brings (RFC 8415); None if none comes in time."""
        hardware = bytes.fromhex(mac.replace(":", ""))
        source = bytes.fromhex("fe80") + bytes(8) + hardware
        server_mac = json.loads(ip("-json", "link", "show", "v0"))[0]["address"]
        ip("-6", "neigh", "replace", socket.inet_ntop(socket.AF_INET6, source), "lladdr", mac, "dev", "v0")
        options = {1: b"\0\3\0\1" + hardware, 3: hardware[2:] + bytes(8), 8: bytes(2)}
        options[6] = b"".join(code.to_bytes(2, "big") for code in asked)
        options |= {15: b"\0\4iPXE"} if ipxe else {}
        xid = os.urandom(3)
        message = b"\1" + xid + b"".join(struct.pack("!HH", n, len(v)) + v for n, v in options.items())
        group = socket.inet_pton(socket.AF_INET6, "ff02::1:2")
        length = 8 + len(message)
        pseudo = source + group + struct.pack("!II", length, 17)
        udp = struct.pack("!HHHH", 546, 547, length, 0) + message
        padded = pseudo + udp + bytes(len(udp) % 2)
        udp = udp[:6] + struct.pack("!H", _checksum(padded) or 0xFFFF) + udp[8:]
        header = struct.pack("!IHBB", 6 << 28, length, 17, 255) + source + group
        target = bytes.fromhex(server_mac.replace(":", ""))
        self._socket6.send(target + hardware + b"\x86\xdd" + header + udp)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._socket6.settimeout(left)
            try:
                frame = self._socket6.recv(4096)
            except TimeoutError:
                return None
            if frame[20] == 17 and frame[56:58] == b"\x02\x22" and frame[62:66] == b"\2" + xid:
                return _answer6(frame[66:])
        return None

    def _send(self, mac: str, kind: int, options: dict[int, bytes], relay: str) -> bytes:
        xid, chaddr = os.urandom(4), bytes.fromhex(mac.replace(":", ""))
        gateway = socket.inet_aton(relay) if relay else bytes(4)
        head = struct.pack(
            "!BBBB4sHH4s4s4s4s16s64s128s4s",
            *(
                1,
                1,
                6,
                1 if relay else 0,
                xid,
                0,
                0x8000,
                b"",
                b"",
                b"",
                gateway,
                chaddr,
                b"",
                b"",
                b"\x63\x82\x53\x63",
            ),
        )
        body = b"".join(bytes([n, len(v)]) + v for n, v in {53: bytes([kind]), **options}.items())
        payload = (head + body + b"\xff").ljust(300, b"\0")
        source, port = (gateway, 67) if relay else (bytes(4), 68)
        udp = struct.pack("!HHHH", port, 67, 8 + len(payload), 0) + payload
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source, b"\xff" * 4)
        header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
        self._socket.send(b"\xff" * 6 + chaddr + b"\x08\x00" + header + udp)
        return xid


def _options6(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(data):
        code, length = struct.unpack_from("!HH", data, at)
        found[code] = data[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _answer6(data: bytes) -> Answer6:
    options = _options6(data)
    address = _options6(options.get(3, bytes(12))[12:]).get(5, b"")
    return Answer6(socket.inet_ntop(socket.AF_INET6, address[:16]) if len(address) >= 16 else "", options)


def _checksum(header: bytes) -> int:
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def _answer(frame: bytes) -> tuple[bytes, Answer] | None:
    packet = frame[14:]
    header = (packet[0] & 15) * 4
    if packet[9] != 17 or packet[header : header + 2] != b"\x00\x43":
        return None
    message = packet[header + 8 :]
    if message[0] != 2:
        return None
    options: dict[int, bytes] = {}
    at = 240
    while at < len(message) and message[at] != 255:
        if message[at] == 0:
            at += 1
            continue
        length = message[at + 1]
        options[message[at]] = options.get(message[at], b"") + message[at + 2 : at + 2 + length]
        at += 2 + length
    fields = Answer(
        socket.inet_ntoa(message[16:20]),
        socket.inet_ntoa(message[20:24]),
        message[44:108].rstrip(b"\0"),
        message[108:236].rstrip(b"\0"),
        options,
    )
    return message[4:8], fields
