"""Looks at switches that are at rest: cheap, and blind to nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from ironlane.model.fabric import PortConfig, SwitchId, Vlan
from ironlane.store import auditing, drifts, leases, switches
from ironlane.store.auditing import Rest
from ironlane.store.database import Store, Tx
from ironlane.store.leases import Lease, Membership
from ironlane.store.tables import switch_ports
from ironlane.store.tables import switches as switch_rows
from tests.conductor.site import Site

LEAF = SwitchId("leaf-1")
OURS = sa.select(switch_rows).where(switch_rows.c.id == LEAF)


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


async def settled(site: Site) -> None:
    def converged(tx: Tx) -> bool:
        rows = tx.all(sa.select(switch_rows))
        return all(row.generation == row.applied_generation and not row.audit_due for row in rows)

    await site.until(converged, "all switches converged")


async def looked_at(site: Site) -> datetime:
    """Have all switches read, and return when leaf-1 was."""
    begun = site.store.now()
    await site.store.write(switches.make_all_audit_due)
    await site.until(
        lambda tx: all(row.observed_at > begun and not row.audit_due for row in tx.all(sa.select(switch_rows))),
        "looked at",
    )
    found: datetime = await site.store.read(lambda tx: tx.execute(OURS).one().observed_at)
    return found


def tamper(tx: Tx) -> None:
    """What the long way would put right, and the short one has no reason to look at."""
    port = sa.update(switch_ports).where(switch_ports.c.switch_id == LEAF, switch_ports.c.name == "p1")
    tx.execute(port.values(observed=None))


async def test_a_switch_at_rest_is_read_and_no_port_of_it_written(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        await looked_at(site)  # whoever has just enrolled is not at rest yet
        await site.store.write(tamper)
        first = await looked_at(site)
        port = next(p for p in await site.store.read(lambda tx: switches.ports_of(tx, LEAF)) if p.name == "p1")
        assert port.observed is None, "the long way was gone"
        assert await looked_at(site) > first
        row = await site.store.read(lambda tx: tx.execute(OURS).one())
        assert row.due_at - row.observed_at > site.audit * 0.8


async def test_what_somebody_changed_at_rest_is_found_and_repaired(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        for _ in range(2):
            await looked_at(site)
            site.leaves[LEAF].carried["p5"] = PortConfig(untagged=Vlan(666))
            await looked_at(site)
            assert not site.leaves[LEAF].carried["p5"].enabled
        found = await site.store.read(drifts.find)
        assert [(drift.port, drift.resolution) for drift in found] == [("p5", "repaired")] * 2


async def test_a_port_that_went_or_came_is_noticed(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        await looked_at(site)
        gone = site.leaves[LEAF].carried.pop("p6")
        await looked_at(site)
        assert "no port p6" in (await site.store.read(lambda tx: switches.get(tx, LEAF))).reason
        await looked_at(site)
        site.leaves[LEAF].carried["p6"] = gone
        await looked_at(site)
        assert (await site.store.read(lambda tx: switches.get(tx, LEAF))).state == "ok"


async def test_a_switch_that_does_not_answer_is_told_and_then_read_again(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        await looked_at(site)
        site.leaves[LEAF].unreachable = True
        await site.store.write(switches.make_all_audit_due)
        await site.until(lambda tx: switches.get(tx, LEAF).state == "failing", "told")
        site.leaves[LEAF].unreachable = False
        await site.until(lambda tx: switches.get(tx, LEAF).state == "ok", "read again")


# --- what the rows say ------------------------------------------------------------------------------------------------


@pytest.fixture
async def rows(any_store: Store) -> Site:
    made = Site(any_store)
    await made.furnish()
    return made


async def at_rest(site: Site) -> Lease:
    """leaf-1 as a conductor leaves it behind: as it should be since generation 1, and to be looked at now."""

    def work(tx: Tx) -> Lease:
        lease = leases.join(tx, Membership("c1", []))
        assert leases.claim(tx, switch_rows, LEAF, lease, timedelta(seconds=30))
        tx.execute(
            sa.update(switch_rows)
            .where(switch_rows.c.id == LEAF)
            .values(applied_generation=1, state="ok", audit_due=False, due_at=tx.now)
        )
        return lease

    return await site.store.write(work)


def change(**values: object):  # type: ignore[no-untyped-def]
    return lambda tx: tx.execute(sa.update(switch_rows).where(switch_rows.c.id == LEAF).values(**values))


async def test_only_what_is_due_and_as_it_should_be_is_at_rest(rows: Site) -> None:
    lease = await at_rest(rows)

    async def found(whose: Lease = lease, generation: int = 1) -> Rest | None:
        return await rows.store.read(lambda tx: auditing.at_rest(tx, LEAF, whose, generation))

    later = rows.store.now() + timedelta(minutes=5)
    assert await found() == Rest(1, asked=False)
    assert await found(generation=2) is None
    assert await found(replace(lease, epoch=lease.epoch + 1)) is None
    assert await found(replace(lease, hostname="c2")) is None
    for other in ({"generation": 2}, {"applied_generation": 0}, {"state": "attention"}, {"due_at": later}):
        await rows.store.write(change(**other))
        assert await found() is None, other
        await at_rest(rows)
        await rows.store.write(change(generation=1, conductor_epoch=lease.epoch))
        lease = await at_rest(rows)
        assert await found(lease) == Rest(1, asked=False)
    await rows.store.write(change(due_at=later, audit_due=True))
    assert await found(lease) == Rest(1, asked=True)


async def test_what_came_while_the_switch_was_read_is_not_recorded_away(rows: Site) -> None:
    lease = await at_rest(rows)
    next_at = rows.store.now() + timedelta(minutes=5)

    async def recorded(whose: Lease = lease) -> bool:
        return await rows.store.write(lambda tx: auditing.seen(tx, LEAF, whose, Rest(1, asked=False), next_at))

    assert await recorded()
    row = await rows.store.read(lambda tx: tx.execute(OURS).one())
    assert (row.due_at, row.audit_due, row.observed_at is not None) == (next_at, False, True)
    await rows.store.write(change(audit_due=True))
    assert not await recorded(), "somebody asks for another look"
    await rows.store.write(change(audit_due=False, generation=2))
    assert not await recorded(), "somebody wishes for something"
    await rows.store.write(change(generation=1))
    assert await recorded()
    await rows.store.write(lambda tx: leases.join(tx, Membership("c1", [])))
    assert not await recorded(), "another life of the conductor has begun"
