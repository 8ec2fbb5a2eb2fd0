"""Fixtures: a LAN in a namespace, and the Networking API with a DHCP engine behind it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ironlane.boot.dhcp import DhcpEngine
from ironlane.boot.dnsmasq import DnsmasqEngine
from ironlane.boot.dnsmasq_files import DnsmasqSettings
from ironlane.boot.kea import KeaEngine
from ironlane.boot.kea_config import KeaSettings
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
    engine: DhcpEngine
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


@pytest.fixture(scope="session")
def kea_template(postgresql: str) -> str:
    """The name of a database with Kea's schema, to be copied."""
    script = Path("/usr/share/kea/scripts/pgsql/dhcpdb_create.pgsql")
    if shutil.which("kea-dhcp4", path="/usr/sbin") is None or not script.exists():
        pytest.skip("Kea is not installed (packages kea-dhcp4-server and kea-admin)")
    folder = postgresql.rsplit("=", 1)[1]
    psql = ("psql", "-h", folder, "-U", "ironlane", "-q", "-v", "ON_ERROR_STOP=1")
    subprocess.run([*psql, "-d", "postgres", "-c", "CREATE DATABASE kea_template"], check=True)
    subprocess.run([*psql, "-d", "kea_template", "-f", script], check=True, stdout=subprocess.DEVNULL)
    return "kea_template"


@pytest.fixture
def kea_database(postgresql: str, kea_template: str) -> str:
    """URL of an empty database of Kea's."""
    folder, name = postgresql.rsplit("=", 1)[1], "kea_" + os.urandom(6).hex()
    create = f"CREATE DATABASE {name} TEMPLATE {kea_template}"
    subprocess.run(["psql", "-h", folder, "-U", "ironlane", "-q", "-d", "postgres", "-c", create], check=True)
    return f"postgresql://ironlane@/{name}?host={folder}"


@pytest.fixture(params=["dnsmasq", pytest.param("kea", marks=pytest.mark.postgresql)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> DhcpEngine:
    """Each of the engines."""
    more: dict[str, Any] = {"lease_seconds": 600, "domain": "lab.example", "timeout": 30.0}
    if request.param == "kea":
        return KeaEngine(KeaSettings(("v0",), tmp_path / "kea", request.getfixturevalue("kea_database"), **more))
    return DnsmasqEngine(DnsmasqSettings(("v0",), tmp_path / "dhcp", **more))


@pytest_asyncio.fixture
async def dhcp(lan: Lan, store: Store, engine: DhcpEngine) -> AsyncIterator[Dhcp]:
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
    loop = DhcpLoop(store, engine, interval=0.2)
    await loop.start()
    made = Dhcp(api, loop, engine, network["id"], subnet["id"])
    await made.port(SENTINEL)
    yield made
    await loop.stop()
