"""Membership: the lease is kept alive, whatever a single heartbeat meets."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from ironlane.conductor.members import Members
from ironlane.store.database import Store
from ironlane.store.leases import Membership


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
    await asyncio.sleep(1.2)
    assert failures >= 2
    assert members.lease.hostname == "c1"
    await members.stop()
    await other.stop()
