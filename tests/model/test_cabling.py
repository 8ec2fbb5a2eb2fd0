"""Records against LLDP: which contradict, which agree, and what proves nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironlane.model.cabling import Cable, KnownSwitch, Sighting, Verdict, judge, same_port_name, same_switch
from ironlane.model.link import LocalLink
from ironlane.model.lldp import Neighbour

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
FRESH = timedelta(days=30)
LEAF = KnownSwitch("leaf-1b", "02:5a:00:01:00:02")
RECORD = LocalLink("Ethernet1/3", LEAF.mac)
RIGHT = Neighbour("02:5a:00:01:00:02", "Ethernet1/3", system_name="leaf-1b")
MINE, SIBLING, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:00", "52:54:00:00:07:01"


def cable(heard: Neighbour | None = None, *shown: Neighbour, at: datetime = NOW, **changes: object) -> Cable:
    made = Cable(
        "server-1",
        "eth1",
        MINE,
        RECORD,
        LEAF,
        None if heard is None else Sighting(heard, at),
        [Sighting(neighbour, NOW) for neighbour in shown],
        frozenset({MINE}),
        frozenset({MINE, SIBLING}),
        {MINE: "NIC eth1 of node server-1", SIBLING: "NIC eth0 of node server-1", OTHER: "NIC eth1 of node server-7"},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def verdict(*args: Neighbour | None, **changes: object) -> Verdict:
    return judge(cable(*args, **changes), NOW, FRESH).verdict  # type: ignore[arg-type]


def test_the_sentence_names_both_ends() -> None:
    told = judge(cable(replace(RIGHT, port="Ethernet1/4"), at=NOW - timedelta(days=1)), NOW, FRESH)
    assert told.verdict is Verdict.CONTRADICTS
    assert told.sentence == (
        "NIC eth1 (52:54:00:00:00:01) of node server-1 is recorded at switch leaf-1b (02:5a:00:01:00:02) port"
        " Ethernet1/3, but by its LLDP it is cabled to switch leaf-1b (02:5a:00:01:00:02) port Ethernet1/4 (seen at"
        " 2026-11-24 12:00 UTC); move the cable and inspect the node again, or correct the port's local_link_connection"
    )


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (RIGHT, Verdict.AGREES),
        (replace(RIGHT, port="Eth1/3", system_name=""), Verdict.AGREES),
        (replace(RIGHT, chassis="02:5a:00:01:00:99", system_name="LEAF-1B.dc.example"), Verdict.AGREES),
        (replace(RIGHT, chassis="", system_name="leaf-1b"), Verdict.AGREES),
        (replace(RIGHT, port="510", port_description="Ethernet1/3"), Verdict.AGREES),
        (replace(RIGHT, chassis="02:5a:00:01:00:01", system_name="leaf-1a"), Verdict.CONTRADICTS),
        (replace(RIGHT, chassis="02:5a:00:01:00:01", system_name=""), Verdict.CONTRADICTS),
        (replace(RIGHT, port="Ethernet1/13"), Verdict.CONTRADICTS),
        (replace(RIGHT, port="Ethernet1/4", port_description="server-1 eth1"), Verdict.CONTRADICTS),
        (replace(RIGHT, chassis="", system_name="", port="Ethernet1/4"), Verdict.CONTRADICTS),
        (replace(RIGHT, port="510"), Verdict.UNCLEAR),
        (replace(RIGHT, port="02:5a:00:01:00:33"), Verdict.UNCLEAR),
        (replace(RIGHT, chassis="FOC1234", system_name=""), Verdict.UNCLEAR),
        (None, Verdict.UNSEEN),
    ],
)
def test_what_a_server_heard(heard: Neighbour | None, expected: Verdict) -> None:
    assert verdict(heard) is expected


def test_a_datapath_id_holds_the_switch_s_address() -> None:
    record, switch = LocalLink("p1", "0000025a00010002"), KnownSwitch("ovs", datapath_id="0000025a00010002")
    assert same_switch(record, switch, RIGHT) is True
    assert same_switch(record, switch, replace(RIGHT, chassis="02:5a:00:01:00:03", system_name="")) is False
    assert same_switch(record, None, RIGHT) is True


def test_a_switch_that_is_recorded_by_name_only() -> None:
    record = LocalLink("p1", None, "leaf-1b")
    assert same_switch(record, None, RIGHT) is True
    assert same_switch(record, None, replace(RIGHT, system_name="leaf-1a")) is False
    assert same_switch(record, None, replace(RIGHT, system_name="")) is None


def test_what_was_heard_too_long_ago_proves_nothing() -> None:
    wrong = replace(RIGHT, port="Ethernet1/4")
    assert verdict(wrong, at=NOW - FRESH) is Verdict.CONTRADICTS
    assert verdict(wrong, at=NOW - FRESH - timedelta(seconds=1)) is Verdict.STALE


def test_without_a_record_there_is_nothing_to_contradict() -> None:
    assert verdict(RIGHT, recorded=None) is Verdict.UNRECORDED
    assert verdict(RIGHT, recorded=LocalLink("", unmanaged=True)) is Verdict.UNRECORDED


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (Neighbour(SIBLING, MINE), Verdict.AGREES),  # lldpd: the host by its first NIC, the port by its own
        (Neighbour(OTHER, OTHER), Verdict.CONTRADICTS),
        (Neighbour("52:54:00:00:07:00", OTHER), Verdict.CONTRADICTS),
        (Neighbour(OTHER, "eth1"), Verdict.CONTRADICTS),
        (Neighbour(SIBLING, SIBLING), Verdict.CONTRADICTS),  # two NICs of one server were swapped
        (Neighbour(SIBLING, "eth1"), Verdict.AGREES),  # the server is right, and that is all that is said
        (Neighbour("0d1e2f", "eth1", system_name="server-7"), Verdict.UNSEEN),  # a name is its owner's to choose
        (Neighbour("aa:aa:aa:aa:aa:aa", "bb:bb:bb:bb:bb:bb"), Verdict.UNSEEN),
    ],
)
def test_whom_the_switch_shows(shown: Neighbour, expected: Verdict) -> None:
    assert verdict(None, shown) is expected


def test_members_of_a_bond_speak_with_one_address() -> None:
    bond = {"kin": frozenset({MINE, SIBLING})}
    assert verdict(None, Neighbour(SIBLING, SIBLING), **bond) is Verdict.AGREES
    assert verdict(None, Neighbour(OTHER, OTHER), **bond) is Verdict.CONTRADICTS


def test_the_stranger_is_named() -> None:
    told = judge(cable(RIGHT, Neighbour(OTHER, OTHER)), NOW, FRESH)
    assert told.verdict is Verdict.CONTRADICTS
    assert "port Ethernet1/3, but there the switch's LLDP shows NIC eth1 of node server-7" in told.sentence


def test_of_two_ends_that_disagree_the_later_counts() -> None:
    wrong, here = replace(RIGHT, port="Ethernet1/4"), Neighbour(MINE, MINE)
    assert verdict(wrong, here, at=NOW - timedelta(days=2)) is Verdict.AGREES
    assert verdict(wrong, here, at=NOW + timedelta(hours=1)) is Verdict.CONTRADICTS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ethernet1/2", "Eth1/2", True),
        ("Ethernet1/2", "et1/2", True),
        ("ethernet 1/1/3", "ethernet1/1/3", True),
        ("ethernet1/1/3", "1/1/3", True),
        ("GigabitEthernet1/0/1", "Gi1/0/1", True),
        ("TenGigabitEthernet1/0/1", "TenGigE1/0/1", True),
        ("TwentyFiveGigE1/0/1", "Twe1/0/1", True),
        ("HundredGigE1/0/1", "Hu1/0/1", True),
        ("xe-0/0/1", "xe-0/0/1.0", True),
        ("swp1s0", "swp1s1", False),
        ("1/1/3", "1/1/4", False),
        ("5", "6", False),
        ("xe-0/0/1", "ge-0/0/1", False),
        ("GigabitEthernet1/0/1", "TenGigabitEthernet1/0/1", False),
        ("Ethernet1/2", "Ethernet1/12", False),
        ("xe-0/0/1", "510", None),
        ("Ethernet1/2", "uplink", None),
        ("eth-left", "eth-left", True),
    ],
)
def test_port_names_as_vendors_print_them(one: str, other: str, same: bool | None) -> None:
    assert same_port_name(one, other) is same
    assert same_port_name(other, one) is same


@given(st.text(max_size=255), st.text(max_size=255))
def test_any_two_names_can_be_compared_either_way(one: str, other: str) -> None:
    assert same_port_name(one, other) is same_port_name(other, one)
    assert same_port_name(one, one) is not False
