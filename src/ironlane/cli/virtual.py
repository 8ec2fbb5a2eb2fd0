"""A virtual rack that boots its servers from a running service: what `ironlane lab` and `ironlane demo` share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from ironlane.lab.firmware import Timings
from ironlane.lab.gateway import Gateway
from ironlane.lab.rack import RackDescription, VirtualRack
from ironlane.lab.services import NetworkingApiPorts
from ironlane.model.errors import Permanent

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


def environment(description: RackDescription, gateway: Gateway) -> dict[str, str]:
    """Settings of a service that is to boot the rack's servers, and to reach their agents."""
    return {**boot_server(description).environment, "IRONLANE_AGENT_PROXY": gateway.url}


@asynccontextmanager
async def running_gateway(port: int = 0) -> AsyncIterator[Gateway]:
    """A gateway into a rack that may be plugged together later."""
    gateway = Gateway()
    try:
        await gateway.start(port)
    except OSError as error:
        raise Permanent(f"the gateway cannot listen on 127.0.0.1 port {port}: {error.strerror}") from error
    try:
        yield gateway
    finally:
        await gateway.stop()


@asynccontextmanager
async def virtual_rack(
    description: RackDescription, url: str, gateway: Gateway | None = None, *, ironic: str = ""
) -> AsyncIterator[VirtualRack]:
    """The rack, running: DHCP answers from the Networking API at `url`, agents report to the Baremetal API there, and
    are reached through the gateway. `ironic`: the URL of another Baremetal API that they report to."""
    ports = NetworkingApiPorts(f"{url}/networking")
    rack = VirtualRack(
        description,
        api_url=ironic or f"{url}/baremetal",
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
            if gateway is not None:
                gateway.find_agent = rack.agent_port
            yield rack
    finally:
        await ports.close()
