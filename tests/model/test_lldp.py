"""LLDP as ironic-python-agent sends it: what is read, and that nothing malformed does harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironlane.model.lldp import Neighbour, from_parsed, from_tlvs, mac_form, told

LEAF = [
    [1, "04025a00010001"],
    [2, "05" + b"Ethernet1/2".hex()],
    [3, "0078"],
    [4, b"server-1 eth0".hex()],
    [5, b"leaf-1a.dc.example".hex()],
    [127, "0080c2010064"],
    [0, ""],
]


def test_a_switch_as_most_say_who_they_are() -> None:
    reading = from_tlvs(LEAF)
    assert reading.problems == ()
    assert reading.neighbour == Neighbour("02:5a:00:01:00:01", "Ethernet1/2", "server-1 eth0", "leaf-1a.dc.example")
    assert reading.neighbour.chassis_mac == "02:5a:00:01:00:01"
    assert reading.neighbour.port_mac is None


@pytest.mark.parametrize(
    ("tlv", "expected"),
    [
        ([2, "03525400010203"], Neighbour(port="52:54:00:01:02:03")),
        ([2, "07" + b"510".hex()], Neighbour(port="510")),
        ([2, "0401c0000201"], Neighbour(port="192.0.2.1")),
        ([1, "0502" + "20010db8" + "00" * 11 + "01"], Neighbour(chassis="2001:db8::1")),
        ([1, "06" + b"eth0".hex()], Neighbour(chassis="eth0")),
        ([1, "07" + b"FOC1234X0AB\0".hex()], Neighbour(chassis="FOC1234X0AB")),
    ],
)
def test_other_ways_to_say_it(tlv: Any, expected: Neighbour) -> None:
    assert from_tlvs([tlv]).neighbour == expected


def test_an_alias_names_a_port_only_as_a_description_does() -> None:
    reading = from_tlvs([[1, "04025a00010001"], [2, "01" + b"to server 7".hex()]])
    assert reading.neighbour == Neighbour("02:5a:00:01:00:01", port_description="to server 7")


@pytest.mark.parametrize(
    ("tlv", "problem"),
    [
        ([1, "0402"], "a MAC address of 1 bytes"),
        ([1, "04"], "1 bytes long"),
        ([1, ""], "0 bytes long"),
        ([2, "0541" + "41" * 300], "302 bytes long"),
        ([1, "00aabb"], "unknown subtype 0"),
        ([2, "09aabb"], "unknown subtype 9"),
        ([2, "0401c000"], "malformed network address"),
        ([2, "050000"], "the port id is empty"),
        ([2, "xyz"], "not hexadecimal"),
        ([2, 5], "is no text"),
        (["2", "0541"], "type that is not"),
        ([True, "0541"], "type that is not"),
        ([200, "0541"], "type that is not"),
        ([2], "no pair"),
        ("0541", "no pair"),
        (None, "no pair"),
        ([2, "0" + "\u0663" * 3], "not hexadecimal"),
    ],
)
def test_a_malformed_tlv_is_told_and_the_others_still_count(tlv: Any, problem: str) -> None:
    reading = from_tlvs([tlv, [5, b"leaf-1a".hex()]])
    assert len(reading.problems) == 1
    assert problem in reading.problems[0]
    assert reading.neighbour == Neighbour(system_name="leaf-1a")


@pytest.mark.parametrize("raw", [None, "text", 7, {"a": 1}])
def test_what_is_no_list_of_tlvs_is_told(raw: Any) -> None:
    assert from_tlvs(raw).neighbour is None
    assert from_tlvs(raw).problems == ("is no list of TLVs",)


def test_no_lldp_at_all_is_no_problem() -> None:
    assert from_tlvs([]) == from_tlvs([[3, "0078"], [0, ""]])
    assert from_tlvs([]).neighbour is None
    assert from_tlvs([]).problems == ()


def test_of_two_chassis_ids_the_first_counts() -> None:
    reading = from_tlvs([[1, "04025a00010001"], [1, "04025a00010002"]])
    assert reading.neighbour == Neighbour("02:5a:00:01:00:01")
    assert reading.problems == ("a second TLV of type 1",)


def test_parsed_lldp_of_plugin_data() -> None:
    parsed = {"switch_chassis_id": "88:5A:92:EC:54:59", "switch_port_id": "Ethernet1/18", "switch_system_name": "f20"}
    assert from_parsed(parsed).neighbour == Neighbour("88:5a:92:ec:54:59", "Ethernet1/18", system_name="f20")
    assert from_parsed({"switch_port_id": 18}).neighbour == Neighbour(port="18")
    assert from_parsed({"switch_port_id": ["x"]}).neighbour is None
    assert from_parsed("text").problems == ("is no object",)


@pytest.mark.parametrize("text", ["02:5A:00:01:00:01", "025a.0001.0001", "02-5a-00-01-00-01", "025a00-010001"])
def test_every_notation_of_a_mac_address(text: str) -> None:
    assert mac_form(text) == told(text).chassis == "02:5a:00:01:00:01"


def test_bare_digits_are_a_name() -> None:
    assert told(port="025a00010001").port_mac is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=4)
)
tlvs = st.lists(st.tuples(st.integers(-1, 200), st.binary(max_size=20).map(bytes.hex)).map(list) | json_values)


@given(tlvs)
def test_nothing_raises_and_all_that_is_read_can_be_stored(raw: Any) -> None:
    reading = from_tlvs(raw)
    assert json.dumps([*reading.problems]).isprintable()
    if reading.neighbour is not None:
        stored = json.dumps(reading.neighbour.as_json(), ensure_ascii=False)
        stored.encode()
        assert "\\u0000" not in stored
        assert Neighbour.from_json(json.loads(stored)) == reading.neighbour
