"""All or nothing across switches (ADR 7): what one switch does not take is on none, and nothing waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from ironlane.model.fabric import PortConfig
from ironlane.model.plan import Plan
from ironlane.store import holdings, ports, switches
from ironlane.store.attachments import of_network_port
from ironlane.store.database import Store
from tests.conductor.site import MACS, MemorySwitch, Site
from tests.conductor.test_fabric import settled, until_status

BOTH = tuple(MACS)


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


async def bind(site: Site, port: str, *leaves: str, name: str = "p1", bundled: bool = False) -> None:
    """A port of that name of these leaves, for one host: each link by itself, or `bundled`."""
    profile: dict[str, object] = {"local_link_information": [{"switch_info": leaf, "port_id": name} for leaf in leaves]}
    if bundled:
        profile["local_group_information"] = {"id": f"g-{name}", "bond_mode": "802.3ad"}
    change = {"vnic_type": "baremetal", "host_id": f"h-{name}", "profile": profile}
    await site.store.write(lambda tx: ports.update(tx, port, change))


async def established(site: Site) -> str:
    """A bond over both leaves, ACTIVE."""
    port = await site.tenant_port("red")
    await bind(site, port, *BOTH, bundled=True)
    await until_status(site, port, "ACTIVE")
    return port


async def look(site: Site, leaf: str) -> None:
    await site.store.write(lambda tx: switches.make_audit_due(tx, leaf))


async def carriers(site: Site, *leaves: str) -> None:
    """Until p1 of these leaves carries something, and of no others."""
    await site.until(lambda _tx: [leaf for leaf, on in site.carried().items() if "p1" in on] == list(leaves), "carried")


async def test_what_waited_for_a_switch_that_is_not_asked_any_more_goes_on(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        site.leaves["leaf-2"].refuse = lambda change: bool(change.after.vlans)
        port = await site.tenant_port("red")
        await bind(site, port, *BOTH)
        await until_status(site, port, "DOWN", "leaf-2 refuses")
        await carriers(site)
        await bind(site, port, "leaf-1")
        await until_status(site, port, "ACTIVE")
        await carriers(site, "leaf-1")


async def test_a_link_is_added_beside_one_whose_switch_fails_since(site: Site) -> None:
    """The failing switch carries its part already: there is nothing of it to be waited for."""
    async with site.conductor():
        await settled(site)
        port = await site.tenant_port("red")
        await bind(site, port, "leaf-2")
        await until_status(site, port, "ACTIVE")
        site.leaves["leaf-2"].refuse = lambda change: bool(change.after.vlans)
        other = await site.tenant_port("blue")
        await bind(site, other, "leaf-2", name="p2")
        await until_status(site, other, "DOWN", "leaf-2 refuses")
        await bind(site, port, *BOTH)
        await until_status(site, port, "ACTIVE")
        await carriers(site, *BOTH)


@pytest.mark.parametrize("how", ["refuses", "lost the session"])
async def test_a_bond_keeps_its_healthy_half_when_the_other_switch_fails_later(site: Site, how: str) -> None:
    async with site.conductor():
        await settled(site)
        port = await established(site)
        healthy, failing = site.leaves["leaf-1"], site.leaves["leaf-2"]
        failing.carried["p1"] = PortConfig()  # rebooted, say
        failing.refuse = lambda change: how == "refuses" and change.port == "p1" and bool(change.after.vlans)
        failing.fail_applies = 0 if how == "refuses" else 1_000_000
        await look(site, "leaf-2")
        await until_status(site, port, "DOWN", f"leaf-2 {how}")
        other = await site.tenant_port("blue")
        await bind(site, other, "leaf-1", name="p2")
        await until_status(site, other, "ACTIVE")  # so the healthy one's loop has come round since
        await carriers(site, "leaf-1")
        assert all(moment["p1"].lag for moment in healthy.history[-healthy.commits + 1 :]), "never taken off"
        failing.refuse, failing.fail_applies = lambda _change: False, 0
        await until_status(site, port, "ACTIVE")
        await carriers(site, *BOTH)


async def test_a_bond_keeps_its_healthy_half_when_the_other_switch_loses_the_port(site: Site) -> None:
    site.audit = timedelta(milliseconds=200)
    async with site.conductor():
        await settled(site)
        port = await established(site)
        card = site.leaves["leaf-2"].carried.pop("p1")
        await until_status(site, port, "DOWN", "leaf-2 has no port p1")
        await settled(site)
        await carriers(site, "leaf-1")
        site.leaves["leaf-2"].carried["p1"] = replace(card, lag=None)
        await until_status(site, port, "ACTIVE")
        await carriers(site, *BOTH)


async def test_what_was_established_joins_another_network_on_all_switches_or_none(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        port = await established(site)
        site.leaves["leaf-2"].refuse = lambda change: bool(change.after.vlans)
        await site.store.write(lambda tx: ports.update(tx, port, {"host_id": "", "profile": {}}))
        await carriers(site)
        port = await site.tenant_port("blue")
        await bind(site, port, *BOTH, bundled=True)
        await until_status(site, port, "DOWN", "leaf-2 refuses")
        await carriers(site)


async def test_a_link_that_cannot_be_added_takes_down_none(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        port = await site.tenant_port("red")
        await bind(site, port, "leaf-1")
        await until_status(site, port, "ACTIVE")
        site.leaves["leaf-2"].refuse = lambda change: bool(change.after.vlans)
        await bind(site, port, *BOTH)
        await until_status(site, port, "DOWN", "leaf-2 refuses")
        other = await site.tenant_port("blue")
        await bind(site, other, "leaf-1", name="p2")
        await until_status(site, other, "ACTIVE")
        await carriers(site, "leaf-1")
        assert all(moment["p1"].vlans for moment in site.leaves["leaf-1"].history[1:]), "never taken off"


class Undecided(MemorySwitch):
    """Takes its ports off, and is then silent until it may `speak`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.off, self.speak = asyncio.Event(), asyncio.Event()

    async def observe(self, ports: Collection[str]) -> Mapping[str, PortConfig]:
        if self.off.is_set():
            await self.speak.wait()
        return await super().observe(ports)

    async def apply(self, plan: Plan) -> None:
        await super().apply(plan)
        if any(change.before.vlans and not change.after.vlans for change in plan.changes):
            self.off.set()


async def test_what_was_taken_back_is_not_thought_to_be_there_when_it_may_come_again(site: Site) -> None:
    site.leaves["leaf-1"] = silent = Undecided("leaf-1")
    async with site.conductor():
        await settled(site)
        port = await site.tenant_port("red")
        site.leaves["leaf-2"].refuse = lambda change: bool(change.after.vlans)
        await bind(site, port, *BOTH, bundled=True)
        await silent.off.wait()  # it had its part, and it is off; nobody has read that yet
        site.leaves["leaf-2"].refuse = lambda _change: False
        await carriers(site, "leaf-2")
        await site.until(lambda tx: all(a.state == "wanted" for a in of_network_port(tx, port)), "both may carry it")
        await until_status(site, port, "DOWN", "waiting for switch leaf-1")
        silent.speak.set()
        await until_status(site, port, "ACTIVE")
        await carriers(site, *BOTH)
        held = await site.store.read(lambda tx: holdings.find(tx, network_port=port))
        assert sorted(h.switch for h in held if h.to_at is None) == list(BOTH)
