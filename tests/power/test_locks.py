from __future__ import annotations

import asyncio

from ironlane.power.locks import KeyedLocks


async def test_one_at_a_time_for_a_key_and_nothing_left_behind():
    locks, order, running = KeyedLocks(), [], 0

    async def work(key: str, number: int) -> None:
        nonlocal running
        async with locks(key):
            running += key == "a"
            assert running <= 1
            await asyncio.sleep(0)
            order.append((key, number))
            running -= key == "a"

    await asyncio.gather(*(work("a", number) for number in range(5)), work("b", 0))
    assert [number for key, number in order if key == "a"] == [0, 1, 2, 3, 4]
    assert len(locks) == 0


async def test_a_cancelled_waiter_leaves_nothing_behind():
    locks = KeyedLocks()

    async def hold() -> None:
        async with locks("a"):
            await asyncio.sleep(60)

    tasks = [asyncio.create_task(hold()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in reversed(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(locks) == 0
