"""One port, one client, an idle system: from the bind's request until the port is ACTIVE, read back."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from bench.fabric.ideal import READ, connect
from bench.fabric.rack import Rack
from bench.fabric.service import FABRIC, NETWORKING, TENANTS, converged, enrol, service, until
from bench.fabric.shape import servers, switch_name
from ironlane.cli.client import Client


@dataclass(frozen=True)
class Single:
    """Medians in seconds: the service's, and what the switch itself takes for the same lines and one read."""

    delay: float
    seconds: float
    switch: float

    @property
    def ratio(self) -> float:
        return self.seconds / self.switch


async def measure(rack: Rack, times: int = 15) -> Single:
    """Bind and unbind one port of the rack's first server, `times` over."""
    async with service() as running:
        client = running.client
        await enrol(client, rack)
        network = await client.request("POST", f"{NETWORKING}/networks", {"network": {"name": f"tenant-{TENANTS}"}})
        port = {"network_id": network["network"]["id"], "binding:vnic_type": "baremetal"}
        made = await client.request("POST", f"{NETWORKING}/ports", {"port": port})
        path = f"{NETWORKING}/ports/{made['port']['id']}"
        server = next(servers(rack.shape))
        binding = {"binding:host_id": server.host, "binding:profile": server.profile(server.nics[:1])}
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            await client.request("PUT", path, {"port": binding})
            await _until_status(client, path, "ACTIVE")
            taken.append(time.perf_counter() - begun)
            plans = await client.get(f"{FABRIC}/plans", {"switch": switch_name(0), "limit": "1"})
            lines = plans["plans"][0]["rendered"]
            await client.request("PUT", path, {"port": {"binding:host_id": "", "binding:profile": {}}})
            await converged(client)
        wire = await connect(rack, 0)
        bare = []
        for _ in range(times):
            begun = time.perf_counter()
            await wire.commit(lines)
            await wire.ask(READ[rack.shape.kind])
            bare.append(time.perf_counter() - begun)
    return Single(rack.shape.delay, statistics.median(taken), statistics.median(bare))


async def _until_status(client: Client, path: str, status: str) -> None:
    async def reached() -> bool:
        return bool((await client.get(path, {"fields": "status"}))["port"]["status"] == status)

    await asyncio.sleep(0)
    await until(reached, f"{path} is {status}", every=0.005)
