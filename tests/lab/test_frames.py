from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironlane.lab.frames import (
    Arp,
    Ethernet,
    FrameError,
    IcmpEcho,
    Ipv4,
    Lacpdu,
    LacpInfo,
    Lldp,
    Udp,
    checksum,
    mac_bytes,
    mac_text,
)

macs = st.binary(min_size=6, max_size=6)
ips = st.integers(0, 2**32 - 1).map(IPv4Address)
uint16 = st.integers(0, 65535)
infos = st.builds(LacpInfo, macs, uint16, uint16, st.integers(0, 255), system_priority=uint16, port_priority=uint16)


@given(st.builds(Ethernet, macs, macs, st.just(0x88B5), st.binary(), st.none() | st.integers(0, 4095)))
def test_ethernet_round_trip(frame: Ethernet) -> None:
    assert Ethernet.parse(frame.pack()) == frame


@given(st.builds(Arp, uint16, macs, ips, macs, ips))
def test_arp_round_trip(arp: Arp) -> None:
    assert Arp.parse(arp.pack()) == arp


@given(ips, ips, st.builds(Udp, uint16, uint16, st.binary()))
def test_udp_round_trip(src: IPv4Address, dst: IPv4Address, datagram: Udp) -> None:
    packet = Ipv4.parse(Ipv4(src, dst, 17, datagram.pack(src, dst)).pack())
    assert (packet.src, packet.dst) == (src, dst)
    assert Udp.parse(packet) == datagram


@given(st.builds(Lacpdu, infos, infos))
def test_lacpdu_round_trip(pdu: Lacpdu) -> None:
    assert len(pdu.pack()) == 110
    assert Lacpdu.parse(pdu.pack()) == pdu


@settings(max_examples=25)
@given(st.builds(Lldp, macs, st.text(max_size=20), st.text(max_size=20), uint16))
def test_lldp_round_trip(pdu: Lldp) -> None:
    assert Lldp.parse(pdu.pack()) == pdu


def test_icmp_round_trip() -> None:
    echo = IcmpEcho(True, 7, 9, b"x")
    assert IcmpEcho.parse(Ipv4(IPv4Address(1), IPv4Address(2), 1, echo.pack())) == echo


def test_known_bytes() -> None:
    """The header of RFC 1071's usual example, and an LLDPDU and a tag written out by hand."""
    header = bytes.fromhex("4500003c1c4640004006b1e6ac100a63ac100a0c")
    assert checksum(header) == 0
    assert checksum(header[:10] + b"\0\0" + header[12:]) == 0xB1E6
    assert Lldp(mac_bytes("02-00-00-00-00-01"), "p1", "s", 120).pack().hex() == (
        "0207" + "04020000000001" + "0403" + "057031" + "0602" + "0078" + "0a01" + "73" + "0000"
    )
    tagged = Ethernet(b"\xff" * 6, bytes(6), 0x0806, b"", 100, 3).pack()
    assert tagged[12:].hex() == "8100" + "6064" + "0806"


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (Ethernet.parse, b"short"),
        (Ethernet.parse, bytes(12) + b"\x81\x00\x00"),
        (Arp.parse, bytes(28)),
        (Ipv4.parse, bytes(20)),
        (Ipv4.parse, bytes.fromhex("4500001400000000401100000a0000010a000002")),
        (Ipv4.parse, bytes.fromhex("45000099") + bytes(16)),
        (Lacpdu.parse, bytes(110)),
        (Lldp.parse, b"\x00\x00"),
    ],
)
def test_malformed_is_refused(parse: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(FrameError):
        parse(data)


def test_damaged_udp_is_refused() -> None:
    a, b = IPv4Address(1), IPv4Address(2)
    good = Udp(1, 2, b"hello").pack(a, b)
    with pytest.raises(FrameError, match="checksum"):
        Udp.parse(Ipv4(a, b, 17, good[:-1] + b"!"))
    with pytest.raises(FrameError, match="length"):
        Udp.parse(Ipv4(a, b, 17, good[:-1]))


def test_mac_notations() -> None:
    for text in ("52:54:00:AB:cd:01", "52-54-00-ab-cd-01", "5254.00ab.cd01", "525400abcd01"):
        assert mac_text(mac_bytes(text)) == "52:54:00:ab:cd:01"
    with pytest.raises(ValueError, match="not a MAC"):
        mac_bytes("52:54")
