"""Who reaches whom, measured with frames; and a watch that checks every commit against the invariants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from ironlane.lab.forwarding import PortForwarding
from ironlane.lab.frames import BROADCAST, ETHERTYPE_PROBE, ETHERTYPE_VLAN, Ethernet
from ironlane.lab.server import Stage, VirtualServer
from ironlane.lab.services import ServicesHost
from ironlane.lab.switch import VirtualSwitch
from ironlane.lab.wire import Interface

_VLAN_TAG = ETHERTYPE_VLAN.to_bytes(2, "big")
_PROBE = ETHERTYPE_PROBE.to_bytes(2, "big")
_serial = count(1)

Tap = Callable[[Interface, bytes], None]


@dataclass(frozen=True, slots=True)
class Reach:
    """The outcome of one measurement.

    Endpoints are servers by name, and the services host once in each VLAN (`services.100`). `nics` has more detail:
    from NIC (`server-1/eth0`, `services.100`) to the NICs that a broadcast arrived at, the sender's own ones included.
    `duplicates` are (from endpoint, server, link) where an operating system got one frame more than once.
    """

    endpoints: Mapping[str, frozenset[str]]
    nics: Mapping[str, frozenset[str]]
    duplicates: tuple[tuple[str, str, str], ...] = ()

    def pairs(self) -> frozenset[tuple[str, str]]:
        """(from, to), for each endpoint that reaches another."""
        return frozenset((source, target) for source, targets in self.endpoints.items() for target in targets)


class _Probes:
    """Sends probes one at a time and collects where each arrives."""

    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()
        self.marker = b""

    def send(self, mac: bytes, send: Callable[[bytes], None]) -> frozenset[str]:
        """Broadcast one probe; answers the names of the NICs that it arrived at."""
        self.heard.clear()
        self.marker = b"ironlane reach" + next(_serial).to_bytes(8, "big")
        send(Ethernet(BROADCAST, mac, ETHERTYPE_PROBE, self.marker.ljust(46, b"\0")).pack())
        return frozenset(self.heard)

    def tap(self, interface: Interface, frame: bytes) -> None:
        if frame[12:14] == _PROBE and frame[14:].startswith(self.marker):
            self.heard[interface.name] += 1

    def tap_tagged(self, host: ServicesHost) -> Tap:
        def tap(_interface: Interface, frame: bytes) -> None:
            if frame[12:14] == _VLAN_TAG and frame[16:18] == _PROBE and frame[18:].startswith(self.marker):
                vlan = int.from_bytes(frame[14:16], "big") & 0xFFF
                if vlan in host.vlans:
                    self.heard[f"{host.name}.{vlan}"] += 1

        return tap


def measure_reach(servers: Iterable[VirtualServer], services: Iterable[ServicesHost] = ()) -> Reach:
    """Have every endpoint broadcast a frame and see where it arrives. Takes no time on the rack's clock.

    Every NIC of a server that has power sends, whatever runs on the server: this is what an intruder with full
    control of the server could do. Where an operating system runs, its links send as well.
    """
    servers, services = tuple(servers), tuple(services)
    owner = {nic.interface.name: server.name for server in servers for nic in server.nics.values()}
    nics: dict[str, frozenset[str]] = {}
    endpoints: dict[str, set[str]] = {server.name: set() for server in servers}
    duplicates: list[tuple[str, str, str]] = []
    with _listening(servers, services) as probes:
        for server in servers:
            for nic in server.nics.values():
                nics[nic.interface.name] = probes.send(nic.mac, nic.send)
                endpoints[server.name] |= nics[nic.interface.name]
        for host in services:
            for vlan in host.vlans:
                name = f"{host.name}.{vlan}"
                nics[name] = probes.send(host.mac, partial(host.send, vlan=vlan))
                endpoints[name] = set(nics[name])
                duplicates += _duplicates(name, servers, probes)
        for server in servers:
            for link in server.os.links.values() if server.os else ():
                endpoints[server.name] |= probes.send(link.mac, link.send)
                duplicates += _duplicates(server.name, servers, probes)
    named = {
        source: frozenset(owner.get(target, target) for target in targets) - {source}
        for source, targets in endpoints.items()
    }
    return Reach(named, nics, tuple(duplicates))


@contextmanager
def _listening(servers: tuple[VirtualServer, ...], services: tuple[ServicesHost, ...]) -> Iterator[_Probes]:
    probes = _Probes()
    taps: list[tuple[list[Tap], Tap]] = [(nic.taps, probes.tap) for server in servers for nic in server.nics.values()]
    taps += [(host.taps, probes.tap_tagged(host)) for host in services]
    for where, tap in taps:
        where.append(tap)
    try:
        yield probes
    finally:
        for where, tap in taps:
            where.remove(tap)


def _duplicates(source: str, servers: Iterable[VirtualServer], probes: _Probes) -> Iterator[tuple[str, str, str]]:
    """Links that got the latest probe more than once."""
    for server in servers:
        if server.stage is not Stage.OS or server.os is None:
            continue
        copies = Counter(link for link, frame in server.os.received if frame[14:].startswith(probes.marker))
        yield from ((source, server.name, link) for link, count in copies.items() if count > 1)


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that was false after a commit of `switch`. `commit` counts from 1 over all switches."""

    commit: int
    switch: str
    rule: str
    """`I1`: a server on both sides of the wall. `I3`: two tenants on one VLAN, or one server with two tenants."""
    text: str


