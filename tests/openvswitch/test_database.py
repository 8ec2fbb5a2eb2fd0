"""The driver against a real ovsdb-server and ovs-vswitchd; no root, no packets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironlane.lab.openvswitch import OpenVSwitch
from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode, SwitchId, Vlan
from ironlane.model.plan import Plan, diff
from ironlane.switches.openvswitch import OpenVSwitchDriver

from .conftest import PORTS, driver_of
from .relay import Relay

LEAF = SwitchId("leaf-1")
SHUT = PortConfig(enabled=False, description="ironlane idle")


def access(vlan: int, **more: object) -> PortConfig:
    return PortConfig(untagged=Vlan(vlan), **more)  # type: ignore[arg-type]


async def reach(driver: OpenVSwitchDriver, desired: Mapping[str, PortConfig]) -> Plan:
    """Observe, diff, apply, verify."""
    plan = diff(LEAF, desired, await driver.observe(desired))
    await driver.apply(plan)
    assert await driver.observe(desired) == desired
    return plan


# --- round trips -----------------------------------------------------------------------------------------------------

vlans = st.integers(1, 4094).map(Vlan)
lags = st.builds(
    Lag, st.sampled_from([1, 7, 1000]), st.sampled_from(LagMode), st.sampled_from(LacpRate), fallback=st.booleans()
)
texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)


@st.composite
def carried(draw: st.DrawFn) -> PortConfig:
    mode = draw(st.sampled_from(PortMode))
    untagged = draw(st.none() | vlans)
    tagged = draw(st.frozensets(vlans, max_size=5)) if mode is PortMode.TRUNK else frozenset()
    return PortConfig(mode, untagged, tagged - {untagged}, enabled=draw(st.booleans()))


@st.composite
def fabrics(draw: st.DrawFn) -> dict[str, PortConfig]:
    """Configs for all ports; members of one LAG differ in nothing but the description."""
    bundles = {lag.number: (lag, draw(carried())) for lag in draw(st.lists(lags, max_size=3))}
    desired = {}
    for port in PORTS:
        number = draw(st.sampled_from([None, *bundles]))
        lag, config = bundles[number] if number else (None, draw(carried()))
        desired[port] = PortConfig(config.mode, config.untagged, config.tagged, lag, config.enabled, draw(texts))
    return desired


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=fabrics(), second=fabrics())
async def test_what_is_applied_is_observed_and_the_inverse_returns(
    bridge: OpenVSwitch, first: dict[str, PortConfig], second: dict[str, PortConfig]
) -> None:
    driver = driver_of(bridge)
    try:
        await reach(driver, first)
        plan = await reach(driver, second)
        await driver.apply(plan)
        assert await driver.observe(PORTS) == second
        await driver.apply(plan.inverse)
        assert await driver.observe(PORTS) == first
    finally:
        await driver.close()


async def test_a_pair_speaks_lacp_with_one_voice(bridge: OpenVSwitch) -> None:
    driver = driver_of(bridge, mlag_system_id="02:00:00:00:00:99", mlag_member=1)
    await reach(driver, {port: access(10, lag=Lag(7)) for port in PORTS[:2]})
    assert "02:00:00:00:00:99" in await bridge.vsctl("get", "Port", "lag7", "other_config")
    keys = [json.loads(await bridge.vsctl("--format=json", "list", "Interface", port)) for port in PORTS[:2]]
    config = [dict(table["data"][0][table["headings"].index("other_config")][1]) for table in keys]
    assert {one["lacp-aggregation-key"] for one in config} == {"7"}
    assert len({one["lacp-port-id"] for one in config}) == 2
    await bridge.vsctl("remove", "Interface", "swp1", "other_config", "lacp-port-id")
    observed = await driver.observe(PORTS[:2])
    assert observed["swp1"] != access(10, lag=Lag(7))
    await reach(driver, {port: access(10) for port in PORTS[:2]})
    assert "lacp" not in await bridge.vsctl("get", "Interface", "swp2", "other_config")
    await driver.close()


async def test_an_interface_keeps_its_settings_from_port_to_lag_and_back(
    bridge: OpenVSwitch, driver: OpenVSwitchDriver
) -> None:
    await bridge.vsctl(
        *("set", "Interface", "swp1", "lldp:enable=true", "external_ids:asset=4711", "ofport_request=41"),
        *("other_config:mark=kept", "options:note=kept"),
    )

    async def settings_of_swp1() -> str:
        columns = ("_uuid", "type", "lldp", "ofport_request", "ofport", "other_config", "options", "external_ids:asset")
        return await bridge.vsctl("get", "Interface", "swp1", *columns)

    before = await settings_of_swp1()
    for lag in (Lag(3), Lag(4, LagMode.STATIC), None):
        await reach(driver, {"swp1": access(10, lag=lag), "swp2": access(10, lag=lag)})
        assert await settings_of_swp1() == before
    assert set((await bridge.vsctl("list-ports", "br0")).split()) == set(PORTS)


# --- what others do to the switch ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "by_hand",
    [
        "set Port swp1 tag=11",
        "set Port swp1 trunks=12",
        "set Port swp1 vlan_mode=native-tagged",
        "set Port swp1 vlan_mode=dot1q-tunnel",
        "set Port swp1 protected=true",
        "set Port swp1 lacp=active",
        "clear Port swp1 tag -- clear Port swp1 vlan_mode",
        "del-port swp1 -- add-port br0 swp1 -- set Interface swp1 type=dummy",
        "del-port swp1 -- del-port swp2 -- add-bond br0 lag7 swp1 swp2",
        "remove Interface swp1 external_ids ironlane-description",
    ],
)
async def test_drift_is_seen_and_repaired(bridge: OpenVSwitch, driver: OpenVSwitchDriver, by_hand: str) -> None:
    desired = {"swp1": access(10, description="one"), "swp2": SHUT}
    await reach(driver, desired)
    await bridge.vsctl(*by_hand.split())
    if "add-bond" in by_hand:
        await bridge.vsctl("set", "Interface", "swp1", "type=dummy", "--", "set", "Interface", "swp2", "type=dummy")
    assert (await driver.observe(["swp1"]))["swp1"] != desired["swp1"]
    await reach(driver, desired)


@pytest.mark.parametrize("by_hand", ["protected=false", "tag=10", "cvlans=10", "vlan_mode=access", "external_ids={}"])
async def test_drift_of_a_shut_port_is_seen_and_repaired(
    bridge: OpenVSwitch, driver: OpenVSwitchDriver, by_hand: str
) -> None:
    await reach(driver, {"swp1": SHUT})
    await bridge.vsctl("set", "Port", "swp1", by_hand)
    assert (await driver.observe(["swp1"]))["swp1"] != SHUT
    await reach(driver, {"swp1": SHUT})


async def test_a_new_port_of_open_vswitch_is_seen_to_carry_everything(driver: OpenVSwitchDriver) -> None:
    observed = (await driver.observe(["swp1", "swp99"]))["swp1"]
    assert set(range(1, 4095)) < observed.vlans
    with pytest.raises(Permanent, match="outside 1 to 4094"):
        driver.render(diff(LEAF, {"swp1": SHUT}, {"swp1": observed}).inverse)
    assert "swp99" not in await driver.observe(["swp99"])


async def test_ports_that_are_not_in_the_plan_stay_as_they_are(bridge: OpenVSwitch, driver: OpenVSwitchDriver) -> None:
    await bridge.vsctl("set", "Port", "swp3", "tag=300", "external_ids:owner=somebody")
    before = await bridge.vsctl("list", "Port", "swp3")
    await reach(driver, {"swp1": access(10, lag=Lag(1)), "swp2": access(10, lag=Lag(1))})
    assert await bridge.vsctl("list", "Port", "swp3") == before


async def test_a_plan_for_rows_that_have_changed_changes_nothing(
    bridge: OpenVSwitch, driver: OpenVSwitchDriver
) -> None:
    await reach(driver, {"swp1": access(10, lag=Lag(7)), "swp2": access(10, lag=Lag(7))})
    plan = diff(LEAF, {"swp1": access(20), "swp2": SHUT}, await driver.observe(["swp1", "swp2"]))
    await bridge.vsctl("del-port", "lag7", "--", "add-port", "br0", "swp1", "tag=30", "--", "add-port", "br0", "swp2")
    with pytest.raises(Temporary, match="timed out"):
        await driver.apply(plan)
    assert await bridge.vsctl("get", "Port", "swp1", "tag") == "30"
    await driver.apply(plan)
    assert (await driver.observe(["swp1"]))["swp1"] == access(20)


async def test_a_lag_is_changed_as_a_whole_or_not_at_all(driver: OpenVSwitchDriver) -> None:
    bundled = {port: access(10, lag=Lag(7), description=port) for port in ("swp1", "swp2")}
    await reach(driver, bundled)
    for wrong in (access(20, lag=Lag(7)), access(10, lag=Lag(7, LagMode.STATIC))):
        with pytest.raises(Permanent, match="as a whole"):
            await driver.apply(diff(LEAF, {"swp1": wrong}, await driver.observe(["swp1"])))
    await reach(driver, {**bundled, "swp3": access(10, lag=Lag(7))})
    await reach(driver, {"swp1": SHUT})
    assert (await driver.observe(["swp2"]))["swp2"] == bundled["swp2"]


async def test_what_the_database_refuses_is_permanent(bridge: OpenVSwitch, driver: OpenVSwitchDriver) -> None:
    await bridge.vsctl("add-br", "other", "--", "set", "Bridge", "other", "datapath_type=dummy")
    await bridge.vsctl("add-port", "other", "lag7", "--", "set", "Interface", "lag7", "type=dummy")
    try:
        with pytest.raises(Permanent, match="constraint violation"):
            await reach(driver, {"swp1": access(10, lag=Lag(7))})
        assert (await bridge.vsctl("iface-to-br", "swp1")) == "br0"
    finally:
        await bridge.vsctl("del-br", "other")
    with pytest.raises(Permanent, match="no port swp99"):
        await driver.apply(diff(LEAF, {"swp99": SHUT}, {"swp99": access(1)}))
    strangers = driver_of(bridge, bridge="br7")
    with pytest.raises(Permanent, match="no bridge br7"):
        await strangers.observe(PORTS)
    await strangers.close()


# --- the conversation ------------------------------------------------------------------------------------------------


async def test_what_is_rendered_is_sent_byte_for_byte(bridge: OpenVSwitch) -> None:
    async with Relay(bridge.directory / "relay.sock", bridge.socket) as relay:
        driver = driver_of(bridge, socket=relay.listen)
        desired = {"swp1": access(10, lag=Lag(7)), "swp2": access(10, lag=Lag(7)), "swp3": access(20, description="ü")}
        for wanted in (desired, dict.fromkeys(desired, SHUT)):
            plan = diff(LEAF, wanted, await driver.observe(wanted))
            messages = driver.render(plan)
            relay.sent.clear()
            await driver.apply(plan)
            places = [bytes(relay.sent).find(message.encode()) for message in messages]
            assert places[0] == 0
            assert places == sorted(places)
            assert len(messages) == 2, "what forwards is isolated first"
        await driver.close()


async def test_a_lost_answer_is_temporary_and_the_session_recovers(bridge: OpenVSwitch) -> None:
    async with Relay(bridge.directory / "relay.sock", bridge.socket) as relay:
        driver = driver_of(bridge, socket=relay.listen, timeout=0.3)
        plan = diff(LEAF, {"swp1": SHUT}, await driver.observe(["swp1"]))
        relay.drop_answers = True
        with pytest.raises(Temporary, match="no answer within"):
            await driver.apply(plan)
        relay.drop_answers = False
        await relay.hang_up()
        await driver.apply(plan)
        assert await driver.observe(["swp1"]) == {"swp1": SHUT}
        await relay.hang_up()
        await asyncio.sleep(0.01)
        assert await driver.observe(["swp1"]) == {"swp1": SHUT}
        await driver.close()
    with pytest.raises(Temporary):
        await driver.observe(["swp1"])


async def test_a_dead_vswitchd_is_temporary_and_it_recovers(bridge: OpenVSwitch) -> None:
    driver = driver_of(bridge, timeout=0.4)
    await reach(driver, {"swp1": SHUT})
    plan = diff(LEAF, {"swp1": access(10)}, await driver.observe(["swp1"]))
    bridge.kill_vswitchd()
    with pytest.raises(Temporary, match="ovs-vswitchd has not applied"):
        await driver.apply(plan)
    with pytest.raises(Temporary, match="ovs-vswitchd has not applied"):
        await driver.observe(["swp1"])
    await bridge.start_vswitchd()
    assert await driver.observe(["swp1"]) == {"swp1": access(10)}
    await reach(driver, {"swp1": SHUT})
    await driver.close()


async def test_a_restarted_database_server_is_found_again(bridge: OpenVSwitch) -> None:
    driver = driver_of(bridge, timeout=5.0)
    await reach(driver, {"swp1": access(10)})
    bridge.kill_server()
    with pytest.raises(Temporary):
        await driver.observe(["swp1"])
    bridge.start_server()
    await bridge.wait_for_server()
    assert await driver.observe(["swp1"]) == {"swp1": access(10)}
    await driver.close()
