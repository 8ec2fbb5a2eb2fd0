"""A server is inspected: its networks, what its record learns, and what goes wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ironlane.model.fabric import PortConfig, Vlan
from ironlane.model.node import Node
from ironlane.store import baremetal_ports, inspection, networks, nodes
from ironlane.store.database import Store, Tx
from ironlane.store.inspection import AddPorts, Sender
from ironlane.store.networks import NewNetwork
from tests.conductor.site import CLEANING, MACS, Site

INSPECTION = 12


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


def lldp(leaf: str, port: str) -> list[list[Any]]:
    """What a switch of the site sends, as ironic-python-agent passes it on."""
    chassis = "04" + MACS[leaf].replace(":", "")
    return [[1, chassis], [2, "05" + port.encode().hex()], [3, "0078"], [5, leaf.encode().hex()], [0, ""]]


def nic(name: str, address: str, tlvs: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "mac_address": address, "lldp": tlvs, **more}


async def send(site: Site, *interfaces: dict[str, Any], error: str | None = None, **more: Any) -> None:
    """The ramdisk posts its inventory."""
    inventory = {
        "interfaces": list(interfaces),
        "cpu": {"count": 32, "architecture": "x86_64"},
        "memory": {"total": 137_000_000_000, "physical_mb": 131072},
        "boot": {"current_boot_mode": "uefi", "pxe_interface": "01-" + interfaces[0]["mac_address"].replace(":", "-")},
    }
    rest = {"error": error, "root_disk": {"name": "/dev/sda", "size": 480 << 30}, **more}
    sender = Sender([interface["mac_address"] for interface in interfaces])
    await site.store.write(lambda tx: inspection.record(tx, sender, inventory, rest))


async def single(site: Site, **more: Any) -> Node:
    """A node of which only the NIC it boots over is known, at leaf-1/p1."""

    def work(tx: Tx) -> Node:
        node = nodes.create(tx, {"name": "node-1", "driver": "fake-hardware", **more})
        link = {"switch_id": MACS["leaf-1"], "port_id": "p1"}
        values = {"node_id": node.id, "address": "52:54:00:01:00:01", "local_link_connection": link}
        baremetal_ports.create(tx, values)
        return node

    return await site.store.write(work)


async def to_inspect_wait(site: Site, node: Node) -> None:
    await site.ask(node, "manage")
    await site.until_state(node, "manageable")
    await site.ask(node, "inspect")
    await site.until_state(node, "inspect wait", "booted")


async def nics(site: Site, node: Node) -> dict[str, Any]:
    found = await site.store.read(lambda tx: baremetal_ports.of_node(tx, node.id))
    return {port.address: port for port in found}


async def test_a_server_is_inspected_on_the_cleaning_network_and_leaves_it(site: Site) -> None:
    async with site.conductor():
        node = await single(site, properties={"capabilities": "boot_mode:uefi"})
        await to_inspect_wait(site, node)
        assert site.carried() == {"leaf-1": {"p1": PortConfig(untagged=Vlan(CLEANING))}, "leaf-2": {}}
        await send(site, nic("eth0", "52:54:00:01:00:01"))
        done = await site.until_state(node, "manageable")
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}
        assert done.properties == {
            "capabilities": "boot_mode:uefi",
            "cpus": 32,
            "cpu_arch": "x86_64",
            "memory_mb": 131072,
            "local_gb": 479,
        }
        assert done.power_state == "power off"
        assert done.last_error is None
        assert done.inspection_started_at is not None
        assert done.inspection_finished_at is not None
        assert done.inspection_started_at < done.inspection_finished_at
    site.assert_walls_stood()


async def test_inspection_may_have_a_network_of_its_own(site: Site) -> None:
    new = NewNetwork(name="inspection", physical_network="physnet1", segmentation_id=INSPECTION)
    await site.store.write(lambda tx: networks.create(tx, new))
    site.settings = replace(site.settings, inspection_network="inspection")
    async with site.conductor():
        node = await single(site)
        await to_inspect_wait(site, node)
        assert site.carried()["leaf-1"] == {"p1": PortConfig(untagged=Vlan(INSPECTION))}
        await send(site, nic("eth0", "52:54:00:01:00:01"))
        await site.until_state(node, "manageable")
        change = {"driver_info": {"inspection_network": "provisioning"}}
        await site.store.write(lambda tx: nodes.update(tx, node.id, change))
        await site.ask(node, "inspect")
        await site.until_state(node, "inspect wait", "booted")
        assert site.carried()["leaf-1"] == {"p1": PortConfig(untagged=Vlan(11))}


async def test_nics_that_are_not_known_are_added_with_their_links(site: Site) -> None:
    async with site.conductor():
        node = await single(site)
        await to_inspect_wait(site, node)
        await send(
            site,
            nic("eth0", "52:54:00:01:00:01", lldp("leaf-1", "p1")),
            nic("eth1", "52:54:00:01:00:02", lldp("leaf-2", "p1")),
            nic("eth2", "52:54:00:01:00:03"),
            nic("eth3", "52:54:00:01:00:04", [[1, "0402"], [5, b"leaf-1".hex()]]),
            nic("eth4", "52:54:00:01:00:05", [[1, "04aabbccddeeff"], [2, "05" + b"p1".hex()]]),
            nic("ib0", "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1"),
        )
        await site.until_state(node, "manageable")
        found = await nics(site, node)
        assert {address: port.local_link_connection for address, port in found.items()} == {
            "52:54:00:01:00:01": {"switch_id": MACS["leaf-1"], "port_id": "p1"},
            "52:54:00:01:00:02": {"switch_id": MACS["leaf-2"], "port_id": "p1", "switch_info": "leaf-2"},
            "52:54:00:01:00:03": {},
            "52:54:00:01:00:04": {},
            "52:54:00:01:00:05": {},  # no switch of ours: nothing could ever be attached there
        }
        assert [found[address].pxe_enabled for address in sorted(found)] == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("add_ports", "added"),
    [(AddPorts.ALL, [2, 3]), (AddPorts.ACTIVE, [2]), (AddPorts.PXE, []), (AddPorts.DISABLED, [])],
)
async def test_which_nics_are_added_is_the_operator_s_to_say(site: Site, add_ports: AddPorts, added: list[int]) -> None:
    site.settings = replace(site.settings, add_ports=add_ports)
    async with site.conductor():
        node = await single(site)
        await to_inspect_wait(site, node)
        await send(
            site,
            nic("eth0", "52:54:00:01:00:01"),
            nic("eth1", "52:54:00:01:00:02", ipv4_address="10.0.0.2"),
            nic("eth2", "52:54:00:01:00:03"),
        )
        await site.until_state(node, "manageable")
        assert sorted(await nics(site, node)) == [f"52:54:00:01:00:{number:02x}" for number in (1, *added)]


@pytest.mark.parametrize(
    ("link", "filled"),
    [
        ({}, {"switch_id": MACS["leaf-2"], "port_id": "p3", "switch_info": "leaf-2"}),
        ({"switch_id": MACS["leaf-2"]}, {"switch_id": MACS["leaf-2"], "port_id": "p3", "switch_info": "leaf-2"}),
        ({"switch_id": MACS["leaf-1"]}, None),
        ({"port_id": "p4"}, None),
        ({"network_type": "unmanaged"}, None),
        ({"switch_id": MACS["leaf-1"], "port_id": "p5"}, None),
    ],
)
async def test_a_link_is_completed_but_never_overruled(
    site: Site, link: dict[str, str], filled: dict[str, str] | None
) -> None:
    async with site.conductor():
        node = await single(site)
        values = {"node_id": node.id, "address": "52:54:00:01:00:02", "local_link_connection": link}
        await site.store.write(lambda tx: baremetal_ports.create(tx, values))
        await to_inspect_wait(site, node)
        parsed = {"eth1": {"switch_chassis_id": MACS["leaf-2"].upper(), "switch_port_id": "P3"}}
        interfaces = nic("eth0", "52:54:00:01:00:01"), nic("eth1", "52:54:00:01:00:02")
        await send(site, *interfaces, parsed_lldp=parsed)
        await site.until_state(node, "manageable")
        found = (await nics(site, node))["52:54:00:01:00:02"].local_link_connection
        assert found == (link if filled is None else filled)


async def test_a_ramdisk_that_reports_a_failure_fails_the_inspection(site: Site) -> None:
    async with site.conductor():
        node = await single(site)
        await to_inspect_wait(site, node)
        await send(site, nic("eth0", "52:54:00:01:00:01"), error="no disks")
        failed = await site.until_state(node, "inspect failed")
        assert failed.last_error == "the ramdisk reported: no disks"
        await site.until(lambda _tx: not site.carried()["leaf-1"], "nothing of it stays on the network")
        await site.ask(node, "inspect")
        await site.until_state(node, "inspect wait", "booted")
        assert await site.store.read(lambda tx: inspection.draw(tx, node, AddPorts.ALL)) is None, "that was last time"
        await send(site, nic("eth0", "52:54:00:01:00:01"))
        await site.until_state(node, "manageable")


async def test_a_nic_that_is_on_record_for_another_node_is_a_failure(site: Site) -> None:
    async with site.conductor():
        node = await single(site)

        def other(tx: Tx) -> None:
            made = nodes.create(tx, {"name": "node-2", "driver": "fake-hardware"})
            baremetal_ports.create(tx, {"node_id": made.id, "address": "52:54:00:02:00:01"})

        await site.store.write(other)
        await to_inspect_wait(site, node)
        inventory = {"interfaces": [nic("eth0", "52:54:00:01:00:01"), nic("eth1", "52:54:00:02:00:01")]}
        who = Sender(["52:54:00:01:00:01"])
        await site.store.write(lambda tx: inspection.record(tx, who, inventory, {}))
        failed = await site.until_state(node, "inspect failed")
        assert failed.last_error is not None
        assert "eth1 (52:54:00:02:00:01) is on record for node node-2" in failed.last_error


async def test_a_silent_server_fails_in_time(site: Site) -> None:
    site.settings = replace(site.settings, report_timeout=timedelta(seconds=0.2))
    async with site.conductor():
        node = await single(site)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.ask(node, "inspect")
        failed = await site.until_state(node, "inspect failed")
        assert failed.last_error is not None
        assert failed.last_error.startswith("no inventory from the ramdisk within 0:00:00.2")
        await site.until(lambda _tx: not site.carried()["leaf-1"], "nothing of it stays on the network")


async def test_an_inspection_may_be_called_off(site: Site) -> None:
    async with site.conductor():
        node = await single(site)
        await to_inspect_wait(site, node)
        await site.ask(node, "abort")
        await site.until_state(node, "inspect failed")
        await site.until(lambda _tx: not site.carried()["leaf-1"], "nothing of it stays on the network")
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")


async def test_a_conductor_that_dies_meanwhile_is_no_loss(site: Site) -> None:
    async with site.conductor():
        node = await single(site)
        await to_inspect_wait(site, node)
    await send(site, nic("eth0", "52:54:00:01:00:01"))
    async with site.conductor():
        await site.until_state(node, "manageable")
        assert site.carried()["leaf-1"] == {}
