"""A lab rack, an Ironlane and a Neutron beside each other, each of which may be killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import bcrypt
import openstack
from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException

from ironlane.cli.client import Client, Refused, Unreachable
from ironlane.cli.virtual import environment, running_gateway, virtual_rack
from ironlane.lab.rack import NicDescription, ServerDescription, VirtualRack
from tests.openstack.neutron import PHYSICAL_NETWORK, Neutron
from tests.service.bench import SECRETS, description, enrol
from tests.service.process import free_port, serving

PATIENCE = 180.0
PROVISIONING = 3000
"""The VLAN of the provider network `provisioning`."""

USERNAME, PASSWORD = "neutron", "neutron-5xq0wz81"
"""What Ironlane asks everybody for."""

AWAY = (SDKException, ClientException)
"""What openstacksdk raises while Neutron is not there, or says no."""


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not await true():
        assert time.monotonic() < end, f"waited {PATIENCE} s for {what}"
        await asyncio.sleep(0.2)


def with_credentials(url: str) -> str:
    return url.replace("://", f"://{USERNAME}:{PASSWORD}@")


class Cloud:
    """Neutron's API through openstacksdk, which is synchronous: each call runs in a thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def connected(cls, endpoint: str) -> AsyncIterator[Cloud]:
        connection = openstack.connect(
            auth_type="none", endpoint=endpoint, network_endpoint_override=endpoint, load_yaml_config=False
        )
        try:
            yield cls(connection)
        finally:
            connection.close()
            connection.session.session.close()

    async def call(self, method: str, /, *arguments: Any, **named: Any) -> Any:
        """A method of `Connection.network`."""
        return await asyncio.to_thread(getattr(self._connection.network, method), *arguments, **named)

    async def network(self, name: str, vlan: int | None = None) -> Any:
        """With a VLAN of its own, or one that Neutron chooses."""
        provider: dict[str, Any] = {}
        if vlan is not None:
            where = {"provider_network_type": "vlan", "provider_physical_network": PHYSICAL_NETWORK}
            provider = where | {"provider_segmentation_id": vlan}
        return await self.call("create_network", name=name, **provider)

    async def port(self, network: Any, vnic_type: str = "baremetal") -> str:
        return str((await self.call("create_port", network_id=network.id, binding_vnic_type=vnic_type)).id)

    async def bind(self, port: str, host: str, profile: dict[str, Any]) -> None:
        await self.call("update_port", port, binding_host_id=host, binding_profile=profile)

    async def unbind(self, port: str) -> None:
        await self.call("update_port", port, binding_host_id="", binding_profile={})

    async def status(self, port: str) -> str:
        return str((await self.call("get_port", port)).status)

    async def becomes(self, port: str, status: str) -> None:
        async def reached() -> bool:
            shown = await self.call("get_port", port)
            assert status != "ACTIVE" or shown.binding_vif_type == "other", shown
            return bool(shown.status == status)

        await until(reached, f"port {port} to be {status}")


class Bed:
    """One Ironlane and one Neutron on the rack. Both run until they are killed."""

    def __init__(self, folder: Path, rack: VirtualRack, env: dict[str, str], port: int) -> None:
        self.rack = rack
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.ironlane = Client(with_credentials(self.url))
        self.neutron: Neutron
        self.cloud: Cloud
        self._env = env
        self._port = port
        self._ironlane: AsyncExitStack | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, made: Path, folder: Path) -> AsyncIterator[Self]:
        """`made` is Neutron's environment."""
        port = free_port()
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(running_gateway())
            url = with_credentials(f"http://127.0.0.1:{port}")
            rack = await stack.enter_async_context(virtual_rack(description(), url, gateway))
            file = folder / "htpasswd"
            file.write_text(f"{USERNAME}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
            asking = {"IRONLANE_AUTH_STRATEGY": "http_basic", "IRONLANE_HTPASSWD_FILE": str(file)}
            bed = cls(folder, rack, environment(rack.description, gateway) | asking, port)
            await stack.enter_async_context(bed.ironlane)
            stack.push_async_callback(bed.kill_ironlane)
            await bed.start_ironlane()
            await enrol(bed.ironlane, rack)
            access = {"auth_type": "http_basic", "username": USERNAME, "password": PASSWORD, "url": bed.url}
            bed.neutron = await stack.enter_async_context(Neutron.running(made, folder, access))
            bed.cloud = await stack.enter_async_context(Cloud.connected(bed.neutron.url))
            yield bed

    async def start_ironlane(self) -> None:
        database = f"sqlite:///{self.folder}/ironlane.sqlite"
        arguments = ("--port", str(self._port), "--database", database, "--hostname", "one")
        stack = AsyncExitStack()
        log = self.folder / "ironlane.log"
        await stack.enter_async_context(serving(*arguments, env=SECRETS | self._env, log=log))
        self._ironlane = stack

        async def healthy() -> bool:
            with contextlib.suppress(Unreachable, Refused):
                return bool(await self.ironlane.get("/healthz"))
            return False

        await until(healthy, "Ironlane to start")

    async def kill_ironlane(self) -> None:
        """kill -9, if it runs."""
        if self._ironlane is not None:
            running, self._ironlane = self._ironlane, None
            await running.aclose()

    @property
    def servers(self) -> tuple[ServerDescription, ...]:
        return self.rack.description.servers

    def profile(self, nics: tuple[NicDescription, ...], mode: str = "") -> dict[str, Any]:
        """The `binding:profile` that Ironic makes for these NICs."""
        macs = {switch.name: switch.mac for switch in self.rack.description.switches}
        links = [{"switch_id": macs[nic.switch], "port_id": nic.port, "switch_info": nic.switch} for nic in nics]
        group = {"local_group_information": {"id": nics[0].mac, "name": "bond0", "bond_mode": mode}} if mode else {}
        return {"local_link_information": links, **group}

    def carried(self, nics: tuple[NicDescription, ...]) -> list[set[int]]:
        """The VLANs that the switches really let through where NICs are cabled."""
        ports = [self.rack.switches[nic.switch].forwarding[nic.port] for nic in nics]
        return [set(port.vlans) if port.enabled else set() for port in ports]

    def lags(self, nics: tuple[NicDescription, ...]) -> list[bool]:
        """Whether the switch ports are in a LAG."""
        return [self.rack.switches[nic.switch].forwarding[nic.port].lag is not None for nic in nics]

    async def bindings(self) -> dict[str, dict[str, Any]]:
        """What Ironlane has on record for Neutron."""
        return {one["id"]: one for one in (await self.ironlane.get("/fabric/v1/bindings"))["bindings"]}
