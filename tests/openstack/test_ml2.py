"""A real Neutron binds through the mechanism driver: ACTIVE is read back, and both sides may be killed at any time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ironlane.cli.client import Client
from ironlane.cli.virtual import environment, running_gateway, virtual_rack
from ironlane.lab.rack import NicDescription, VirtualRack
from tests.openstack import neutron
from tests.openstack.neutron import Neutron, Unavailable
from tests.service.bench import SECRETS, description, enrol
from tests.service.process import free_port, serving

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(900)]

HOST = "5d9d4b0e-6c63-4d8f-9d6e-0f1c2a3b4c5d"
PROVISIONING = 3000
PATIENCE = 180.0


class Api:
    """Neutron's, asked as Ironic asks it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/v2.0"

    async def ask(self, method: str, path: str, body: object | None = None) -> tuple[int, Any]:
        async with self._session.request(method, f"{self._url}/{path}", json=body) as answer:
            text = await answer.text()
            return answer.status, (await answer.json() if text else None)

    async def ok(self, method: str, path: str, body: object | None = None) -> Any:
        status, found = await self.ask(method, path, body)
        assert status < 300, (method, path, status, found)
        return found

    async def network(self, name: str, **provider: object) -> dict[str, Any]:
        body = {"name": name, **{f"provider:{key}": value for key, value in provider.items()}}
        found: dict[str, Any] = (await self.ok("POST", "networks", {"network": body}))["network"]
        return found

    async def port(self, network: dict[str, Any]) -> str:
        body = {"network_id": network["id"], "binding:vnic_type": "baremetal"}
        return str((await self.ok("POST", "ports", {"port": body}))["port"]["id"])

    async def bind(self, port: str, nics: tuple[NicDescription, ...], macs: dict[str, str], mode: str = "") -> None:
        links = [{"switch_id": macs[nic.switch], "port_id": nic.port, "switch_info": nic.switch} for nic in nics]
        profile: dict[str, Any] = {"local_link_information": links}
        if mode:
            profile["local_group_information"] = {"id": HOST, "name": "bond0", "bond_mode": mode}
        await self.ok("PUT", f"ports/{port}", {"port": {"binding:host_id": HOST, "binding:profile": profile}})

    async def unbind(self, port: str) -> None:
        await self.ok("PUT", f"ports/{port}", {"port": {"binding:host_id": "", "binding:profile": {}}})

    async def status(self, port: str) -> str:
        return str((await self.ok("GET", f"ports/{port}"))["port"]["status"])

    async def active(self, port: str) -> None:
        async def reached() -> bool:
            shown = (await self.ok("GET", f"ports/{port}"))["port"]
            assert shown["binding:vif_type"] == "other"
            return bool(shown["status"] == "ACTIVE")

        await until(reached, f"port {port} to be ACTIVE")


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not await true():
        assert time.monotonic() < end, f"waited {PATIENCE} s for {what}"
        await asyncio.sleep(0.2)


def carried(rack: VirtualRack, nic: NicDescription) -> set[int]:
    """The VLANs that the switch really lets through where a NIC is cabled."""
    port = rack.switches[nic.switch].forwarding[nic.port]
    return set(port.vlans) if port.enabled else set()


def lag(rack: VirtualRack, nic: NicDescription) -> object:
    return rack.switches[nic.switch].forwarding[nic.port].lag


@asynccontextmanager
async def ironlane(rack_env: dict[str, str], port: int, folder: Path):  # type: ignore[no-untyped-def]
    arguments = ("--port", str(port), "--database", f"sqlite:///{folder}/ironlane.sqlite", "--hostname", "one")
    async with (
        serving(*arguments, env=SECRETS | rack_env, log=folder / "ironlane.log") as process,
        Client(f"http://127.0.0.1:{port}") as client,
    ):

        async def healthy() -> bool:
            try:
                return bool(await client.get("/healthz"))
            except Exception:
                return False

        await until(healthy, "Ironlane to start")
        yield process, client


async def test_bindings_survive_that_either_side_is_killed(tmp_path: Path) -> None:
    try:
        made = await asyncio.to_thread(neutron.environment)
    except Unavailable as why:
        pytest.skip(f"no Neutron on this machine: {why}")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(running_gateway())
        rack = await stack.enter_async_context(virtual_rack(description(), url, gateway))
        env = environment(rack.description, gateway)
        macs = {switch.name: switch.mac for switch in rack.description.switches}
        nics = rack.description.servers[0].nics[:2]
        connector = aiohttp.TCPConnector(force_close=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        async with ironlane(env, port, tmp_path) as (_, client):
            await enrol(client, rack)
            server = await stack.enter_async_context(Neutron.running(made, tmp_path, url))
            api = Api(session, server.url)
            segment = {"network_type": "vlan", "physical_network": neutron.PHYSICAL_NETWORK}
            provisioning = await api.network("provisioning", **segment, segmentation_id=PROVISIONING)
            tenant = await api.network("tenant")
            vlan = tenant["provider:segmentation_id"]

            own = await api.port(provisioning)
            await api.bind(own, nics[:1], macs)
            await api.active(own)
            assert carried(rack, nics[0]) == {PROVISIONING}
            shown = await client.get(f"/fabric/v1/bindings/{own}")
            assert (shown["side"], shown["status"]) == ("provider", "ACTIVE")

            bad = {"binding:host_id": HOST, "binding:profile": {"local_link_information": [{"port_id": "x"}]}}
            status, told = await api.ask("PUT", f"ports/{await api.port(tenant)}", {"port": bad})
            assert (status, "local_link_information[0].switch_id" in str(told)) == (400, True)
        # Ironlane was killed. Neutron goes on answering, and promises nothing.
        moved = await api.port(tenant)
        begun = time.monotonic()
        await api.ok("DELETE", f"ports/{own}")
        await api.bind(moved, nics, macs, "802.3ad")
        assert time.monotonic() - begun < 30, "Neutron waits for an Ironlane that is not there"
        assert await api.status(moved) == "DOWN"
        # What its processes had in mind is lost as well.
        await server.kill()
        assert carried(rack, nics[0]) == {PROVISIONING}
        async with ironlane(env, port, tmp_path) as (_, client):
            await server.start()
            await api.active(moved)
            assert [carried(rack, nic) for nic in nics] == [{vlan}, {vlan}]
            assert all(lag(rack, nic) is not None for nic in nics)
            # Neutron is killed with a wish on its way, and the switches go on.
            other = await api.port(tenant)
            await api.unbind(moved)
            await api.bind(other, nics[:1], macs)
            await server.kill()
            await server.start()
            await api.active(other)
            assert [carried(rack, nic) for nic in nics] == [{vlan}, set()]
            assert lag(rack, nics[0]) is None
        await api.unbind(other)
        await server.kill()
        async with ironlane(env, port, tmp_path) as (_, client):
            await server.start()

            async def nothing_left() -> bool:
                await api.status(other)  # a process of uWSGI's begins with its first request
                return not (await client.get("/fabric/v1/attachments"))["attachments"]

            await until(nothing_left, "the switch ports to be given back")
            assert [carried(rack, nic) for nic in nics] == [set(), set()]
            assert (await client.get("/fabric/v1/bindings"))["bindings"] == []
