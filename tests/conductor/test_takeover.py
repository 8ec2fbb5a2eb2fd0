"""Switches that change hands: what one conductor has read says nothing once another has had the switch."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from ironlane.model.fabric import PortConfig, SwitchId, Vlan
from ironlane.model.plan import Plan, idle_config
from ironlane.store import leases, ports, switches
from ironlane.store.database import Store, Tx
from ironlane.store.leases import Lease, Membership
from ironlane.store.switches import SwitchSpec
from ironlane.store.tables import conductors
from ironlane.store.tables import switches as switch_rows
from tests.conductor.site import MACS, PORTS, TTL, MemorySwitch, Site

ROWS = sa.select(switch_rows)
HAND_MADE = PortConfig(untagged=Vlan(77))


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


class SlowSwitch(MemorySwitch):
    """A switch whose next commit takes long."""

    asked, go_on = asyncio.Event(), asyncio.Event()

    async def apply(self, plan: Plan) -> None:
        self.asked.set()
        await self.go_on.wait()
        await super().apply(plan)


def take_over(tx: Tx) -> Lease:
    """c1 is not heard of for long, and c2 takes leaf-1."""
    tx.execute(sa.update(conductors).values(heartbeat_at=tx.now - timedelta(minutes=5)))
    lease = leases.join(tx, Membership("c2", []))
    assert leases.claim(tx, switch_rows, "leaf-1", lease, TTL)
    return lease


async def settled(site: Site) -> None:
    def converged(tx: Tx) -> bool:
        return all(row.generation == row.applied_generation and not row.audit_due for row in tx.all(ROWS))

    await site.until(converged, "all switches converged")


async def test_a_switch_that_another_conductor_had_is_read_anew(site: Site) -> None:
    async with site.conductor("c1"):
        await settled(site)
        between = await site.store.write(take_over)
        site.leaves["leaf-1"].carried["p1"] = HAND_MADE

        def give_back(tx: Tx) -> None:
            leases.leave(tx, between)
            tx.execute(sa.update(conductors).where(conductors.c.hostname == "c1").values(heartbeat_at=tx.now))
            switches.make_due(tx, "leaf-1")

        await site.store.write(give_back)
        await site.until(lambda _tx: site.leaves["leaf-1"].carried["p1"] == idle_config(None), "put right")


async def test_a_commit_that_comes_after_a_takeover_is_looked_into_by_the_new_owner(site: Site) -> None:
    site.leaves["leaf-1"] = leaf = SlowSwitch("leaf-1")
    async with site.conductor("c1"):
        await leaf.asked.wait()

        def new_owner(tx: Tx) -> None:
            take_over(tx)
            tx.execute(sa.update(switch_rows).values(audit_due=False, due_at=None))  # it has looked by now

        await site.store.write(new_owner)
        leaf.go_on.set()
        await site.until(lambda tx: any(row.audit_due and row.due_at for row in tx.all(ROWS)), "in doubt")


async def test_a_switch_that_is_enrolled_again_is_read_anew(site: Site) -> None:
    spec = SwitchSpec(SwitchId("leaf-1"), "memory", "", frozenset(PORTS), "physnet1", MACS["leaf-1"])
    async with site.conductor():
        await settled(site)
        await site.store.write(lambda tx: switches.delete(tx, "leaf-1"))
        site.leaves["leaf-1"].carried["p1"] = HAND_MADE
        await site.store.write(lambda tx: switches.put(tx, spec))
        await settled(site)
        assert site.leaves["leaf-1"].carried["p1"] == idle_config(None)


class StoppedSwitch(MemorySwitch):
    """The process is stopped (as by SIGSTOP) while it waits for this switch's answer, long enough to lose its lease."""

    stops, sent = 0, False

    async def apply(self, plan: Plan) -> None:
        if any(change.after.vlans for change in plan.changes) and not self.stops:
            self.stops += 1
            loop, answered = asyncio.get_running_loop(), asyncio.Event()
            loop.call_later(0.05, answered.set)
            loop.call_soon(time.sleep, 1.5)
            await answered.wait()
            self.sent = True
        await super().apply(plan)


async def test_what_a_process_was_about_to_send_when_it_fell_asleep_is_not_sent(site: Site) -> None:
    site.leaves["leaf-1"] = leaf = StoppedSwitch("leaf-1")
    async with site.conductor("c1", timedelta(seconds=1)):
        await settled(site)
        port = await site.tenant_port("red")
        profile = {"local_link_information": [{"switch_info": "leaf-1", "port_id": "p1"}]}
        change = {"vnic_type": "baremetal", "host_id": "h1", "profile": profile}
        await site.store.write(lambda tx: ports.update(tx, port, change))
        await site.until(lambda tx: ports.get(tx, port).status == "ACTIVE", "done, under a new lease")
        assert leaf.stops == 1
        assert not leaf.sent, "sent under a lease that had run out"
