"""The worker: one run at a time for an id, and those who come meanwhile share the next one."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from ironlane.conductor.worker import Worker


async def _nothing(_waiting: bool) -> list[str]:
    return []


async def test_an_idle_id_is_worked_on_at_once_and_alone() -> None:
    runs: list[str] = []

    async def work(ident: str) -> timedelta | None:
        runs.append(ident)
        return None

    worker = Worker("switch", work, _nothing)
    worker.poke("leaf-1")
    await asyncio.sleep(0)  # the task begins; nothing is waited for
    assert runs == ["leaf-1"]
    await worker.stop()


async def test_hints_that_keep_coming_share_the_next_run() -> None:
    arrived = 0
    seen: list[int] = []
    all_seen = asyncio.Event()

    async def work(_ident: str) -> timedelta | None:
        seen.append(arrived)
        await asyncio.sleep(0.1)
        if seen[-1] == 40:
            all_seen.set()
        return None

    worker = Worker("switch", work, _nothing)
    for _ in range(40):  # some 0.4 s, of which each run takes 0.1
        arrived += 1
        worker.poke("leaf-1")
        await asyncio.sleep(0.01)
    await asyncio.wait_for(all_seen.wait(), 10)
    await worker.stop()
    assert len(seen) <= 3, "without waiting for company there are five"


async def test_the_next_run_does_not_wait_for_ever() -> None:
    runs = 0

    async def work(_ident: str) -> timedelta | None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.01)
        return None

    worker = Worker("switch", work, _nothing)
    for _ in range(100):
        worker.poke("leaf-1")
        await asyncio.sleep(0.005)
    assert runs >= 3, "hints never stopped coming"
    await worker.stop()


async def test_what_other_runs_lead_to_is_not_waited_for() -> None:
    """leaf-1 is due once more; that leaf-2's runs keep hinting at others is no reason to wait."""
    runs = hints = 0
    twice = asyncio.Event()
    worker: Worker

    async def work(ident: str) -> timedelta | None:
        nonlocal runs, hints
        if ident == "leaf-1":
            runs += 1
            if runs == 2:
                twice.set()
                return None
            await asyncio.sleep(0.4)
            worker.poke(ident)  # its second generation
        elif ident == "leaf-2":
            while not twice.is_set():
                hints += 1
                worker.poke("leaf-3")
                await asyncio.sleep(0.01)
        return None

    worker = Worker("switch", work, _nothing)
    worker.poke("leaf-1")
    worker.poke("leaf-2")
    await asyncio.wait_for(twice.wait(), 10)
    await worker.stop()
    assert hints < 150, "some 60; and more than 200 when they are waited for"
