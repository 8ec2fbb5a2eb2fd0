"""Cleaning and deploying with ironic-python-agent's protocol: what is ordered, and what becomes of each fault."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.boot.image_service import ImageService
from ironlane.model.errors import Conflict, Invalid, Unauthorized
from ironlane.model.node import Node
from ironlane.power.base import PowerState
from ironlane.store import nodes, ports, provisioning, subnets
from ironlane.store.attachments import of_host
from ironlane.store.database import Store, Tx
from ironlane.store.subnets import NewSubnet
from ironlane.store.tables import networks
from tests.boot.images_api import Images
from tests.conductor.agents import IMAGE, Ramdisk
from tests.conductor.site import Site

URL = "http://images.example/disk.img"
INSTANCE = {"image_source": URL, "image_checksum": hashlib.sha256(IMAGE).hexdigest(), "configdrive": "geheim"}


@pytest.fixture
async def site(store: Store) -> AsyncIterator[Site]:
    made = Site(store)
    made.settings = replace(made.settings, agent_poll=timedelta(seconds=0.05), shutdown=timedelta(seconds=0.2))
    await made.furnish()
    yield made
    await made.agents.close()


async def _node(site: Site, number: int = 1, **changes: Any) -> Node:
    node = await site.node(number)
    values = {"interfaces": {"deploy_interface": "direct"}, "instance_info": INSTANCE, **changes}
    return await site.store.write(lambda tx: nodes.update(tx, node.id, values))


@asynccontextmanager
async def _ramdisk(site: Site, node: Node, state: str) -> AsyncIterator[Ramdisk]:
    """What the server runs as soon as the conductor has booted it."""
    await site.until_state(node, state, "booted")
    ramdisk = Ramdisk(site.store, node)
    async with ramdisk.running():
        yield ramdisk


async def _cleaning(site: Site, node: Node) -> None:
    await site.ask(node, "manage")
    await site.until_state(node, "manageable")
    await site.ask(node, "provide")


async def _available(site: Site, node: Node) -> None:
    await _cleaning(site, node)
    async with _ramdisk(site, node, "clean wait"):
        await site.until_state(node, "available")


async def _off_all_networks(site: Site, node: Node) -> None:
    await site.until(lambda tx: not of_host(tx, node.id), "off all networks")
    assert site.carried() == {"leaf-1": {}, "leaf-2": {}}


async def test_a_life_with_an_agent(site: Site) -> None:
    async with site.conductor():
        node = await _node(site)
        await _cleaning(site, node)
        async with _ramdisk(site, node, "clean wait") as ramdisk:
            await site.until_state(node, "available")
            steps = [command.params["step"]["step"] for command in ramdisk.commands.given[1:]]
            assert steps == ["erase_devices_metadata", "erase_devices"], "by priority"
            assert ramdisk.disk_image is None
            assert "geheim" not in str(ramdisk.commands.given), "a ramdisk is told no secrets that it does not need"
        port = await site.tenant_port("red")
        await site.attach(node, port)
        await site.ask(node, "active")
        async with _ramdisk(site, node, "wait call-back") as ramdisk:
            active = await site.until_state(node, "active")
            assert ramdisk.ordered == [
                *("get_deploy_steps", "prepare_image", "get_partition_uuids", "install_bootloader"),
                *("sync", "power_off"),
            ]
            assert (ramdisk.disk_image, ramdisk.off) == (URL, True)
            order = ramdisk.commands.given[1].params
            assert order["configdrive"] == "geheim"
            assert order["image_info"]["urls"] == [URL]
        await site.ask(node, "rebuild")
        async with _ramdisk(site, node, "wait call-back") as again:
            await site.until(lambda tx: nodes.by_id(tx, node.id).provision_state == "active", "active again")
            assert again.disk_image == URL
        assert active.power_state == PowerState.ON
        gone = {"agent_url", "agent_secret_token", "deploy_steps", "clean_steps", "agent_command", "waiting_for"}
        assert gone.isdisjoint(active.driver_internal_info)
    site.assert_walls_stood()


async def test_an_image_that_is_named_by_its_id(site: Site) -> None:
    ident = "8f1e0a4e-0000-4000-8000-000000000000"
    sound = {"status": "active", "os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(IMAGE).hexdigest()}
    async with Images.running() as images:
        site.settings = replace(site.settings, images=ImageService(images.url))
        async with site.conductor():
            node = await _node(site, instance_info={"image_source": ident})
            await _available(site, node)
            await site.attach(node, await site.tenant_port("red"))
            await site.ask(node, "active")
            failed = await site.until_state(node, "deploy failed")
            assert "does not exist" in (failed.last_error or "")
            await _off_all_networks(site, node)

            images.images[ident] = sound
            await site.ask(node, "active")
            async with _ramdisk(site, node, "wait call-back") as ramdisk:
                active = await site.until_state(node, "active")
                written = ramdisk.commands.given[1].params["image_info"]
            assert ramdisk.disk_image == f"{images.url}/v2/images/{ident}/file"
            assert (written["os_hash_algo"], written["disk_format"]) == ("sha512", "raw")
            assert active.instance_info == {"image_source": ident}
            assert "image" not in active.driver_internal_info

            # Somebody has put other bytes in its place: the checksum is the service's.
            images.images[ident] = {**sound, "os_hash_value": hashlib.sha512(b"other").hexdigest()}
            await site.ask(node, "rebuild")
            async with _ramdisk(site, node, "wait call-back"):
                failed = await site.until_state(node, "deploy failed")
            assert "checksum" in (failed.last_error or "")
    site.assert_walls_stood()


async def test_what_the_agent_is_at_is_shown_and_survives_the_conductor(site: Site) -> None:
    node = await _node(site)
    async with site.conductor("c1"):
        await _cleaning(site, node)
        await site.until_state(node, "clean wait", "booted")
    ramdisk = Ramdisk(site.store, node)
    ramdisk.commands.work = 0.3
    async with ramdisk.running():
        for _ in range(30):  # each life of the conductor takes it a bit further, and orders nothing twice
            async with site.conductor("c1"):
                await site.until(lambda tx: nodes.by_id(tx, node.id).step != "booted", "the steps")
                now = await site.store.read(lambda tx: nodes.by_id(tx, node.id))
            if now.provision_state != "clean wait":
                break
            assert [s["step"] for s in now.driver_internal_info["clean_steps"]][1:] == ["erase_devices"]
        async with site.conductor("c1"):
            await site.until_state(node, "available")
        assert ramdisk.ordered == ["get_clean_steps", "execute_clean_step", "execute_clean_step"]


async def test_steps_that_a_client_asks_for_and_a_reboot_between_them(site: Site) -> None:
    asked = [{"interface": "deploy", "step": "update_firmware"}, {"interface": "deploy", "step": "burnin_cpu"}]
    async with site.conductor():
        node = await _node(site)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        changes = {"driver_internal_info": {"user_clean_steps": asked}}
        await site.store.write(lambda tx: nodes.request_state(tx, nodes.by_id(tx, node.id), "clean", changes))
        async with _ramdisk(site, node, "clean wait") as first:
            await site.until(lambda tx: "clean_reboot" in nodes.by_id(tx, node.id).driver_internal_info, "the reboot")
        async with _ramdisk(site, node, "clean wait") as second:
            await site.until_state(node, "manageable")
        assert (first.ordered, second.ordered) == (["get_clean_steps", "execute_clean_step"], ["execute_clean_step"])
        assert second.commands.given[0].params["step"]["step"] == "burnin_cpu"


async def test_a_step_that_the_agent_does_not_have_is_told(site: Site) -> None:
    async with site.conductor():
        node = await _node(site)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        changes = {"driver_internal_info": {"user_clean_steps": [{"interface": "raid", "step": "create"}]}}
        await site.store.write(lambda tx: nodes.request_state(tx, nodes.by_id(tx, node.id), "clean", changes))
        async with _ramdisk(site, node, "clean wait"):
            failed = await site.until_state(node, "clean failed")
        assert "the agent has no clean step raid.create; it has deploy.burnin_cpu" in (failed.last_error or "")


async def test_another_ramdisk_than_before_starts_the_list_anew(site: Site) -> None:
    async with site.conductor():
        node = await _node(site)
        await _cleaning(site, node)
        async with _ramdisk(site, node, "clean wait") as ramdisk:
            await site.until(
                lambda tx: "agent_command" in nodes.by_id(tx, node.id).driver_internal_info, "the first step"
            )
            ramdisk.commands.version = {"generic_hardware_manager": "1.3"}
            await site.until_state(node, "available")
        assert ramdisk.ordered.count("get_clean_steps") == 2


async def test_priorities_are_the_operators_to_choose(site: Site) -> None:
    site.settings = replace(site.settings, clean_priorities={"erase_devices": 0, "deploy.burnin_cpu": 200})
    async with site.conductor():
        node = await _node(site)
        await _cleaning(site, node)
        async with _ramdisk(site, node, "clean wait") as ramdisk:
            await site.until_state(node, "available")
        steps = [command.params["step"]["step"] for command in ramdisk.commands.given[1:]]
        assert steps == ["burnin_cpu", "erase_devices_metadata"]


class TenantBoot:
    """Makes the tenant's ramdisk ready."""

    def __init__(self) -> None:
        self.ready: list[tuple[str, str]] = []

    async def prepare(self, node: Node, purpose: str) -> list[dict[str, Any]]:
        self.ready.append((node.id, purpose))
        return [{"opt_name": "tag:ipxe,67", "opt_value": "http://boot.example/x/boot.ipxe", "ip_version": 4}]

    async def discard(self, node_id: str) -> None:
        self.ready = [one for one in self.ready if one[0] != node_id]


