"""DHCP options as clients write them: understood, or refused with the field named; never passed on unparsed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironlane.boot.dnsmasq_files import options_file
from ironlane.model.dhcp import Condition, Kind, parse_option
from ironlane.model.errors import Invalid


@pytest.mark.parametrize(
    ("name", "value", "version", "number", "packed"),
    [
        ("67", "undionly.kpxe", 4, 67, b"undionly.kpxe"),
        ("bootfile-name", "a", 4, 67, b"a"),
        ("option:tftp-server", "a", 4, 66, b"a"),
        ("tftp-server-name", "a", 4, 66, b"a"),
        ("server-ip-address", "10.0.0.1", 4, 255, bytes([10, 0, 0, 1])),
        ("150", "10.0.0.1, 10.0.0.2", 4, 150, bytes([10, 0, 0, 1, 10, 0, 0, 2])),
        ("mtu", "9000", 4, 26, b"\x23\x28"),
        ("121", "10.128.0.0/9,10.0.0.1", 4, 121, bytes([9, 10, 128, 10, 0, 0, 1])),
        ("119", "a.org,b.org", 4, 119, b"\x01a\x03org\0\x01b\x03org\0"),
        ("59", "http://[fd00::1]/x", 6, 59, b"http://[fd00::1]/x"),
        ("dns-server", "fd00::1", 6, 23, b"\xfd" + bytes(14) + b"\x01"),
        ("224", "aa:bb", 4, 224, b"\xaa\xbb"),
        ("224", "70000", 4, 224, (70000).to_bytes(4, "big")),
        ("224", "text", 4, 224, b"text"),
    ],
)
def test_options_are_understood(name: str, value: str, version: int, number: int, packed: bytes) -> None:
    option = parse_option(name, value, version)
    assert (option.number, option.packed(), option.version) == (number, packed, version)


def test_conditions() -> None:
    assert parse_option("tag:ipxe,67", "x").conditions == (Condition("ipxe"),)
    assert parse_option("tag:!ipxe, tag:efi-arm64, 67", "x").conditions == (
        Condition("ipxe", negated=True),
        Condition("efi-arm64"),
    )
    assert parse_option("!175,67", "x").conditions == (Condition("ipxe", negated=True),)
    assert parse_option("router", "").kind is Kind.NOTHING


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("67", "a\ndhcp-option=66,evil", "opt_value"),
        ("67", "a\rb", "opt_value"),
        ("67", "a\u2028b", "opt_value"),
        ("67", "a\x1bb", "opt_value"),
        ("67", "x\n", "opt_value"),
        ("67", "ü" * 128, "opt_value"),
        ("150", "not-an-address", "opt_value"),
        ("150", "fd00::1", "opt_value"),
        ("mtu", "65536", "opt_value"),
        ("mtu", "-1", "opt_value"),
        ("121", "10.0.0.0/8", "opt_value"),
        ("119", "a b", "opt_value"),
        ("no-such-option", "x", "opt_name"),
        ("tag:x,67", "x", "opt_name"),
        ("tag:p-other,67", "x", "opt_name"),
        ("67,evil", "x", "opt_name"),
        ("encap:175,67", "x", "opt_name"),
        ("set:y,67", "x", "opt_name"),
        ("67\n66", "x", "opt_name"),
        ("0", "x", "opt_name"),
        ("256", "x", "opt_name"),
        ("53", "5", "opt_name"),
        ("54", "10.0.0.1", "opt_name"),
    ],
)
def test_what_is_not_understood_is_refused(name: str, value: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_option(name, value)
    assert refused.value.field == field


@given(st.sampled_from(["67", "tag:ipxe,66", "224", "150", "119", "router", "121", "mtu"]), st.text(max_size=255))
def test_whatever_is_accepted_is_one_line(name: str, value: str) -> None:
    try:
        option = parse_option(name, value)
    except Invalid:
        return
    text = options_file("port", [option])
    assert len(text.splitlines()) == 1
    assert text.startswith("tag:p-port,")
    if option.kind is Kind.TEXT:
        quoted = text.rstrip("\n").split(",", len(option.conditions) + 2)[-1]
        assert (quoted[0], quoted[-1]) == ('"', '"')
        inner = quoted[1:-1]
        assert inner.replace("\\\\", "").replace('\\"', "").count('"') == 0
        assert not inner.replace("\\\\", "").endswith("\\")
