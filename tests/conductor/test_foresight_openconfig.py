"""What would be sent to NETCONF and gNMI switches of the lab, told before: byte for byte what is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncssh
import pytest

from ironlane.api.fabric.app import create
from ironlane.lab.gnmi import GnmiServer
from ironlane.lab.netconf import NetconfServer
from ironlane.store.database import Store
from ironlane.switches.base import Access, SwitchDriver
from ironlane.switches.gnmi import GnmiDriver
from ironlane.switches.openconfig import OpenConfigDriver
from tests.api.asgi import Client
from tests.conductor.site import MACS, PORTS, Site
from tests.conductor.test_fabric import settled
from tests.conductor.test_foresight import asked, held_by, sent, texts, to_tenant


class LabSite(Site):
    """The same site, on switches of the lab that speak a protocol."""

    def __init__(self, store: Store, servers: dict[str, NetconfServer] | dict[str, GnmiServer]) -> None:
        super().__init__(store)
        self.servers = servers

    def _driver(self, access: Access) -> SwitchDriver:  # type: ignore[override]
        server = self.servers[access.switch]
        login = ("127.0.0.1", server.port, "admin", "admin")
        if isinstance(server, GnmiServer):
            return GnmiDriver(Access(access.switch, *login, {"tls": False}))
        return OpenConfigDriver(Access(access.switch, *login, {"host_key": server.host_key}))


@pytest.fixture(params=["netconf", "gnmi"])
async def site(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[LabSite]:
    key = asyncssh.generate_private_key("ssh-ed25519")
    servers: dict[str, Any] = {
        name: NetconfServer(PORTS, lambda _config: None, host_key=key)
        if request.param == "netconf"
        else GnmiServer(PORTS, lambda _config: None)
        for name in MACS
    }
    for server in servers.values():
        await server.start()
    made = LabSite(store, servers)
    await made.furnish()
    async with made.conductor():
        await settled(made)
        yield made
    for server in servers.values():
        await server.stop()


async def test_a_servers_life_is_foreseen_byte_for_byte(site: LabSite) -> None:
    api = Client(create(site.store), "/fabric")
    other = await site.tenant_port("blue")
    await held_by(site, other, "host-5", 5)  # takes the first LAG id
    node, _ = await to_tenant(site)
    await settled(site)

    async def foreseen(target: str, switches: list[list[str]]) -> dict[str, list[tuple[str, ...]]]:
        told = await asked(api, {"node": node.id, "target": target})
        assert [[its["switch"] for its in generation] for generation in told] == switches
        assert all(its["exact"] for generation in told for its in generation)
        assert "<edit-config" in str(told) or "json_ietf_val" in str(told)
        return texts(told)

    told, since = await foreseen("cleaning", [["leaf-1", "leaf-2"], ["leaf-1"]]), site.store.now()
    await site.ask(node, "deleted")
    await site.until_state(node, "clean wait", "booted")
    assert await sent(site, since) == told

    told, since = await foreseen("idle", [["leaf-1"]]), site.store.now()
    await site.report(node)
    await site.until_state(node, "available")
    assert await sent(site, since) == told

    port = await site.tenant_port("green")
    await site.attach(node, port)
    told, since = await foreseen("provisioning", [["leaf-1"]]), site.store.now()
    await site.ask(node, "active")
    await site.until_state(node, "wait call-back", "booted")
    assert await sent(site, since) == told

    told, since = await foreseen("tenant", [["leaf-1"], ["leaf-1", "leaf-2"]]), site.store.now()
    await site.report(node)
    await site.until_state(node, "active")
    assert await sent(site, since) == told


async def test_a_restore_is_foreseen_byte_for_byte(site: LabSite) -> None:
    api = Client(create(site.store), "/fabric")
    red, blue = [await site.tenant_port(name) for name in ("red", "blue")]
    await held_by(site, red, "host-1", 1)
    await held_by(site, blue, "host-2", 2)
    then = site.store.now()
    await held_by(site, red, "host-1", 3)
    await settled(site)
    body: dict[str, Any] = {"at": then.isoformat()}
    plan = (await api.post("/v1/restore", body)).json()
    assert [action["action"] for action in plan["actions"]] == ["rebind"]
    since = site.store.now()
    assert (await api.post("/v1/restore", {**body, "dry_run": False})).status == 200
    await settled(site)
    assert await sent(site, since) == texts(plan["generations"])