async def test_a_ramdisk_is_booted_on_the_tenants_network_at_each_boot(site: Site) -> None:
    boot = TenantBoot()
    site.settings = replace(site.settings, boot=boot)
    async with site.conductor():
        node = await _node(site, automated_clean=False, interfaces={"deploy_interface": "ramdisk"})
        changes = {"provision_state": "available"}
        await site.store.write(lambda tx: nodes.update(tx, node.id, changes))
        port = await site.tenant_port("red")
        await site.attach(node, port)
        await site.ask(node, "active")
        active = await site.until_state(node, "active")
        assert (active.boot_device, active.boot_device_persistent, active.power_state) == ("pxe", True, "power on")
        assert await site.power.get_boot_device({"node_uuid": node.id}) == "pxe"
        assert boot.ready == [(node.id, "provisioning")]
        (option,) = (await site.store.read(lambda tx: ports.get(tx, port))).extra_dhcp_opts
        assert option["opt_value"] == "http://boot.example/x/boot.ipxe"
        provider = {10, 11}
        for leaf in site.leaves.values():
            assert not any(set(config.vlans) & provider for moment in leaf.history for config in moment.values())
        await site.ask(node, "deleted")
        await site.until_state(node, "available")
        assert boot.ready == []
        assert list((await site.store.read(lambda tx: ports.get(tx, port))).extra_dhcp_opts) == []


