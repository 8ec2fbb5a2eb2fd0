"""Membership: the lease is kept alive, whatever a single heartbeat meets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from ironlane.conductor.members import Members
from ironlane.store.database import Store
from ironlane.store.leases import Membership
from ironlane.store.tables import conductors


async def test_a_heartbeat_that_fails_unexpectedly_is_not_the_last(store: Store) -> None:
    failures = 0

    def fail_once() -> None:
        nonlocal failures
        failures += 1
        if failures == 2:
            raise RuntimeError("nobody foresaw this")

    members = Members(store, Membership("c1", []), ttl=timedelta(seconds=0.6), on_change=fail_once)
    other = Members(store, Membership("c2", []), ttl=timedelta(seconds=30))
    await members.start()
    await other.start()  # a change, which c1 meets at its next heartbeat
    beats = sa.select(conductors.c.heartbeat_at).where(conductors.c.hostname == "c1")

    async def beaten_since(then: datetime) -> datetime:
        async with asyncio.timeout(30):
            while (now := await store.read(lambda tx: tx.execute(beats).scalar_one())) <= then:  # noqa: ASYNC110 - of rows
                await asyncio.sleep(0.05)
        return now  # type: ignore[no-any-return]

    last = await beaten_since(datetime.min.replace(tzinfo=UTC))
    while failures < 2:
        last = await beaten_since(last)
    await beaten_since(await beaten_since(last))
    await members.stop()
    await other.stop()
