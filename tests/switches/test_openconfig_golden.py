"""Golden files: a plan → the exact operations; a reply → port configs. Run with IRONLANE_GOLDEN=write to renew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ironlane.model.errors import Invalid, Permanent
from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode, SwitchId, Vlan
from ironlane.model.plan import Change, Plan
from ironlane.switches.base import Access
from ironlane.switches.netconf import parse_xml
from ironlane.switches.openconfig import OpenConfigDriver, read, write
from ironlane.switches.openconfig.leaves import ranges
from ironlane.switches.openconfig.names import Dialect

GOLDEN = Path(__file__).parent / "golden" / "openconfig"


def port_config(fields: dict[str, Any]) -> PortConfig:
    fields = dict(fields)
    lag = fields.pop("lag", None)
    if lag is not None:
        mode, rate = LagMode(lag.pop("mode", "lacp")), LacpRate(lag.pop("rate", "slow"))
        fields["lag"] = Lag(mode=mode, rate=rate, **lag)
    return PortConfig(mode=PortMode(fields.pop("mode", "access")), tagged=frozenset(fields.pop("tagged", ())), **fields)


def load_plan(path: Path) -> tuple[Plan, dict[str, str], dict[str, Any]]:
    case = yaml.safe_load(path.read_text())
    changes = [Change(c["port"], port_config(c["before"]), port_config(c["after"])) for c in case["changes"]]
    return Plan(SwitchId("leaf-1"), tuple(changes)), case.get("members", {}), case.get("options", {})


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("plan-*.yaml")), ids=lambda path: path.stem)
def test_a_plan_becomes_exactly_these_operations(path: Path) -> None:
    plan, members, options = load_plan(path)
    driver = OpenConfigDriver(Access(SwitchId("leaf-1"), "192.0.2.1", options=options))
    driver._members = members
    text = "\n\n".join(driver.render(plan)) + "\n"
    golden = path.with_suffix(".xml")
    if os.environ.get("IRONLANE_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("observe-*.yaml")), ids=lambda path: path.stem)
def test_a_reply_becomes_exactly_these_port_configs(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    expected = {name: port_config(fields) for name, fields in case["ports"].items()}
    reply = parse_xml(path.with_suffix(".xml").read_bytes())
    seen = read.observation(reply, [*expected, "Ethernet99"], Dialect())
    assert seen.ports == expected
    assert seen.members == case["members"]


def test_the_question_is_one_subtree_filter() -> None:
    golden = GOLDEN / "get-config.xml"
    if os.environ.get("IRONLANE_GOLDEN") == "write":
        golden.write_text(write.get_config(Dialect()) + "\n")
    assert write.get_config(Dialect()) + "\n" == golden.read_text()


def test_an_empty_plan_is_nothing_to_send() -> None:
    driver = OpenConfigDriver(Access(SwitchId("leaf-1"), "192.0.2.1"))
    assert driver.render(Plan(SwitchId("leaf-1"))) == ()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (PortConfig(untagged=Vlan(5000)), "outside 1 to 4094"),
        (PortConfig(untagged=Vlan(5), tagged=frozenset({Vlan(6)})), "no tagged VLANs"),
        (PortConfig(mode=PortMode.TRUNK, untagged=Vlan(5), tagged=frozenset({Vlan(5)})), "both tagged and untagged"),
        (PortConfig(mode=PortMode.TRUNK), "no trunk without VLANs"),
        (PortConfig(), "would put it on VLAN 1"),
        (PortConfig(untagged=Vlan(1), enabled=False), "cannot be told"),
        (PortConfig(untagged=Vlan(5), description="bell\x07"), "control characters"),
        (PortConfig(untagged=Vlan(5), lag=Lag(0)), "begin at 1"),
        (PortConfig(untagged=Vlan(5), lag=Lag(1, LagMode.STATIC, LacpRate.FAST)), "LACP settings"),
    ],
)
def test_what_cannot_be_written_is_refused_before_it_is_sent(config: PortConfig, reason: str) -> None:
    driver = OpenConfigDriver(Access(SwitchId("leaf-1"), "192.0.2.1"))
    with pytest.raises(Permanent, match=f"Ethernet1: .*{reason}"):
        driver.render(Plan(SwitchId("leaf-1"), (Change("Ethernet1", PortConfig(), config),)))


def test_members_of_one_lag_that_contradict_each_other_are_refused() -> None:
    driver = OpenConfigDriver(Access(SwitchId("leaf-1"), "192.0.2.1"))
    changes = [
        Change(f"Ethernet{vlan}", PortConfig(), PortConfig(untagged=Vlan(vlan), lag=Lag(3))) for vlan in (10, 11)
    ]
    with pytest.raises(Permanent, match="LAG 3: port Ethernet11 contradicts"):
        driver.render(Plan(SwitchId("leaf-1"), tuple(changes)))


@pytest.mark.parametrize(
    "options",
    [{"lag_nam": "x{number}"}, {"lag_name": "po"}, {"confirm_timeout": "30"}, {"create_vlans": 1}, {"default_vlan": 0}],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=f"options.{next(iter(options))}"):
        OpenConfigDriver(Access(SwitchId("leaf-1"), "192.0.2.1", options=options))


def test_vlan_ranges() -> None:
    assert ranges({1, 3, 4, 7, 8, 9, 4094}) == ["1", "3", "4", "7..9", "4094"]
