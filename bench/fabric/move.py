"""The fleet move: every server from provisioning to its tenant, as Ironic asks for it, through the API.

For each server `DELETE` of its provisioning port and `PUT` of its tenant port's binding, back to back, many clients at
once; the time runs from the first request until every tenant port is ACTIVE, which means read back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.fabric.ideal import ideal
from bench.fabric.rack import Rack
from bench.fabric.service import FABRIC, NETWORKING, Placed, Service, all_active, enrol, place, service
from bench.fabric.shape import switch_name
from ironlane.cli.client import Client

CLIENTS = 32


@dataclass(frozen=True)
class Moved:
    """Seconds and counts of one move; `cpu` is the service's processor time within it."""

    kind: str
    switches: int
    ports: int
    delay: float
    servers: int
    seconds: float
    asked: float
    """Until the last request was answered."""
    ideal: float
    cpu: float
    commits_most: int
    """Commits of the busiest switch."""
    lines: int
    """Lines or edits that the switches carried out."""

    @property
    def switch_ports(self) -> int:
        """Switch ports that joined a tenant network."""
        return self.servers * (1 if self.switches == 1 else 2)

    @property
    def rate(self) -> float:
        return self.switch_ports / self.seconds

    @property
    def ratio(self) -> float:
        return self.seconds / self.ideal

    def record(self) -> dict[str, Any]:
        return asdict(self)


async def request_moves(client: Client, fleet: Sequence[Placed], clients: int = CLIENTS) -> None:
    """Ask for the move of all servers, without waiting for any."""
    left: Iterator[Placed] = iter(fleet)

    async def worker() -> None:
        for placed in left:
            await client.request("DELETE", f"{NETWORKING}/ports/{placed.provisioning}")
            binding = {
                "binding:vnic_type": "baremetal",
                "binding:host_id": placed.server.host,
                "binding:profile": placed.server.profile(placed.server.nics),
            }
            await client.request("PUT", f"{NETWORKING}/ports/{placed.tenant}", {"port": binding})

    await asyncio.gather(*(worker() for _ in range(clients)))


async def measure(rack: Rack, running: Service) -> Moved:
    """One move of a whole shape in a fresh service, and then the ideal on the same switches."""
    client, shape = running.client, rack.shape
    await enrol(client, rack)
    fleet = await place(client, shape)
    await rack.ask("snapshot")
    commits_before, lines_before = await rack.ask("commits"), sum(await rack.ask("lines"))
    plans_before = [len(await _rendered(client, index)) for index in range(shape.switches)]
    cpu, begun = running.cpu(), time.perf_counter()
    await request_moves(client, fleet)
    asked = time.perf_counter() - begun
    await all_active(client)
    seconds, cpu = time.perf_counter() - begun, running.cpu() - cpu
    commits = [now - was for now, was in zip(await rack.ask("commits"), commits_before, strict=True)]
    lines = sum(await rack.ask("lines")) - lines_before
    sent = [(await _rendered(client, index))[plans_before[index] :] for index in range(shape.switches)]
    await rack.ask("restore")
    bare = await ideal(rack, sent)
    return Moved(
        shape.kind,
        shape.switches,
        shape.ports,
        shape.delay,
        len(fleet),
        seconds,
        asked,
        bare,
        cpu,
        max(commits),
        lines,
    )


async def measure_alone(rack: Rack) -> Moved:
    """The same, with the service started for it."""
    async with service() as running:
        return await measure(rack, running)


async def _rendered(client: Client, index: int) -> list[list[str]]:
    """The lines of all plans of a switch, the oldest plan first."""
    found = await client.get(f"{FABRIC}/plans", {"switch": switch_name(index), "limit": "1000"})
    return [plan["rendered"] for plan in reversed(found["plans"])]
