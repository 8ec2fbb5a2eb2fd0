"""The command: plugs the racks together, takes all servers through their life, and judges what the frames showed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ironlane.model.errors import IronlaneError

if TYPE_CHECKING:
    from rich.console import Console

    from ironlane.cli.client import Client
    from ironlane.cli.demo.phases import Phases
    from ironlane.cli.demo.reaching import Tenancy
    from ironlane.lab.rack import VirtualRack
    from ironlane.lab.reach import InvariantWatch

TENANTS = ("red", "green", "blue")


@click.command()
@click.option("--racks", type=click.IntRange(1, 40), default=2, show_default=True, help="Racks, two switches each.")
@click.option("--servers", type=click.IntRange(1, 40), default=8, show_default=True, help="Servers in each rack.")
@click.option("--keep", is_flag=True, help="Keep the folder with the database, the site file and the service's log.")
def demo(racks: int, servers: int, keep: bool) -> None:
    """Take servers through their whole life on a virtual site, and measure who reaches whom after each phase.

    Needs no root, no daemon and no network. Exits with 1 if any invariant was broken at any moment.
    """
    from ironlane.cli.log import configure

    configure("error")
    folder = Path(tempfile.mkdtemp(prefix="ironlane-demo-"))
    try:
        sound = asyncio.run(_run(folder, racks, servers))
    except IronlaneError as error:
        click.echo(f"failed: {error.message}\nsee {folder / 'service.log'}", err=True)
        sys.exit(1)
    if keep:
        click.echo(f"kept: {folder}")
    else:
        import shutil

        shutil.rmtree(folder)
    sys.exit(0 if sound else 1)


async def _run(folder: Path, racks: int, servers: int) -> bool:
    from rich.console import Console

    from ironlane.cli.client import Client
    from ironlane.cli.demo.process import service
    from ironlane.cli.demo.site_text import SECRETS, demo_racks, site_text
    from ironlane.cli.virtual import environment, running_gateway, virtual_rack

    description = demo_racks(racks, servers)
    console = Console()
    console.print(
        f"[bold]{racks} racks, {len(description.switches)} switches, {len(description.servers)} servers[/bold]"
        f" with 2 NICs each in LACP portgroups, {len(TENANTS)} tenants"
    )
    async with (
        running_gateway() as gateway,
        service(folder, {**SECRETS, **environment(description, gateway)}) as url,
        virtual_rack(description, url, gateway) as rack,
        Client(url) as client,
    ):
        console.print(f"service: {url} (SQLite); switches: NETCONF; BMCs: Redfish; all on loopback\n")
        site_file = folder / "site.yaml"
        site_file.write_text(site_text(rack), encoding="utf-8")
        return await _Demo(console, client, rack, site_file, gateway.instance_info).run()


@dataclass(slots=True)
class _Demo:
    console: Console
    client: Client
    rack: VirtualRack
    site_file: Path
    image: dict[str, str]
    """`instance_info` of the nodes when they are deployed."""
    violations: list[str] = field(default_factory=list)
    vlans: dict[int, str] = field(default_factory=dict)
    """Tenant VLAN to tenant."""
    told: str = ""
    """The progress that was printed last."""

    async def run(self) -> bool:
        """All phases. True if every invariant held."""
        from ironlane.cli.demo.phases import Phases
        from ironlane.cli.demo.reaching import Tenancy
        from ironlane.cli.demo.site_text import PROVIDER_VLANS

        began = time.monotonic()
        names = list(self.rack.servers)
        tenants = {tenant: tuple(names[number :: len(TENANTS)]) for number, tenant in enumerate(TENANTS)}
        services = {f"services.{vlan}": f"conductor (VLAN {vlan})" for vlan in PROVIDER_VLANS}
        tenancy = Tenancy(tenants, services)
        watch = self.rack.watch(PROVIDER_VLANS, self.vlans.get)
        phases = Phases(self.client, names, self._progress)
        await self._phase("enroll", tenancy, lambda: self._enrol(phases))
        await self._phase("clean → available", tenancy, lambda: phases.provision("provide", "available"))
        await self._phase("deploy → active", tenancy, lambda: self._deploy(phases, tenancy), deployed=True)
        await self._phase("delete → clean → available", tenancy, lambda: phases.provision("deleted", "available"))
        return self._verdict(watch, time.monotonic() - began)

    async def _enrol(self, phases: Phases) -> None:
        from ironlane.cli.apply.outcome import Action
        from ironlane.cli.apply.run import apply
        from ironlane.cli.demo.site_text import SECRETS
        from ironlane.cli.site import load
        from ironlane.model.errors import Permanent

        def secret(name: str) -> str:
            return SECRETS[f"IRONLANE_SECRET_{name.upper()}"]

        site = load(self.site_file)
        async for outcome in apply(self.client, site, secret, dry_run=False, new_passwords=False):
            if outcome.action is Action.FAILED:
                raise Permanent(" ".join(outcome.lines()))
        await phases.provision("manage", "manageable")

    async def _deploy(self, phases: Phases, tenancy: Tenancy) -> None:
        from ironlane.model.errors import Permanent

        for number, (tenant, members) in enumerate(tenancy.tenants.items(), 1):
            network, vlan = await phases.tenant_network(tenant, number)
            self.vlans[vlan] = tenant
            await asyncio.gather(*(phases.attach(node, network, tenant) for node in members))
        await phases.choose_image(self.image)
        await phases.provision("active", "active")
        for node, (status, links) in (await phases.links()).items():
            if (status, links) != ("ACTIVE", 2):
                raise Permanent(f"tenant port of {node} is {status} with {links} links, not ACTIVE with 2")
        await self._booted()

    async def _booted(self) -> None:
        """Until the operating systems are up: only then do the bonds speak LACP."""
        from ironlane.lab.server import Stage

        await asyncio.gather(
            *(server.until(lambda s: s.stage is Stage.OS, 10.0) for server in self.rack.servers.values())
        )

    async def _phase(
        self, title: str, tenancy: Tenancy, work: Callable[[], Awaitable[None]], *, deployed: bool = False
    ) -> None:
        from ironlane.cli.demo.reaching import Sampler
        from ironlane.cli.demo.report import matrix

        sampler = Sampler(tenancy)
        began = time.monotonic()
        self.console.rule(f"[bold]{title}", align="left")
        async with self._sampling(sampler):
            await work()
        took = time.monotonic() - began
        pairs = self.rack.reach().pairs()
        for a, b in sorted(pairs ^ tenancy.expected(deployed=deployed)):
            self.violations.append(f"{title}: {a} {'reaches' if (a, b) in pairs else 'does not reach'} {b}")
        self.violations += [f"{title}: {text}" for text in sampler.violations]
        self.console.print(matrix(tenancy, pairs))
        self.console.print(
            f"{took:.1f} s; {sampler.samples} measurements on the way, in which"
            f" {sampler.reached_by_services()} servers were seen on a provider network\n"
        )

    @asynccontextmanager
    async def _sampling(self, sampler: object) -> AsyncIterator[None]:
        from ironlane.cli.demo.reaching import Sampler

        assert isinstance(sampler, Sampler)  # noqa: S101 - imported late, for a quick command line

        async def sample() -> None:
            while True:
                sampler.take(self.rack.reach())
                await asyncio.sleep(0.02)

        task = asyncio.create_task(sample())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _progress(self, states: Counter[str]) -> None:
        line = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        if self.console.is_terminal:
            self.console.print(f"  {line:<100}", end="\r")
        elif line != self.told:
            self.console.print(f"  {line}")
        self.told = line

    def _verdict(self, watch: InvariantWatch, took: float) -> bool:
        self.violations += [f"{v.rule} after commit {v.commit} on {v.switch}: {v.text}" for v in watch.violations]
        for violation in self.violations[:20]:
            self.console.print(f"[red]violation[/red] {violation}")
        commits = sum(server.commits for server in self.rack.netconf.values())
        verdict = "[red]broken" if self.violations else "[green]held"
        self.console.print(
            f"invariants {verdict}[/] ({len(self.violations)} violations; every one of {commits} commits on"
            f" {len(self.rack.switches)} switches was checked) — {took:.1f} s in all"
        )
        return not self.violations