async def test_without_boot_files_a_tenants_ramdisk_is_refused(site: Site) -> None:
    async with site.conductor():
        node = await _node(site, interfaces={"deploy_interface": "ramdisk"})
        changes = {"provision_state": "available"}
        await site.store.write(lambda tx: nodes.update(tx, node.id, changes))
        await site.ask(node, "active")
        failed = await site.until_state(node, "deploy failed")
        assert "makes no boot files of a tenant's kernel and ramdisk" in (failed.last_error or "")


# --- faults ----------------------------------------------------------------------------------------------------


async def test_a_clean_step_that_fails_leaves_the_node_to_the_operator_who_tries_again(site: Site) -> None:
    async with site.conductor():
        node = await _node(site)
        await _cleaning(site, node)
        await site.until_state(node, "clean wait", "booted")
        ramdisk = Ramdisk(site.store, node)
        ramdisk.commands.broken.add("erase_devices")
        async with ramdisk.running():
            failed = await site.until_state(node, "clean failed")
        assert (failed.maintenance, failed.fault) == (True, "clean failure")
        assert failed.last_error == (
            "clean step deploy.erase_devices failed on the server: Clean step failed: Error performing clean_step"
            " erase_devices: the disk is on fire; put it right, then manage and provide the node again"
        )
        await _off_all_networks(site, node)
        await site.store.write(lambda tx: nodes.update(tx, node.id, {"maintenance": False, "fault": None}))
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.ask(node, "provide")
        async with _ramdisk(site, node, "clean wait"):
            await site.until_state(node, "available")


async def test_an_image_that_is_another_one_than_it_should_be_is_not_booted(site: Site) -> None:
    async with site.conductor():
        node = await _node(site, instance_info={**INSTANCE, "image_checksum": "0" * 64})
        await _available(site, node)
        await site.store.write(
            lambda tx: nodes.update(tx, node.id, {"instance_info": {**INSTANCE, "image_checksum": "0" * 64}})
        )
        await site.ask(node, "active")
        async with _ramdisk(site, node, "wait call-back"):
            failed = await site.until_state(node, "deploy failed")
        assert "deploy step deploy.write_image failed on the server: Error verifying image checksum" in (
            failed.last_error or ""
        )
        assert "then deploy the node again" in (failed.last_error or "")
        await _off_all_networks(site, node)
        await site.store.write(lambda tx: nodes.update(tx, node.id, {"instance_info": INSTANCE}))
        await site.ask(node, "active")
        async with _ramdisk(site, node, "wait call-back"):
            await site.until_state(node, "active")


