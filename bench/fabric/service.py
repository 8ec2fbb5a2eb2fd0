"""An `ironlane serve` process on a fresh SQLite file, and the switches, networks and servers of a shape in it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fabric.rack import Rack
from bench.fabric.shape import (
    PASSWORD,
    PHYSICAL_NETWORK,
    PROVISIONING_VLAN,
    TENANT_VLANS,
    Server,
    Shape,
    port_name,
    servers,
    switch_mac,
    switch_name,
)
from ironlane.cli.client import Client

NETWORKING, FABRIC = "/networking/v2.0", "/fabric/v1"
TENANTS = 20
PATIENCE = 600.0
_BULK = 500


@dataclass
class Service:
    """`pid` is the process to profile; `cpu()` the seconds of processor time that it has used."""

    client: Client
    pid: int
    log: Path

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    """Run the service on a free port; it ends with the block, its log and database are kept in a temporary place."""
    with tempfile.TemporaryDirectory(prefix="ironlane-bench-") as place:
        log = Path(place, "serve.log")
        arguments = ("--database", f"sqlite:///{place}/ironlane.sqlite", "--port", "0", "--log-level", "warning")
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ironlane",
                "serve",
                *arguments,
                env={**os.environ, "IRONLANE_SECRET_BENCH": PASSWORD},
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            if not line:
                raise RuntimeError(f"ironlane serve did not start: {log.read_text()[-2000:]}")
            async with Client(line.split()[1].decode().removesuffix("/networking")) as client:
                yield Service(client, process.pid, log)
        finally:
            process.kill()
            await process.wait()


async def enrol(client: Client, rack: Rack) -> None:
    """Switches and networks; then until every switch was read and is as it should be."""
    shape = rack.shape
    await client.request(
        "PUT", f"{FABRIC}/physical-networks/{PHYSICAL_NETWORK}", {"tenant_vlans": [list(TENANT_VLANS)]}
    )
    options: dict[str, Any] = {"host_key": rack.host_key}
    if shape.kind == "cli":
        options |= {"platform": "arista-eos"}
    names = [port_name(index) for index in range(shape.ports)]
    for index, port in enumerate(rack.ports):
        body = {
            "kind": "cli" if shape.kind == "cli" else "openconfig",
            "address": "127.0.0.1",
            "port": port,
            "username": "admin",
            "secret": "bench",
            "mac": switch_mac(index),
            "physical_network": PHYSICAL_NETWORK,
            "options": options,
            "ports": names,
        }
        await client.request("PUT", f"{FABRIC}/switches/{switch_name(index)}", body)
    await converged(client)


async def converged(client: Client) -> None:
    async def all_converged() -> bool:
        return all(switch["converged"] for switch in (await client.get(f"{FABRIC}/switches"))["switches"])

    await until(all_converged, "the switches are as they should be", every=0.2)


async def until(done: Callable[[], Awaitable[bool]], what: str, *, every: float = 0.05) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it has not happened within `PATIENCE` seconds.
    """
    end = time.monotonic() + PATIENCE
    while not await done():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE:.0f} s: {what}")
        await asyncio.sleep(every)


@dataclass
class Placed:
    """A server that is being provisioned: its port on the provisioning network, and the tenant port that waits."""

    server: Server
    provisioning: str
    tenant: str


async def place(client: Client, shape: Shape, limit: int | None = None) -> list[Placed]:
    """Put every server (or the first `limit`) on the provisioning network by its first NIC, and make its tenant
    port."""
    provisioning = await _network(client, "provisioning", PROVISIONING_VLAN)
    tenants = [await _network(client, f"tenant-{number}") for number in range(TENANTS)]
    all_servers = list(servers(shape))[:limit]
    booting = [
        {
            "network_id": provisioning,
            "binding:vnic_type": "baremetal",
            "binding:host_id": server.host,
            "binding:profile": server.profile(server.nics[:1]),
        }
        for server in all_servers
    ]
    waiting = [
        {"network_id": tenants[server.index % TENANTS], "binding:vnic_type": "baremetal"} for server in all_servers
    ]
    pairs = zip(all_servers, await _create(client, booting), await _create(client, waiting), strict=True)
    placed = [Placed(server, own, tenant) for server, own, tenant in pairs]
    await all_active(client, provisioning)
    await converged(client)
    return placed


async def all_active(client: Client, *networks: str) -> None:
    """Until no port that is bound (on these networks, if any are named) is DOWN."""
    query = {"status": "DOWN", "limit": "1", "fields": "id", "binding:vif_type": "other"}

    async def none_down() -> bool:
        for network in networks or (None,):
            named = {} if network is None else {"network_id": network}
            if (await client.get(f"{NETWORKING}/ports", {**query, **named}))["ports"]:
                return False
        return True

    await until(none_down, "all bound ports are ACTIVE")


async def _network(client: Client, name: str, vlan: int | None = None) -> str:
    network: dict[str, Any] = {"name": name}
    if vlan is not None:
        network |= {
            "provider:network_type": "vlan",
            "provider:physical_network": PHYSICAL_NETWORK,
            "provider:segmentation_id": vlan,
        }
    answer = await client.request("POST", f"{NETWORKING}/networks", {"network": network})
    return str(answer["network"]["id"])


async def _create(client: Client, ports: Sequence[dict[str, Any]]) -> list[str]:
    found = []
    for start in range(0, len(ports), _BULK):
        answer = await client.request("POST", f"{NETWORKING}/ports", {"ports": ports[start : start + _BULK]})
        found += [port["id"] for port in answer["ports"]]
    return found
