"""The probing process: sends small broadcast frames on NICs in many namespaces, and writes down which ones arrive.

Run by `probe.Probe`, never imported. The first line of stdin is a JSON object `{"interval": seconds, "tags": [VLAN id
or null, …], "listeners": [{"namespace", "nic", "mac"}, …]}`. It answers `ready` and then writes one line per arrival,
six fields: receiver's index, sender's index, tag sent (0: none), tag received (0: none), time sent, time received; all
times in nanoseconds of CLOCK_MONOTONIC, which all namespaces share. The time received is the kernel's, so it shows
when the switch let the frame out, however late this process gets to read it. It ends when stdin does; the last line is
the number of frames sent.
"""

import ctypes
import json
import os
import selectors
import socket
import struct
import sys
import time
from contextlib import suppress

ETHERTYPE = 0x88B5
"""IEEE 802 local experimental ethertype 1."""
MARK = b"ironlane probe"
PAYLOAD = struct.Struct("!14sHHQ")
"""Mark, sender's index, tag, time sent (ns)."""
ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA = 263, 8
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("=qq")
AUXDATA = struct.Struct("=IIIHHHH")
"""tpacket_auxdata, packet(7): status, len, snaplen, mac, net, vlan_tci, vlan_tpid."""
TP_STATUS_VLAN_VALID = 1 << 4
CLONE_NEWNET = 0x40000000
LINGER = 0.1
"""How long to go on listening after the last frame was sent, in seconds."""

REALTIME_AHEAD = time.time_ns() - time.monotonic_ns()
"""Kernel timestamps are of CLOCK_REALTIME; this far it runs ahead of CLOCK_MONOTONIC."""

libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace_file: str) -> None:
    """Make later sockets belong to a network namespace (setns(2))."""
    descriptor = os.open(namespace_file, os.O_RDONLY)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace_file}")
    finally:
        os.close(descriptor)


def open_nic(namespace: str, nic: str) -> socket.socket:
    """A raw socket on one NIC of a namespace; it stays there when the process moves on."""
    enter(f"/run/netns/{namespace}")
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    raw.bind((nic, ETH_P_ALL))
    raw.setblocking(False)
    return raw


def build(mac: bytes, index: int, tag: int, now: int) -> bytes:
    """A broadcast frame, padded to the 60 octets of the smallest Ethernet frame (without FCS)."""
    dot1q = struct.pack("!HH", 0x8100, tag) if tag else b""
    payload = PAYLOAD.pack(MARK, index, tag, now)
    frame = b"\xff" * 6 + mac + dot1q + struct.pack("!H", ETHERTYPE) + payload
    return frame.ljust(60, b"\0")


def parse(frame: bytes, received_tag: int) -> tuple[int, int, int, int] | None:
    """Sender's index, tag sent, time sent and tag received of a probe; None if it is another frame."""
    at = 12
    if frame[at : at + 2] == b"\x81\x00":
        received_tag = struct.unpack_from("!H", frame, at + 2)[0] & 0xFFF
        at += 4
    if len(frame) < at + 2 + PAYLOAD.size or frame[at : at + 2] != struct.pack("!H", ETHERTYPE):
        return None
    mark, index, tag, sent = PAYLOAD.unpack_from(frame, at + 2)
    return (index, tag, sent, received_tag) if mark == MARK else None


def metadata(ancillary: list) -> tuple[int, int]:
    """The tag that the kernel took off a frame (0: none), and when it arrived (ns of CLOCK_MONOTONIC)."""
    tag, arrived = 0, time.monotonic_ns()
    for level, kind, data in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, *_, tci, _tpid = AUXDATA.unpack_from(data)
            tag = tci & 0xFFF if status & TP_STATUS_VLAN_VALID else 0
        elif level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            arrived = seconds * 10**9 + nanoseconds - REALTIME_AHEAD
    return tag, arrived


def drain(receiver: int, raw: socket.socket) -> None:
    """Write down all probes that wait on one NIC."""
    while True:
        try:
            frame, ancillary, _flags, address = raw.recvmsg(2048, 256)
        except (BlockingIOError, OSError):  # nothing more, or the NIC is down
            return
        if address[2] == socket.PACKET_OUTGOING:
            continue
        tag, arrived = metadata(ancillary)
        if found := parse(frame, tag):
            index, tag_sent, sent, tag_received = found
            sys.stdout.write(f"{receiver} {index} {tag_sent} {tag_received} {sent} {arrived}\n")


def main() -> None:
    order = json.loads(sys.stdin.readline())
    nics = [open_nic(item["namespace"], item["nic"]) for item in order["listeners"]]
    macs = [bytes.fromhex(item["mac"].replace(":", "")) for item in order["listeners"]]
    tags = [tag or 0 for tag in order["tags"]]
    selector = selectors.DefaultSelector()
    for index, raw in enumerate(nics):
        selector.register(raw, selectors.EVENT_READ, (index, raw))
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    print("ready", flush=True)
    due, end, sent = time.monotonic(), float("inf"), 0
    while time.monotonic() < end:
        for key, _ in selector.select(max(0.0, min(due, end) - time.monotonic())):
            if key.data is None:
                selector.unregister(sys.stdin)
                end = time.monotonic() + LINGER
            else:
                drain(*key.data)
        if due <= time.monotonic() and end == float("inf"):
            for index, raw in enumerate(nics):
                for tag in tags:
                    with suppress(OSError):  # the NIC may be down: a cut cable
                        raw.send(build(macs[index], index, tag, time.monotonic_ns()))
                        sent += 1
            due = max(due + order["interval"], time.monotonic())
        elif end < float("inf"):
            due = end
        sys.stdout.flush()
    print(sent, flush=True)


if __name__ == "__main__":
    main()
