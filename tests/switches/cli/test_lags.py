"""LAGs of command-line switches: MLAG pairs that really bundle, and LAGs of others that are left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ironlane.lab.switch import VirtualSwitch, pair
from ironlane.lab.wire import connect
from ironlane.model.errors import Permanent
from ironlane.model.fabric import Lag, LagMode, PortConfig, Vlan
from ironlane.model.plan import diff
from ironlane.switches.cli import CliDriver
from ironlane.switches.cli import platform as platforms
from tests.lab.wiring import BondedHost
from tests.switches.cli.bench import IN_THE_LAB, LEAF, Bench

MLAG = [name for name in IN_THE_LAB if platforms.load(name).lag.mlag is not None]
WITHOUT = [name for name in IN_THE_LAB if platforms.load(name).lag.mlag is None]


def bundled(lag: Lag) -> PortConfig:
    return PortConfig(untagged=Vlan(10), lag=lag)


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    bench = await Bench(request.param, count=4).start()
    yield bench
    await bench.stop()


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", names, indirect=True)


class PairedBench(Bench):
    """A bench whose switch really forwards, as one of a pair."""

    def on_running(self, config) -> None:  # type: ignore[no-untyped-def]
        super().on_running(config)
        self.leaf.load(config)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.leaf = VirtualSwitch("leaf", f"02:aa:00:00:00:{self.count:02x}", self.ports)


@pytest.mark.parametrize("platform", MLAG)
async def test_a_bond_gets_both_links_only_where_both_switches_know_the_lag_by_one_id(platform: str) -> None:
    first, second = PairedBench(platform, count=2), PairedBench(platform, count=3)
    pair(first.leaf, second.leaf)
    server = BondedHost("server", 1)
    for nic, side in zip(server.nics, (first, second), strict=True):
        connect(nic.interface, side.leaf.interface(side.ports[0]))
        await side.start()
    bond = server.up()
    form = platforms.load(platform).lag
    ids: list[tuple[int | None, int | None, int]] = [(5, 5, 2), (None, None, 1), (5, None, 1), (5, 5, 2)]
    if not form.mlag_is_number:
        ids += [(6, 7, 1), (6, 6, 2)]
    for one, other, links in ids:
        for side, mlag in ((first, one), (second, other)):
            await side.converge({side.ports[0]: bundled(Lag(5, mlag=mlag))})
        assert len(bond.active) == links, (one, other)
    for side in (first, second):
        await side.stop()


@on(*IN_THE_LAB)
async def test_a_lag_with_members_of_others_is_told_and_not_touched(bench: Bench) -> None:
    own, strange = bench.ports[:2], bench.ports[3]
    operator = CliDriver(bench.access())
    theirs = {strange: bundled(Lag(1))}
    await operator.apply(diff(LEAF, theirs, await operator.observe(theirs)))
    before = await bench.driver.observe(own)
    assert set(bench.driver.foreign_lags()) == {1}
    bench.switch.lines.clear()
    plan = diff(LEAF, {own[0]: bundled(Lag(1))}, before)
    for _ in range(2):  # also once it has to look again
        with pytest.raises(Permanent, match=rf"1 is not touched: .*\({strange}\)"):
            await bench.driver.apply(plan)
    questions = {question.command for question in platforms.load(bench.platform).read}
    assert set(bench.switch.lines) <= questions, "nothing was sent"
    await bench.converge({own[0]: bundled(Lag(2))})
    assert set(bench.driver.foreign_lags()) == {1}, "2 is ours"
    await bench.converge({own[0]: PortConfig(untagged=Vlan(10))})
    assert await operator.observe(theirs) == theirs
    await operator.close()


@on(*IN_THE_LAB)
async def test_a_port_of_ours_leaves_a_lag_of_others_as_it_is(bench: Bench) -> None:
    both = bench.ports[2:4]
    operator = CliDriver(bench.access())
    theirs = {port: bundled(Lag(1)) for port in both}
    await operator.apply(diff(LEAF, theirs, await operator.observe(theirs)))
    assert (await bench.driver.observe(both[:1]))[both[0]] == bundled(Lag(1))
    assert set(bench.driver.foreign_lags()) == {1}
    await bench.converge({both[0]: PortConfig(untagged=Vlan(10))})
    assert (await operator.observe(theirs))[both[1]] == bundled(Lag(1))
    await operator.close()


@on(*(name for name in MLAG if not platforms.load(name).lag.mlag_is_number))
async def test_an_mlag_id_of_others_is_told_and_not_taken(bench: Bench) -> None:
    operator = CliDriver(bench.access())
    theirs = {bench.ports[3]: bundled(Lag(1, mlag=7))}
    await operator.apply(diff(LEAF, theirs, await operator.observe(theirs)))
    before = await bench.driver.observe(bench.ports[:2])
    assert set(bench.driver.foreign_lags()) == {1, 7}
    with pytest.raises(Permanent, match=r"cannot have MLAG id 7: (Port-Channel|port-channel|bond)1 has it"):
        await bench.driver.apply(diff(LEAF, {bench.ports[0]: bundled(Lag(2, mlag=7))}, before))
    await operator.close()


@on("sonic")
async def test_an_mlag_takes_a_domain_that_the_operator_has_set_up(bench: Bench) -> None:
    bench.switch.device.mclag_domain = None  # type: ignore[attr-defined]
    port = bench.ports[0]
    before = await bench.driver.observe([port])
    with pytest.raises(Permanent, match="PortChannel2 cannot go on at the MLAG peer: no MLAG domain"):
        await bench.driver.apply(diff(LEAF, {port: bundled(Lag(2, mlag=2))}, before))
    bench.switch.device.mclag_domain = 7  # type: ignore[attr-defined]
    await bench.converge({port: bundled(Lag(2, mlag=2))})
    assert "sudo config mclag member add 7 PortChannel2" in bench.switch.lines


@pytest.mark.parametrize(
    ("platform", "lag", "said"),
    [
        *((name, Lag(2, mlag=2), "has no MLAG that Ironlane could set up") for name in WITHOUT),
        ("arista-eos", Lag(2, mlag=2001), "takes 1 to 2000"),
        ("aruba-aoscx", Lag(2, mlag=3), "it is the LAG's number, 2"),
        ("sonic", Lag(2, mlag=3), "it is the LAG's number, 2"),
        ("dell-os10", Lag(2, LagMode.STATIC, mlag=0), "takes 1 to 1024"),
    ],
)
def test_mlags_that_a_platform_cannot_have(platform: str, lag: Lag, said: str) -> None:
    bench = Bench(platform, count=1)
    driver = CliDriver(bench.access())
    with pytest.raises(Permanent, match=said):
        driver.render(diff(LEAF, {bench.ports[0]: bundled(lag)}, {bench.ports[0]: PortConfig()}))
