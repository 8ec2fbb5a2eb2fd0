"""Out of band: soft and hard power, timeouts, and the power sync."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ironlane.conductor.members import Members
from ironlane.conductor.power_sync import FAULT, PowerSync, PowerSyncSettings
from ironlane.model.errors import Permanent, Temporary
from ironlane.model.node import Node
from ironlane.power.base import BootDevice, BootMode, PowerState
from ironlane.power.fake import FakePower
from ironlane.store import nodes
from ironlane.store.database import Store, Tx
from ironlane.store.leases import Membership
from tests.conductor.site import Site


class Bmcs(FakePower):
    """Machines that shut down when they please, and BMCs that can fail; it counts what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.obedient = True
        self.dead: set[str] = set()
        self.wrong_password: set[str] = set()
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.told: list[tuple[str, Any]] = []

    async def get_power(self, driver_info: Mapping[str, Any]) -> PowerState:
        ident = str(driver_info["node_uuid"])
        self.asked.append(ident)
        if ident in self.hanging:
            await asyncio.sleep(3600)
        if ident in self.dead:
            raise Temporary(f"BMC of {ident} does not answer")
        if ident in self.wrong_password:
            raise Permanent(f"BMC of {ident} refuses the credentials")
        return await super().get_power(driver_info)

    async def set_power(self, driver_info: Mapping[str, Any], state: PowerState, timeout: float | None = None) -> None:
        self.told.append((state.value, timeout))
        await super().set_power(driver_info, state, timeout)

    async def shut_down(self, driver_info: Mapping[str, Any]) -> None:
        self.told.append(("soft", None))
        if self.obedient:
            await super().shut_down(driver_info)

    async def set_boot_device(
        self,
        driver_info: Mapping[str, Any],
        device: BootDevice,
        *,
        persistent: bool = False,
        mode: BootMode | None = None,
    ) -> None:
        self.told.append((device.value, mode))
        await super().set_boot_device(driver_info, device, persistent=persistent, mode=mode)


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    made.power = Bmcs()
    await made.furnish()
    return made


def bmcs(site: Site) -> Bmcs:
    assert isinstance(site.power, Bmcs)
    return site.power


async def _managed(site: Site, number: int = 1) -> Node:
    node = await site.node(number)
    await site.store.write(lambda tx: nodes.update(tx, node.id, {"provision_state": "manageable"}))
    return node


async def _ask(site: Site, node: Node, target: str, timeout: int | None = None) -> None:
    await site.store.write(lambda tx: nodes.request_power(tx, nodes.by_id(tx, node.id), target, timeout))


async def _done(site: Site, node: Node) -> Node:
    await site.until(lambda tx: nodes.by_id(tx, node.id).target_power_state is None, "the power")
    return await site.store.read(lambda tx: nodes.by_id(tx, node.id))


async def test_hard_and_soft_power(site: Site) -> None:
    async with site.conductor():
        node = await _managed(site)
        power = bmcs(site)
        await _ask(site, node, "power on", 7)
        assert (await _done(site, node)).power_state == "power on"
        await _ask(site, node, "soft rebooting")
        assert (await _done(site, node)).power_state == "power on"
        await _ask(site, node, "soft power off")
        off = await _done(site, node)
        assert (off.power_state, off.last_error) == ("power off", None)
        assert power.told == [("power on", 7.0), ("soft", None), ("power on", None), ("soft", None)]
        assert not {"power_timeout", "power_ordered_at"} & off.driver_internal_info.keys()


async def test_an_operating_system_that_does_not_listen_is_left_on_and_told(site: Site) -> None:
    async with site.conductor():
        node = await _managed(site)
        await _ask(site, node, "power on")
        await _done(site, node)
        bmcs(site).obedient = False
        await _ask(site, node, "soft power off", 1)
        await site.until(lambda tx: "power_ordered_at" in nodes.by_id(tx, node.id).driver_internal_info, "the order")
    async with site.conductor():  # another life of the conductor waits no longer, and asks no second time
        failed = await _done(site, node)
        assert "did not shut down within 0:00:01" in (failed.last_error or "")
        assert bmcs(site).told.count(("soft", None)) == 1
        await _ask(site, node, "power off")
        assert (await _done(site, node)).power_state == "power off"


async def test_a_refused_wish_is_given_up_with_the_reason(site: Site) -> None:
    async with site.conductor():
        node = await _managed(site)
        bmcs(site).wrong_password.add(node.id)
        await _ask(site, node, "soft power off")
        assert "refuses the credentials" in ((await _done(site, node)).last_error or "")


