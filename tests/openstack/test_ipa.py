"""A real ironic-python-agent cleans and deploys: lookup, heartbeats, TLS, clean steps, the image that it writes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from bench.environments import Unavailable
from ironlane.cli.client import Client, Refused, Unreachable
from ironlane.cli.demo.phases import NODES, Phases
from ironlane.cli.demo.site_text import demo_racks, site_text
from ironlane.cli.virtual import virtual_rack
from ironlane.lab.bmc import RedfishBmcs
from tests.openstack import ipa
from tests.openstack.ipa import AgentMachine, Ramdisk
from tests.service.bench import BMC_PASSWORD, SECRETS, SWITCH_PASSWORD, enrol, until
from tests.service.process import free_port, serving

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(600)]

NAME, MAC = "server-1-1", "52:54:00:00:0a:01"
DISK = 48 << 20
PARTITION = slice(1 << 20, 2 << 20)
"""Bytes of the image that its partition has."""
PATIENCE = 240.0
"""Seconds that a phase may take."""


@dataclass
class Bed:
    """The service, and a machine behind a Redfish BMC, at a port of a virtual switch. `url`: where `images` are."""

    client: Client
    machine: AgentMachine
    images: Path
    url: str

    async def node(self) -> dict[str, Any]:
        return dict(await self.client.get(f"{NODES}/{NAME}"))

    def phases(self) -> Phases:
        return Phases(self.client, [NAME], lambda _states: None, PATIENCE)

    async def deploy(self, image: Path, checksum: str = "") -> None:
        """Ask for it to be written."""
        info = {
            "image_source": f"{self.url}/{image.name}",
            "image_os_hash_algo": "sha256",
            "image_os_hash_value": checksum or _digest(image),
            "image_disk_format": "raw",
        }
        await self.phases().choose_image(info)
        await self.client.request("PUT", f"{NODES}/{NAME}/states/provision", {"target": "active"})

    async def becomes(self, state: str) -> None:
        async def there() -> bool:
            return bool((await self.node())["provision_state"] == state)

        await until(there, f"{NAME} to be {state}", PATIENCE)


def lacking() -> str | None:
    """Why there is no place for the agent here."""
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        return "a loop device needs root, and /dev/loop-control"
    programs = ("unshare", "losetup", "busybox", "parted", "partprobe", "sgdisk", "sfdisk", "lsblk", "wipefs")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    if missing:
        return f"missing programs: {', '.join(missing)} (packages busybox-static, parted, gdisk, fdisk)"
    tried = subprocess.run([*ipa.NAMESPACES, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else None


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    if reason := lacking():
        pytest.skip(reason)
    try:
        made = await asyncio.to_thread(ipa.environment)
    except Unavailable as error:
        pytest.skip(f"no ironic-python-agent: {error}")
    async with AsyncExitStack() as stack:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        rack = await stack.enter_async_context(virtual_rack(_switches(), url))
        machine = AgentMachine(NAME, tmp_path, Ramdisk(made, MAC, f"{url}/baremetal", free_port()), DISK)
        stack.enter_context(machine.attached())
        stack.push_async_callback(machine.power_off)
        bmcs = RedfishBmcs()
        bmcs.add(NAME, machine, "admin", BMC_PASSWORD)
        await bmcs.start()
        stack.push_async_callback(bmcs.stop)
        images = tmp_path / "images"
        images.mkdir()
        served = await stack.enter_async_context(_serving(images))
        database = f"sqlite:///{tmp_path}/ironlane.sqlite"
        settings = {"IRONLANE_AGENT_REQUIRE_TLS": "true", "IRONLANE_CLEANING_NETWORK": "cleaning"}
        arguments = ("--port", str(port), "--database", database)
        await stack.enter_async_context(serving(*arguments, env=SECRETS | settings, log=tmp_path / "ironlane.log"))
        client = await stack.enter_async_context(Client(url))
        await until(lambda: _healthy(client), "the service to start")
        await enrol(client, rack, _site(site_text(rack), bmcs.url))
        yield Bed(client, machine, images, served)


async def test_the_agent_cleans_and_deploys(bed: Bed) -> None:
    phases, machine = bed.phases(), bed.machine
    await asyncio.to_thread(machine.disk.write_bytes, b"\x5a" * DISK)
    await phases.provision("manage", "manageable")
    await phases.provision("provide", "available")
    assert machine.disk.read_bytes().count(0) == DISK, "all of the disk was erased"
    image = _image(bed.images / "disk.img")
    await bed.deploy(image)
    await bed.becomes("active")
    # But for the partition table, which the agent fits to the disk's size.
    assert machine.disk.read_bytes()[PARTITION] == image.read_bytes()[PARTITION]
    assert machine.boots == ["pxe", "pxe", "disk"]
    await phases.provision("deleted", "available")
    assert machine.disk.read_bytes().count(0) == DISK


async def test_the_agent_refuses_an_image_that_is_another_one(bed: Bed) -> None:
    phases = bed.phases()
    await phases.provision("manage", "manageable")
    await phases.provision("provide", "available")
    await bed.deploy(_image(bed.images / "disk.img"), checksum="0" * 64)
    await bed.becomes("deploy failed")
    assert "Error verifying image checksum" in (await bed.node())["last_error"]


def _switches() -> Any:
    """The switches of the usual rack."""
    racks = demo_racks(1, 1)
    return replace(racks, switches=tuple(replace(switch, password=SWITCH_PASSWORD) for switch in racks.switches))


def _site(text: str, bmc: str) -> str:
    """The rack's site with our machine in the place of its server, and provider networks whose addresses nobody gives:
    the agent is where its heartbeats come from."""
    site = yaml.safe_load(text)
    for network in site["networks"]:
        del network["subnet"]
    (node,) = site["nodes"]
    del node["portgroups"]
    node["nics"] = [node["nics"][0] | {"address": MAC}]
    node["bmc"]["address"] = bmc
    return yaml.safe_dump(site)


@contextlib.asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.static("/", folder)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _healthy(client: Client) -> bool:
    with contextlib.suppress(Unreachable, Refused):
        return bool(await client.get("/healthz"))
    return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _image(path: Path) -> Path:
    """A partitioned disk: the agent will not have one without partitions."""
    with path.open("wb") as file:
        file.truncate(8 << 20)
    script = "label: gpt\nstart=2048, size=4096, type=L\n"
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    subprocess.run(["sfdisk", "--quiet", str(path)], input=script, text=True, check=True, env=environment)
    with path.open("r+b") as file:
        file.seek(PARTITION.start)
        file.write(os.urandom(PARTITION.stop - PARTITION.start))
    return path
