"""The life of a server over the real rows and loops: states, networks, failures, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.conductor.allocating import allocate
from ironlane.model.errors import Invalid, NotFound, Temporary
from ironlane.model.fabric import Lag, PortConfig, Vlan
from ironlane.power.base import BootDevice, PowerState
from ironlane.power.fake import FakePower
from ironlane.store import allocations, history, leases, networks, nodes, ports, switches, vifs
from ironlane.store.attachments import of_host
from ironlane.store.database import Store, Tx
from ironlane.store.leases import Membership
from ironlane.store.networks import NewNetwork
from ironlane.store.tables import conductors
from ironlane.store.tables import nodes as node_rows
from tests.conductor.site import CLEANING, PROVISIONING, Site


@pytest.fixture
async def site(store: Store) -> Site:
    return await _furnished(store)


@pytest.fixture
async def any_site(any_store: Store) -> Site:
    """The same, once on each kind of database."""
    return await _furnished(any_store)


async def _furnished(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


async def test_a_whole_life(any_site: Site) -> None:
    site = any_site
    async with site.conductor():
        node = await site.node(1)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.ask(node, "provide")
        await site.until_state(node, "clean wait", "booted")
        assert site.carried() == {"leaf-1": {"p1": PortConfig(untagged=Vlan(CLEANING))}, "leaf-2": {}}
        await site.report(node)
        await site.until_state(node, "available")
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}

        port = await site.tenant_port("red")
        await site.attach(node, port)
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}, "an attached VIF touches no switch"
        await site.ask(node, "active")
        await site.until_state(node, "wait call-back", "booted")
        assert site.carried() == {"leaf-1": {"p1": PortConfig(untagged=Vlan(PROVISIONING))}, "leaf-2": {}}
        await site.report(node)
        active = await site.until_state(node, "active")
        bundled = PortConfig(untagged=Vlan(await site.vlan(port)), lag=Lag(1))
        assert site.carried() == {"leaf-1": {"p1": bundled}, "leaf-2": {"p1": bundled}}
        assert active.power_state == PowerState.ON
        bound = await site.store.read(lambda tx: ports.get(tx, port))
        assert bound.status == "ACTIVE"
        assert bound.mac_address == "52:54:00:01:00:01", "a portgroup's MAC is its primary NIC's"

        await site.ask(node, "deleted")
        await site.until_state(node, "clean wait", "booted")
        await site.report(node)
        await site.until_state(node, "available")
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}
        assert await site.store.read(lambda tx: vifs.listed(tx, node.id)) == []
    site.assert_walls_stood()


async def test_one_network_takes_the_portgroup_of_higher_priority_and_two_take_both(site: Site) -> None:
    async with site.conductor():
        one, two = [await site.node(number, priorities=(1, 5)) for number in (1, 2)]
        await asyncio.gather(site.to_available(one), site.to_available(two))
        red, blue, green = [await site.tenant_port(name) for name in ("red", "blue", "green")]
        await site.attach(one, red)
        await site.attach(two, blue)
        await site.attach(two, green)
        extra = await site.tenant_port("extra")
        with pytest.raises(Invalid, match=extra) as caught:
            await site.attach(two, extra)
        assert caught.value.code == "NoFreePhysicalPorts"
        await asyncio.gather(site.to_active(one), site.to_active(two))
        vlans = [Vlan(await site.vlan(port)) for port in (red, blue, green)]
        for carried in site.carried().values():
            assert {port: config.untagged for port, config in carried.items()} == {
                "p2": vlans[0],  # node 1, priority 5; its p1 (priority 1) stays idle
                "p4": vlans[1],  # node 2: the first network on the higher priority
                "p3": vlans[2],
            }


async def test_a_switch_that_fails_is_told_and_retried_until_it_obeys(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.to_available(node)
        port = await site.tenant_port("red")
        await site.attach(node, port)
        await site.ask(node, "active")
        await site.until_state(node, "wait call-back", "booted")
        site.leaves["leaf-2"].unreachable = True
        await site.report(node)
        await site.until(
            lambda tx: "leaf-2 does not answer" in ports.get(tx, port).status_reason, "the reason is on the port"
        )
        assert (await site.store.read(lambda tx: ports.get(tx, port))).status == "DOWN"
        assert (await site.until_state(node, "deploying")).step == "tenant"
        site.leaves["leaf-2"].unreachable = False
        await site.until_state(node, "active")


@pytest.mark.parametrize("half", [False, True])
async def test_a_commit_that_is_lost_half_way_is_read_back_and_repeated(site: Site, half: bool) -> None:
    async with site.conductor():
        nodes_ = [await site.node(number) for number in (1, 2, 3)]
        for leaf in site.leaves.values():
            leaf.fail_applies, leaf.half = 3, half
        await asyncio.gather(*(site.to_available(node) for node in nodes_))
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}
    site.assert_walls_stood()


async def test_detach_fails_closed(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.to_available(node)
        await site.ask(node, "active")
        await site.until_state(node, "wait call-back", "booted")
        site.leaves["leaf-1"].unreachable = True
        await site.report(node)
        await site.until(lambda tx: nodes.by_id(tx, node.id).step == "leave", "leaving")
        await asyncio.sleep(0.2)
        held = await site.store.read(lambda tx: of_host(tx, node.id))
        assert [a.state for a in held] == ["leaving"], "on record until the switch was read back"
        assert (await site.until_state(node, "deploying")).step == "leave"
        site.leaves["leaf-1"].unreachable = False
        await site.until_state(node, "active")
        assert await site.store.read(lambda tx: of_host(tx, node.id)) == []


async def test_a_conductor_that_dies_anywhere_is_continued_from_the_rows(any_site: Site) -> None:
    site = any_site
    node = await site.node(1)
    async with site.conductor():
        await site.to_available(node)
    await site.attach(node, await site.tenant_port("red"))
    await site.ask(node, "active")
    reported = False
    for _ in range(40):
        async with site.conductor():
            await asyncio.sleep(0.03)
            state = await site.store.read(lambda tx: nodes.by_id(tx, node.id))
            if state.provision_state == "wait call-back" and state.step == "booted" and not reported:
                await site.report(node)
                reported = True
        if state.provision_state == "active":
            break
    assert state.provision_state == "active"
    site.assert_walls_stood()


async def test_an_error_report_fails_the_node_and_takes_it_off_the_network(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.ask(node, "provide")
        await site.until_state(node, "clean wait", "booted")
        await site.report(node, "error", "the disk is on fire")
        failed = await site.until_state(node, "clean failed")
        assert "the disk is on fire" in (failed.last_error or "")
        assert failed.maintenance
        await site.until(lambda tx: not of_host(tx, node.id), "off the cleaning network")
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}


async def test_no_report_in_time_fails_the_node(site: Site) -> None:
    site.settings = replace(site.settings, report_timeout=timedelta(milliseconds=100))
    async with site.conductor():
        node = await site.node(1)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.ask(node, "provide")
        failed = await site.until_state(node, "clean failed")
        assert "no report" in (failed.last_error or "")


async def test_abort_takes_the_node_off_the_network(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.to_available(node)
        await site.ask(node, "active")
        await site.until_state(node, "wait call-back", "booted")
        await site.ask(node, "abort")
        await site.until(lambda tx: not of_host(tx, node.id), "off the provisioning network")
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}


async def test_a_bmc_that_does_not_answer_fails_the_node_after_retries(site: Site) -> None:
    class Dead:
        required = frozenset[str]()
        properties: dict[str, str] = {}  # noqa: RUF012

        def validate(self, driver_info: object) -> None: ...

        async def get_power(self, _info: object) -> PowerState:
            raise Temporary("BMC 192.0.2.1 does not answer")

        async def close(self) -> None: ...

    site.power = Dead()  # type: ignore[assignment]
    async with site.conductor():
        node = await site.node(1)
        await site.ask(node, "manage")
        failed = await site.until_state(node, "enroll")
        await site.until(lambda tx: "does not answer" in (nodes.by_id(tx, node.id).last_error or ""), "the reason")
        assert failed.target_provision_state is None or failed.target_provision_state == "manageable"


async def test_many_ports_that_wait_go_into_one_commit(site: Site) -> None:
    async with site.conductor():
        made = [await site.node(number) for number in range(1, 7)]
        await asyncio.gather(*(site.to_available(node) for node in made))
        before = site.leaves["leaf-1"].commits
        site.leaves["leaf-1"].unreachable = True
        await asyncio.gather(*(site.ask(node, "active") for node in made))
        await site.until(lambda tx: all(of_host(tx, node.id) for node in made), "all wait for the switch")
        # A round that began before they all waited may still be under way: the next one is to find the switch again.
        failed = (await site.store.read(lambda tx: switches.get(tx, "leaf-1"))).attempts
        await site.until(lambda tx: switches.get(tx, "leaf-1").attempts > failed, "another round")
        site.leaves["leaf-1"].unreachable = False
        await asyncio.gather(*(site.until_state(node, "wait call-back") for node in made))
        assert site.leaves["leaf-1"].commits == before + 1


async def test_two_conductors_share_the_nodes_and_one_takes_over_when_the_other_leaves(any_site: Site) -> None:
    site = any_site
    made = [await site.node(number) for number in range(1, 7)]
    async with site.conductor("c1"):
        async with site.conductor("c2"):
            await asyncio.gather(*(site.to_available(node) for node in made))
        for node in made:
            await site.ask(node, "active")
        await asyncio.gather(*(site.until_state(node, "wait call-back", "booted") for node in made))
        await asyncio.gather(*(site.report(node) for node in made))
        await asyncio.gather(*(site.until_state(node, "active") for node in made))
    site.assert_walls_stood()


async def test_a_conductor_that_joins_is_given_its_share_of_nodes_that_another_had(site: Site) -> None:
    ttl = timedelta(seconds=1.5)
    made = [await site.node(number) for number in range(1, 7)]
    async with site.conductor("c1", ttl):
        await asyncio.gather(*(site.to_available(node) for node in made))
        async with site.conductor("c2", ttl):
            await asyncio.sleep(ttl.total_seconds() / 2)  # c1 has sent a heartbeat, and seen c2
            await asyncio.gather(*(site.to_active(node) for node in made))


class SlowPower(FakePower):
    """Machines whose BMC takes its time when it is next asked for `slow_for`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.slow_for: PowerState | BootDevice | None = None

    async def set_power(self, driver_info: Mapping[str, Any], state: PowerState, timeout: float | None = None) -> None:
        await self._take_time(state)
        await super().set_power(driver_info, state, timeout)

    async def set_boot_device(self, driver_info: Mapping[str, Any], device: BootDevice, **how: Any) -> None:
        await self._take_time(device)
        await super().set_boot_device(driver_info, device, **how)

    async def _take_time(self, asked: PowerState | BootDevice) -> None:
        if asked is self.slow_for:
            self.slow_for = None
            self.asked.set()
            await self.go_on.wait()


