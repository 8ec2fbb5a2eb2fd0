"""The OpenFlow driver against a real ovs-vswitchd; no root, no packets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironlane.lab.openvswitch import OpenVSwitch, run
from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode, SwitchId, Vlan
from ironlane.model.plan import Change, Plan, diff
from ironlane.switches.base import Access
from ironlane.switches.openflow import OpenFlowDriver

from .conftest import PORTS
from .relay import Relay
from .test_tls import free_port, self_signed

LEAF = SwitchId("leaf-1")
DATAPATH = "000002005c000001"
SHUT = PortConfig(enabled=False)
BUNDLED = PortConfig(untagged=Vlan(10), lag=Lag(7, LagMode.STATIC))


def access(vlan: int, **more: object) -> PortConfig:
    return PortConfig(untagged=Vlan(vlan), **more)  # type: ignore[arg-type]


class Datapath:
    """The bridge `br0` of a running Open vSwitch, as an OpenFlow switch with six ports and an uplink."""

    def __init__(self, ovs: OpenVSwitch) -> None:
        self.ovs = ovs
        self.socket = ovs.directory / "br0.mgmt"

    async def prepare(self) -> None:
        self.drivers: list[OpenFlowDriver] = []
        wanted = ("fail_mode=secure", f"other-config:datapath-id={DATAPATH}")
        uplink = ("add-port", "br0", "uplink", "--", "set", "Interface", "uplink", "type=dummy")
        await self.ovs.vsctl("set", "Bridge", "br0", *wanted, "--", *uplink)

    def driver(self, **options: object) -> OpenFlowDriver:
        address = str(options.pop("address", self.socket))
        port, timeout = options.pop("port", None), float(str(options.pop("timeout", 5.0)))
        given = {"uplinks": ["uplink"], "settle": 0.0, "datapath_id": DATAPATH, **options}
        made = OpenFlowDriver(Access(LEAF, address, port, options=given, timeout=timeout))  # type: ignore[arg-type]
        self.drivers.append(made)
        return made

    async def ofctl(self, *argv: str) -> str:
        """`ovs-ofctl` on the bridge (options, command, arguments): how an operator would change it by hand."""
        at = next(index for index, word in enumerate(argv, 1) if not word.startswith("--"))
        words = (*argv[:at], f"unix:{self.socket}", *argv[at:])
        return await run("ovs-ofctl", "-O", "OpenFlow14", "--names", "--no-stats", *words)

    async def flows(self) -> list[str]:
        return sorted(line for line in (await self.ofctl("dump-flows")).splitlines() if "actions=" in line)


@pytest_asyncio.fixture
async def datapath(bridge: OpenVSwitch) -> AsyncIterator[Datapath]:
    made = Datapath(bridge)
    await made.prepare()
    yield made
    for driver in made.drivers:
        await driver.close()


@pytest_asyncio.fixture
async def driver(datapath: Datapath) -> OpenFlowDriver:
    return datapath.driver()


async def reach(driver: OpenFlowDriver, desired: Mapping[str, PortConfig]) -> Plan:
    """Observe, diff, apply, verify."""
    plan = diff(LEAF, desired, await driver.observe(desired))
    await driver.apply(plan)
    assert await driver.observe(desired) == desired
    return plan


# --- round trips -----------------------------------------------------------------------------------------------------

vlans = st.integers(1, 4094).map(Vlan)
rates = st.sampled_from(LacpRate)
lags = st.builds(Lag, st.sampled_from([1, 7, 1000]), st.just(LagMode.STATIC), rates, fallback=st.booleans())


@st.composite
def carried(draw: st.DrawFn) -> PortConfig:
    mode = draw(st.sampled_from(PortMode))
    untagged = draw(st.none() | vlans | st.just(Vlan(10)))
    tagged = draw(st.frozensets(vlans | st.just(Vlan(10)), max_size=5)) if mode is PortMode.TRUNK else frozenset()
    return PortConfig(mode, untagged, tagged - {untagged}, enabled=draw(st.booleans()))


@st.composite
def fabrics(draw: st.DrawFn) -> dict[str, PortConfig]:
    """Configs for all ports; members of one LAG differ in nothing."""
    bundles = {lag.number: (lag, draw(carried())) for lag in draw(st.lists(lags, max_size=3))}
    desired = {}
    for port in PORTS:
        number = draw(st.sampled_from([None, *bundles]))
        lag, config = bundles[number] if number else (None, draw(carried()))
        desired[port] = PortConfig(config.mode, config.untagged, config.tagged, lag, config.enabled)
    return desired


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=fabrics(), second=fabrics())
async def test_what_is_applied_is_observed_and_the_inverse_returns(
    datapath: Datapath, first: dict[str, PortConfig], second: dict[str, PortConfig]
) -> None:
    driver = datapath.driver()
    try:
        await reach(driver, first)
        before = await datapath.flows()
        plan = await reach(driver, second)
        await driver.apply(plan)
        assert await driver.observe(PORTS) == second
        await driver.apply(plan.inverse)
        assert await driver.observe(PORTS) == first
        assert await datapath.flows() == before
    finally:
        await driver.close()


async def test_what_is_rendered_is_sent(datapath: Datapath, driver: OpenFlowDriver) -> None:
    """The rendered lines, sent by hand with ovs-ofctl, lead to the very table that `apply` leads to."""
    first = {"swp1": BUNDLED, "swp2": BUNDLED, "swp3": PortConfig(PortMode.TRUNK, Vlan(10), frozenset({Vlan(20)}))}
    second = {"swp1": access(10), "swp2": BUNDLED, "swp3": SHUT}
    for desired in (first, second):
        plan = diff(LEAF, desired, await driver.observe(desired))
        lines = driver.render(plan)
        file = datapath.ovs.directory / "plan.txt"
        await asyncio.to_thread(file.write_text, "\n".join(lines) + "\n")
        before, groups_before = await datapath.flows(), await datapath.ofctl("dump-groups")
        await driver.apply(plan)
        by_driver, groups = await datapath.flows(), await datapath.ofctl("dump-groups")
        await driver.apply(plan.inverse if desired is second else diff(LEAF, dict.fromkeys(desired, SHUT), desired))
        if desired is first:
            await datapath.ofctl("del-flows")
            await datapath.ofctl("del-groups")
        else:
            assert (await datapath.flows(), await datapath.ofctl("dump-groups")) == (before, groups_before)
        await datapath.ofctl("bundle", str(file))
        assert await datapath.flows() == by_driver
        assert await datapath.ofctl("dump-groups") == groups
        assert await driver.observe(desired) == desired


async def test_a_second_commit_sends_only_what_changes(driver: OpenFlowDriver) -> None:
    await reach(driver, dict.fromkeys(PORTS, access(10)))
    plan = diff(LEAF, {"swp1": SHUT}, await driver.observe(PORTS))
    lines = driver.render(plan)
    await driver.apply(plan)
    assert len(lines) == 4, lines
    assert all("swp1" in line or "vlan_tci=0x100a" in line for line in lines)


async def test_what_will_be_sent_is_known_beforehand(datapath: Datapath, driver: OpenFlowDriver) -> None:
    await datapath.ofctl("add-flow", "priority=50000,dl_type=0x88cc,actions=CONTROLLER:65535")
    await datapath.ofctl("mod-port", "swp2", "down")
    first = diff(LEAF, {"swp1": BUNDLED, "swp2": BUNDLED}, await driver.observe(["swp1", "swp2"]))
    second = Plan(LEAF, tuple(Change(c.port, c.after, access(20)) for c in first.changes))
    foretold = driver.render_after(second, [first])
    await driver.apply(first)
    await driver.observe(PORTS)
    assert driver.render(second) == foretold


# --- what others do to the switch ------------------------------------------------------------------------------------


_VLAN_10 = "table=1,vlan_tci=0x100a/0x1fff"
_TO_20 = "set_field:4116->vlan_vid,goto_table:1"


@pytest.mark.parametrize(
    "by_hand",
    [
        ["del-flows"],
        ["del-flows", "table=1"],
        ["del-flows", "table=1,vlan_tci=0x100a/0x1fff"],
        ["del-flows", "in_port=swp1"],
        ["del-flows", "cookie=0x4952200000000000/-1"],
        ["--strict", "del-flows", "priority=30200,in_port=swp1,vlan_tci=0/0x1fff"],
        ["add-flow", "priority=30300,cookie=0x4952400000000000,in_port=swp1,actions=drop"],
        ["mod-flows", f"in_port=swp1,vlan_tci=0/0x1fff,actions=push_vlan:0x8100,{_TO_20}"],
        ["mod-flows", f"{_VLAN_10},actions=output:uplink,pop_vlan,output:swp2"],
        ["mod-flows", f"{_VLAN_10},actions=output:uplink,output:swp1,pop_vlan,output:swp2"],
        ["mod-flows", f"{_VLAN_10},actions=NORMAL"],
        ["add-flow", f"{_VLAN_10},priority=30200,cookie=0x4952600000000000,in_port=swp1,actions=drop"],
        ["mod-flows", "in_port=uplink,actions=drop"],
        ["mod-port", "swp1", "down"],
        ["mod-port", "swp1", "no-forward"],
    ],
    ids=" ".join,
)
async def test_drift_is_seen_and_repaired(datapath: Datapath, driver: OpenFlowDriver, by_hand: list[str]) -> None:
    desired = {"swp1": access(10), "swp2": access(10), "swp3": BUNDLED, "swp4": BUNDLED, "swp5": SHUT}
    await reach(driver, desired)
    await datapath.ofctl(*by_hand)
    observed = await driver.observe(desired)
    assert observed["swp1"] != desired["swp1"]
    assert observed["swp1"].untagged is None
    await reach(driver, desired)


async def test_drift_of_one_port_is_not_another_ports(datapath: Datapath, driver: OpenFlowDriver) -> None:
    desired = {"swp1": access(10), "swp2": access(10), "swp3": access(10), "swp4": access(20)}
    await reach(driver, desired)
    await datapath.ofctl(
        "mod-flows", 'table=1,vlan_tci=0x100a/0x1fff,actions=output:"uplink",pop_vlan,output:"swp2",output:"swp4"'
    )
    observed = await driver.observe(desired)
    assert observed["swp2"] == desired["swp2"]
    assert {name for name in desired if observed[name] != desired[name]} == {"swp1", "swp3", "swp4"}
    assert observed["swp4"].vlans == {0, 10, 20}, "it is seen to carry what it was given by hand"
    await reach(driver, desired)


async def test_drift_of_a_group_is_its_members(datapath: Datapath, driver: OpenFlowDriver) -> None:
    desired = {"swp1": access(10), "swp3": BUNDLED, "swp4": BUNDLED}
    await reach(driver, desired)
    group = (await datapath.ofctl("dump-groups")).split("group_id=")[1].split(",")[0]
    await datapath.ofctl("mod-group", f'group_id={group},type=select,bucket=output:"swp3",bucket=output:"swp4"')
    observed = await driver.observe(desired)
    assert {name for name in desired if observed[name] != desired[name]} == {"swp3", "swp4"}
    await reach(driver, desired)
    await datapath.ofctl("del-groups", f"group_id={group}")  # takes the flows that use it with it
    await reach(driver, desired)


async def test_a_bridge_in_standalone_mode_is_seen_to_carry_everything(bridge: OpenVSwitch) -> None:
    datapath = Datapath(bridge)
    datapath.drivers = []
    driver = datapath.driver(uplinks=[], datapath_id=None)
    observed = await driver.observe(PORTS)
    assert all(set(range(1, 4095)) < config.vlans for config in observed.values())
    with pytest.raises(Permanent, match="outside 1 to 4094"):
        driver.render(diff(LEAF, {"swp1": SHUT}, observed).inverse)
    await reach(driver, dict.fromkeys(PORTS, SHUT))
    assert not [line for line in await datapath.flows() if "NORMAL" in line]
    await driver.close()


async def test_flows_of_others_stay_and_are_named_where_they_bypass(datapath: Datapath, driver: OpenFlowDriver) -> None:
    desired = {"swp1": access(10), "swp2": access(20), "swp3": SHUT}
    await reach(driver, desired)
    for harmless in (
        "priority=50000,dl_type=0x88cc,actions=CONTROLLER:65535",
        "cookie=5,priority=50001,dl_type=0x86dd,actions=drop",
        'priority=500,in_port="swp5",actions=output:"swp6"',
        "table=7,priority=5,actions=drop",
    ):
        await datapath.ofctl("add-flow", harmless)
    assert await driver.observe(desired) == desired
    await datapath.ofctl("add-flow", 'cookie=0x77,priority=40000,in_port="swp1",dl_type=0x800,actions=output:"swp5"')
    observed = await driver.observe(desired)
    assert observed["swp1"].vlans > {1, 4094}
    assert observed["swp2"] == desired["swp2"]
    with pytest.raises(Permanent, match=r"priority=40000.*0x77 is not Ironlane's.*swp1: remove it"):
        await driver.apply(diff(LEAF, {**desired, "swp2": access(30)}, observed))
    assert (await driver.observe(desired))["swp2"] == access(30), "others do not wait for it"
    assert len([line for line in await datapath.flows() if "0x4952" not in line]) == 5
    for leak in ('priority=1,in_port="swp5",actions=NORMAL', "priority=60000,actions=resubmit(,9)"):
        await datapath.ofctl("add-flow", leak)
        assert all(config.vlans > {1, 4094} for config in (await driver.observe(desired)).values())


async def test_a_number_that_passes_to_another_port_gives_it_nothing(
    datapath: Datapath, driver: OpenFlowDriver
) -> None:
    await reach(driver, {"swp1": access(10), "swp2": access(20)})
    plan = diff(LEAF, {"swp2": access(10)}, await driver.observe(["swp2"]))
    number = await datapath.ovs.vsctl("get", "Interface", "swp1", "ofport")
    new = ("set", "Interface", "other", "type=dummy", f"ofport_request={number}")
    await datapath.ovs.vsctl("del-port", "swp1", "--", "add-port", "br0", "other", "--", *new)
    assert await datapath.ovs.vsctl("get", "Interface", "other", "ofport") == number
    with pytest.raises(Temporary, match="renumbered, added or removed"):
        await driver.apply(plan)
    observed = await driver.observe(["swp1", "swp2", "other"])
    assert "swp1" not in observed
    assert observed["other"].vlans == {0, 10}
    await driver.apply(plan)
    assert (await driver.observe(["other"]))["other"].vlans == {0}, "flows of a port that is gone go with any plan"


async def test_after_a_restart_nothing_is_carried_until_it_is_repaired(
    datapath: Datapath, driver: OpenFlowDriver
) -> None:
    desired = {"swp1": access(10), "swp2": SHUT}
    await reach(driver, desired)
    datapath.ovs.kill_vswitchd()
    with pytest.raises(Temporary):
        await driver.observe(desired)
    await datapath.ovs.start_vswitchd()
    assert await datapath.flows() == []
    observed = await driver.observe(desired)
    assert all(config.vlans == {0} for config in observed.values())
    await reach(driver, desired)


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_another_switch_is_never_written(datapath: Datapath) -> None:
    stranger = datapath.driver(datapath_id="00:00:00:00:00:00:00:07")
    with pytest.raises(Permanent, match=rf"datapath id {DATAPATH}, not 0000000000000007"):
        await stranger.observe(PORTS)
    with pytest.raises(Permanent, match="neither a switch's MAC address nor a datapath id"):
        datapath.driver(datapath_id="leaf-1")


async def test_a_switch_without_openflow_1_4_is_refused(datapath: Datapath, driver: OpenFlowDriver) -> None:
    await datapath.ovs.vsctl("set", "Bridge", "br0", "protocols=OpenFlow10,OpenFlow13")
    with pytest.raises(Permanent, match=r"does not speak OpenFlow 1\.4"):
        await driver.observe(PORTS)


async def test_ports_that_are_not_there_are_told(datapath: Datapath, driver: OpenFlowDriver) -> None:
    assert "swp99" not in await driver.observe(["swp99"])
    with pytest.raises(Permanent, match="no port swp99"):
        await driver.apply(diff(LEAF, {"swp99": SHUT}, {"swp99": access(1)}))
    with pytest.raises(Permanent, match="uplink is an uplink"):
        await driver.apply(diff(LEAF, {"uplink": SHUT}, {"uplink": access(1)}))
    with pytest.raises(Permanent, match="no port core: correct its option `uplinks`"):
        await datapath.driver(uplinks=["core"]).observe(PORTS)


async def test_a_bundle_that_is_refused_changes_nothing(datapath: Datapath, driver: OpenFlowDriver) -> None:
    desired = {"swp1": access(10)}
    await reach(driver, desired)
    before = await datapath.flows()
    limit = ("--id=@t", "create", "Flow_Table", "flow_limit=8", "overflow_policy=refuse")
    await datapath.ovs.vsctl("--", *limit, "--", "set", "Bridge", "br0", "flow_tables:0=@t")
    with pytest.raises(Permanent, match=r"refuses `flow add .*the table is full"):
        await driver.apply(diff(LEAF, {p: access(20) for p in PORTS}, await driver.observe(PORTS)))
    assert await datapath.flows() == before
    assert (await driver.observe(["swp1"])) == desired


async def test_a_lag_is_changed_as_a_whole_or_not_at_all(driver: OpenFlowDriver) -> None:
    await reach(driver, {"swp1": BUNDLED, "swp2": BUNDLED})
    with pytest.raises(Permanent, match="as a whole"):
        await driver.apply(diff(LEAF, {"swp1": access(20, lag=BUNDLED.lag)}, await driver.observe(["swp1"])))
    await reach(driver, {"swp3": BUNDLED})
    await reach(driver, {"swp1": SHUT})
    assert (await driver.observe(["swp2"]))["swp2"] == BUNDLED


# --- the conversation ------------------------------------------------------------------------------------------------


async def test_over_tcp_and_a_new_connection_takes_no_flow_away(datapath: Datapath, driver: OpenFlowDriver) -> None:
    port = free_port()
    await reach(driver, {"swp1": access(10)})
    before = await datapath.flows()
    await datapath.ovs.vsctl("set-controller", "br0", f"ptcp:{port}:127.0.0.1")
    other = datapath.driver(address="127.0.0.1", port=port)
    assert await other.observe(["swp1"]) == {"swp1": access(10)}
    await reach(other, {"swp2": access(20)})
    await other.close()
    assert await other.observe(["swp1", "swp2"]) == {"swp1": access(10), "swp2": access(20)}
    assert set(before) < set(await datapath.flows())


async def test_over_tls(datapath: Datapath) -> None:
    key, certificate = await asyncio.to_thread(self_signed, datapath.ovs.directory)
    port = free_port()
    listener = ("set-controller", "br0", f"pssl:{port}:127.0.0.1")
    await datapath.ovs.vsctl("set-ssl", str(key), str(certificate), str(certificate), "--", *listener)
    own = {"tls": True, "tls_certificate": str(certificate), "tls_key": str(key)}
    where = {"address": "127.0.0.1", "port": port}
    await reach(datapath.driver(tls_ca=str(certificate), **own, **where), {"swp1": access(10)})
    with pytest.raises(Permanent, match="not trusted"):
        await datapath.driver(**own, **where).observe(["swp1"])
    await datapath.ovs.vsctl("del-ssl", "--", "del-controller", "br0")


async def test_a_lost_answer_is_temporary_and_the_session_recovers(datapath: Datapath) -> None:
    async with Relay(datapath.ovs.directory / "relay.sock", datapath.socket) as relay:
        driver = datapath.driver(address=f"unix:{relay.listen}", timeout=0.5)
        plan = diff(LEAF, {"swp1": SHUT}, await driver.observe(["swp1"]))
        relay.drop_answers = True
        with pytest.raises(Temporary, match="no answer within"):
            await driver.apply(plan)
        relay.drop_answers = False
        await relay.hang_up()
        await driver.apply(plan)
        assert await driver.observe(["swp1"]) == {"swp1": SHUT}
        await relay.hang_up()
        await asyncio.sleep(0.05)
        assert await driver.observe(["swp1"]) == {"swp1": SHUT}
        await driver.close()
    with pytest.raises(Temporary):
        await driver.observe(["swp1"])


async def test_bridge_protocols_are_not_forwarded(datapath: Datapath, driver: OpenFlowDriver) -> None:
    await reach(driver, {"swp1": access(10), "swp2": access(10)})

    async def trace(destination: str) -> str:
        flow = f"in_port=swp1,dl_dst={destination},dl_src=02:00:00:00:00:01"
        return (await datapath.ovs.appctl("ofproto/trace", "br0", flow)).splitlines()[-1]

    assert await trace("01:80:c2:00:00:0e") == "Datapath actions: drop"
    assert await trace("ff:ff:ff:ff:ff:ff") != "Datapath actions: drop"
