"""Rescue and servicing: a server that belongs to a tenant leaves its networks for a ramdisk, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ironlane.model.fabric import Lag, PortConfig, Vlan
from ironlane.model.node import Node
from ironlane.model.sha_crypt import sha512_crypt
from ironlane.model.states import ProvisionState
from ironlane.power.base import PowerState
from ironlane.store import networks, nodes
from ironlane.store.attachments import of_host
from ironlane.store.database import Store
from ironlane.store.networks import NewNetwork
from tests.conductor.agents import Ramdisk
from tests.conductor.site import PROVISIONING, Site

PASSWORD = sha512_crypt("geheim", "salt")
RESCUING = 12


@pytest.fixture
async def site(store: Store) -> AsyncIterator[Site]:
    made = Site(store)
    made.settings = replace(made.settings, agent_poll=timedelta(seconds=0.05), rescuing_network="rescuing")
    await made.furnish()
    new = NewNetwork(name="rescuing", physical_network="physnet1", segmentation_id=RESCUING)
    await store.write(lambda tx: networks.create(tx, new))
    yield made
    await made.agents.close()


async def _active(site: Site) -> tuple[Node, str]:
    """A deployed server, and its tenant port; from now on its ramdisks have agents."""
    node = await site.node(1)
    await site.to_available(node)
    port = await site.tenant_port("red")
    await site.attach(node, port)
    await site.to_active(node)
    agent = {"interfaces": {"deploy_interface": "direct"}}
    return await site.store.write(lambda tx: nodes.update(tx, node.id, agent)), port


async def _ask(site: Site, node: Node, verb: str, **info: Any) -> None:
    changes = {"driver_internal_info": info}
    await site.store.write(lambda tx: nodes.request_state(tx, nodes.by_id(tx, node.id), verb, changes))


async def _rescue(site: Site, node: Node) -> Ramdisk:
    await _ask(site, node, "rescue", hashed_rescue_password=PASSWORD)
    await site.until_state(node, "rescue wait", "booted")
    return Ramdisk(site.store, node)


async def test_a_rescue_and_the_way_back(site: Site) -> None:
    given: list[str] = []
    async with site.conductor():
        node, port = await _active(site)
        tenant = Vlan(await site.vlan(port))
        ramdisk = await _rescue(site, node)
        assert site.carried() == {"leaf-1": {"p1": PortConfig(untagged=Vlan(RESCUING))}, "leaf-2": {}}
        ramdisk.commands.rescued = given.append
        async with ramdisk.running():
            rescued = await site.until_state(node, "rescue")
        assert (given, ramdisk.ordered) == ([PASSWORD], ["finalize_rescue"])
        assert rescued.power_state == PowerState.ON
        assert rescued.target_provision_state is None
        alone = PortConfig(untagged=tenant)
        assert site.carried() == {"leaf-1": {"p1": alone}, "leaf-2": {}}, "a ramdisk makes no bond"
        assert "hashed_rescue_password" not in rescued.driver_internal_info

        await site.ask(node, "unrescue")
        active = await site.until_state(node, "active")
        bundled = PortConfig(untagged=tenant, lag=Lag(1))
        assert site.carried() == {"leaf-1": {"p1": bundled}, "leaf-2": {"p1": bundled}}
        assert (active.boot_device, active.boot_device_persistent) == ("disk", True)
    site.assert_walls_stood()


async def test_a_ramdisk_without_an_agent_says_by_itself_that_it_is_ready(site: Site) -> None:
    async with site.conductor():
        node, _ = await _active(site)
        await site.store.write(lambda tx: nodes.update(tx, node.id, {"interfaces": {}}))
        await _ask(site, node, "rescue", hashed_rescue_password=PASSWORD)
        await site.until_state(node, "rescue wait", "booted")
        await site.report(node)
        await site.until_state(node, "rescue")
        await site.ask(node, "deleted")
        await site.until_state(node, "clean wait")
    site.assert_walls_stood()


async def test_a_conductor_that_dies_anywhere_in_a_rescue_is_continued(site: Site) -> None:
    async with site.conductor():
        node, port = await _active(site)
    await _ask(site, node, "rescue", hashed_rescue_password=PASSWORD)
    async with site.conductor():
        await site.until_state(node, "rescue wait", "booted")
    async with Ramdisk(site.store, node).running():
        await _lives(site, node, "rescue")
    await site.ask(node, "unrescue")
    await _lives(site, node, "active")
    bundled = PortConfig(untagged=Vlan(await site.vlan(port)), lag=Lag(1))
    assert site.carried() == {"leaf-1": {"p1": bundled}, "leaf-2": {"p1": bundled}}
    site.assert_walls_stood()


async def _lives(site: Site, node: Node, state: str) -> None:
    """Many short lives of a conductor, and a last one that goes on until the node is there."""
    for _ in range(8):
        async with site.conductor():
            await asyncio.sleep(0.02)
    async with site.conductor():
        await site.until_state(node, state)


async def test_the_rescuing_network_is_joined_only_when_the_tenants_was_left(site: Site) -> None:
    async with site.conductor():
        node, port = await _active(site)
        site.leaves["leaf-2"].unreachable = True
        await _ask(site, node, "rescue", hashed_rescue_password=PASSWORD)
        await site.until(lambda tx: any(a.vlan == RESCUING for a in of_host(tx, node.id)), "the wish")
        tenant, waiting = await site.vlan(port), {a.vlan: a.state for a in await _attachments(site, node)}
        assert waiting == {tenant: "leaving", RESCUING: "held"}
        assert await _state(site, node) == "rescuing"
        site.leaves["leaf-2"].unreachable = False
        await site.until_state(node, "rescue wait")
    site.assert_walls_stood()


async def _attachments(site: Site, node: Node) -> list[Any]:
    return await site.store.read(lambda tx: of_host(tx, node.id))


async def _state(site: Site, node: Node) -> ProvisionState:
    return (await site.store.read(lambda tx: nodes.by_id(tx, node.id))).provision_state


async def test_an_agent_that_does_not_take_the_password_fails_the_rescue(site: Site) -> None:
    async with site.conductor():
        node, _ = await _active(site)
        ramdisk = await _rescue(site, node)
        ramdisk.commands.broken.add("finalize_rescue")
        async with ramdisk.running():
            failed = await site.until_state(node, "rescue failed")
        assert "did not set the rescue password: Command execution failed" in (failed.last_error or "")
        await site.until(lambda tx: not of_host(tx, node.id), "off all networks")
        await site.until(
            lambda tx: "hashed_rescue_password" not in nodes.by_id(tx, node.id).driver_internal_info, "forgotten"
        )
        async with (await _rescue(site, node)).running():
            await site.until_state(node, "rescue")
    site.assert_walls_stood()


async def test_an_aborted_rescue_is_off_all_networks_and_comes_back(site: Site) -> None:
    async with site.conductor():
        node, port = await _active(site)
        await _rescue(site, node)
        await site.ask(node, "abort")
        failed = await site.until_state(node, "rescue failed")
        assert failed.last_error == "aborted by request while it was rescue wait"
        await site.until(lambda tx: not of_host(tx, node.id), "off all networks")
        await site.ask(node, "unrescue")
        await site.until_state(node, "active")
        assert {config.untagged for config in site.carried()["leaf-1"].values()} == {await site.vlan(port)}
    site.assert_walls_stood()


async def test_a_deployed_server_is_serviced(site: Site) -> None:
    steps = [{"interface": "deploy", "step": "update_firmware"}, {"interface": "deploy", "step": "burnin_cpu"}]
    async with site.conductor():
        node, port = await _active(site)
        await _ask(site, node, "service", user_service_steps=steps)
        await site.until_state(node, "service wait", "booted")
        assert site.carried() == {"leaf-1": {"p1": PortConfig(untagged=Vlan(PROVISIONING))}, "leaf-2": {}}
        async with Ramdisk(site.store, node).running() as first:
            await site.until(lambda tx: "service_reboot" in nodes.by_id(tx, node.id).driver_internal_info, "the reboot")
        await site.until_state(node, "service wait", "booted")
        async with Ramdisk(site.store, node).running() as second:
            active = await site.until_state(node, "active")
        assert first.ordered == ["get_service_steps", "execute_service_step"]
        assert second.ordered == ["execute_service_step"]
        assert {"service_steps", "user_service_steps"}.isdisjoint(active.driver_internal_info)
        assert {config.untagged for config in site.carried()["leaf-1"].values()} == {await site.vlan(port)}
    site.assert_walls_stood()


async def test_a_service_step_that_fails_and_the_way_back_without_it(site: Site) -> None:
    async with site.conductor():
        node, port = await _active(site)
        await _ask(site, node, "service", user_service_steps=[{"interface": "deploy", "step": "burnin_cpu"}])
        await site.until_state(node, "service wait", "booted")
        ramdisk = Ramdisk(site.store, node)
        ramdisk.commands.broken.add("burnin_cpu")
        async with ramdisk.running():
            failed = await site.until_state(node, "service failed")
        assert "service step deploy.burnin_cpu failed on the server" in (failed.last_error or "")
        await site.until(lambda tx: not of_host(tx, node.id), "off all networks")
        await _ask(site, node, "abort")
        active = await site.until_state(node, "active")
        assert active.last_error is None
        assert {config.untagged for config in site.carried()["leaf-1"].values()} == {await site.vlan(port)}
    site.assert_walls_stood()
