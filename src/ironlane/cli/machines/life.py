"""A run: the rack is built, the service started, and the servers asked through their life, phase by phase."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import IPv6Interface
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ironlane.cli.apply.outcome import Action
from ironlane.cli.apply.run import apply
from ironlane.cli.client import Client
from ironlane.cli.demo.phases import NETWORKING, NODES, Phases
from ironlane.cli.demo.process import service
from ironlane.cli.machines.judge import Judge
from ironlane.cli.machines.site_text import FRONT_PORT, console_arguments, environment, site_text
from ironlane.cli.site import load
from ironlane.lab.machines.disk import bootable
from ironlane.lab.machines.front import Front
from ironlane.lab.machines.programs import kernels
from ironlane.lab.machines.qemu import accelerator, until_told
from ironlane.lab.machines.rack import HERE, HERE_V6, PASSWORD, SERVERS, MachineRack, Tenant
from ironlane.lab.machines.ramdisk import ramdisk
from ironlane.model.errors import Permanent

PATIENCE = 300.0
"""Seconds that a phase may take; the machines may be emulated, and this host busy."""
_IMAGES = f"http://{HERE.ip}:{FRONT_PORT}/images"
_IMAGE, _KERNEL, _RAMDISK = "os.img", "kernel", "ramdisk"
_SPARE = 8 << 20


async def run(folder: Path, servers: int) -> bool:
    """True if everything was as it has to be."""
    began = time.monotonic()
    accel = await accelerator()
    kernel, images = kernels()[0], folder / "images"
    boot = images / _RAMDISK
    images.mkdir()
    click.echo(f"{servers} QEMU machines ({accel.upper()}), {kernel.name}, two Open vSwitches, dnsmasq")
    rack = MachineRack(folder, SERVERS[:servers], accel)
    boot.write_bytes(await asyncio.to_thread(ramdisk, kernel))
    await asyncio.to_thread(shutil.copyfile, kernel, images / _KERNEL)
    await bootable(images / _IMAGE, kernel, boot, f"lab.role=os {console_arguments(rack)}")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(rack.stop)
        await rack.start((images / _IMAGE).stat().st_size + _SPARE)
        url = await stack.enter_async_context(service(folder, environment(rack, folder, kernel, boot)))
        front = Front(url, images)
        stack.push_async_callback(front.stop)
        await front.start(str(HERE.ip), FRONT_PORT)
        client = await stack.enter_async_context(Client(url))
        sound = await _Run(client, rack, folder, began).through()
    if sound:  # of a failure everything is kept
        shutil.rmtree(images)
        for machine in rack.machines.values():
            machine.disk.unlink()
    return sound


@dataclass(slots=True)
class _Run:
    client: Client
    rack: MachineRack
    folder: Path
    began: float
    times: list[tuple[str, float]] = field(default_factory=list)
    _shown: dict[str, tuple[int, int]] = field(default_factory=dict)
    _states: str = ""

    async def through(self) -> bool:
        """All phases, each with its time; then the verdict."""
        self.times.append(("build the rack, start the service", time.monotonic() - self.began))
        phases = Phases(self.client, list(self.rack.machines), self._progress, PATIENCE)
        judge = Judge(self.rack)
        showing = asyncio.create_task(self._show_consoles())
        try:
            await self._phase("enroll, manage", lambda: self._enrol(phases))
            await self._phase("inspect: PXE, LLDP", lambda: phases.provision("inspect", "manageable"))
            await self._phase("clean → available", lambda: phases.provision("provide", "available"))
            await self._phase("deploy → active", lambda: self._deploy(phases))
            await self._phase("boot from disk, tenant DHCP", lambda: self._tenants("booted from disk"))
            await self._phase("who reaches whom", judge.tenants)
            await self._phase("delete → clean → available", lambda: phases.provision("deleted", "available"))
            await self._phase("deploy a ramdisk → active", lambda: self._deploy_ramdisk(phases))
            await self._phase("boot by PXE on the tenants' networks", lambda: self._tenants("booted from the network"))
            await self._phase("who reaches whom", lambda: judge.tenants(installed=False))
            await self._phase("delete → available", lambda: phases.provision("deleted", "available"))
            await judge.lives()
        finally:
            showing.cancel()
            self._table()
        for complaint in judge.complaints:
            click.echo(f"wrong: {complaint}", err=True)
        click.echo(f"{judge.checked} things looked at, {len(judge.complaints)} wrong")
        return not judge.complaints

    async def _enrol(self, phases: Phases) -> None:
        site_file = self.folder / "site.yaml"
        site_file.write_text(site_text(self.rack), encoding="utf-8")
        site = load(site_file)
        async for outcome in apply(self.client, site, lambda _name: PASSWORD, dry_run=False, new_passwords=False):
            if outcome.action is Action.FAILED:
                raise Permanent(" ".join(outcome.lines()))
        (network,) = (await self.client.get(f"{NETWORKING}/networks", {"name": "provisioning"}))["networks"]
        await self._advertised(network["id"], HERE_V6)
        await phases.provision("manage", "manageable")

    async def _deploy(self, phases: Phases) -> None:
        for tenant in {plan.tenant.name: plan.tenant for plan in self.rack.plans}.values():
            network = await self._tenant_network(tenant)
            for plan in self.rack.plans:
                if plan.tenant is tenant:
                    await phases.attach(plan.name, network, tenant.name)
        image = self.folder / "images" / _IMAGE
        digest = await asyncio.to_thread(lambda: hashlib.sha256(image.read_bytes()).hexdigest())
        await phases.choose_image(
            {
                "image_source": f"{_IMAGES}/{_IMAGE}",
                "image_os_hash_algo": "sha256",
                "image_os_hash_value": digest,
                "image_disk_format": "raw",
            }
        )
        await phases.provision("active", "active")

    async def _deploy_ramdisk(self, phases: Phases) -> None:
        """The tenants' systems without a disk: they are booted on the tenants' networks, over the bonds there.

        From there a router leads to the conductor's boot files; here that is the conductor itself.
        """
        subnets = (await self.client.get(f"{NETWORKING}/subnets", {"ip_version": "4"}))["subnets"]
        for plan in self.rack.plans:
            (subnet,) = [found for found in subnets if found["name"] == plan.tenant.name]
            body = {"subnet": {"gateway_ip": str(plan.tenant.here.ip)}}
            await self.client.request("PUT", f"{NETWORKING}/subnets/{subnet['id']}", body)
            await phases.attach(plan.name, subnet["network_id"], plan.tenant.name)
            patch = [
                {"op": "add", "path": "/deploy_interface", "value": "ramdisk"},
                {"op": "add", "path": "/automated_clean", "value": False},
            ]
            await self.client.request("PATCH", f"{NODES}/{plan.name}", patch)
        await phases.choose_image(
            {
                "kernel": f"{_IMAGES}/{_KERNEL}",
                "ramdisk": f"{_IMAGES}/{_RAMDISK}",
                "ramdisk_kernel_arguments": f"lab.role=os {console_arguments(self.rack)}",
            }
        )
        await phases.provision("active", "active")

    async def _tenant_network(self, tenant: Tenant) -> str:
        body = {"network": {"name": tenant.name, "project_id": tenant.name}}
        network = (await self.client.request("POST", f"{NETWORKING}/networks", body))["network"]
        base = str(tenant.here.network.network_address).rsplit(".", 1)[0]
        pool = [{"start": f"{base}.100", "end": f"{base}.200"}]
        await self._subnet(
            network["id"],
            name=tenant.name,
            cidr=str(tenant.here.network),
            ip_version=4,
            project_id=tenant.name,
            allocation_pools=pool,
        )
        await self._advertised(network["id"], tenant.here_v6)
        await self.rack.join(tenant, network["provider:segmentation_id"])
        return str(network["id"])

    async def _advertised(self, network: str, here: str) -> None:
        """A subnet in which the conductor advertises itself as a router."""
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        await self._subnet(network, cidr=str(IPv6Interface(here).network), ip_version=6, **modes)

    async def _subnet(self, network: str, **fields: object) -> None:
        await self.client.request("POST", f"{NETWORKING}/subnets", {"subnet": {"network_id": network, **fields}})

    async def _tenants(self, booted: str) -> None:
        """Until the operating systems have an address, their bond, and have looked around and found their peer."""
        for plan in self.rack.plans:
            machine = self.rack.machines[plan.name]
            bond = ["LACP with "] if len(plan.links) > 1 else []
            for words in (booted, "address ", *bond, f"reaches {plan.tenant.peer.ip}", "looked around"):
                await until_told(machine, words, PATIENCE)

    async def _phase(self, title: str, work: Callable[[], Awaitable[None]]) -> None:
        click.echo(click.style(f"{self._clock()} {title}", bold=True))
        began = time.monotonic()
        await work()
        self.times.append((title, time.monotonic() - began))

    def _clock(self) -> str:
        return f"{time.monotonic() - self.began:6.1f} s"

    def _progress(self, states: Counter[str]) -> None:
        line = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        if line != self._states:
            click.echo(f"{self._clock()}   {line}")
        self._states = line

    async def _show_consoles(self) -> None:
        """What the machines say of themselves, as they say it."""
        while True:
            for name, machine in self.rack.machines.items():
                boot, count = self._shown.get(name, (0, 0))
                if machine.boots > boot + 1 and len(machine.told(boot)) == count:
                    boot, count = boot + 1, 0
                lines = machine.told(boot) if machine.boots else []
                for line in lines[count:]:
                    click.echo(f"{self._clock()}     {name}: {line}")
                self._shown[name] = (boot, len(lines))
            await asyncio.sleep(0.3)

    def _table(self) -> None:
        table = Table("phase", "seconds")
        table.columns[1].justify = "right"
        for title, took in self.times:
            table.add_row(title, f"{took:.1f}")
        table.add_row("in all", f"{time.monotonic() - self.began:.1f}")
        Console().print(table)
