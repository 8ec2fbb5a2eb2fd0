"""A real firmware boots what the DHCP answer leads to: QEMU's iPXE, from power-on to the kernel's own words."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ironlane.boot.dnsmasq import DnsmasqEngine
from ironlane.boot.dnsmasq_files import DnsmasqSettings
from ironlane.boot.files import BootFilesSettings
from ironlane.boot.images import CacheSettings
from ironlane.boot.services import BootServices, BootServicesSettings
from ironlane.conductor.dhcp import DhcpLoop
from ironlane.model.node import Node, NodeId
from ironlane.store.database import Store
from tests.api.networking import site
from tests.api.networking.conftest import Networking, application
from tests.boot.lan import ip, namespace, why_not

MAC = "02:00:00:00:00:05"
FIRMWARE = Path("/usr/lib/ipxe")
KERNEL = FIRMWARE / "ipxe.lkrn"
"""iPXE in the form of a Linux kernel: it says so on the console when it was booted."""


@pytest.fixture
def _network() -> Iterator[None]:
    if reason := why_not("dnsmasq", "qemu-system-x86_64"):
        pytest.skip(f"{reason} (packages dnsmasq-base, qemu-system-x86)")
    if not KERNEL.exists() or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/net/tun and the package ipxe")
    with namespace():
        ip("link", "set", "lo", "up")
        ip("tuntap", "add", "t0", "mode", "tap")
        ip("addr", "add", "10.0.0.1/24", "dev", "t0")
        ip("addr", "add", "fd00:99::1/64", "dev", "t0", "nodad")
        ip("link", "set", "t0", "up")
        yield


@asynccontextmanager
async def machine(tmp_path: Path) -> AsyncIterator[Path]:
    """A server without a disk whose only NIC is on the network; what its console shows is in the file."""
    console = tmp_path / "console"
    process = await asyncio.create_subprocess_exec(
        *("qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-serial", f"file:{console}", "-vga", "none", "-boot", "n", "-no-reboot"),
        *("-machine", "pc,graphics=off"),  # the BIOS puts its console on the serial line then
        *("-netdev", "tap,id=n0,ifname=t0,script=no,downscript=no,vhost=off"),
        *("-device", f"virtio-net-pci,netdev=n0,mac={MAC}"),
        stdout=(-3),
        stderr=(-3),
    )
    try:
        yield console
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.usefixtures("_network")
async def test_from_power_on_to_the_kernel(store: Store, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    shutil.copy(KERNEL, given / "vmlinuz")
    (given / "initrd").write_bytes(b"ramdisk" * 1000)
    files = BootFilesSettings(tmp_path / "boot", "http://10.0.0.1:0", "10.0.0.1", firmware=FIRMWARE)
    cache = CacheSettings(tmp_path / "boot" / "images", (given,))
    services = BootServices(BootServicesSettings("10.0.0.1", 0, files, cache))
    engine = DnsmasqEngine(DnsmasqSettings(("t0",), tmp_path / "dhcp", timeout=30.0))
    loop = DhcpLoop(store, engine)
    await store.write(site.seed)
    await services.start()
    await loop.start()
    try:
        info = {
            "deploy_kernel": f"file://{given}/vmlinuz",
            "deploy_kernel_checksum": hashlib.sha256(KERNEL.read_bytes()).hexdigest(),
            "deploy_ramdisk": f"file://{given}/initrd",
        }
        options = await services.prepare(Node(NodeId("node-1"), name="node-1", driver_info=info), "cleaning")
        api = Networking(application(store))
        segment = {"provider:physical_network": "physnet1", "provider:segmentation_id": 3000}
        network = await api.made("networks", **segment)
        pool = [{"start": "10.0.0.100", "end": "10.0.0.199"}]
        await api.made("subnets", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4, allocation_pools=pool)
        slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}  # else iPXE waits 16 s for a router
        await api.made("subnets", network_id=network["id"], cidr="fd00:99::/64", ip_version=6, **slaac)
        await api.made("ports", network_id=network["id"], mac_address=MAC, extra_dhcp_opts=list(options))
        async with machine(tmp_path) as console, asyncio.timeout(100):
            while _shown(console).count("iPXE initialising devices") < 2:  # noqa: ASYNC110 - a console has no event
                await asyncio.sleep(0.1)
        assert "Ironlane boots node-1" in _shown(console)
    finally:
        await loop.stop()
        await services.stop()


def _shown(console: Path) -> str:
    return console.read_text(errors="replace") if console.exists() else ""
