"""A virtual rack that boots its servers from a running service: what `ironlane lab` and `ironlane demo` share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from ironlane.lab.firmware import Timings
from ironlane.lab.rack import RackDescription, VirtualRack
from ironlane.lab.services import NetworkingApiPorts

BOOT_FILE = "ramdisk"
"""The boot file that the virtual rack's TFTP server has; the service has to name it (IRONLANE_BOOT_FILE)."""


@dataclass(frozen=True, slots=True)
class BootServer:
    """What the service has to be told so that the virtual servers find their ramdisk."""

    address: str

    @property
    def environment(self) -> dict[str, str]:
        return {"IRONLANE_TFTP_SERVER": self.address, "IRONLANE_BOOT_FILE": BOOT_FILE}


def boot_server(description: RackDescription) -> BootServer:
    """The services host's first address, at which it serves TFTP in all of its networks."""
    for host in description.services:
        for interface in host.vlans.values():
            return BootServer(str(interface.ip))
    return BootServer("127.0.0.1")


@asynccontextmanager
async def virtual_rack(description: RackDescription, url: str) -> AsyncIterator[VirtualRack]:
    """The rack, running: DHCP answers from the Networking API at `url`, agents report to the Baremetal API there."""
    ports = NetworkingApiPorts(f"{url}/networking")
    rack = VirtualRack(
        description,
        api_url=f"{url}/baremetal",
        find_port=ports,
        read_file={BOOT_FILE: b"a ramdisk with the agent"}.get,
        timings=Timings(),
    )
    # There is no router in the rack; so the boot server has its one address in every network that servers boot on.
    shared = IPv4Interface((IPv4Address(boot_server(description).address), 32))
    for host in rack.services.values():
        for vlan in host.vlans:
            if shared.ip not in host.endpoint(vlan).ips:
                host.add_vlan(vlan, shared)
    try:
        async with rack:
            yield rack
    finally:
        await ports.close()
