"""Another Ironlane beside the one that is at work: it knows the same switches, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from click.testing import CliRunner, Result

from ironlane.cli.apply.run import apply
from ironlane.cli.client import Client, Refused, Unreachable
from ironlane.cli.demo.site_text import site_text
from ironlane.cli.main import main
from ironlane.lab.rack import VirtualRack
from ironlane.model.fabric import DriftPolicy
from ironlane.site.check import read_site
from tests.openstack.bed import until
from tests.service.bench import BMC_PASSWORD, SECRETS, SWITCH_PASSWORD
from tests.service.process import free_port, serving


class Second:
    """It only observes the switches until `let_go`."""

    def __init__(self, rack: VirtualRack, client: Client, url: str) -> None:
        self.url = url
        self.client = client
        self._rack = rack

    @classmethod
    @asynccontextmanager
    async def running(cls, rack: VirtualRack, folder: Path) -> AsyncIterator[Self]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        arguments = ("--port", str(port), "--database", f"sqlite:///{folder}/second.sqlite", "--hostname", "two")
        async with serving(*arguments, env=SECRETS, log=folder / "second.log"), Client(url) as client:
            second = cls(rack, client, url)
            await until(second._healthy, "the second Ironlane to start")
            await second._enrol(DriftPolicy.OBSERVE)
            yield second

    async def run(self, *arguments: str, env: dict[str, str] | None = None) -> Result:
        """`ironlane import` into it."""
        line = ["import", "--url", self.url, *arguments]
        return await asyncio.to_thread(CliRunner().invoke, main, line, env=env)

    async def let_go(self) -> None:
        """From now on it writes to the switches."""
        await self._enrol(DriftPolicy.REPAIR)

    async def port(self, ident: str) -> dict[str, Any]:
        return dict((await self.client.get(f"/networking/v2.0/ports/{ident}"))["port"])

    async def becomes_active(self, ident: str) -> None:
        async def reached() -> bool:
            return bool((await self.port(ident))["status"] == "ACTIVE")

        await until(reached, f"port {ident} to be ACTIVE in the second Ironlane")

    async def _enrol(self, policy: DriftPolicy) -> None:
        site = read_site(site_text(self._rack))
        site = replace(site, switches=tuple(replace(switch, policy=policy.value) for switch in site.switches))
        secrets = {"switches": SWITCH_PASSWORD, "bmcs": BMC_PASSWORD}
        only = ("physical-networks", "switches")
        async for _ in apply(self.client, site, secrets.__getitem__, dry_run=False, new_passwords=False, only=only):
            pass

        async def read() -> bool:
            switches = (await self.client.get("/fabric/v1/switches"))["switches"]
            return all(switch["converged"] for switch in switches)

        await until(read, "the second Ironlane to read the switches")

    async def _healthy(self) -> bool:
        with contextlib.suppress(Unreachable, Refused):
            return bool(await self.client.get("/healthz"))
        return False
