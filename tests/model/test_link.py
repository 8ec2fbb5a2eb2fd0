"""How clients name a link: every usual notation is read, everything else names the field."""

from __future__ import annotations

from typing import Any

import pytest

from ironlane.model.errors import Invalid
from ironlane.model.fabric import LacpRate, LagMode
from ironlane.model.link import (
    LagSettings,
    LocalLink,
    lag_mode,
    lag_settings,
    normal_mac,
    normal_switch_id,
    parse_group,
    parse_links,
)

LINK = {"switch_id": "00:11:22:33:44:01", "port_id": "Ethernet1/2", "switch_info": "sw1"}


@pytest.mark.parametrize("text", ["52:54:00:AA:BB:CC", "52-54-00-aa-bb-cc", "5254.00aa.bbcc", "525400aabbcc"])
def test_mac_notations(text: str) -> None:
    assert normal_mac(text, where="mac_address") == "52:54:00:aa:bb:cc"


@pytest.mark.parametrize(
    "text", ["", "52:54:00:aa:bb", "zz:54:00:aa:bb:cc", "52:54:00:aa:bb:cc:dd", "01:00:5e:00:00:01"]
)
def test_malformed_macs_name_the_field(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        normal_mac(text, where="mac_address")
    assert caught.value.field == "mac_address"


def test_switch_ids_are_macs_or_datapath_ids() -> None:
    assert normal_switch_id("0011.2233.4401", where="x") == "00:11:22:33:44:01"
    assert normal_switch_id("00:00:00:11:22:33:44:01", where="x") == "0000001122334401"
    assert normal_switch_id("0x0000001122334401", where="x") == "0000001122334401"


def test_links_are_normalised() -> None:
    assert parse_links({"local_link_information": [LINK]}) == [LocalLink("Ethernet1/2", "00:11:22:33:44:01", "sw1")]
    assert parse_links({}) == []


def test_unmanaged_links_need_no_switch() -> None:
    assert parse_links({"local_link_information": [{"network_type": "unmanaged"}]})[0].unmanaged


def test_the_switch_may_be_named_in_switch_info_alone() -> None:
    for info in ("sw1", {"switch_name": "sw1"}):
        assert parse_links({"local_link_information": [{"port_id": "p1", "switch_info": info}]})[0].switch_info == "sw1"


@pytest.mark.parametrize(
    ("links", "field"),
    [
        ("text", "binding:profile.local_link_information"),
        (["text"], "binding:profile.local_link_information[0]"),
        ([{**LINK, "port_id": ""}], "binding:profile.local_link_information[0].port_id"),
        ([{"switch_id": LINK["switch_id"]}], "binding:profile.local_link_information[0].port_id"),
        ([{"port_id": "p1"}], "binding:profile.local_link_information[0].switch_id"),
        ([LINK, {**LINK, "switch_id": "nonsense"}], "binding:profile.local_link_information[1].switch_id"),
        ([{**LINK, "switch_id": 5}], "binding:profile.local_link_information[0].switch_id"),
        ([{**LINK, "switch_info": 5}], "binding:profile.local_link_information[0].switch_info"),
        ([LINK, LINK], "binding:profile.local_link_information"),
    ],
)
def test_malformed_links_name_the_field(links: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_links({"local_link_information": links})
    assert caught.value.field == field


GROUP = {"id": "g1", "name": "bond0", "bond_mode": "802.3ad", "bond_properties": {"bond_lacp_rate": "fast"}}


def test_port_groups_is_a_synonym() -> None:
    assert parse_group({"local_group_information": GROUP}) == parse_group({"port_groups": [GROUP]})
    assert parse_group({}) is None


@pytest.mark.parametrize(
    ("group", "field"),
    [
        ({**GROUP, "id": ""}, "id"),
        ({**GROUP, "bond_mode": "magic"}, "bond_mode"),
        ({**GROUP, "bond_properties": []}, ""),
        ({**GROUP, "bond_properties": ["x"]}, "bond_properties"),
        ({**GROUP, "bond_properties": {"bond_lacp_rate": "often"}}, "bond_properties.bond_lacp_rate"),
        ({**GROUP, "bond_properties": {"min_links": "many"}}, "bond_properties.min_links"),
    ],
)
def test_malformed_groups_name_the_field(group: Any, field: str) -> None:
    if not field:
        assert parse_group({"local_group_information": group}) is not None
        return
    with pytest.raises(Invalid) as caught:
        parse_group({"local_group_information": group})
    assert caught.value.field == f"binding:profile.local_group_information.{field}"


@pytest.mark.parametrize(
    ("mode", "lag"),
    [
        ("802.3ad", LagMode.LACP),
        ("4", LagMode.LACP),
        ("active-backup", None),
        ("6", None),
        ("balance-xor", LagMode.STATIC),
    ],
)
def test_portgroup_modes_become_what_the_switch_needs(mode: str, lag: LagMode | None) -> None:
    assert lag_mode(mode, where="mode") is lag


def test_bond_properties_with_or_without_prefix() -> None:
    assert lag_settings("4", {}, where="x") == LagSettings(LagMode.LACP)
    asked = LagSettings(LagMode.LACP, LacpRate.FAST, 2, True)
    assert lag_settings("802.3ad", {"lacp_rate": 1, "min_links": "2", "fallback": "on"}, where="x") == asked
    prefixed = {"bond_lacp_rate": "fast", "bond_min_links": 2, "bond_fallback": True}
    assert lag_settings("802.3ad", prefixed, where="x") == asked
    assert lag_settings("802.3ad", {"bond_min_links": 0}, where="x") == LagSettings(LagMode.LACP), "bonding's default"


def test_what_is_not_negotiated_is_not_asked_for() -> None:
    properties = {"lacp_rate": "fast", "min_links": 2, "fallback": True}
    assert lag_settings("balance-xor", properties, where="x") == LagSettings(LagMode.STATIC, min_links=2)
    assert lag_settings("active-backup", properties, where="x") is None


@pytest.mark.parametrize(
    "properties",
    [
        {"lacp_rate": "often"},
        {"bond_min_links": "two"},
        {"min_links": -1},
        {"bond_min_links": 1.5},
        {"min_links": True},
        {"min_links": 65},
        {"min_links": "²"},
        {"bond_min_links": "9" * 5000},
        {"fallback": "perhaps"},
        {"bond_fallback": 2},
        {"fallback": None},
    ],
)
@pytest.mark.parametrize("mode", ["802.3ad", "balance-rr", "active-backup"])
def test_nonsense_in_bond_properties_names_the_key(mode: str, properties: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        lag_settings(mode, properties, where="properties")
    assert caught.value.field == f"properties.{next(iter(properties))}"
