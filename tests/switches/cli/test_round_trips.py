"""Every platform: what is applied is read back, and the inverse plan returns to the start, for random port configs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.switches.cli.bench import IN_THE_LAB, Bench, switches


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=IN_THE_LAB)
def bench(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Iterator[Bench]:
    bench = runner.run(Bench(request.param).start())
    yield bench
    runner.run(bench.stop())


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_applied_is_read_back_and_its_inverse_leads_back(
    bench: Bench, runner: asyncio.Runner, data: st.DataObject
) -> None:
    first = data.draw(switches(bench.platform))
    second = data.draw(switches(bench.platform))

    async def scenario() -> None:
        await bench.converge(first)
        plan = await bench.converge(second)
        assert dict(bench.forwarding) == {port: bench.expected(config) for port, config in second.items()}
        await bench.driver.apply(plan)
        assert await bench.driver.observe(bench.ports) == second
        await bench.driver.apply(plan.inverse)
        assert await bench.driver.observe(bench.ports) == first
        assert dict(bench.forwarding) == {port: bench.expected(config) for port, config in first.items()}

    runner.run(scenario())
