"""A rack of lab switches of mixed kinds on loopback, cabled to hosts whose frames tell what the switches really do.

Pairs share an MLAG; each pair is of one kind, which the seed draws. Each host has a NIC on both switches of its pair,
as a bond that speaks LACP whenever the switch does. The last front port of every switch is not ours: it belongs to
somebody whose configuration must survive whatever happens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import asyncssh

from ironlane.lab.by_hand import ControlPlane
from ironlane.lab.cli import CliSwitch
from ironlane.lab.forwarding import LagMembership
from ironlane.lab.frames import BROADCAST, ETHERTYPE_PROBE, ETHERTYPE_VLAN, Ethernet
from ironlane.lab.gnmi import GnmiServer
from ironlane.lab.injection import FaultInjector
from ironlane.lab.netconf import NetconfServer
from ironlane.lab.nic import Bond, Nic
from ironlane.lab.switch import VirtualSwitch, pair
from ironlane.lab.wire import Interface, connect

OPENCONFIG = "openconfig"
GNMI = "gnmi"
PORT_NAMES = {
    OPENCONFIG: "Ethernet{}",
    GNMI: "Ethernet{}",
    "arista-eos": "Ethernet{}",
    "cisco-iosxe": "GigabitEthernet1/0/{}",
    "cisco-nxos": "Ethernet1/{}",
    "sonic": "Ethernet{}",
    "juniper-junos": "xe-0/0/{}",
    "dell-os10": "ethernet1/1/{}",
    "aruba-aoscx": "1/1/{}",
    "nvidia-cumulus": "swp{}",
}
"""Kind to how it names its front ports."""
NO_MLAG = frozenset({"cisco-iosxe", "juniper-junos"})
"""Kinds that Ironlane cannot tell which LAGs go on at a peer; the lab's pairs of these go by the numbers."""
NO_STATIC_LAG = frozenset({"sonic"})
PASSWORD = "lab-password-71"
HOSTS_PER_PAIR = 3
FOREIGN_VLAN = 900
"""What the port that is not ours is on."""

_serial = count(1)
_PROBE = ETHERTYPE_PROBE.to_bytes(2, "big")
_TAG = ETHERTYPE_VLAN.to_bytes(2, "big")


class Place(NamedTuple):
    """A switch port."""

    switch: str
    port: str

    def __str__(self) -> str:
        return f"{self.switch}/{self.port}"


@dataclass(slots=True)
class Leaf:
    """A switch: its data plane, its control plane, what can go wrong with it."""

    kind: str
    switch: VirtualSwitch
    plane: ControlPlane
    faults: FaultInjector
    idle_vlan: int | None
    owned: tuple[str, ...]
    foreign: str

    @property
    def name(self) -> str:
        return self.switch.name

    def body(self) -> dict[str, Any]:
        """What the operator says of it to the fabric API."""
        options: dict[str, Any]
        if isinstance(self.plane, GnmiServer):
            options = {"tls": False, "confirm_timeout": 3}
        else:
            options = {"host_key": self.plane.host_key}
        if isinstance(self.plane, CliSwitch):
            options |= {"platform": self.kind, "commit_timeout": 2}
        if self.kind == "arista-eos" and self.idle_vlan:
            options |= {"confirm_timeout": 3}
        return {
            "kind": "cli" if isinstance(self.plane, CliSwitch) else self.kind,
            "address": "127.0.0.1",
            "port": self.plane.port,
            "username": "admin",
            "secret": "lab",
            "mac": self.switch.mac,
            "physical_network": "physnet1",
            "idle_vlan": self.idle_vlan,
            "mlag_peer": None if self.kind in NO_MLAG else self.name[:-1] + ("b" if self.name[-1] == "a" else "a"),
            "options": options,
            "ports": list(self.owned),
        }


@dataclass(slots=True)
class Host:
    """A server: NICs on switch ports. `bond` is the primary NIC's."""

    name: str
    nics: tuple[Nic, ...]
    places: tuple[Place, ...]
    bond: Bond
    lag: bool
    """Whether its switches can bundle statically as well."""


