"""Whatever goes wrong, in whatever order: the invariants stand, and every wish is fulfilled once nothing goes wrong.

`IRONLANE_FAULT_SECONDS` is how long new seeds are tried (default: 20), `IRONLANE_FAULT_SEED` the one seed to play
instead, `IRONLANE_FAULT_SHRINK` (a number of replays) has a failing one made shorter first. What is checked, and what
is excused, is in `tests.faults.judge`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.conftest import SERVERS, database_url
from tests.faults.episode import Outcome, Plan, plan_of, play, shrink
from tests.service.process import Zygote

REGRESSIONS = sorted(Path(__file__).parent.joinpath("plans").glob("*.json"))
"""Plans that failed once; each says why."""

SECONDS = float(os.environ.get("IRONLANE_FAULT_SECONDS") or 20)
ONE_EPISODE = 240


async def _judged(plan: Plan, folder: Path, zygote: Zygote, database: str = "") -> Outcome:
    print(f"IRONLANE_FAULT_SEED={plan.seed} ({' and '.join(plan.kinds)})", flush=True)
    outcome = await play(plan, folder / str(plan.seed), zygote, database)
    replays = int(os.environ.get("IRONLANE_FAULT_SHRINK") or 0)
    if outcome.failure and replays and not database:
        number = 0

        async def fails(shorter: Plan) -> bool:
            nonlocal outcome, number
            number += 1
            played = await play(shorter, folder / f"{plan.seed}-{number}", zygote)
            if played.failure:
                outcome = played
            return bool(played.failure)

        await shrink(outcome.plan, fails, replays)
    if outcome.failure:
        pytest.fail(outcome.report(), pytrace=False)
    return outcome


@pytest.mark.timeout(SECONDS + ONE_EPISODE)
async def test_new_seeds(tmp_path: Path, zygote: Zygote) -> None:
    await _new_seeds(lambda plan: _judged(plan, tmp_path, zygote))


@pytest.mark.timeout(SECONDS + ONE_EPISODE)
@pytest.mark.parametrize("kind", SERVERS)
async def test_new_seeds_with_two_conductors(
    tmp_path: Path, zygote: Zygote, kind: str, request: pytest.FixtureRequest
) -> None:
    """Half the time on each kind of database that they may share."""

    def judged(plan: Plan) -> Awaitable[Outcome]:
        return _judged(plan, tmp_path, zygote, database_url(kind, request, tmp_path))

    await _new_seeds(judged, SECONDS / 2)


async def _new_seeds(judged: Callable[[Plan], Awaitable[Outcome]], seconds: float = SECONDS) -> None:
    if given := os.environ.get("IRONLANE_FAULT_SEED"):
        await judged(plan_of(int(given)))
        return
    until, seeds = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        await judged(plan_of(random.SystemRandom().getrandbits(32)))
        seeds += 1
    print(f"{seeds} seeds in {seconds:.0f} s")


@pytest.mark.timeout(ONE_EPISODE)
@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
async def test_plans_that_failed_once(path: Path, tmp_path: Path, zygote: Zygote) -> None:
    await _judged(Plan.from_json(path.read_text()), tmp_path, zygote)  # noqa: ASYNC240 - before anything runs
