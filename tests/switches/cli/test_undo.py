"""Where every line counts at once: a plan that fails at any line is undone, in a new session if need be."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.model.fabric import LacpRate, Lag, PortConfig, PortMode, Vlan
from ironlane.model.plan import Plan, diff
from ironlane.switches.cli import CliDriver
from ironlane.switches.cli import platform as platforms
from tests.switches.cli.bench import IN_THE_LAB, LEAF, Bench

EVERY_LINE_COUNTS = [name for name in IN_THE_LAB if not platforms.load(name).transaction.atomic]
CHECKPOINTS = [name for name in IN_THE_LAB if platforms.load(name).transaction.checkpoint is not None]
ON_20 = PortConfig(untagged=Vlan(20), description="ironlane n-2")
BUNDLED = PortConfig(untagged=Vlan(10), lag=Lag(3), description="ironlane n-1")
TRUNK = PortConfig(PortMode.TRUNK, Vlan(10), frozenset({Vlan(30), Vlan(31)}), Lag(4, rate=LacpRate.FAST))


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    bench = await Bench(request.param, count=4).start()
    yield bench
    await bench.stop()


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", names, indirect=True)


async def prepared(bench: Bench, driver: CliDriver) -> tuple[dict[str, PortConfig], Plan, range]:
    """What is carried before, a plan that changes all of it, and the lines of it that count."""
    one, two, three, _ = bench.ports
    before = {one: BUNDLED, two: replace(BUNDLED, description=""), three: ON_20}
    after = {one: ON_20, two: replace(TRUNK, description="ironlane n-3"), three: TRUNK}
    await bench.converge(after)  # from then on its VLANs are defined
    await bench.converge(before)
    seen = await driver.observe(list(after))
    assert seen == before
    plan = diff(LEAF, after, seen)
    form = platforms.load(bench.platform).transaction
    text = driver.render(plan)
    first = len(form.begin) + (2 if text[0] in (form.checkpoint.drop if form.checkpoint else ()) else 0)
    return before, plan, range(first, len(text) - len(form.save) - len(form.commit))


async def fails(bench: Bench, plan: Plan, before: dict[str, PortConfig], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        await bench.driver.apply(plan)
    if "all of it had been done by then" in str(caught.value):  # the line would have changed nothing
        assert await bench.driver.observe(before) == {change.port: change.after for change in plan.changes}
        await bench.converge(before)
        return
    assert "; what had been done by then was undone" in str(caught.value)
    assert await bench.driver.observe(before) == before


@on(*EVERY_LINE_COUNTS)
async def test_a_line_that_is_refused_has_all_before_it_undone(bench: Bench) -> None:
    before, plan, lines = await prepared(bench, bench.driver)
    for at in range(lines.start, lines.stop, 3):
        bench.switch.faults.refuse_at = at
        await fails(bench, plan, before, Permanent)
    await bench.driver.apply(plan)
    assert await bench.driver.observe(before) == {change.port: change.after for change in plan.changes}


@on(*EVERY_LINE_COUNTS)
async def test_a_session_that_is_lost_has_all_before_it_undone_in_another(bench: Bench) -> None:
    before, plan, lines = await prepared(bench, bench.driver)
    bench.switch.faults.once = True
    for at in range(lines.start, lines.stop, 4):
        bench.switch.faults.drop_at = at
        await fails(bench, plan, before, Temporary)


@on(*EVERY_LINE_COUNTS)
async def test_what_was_done_altogether_is_not_undone(bench: Bench) -> None:
    before, plan, lines = await prepared(bench, bench.driver)
    last = bench.driver.render(plan)[lines.stop - 1]
    bench.switch.faults.once = True
    # The very last such line: those before it, if there are any alike, are let through by counting.
    bench.switch.faults.drop_at = lines.stop
    if platforms.load(bench.platform).transaction.commit:
        with pytest.raises(Temporary, match="all of it had been done by then"):
            await bench.driver.apply(plan)
    else:
        bench.switch.faults.drop_at = None
        bench.switch.faults.drop_after.add(last)
        with pytest.raises(Temporary):
            await bench.driver.apply(plan)
    assert await bench.driver.observe(before) in (before, {change.port: change.after for change in plan.changes})


@on(*EVERY_LINE_COUNTS)
async def test_a_switch_that_refuses_to_go_back_is_told(bench: Bench) -> None:
    before, plan, lines = await prepared(bench, bench.driver)
    bench.switch.faults.drop_at = lines.stop - 2
    with pytest.raises(Temporary, match=r"; what had been done by then could not be undone: switch leaf-1"):
        await bench.driver.apply(plan)
    bench.switch.faults.drop_at = None
    await bench.switch.sessions_ended()
    await bench.converge({change.port: change.after for change in plan.changes})
    await bench.converge(before)


@on(*EVERY_LINE_COUNTS)
async def test_after_an_undoing_that_was_refused_the_switch_can_be_read(bench: Bench) -> None:
    """The session must not be left where it was configuring: what is asked there may be refused."""
    before, plan, _ = await prepared(bench, bench.driver)
    bench.switch.faults.refuse = {"vlan"}
    with pytest.raises(Permanent, match="could not be undone"):
        await bench.driver.apply(plan)
    bench.switch.faults.refuse = set()
    assert (await bench.driver.observe(before)).keys() == before.keys()
    await bench.converge({change.port: change.after for change in plan.changes})


@on(*EVERY_LINE_COUNTS)
async def test_undoing_writes_no_port_that_is_not_in_the_plan(bench: Bench) -> None:
    _, plan, lines = await prepared(bench, bench.driver)
    stranger = bench.switch.device.running.interfaces[bench.ports[3]]
    bench.switch.faults.refuse_at = lines.stop - 3
    bench.switch.lines.clear()

    async def meddle() -> None:
        stranger.description = "changed by hand"

    await meddle()
    with pytest.raises(Permanent, match="was undone"):
        await bench.driver.apply(plan)
    assert bench.switch.device.running.interfaces[bench.ports[3]].description == "changed by hand"
    assert not any(line.endswith(bench.ports[3]) for line in bench.switch.lines)


@on(*CHECKPOINTS)
async def test_with_a_checkpoint_of_the_whole_configuration(bench: Bench) -> None:
    driver = CliDriver(bench.access(checkpoint=True))
    before, plan, lines = await prepared(bench, driver)
    form = platforms.load(bench.platform).transaction.checkpoint
    assert form is not None
    whole = copy.deepcopy(bench.switch.device.running)
    for once, at in ((False, lines.stop - 3), (True, lines.stop - 2)):
        bench.switch.faults.once = once
        bench.switch.faults.refuse_at, bench.switch.faults.drop_at = (None, at) if once else (at, None)
        with pytest.raises(Temporary if once else Permanent, match="was undone"):
            await driver.apply(plan)
        assert form.restore[0] in bench.switch.lines
        assert bench.switch.device.running == whole, "all of it, as it was"
        assert bench.switch.device.checkpoints == {}
        bench.switch.lines.clear()
    rendered = driver.render(plan)
    await driver.observe(before)
    bench.switch.lines.clear()
    rendered = driver.render(plan)
    await driver.apply(plan)
    assert tuple(bench.switch.lines) == rendered, "what is shown is what is sent"
    assert bench.switch.device.checkpoints == {}
    await driver.close()


@pytest.mark.parametrize("platform", sorted(set(IN_THE_LAB) - set(CHECKPOINTS)))
def test_checkpoints_where_there_are_none(platform: str) -> None:
    with pytest.raises(Invalid, match="has no use for checkpoints"):
        CliDriver(Bench(platform).access(checkpoint=True))


@on(*IN_THE_LAB)
async def test_only_commits_that_are_so_call_themselves_atomic(bench: Bench) -> None:
    """A refused last line: on an atomic platform nothing was ever in force, elsewhere it was for a moment."""
    before, plan, lines = await prepared(bench, bench.driver)
    bench.history.clear()
    bench.switch.faults.refuse_at = lines.stop - 1
    with pytest.raises(Permanent):
        await bench.driver.apply(plan)
    assert bool(bench.history) is not bench.driver.capabilities.atomic_commit
    if bench.driver.capabilities.atomic_commit:
        assert await bench.driver.observe(before) == before
