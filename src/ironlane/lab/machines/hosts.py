"""Hosts that are network namespaces: those that tenants have already, and this one's legs into the rack."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from ironlane.lab.machines.programs import run
from ironlane.lab.machines.switch import Switch
from ironlane.model.errors import Permanent

SWITCHES = "switches"
"""The namespace of all switches. It has no address, so it answers nothing by itself."""
_ARP_IGNORE = Path("/proc/sys/net/ipv4/conf/all/arp_ignore")


async def prepare() -> None:
    """Make this process' namespaces ready: a place for more of them, and loopback.

    A host that is on several networks answers on each for that one's address only.
    """
    await run("mount", "-t", "tmpfs", "none", "/run")
    await run("ip", "link", "set", "lo", "up")
    await asyncio.to_thread(_ARP_IGNORE.write_text, "1")
    await namespace(SWITCHES)


async def namespace(name: str) -> None:
    """A network namespace that is silent: no IPv6 of its own accord."""
    await run("ip", "netns", "add", name)
    await run("ip", "-n", name, "link", "set", "lo", "up")
    await run("ip", "netns", "exec", name, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")


async def leg(switch: Switch, vlan: int, name: str, *addresses: str) -> None:
    """A device `name` of this process' own namespace, with addresses, in a VLAN of a switch."""
    far = f"{name}-sw"
    await run("ip", "link", "add", name, "type", "veth", "peer", "name", far, "netns", SWITCHES)
    await run("ethtool", "-K", name, "tx", "off")  # nobody would fill in the checksums
    for address in addresses:
        await run("ip", "addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
    await run("ip", "link", "set", name, "up")
    await switch.add_device(far, vlan)


async def trunk(one: Switch, other: Switch) -> None:
    """A trunk of all VLANs between two switches."""
    ends = (f"{one.name}-up", f"{other.name}-up")
    await run("ip", "-n", SWITCHES, "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for switch, end in zip((one, other), ends, strict=True):
        await switch.add_device(end, None)


class Host:
    """A host in a namespace of its own, with one address.

    It takes everybody for a neighbour on its own link, so it reaches and answers whoever is there, whatever address
    they have.
    """

    def __init__(self, name: str, address: IPv4Interface) -> None:
        self.name = name
        self.address = address

    async def plug(self, switch: Switch, vlan: int) -> None:
        far = f"{self.name}-sw"
        await namespace(self.name)
        await run(
            *("ip", "-n", self.name, "link", "add", "eth0", "type", "veth", "peer", "name", far, "netns", SWITCHES)
        )
        await run("ip", "netns", "exec", self.name, "ethtool", "-K", "eth0", "tx", "off")
        await run("ip", "-n", self.name, "addr", "add", str(self.address), "dev", "eth0")
        await run("ip", "-n", self.name, "link", "set", "eth0", "up")
        await run("ip", "-n", self.name, "route", "add", "default", "dev", "eth0")
        await switch.add_device(far, vlan)

    async def reaches(self, address: IPv4Address) -> bool:
        """Whether an address answers, at the fourth attempt at the latest."""
        for _ in range(4):
            with suppress(Permanent):
                await run("ip", "netns", "exec", self.name, "busybox", "ping", "-c", "1", "-W", "1", str(address))
                return True
        return False
