"""Fixtures: a LAN in a namespace, and the Networking API with a DHCP engine behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ironlane.boot.dnsmasq import DnsmasqEngine
from ironlane.boot.dnsmasq_files import DnsmasqSettings
from ironlane.conductor.dhcp import DhcpLoop
from ironlane.store.database import Store
from tests.api.networking import site
from tests.api.networking.conftest import Networking, application
from tests.boot.lan import Lan, namespace, why_not

SENTINEL = "02:00:00:00:00:fe"
"""A server that is always answered on the provisioning network: who asked before it and got nothing, gets nothing."""


@dataclass
class Dhcp:
    """The API, a provisioning network with a subnet 10.0.0.0/24, and the loop that has it served."""

    api: Networking
    loop: DhcpLoop
    engine: DnsmasqEngine
    network: str
    subnet: str

    async def port(self, mac: str, *options: tuple[str, str], network: str = "", **more: Any) -> dict[str, Any]:
        given = [{"opt_name": name, "opt_value": value} for name, value in options]
        where = network or self.network
        return await self.api.made("ports", network_id=where, mac_address=mac, extra_dhcp_opts=given, **more)

    async def gone(self, port: dict[str, Any]) -> None:
        assert (await self.api.delete(f"/v2.0/ports/{port['id']}")).status == 204


@pytest.fixture
def lan() -> Iterator[Lan]:
    if reason := why_not("dnsmasq"):
        pytest.skip(f"{reason} (package dnsmasq-base)")
    with namespace():
        made = Lan("10.0.0.1/24", "fd00:99::1/64")
        yield made
        made.close()


@pytest_asyncio.fixture
async def dhcp(lan: Lan, store: Store, tmp_path: Path) -> AsyncIterator[Dhcp]:
    await store.write(site.seed)
    api = Networking(application(store))
    segment = {"provider:physical_network": "physnet1", "provider:segmentation_id": 3000}
    network = await api.made("networks", **segment)
    subnet = await api.made(
        "subnets",
        network_id=network["id"],
        cidr="10.0.0.0/24",
        ip_version=4,
        gateway_ip="10.0.0.254",
        dns_nameservers=["10.0.0.53", "10.0.0.54"],
        host_routes=[{"destination": "10.7.0.0/16", "nexthop": "10.0.0.7"}],
        allocation_pools=[{"start": "10.0.0.100", "end": "10.0.0.199"}],
    )
    settings = DnsmasqSettings(("v0",), tmp_path / "dhcp", lease_seconds=600, domain="lab.example", timeout=30.0)
    engine = DnsmasqEngine(settings)
    loop = DhcpLoop(store, engine, interval=0.2)
    await loop.start()
    made = Dhcp(api, loop, engine, network["id"], subnet["id"])
    await made.port(SENTINEL)
    yield made
    await loop.stop()