@dataclass(slots=True)
class InvariantWatch:
    """Looks at what the switches themselves forward after each commit, and keeps what is wrong.

    `cabling` says which server is at which (switch name, port). `provider_vlans` are the cleaning and provisioning
    VLANs, `tenant_of` tells who owns a VLAN now (None: no tenant). A port remembers the owner that its VLAN had when
    the port joined it; so a VLAN that is given to a second tenant while a port still carries it is found.
    """

    cabling: Mapping[tuple[str, str], str]
    provider_vlans: frozenset[int]
    tenant_of: Callable[[int], str | None]
    commits: int = 0
    violations: list[Violation] = field(default_factory=list)
    _carried: dict[tuple[str, str], dict[int, str | None]] = field(default_factory=dict)

    def attach(self, switches: Iterable[VirtualSwitch]) -> None:
        """Watch these switches from now on; what they carry already counts."""
        for switch in switches:
            self._note(switch.name, switch.forwarding)
            switch.observers.append(self.observe)

    def detach(self, switches: Iterable[VirtualSwitch]) -> None:
        for switch in switches:
            switch.observers.remove(self.observe)

    def observe(
        self, switch: VirtualSwitch, _old: Mapping[str, PortForwarding], new: Mapping[str, PortForwarding]
    ) -> None:
        """Check after one commit; a switch calls this."""
        self.commits += 1
        self._note(switch.name, new)
        self._check_servers(switch.name)
        self._check_vlans(switch.name)

    def _note(self, switch: str, forwarding: Mapping[str, PortForwarding]) -> None:
        for port, carries in forwarding.items():
            before = self._carried.get((switch, port), {})
            self._carried[switch, port] = {
                vlan: before.get(vlan) or self.tenant_of(vlan) for vlan in sorted(carries.vlans)
            }

    def _check_servers(self, switch: str) -> None:
        vlans: dict[str, dict[int, str | None]] = {}
        for where, server in self.cabling.items():
            vlans.setdefault(server, {}).update(self._carried.get(where, {}))
        for server, carried in vlans.items():
            tenants = {tenant for tenant in carried.values() if tenant is not None}
            provider = sorted(self.provider_vlans & carried.keys())
            if provider and tenants:
                self._violated(switch, "I1", f"{server} is on provider VLAN {provider} and on {_tenant_vlans(carried)}")
            if len(tenants) > 1:
                self._violated(switch, "I3", f"{server} is with two tenants: {_tenant_vlans(carried)}")

    def _check_vlans(self, switch: str) -> None:
        tenants: dict[int, set[str]] = {}
        for carried in self._carried.values():
            for vlan, tenant in carried.items():
                if tenant is not None:
                    tenants.setdefault(vlan, set()).add(tenant)
        for vlan, owners in tenants.items():
            if len(owners) > 1:
                self._violated(switch, "I3", f"VLAN {vlan} is carried for tenants {', '.join(sorted(owners))}")

    def _violated(self, switch: str, rule: str, text: str) -> None:
        self.violations.append(Violation(self.commits, switch, rule, text))


def _tenant_vlans(carried: Mapping[int, str | None]) -> str:
    return ", ".join(f"VLAN {vlan} of {tenant}" for vlan, tenant in carried.items() if tenant is not None)
