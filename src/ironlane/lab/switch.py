"""A virtual switch's data plane: 802.1Q forwarding, LAGs, MLAG pairs, LLDP.

Forwarding follows IEEE 802.1Q-2018, clause 8: classify at ingress, filter by VLAN at ingress and egress, learn source
addresses per VLAN, flood what is unknown, never send back where it came from. What a port carries comes from the
control plane through `VirtualSwitch.load`.

In an MLAG pair the two switches present one LACP system and share what they learn. A frame that crossed the peer link
does not leave through a LAG that has an active member on the other switch: that member got it already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from zlib import crc32

from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.lab.frames import (
    ETHERTYPE_LLDP,
    ETHERTYPE_SLOW,
    ETHERTYPE_VLAN,
    LINK_LOCAL_PREFIX,
    FrameError,
    Lacpdu,
    Lldp,
    mac_bytes,
    mac_text,
)
from ironlane.lab.lag import SECOND, LagDomain, SwitchPort
from ironlane.lab.wire import Interface, connect

__all__ = ["LagMembership", "Observer", "PortForwarding", "VirtualSwitch", "pair"]

Forwarding = Mapping[str, PortForwarding]
Observer = Callable[["VirtualSwitch", Forwarding, Forwarding], None]
"""Called after each load with the switch, what it forwarded before and what it forwards now."""

LogicalPort = str | int
"""Where a frame can come from or go to: a single port by name, or a LAG by number."""

PEER_LINK = "peer-link"
_TAG = ETHERTYPE_VLAN.to_bytes(2, "big")
_SLOW = ETHERTYPE_SLOW.to_bytes(2, "big")
_LLDP = ETHERTYPE_LLDP.to_bytes(2, "big")


class VirtualSwitch:
    """One switch.

    `ports` are the names of its front ports, shut until `load` says otherwise. `uplinks` are trunk ports that always
    carry every VLAN tagged, each perhaps a member of a LAG (use numbers above 1000: those below are the operator's).
    """

    def __init__(
        self, name: str, mac: str, ports: Sequence[str], uplinks: Mapping[str, LagMembership | None] | None = None
    ) -> None:
        self.name = name
        self.mac = mac_text(mac_bytes(mac))
        self.observers: list[Observer] = []
        self._mac = mac_bytes(mac)
        self._lags = LagDomain(self._mac)
        self._partner: VirtualSwitch | None = None
        self._flooded: dict[int, tuple[LogicalPort, ...]] = {}
        self._learned: dict[tuple[int, bytes], LogicalPort] = {}
        self._neighbours: dict[str, Lldp] = {}
        self._ports: dict[str, SwitchPort] = {}
        self._by_interface: dict[Interface, SwitchPort] = {}
        for port in ports:
            self._add(port, PortForwarding())
        self._front = tuple(self._ports)
        for port, lag in (uplinks or {}).items():
            self._lags.join(self._add(port, PortForwarding(enabled=True, lag=lag), all_vlans=True))
        if len(self._ports) != len(ports) + len(uplinks or {}):
            raise ValueError(f"switch {name} has two ports of one name")

    def __repr__(self) -> str:
        return f"<VirtualSwitch {self.name}>"

    def _add(self, name: str, forwarding: PortForwarding, *, all_vlans: bool = False) -> SwitchPort:
        interface = Interface(f"{self.name}/{name}", self._receive, on_carrier=self._carrier, up=forwarding.enabled)
        port = SwitchPort(name, len(self._ports) + 1, interface, forwarding, self._mac, all_vlans)
        self._ports[name] = self._by_interface[interface] = port
        self._flooded.clear()
        return port

    @property
    def ports(self) -> tuple[str, ...]:
        """Names of the front ports."""
        return self._front

    @property
    def forwarding(self) -> Forwarding:
        """What each front port carries now."""
        return MappingProxyType({name: self._ports[name].forwarding for name in self._front})

    @property
    def partner(self) -> VirtualSwitch | None:
        """The other switch of the MLAG pair."""
        return self._partner

    def interface(self, port: str) -> Interface:
        """The end of the cable at one of the ports, uplinks included.

        Raises:
            KeyError: no such port.
        """
        return self._ports[port].interface

    def lag_members(self, number: int) -> tuple[str, ...]:
        """Names of this switch's active members of a LAG."""
        own = [p for p in self._ports.values() if p.forwarding.lag is not None and p.forwarding.lag.number == number]
        return tuple(p.name for p in own if p.lag_number is not None and p in self._lags.active(p.lag_number))

    def learned(self, vlan: int) -> dict[str, LogicalPort]:
        """The MAC addresses known in a VLAN, and behind which port or LAG."""
        return {mac_text(mac): where for (at, mac), where in self._learned.items() if at == vlan}

    @property
    def neighbours(self) -> Mapping[str, Lldp]:
        """What was last heard by LLDP on each front port that has a carrier."""
        return {port: self._neighbours[port] for port in self._front if port in self._neighbours}

    def announce(self, port: str) -> None:
        """Send an LLDPDU: chassis id is the switch's MAC address, port id the port's name."""
        self._ports[port].interface.send(Lldp(self._mac, port, self.name).frame(self._mac))

    def load(self, config: Forwarding) -> None:
        """Replace what all front ports carry, at once; ports that `config` does not name are shut.

        Links that stay enabled do not flap. All learned addresses are forgotten.

        Raises:
            ValueError: a port that the switch does not have; nothing was changed.
        """
        unknown = sorted(config.keys() - set(self._front))
        if unknown:
            raise ValueError(f"switch {self.name} has no port {', '.join(unknown)}")
        old = self.forwarding
        changed = [self._ports[name] for name in self._front if old[name] != config.get(name, PortForwarding())]
        for port in changed:
            port.forwarding = config.get(port.name, PortForwarding())
        if changed:
            self._flooded.clear()
            self._flush()
            self._regroup(changed, old)
            for port in changed:
                port.interface.up = port.forwarding.enabled
        for observer in tuple(self.observers):
            observer(self, old, self.forwarding)

    def _regroup(self, changed: Sequence[SwitchPort], old: Forwarding) -> None:
        """Move changed ports between LAGs; LACP goes on undisturbed on those that stay where they were."""
        numbers = set()
        gone = []
        for port in changed:
            before, after = old[port.name].lag, port.forwarding.lag
            numbers |= {port.number_in_domain(lag) for lag in (before, after) if lag is not None}
            first, second = ((lag and (port.number_in_domain(lag), lag.lacp)) for lag in (before, after))
            if first == second:
                continue
            gone.append((port, self._lags.leave(port)))
            self._lags.join(port)
            if port.lacp is not None:
                port.lacp.start()
        for port, lacp in gone:
            if lacp is not None and port.lacp is None and port.forwarding.enabled:
                lacp.farewell()
        self._lags.reconsider(numbers)

    def _carrier(self, interface: Interface) -> None:
        port = self._by_interface[interface]
        self._flush()
        if not interface.carrier:
            self._neighbours.pop(port.name, None)
        if port.lacp is not None:
            (port.lacp.start if interface.carrier else port.lacp.stop)()
        if port.lag_number is not None:
            self._lags.reconsider([port.lag_number])
        if interface.carrier and not port.all_vlans:
            self.announce(port.name)

    def _receive(self, interface: Interface, frame: bytes) -> None:
        port = self._by_interface[interface]
        if frame[:5] == LINK_LOCAL_PREFIX and frame[5] < 16:
            if frame[12:14] == _LLDP:
                self._hear_lldp(port, frame)
            else:
                self._hear_lacp(port, frame)
            return
        vlan, rest = _classify(port, frame)
        if vlan is None or len(frame) < 14 or frame[6] & 1:
            return
        where: LogicalPort = port.name if port.lag_number is None else port.lag_number
        if port.lag_number is not None and port not in self._lags.active(port.lag_number):
            return
        if where != PEER_LINK:
            self._learn(
                vlan, frame[6:12], where, shared=port.forwarding.lag is not None and not port.forwarding.lag.alone
            )
        self._forward(vlan, frame[:12], rest, where)

    def _hear_lldp(self, port: SwitchPort, frame: bytes) -> None:
        try:
            heard = Lldp.parse(frame[14:])
        except FrameError:
            return
        if heard.ttl:
            self._neighbours[port.name] = heard
        else:
            self._neighbours.pop(port.name, None)  # the neighbour shuts down (IEEE 802.1AB-2016, 9.1.2.2)

    def _hear_lacp(self, port: SwitchPort, frame: bytes) -> None:
        if port.lacp is None or port.lag_number is None or frame[12:14] != _SLOW:
            return
        try:
            port.lacp.hear(Lacpdu.parse(frame[14:]))
        except FrameError:
            return
        self._lags.reconsider([port.lag_number])

    def _learn(self, vlan: int, mac: bytes, where: LogicalPort, *, shared: bool) -> None:
        """`shared`: the peer may have links to the same place."""
        self._learned[vlan, mac] = where
        if self._partner is not None:
            self._partner._learned[vlan, mac] = where if shared else PEER_LINK

    def _flush(self) -> None:
        self._learned.clear()
        if self._partner is not None:
            self._partner._learned.clear()

    def _forward(self, vlan: int, addresses: bytes, rest: bytes, came_from: LogicalPort) -> None:
        known = None if addresses[0] & 1 else self._learned.get((vlan, addresses[:6]))
        targets = self._carriers(vlan) if known is None else (known,)
        for target in targets:
            if target == came_from:
                continue
            port = self._egress(target, vlan, addresses, came_from, known is not None)
            if port is not None:
                _emit(port, vlan, addresses, rest)

    def _carriers(self, vlan: int) -> tuple[LogicalPort, ...]:
        """All ports and LAGs that carry a VLAN."""
        if vlan not in self._flooded:
            ports = (port for port in self._ports.values() if port.carries(vlan))
            found = dict.fromkeys(port.name if port.lag_number is None else port.lag_number for port in ports)
            self._flooded[vlan] = tuple(found)
        return self._flooded[vlan]

    def _egress(
        self, target: LogicalPort, vlan: int, addresses: bytes, came_from: LogicalPort, unicast: bool
    ) -> SwitchPort | None:
        """The physical port through which a frame for `target` leaves; None if it is not ours to send."""
        if isinstance(target, str):
            return self._ports[target]
        active = [port for port in self._lags.active(target) if port.carries(vlan)]
        local = [port for port in active if self._owns(port)]
        remote = len(active) > len(local)
        if came_from == PEER_LINK and remote:
            return None
        if local:
            return local[crc32(addresses, vlan) % len(local)]
        return self._ports[PEER_LINK] if remote and unicast else None

    def _adopt(self, domain: LagDomain) -> None:
        """Become part of another switch's LACP system."""
        for port in self._ports.values():
            self._lags.leave(port)
            domain.join(port)
        self._lags = domain

    def _owns(self, port: SwitchPort) -> bool:
        return self._ports.get(port.name) is port


def _classify(port: SwitchPort, frame: bytes) -> tuple[int | None, bytes]:
    """The VLAN that a frame belongs to (None: drop it), and the frame from its ethertype on, without the tag.

    A tag that names the port's own PVID is not admitted: an access port takes no tags.
    """
    if frame[12:14] != _TAG:
        return port.forwarding.pvid, frame[12:]
    vlan = int.from_bytes(frame[14:16], "big") & 0xFFF
    if vlan == 0:  # a priority tag only
        return port.forwarding.pvid, frame[16:]
    return (vlan if port.all_vlans or vlan in port.forwarding.tagged else None), frame[16:]


def _emit(port: SwitchPort, vlan: int, addresses: bytes, rest: bytes) -> None:
    if not port.all_vlans and vlan == port.forwarding.pvid:
        port.interface.send(addresses + rest)
    elif port.carries(vlan):
        port.interface.send(addresses + _TAG + vlan.to_bytes(2, "big") + rest)


def pair(first: VirtualSwitch, second: VirtualSwitch) -> None:
    """Make two switches an MLAG pair: a peer link between them, one LACP system (the first one's MAC address).

    Call it before anything is cabled.

    Raises:
        ValueError: one of them is in a pair already.
    """
    for switch, other in ((first, second), (second, first)):
        if switch._partner is not None:
            raise ValueError(f"switch {switch.name} is in an MLAG pair already")
        switch._partner = other
    for port in second._ports.values():
        port.number |= SECOND
    second._adopt(first._lags)
    trunk = PortForwarding(enabled=True)
    connect(*(switch._add(PEER_LINK, trunk, all_vlans=True).interface for switch in (first, second)))
