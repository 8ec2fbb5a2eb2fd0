"""A small IPv4 host on an Ethernet: ARP, ICMP echo, UDP. Servers and the services host speak IP through it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface

from ironlane.lab.frames import (
    BROADCAST,
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    IPPROTO_ICMP,
    IPPROTO_UDP,
    LIMITED_BROADCAST,
    NO_ADDRESS,
    Arp,
    Ethernet,
    FrameError,
    IcmpEcho,
    Ipv4,
    Udp,
    udp_frame,
)

_ARP_BYTES = ETHERTYPE_ARP.to_bytes(2, "big")
_IPV4_BYTES = ETHERTYPE_IPV4.to_bytes(2, "big")

UdpHandler = Callable[[bytes, Ipv4, Udp], None]
"""Called with the sender's MAC address, the packet and the datagram."""


class Ipv4Endpoint:
    """One MAC address with its IPv4 addresses. `send` puts an untagged frame on the wire.

    There is no ARP cache: each question goes out, so that every answer is true now. The wire is synchronous, so
    `resolve` and `ping` need no waiting; call them from a task, not from within a frame's delivery.
    """

    def __init__(self, mac: bytes, send: Callable[[bytes], None]) -> None:
        self.mac = mac
        self.addresses: list[IPv4Interface] = []
        self._send = send
        self._udp: dict[int, UdpHandler] = {}
        self._arp_heard: dict[IPv4Address, bytes] = {}
        self._echoes: set[tuple[IPv4Address, int]] = set()
        self._sequence = 0

    @property
    def ips(self) -> frozenset[IPv4Address]:
        return frozenset(address.ip for address in self.addresses)

    def source(self, to: IPv4Address) -> IPv4Address:
        """The own address that packets to `to` come from: one of the same subnet if there is one."""
        near = (address.ip for address in self.addresses if to in address.network)
        return next(near, self.addresses[0].ip if self.addresses else NO_ADDRESS)

    def resolve(self, ip: IPv4Address) -> bytes | None:
        """Ask by ARP who has the address; None when nobody answers."""
        self._arp_heard.pop(ip, None)
        request = Arp(Arp.REQUEST, self.mac, self.source(ip), bytes(6), ip)
        self._send(Ethernet(BROADCAST, self.mac, ETHERTYPE_ARP, request.pack()).pack())
        return self._arp_heard.get(ip)

    def announce(self) -> None:
        """Gratuitous ARP for all own addresses (RFC 5227, section 3): switches learn where this MAC address is now."""
        for ip in sorted(self.ips or {NO_ADDRESS}):
            arp = Arp(Arp.REQUEST, self.mac, ip, bytes(6), ip)
            self._send(Ethernet(BROADCAST, self.mac, ETHERTYPE_ARP, arp.pack()).pack())

    def ping(self, ip: IPv4Address) -> bool:
        """ARP, then one ICMP echo; whether the reply came."""
        mac = self.resolve(ip)
        if mac is None:
            return False
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._echoes.clear()
        packet = Ipv4(self.source(ip), ip, IPPROTO_ICMP, IcmpEcho(False, 1, self._sequence, b"ironlane").pack())
        self._send(Ethernet(mac, self.mac, ETHERTYPE_IPV4, packet.pack()).pack())
        return (ip, self._sequence) in self._echoes

    def bind(self, port: int, handler: UdpHandler) -> None:
        """Have datagrams for a UDP port handled; one handler a port."""
        self._udp[port] = handler

    def unbind(self, port: int) -> None:
        self._udp.pop(port, None)

    def send_udp(self, mac: bytes, to: IPv4Address, datagram: Udp, *, source: IPv4Address | None = None) -> None:
        """Send a datagram, from `source` if it is an answer: it has to come from the address that was asked."""
        self._send(udp_frame(self.mac, mac, source or self.source(to), to, datagram))

    def receive(self, frame: bytes) -> None:
        """Handle an untagged frame; what is malformed or not for us is ignored."""
        if not self._concerns(frame):
            return
        try:
            ethernet = Ethernet.parse(frame)
            if ethernet.vlan is not None:
                return
            if ethernet.ethertype == ETHERTYPE_ARP:
                self._receive_arp(Arp.parse(ethernet.payload))
            elif ethernet.ethertype == ETHERTYPE_IPV4:
                self._receive_ipv4(ethernet.src, Ipv4.parse(ethernet.payload))
        except FrameError:
            return

    def _concerns(self, frame: bytes) -> bool:
        """Drop most broadcasts by a glance at their bytes: on a full rack each goes to hundreds of hosts."""
        if frame[:6] != BROADCAST:
            return frame[:6] == self.mac
        kind = frame[12:14]
        if kind == _ARP_BYTES:
            return any(frame[38:42] == address.packed for address in self.addresses)
        if kind == _IPV4_BYTES and frame[14:15] == b"\x45" and frame[23:24] == b"\x11":
            return int.from_bytes(frame[36:38], "big") in self._udp
        return kind == _IPV4_BYTES

    def _receive_arp(self, arp: Arp) -> None:
        self._arp_heard[arp.sender_ip] = arp.sender_mac
        if arp.operation == Arp.REQUEST and arp.target_ip in self.ips and arp.sender_mac != self.mac:
            reply = Arp(Arp.REPLY, self.mac, arp.target_ip, arp.sender_mac, arp.sender_ip)
            self._send(Ethernet(arp.sender_mac, self.mac, ETHERTYPE_ARP, reply.pack()).pack())

    def _receive_ipv4(self, src_mac: bytes, packet: Ipv4) -> None:
        # a host without an address takes what comes to its MAC address: DHCP answers (RFC 2131, section 4.1)
        if self.addresses and packet.dst not in self.ips and packet.dst != LIMITED_BROADCAST:
            return
        if packet.protocol == IPPROTO_UDP:
            datagram = Udp.parse(packet)
            handler = self._udp.get(datagram.dst_port)
            if handler is not None:
                handler(src_mac, packet, datagram)
        elif packet.protocol == IPPROTO_ICMP:
            self._receive_echo(src_mac, packet)

    def _receive_echo(self, src_mac: bytes, packet: Ipv4) -> None:
        echo = IcmpEcho.parse(packet)
        if echo.reply:
            self._echoes.add((packet.src, echo.sequence))
        elif packet.dst in self.ips:
            reply = IcmpEcho(True, echo.identifier, echo.sequence, echo.payload)
            answer = Ipv4(packet.dst, packet.src, IPPROTO_ICMP, reply.pack())
            self._send(Ethernet(src_mac, self.mac, ETHERTYPE_IPV4, answer.pack()).pack())
