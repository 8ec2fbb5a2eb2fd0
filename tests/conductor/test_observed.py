"""Switches that are only observed: nothing is written to them, and what they carry as they should counts."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from ironlane.model.fabric import DriftPolicy, Lag, LagMode, PortConfig, Vlan
from ironlane.model.plan import Plan
from ironlane.store import ports, switches
from ironlane.store.database import Store
from ironlane.store.tables import switches as switch_rows
from tests.conductor.site import MACS, MemorySwitch, Site
from tests.conductor.test_fabric import bind, settled, until_status


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    await follow(made, DriftPolicy.OBSERVE)
    return made


async def follow(site: Site, policy: DriftPolicy) -> None:
    change = {"policy": policy.value, "generation": switch_rows.c.generation + 1, "due_at": site.store.now()}
    await site.store.write(lambda tx: tx.execute(sa.update(switch_rows).values(**change)))


async def test_what_others_wrote_since_the_last_look_counts(site: Site) -> None:
    """An observed switch is looked at whenever something is asked of it, however fresh the last look is."""
    async with site.conductor():
        await settled(site)
        vlan = Vlan(200)
        for leaf in site.leaves.values():
            leaf.carried["p1"] = PortConfig(untagged=vlan, lag=Lag(1, LagMode.LACP))
        _, port = await bind(site, 1, "red")
        assert await site.vlan(port) == vlan
        await until_status(site, port, "ACTIVE")


async def test_nothing_is_written_and_what_is_there_already_is_active(site: Site) -> None:
    site.audit = timedelta(milliseconds=100)
    sent: list[Plan] = []
    for leaf in site.leaves.values():
        leaf.refuse = lambda _change: pytest.fail("written to")
        leaf.apply = sent.append  # type: ignore[method-assign, assignment]
    async with site.conductor():
        await settled(site)
        _, right = await bind(site, 1, "red")
        lag = Lag(1, LagMode.LACP)
        on_it = PortConfig(untagged=Vlan(await site.vlan(right)), lag=lag)
        for leaf in site.leaves.values():
            leaf.carried["p1"] = on_it
        _, wrong = await bind(site, 2, "blue")
        await until_status(site, right, "ACTIVE")
        await until_status(site, wrong, "DOWN", "waiting for switch")
        state = await site.store.read(lambda tx: switches.get(tx, "leaf-1"))
        assert (state.state, state.reason) == ("observed", "")
        await site.store.write(lambda tx: ports.update(tx, right, {"host_id": "", "profile": {}}))
        await asyncio.sleep(0.3)
        assert site.leaves["leaf-1"].carried["p1"] == on_it
    assert sent == []


async def test_it_follows_its_rows_once_it_is_told_to(site: Site) -> None:
    for leaf in site.leaves.values():
        leaf.carried["p3"] = PortConfig(untagged=Vlan(666))
    async with site.conductor():
        await settled(site)
        _, port = await bind(site, 2, "blue")
        await settled(site)
        assert site.carried() == {leaf: {"p3": PortConfig(untagged=Vlan(666))} for leaf in MACS}
        await follow(site, DriftPolicy.REPAIR)
        await until_status(site, port, "ACTIVE")
        assert {leaf: set(carried) for leaf, carried in site.carried().items()} == {leaf: {"p2"} for leaf in MACS}


async def test_a_switch_that_saves_is_not_made_to(site: Site) -> None:
    site.audit = timedelta(milliseconds=100)

    class SavingSwitch(MemorySwitch):
        saved = 0

        async def save(self) -> None:
            type(self).saved += 1

    for name in site.leaves:
        site.leaves[name] = SavingSwitch(name)
    async with site.conductor():
        await settled(site)
        await asyncio.sleep(0.3)
    assert SavingSwitch.saved == 0