@dataclass(slots=True)
class Rack:
    leaves: dict[str, Leaf]
    hosts: dict[str, Host]
    spine: VirtualSwitch
    tap: Interface
    """A NIC on the spine that gets all VLANs tagged."""
    heard_at_spine: set[tuple[bytes, int]] = field(default_factory=set)
    heard: set[tuple[str, int | None, bytes]] = field(default_factory=set)
    """(NIC, its tag, what was in it) of all probes that arrived."""

    @classmethod
    @asynccontextmanager
    async def running(cls, kinds: Sequence[str], idle_vlans: Sequence[int | None]) -> AsyncIterator[Rack]:
        """One pair of switches for each kind."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        leaves: dict[str, Leaf] = {}
        hosts: dict[str, Host] = {}
        for number, (kind, idle) in enumerate(zip(kinds, idle_vlans, strict=True), 1):
            both = [_leaf(kind, number, side, idle, key) for side in (1, 2)]
            pair(both[0].switch, both[1].switch)
            leaves |= {leaf.name: leaf for leaf in both}
        uplinks = {
            name: LagMembership(2000 + int(name[5:-1]), lacp=False) if not name.startswith("spine") else None
            for name in leaves
        }
        spine = VirtualSwitch("spine", "02:5a:00:00:00:01", (), {**uplinks, "tap": None})
        tap = Interface("tap", lambda _interface, frame: rack._hear_tagged(frame))
        rack = cls(leaves, hosts, spine, tap)
        connect(tap, spine.interface("tap"))
        for name, leaf in leaves.items():
            connect(leaf.switch.interface("uplink"), spine.interface(name))
        for number in range(1, len(kinds) + 1):
            pair_of = [leaf for name, leaf in leaves.items() if name[5:-1] == str(number)]
            for at in range(HOSTS_PER_PAIR):
                host = rack._host(number, at, pair_of)
                hosts[host.name] = host
        async with AsyncExitStack() as stack:
            for leaf in leaves.values():
                stack.push_async_callback(leaf.plane.stop)
                stack.push_async_callback(leaf.faults.clear)
                await leaf.plane.start()
            for leaf in leaves.values():
                assert leaf.faults.put_on(leaf.foreign, FOREIGN_VLAN), leaf.kind
                (leaf.plane.device if isinstance(leaf.plane, CliSwitch) else leaf.plane.configuration).save()
            yield rack

    def _host(self, number: int, at: int, leaves: Iterable[Leaf]) -> Host:
        name = f"host-{number}-{at + 1}"
        places, nics = [], []
        for side, leaf in enumerate(leaves, 1):
            nic = Nic(name, f"eth{side - 1}", f"52:54:00:{number:02x}:{at:02x}:{side:02x}")
            nic.taps.append(lambda interface, frame: self._hear(interface.name, frame))
            connect(nic.interface, leaf.switch.interface(leaf.owned[at]))
            nic.interface.up = True
            nics.append(nic)
            places.append(Place(leaf.name, leaf.owned[at]))
            static = leaf.kind not in NO_STATIC_LAG
        bond = Bond("bond0", nics, "802.3ad", lambda _frame: None, lambda: None)
        return Host(name, tuple(nics), tuple(places), bond, static)

    def _hear_tagged(self, frame: bytes) -> None:
        if frame[12:14] == _TAG and frame[16:18] == _PROBE:
            self.heard_at_spine.add((frame[18:36], int.from_bytes(frame[14:16], "big") & 0xFFF))

    def _hear(self, nic: str, frame: bytes) -> None:
        if frame[12:14] == _TAG and frame[16:18] == _PROBE:
            self.heard.add((nic, int.from_bytes(frame[14:16], "big") & 0xFFF, frame[18:36]))
        elif frame[12:14] == _PROBE:
            self.heard.add((nic, None, frame[14:32]))

    def sent_into(self, nic: Nic, tags: Iterable[int]) -> set[tuple[int | None, int]]:
        """A NIC broadcasts untagged and with each tag: (its tag, VLAN in which the spine saw it)."""
        seen = set()
        for tag in (None, *tags):
            self.heard_at_spine.clear()
            marker = _marker()
            nic.send(_frame(nic.mac, marker, tag))
            seen |= {(tag, vlan) for found, vlan in self.heard_at_spine if found == marker}
        return seen

    def arrivals(self, vlan: int) -> set[tuple[str, int | None]]:
        """The spine broadcasts in a VLAN: (NIC, the tag it came with)."""
        self.heard.clear()
        marker = _marker()
        self.tap.send(_frame(b"\x02\x5a\x00\xff\x00\x01", marker, vlan))
        return {(nic, tag) for nic, tag, found in self.heard if found == marker}


def _marker() -> bytes:
    return b"fault probe" + next(_serial).to_bytes(7, "big")


def _frame(mac: bytes, marker: bytes, tag: int | None) -> bytes:
    frame = Ethernet(BROADCAST, mac, ETHERTYPE_PROBE, marker.ljust(46, b"\0")).pack()
    return frame if tag is None else frame[:12] + _TAG + tag.to_bytes(2, "big") + frame[12:]


def _leaf(kind: str, number: int, side: int, idle: int | None, key: asyncssh.SSHKey) -> Leaf:
    name = f"leaf-{number}{'ab'[side - 1]}"
    ports = tuple(PORT_NAMES[kind].format(at) for at in range(1, HOSTS_PER_PAIR + 2))
    switch = VirtualSwitch(
        name, f"02:5a:00:{number:02x}:00:0{side}", ports, {"uplink": LagMembership(2000 + number, lacp=False)}
    )
    plane: ControlPlane
    if kind == OPENCONFIG:
        plane = NetconfServer(ports, switch.load, password=PASSWORD, host_key=key, startup=idle is None)
    elif kind == GNMI:
        plane = GnmiServer(ports, switch.load, password=PASSWORD)
    else:
        plane = CliSwitch(kind, ports, switch.load, hostname=name, password=PASSWORD, host_key=key)
    return Leaf(kind, switch, plane, FaultInjector(name, plane), idle, ports[:-1], ports[-1])
