"""The OpenConfig driver against the lab's NETCONF server: round trips, lost sessions, locks, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace

import asyncssh
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ironlane.lab import by_hand
from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.lab.netconf import NetconfServer
from ironlane.lab.netconf.schema import NAMESPACES
from ironlane.lab.netconf.server import _CAPABILITIES
from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import LacpRate, Lag, LagMode, PortConfig, PortMode, SwitchId, Vlan
from ironlane.model.plan import Change, Plan, diff
from ironlane.switches.base import Access
from ironlane.switches.netconf import NetconfSession
from ironlane.switches.openconfig import OpenConfigDriver
from ironlane.switches.openconfig.write import confirmed_commit, operation

LEAF = SwitchId("leaf-1")
PORTS = [f"Ethernet{number}" for number in range(1, 6)]
KEY = asyncssh.generate_private_key("ssh-ed25519")
SHUT = PortConfig(enabled=False)


@dataclass
class Bench:
    """A lab server, what it forwards now, and a driver for it."""

    capabilities: tuple[str, ...] = _CAPABILITIES
    forwarding: Mapping[str, PortForwarding] = field(default_factory=dict)
    startup: bool = False

    def __post_init__(self) -> None:
        self.server = NetconfServer(
            PORTS, self.on_running, host_key=KEY, capabilities=self.capabilities, startup=self.startup
        )

    def on_running(self, config: Mapping[str, PortForwarding]) -> None:
        self.forwarding = config

    def access(self, timeout: float = 10.0, **own: bool) -> Access:
        options = {"host_key": self.server.host_key, **own}
        return Access(LEAF, "127.0.0.1", self.server.port, "admin", "admin", options, timeout)

    async def start(self) -> Bench:
        await self.server.start()
        self.driver = OpenConfigDriver(self.access())
        return self

    async def stop(self) -> None:
        await self.driver.close()
        await self.server.stop()

    async def converge(self, desired: Mapping[str, PortConfig]) -> Plan:
        """Observe, diff, apply, and observe again."""
        plan = diff(LEAF, desired, await self.driver.observe(desired))
        await self.driver.apply(plan)
        assert await self.driver.observe(desired) == desired
        return plan


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = await Bench().start()
    yield bench
    await bench.stop()


VLANS = st.integers(1, 4094).map(Vlan)


@st.composite
def carried(draw: st.DrawFn) -> PortConfig:
    """Any port config that OpenConfig can express, without a LAG."""
    description = draw(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=12))
    enabled = draw(st.booleans())
    if draw(st.booleans()):
        vlans = st.integers(2, 4094).map(Vlan)
        untagged = draw(vlans) if enabled else draw(st.none() | vlans)
        return PortConfig(untagged=untagged, enabled=enabled, description=description)
    tagged = draw(st.frozensets(VLANS, max_size=6))
    untagged = draw(VLANS if not tagged else st.none() | VLANS)
    return PortConfig(PortMode.TRUNK, untagged, tagged - {untagged}, None, enabled, description)


@st.composite
def lags(draw: st.DrawFn, number: int) -> Lag:
    links = draw(st.integers(1, 4))
    if draw(st.booleans()):
        return Lag(number, LagMode.STATIC, min_links=links)
    return Lag(number, LagMode.LACP, draw(st.sampled_from(LacpRate)), links, draw(st.booleans()))


@st.composite
def switches(draw: st.DrawFn) -> dict[str, PortConfig]:
    """What all ports of a switch carry, some of them in LAGs."""
    bundles = {number: replace(draw(carried()), lag=draw(lags(number))) for number in (1, 2, 777)}
    config = {}
    for port in PORTS:
        number = draw(st.sampled_from([None, *bundles]))
        single = draw(carried())
        config[port] = single if number is None else replace(bundles[number], description=single.description)
    return config


def expected_forwarding(config: PortConfig) -> PortForwarding:
    lag = config.lag and LagMembership(
        config.lag.number, config.lag.mode is LagMode.LACP, config.lag.fallback, config.lag.min_links
    )
    idle = not config.enabled and config.untagged is None and config.mode is PortMode.ACCESS
    return PortForwarding(config.enabled, 1 if idle else config.untagged, config.tagged, lag)


@pytest.fixture(scope="module")
def rounds() -> Iterator[tuple[asyncio.Runner, Bench]]:
    with asyncio.Runner() as runner:
        bench = runner.run(Bench().start())
        yield runner, bench
        runner.run(bench.stop())


@settings(max_examples=25, deadline=None)
@given(first=switches(), second=switches())
def test_what_is_applied_is_read_back_and_its_inverse_leads_back(
    rounds: tuple[asyncio.Runner, Bench], first: dict[str, PortConfig], second: dict[str, PortConfig]
) -> None:
    runner, bench = rounds

    async def scenario() -> None:
        await bench.converge(first)
        plan = await bench.converge(second)
        assert dict(bench.forwarding) == {port: expected_forwarding(config) for port, config in second.items()}
        await bench.driver.apply(plan)
        assert await bench.driver.observe(PORTS) == second
        await bench.driver.apply(plan.inverse)
        assert await bench.driver.observe(PORTS) == first
        assert dict(bench.forwarding) == {port: expected_forwarding(config) for port, config in first.items()}

    runner.run(scenario())


def aggregates(bench: Bench) -> set[str]:
    running = bench.server.configuration.read("running")
    return {e.text or "" for e in running.iter("{http://openconfig.net/yang/interfaces}name")} - set(PORTS)


async def test_one_plan_is_one_commit(bench: Bench) -> None:
    await bench.converge({port: PortConfig(untagged=Vlan(10)) for port in PORTS})
    assert (bench.server.commits, bench.server.edits) == (1, 1)


async def test_ports_that_the_switch_does_not_have_are_left_out(bench: Bench) -> None:
    assert await bench.driver.observe(["Ethernet1", "Ethernet99"]) == {"Ethernet1": SHUT}


async def test_a_lag_goes_with_its_last_member_and_not_before(bench: Bench) -> None:
    bundled = PortConfig(untagged=Vlan(10), lag=Lag(5))
    await bench.converge({"Ethernet1": bundled, "Ethernet2": bundled})
    await bench.converge({"Ethernet1": SHUT})
    assert aggregates(bench) == {"Port-Channel5"}
    assert bench.forwarding["Ethernet2"].pvid == 10
    fresh = OpenConfigDriver(bench.access())
    await fresh.apply(Plan(LEAF, (Change("Ethernet2", bundled, SHUT),)))
    await fresh.close()
    assert aggregates(bench) == set()


async def test_a_driver_that_never_observed_does_not_delete_a_lag_with_members(bench: Bench) -> None:
    bundled = PortConfig(untagged=Vlan(10), lag=Lag(5))
    await bench.converge({"Ethernet1": bundled, "Ethernet2": bundled})
    fresh = OpenConfigDriver(bench.access())
    await fresh.apply(Plan(LEAF, (Change("Ethernet1", bundled, SHUT),)))
    assert aggregates(bench) == {"Port-Channel5"}
    await fresh.apply(Plan(LEAF, (Change("Ethernet2", bundled, SHUT),)))
    assert aggregates(bench) == set()
    await fresh.close()


async def test_a_lag_with_members_of_others_is_told_and_not_touched(bench: Bench) -> None:
    own, strange = "Ethernet1", "Ethernet4"
    operator = OpenConfigDriver(bench.access())
    theirs = {strange: PortConfig(untagged=Vlan(10), lag=Lag(1))}
    await operator.apply(diff(LEAF, theirs, await operator.observe(theirs)))
    before = await bench.driver.observe([own])
    assert set(bench.driver.foreign_lags()) == {1}
    wrong = diff(LEAF, {own: PortConfig(untagged=Vlan(10), lag=Lag(1))}, before)
    for _ in range(2):
        with pytest.raises(Permanent, match=r"Port-Channel1 is not touched: .*\(Ethernet4\)"):
            await bench.driver.apply(wrong)
    await bench.driver.apply(diff(LEAF, {own: PortConfig(untagged=Vlan(10), lag=Lag(2))}, before))
    await bench.driver.observe([own])
    assert set(bench.driver.foreign_lags()) == {1}
    assert await operator.observe(theirs) == theirs
    await operator.close()


STEPS = ("lock", "discard-changes", "edit-config", "validate", "confirmed-commit", "commit", "unlock")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_session_lost_at_any_step_leaves_all_or_nothing(bench: Bench, step: str, moment: str) -> None:
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10), lag=Lag(3)), "Ethernet2": PortConfig(untagged=Vlan(11))}
    plan = diff(LEAF, desired, await bench.driver.observe(desired))
    drops = bench.server.faults.drop_before if moment == "before" else bench.server.faults.drop_after
    drops.add(step)
    if step == "unlock":
        await bench.driver.apply(plan)
    else:
        with pytest.raises(Temporary, match="leaf-1"):
            await bench.driver.apply(plan)
    drops.clear()
    await bench.server.sessions_ended()
    confirmed = step == "unlock" or (step, moment) == ("commit", "after")
    assert bench.forwarding["Ethernet2"].pvid == (11 if confirmed else 1)
    assert await bench.driver.observe(desired) == (desired if confirmed else dict.fromkeys(desired, SHUT))
    await bench.converge(desired)


@pytest.mark.parametrize("step", STEPS)
async def test_a_refusal_at_any_step_leaves_nothing_behind(bench: Bench, step: str) -> None:
    assert await bench.driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}
    bench.server.faults.refuse.add(step)
    plan = Plan(LEAF, (Change("Ethernet1", SHUT, PortConfig(untagged=Vlan(10))),))
    if step == "unlock":
        await bench.driver.apply(plan)
    else:
        with pytest.raises(Temporary if step == "lock" else Permanent, match=f"{step} refused by the lab"):
            await bench.driver.apply(plan)
    bench.server.faults.refuse.clear()
    if step in ("commit", "unlock"):
        await bench.server.sessions_ended()
    assert bench.forwarding["Ethernet1"].pvid == (10 if step == "unlock" else 1)
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(20))})


async def test_what_is_read_in_one_go_with_a_commit_is_what_it_brought_about(bench: Bench) -> None:
    found = await bench.driver.observe(PORTS)
    for vlan in (10, 20):
        desired = {**found, "Ethernet1": PortConfig(untagged=Vlan(vlan)), "Ethernet2": PortConfig(untagged=Vlan(7))}
        plan = diff(LEAF, desired, found)
        found = await bench.driver.apply_and_observe(plan, PORTS)
        assert found == desired == await bench.driver.observe(PORTS)
        assert bench.forwarding["Ethernet1"].pvid == vlan
    other = await NetconfSession.open(bench.access())
    await other.rpc(operation("lock", "target", "candidate"), operation("unlock", "target", "candidate"))
    await other.close()


@pytest.mark.parametrize("step", [*STEPS, "get-config"])
async def test_a_refusal_at_any_step_is_told_also_when_all_is_asked_in_one_go(bench: Bench, step: str) -> None:
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10))}
    plan = diff(LEAF, desired, await bench.driver.observe(desired))
    bench.server.faults.refuse.add(step)
    if step == "unlock":
        assert await bench.driver.apply_and_observe(plan, desired) == desired
    else:
        with pytest.raises(Temporary if step == "lock" else Permanent, match=f"{step} refused by the lab"):
            await bench.driver.apply_and_observe(plan, desired)
    bench.server.faults.refuse.clear()
    if step == "commit":
        await bench.server.sessions_ended()  # the switch has undone it
    committed = step in ("unlock", "get-config")
    assert await bench.driver.observe(desired) == (desired if committed else {"Ethernet1": SHUT})
    assert bench.forwarding["Ethernet1"].pvid == (10 if committed else 1)
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(20))})


async def test_a_switch_that_hangs_is_given_up(bench: Bench) -> None:
    driver = OpenConfigDriver(bench.access(timeout=0.3))
    bench.server.faults.hang.add("validate")
    with pytest.raises(Temporary, match=r"no answer within 0\.3 s"):
        await driver.apply(Plan(LEAF, (Change("Ethernet1", SHUT, PortConfig(untagged=Vlan(10))),)))
    bench.server.faults.hang.clear()
    await bench.server.sessions_ended()
    assert await driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}
    await driver.close()


async def test_cancelling_an_apply_rolls_back(bench: Bench) -> None:
    bench.server.faults.hang.add("commit")
    plan = Plan(LEAF, (Change("Ethernet1", SHUT, PortConfig(untagged=Vlan(10))),))
    committed = asyncio.Event()
    told = bench.on_running

    def on_running(config: Mapping[str, PortForwarding]) -> None:
        told(config)
        committed.set()

    bench.server.configuration._on_running = on_running
    apply = asyncio.create_task(bench.driver.apply(plan))
    await committed.wait()
    assert bench.forwarding["Ethernet1"].pvid == 10
    apply.cancel()
    with pytest.raises(asyncio.CancelledError):
        await apply
    await bench.server.sessions_ended()
    assert bench.forwarding["Ethernet1"].pvid == 1


async def test_a_locked_candidate_is_temporary(bench: Bench) -> None:
    other = await NetconfSession.open(bench.access())
    await other.rpc(operation("lock", "target", "candidate"))
    plan = Plan(LEAF, (Change("Ethernet1", SHUT, PortConfig(untagged=Vlan(10))),))
    with pytest.raises(Temporary, match=f"lock-denied.*held by session {other.session_id}"):
        await bench.driver.apply(plan)
    await other.close()
    await bench.driver.apply(plan)


async def test_leftovers_in_the_candidate_are_discarded(bench: Bench) -> None:
    other = await NetconfSession.open(bench.access())
    leftover = Plan(LEAF, (Change("Ethernet2", SHUT, PortConfig(untagged=Vlan(66))),))
    await other.rpc(bench.driver.render(leftover)[2])
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(10))})
    assert bench.forwarding["Ethernet2"] == PortForwarding(enabled=False, pvid=1)
    await other.close()


async def test_nothing_is_believed_while_a_commit_waits_to_be_confirmed(bench: Bench) -> None:
    other = await NetconfSession.open(bench.access())
    await other.rpc(bench.driver.render(Plan(LEAF, (Change("Ethernet1", SHUT, PortConfig(untagged=Vlan(66))),)))[2])
    await other.rpc(confirmed_commit(60))
    with pytest.raises(Temporary, match="a commit waits to be confirmed"):
        await bench.driver.observe(PORTS)
    await other.rpc(operation("cancel-commit"))
    assert await bench.driver.observe(["Ethernet1"]) == {"Ethernet1": SHUT}
    await other.close()


async def test_a_port_that_does_not_exist_is_permanent(bench: Bench) -> None:
    with pytest.raises(Permanent, match=r"leaf-1: no such interface.*Ethernet99.*invalid-value.*at /oc-if:interfaces"):
        await bench.driver.apply(Plan(LEAF, (Change("Ethernet99", SHUT, PortConfig(untagged=Vlan(10))),)))
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(10))})


async def test_a_vlan_out_of_range_is_permanent_and_says_where(bench: Bench) -> None:
    session = await NetconfSession.open(bench.access())
    edit = bench.driver.render(Plan(LEAF, (Change("Ethernet1", SHUT, PortConfig(untagged=Vlan(4000))),)))[2]
    with pytest.raises(
        Permanent, match=r"invalid value '4095'.*invalid-value.*\[oc-if:name='Ethernet1'\].*access-vlan"
    ):
        await session.rpc(edit.replace("<access-vlan>4000", "<access-vlan>4095"))
    await session.close()


async def test_a_restarted_switch_is_found_again(bench: Bench) -> None:
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10))}
    await bench.converge(desired)
    await bench.server.stop()
    with pytest.raises(Temporary, match="leaf-1"):
        await bench.driver.observe(desired)
    with pytest.raises(Temporary, match=r"no SSH connection to 127\.0\.0\.1"):
        await bench.driver.observe(desired)
    await bench.server.start()
    assert await bench.driver.observe(desired) == desired


@pytest.mark.parametrize("missing", [("confirmed-commit",), ("confirmed-commit", "validate", "base:1.1")])
async def test_switches_that_can_do_less(missing: tuple[str, ...]) -> None:
    bench = await Bench(tuple(c for c in _CAPABILITIES if not any(name in c for name in missing))).start()
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(10))})
    await bench.stop()


async def test_a_switch_without_a_candidate_is_refused() -> None:
    bench = await Bench(tuple(c for c in _CAPABILITIES if ":candidate" not in c)).start()
    for _ in range(2):
        with pytest.raises(Permanent, match="without a candidate datastore"):
            await bench.driver.observe(PORTS)
    await bench.stop()


@pytest.fixture
async def forgetful() -> AsyncIterator[Bench]:
    bench = await Bench(startup=True).start()
    yield bench
    await bench.stop()


async def rebooted(bench: Bench) -> Mapping[str, PortForwarding]:
    await bench.driver.close()
    await bench.server.stop()
    bench.server.configuration.reboot()
    await bench.server.start()
    return bench.forwarding


async def test_what_was_committed_survives_a_reboot(forgetful: Bench) -> None:
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10)), "Ethernet2": PortConfig(untagged=Vlan(11), lag=Lag(3))}
    await forgetful.converge(desired)
    assert "<copy-config" in forgetful.driver.render(diff(LEAF, desired, dict.fromkeys(desired, SHUT)))[-2]
    before = forgetful.forwarding
    assert await rebooted(forgetful) == before
    assert await forgetful.driver.observe(desired) == desired


async def test_it_does_not_where_the_operator_wants_to_save_by_himself(forgetful: Bench) -> None:
    driver = OpenConfigDriver(forgetful.access(save=False))
    await driver.apply(Plan(LEAF, (Change("Ethernet1", SHUT, PortConfig(untagged=Vlan(10))),)))
    assert forgetful.forwarding["Ethernet1"].enabled
    await driver.close()
    assert not (await rebooted(forgetful))["Ethernet1"].enabled


async def test_what_was_not_saved_because_the_session_broke_is_saved_later(forgetful: Bench) -> None:
    desired = {"Ethernet1": PortConfig(untagged=Vlan(10))}
    plan = diff(LEAF, desired, await forgetful.driver.observe(desired))
    forgetful.server.faults.drop_before.add("copy-config")
    with pytest.raises(Temporary):
        await forgetful.driver.apply(plan)
    forgetful.server.faults.drop_before.clear()
    assert await forgetful.driver.observe(desired) == desired
    await forgetful.driver.save()
    assert (await rebooted(forgetful))["Ethernet1"].pvid == 10


async def test_a_switch_that_keeps_what_runs_is_not_told_to(bench: Bench) -> None:
    bench.server.faults.refuse.add("copy-config")
    await bench.converge({"Ethernet1": PortConfig(untagged=Vlan(10))})
    await bench.driver.save()


@pytest.mark.parametrize("how", ["taken away", "suspended"])
async def test_a_vlan_that_is_gone_from_under_a_port_is_seen_and_defined_again(bench: Bench, how: str) -> None:
    desired = {
        "Ethernet1": PortConfig(untagged=Vlan(10)),
        "Ethernet2": PortConfig(PortMode.TRUNK, Vlan(11), frozenset({Vlan(12)}), Lag(3)),
        "Ethernet3": PortConfig(PortMode.TRUNK, None, frozenset(map(Vlan, range(1, 4095)))),
    }
    await bench.converge(desired)
    for vlan in (10, 12):
        if how == "taken away":
            assert by_hand.undefine(bench.server, vlan)
        else:
            suspend(bench.server, vlan)
    seen = await bench.driver.observe(desired)
    assert {port: config.inactive for port, config in seen.items()} == {
        "Ethernet1": "not defined: VLAN 10",
        "Ethernet2": "not defined: VLAN 12",
        "Ethernet3": "",
    }
    await bench.converge(desired)
    assert bench.forwarding["Ethernet1"].pvid == 10
    assert bench.forwarding["Ethernet2"].tagged == {12}


def suspend(server: NetconfServer, vlan: int) -> None:
    config = etree.fromstring(
        f'<config><network-instances xmlns="{NAMESPACES["oc-netinst"]}"><network-instance><name>default</name><vlans>'
        f"<vlan><vlan-id>{vlan}</vlan-id><config><vlan-id>{vlan}</vlan-id><status>SUSPENDED</status></config></vlan>"
        "</vlans></network-instance></network-instances></config>"
    )
    server.configuration.edit(99, config, "merge")
    server.configuration.commit(99)
