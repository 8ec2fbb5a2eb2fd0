"""The OpenFlow driver without a switch: plans against golden lines, configs through the flow table, refusals, octets.

A golden file holds the messages of a plan, one a line, in the notation of `ovs-ofctl bundle`. Run with
`UPDATE_GOLDEN=1` to write the files anew, and read the difference before you keep it.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode, SwitchId, Vlan
from ironlane.model.plan import Change, Plan
from ironlane.switches.base import Access
from ironlane.switches.openflow import OpenFlowDriver, wire
from ironlane.switches.openflow.pipeline import SIGNATURE, is_our_group, pipeline
from ironlane.switches.openflow.reading import Table, foreign_lags, reach, read_ports
from ironlane.switches.openflow.wire import Flow, Group, Match, Output, Port, SetVlan

GOLDEN = Path(__file__).parent / "golden"
LEAF = SwitchId("leaf-1")
SHUT = PortConfig(enabled=False)
RED = PortConfig(untagged=Vlan(100))
STATIC = PortConfig(untagged=Vlan(100), lag=Lag(7, LagMode.STATIC))
TRUNK = PortConfig(PortMode.TRUNK, Vlan(100), frozenset({Vlan(200), Vlan(201)}))
NAMES = [f"Ethernet1/{number}" for number in range(1, 7)]
NUMBERS = {name: number for number, name in enumerate([*NAMES, "uplink"], 1)}
PORTS = [Port(number, name) for name, number in NUMBERS.items()]


def plan_of(*steps: tuple[str, PortConfig, PortConfig]) -> Plan:
    return Plan(LEAF, tuple(Change(port, before, after) for port, before, after in steps))


CASES: Mapping[str, Plan] = {
    "access": plan_of(("swp1", SHUT, RED)),
    "shut": plan_of(("swp1", RED, SHUT)),
    "enabled-without-vlan": plan_of(("swp1", RED, PortConfig())),
    "trunk": plan_of(("swp1", SHUT, TRUNK)),
    "bundle": plan_of(("swp1", SHUT, STATIC), ("swp2", SHUT, STATIC)),
    "unbundle": plan_of(("swp1", STATIC, SHUT), ("swp2", STATIC, RED)),
    "half-a-bundle": plan_of(("swp1", SHUT, STATIC)),
}


def driver(**options: object) -> OpenFlowDriver:
    return OpenFlowDriver(Access(LEAF, "192.0.2.1", options={"uplinks": ["uplink"], **options}))


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_exactly_these_messages(name: str) -> None:
    text = "\n".join(driver().render(CASES[name])) + "\n"
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def test_an_inverse_undoes_every_flow() -> None:
    for plan in CASES.values():
        forth = driver().render_after(plan.inverse, [plan])
        back = driver().render_after(plan, [plan, plan.inverse])
        assert {*back} == {*driver().render(plan)}
        assert len(forth) == len(back)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (PortConfig(untagged=Vlan(0)), "outside 1 to 4094"),
        (PortConfig(PortMode.TRUNK, None, frozenset({Vlan(4095)})), "outside 1 to 4094"),
        (PortConfig(PortMode.ACCESS, None, frozenset({Vlan(5)})), "no tagged VLANs"),
        (PortConfig(PortMode.TRUNK, Vlan(5), frozenset({Vlan(5), Vlan(6)})), "both tagged and untagged"),
        (PortConfig(untagged=Vlan(5), lag=Lag(1001, LagMode.STATIC)), "outside 1 to 1000"),
        (PortConfig(untagged=Vlan(5), lag=Lag(7, LagMode.STATIC, min_links=2)), "ask for 1"),
        (PortConfig(untagged=Vlan(5), lag=Lag(7)), "OpenFlow has no LACP; ask for a static LAG"),
        (PortConfig(untagged=Vlan(5), description="node-1"), "no place for a port's description"),
    ],
)
def test_what_openflow_cannot_do_is_refused(wrong: PortConfig, reason: str) -> None:
    with pytest.raises(Permanent, match=f"switch port swp1: .*{reason}"):
        driver().render(plan_of(("swp1", SHUT, wrong)))


def test_wrong_options_are_refused() -> None:
    for options in ({"uplinks": "uplink"}, {"uplinks": [1]}, {"datapath_id": "xyz"}):
        with pytest.raises(Permanent, match="switch leaf-1: "):
            driver(**options)
    assert not driver().capabilities.lacp
    assert not driver().capabilities.descriptions


# --- configs through the flow table ----------------------------------------------------------------------------------

vlans = st.integers(1, 4094).map(Vlan) | st.sampled_from([Vlan(10), Vlan(20)])
lags = st.builds(Lag, st.integers(1, 1000), st.just(LagMode.STATIC), st.sampled_from(LacpRate), fallback=st.booleans())


@st.composite
def carried(draw: st.DrawFn, lag: Lag | None = None) -> PortConfig:
    mode = draw(st.sampled_from(PortMode))
    untagged = draw(st.none() | vlans)
    tagged = draw(st.frozensets(vlans, max_size=4)) if mode is PortMode.TRUNK else frozenset()
    return PortConfig(mode, untagged, tagged - {untagged}, lag, draw(st.booleans()))


@st.composite
def fabrics(draw: st.DrawFn) -> dict[str, PortConfig]:
    bundles = {lag.number: draw(carried(lag)) for lag in draw(st.lists(lags, max_size=3))}
    single = carried()
    return {name: draw(st.sampled_from([*bundles.values()]) | single if bundles else single) for name in NAMES}


@settings(deadline=None, max_examples=60)
@given(configs=fabrics(), data=st.data())
def test_a_table_reads_back_as_what_made_it_and_without_a_flow_it_does_not(
    configs: dict[str, PortConfig], data: st.DataObject
) -> None:
    made = pipeline(configs, NUMBERS, ["uplink"])
    assert read_ports(Table.of(PORTS, made.flows.values(), made.groups.values()), ["uplink"]) == configs
    lost = data.draw(st.sampled_from(sorted(made.flows.values(), key=str)))
    left = [flow for flow in made.flows.values() if flow is not lost]
    read = read_ports(Table.of(PORTS, left, made.groups.values()), ["uplink"])
    changed = {name for name in NAMES if read[name] != configs[name]}
    assert changed, lost
    for name in changed:
        # Less than before, but in order, is what a port can read as only if it carries nothing.
        nothing = not read[name].enabled or not read[name].vlans
        assert nothing or (0 in read[name].tagged and read[name].lag not in {c.lag for c in configs.values()})


@settings(deadline=None, max_examples=30)
@given(configs=fabrics())
def test_flows_and_groups_survive_the_wire(configs: dict[str, PortConfig]) -> None:
    made = pipeline(configs, NUMBERS, ["uplink"])
    for flow in made.flows.values():
        body = wire.flow_mod(wire.FlowCommand.ADD, flow)
        cookie, table, priority, rest = body[:8], body[16:17], body[20 + 2 : 20 + 4], body[40:]
        stats = table + bytes(9) + priority + bytes(10) + cookie + bytes(16) + rest
        assert wire.parse_flows([(len(stats) + 2).to_bytes(2) + stats]) == [flow]
    for group in made.groups.values():
        body = wire.group_mod(wire.GroupCommand.ADD, group)
        assert wire.parse_groups([len(body).to_bytes(2) + body[2:]]) == [group]
        assert is_our_group(group.ident)


# --- flows of others -------------------------------------------------------------------------------------------------

ALL = (frozenset[int](), True)


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (Flow(0, 5, Match(in_port=9), 0, (Output(3),)), (frozenset({3}), False)),
        (Flow(0, 40000, Match(in_port=9), 0, (Output(3),)), (frozenset({3, 9}), False)),
        (Flow(0, 40000, Match(in_port=9), 0), (frozenset({9}), False)),
        (Flow(0, 40000, Match(other=b"\x80\x00\x0a\x02\x08\x00"), 0), (frozenset(), False)),
        (
            Flow(0, 40000, Match(other=b"\x80\x00\x0a\x02\x88\xcc"), 0, (Output(wire.PORT_CONTROLLER),)),
            (frozenset(), False),
        ),
        (Flow(0, 40000, Match(), 0), ALL),
        (Flow(0, 40000, Match(vlan_vid=0), 0, (SetVlan(5),), goto=3), ALL),
        (Flow(0, 0, Match(), 0, (Output(0xFFFFFFFA),)), (frozenset({0xFFFFFFFA}), True)),
        (Flow(0, 1, Match(in_port=9), 0, (wire.OtherAction(bytes(8)),)), ALL),
        (Flow(0, 1, Match(in_port=9), 0, goto=1), ALL),
        (Flow(4, 60000, Match(), 0, (Output(wire.PORT_LOCAL),)), (frozenset({wire.PORT_LOCAL}), False)),
        (Flow(1, 40000, Match(vlan_vid=0x100A), 0, (Output(3),)), (frozenset({3}), True)),
    ],
)
def test_whom_a_flow_of_others_may_concern(flow: Flow, expected: tuple[frozenset[int], bool]) -> None:
    assert reach(flow) == expected


def test_a_flow_with_a_time_limit_is_not_ours_as_it_should_be() -> None:
    made = pipeline({"Ethernet1/1": RED}, NUMBERS, [])
    flows = [flow._replace(settings=(0, 60, 0)) if flow.match.in_port else flow for flow in made.flows.values()]
    assert read_ports(Table.of(PORTS, flows), [])["Ethernet1/1"] != RED


def test_a_lag_whose_members_let_in_different_things_is_strange_as_a_whole() -> None:
    lag = Lag(7, LagMode.STATIC)
    trunk = PortConfig(PortMode.TRUNK, None, frozenset({Vlan(10), Vlan(20)}), lag)
    made = pipeline({"Ethernet1/1": trunk, "Ethernet1/2": trunk}, NUMBERS, ["uplink"])
    flows = [
        flow for flow in made.flows.values() if (flow.match.in_port, flow.match.vlan_vid, flow.table) != (1, 4106, 0)
    ]
    read = read_ports(Table.of(PORTS, flows, made.groups.values()), ["uplink"])
    assert read["Ethernet1/1"].vlans == read["Ethernet1/2"].vlans == {0, 10, 20}


def test_a_group_without_its_flows_is_its_members() -> None:
    configs = {"Ethernet1/1": STATIC, "Ethernet1/2": STATIC, "Ethernet1/3": RED}
    made = pipeline(configs, NUMBERS, [])
    stray = Group(SIGNATURE << 16 | 9, 1, (wire.Bucket((Output(3),)),))
    read = read_ports(Table.of(PORTS, made.flows.values(), [*made.groups.values(), stray]), [])
    assert {name for name, config in configs.items() if read[name] != config} == {"Ethernet1/3"}


# --- octets ----------------------------------------------------------------------------------------------------------


def test_versions() -> None:
    assert wire.parse_hello(6, wire.hello())
    assert not wire.parse_hello(6, b"\0\x01\0\x08\0\0\0\x12")
    assert wire.parse_hello(6, b"")
    assert not wire.parse_hello(4, b"")


@given(octets=st.binary(max_size=200))
def test_nonsense_is_an_error_and_never_an_endless_loop(octets: bytes) -> None:
    for parse in (wire.parse_flows, wire.parse_groups, wire.parse_ports):
        with contextlib.suppress(Temporary, struct.error):
            parse([octets])  # type: ignore[operator]


def test_errors_say_what_they_mean() -> None:
    assert wire.parse_error(b"\0\x05\0\x01") == (False, "FLOW_MOD_FAILED 1 (the table is full)")
    assert wire.parse_error(b"\0\x11\0\x0e") == (True, "BUNDLE_FAILED 14 (timed out)")
    assert wire.parse_error(b"\0\x63\0\x02") == (False, "error 99 2")


def test_lags_of_ports_that_are_not_ours_are_foreign() -> None:
    made = pipeline({NAMES[0]: STATIC, NAMES[1]: STATIC, NAMES[2]: RED}, NUMBERS, ["uplink"])
    there = read_ports(Table.of(PORTS, made.flows.values(), made.groups.values()), ["uplink"])
    assert foreign_lags(there, NAMES) == frozenset()
    assert foreign_lags(there, NAMES[1:]) == {7}
