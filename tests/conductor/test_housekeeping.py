"""Plans that are done are deleted after a while; open ones, the latest of each switch, and history are not."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import sqlalchemy as sa

from ironlane.conductor.housekeeping import Housekeeping
from ironlane.model.fabric import PortConfig, SwitchId, Vlan
from ironlane.model.plan import Change, Plan
from ironlane.store import plans
from ironlane.store.database import Store, Tx
from ironlane.store.tables import plans as rows

MONTH = timedelta(days=30)
OLD, NEW = timedelta(days=31), timedelta(days=29)


def saved(tx: Tx, switch: str, outcome: plans.Outcome, age: timedelta) -> str:
    change = Change("p1", PortConfig(enabled=False), PortConfig(untagged=Vlan(200)))
    ident = plans.save(tx, SwitchId(switch), 1, Plan(SwitchId(switch), (change,)), ["a line"])
    done = outcome not in plans.UNFINISHED
    row = sa.update(rows).where(rows.c.id == ident)
    tx.execute(row.values(outcome=outcome.value, created_at=tx.now - age, finished_at=tx.now - age if done else None))
    return ident


async def until_left(store: Store, expected: set[str]) -> None:
    def left(tx: Tx) -> set[str]:
        return set(tx.execute(sa.select(rows.c.id)).scalars())

    async with asyncio.timeout(30):
        while await store.read(left) != expected:  # noqa: ASYNC110 - of rows
            await asyncio.sleep(0.01)


async def test_old_plans_go_but_for_those_that_are_needed(store: Store) -> None:
    def work(tx: Tx) -> set[str]:
        saved(tx, "leaf-1", plans.Outcome.VERIFIED, OLD * 2)
        saved(tx, "leaf-1", plans.Outcome.FAILED, OLD)
        return {
            saved(tx, "leaf-1", plans.Outcome.SAVED, OLD),
            saved(tx, "leaf-1", plans.Outcome.APPLIED, OLD),
            saved(tx, "leaf-1", plans.Outcome.VERIFIED, NEW),
            saved(tx, "leaf-2", plans.Outcome.VERIFIED, OLD),  # its latest
        }

    kept = await store.write(work)
    keeping = Housekeeping(store, MONTH, interval=0.01)
    keeping.start()
    await until_left(store, kept)
    await keeping.stop()


async def test_many_are_deleted_some_at_a_time(store: Store) -> None:
    def work(tx: Tx) -> set[str]:
        for _ in range(plans.AT_ONCE + 1):
            saved(tx, "leaf-1", plans.Outcome.VERIFIED, OLD)
        return {saved(tx, "leaf-1", plans.Outcome.VERIFIED, NEW)}

    kept = await store.write(work)
    before = store.now() - MONTH
    assert await store.write(lambda tx: plans.prune(tx, before)) == plans.AT_ONCE
    keeping = Housekeeping(store, MONTH, interval=0.01)
    keeping.start()
    await until_left(store, kept)
    await keeping.stop()


async def test_without_a_retention_nothing_is_deleted(store: Store) -> None:
    def work(tx: Tx) -> set[str]:
        return {saved(tx, "leaf-1", plans.Outcome.VERIFIED, age) for age in (OLD, OLD * 2)}

    kept = await store.write(work)
    keeping = Housekeeping(store, interval=0.01)
    keeping.start()
    await asyncio.sleep(0.2)
    await keeping.stop()
    await until_left(store, kept)
