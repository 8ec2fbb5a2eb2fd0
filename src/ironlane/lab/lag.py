"""Link aggregation on the switches' side: ports, their LAGs, and which members are active."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.lab.lacp import LacpPort
from ironlane.lab.wire import Interface

SECOND = 0x8000
"""Set in the port numbers of a pair's second switch."""
_ALONE_FIRST, _ALONE_SECOND = 0x10000, 0x20000


@dataclass(slots=True, eq=False)
class SwitchPort:
    """One physical port of a virtual switch, which has the MAC address `system`.

    `number` is unique in the LACP system that the port belongs to. `all_vlans` ports are trunks that carry every
    VLAN tagged and nothing untagged (peer links, uplinks).
    """

    name: str
    number: int
    interface: Interface
    forwarding: PortForwarding
    system: bytes
    all_vlans: bool = False
    lacp: LacpPort | None = None

    @property
    def lag_number(self) -> int | None:
        """The number of the port's LAG in its domain (see `number_in_domain`)."""
        return None if self.forwarding.lag is None else self.number_in_domain(self.forwarding.lag)

    def number_in_domain(self, lag: LagMembership) -> int:
        """A LAG's number among all LAGs of the domain: what goes on at the peer has one number, what does not another
        on each of the two."""
        if lag.alone:
            return lag.number + (_ALONE_SECOND if self.number & SECOND else _ALONE_FIRST)
        return lag.number if lag.mlag is None else lag.mlag

    def carries(self, vlan: int) -> bool:
        return self.forwarding.enabled and (self.all_vlans or vlan in self.forwarding.vlans)


class LagDomain:
    """The LAGs of one LACP system: a single switch, or an MLAG pair whose switches share the domain.

    Members of a LAG are ordered by port number; the first switch of a pair comes first.
    """

    def __init__(self, system: bytes) -> None:
        self.system = system
        self._members: dict[int, list[SwitchPort]] = {}
        self._active: dict[int, tuple[SwitchPort, ...]] = {}

    def active(self, number: int) -> tuple[SwitchPort, ...]:
        """The members of a LAG that send and receive frames, on all switches of the domain."""
        return self._active.get(number, ())

    def join(self, port: SwitchPort) -> None:
        """Make the port a member of the LAG that its forwarding names; call `reconsider` afterwards."""
        lag = port.forwarding.lag
        if lag is None:
            return
        number = port.number_in_domain(lag)
        if lag.lacp:
            interface = port.interface
            system, key = (port.system, lag.number) if lag.alone else (self.system, number)
            port.lacp = LacpPort(system, key, port.number, lambda pdu: interface.send(pdu.frame(system)))
        members = self._members.setdefault(number, [])
        members.append(port)
        members.sort(key=lambda member: member.number)

    def leave(self, port: SwitchPort) -> LacpPort | None:
        """Take the port out of its LAG; gives back its LACP state, so that it can say farewell."""
        for members in self._members.values():
            if port in members:
                members.remove(port)
        lacp, port.lacp = port.lacp, None
        return lacp

    def reconsider(self, numbers: Iterable[int]) -> None:
        """Decide anew which members are active, then let LACP tell the partners."""
        numbers = sorted(set(numbers))
        for number in numbers:
            self._select(number)
            self._active[number] = self._decide(number)
        for number in numbers:
            for port in tuple(self._members.get(number, ())):
                if port.lacp is not None and port.interface.carrier:
                    port.lacp.talk()

    def _live(self, number: int) -> list[SwitchPort]:
        return [p for p in self._members.get(number, ()) if p.forwarding.enabled and p.interface.carrier]

    def _select(self, number: int) -> None:
        """Members may bundle when they have the same partner as the first that has one (802.1AX, 6.4.14)."""
        first: tuple[bytes, int] | None = None
        for port in self._live(number):
            if port.lacp is None:
                continue
            partner = port.lacp.partner
            if partner is not None and first is None:
                first = (partner.system, partner.key)
            port.lacp.selected = partner is not None and (partner.system, partner.key) == first

    def _decide(self, number: int) -> tuple[SwitchPort, ...]:
        live = self._live(number)
        lags = [port.forwarding.lag for port in live]
        if live and all(lag and lag.fallback for lag in lags) and not any(p.lacp and p.lacp.partner for p in live):
            return (live[0],)
        active = tuple(port for port in live if port.lacp is None or port.lacp.active)
        needed = max((lag.min_links for lag in lags if lag), default=1)
        return active if len(active) >= needed else ()