async def test_the_boot_mode_follows_the_capabilities(site: Site) -> None:
    async with site.conductor():
        node = await _managed(site)
        changes = {"properties": {"capabilities": "boot_mode:uefi,x:y"}}
        await site.store.write(lambda tx: nodes.update(tx, node.id, changes))
        ask = lambda tx: nodes.request_boot_device(tx, nodes.by_id(tx, node.id), "pxe", persistent=True)  # noqa: E731
        await site.store.write(ask)
        await site.until(lambda tx: not nodes.by_id(tx, node.id).boot_device_due, "the boot device")
        assert bmcs(site).told == [("pxe", BootMode.UEFI)]


# --- the sync --------------------------------------------------------------------------------------------------

QUICK = PowerSyncSettings(interval=0.05)


@asynccontextmanager
async def _syncing(site: Site, settings: PowerSyncSettings = QUICK) -> AsyncIterator[None]:
    me = Membership("c1", [{"name": "fake-hardware", "required": [], "properties": {}}])
    members = Members(site.store, me, ttl=timedelta(seconds=30))
    await members.start()
    sync = PowerSync(
        site.store,
        lease=lambda: members.lease,
        ring=lambda: members.ring,
        power={"fake-hardware": site.power},
        settings=settings,
        ttl=members.ttl,
    )
    sync.start()
    try:
        yield
    finally:
        await sync.stop()
        await members.stop()


async def _read(site: Site, node: Node) -> Node:
    return await site.store.read(lambda tx: nodes.by_id(tx, node.id))


async def test_what_differs_is_recorded(site: Site) -> None:
    node = await _managed(site)
    async with _syncing(site):
        await site.until(lambda tx: nodes.by_id(tx, node.id).power_state == "power off", "the first answer")
        await site.power.set_power({"node_uuid": node.id}, PowerState.ON)
        await site.until(lambda tx: nodes.by_id(tx, node.id).power_state == "power on", "the change")


async def test_or_put_right(site: Site) -> None:
    node = await _managed(site)
    await site.store.write(lambda tx: nodes.update(tx, node.id, {"power_state": "power on"}))
    async with _syncing(site, replace(QUICK, force=True)):
        async with asyncio.timeout(20):
            while await FakePower.get_power(bmcs(site), {"node_uuid": node.id}) is not PowerState.ON:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await _read(site, node)).power_state == "power on"


@pytest.mark.parametrize("fault", ["dead", "wrong_password"])
async def test_a_bmc_that_fails_is_a_fault_until_it_answers(site: Site, fault: str) -> None:
    node, other = await _managed(site), await _managed(site, 2)
    getattr(bmcs(site), fault).add(node.id)
    async with _syncing(site):
        await site.until(lambda tx: nodes.by_id(tx, node.id).fault == FAULT, "the fault")
        failed = await _read(site, node)
        assert (failed.maintenance, failed.power_state) == (True, "error")
        assert "could not be read several times in a row: BMC of" in (failed.last_error or "")
        asked = bmcs(site).asked.count(node.id)
        before = bmcs(site).asked.count(other.id)
        async with asyncio.timeout(20):
            while bmcs(site).asked.count(other.id) < before + 10:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert bmcs(site).asked.count(node.id) - asked < 8, "asked less and less often"
        getattr(bmcs(site), fault).clear()
        await site.until(lambda tx: nodes.by_id(tx, node.id).fault is None, "the end of the fault")
        well = await _read(site, node)
        assert (well.maintenance, well.power_state, well.last_error) == (False, "power off", None)


async def test_a_bmc_that_hangs_costs_nobody_else_anything(site: Site) -> None:
    hung, other = await _managed(site), await _managed(site, 2)
    bmcs(site).hanging.add(hung.id)
    async with _syncing(site):
        await site.until(lambda tx: nodes.by_id(tx, other.id).power_state == "power off", "the other's answer")
        async with asyncio.timeout(20):
            while bmcs(site).asked.count(other.id) < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert bmcs(site).asked.count(hung.id) == 1


async def test_who_has_the_power_in_hand_is_left_alone(site: Site) -> None:
    working, ill, enrolled, well = [await _managed(site, number) for number in range(1, 5)]

    def prepare(tx: Tx) -> None:
        nodes.update(tx, working.id, {"provision_state": "clean wait"})
        nodes.update(tx, ill.id, {"maintenance": True, "maintenance_reason": "by hand"})
        nodes.update(tx, enrolled.id, {"provision_state": "enroll"})

    await site.store.write(prepare)
    async with _syncing(site):
        await site.until(lambda tx: nodes.by_id(tx, well.id).power_state == "power off", "the well one")
        async with asyncio.timeout(20):
            while len(bmcs(site).asked) < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert set(bmcs(site).asked) == {well.id}
