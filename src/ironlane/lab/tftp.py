"""TFTP (RFC 1350), octet mode, read only: a server and a client on a virtual endpoint."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from ironlane.lab.endpoint import Ipv4Endpoint
from ironlane.lab.frames import Ipv4, Udp

PORT = 69
BLOCK = 512
_RRQ, _WRQ, _DATA, _ACK, _ERROR = 1, 2, 3, 4, 5
_NOT_FOUND, _ILLEGAL = 1, 4

ReadFile = Callable[[str], bytes | None]
"""From a file name to its content; None if there is no such file."""


class TftpError(Exception):
    """The file was not transferred; the message says why."""


def files_below(root: Path) -> ReadFile:
    """Serve the regular files below a directory; names that lead out of it are not found."""
    root = root.resolve()

    def read(name: str) -> bytes | None:
        path = (root / name.lstrip("/")).resolve()
        return path.read_bytes() if path.is_relative_to(root) and path.is_file() else None

    return read


class TftpServer:
    """Answers read requests that come to an endpoint; each transfer has a port (TID) of its own."""

    def __init__(self, endpoint: Ipv4Endpoint, read_file: ReadFile) -> None:
        self._endpoint = endpoint
        self._read_file = read_file
        self._transfers: dict[tuple[IPv4Address, int], int] = {}
        self._next_tid = 49152
        endpoint.bind(PORT, self._request)

    def _request(self, mac: bytes, packet: Ipv4, datagram: Udp) -> None:
        tid = self._next_tid
        self._next_tid = 49152 + (self._next_tid - 49151) % 16384

        def send(payload: bytes) -> None:
            self._endpoint.send_udp(mac, packet.src, Udp(tid, datagram.src_port, payload), source=packet.dst)

        opcode = int.from_bytes(datagram.payload[:2], "big")
        name, _, rest = datagram.payload[2:].partition(b"\0")
        if opcode != _RRQ or rest.partition(b"\0")[0].lower() != b"octet":
            send(struct.pack("!HH", _ERROR, _ILLEGAL) + b"only octet reads are served\0")
            return
        content = self._read_file(name.decode(errors="replace"))
        if content is None:
            send(struct.pack("!HH", _ERROR, _NOT_FOUND) + b"no such file\0")
            return
        client = (packet.src, datagram.src_port)
        self._endpoint.unbind(self._transfers.get(client, 0))  # the client began anew
        self._transfers[client] = tid
        self._serve(client, tid, content, send)

    def _serve(self, client: tuple[IPv4Address, int], tid: int, content: bytes, send: Callable[[bytes], None]) -> None:
        last = len(content) // BLOCK + 1

        def send_block(block: int) -> None:
            send(struct.pack("!HH", _DATA, block & 0xFFFF) + content[(block - 1) * BLOCK : block * BLOCK])

        sent = 1

        def acknowledged(_mac: bytes, packet: Ipv4, datagram: Udp) -> None:
            nonlocal sent
            if (packet.src, datagram.src_port) != client or datagram.payload != struct.pack("!HH", _ACK, sent & 0xFFFF):
                return
            if sent == last:
                self._endpoint.unbind(tid)
                self._transfers.pop(client, None)
                return
            sent += 1
            send_block(sent)

        self._endpoint.bind(tid, acknowledged)
        send_block(1)


async def read(endpoint: Ipv4Endpoint, server: IPv4Address, name: str, *, port: int, timeout: float) -> bytes:
    """Read a file from a TFTP server in the endpoint's own subnet. `port` is the client's; `timeout` s a block.

    Raises:
        TftpError: the server is not there, has no such file, or stopped answering.
    """
    mac = endpoint.resolve(server)
    if mac is None:
        raise TftpError(f"TFTP server {server} does not answer ARP")
    arrived: asyncio.Queue[Udp] = asyncio.Queue()
    endpoint.bind(port, lambda _mac, packet, datagram: arrived.put_nowait(datagram) if packet.src == server else None)
    try:
        endpoint.send_udp(mac, server, Udp(port, PORT, struct.pack("!H", _RRQ) + name.encode() + b"\0octet\0"))
        content = bytearray()
        expected = 1
        while True:
            datagram = await asyncio.wait_for(arrived.get(), timeout)
            if len(datagram.payload) < 4:
                continue
            opcode, number = struct.unpack_from("!HH", datagram.payload)
            if opcode == _ERROR:
                reason = datagram.payload[4:].rstrip(b"\0").decode(errors="replace")
                raise TftpError(f"TFTP server {server}, file {name}: {reason}")
            if opcode != _DATA or number != expected & 0xFFFF:
                continue
            content += datagram.payload[4:]
            endpoint.send_udp(mac, server, Udp(port, datagram.src_port, struct.pack("!HH", _ACK, number)))
            if len(datagram.payload) < 4 + BLOCK:
                return bytes(content)
            expected += 1
    except TimeoutError:
        raise TftpError(f"TFTP server {server} stopped answering for file {name}") from None
    finally:
        endpoint.unbind(port)