async def test_a_conductor_that_wakes_up_late_touches_nothing_of_the_node(site: Site) -> None:
    site.power = power = SlowPower()
    node = await site.node(1)

    def taken_over(tx: Tx) -> None:
        tx.execute(sa.update(conductors).values(heartbeat_at=tx.now - timedelta(minutes=5)))
        lease = leases.join(tx, Membership("c2", [{"name": "fake-hardware"}]))
        assert leases.claim(tx, node_rows, node.id, lease, timedelta(seconds=30))

    async with site.conductor("c1"):
        await site.to_available(node)
        power.slow_for = PowerState.OFF
        await site.ask(node, "active")
        await power.asked.wait()  # on the way to the provisioning network
        await site.store.write(taken_over)
        power.go_on.set()
        await asyncio.sleep(0.3)
        assert await site.store.read(lambda tx: of_host(tx, node.id)) == []


async def test_an_abort_while_the_server_is_booted_leaves_it_off(site: Site) -> None:
    site.power = power = SlowPower()
    async with site.conductor():
        node = await site.node(1)
        await site.to_available(node)
        power.slow_for = BootDevice.PXE
        await site.ask(node, "active")
        await power.asked.wait()
        await site.ask(node, "abort")
        power.go_on.set()
        await site.until(lambda tx: not of_host(tx, node.id), "off the provisioning network")
        await asyncio.sleep(0.1)
        assert await power.get_power({"node_uuid": node.id}) is PowerState.OFF


