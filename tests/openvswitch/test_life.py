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
from .probe import Arrival, Probe
from .site import CLEANING, PATIENCE, PROVISIONING, WAITING, Machine, Site, site

openvswitch = pytest.mark.openvswitch

LIFE = (CLEANING, PROVISIONING, "tenant", CLEANING)
ENOUGH = 10
"""Frames with the witness in each stay: what had been open for a tenth of a second would have been seen, too."""


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
    judge(probe, everybody, LIFE)


@openvswitch
async def test_a_client_that_does_not_wait_is_held_back(running: Site) -> None:
    """The Networking API alone: nothing but the admission of attachments keeps a server from being on two networks."""
    everybody = list(running.machines.values())
    moving = everybody[:2]
    async with running.bed.probe(interval=0.01) as probe:

        async def move(on: Site, machine: Machine) -> None:
            await move_without_waiting(on, machine, probe)

        await each(moving, running, move)
    judge(probe, everybody, (PROVISIONING, "tenant", PROVISIONING, "tenant", PROVISIONING), moving)


def judge(
    probe: Probe, machines: Sequence[Machine], life: Sequence[str], moving: Sequence[Machine] | None = None
) -> None:
    """Nothing wrong was seen; and enough was seen that anything wrong would have been.

    `life` is that of the `moving` machines (default: of all); the others are nowhere.
    """
    tenants = {machine.name: machine.tenant for machine in machines}
    lives: dict[str, list[str]] = {name: [] for name in tenants}
    for machine in machines if moving is None else moving:
        lives[machine.name] = [machine.tenant if step == "tenant" else step for step in life]
    found = violations(probe.arrivals, tenants, lives)
    assert not found, f"{len(found)} violations, first: {found[:10]}"
    for name in tenants:
        assert all(stay.frames >= ENOUGH for stay in stays(probe.arrivals, name)), stays(probe.arrivals, name)
    print(
        f"{probe.sent} probes, {len(probe.arrivals)} arrivals, {len(found)} violations;"
        f" shortest move {narrowest(probe.arrivals, tenants) * 1000:.0f} ms"
    )


# --- the judge itself, without switches ---


def frame(sender: str, receiver: str, at: float, *, sender_nic: str = "eth0", receiver_nic: str = "eth0") -> Arrival:
    return Arrival(sender, sender_nic, receiver, receiver_nic, 0, 0, at, at)


SOUND = [
    *(frame("red-1", CLEANING, 1 + step / 100) for step in range(20)),
    *(frame(PROVISIONING, "red-1", 2 + step / 100) for step in range(20)),
    *(frame("red-1", "red", 3 + step / 100, sender_nic="eth1") for step in range(20)),
    *(frame("red-2", "red", 3 + step / 100) for step in range(20)),
    *(frame("red-2", "red-1", 3 + step / 100, receiver_nic="eth1") for step in range(20)),
]
"""One server on three networks in turn, and another of its tenant."""


def judged(*extra: Arrival) -> list[str]:
    tenants = {"red-1": "red", "red-2": "red", "blue-1": "blue"}
    return violations([*SOUND, *extra], tenants, {"red-1": (CLEANING, PROVISIONING, "red"), "red-2": ("red",)})


def test_a_sound_record_has_no_violations() -> None:
    assert judged() == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (frame("red-1", PROVISIONING, 3.05), "red-1 was on "),
        (frame("red-1", PROVISIONING, 2.99), "red-1 went from provisioning to red within 10.0 ms"),
        (frame("blue", "red-1", 2.5), "red-1 was on "),
        (frame("red-1", PROVISIONING, 2.1, sender_nic="eth1"), "not the primary NIC of red-1"),
        (frame("red-1", "red-2", 2.1), "which were on ['provisioning'] and []"),
        (frame("red-1", "blue-1", 3.1), "which were on ['red'] and []"),
        (frame("red-2", "red-1", 4.0), "which were on [] and []"),
        (frame(CLEANING, PROVISIONING, 1.1), "which were on ['cleaning'] and ['provisioning']"),
    ],
)
def test_a_single_wrong_frame_is_a_violation(wrong: Arrival, message: str) -> None:
    assert any(message in text for text in judged(wrong))


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
    assert await machine.server.ping(on.addresses[machine.tenant], tries=8)


async def run_ramdisk(on: Site, machine: Machine, network: str) -> None:
    """The server has booted on a provider network: it reaches the conductor there, by its primary NIC alone."""
    await on.until(machine, WAITING[network], powered=True)
    port = await on.port(network, machine)
    assert port["status"] == "ACTIVE"
    assert len(port["binding:profile"]["local_link_information"]) == 1
    address = f"{port['fixed_ips'][0]['ip_address']}/16"
    await machine.server.use_single_nic(address, "eth1")
    assert await machine.reached(on.addresses, ()) == set(), "the second NIC is on a network"
    await machine.server.use_single_nic(address)
    assert await machine.reached(on.addresses, {network}) == {network}
    await on.report(machine)


async def survive_a_cut_of_either_nic(on: Site, machine: Machine) -> None:
    expected = of_tenant(on, machine)
    assert await machine.reached(on.addresses, expected) == expected
    for nic in machine.server.nics:
        await machine.server.cut(nic)
        assert await machine.server.ping(on.addresses[machine.tenant], tries=8), f"not reachable without {nic}"
        await machine.server.mend(nic)
        assert await machine.server.wait_for_lacp()


async def see_nobody_but_the_witness(on: Site, machine: Machine) -> None:
    assert await machine.reached(on.addresses, {machine.tenant}) == {machine.tenant}


async def delete(on: Site, machine: Machine) -> None:
    await on.ask(machine, "deleted")
    await run_ramdisk(on, machine, CLEANING)
    await on.until(machine, "available")
    await on.forget_vif(machine)


async def move_without_waiting(on: Site, machine: Machine, probe: Probe) -> None:
    """To the tenant's network and back, twice: first as Ironic does it, then as badly as a client can."""
    nics = machine.server.links
    tenant_port, provision_port = await on.new_port(machine.tenant, machine), await on.new_port(PROVISIONING, machine)
    await on.bind(provision_port, machine, nics[:1])
    await on.until_active(provision_port)
    await seen_on(probe, machine, PROVISIONING)
    # Leave and join, one request right after the other.
    await on.unbind(provision_port)
    await on.bind(tenant_port, machine, nics)
    await on.until_active(tenant_port)
    await seen_on(probe, machine, machine.tenant)
    await on.unbind(tenant_port)
    await on.bind(provision_port, machine, nics[:1])
    await on.until_active(provision_port)
    # Join before leaving, by a switch port that is free.
    await on.bind(tenant_port, machine, nics[1:])
    await seen_on(probe, machine, PROVISIONING)
    await on.unbind(provision_port)
    await on.until_active(tenant_port)
    await on.bind(provision_port, machine, nics[:1])
    await seen_on(probe, machine, machine.tenant)
    await on.unbind(tenant_port)
    await on.until_active(provision_port)
    await seen_on(probe, machine, PROVISIONING)


async def seen_on(probe: Probe, machine: Machine, network: str) -> None:
    """Until the probe has seen the server on a network often enough, from now on."""
    since = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while len(probe.reached(machine.name, network, since=since)) < ENOUGH:  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0.02)


def of_tenant(on: Site, machine: Machine) -> set[str]:
    """Who is on the tenant's network besides the server: the witness, and the other servers."""
    others = {other.name for other in on.machines.values() if other.tenant == machine.tenant and other.address}
    return {machine.tenant} | others - {machine.name}
