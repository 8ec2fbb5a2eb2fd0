"""The Open vSwitch driver without a switch: plans against golden messages, rows against configs, refusals.

A golden file holds the messages of a plan, one operation per line; without the line ends it is what is sent, octet for
octet. Run with `UPDATE_GOLDEN=1` to write the files anew, and read the difference before you keep it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ironlane.model.errors import Permanent
from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode, SwitchId, Vlan
from ironlane.model.plan import Change, Plan
from ironlane.switches.base import Access
from ironlane.switches.openvswitch import DATABASE, PLAN_ID, OpenVSwitchDriver, assumed_layout, isolation, transaction
from ironlane.switches.openvswitch_rows import Dialect, Layout, foreign_lags, parse_layout, read_config
from ironlane.switches.ovsdb import transact_message

GOLDEN = Path(__file__).parent / "golden" / "openvswitch"
LEAF = SwitchId("leaf-1")
SHUT = PortConfig(enabled=False, description="ironlane idle")
RED = PortConfig(untagged=Vlan(100), description="ironlane node-1")
BUNDLED = PortConfig(untagged=Vlan(100), lag=Lag(7, rate=LacpRate.FAST, fallback=True), description="ironlane node-1")
STATIC = PortConfig(PortMode.TRUNK, Vlan(100), frozenset({Vlan(200), Vlan(201)}), Lag(8, LagMode.STATIC))
STATIC_7 = PortConfig(untagged=Vlan(100), lag=Lag(7, LagMode.STATIC))
TAGGED = PortConfig(PortMode.TRUNK, None, frozenset({Vlan(200), Vlan(201)}))
PAIR = {"mlag_system_id": "02:00:00:00:00:99", "mlag_member": 1}


def plan_of(*steps: tuple[str, PortConfig, PortConfig]) -> Plan:
    return Plan(LEAF, tuple(Change(port, before, after) for port, before, after in steps))


CASES: dict[str, tuple[Mapping[str, object], Plan]] = {
    "access": ({}, plan_of(("swp1", SHUT, RED))),
    "shut": ({}, plan_of(("swp1", RED, SHUT))),
    "enabled-without-vlan": ({}, plan_of(("swp1", RED, PortConfig()))),
    "trunk": ({}, plan_of(("swp1", SHUT, TAGGED))),
    "bundle": ({}, plan_of(("swp1", SHUT, BUNDLED), ("swp2", SHUT, BUNDLED))),
    "unbundle": ({}, plan_of(("swp1", BUNDLED, SHUT), ("swp2", BUNDLED, RED))),
    "bundle-changes-vlan": ({}, plan_of(("swp1", BUNDLED, STATIC), ("swp2", BUNDLED, STATIC))),
    "bundle-of-a-pair": (PAIR, plan_of(("Ethernet1/1", SHUT, BUNDLED))),
}


def driver(**options: object) -> OpenVSwitchDriver:
    return OpenVSwitchDriver(Access(LEAF, "/run/openvswitch/db.sock", options={"bridge": "br0", **options}))


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_exactly_this_message(name: str) -> None:
    options, plan = CASES[name]
    messages = driver(**options).render(plan)
    text = "".join(messages)
    file = GOLDEN / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text.replace('{"op":', '\n{"op":') + "\n")
    assert text == file.read_text().replace("\n", "")
    assert driver(**options).render(plan) == messages


@pytest.mark.parametrize(
    "wrong",
    [
        PortConfig(untagged=Vlan(0)),
        PortConfig(untagged=Vlan(4095)),
        PortConfig(PortMode.TRUNK, None, frozenset({Vlan(4095)})),
        PortConfig(PortMode.ACCESS, None, frozenset({Vlan(5)})),
        PortConfig(PortMode.TRUNK, Vlan(5), frozenset({Vlan(5), Vlan(6)})),
        PortConfig(untagged=Vlan(5), lag=Lag(0)),
        PortConfig(untagged=Vlan(5), lag=Lag(1001)),
        PortConfig(untagged=Vlan(5), lag=Lag(7, min_links=2)),
    ],
)
def test_what_open_vswitch_cannot_do_is_refused(wrong: PortConfig) -> None:
    with pytest.raises(Permanent, match="switch port swp1: "):
        driver().render(plan_of(("swp1", SHUT, wrong)))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(Permanent, match="`bridge` is missing"):
        OpenVSwitchDriver(Access(LEAF, "/run/db.sock"))
    with pytest.raises(Permanent, match="`mlag_member` is 0 or 1"):
        driver(mlag_member=2)


@pytest.mark.parametrize(
    ("plan", "isolated"),
    [
        (CASES["unbundle"][1], {"swp1", "swp2"}),
        (plan_of(("swp1", BUNDLED, SHUT), ("swp2", SHUT, replace(BUNDLED, lag=Lag(8)))), {"swp1"}),
        (plan_of(("swp1", BUNDLED, SHUT)), set()),
        (plan_of(("swp1", SHUT, BUNDLED), ("swp2", SHUT, BUNDLED)), set()),
        (plan_of(("swp1", RED, SHUT), ("swp2", TAGGED, RED)), set()),
    ],
)
def test_what_forwards_is_isolated_before_several_interfaces_are_made_anew(plan: Plan, isolated: set[str]) -> None:
    first = isolation(plan, assumed_layout(plan, Dialect()), Dialect())
    assert {change.port for change in first.changes} == isolated
    assert all(change.after.lag == change.before.lag and not change.after.enabled for change in first.changes)
    assert len(driver().render(plan)) == (2 if isolated else 1)


def test_a_lag_that_keeps_a_member_is_not_isolated_for_one_that_leaves() -> None:
    plan = plan_of(("member1", BUNDLED, SHUT), ("access", RED, replace(BUNDLED, lag=Lag(9))))
    assert [change.port for change in isolation(plan, layout(), Dialect()).changes] == ["access"]


# --- rows as a real ovsdb-server gave them, and what they mean -------------------------------------------------------

ANSWER: list[dict[str, Any]] = json.loads((GOLDEN / "rows.json").read_text())
STRANGE = Vlan(0)


def layout() -> Layout:
    bridges, ports, interfaces = (result["rows"] for result in ANSWER)
    return parse_layout(bridges[0], ports, interfaces)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("access", RED),
        ("by-hand", PortConfig(untagged=Vlan(100))),
        ("native", PortConfig(PortMode.TRUNK, Vlan(100), frozenset({Vlan(200), Vlan(201)}))),
        ("tagged", TAGGED),
        ("shut", SHUT),
        ("member1", BUNDLED),
        ("member2", BUNDLED),
        ("static1", STATIC),
        ("fresh", PortConfig(PortMode.TRUNK, None, frozenset(map(Vlan, range(4096))))),
        ("tunnel", PortConfig(PortMode.TRUNK, Vlan(100), frozenset({STRANGE}))),
        ("guarded", PortConfig(PortMode.TRUNK, Vlan(100), frozenset({STRANGE}))),
        ("alone", PortConfig(untagged=Vlan(100), lag=Lag(0, min_links=0))),
    ],
)
def test_rows_mean_this_config(port: str, expected: PortConfig) -> None:
    assert read_config(layout(), port, Dialect()) == expected


def test_interfaces_of_other_bridges_are_not_seen() -> None:
    assert "elsewhere" not in layout().interfaces


def test_with_the_rows_known_no_placeholder_is_left() -> None:
    plan = plan_of(("access", RED, BUNDLED), ("member1", BUNDLED, SHUT))
    with pytest.raises(Permanent, match="access, member1, member2; a LAG is configured as a whole"):
        transaction(plan_of(("access", RED, STATIC_7)), layout(), "br0", Dialect())
    text = transact_message(DATABASE, transaction(plan, layout(), "br0", Dialect()), PLAN_ID)
    assert "<" not in text
    operations = json.loads(text)["params"][1:]
    assert [op["op"] for op in operations[:4]] == ["wait", "wait", "wait", "update"]
    assert {op["row"]["name"] for op in operations if op["op"] == "insert"} == {"member1"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"member1", "member2", "static1"}, set()),
        ({"member1", "member2"}, {8}),
        ({"member1", "static1"}, {7}),
        ({"access"}, {7, 8}),
    ],
)
def test_lags_with_members_that_are_not_ours_are_foreign(wanted: set[str], expected: set[int]) -> None:
    names = [row["name"] for row in ANSWER[1]["rows"]]
    assert foreign_lags(layout(), names, wanted, Dialect()) == expected
    assert foreign_lags(layout(), [*names, "lag12"], wanted, Dialect()) == expected | {12}, "of another bridge"