async def test_a_node_that_is_managed_right_after_an_abort_is_on_no_network(site: Site) -> None:
    node = await site.node(1)
    async with site.conductor():
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.ask(node, "provide")
        await site.until_state(node, "clean wait", "booted")
    await site.ask(node, "abort")
    await site.ask(node, "manage")
    async with site.conductor():
        await site.until(lambda tx: not of_host(tx, node.id), "off the cleaning network")
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}


async def test_an_aborted_node_leaves_its_network_though_its_bmc_does_not_do_what_a_client_asked(site: Site) -> None:
    class Deaf(FakePower):
        async def set_power(self, _info: object, _state: PowerState, _timeout: float | None = None) -> None:
            raise Temporary("the BMC does not answer")

    node = await site.node(1)
    async with site.conductor():
        await site.to_available(node)
        await site.ask(node, "active")
        await site.until_state(node, "wait call-back", "booted")
    await site.store.write(lambda tx: nodes.request_power(tx, nodes.by_id(tx, node.id), "power off"))
    await site.ask(node, "abort")
    site.power = Deaf()
    async with site.conductor():
        await site.until(lambda tx: not of_host(tx, node.id), "off the provisioning network")


async def test_a_server_whose_port_goes_down_as_it_starts_is_not_booted_again_and_again(site: Site) -> None:
    boots = 0
    port = await site.tenant_port("red")

    class Counting(FakePower):
        async def set_boot_device(self, _info: object, device: BootDevice, **_: object) -> None:
            nonlocal boots
            if device is BootDevice.DISK:
                boots += 1
                if boots == 1:
                    await site.store.write(lambda tx: ports.update(tx, port, {"admin_state_up": False}))

    site.power = Counting()
    async with site.conductor():
        node = await site.node(1)
        await site.to_available(node)
        await site.attach(node, port)
        await site.ask(node, "active")
        await site.until_state(node, "wait call-back", "booted")
        await site.report(node)
        await site.until(lambda tx: boots == 1 and nodes.by_id(tx, node.id).step == "tenant", "back a step")
        for _ in range(3):
            await site.store.write(lambda tx: nodes.update(tx, node.id, {"due_at": tx.now}))
            await asyncio.sleep(0.05)
        assert boots == 1
        await site.store.write(lambda tx: ports.update(tx, port, {"admin_state_up": True}))
        await site.until_state(node, "active")
        assert boots == 2


