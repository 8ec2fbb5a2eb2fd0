"""The lab's switches in processes of their own, and their enrolment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.fabric.rack import rack
from bench.fabric.service import FABRIC
from bench.fabric.shape import IDLE_VLAN, PHYSICAL_NETWORK, Shape, port_name, switch_mac, switch_name
from ironlane.cli.client import Client

PROCESSES = 2
_AT_ONCE = 8


@dataclass(frozen=True)
class Address:
    """Where a virtual switch listens, and its host key."""

    port: int
    host_key: str


@dataclass(frozen=True)
class Fleet:
    """Virtual switches that wait to be enrolled. `ports` is per switch."""

    kind: str
    ports: int
    switches: tuple[Address, ...]


@asynccontextmanager
async def fleet(kind: str, switches: int, ports: int, *, filled: bool = False) -> AsyncIterator[Fleet]:
    """Start virtual switches of a kind ("netconf" or "cli"); they end with the block.

    Every port is to be on an idle VLAN, so that a switch has something to tell about each. If they are `filled`, the
    switches have that already, and their enrolment needs no commit.
    """
    async with AsyncExitStack() as stack:
        addresses: list[Address] = []
        for number in range(PROCESSES):
            share = (switches + number) // PROCESSES
            running = await stack.enter_async_context(rack(Shape(kind, share, ports)))
            if filled:
                await running.ask("fill")
            addresses += [Address(port, running.host_key) for port in running.ports]
        yield Fleet(kind, ports, tuple(addresses))


async def enrol(client: Client, fleet: Fleet, first: int, last: int) -> None:
    """Put switches `first` to `last` (without it) on record, a few at a time."""
    path = f"{FABRIC}/physical-networks/{PHYSICAL_NETWORK}"
    await client.request("PUT", path, {"tenant_vlans": [[1000, 1999]]})
    slots = asyncio.Semaphore(_AT_ONCE)
    names = [port_name(index) for index in range(fleet.ports)]

    async def put(index: int) -> None:
        async with slots:
            await client.request("PUT", f"{FABRIC}/switches/{switch_name(index)}", _body(fleet, index, names))

    await asyncio.gather(*(put(index) for index in range(first, last)))


def _body(fleet: Fleet, index: int, names: list[str]) -> dict[str, Any]:
    address = fleet.switches[index]
    options: dict[str, Any] = {"host_key": address.host_key}
    if fleet.kind == "cli":
        options["platform"] = "arista-eos"
    return {
        "kind": "cli" if fleet.kind == "cli" else "openconfig",
        "address": "127.0.0.1",
        "port": address.port,
        "username": "admin",
        "secret": "bench",
        "mac": switch_mac(index),
        "physical_network": PHYSICAL_NETWORK,
        "idle_vlan": IDLE_VLAN,
        "options": options,
        "ports": names,
    }
