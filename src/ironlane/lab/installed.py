"""The operating system on a server's disk: network devices, bonds, IPv4."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from ironlane.lab.endpoint import Ipv4Endpoint
from ironlane.lab.firmware import Timings, acquire
from ironlane.lab.frames import Lldp, mac_text
from ironlane.lab.nic import Bond, Link, Nic


@dataclass(frozen=True, slots=True)
class BondPlan:
    """A bond that the operating system makes: Linux's mode name, and NIC names with the primary first."""

    mode: str
    nics: tuple[str, ...]
    name: str = "bond0"


class InstalledOs:
    """A running operating system: a link for each NIC or bond, with an IPv4 endpoint on each.

    `addresses` are static ones by link name; the other links ask by DHCP (if `dhcp`) until they get a lease.
    It announces itself on every NIC by LLDP, when the link comes up, as lldpd does: the first NIC's MAC address as
    chassis id, the NIC's own as port id.
    `received` are the latest frames that came up a link, with its name: for its MAC address, broadcast or multicast.
    """

    def __init__(
        self,
        hostname: str,
        nics: Mapping[str, Nic],
        bond: BondPlan | None,
        addresses: Mapping[str, IPv4Interface],
        *,
        dhcp: bool,
        timings: Timings,
        on_change: Callable[[], None],
    ) -> None:
        self.links: dict[str, Link] = {}
        self.endpoints: dict[str, Ipv4Endpoint] = {}
        self.received: deque[tuple[str, bytes]] = deque(maxlen=10_000)
        self._nics = nics
        self._dhcp = dhcp
        self._timings = timings
        self._on_change = on_change
        bonded = bond.nics if bond is not None and len(bond.nics) > 1 else ()
        for name, nic in nics.items():
            if name not in bonded:
                self._add(Link(nic, self._deliver(name)))
        if bond is not None and bonded:
            members = [nics[name] for name in bonded]
            self._add(Bond(bond.name, members, bond.mode, self._deliver(bond.name), self._failover(bond.name)))
        for name, address in addresses.items():
            if name in self.endpoints:
                self.endpoints[name].addresses.append(address)
        for nic in nics.values():
            self._announce_on(nic, hostname)

    def link(self, name: str | None = None) -> Link:
        """A link by name; without one, the bond if there is one, else the first NIC.

        Raises:
            KeyError: no such link.
        """
        if name is not None:
            return self.links[name]
        return next((link for link in self.links.values() if isinstance(link, Bond)), next(iter(self.links.values())))

    async def run(self) -> None:
        """Get addresses by DHCP, and stay until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, endpoint in self.endpoints.items():
                if self._dhcp and not endpoint.addresses:
                    tasks.create_task(self._configure(name))
            await asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """The machine goes down: nobody drives the NICs any more."""
        for nic in self._nics.values():
            nic.release()

    def ping(self, ip: IPv4Address, link: str | None = None) -> bool:
        """Whether the address answers on a link (by default as `link`)."""
        return self.endpoints[self.link(link).name].ping(ip)

    async def _configure(self, name: str) -> None:
        while await acquire(self.endpoints[name], self._timings) is None:  # noqa: ASYNC110 - a DHCP client does poll
            await asyncio.sleep(self._timings.os_dhcp_retry)
        self.endpoints[name].announce()
        self._on_change()

    def _announce_on(self, nic: Nic, hostname: str) -> None:
        chassis = next(iter(self._nics.values())).mac
        frame = Lldp(chassis, mac_text(nic.mac), hostname, port_mac=nic.mac).frame(nic.mac)
        bonding = nic.on_link

        def link_changed() -> None:
            if bonding is not None:
                bonding()
            if nic.carrier:
                nic.send(frame)

        nic.on_link = link_changed
        if nic.carrier:
            nic.send(frame)

    def _add(self, link: Link) -> None:
        self.links[link.name] = link
        self.endpoints[link.name] = Ipv4Endpoint(link.mac, link.send)

    def _deliver(self, name: str) -> Callable[[bytes], None]:
        def deliver(frame: bytes) -> None:
            link = self.links.get(name)
            if link is None or not (frame[0] & 1 or frame[:6] == link.mac):
                return
            self.received.append((name, frame))
            self.endpoints[name].receive(frame)

        return deliver

    def _failover(self, name: str) -> Callable[[], None]:
        def failed_over() -> None:
            self.endpoints[name].announce()

        return failed_over
