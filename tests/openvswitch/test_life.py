"""The acceptance test: servers go through their life on real Open vSwitch, asked for over HTTP, with real packets.

While they move, a probe on every NIC of everybody shows who reaches whom at any moment; see `judge` for what the
record has to prove. The servers are no help: nothing in them stops sending while the switch ports are moved.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from .bed import why_not
from .judge import narrowest, stays, violations
from .probe import Probe
from .site import CLEANING, PROVISIONING, WAITING, Machine, Site, site

openvswitch = pytest.mark.openvswitch

LIFE = (CLEANING, PROVISIONING, "tenant", CLEANING)


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncIterator[Site]:
    if reason := why_not():
        pytest.skip(reason)
    async with site(tmp_path) as made:
        yield made


@openvswitch
async def test_servers_are_cleaned_deployed_and_deleted_and_never_where_they_do_not_belong(running: Site) -> None:
    everybody = list(running.machines.values())
    first, second = everybody[:2], everybody[2:]
    before = await running.witness_ports()
    async with running.bed.probe(interval=0.01) as probe:
        await each(everybody, running, manage)
        await each(everybody, running, provide)
        await each(first, running, deploy)
        await each(second, running, deploy)
        await each(everybody, running, survive_a_cut_of_either_nic)
        await each(second, running, delete)
        await each(first, running, see_nobody_but_the_witness)
        await each(first, running, delete)
    assert await running.witness_ports() == before, "switch ports that Ironlane does not own were written"
    judge(probe, everybody)


def judge(probe: Probe, machines: Sequence[Machine]) -> None:
    """Nothing wrong was seen; and enough was seen that anything wrong would have been."""
    tenants = {machine.name: machine.tenant for machine in machines}
    lives = {name: [tenant if step == "tenant" else step for step in LIFE] for name, tenant in tenants.items()}
    found = violations(probe.arrivals, tenants, lives)
    assert not found, f"{len(found)} violations, first: {found[:10]}"
    for name in tenants:
        assert all(stay.frames >= 10 for stay in stays(probe.arrivals, name)), stays(probe.arrivals, name)
    print(
        f"{probe.sent} probes, {len(probe.arrivals)} arrivals, {len(found)} violations;"
        f" shortest move {narrowest(probe.arrivals, tenants) * 1000:.0f} ms"
    )


# --- the steps of a server's life; each is taken by several servers at once ---


async def each(
    machines: Iterable[Machine], on: Site, step: Callable[[Site, Machine], Coroutine[Any, Any, None]]
) -> None:
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for machine in machines:
            group.create_task(step(on, machine))
    print(f"{step.__name__}: {time.monotonic() - began:.1f} s")


async def manage(on: Site, machine: Machine) -> None:
    await on.ask(machine, "manage")
    await on.until(machine, "manageable")


async def provide(on: Site, machine: Machine) -> None:
    await on.ask(machine, "provide")
    await run_ramdisk(on, machine, CLEANING)
    await on.until(machine, "available")


async def deploy(on: Site, machine: Machine) -> None:
    await on.attach(machine)
    await on.ask(machine, "active")
    await run_ramdisk(on, machine, PROVISIONING)
    await on.until(machine, "active")
    port = await on.port(machine.tenant, machine)
    assert (port["id"], port["status"]) == (machine.vif, "ACTIVE")
    assert len(port["binding:profile"]["local_link_information"]) == 2
    await machine.server.use_bond(f"{machine.address}/16")
    assert await machine.server.wait_for_lacp(), "the bond over both leaves is not negotiated"
    assert await machine.server.ping(on.addresses[machine.tenant])


async def run_ramdisk(on: Site, machine: Machine, network: str) -> None:
    """The server has booted on a provider network: it reaches the conductor there, by its primary NIC alone."""
    await on.until(machine, WAITING[network], powered=True)
    port = await on.port(network, machine)
    assert port["status"] == "ACTIVE"
    assert len(port["binding:profile"]["local_link_information"]) == 1
    address = f"{port['fixed_ips'][0]['ip_address']}/16"
    await machine.server.use_single_nic(address, "eth1")
    assert await machine.reaches(on.addresses) == set(), "the second NIC is on a network"
    await machine.server.use_single_nic(address)
    assert await machine.server.ping(on.addresses[network])
    assert await machine.reaches(on.addresses) == {network}
    await on.report(machine)


async def survive_a_cut_of_either_nic(on: Site, machine: Machine) -> None:
    assert await machine.reaches(on.addresses) == of_tenant(on, machine)
    for nic in machine.server.nics:
        await machine.server.cut(nic)
        assert await machine.server.ping(on.addresses[machine.tenant], tries=8), f"not reachable without {nic}"
        await machine.server.mend(nic)
        assert await machine.server.wait_for_lacp()


async def see_nobody_but_the_witness(on: Site, machine: Machine) -> None:
    assert await machine.reaches(on.addresses) == {machine.tenant}


async def delete(on: Site, machine: Machine) -> None:
    await on.ask(machine, "deleted")
    await run_ramdisk(on, machine, CLEANING)
    await on.until(machine, "available")
    await on.forget_vif(machine)


def of_tenant(on: Site, machine: Machine) -> set[str]:
    """Who is on the tenant's network besides the server: the witness, and the other servers."""
    others = {other.name for other in on.machines.values() if other.tenant == machine.tenant and other.address}
    return {machine.tenant} | others - {machine.name}