async def test_what_nobody_foresaw_is_told_and_fails_the_node_in_the_end(site: Site) -> None:
    class Strange(FakePower):
        async def get_power(self, _info: object) -> PowerState:
            raise KeyError("PowerState: s3cret")

    site.power = Strange()
    async with site.conductor():
        node = await site.node(1)
        await site.ask(node, "manage")
        await site.until(lambda tx: "KeyError" in (nodes.by_id(tx, node.id).last_error or ""), "the reason")
        failed = await site.until_state(node, "enroll")
        assert "s3cret" not in (failed.last_error or "")


async def test_a_tenants_network_of_the_same_name_stands_in_nobodys_way(site: Site) -> None:
    await site.tenant_port("cleaning")
    async with site.conductor():
        node = await site.node(1)
        await site.to_available(node)
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}


async def test_a_shared_network_is_no_place_to_boot_servers(site: Site) -> None:
    site.settings = replace(site.settings, cleaning_network="storage")
    shared = NewNetwork(name="storage", physical_network="physnet1", segmentation_id=30, shared=True)
    await site.store.write(lambda tx: networks.create(tx, shared))
    async with site.conductor():
        node = await site.node(1)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.ask(node, "provide")
        failed = await site.until_state(node, "clean failed")
        assert "no provider network 'storage'" in (failed.last_error or "")


async def test_an_undeployed_node_is_nobodys_allocation_any_more(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.store.write(lambda tx: nodes.update(tx, node.id, {"resource_class": "bm"}))
        await site.to_available(node)
        made = await site.store.write(lambda tx: allocations.create(tx, {"resource_class": "bm"}))
        await allocate(site.store, made.id)
        await site.to_active(node)
        assert (await site.store.read(lambda tx: nodes.by_id(tx, node.id))).allocation_uuid == made.id
        await site.ask(node, "deleted")
        free = await site.until_state(node, "clean wait", "booted")
        assert (free.allocation_uuid, free.instance_uuid) == (None, None)
        with pytest.raises(NotFound):
            await site.store.read(lambda tx: allocations.get(tx, made.id))


async def test_what_became_of_a_node_is_in_its_history(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.to_available(node)
        await site.ask(node, "active")
        await site.until_state(node, "wait call-back", "booted")
        await site.report(node, "error", "the disk is on fire")
        await site.until_state(node, "deploy failed")
    entries = await site.store.read(lambda tx: history.of_node(tx, node.id))
    assert [entry.event for entry in entries[-3:]] == [
        "asked to active: from available to deploying",
        "from deploying to wait call-back",
        "from wait call-back to deploy failed: the ramdisk reported: the disk is on fire",
    ]
    assert {(e.severity, e.event_type, e.conductor) for e in entries if e.severity == "ERROR"} == {
        ("ERROR", "provision", "c1")
    }


async def test_a_node_whose_network_is_nobodys_goes_through_its_life_on_no_network(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.store.write(lambda tx: nodes.update(tx, node.id, {"interfaces": {"network_interface": "noop"}}))
        await site.to_available(node)
        await site.to_active(node)
    site.assert_nothing_was_carried()


async def test_a_node_that_is_not_to_be_cleaned_is_available_at_once(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.store.write(lambda tx: nodes.update(tx, node.id, {"automated_clean": False}))
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.ask(node, "provide")
        await site.until_state(node, "available")
    site.assert_nothing_was_carried()