async def test_an_agent_that_dies_half_way_is_told_by_its_silence(site: Site) -> None:
    site.settings = replace(site.settings, agent_silence=timedelta(seconds=1), attempts=1000)
    async with site.conductor():
        node = await _node(site)
        await _cleaning(site, node)
        await site.until_state(node, "clean wait", "booted")
        ramdisk = Ramdisk(site.store, node)
        ramdisk.commands.work, ramdisk.silent = 60.0, True
        async with ramdisk.running():
            await site.until(
                lambda tx: "agent_command" in nodes.by_id(tx, node.id).driver_internal_info, "the first step"
            )
        failed = await site.until_state(node, "clean failed")
        assert "the agent on the server was last heard of at" in (failed.last_error or "")
        await _off_all_networks(site, node)


async def test_an_agent_that_works_on_and_on_is_ended(site: Site) -> None:
    site.settings = replace(site.settings, clean_timeout=timedelta(seconds=0.5))
    async with site.conductor():
        node = await _node(site)
        await _cleaning(site, node)
        await site.until_state(node, "clean wait", "booted")
        ramdisk = Ramdisk(site.store, node)
        ramdisk.commands.work = 60.0
        async with ramdisk.running():
            failed = await site.until_state(node, "clean failed")
        assert "the agent was at work for longer than 0:00:00.500000" in (failed.last_error or "")


async def test_an_agent_that_was_started_anew_is_not_taken_for_the_old_one(site: Site) -> None:
    async with site.conductor():
        node = await _node(site)
        await _cleaning(site, node)
        await site.until_state(node, "clean wait", "booted")
        ramdisk = Ramdisk(site.store, node)
        ramdisk.commands.work = 60.0
        async with ramdisk.running():
            await site.until(
                lambda tx: "agent_command" in nodes.by_id(tx, node.id).driver_internal_info, "the first step"
            )
            ramdisk.commands.given.clear()
            failed = await site.until_state(node, "clean failed")
        assert "it was started anew" in (failed.last_error or "")


async def test_heartbeats_of_strangers_change_nothing(site: Site) -> None:
    async with site.conductor():
        node = await _node(site)
        await _cleaning(site, node)
        await site.until_state(node, "clean wait", "booted")
        ramdisk = Ramdisk(site.store, node)
        ramdisk.commands.work = 60.0
        async with ramdisk.running():
            await site.until(
                lambda tx: "agent_command" in nodes.by_id(tx, node.id).driver_internal_info, "the first step"
            )
            before = (await site.store.read(lambda tx: nodes.by_id(tx, node.id))).agent_seen_at
            with pytest.raises(Unauthorized, match="agent token"):
                await ramdisk.heartbeat(token="guess")
            for url in ("https://192.0.2.99:9999", "https://127.0.0.1:22", "http://127.0.0.1@evil.example"):
                with pytest.raises(Invalid, match="callback_url"):
                    await ramdisk.heartbeat(callback_url=url)
            after = await site.store.read(lambda tx: nodes.by_id(tx, node.id))
            assert (after.agent_seen_at, after.driver_internal_info["agent_url"]) == (before, ramdisk.url)
            await site.ask(node, "abort")
            aborted = await site.until_state(node, "clean failed")
            assert "aborted" in (aborted.last_error or "")
            with pytest.raises(Conflict):
                await ramdisk.heartbeat()
        await _off_all_networks(site, node)


async def test_where_the_provision_port_has_an_address_the_agent_listens_there(site: Site) -> None:
    """With addresses of ours the source of a heartbeat does not count: it may have come through a proxy."""

    def subnet(tx: Tx) -> None:
        network = tx.execute(sa.select(networks.c.id).where(networks.c.name == "cleaning")).scalar_one()
        subnets.create(tx, NewSubnet(network, "192.0.2.0/24", 4))

    await site.store.write(subnet)
    async with site.conductor():
        node = await _node(site)
        await _cleaning(site, node)
        await site.until_state(node, "clean wait", "booted")
        given = await site.store.read(lambda tx: provisioning.addresses(tx, nodes.by_id(tx, node.id)))
        assert len(given) == 1
        ramdisk = Ramdisk(site.store, node)
        with pytest.raises(Invalid, match=f"127.0.0.1 is not the address of its provision port: {given[0]}"):
            async with ramdisk.running():
                raise AssertionError("accepted")
        await ramdisk.heartbeat(callback_url=f"https://{given[0]}:9999", source="192.0.2.1")
