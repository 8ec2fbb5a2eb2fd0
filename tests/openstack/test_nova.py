"""nova's ironic virt driver spawns an instance on Ironlane's Baremetal API, and destroys it again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from bench.environments import Unavailable
from ironlane.cli.client import Client, Refused, Unreachable
from ironlane.cli.demo.phases import Phases
from ironlane.cli.virtual import environment, running_gateway, virtual_rack
from ironlane.lab.frames import mac_text
from ironlane.lab.rack import VirtualRack
from ironlane.lab.server import Stage
from tests.openstack import nova
from tests.openstack.bed import until
from tests.openstack.glance import Glance
from tests.openstack.ironic import Credentials
from tests.service.bench import NETWORKING, NODES, SECRETS, VLAN_NAMES, description, enrol
from tests.service.history import History
from tests.service.process import free_port, serving

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(900)]

SERVER = "server-1-1"
CREDENTIALS = Credentials("nova", "nova-3kd82hs1")


@dataclass(slots=True)
class Bed:
    """A rack, Ironlane with its servers, a Glance with an image, and a nova-compute."""

    rack: VirtualRack
    ironlane: Client
    compute: nova.Compute
    history: History
    watch: Any
    image: str
    image_url: str
    networks: dict[str, str]

    async def node(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.ironlane.get(f"{NODES}/{SERVER}")
        return found

    async def port(self, network: str) -> str:
        body = {"network_id": self.networks[network], "project_id": "red", "binding:vnic_type": "baremetal"}
        return str((await self.ironlane.request("POST", f"{NETWORKING}/ports", {"port": body}))["port"]["id"])

    async def shown(self, port: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ironlane.get(f"{NETWORKING}/ports/{port}"))["port"]
        return found

    def carried(self) -> list[str]:
        """What the switch ports carry where the server is cabled."""
        server = next(one for one in self.rack.description.servers if one.name == SERVER)
        return [self.history.snapshots[nic.switch][-1][nic.port] for nic in server.nics]


@asynccontextmanager
async def running(made: Path, folder: Path) -> AsyncIterator[Bed]:
    port = free_port()
    url, inside = f"http://127.0.0.1:{port}", f"{CREDENTIALS.username}:{CREDENTIALS.password}@127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        glance = await stack.enter_async_context(Glance.running(made, folder))
        gateway = await stack.enter_async_context(running_gateway())
        rack = await stack.enter_async_context(
            virtual_rack(description(), f"http://{inside}", gateway, ironic=f"{url}/baremetal")
        )
        password = bcrypt.hashpw(CREDENTIALS.password.encode(), bcrypt.gensalt(4)).decode()
        (folder / "htpasswd").write_text(f"{CREDENTIALS.username}:{password}\n")
        env = (
            SECRETS
            | environment(rack.description, gateway)
            | {
                "IRONLANE_AUTH_STRATEGY": "http_basic",
                "IRONLANE_HTPASSWD_FILE": str(folder / "htpasswd"),
                "IRONLANE_IMAGE_SERVICE": glance.url,
            }
        )
        arguments = ("--port", str(port), "--database", f"sqlite:///{folder}/ironlane.sqlite", "--hostname", "one")
        await stack.enter_async_context(serving(*arguments, env=env, log=folder / "ironlane.log"))
        client = await stack.enter_async_context(Client(f"http://{inside}"))

        async def healthy() -> bool:
            with contextlib.suppress(Unreachable, Refused):
                return bool(await client.get("/healthz"))
            return False

        await until(healthy, "Ironlane to start")
        await enrol(client, rack)
        phases = Phases(client, list(rack.servers), lambda _states: None)
        await phases.provision("manage", "manageable")
        await phases.provision("provide", "available")
        await client.request("PUT", f"{NODES}/{SERVER}/traits/CUSTOM_RED")
        networks, names = {}, dict(VLAN_NAMES)
        for number, name in enumerate(("red", "green")):
            networks[name], vlan = await phases.tenant_network(name, number)
            names[vlan] = name
        history = History(rack, lambda vlan: names[vlan])
        history.attach()
        watch = rack.watch(VLAN_NAMES, lambda vlan: None if vlan in VLAN_NAMES else "red")
        image = await glance.upload("disk", b"an operating system" * 64)
        compute = await stack.enter_async_context(nova.Compute.running(made, folder, url, CREDENTIALS))
        image_url = f"{glance.url}/v2/images/{image}/file"
        yield Bed(rack, client, compute, history, watch, image, image_url, networks)


async def test_nova_spawns_and_destroys_an_instance(tmp_path: Path) -> None:
    try:
        made = await asyncio.to_thread(nova.environment)
    except Unavailable as why:
        pytest.skip(f"no nova on this machine: {why}")
    async with running(made, tmp_path) as bed:
        order, server = bed.compute.order, bed.rack.servers[SERVER]
        node = (await bed.node())["uuid"]

        await order("init_host")
        assert len(await order("available_nodes")) == len(bed.rack.servers)
        offered = await order("inventory", node)
        assert offered["inventory"]["CUSTOM_BAREMETAL"]["reserved"] == 0
        assert offered["traits"] == ["CUSTOM_RED"]

        await order("give_up", node)
        assert (await bed.node())["instance_uuid"] is None

        port = await bed.port("red")
        reserved = await order("reserve", node, bed.image, [port])
        assert (await bed.node())["instance_uuid"] == reserved["instance"]
        assert (await order("inventory", node))["inventory"]["CUSTOM_BAREMETAL"]["reserved"] == 1
        with pytest.raises(nova.DriverError, match="ComputeResourcesUnavailable"):
            await order("reserve", node, bed.image, [])
        ((vif, address, ips),) = reserved["vifs"]
        shown = await bed.shown(port)
        assert (vif, ips) == (port, [shown["fixed_ips"][0]["ip_address"]])
        # Attached, and not bound to a switch port: its MAC address is the portgroup's now.
        assert shown["mac_address"] == mac_text(server.nics["eth0"].mac) != address
        assert shown["device_id"] == reserved["instance"]
        assert bed.carried() == ["idle", "idle"]

        since = bed.history.mark()
        await order("spawn")
        shown, node_now = await bed.shown(port), await bed.node()
        assert (node_now["provision_state"], shown["status"]) == ("active", "ACTIVE")
        assert node_now["instance_info"]["display_name"] == "metal-one"
        assert bed.carried() == ["red/lag", "red/lag"]
        assert bed.history.sequence("leaf-1a", "Ethernet1", since) == ["idle", "provisioning", "idle", "red/lag"]
        assert bed.history.sequence("leaf-1b", "Ethernet1", since) == ["idle", "red/lag"]
        assert server.disk_image == bed.image_url
        await server.until(lambda one: one.stage is Stage.OS, 60)
        await power(bed, server)

        # A second network on the bond has no place: nova is told, and what there is stays.
        with pytest.raises(nova.DriverError, match="VirtualInterfacePlugException"):
            await order("attach", await bed.port("green"))
        await order("detach", port)
        assert (await bed.node())["provision_state"] == "active"
        await until(lambda: idle(bed), "the network to leave the bond")
        other = await bed.port("green")
        await order("attach", other)
        await until(lambda: is_active(bed, other), "the other network's port to be ACTIVE")
        assert bed.carried() == ["green/lag", "green/lag"]

        await order("rescue", "let me in")
        assert (await bed.node())["provision_state"] == "rescue"
        await order("unrescue")
        assert (await bed.node())["provision_state"] == "active"

        assert await order("exists")
        await order("destroy")
        await until(lambda: is_available(bed), "the node to be cleaned")
        assert not await order("exists")
        left = await bed.node()
        assert (left["instance_uuid"], left["instance_info"]) == (None, {})
        assert bed.carried() == ["idle", "idle"]
        assert server.disk_image is None
        assert (await order("inventory", node))["inventory"]["CUSTOM_BAREMETAL"]["reserved"] == 0
        assert bed.watch.violations == []


async def power(bed: Bed, server: Any) -> None:
    order = bed.compute.order
    assert await order("power") == "running"
    await order("power_off")
    assert (await order("power"), server.power) == ("shutdown", "off")
    await order("power_on")
    assert (await order("power"), server.power) == ("running", "on")
    for kind in ("HARD", "SOFT"):
        boots = list(server.journal).count(str(Stage.FIRMWARE))
        await order("reboot", kind)
        assert list(server.journal).count(str(Stage.FIRMWARE)) == boots + 1
        assert await order("power") == "running"
    await server.until(lambda one: one.stage is Stage.OS, 60)
    await order("power_off", 30)  # the operating system is asked first
    assert (await order("power"), server.power) == ("shutdown", "off")
    await order("power_on")
    assert bed.carried() == ["red/lag", "red/lag"]


async def idle(bed: Bed) -> bool:
    return bed.carried() == ["idle", "idle"]


async def is_active(bed: Bed, port: str) -> bool:
    return bool((await bed.shown(port))["status"] == "ACTIVE")


async def is_available(bed: Bed) -> bool:
    return bool((await bed.node())["provision_state"] == "available")
