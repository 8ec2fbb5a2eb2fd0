"""A virtual data centre from a description: racks of switches and servers, cabled, with their control planes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv4Interface
from types import TracebackType
from typing import TYPE_CHECKING, Self

import asyncssh

from ironlane.lab.bmc import RedfishBmcs
from ironlane.lab.dhcp import FindPort
from ironlane.lab.forwarding import LagMembership
from ironlane.lab.frames import Lldp
from ironlane.lab.ipmi import IpmiBmc
from ironlane.lab.netconf import NetconfServer
from ironlane.lab.reach import InvariantWatch, Reach, measure_reach
from ironlane.lab.server import BondPlan, Timings, VirtualServer
from ironlane.lab.services import ServicesHost
from ironlane.lab.switch import VirtualSwitch, pair
from ironlane.lab.tftp import ReadFile
from ironlane.lab.wire import connect

if TYPE_CHECKING:
    from ironlane.lab.gnmi import GnmiServer

UPLINK = "uplink"
"""The port of each switch that goes to the spine."""
_UPLINK_LAGS = 2001
"""First LAG number of the uplinks, above all that an operator may use."""


@dataclass(frozen=True, slots=True)
class SwitchDescription:
    """A top-of-rack switch, and how to log in to its NETCONF server (port 0: any free one).

    With `gnmi_port` it speaks gNMI there instead, in plain text.
    """

    name: str
    mac: str
    ports: tuple[str, ...]
    username: str = "admin"
    password: str = field(default="admin", repr=False)
    netconf_port: int = 0
    gnmi_port: int | None = None


@dataclass(frozen=True, slots=True)
class NicDescription:
    """A NIC and the switch port that it is cabled to."""

    name: str
    mac: str
    switch: str
    port: str


@dataclass(frozen=True, slots=True)
class ServerDescription:
    """A server. `pxe_nics`, `bond`, `addresses`, `dhcp` and `disk_image` are as for `VirtualServer`."""

    name: str
    nics: tuple[NicDescription, ...]
    pxe_nics: tuple[str, ...] | None = None
    bond: BondPlan | None = None
    addresses: Mapping[str, IPv4Interface] = field(default_factory=dict)
    dhcp: bool = True
    disk_image: str | None = None
    bmc_username: str = "admin"
    bmc_password: str = field(default="admin", repr=False)
    ipmi_port: int = 0


@dataclass(frozen=True, slots=True)
class ServicesDescription:
    """A services host at the spine, with its address in each VLAN that it is present in."""

    name: str
    mac: str
    vlans: Mapping[int, IPv4Interface] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RackDescription:
    """Everything that is in the virtual data centre, and the cables.

    `pairs` are the names of switches that form an MLAG pair, the first of them giving the LACP system id. All switches
    hang below one spine: a pair by a LAG with a member on each of the two.
    """

    switches: tuple[SwitchDescription, ...]
    servers: tuple[ServerDescription, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    services: tuple[ServicesDescription, ...] = ()
    redfish_port: int = 0
    """TCP port of the Redfish server that all servers' BMCs share; 0: any free one."""
    spine_mac: str = "02:5a:00:00:00:01"

    @property
    def cabling(self) -> dict[tuple[str, str], str]:
        """Which server is at which (switch, port)."""
        return {(nic.switch, nic.port): server.name for server in self.servers for nic in server.nics}

    def check(self) -> None:
        """Raises `ValueError` when a name or a MAC address is there twice, or a cable has nowhere to go."""
        for kind, names in {
            "switch": [switch.name for switch in self.switches],
            "server": [server.name for server in self.servers],
            "services host": [host.name for host in self.services],
            "MAC address": [nic.mac.lower() for server in self.servers for nic in server.nics],
            "pair with switch": [name for both in self.pairs for name in both],
            "cable at": [f"{nic.switch}/{nic.port}" for server in self.servers for nic in server.nics],
        }.items():
            doubles = sorted({name for name in names if names.count(name) > 1})
            if doubles:
                raise ValueError(f"more than one {kind} {', '.join(doubles)}")
        ports = {(switch.name, port) for switch in self.switches for port in switch.ports}
        lost = sorted(f"{server} to {at[0]}/{at[1]}" for at, server in self.cabling.items() if at not in ports)
        if lost:
            raise ValueError(f"cables lead to ports that do not exist: {', '.join(lost)}")


def standard_racks(
    pairs: int = 1,
    servers: int = 8,
    *,
    bond_mode: str | None = "802.3ad",
    vlans: Mapping[int, IPv4Interface] | None = None,
) -> RackDescription:
    """The usual racks: MLAG pairs `leaf-1a`/`leaf-1b`, each with `servers` dual-homed servers (at most 254).

    Server k of rack n is `server-<n>-<k>` with `eth0` at `Ethernet<k>` of `leaf-<n>a` (it boots from there) and
    `eth1` at `Ethernet<k>` of `leaf-<n>b`. `vlans` are the networks on which the services host `services` is present.
    """
    switches, machines, names = [], [], []
    for rack in range(1, pairs + 1):
        ports = tuple(f"Ethernet{number}" for number in range(1, servers + 1))
        both = (f"leaf-{rack}a", f"leaf-{rack}b")
        names.append(both)
        switches += [SwitchDescription(name, f"02:5a:00:{rack:02x}:00:0{n}", ports) for n, name in enumerate(both, 1)]
        for number, port in enumerate(ports, 1):
            nics = tuple(
                NicDescription(f"eth{side}", f"52:54:{rack:02x}:{number:02x}:00:0{side}", leaf, port)
                for side, leaf in enumerate(both)
            )
            bond = BondPlan(bond_mode, ("eth0", "eth1")) if bond_mode else None
            machines.append(ServerDescription(f"server-{rack}-{number}", nics, pxe_nics=("eth0",), bond=bond))
    services = (ServicesDescription("services", "02:5a:00:ff:00:01", dict(vlans)),) if vlans else ()
    return RackDescription(tuple(switches), tuple(machines), tuple(names), services)


class VirtualRack:
    """The virtual data centre, running while the async context lasts.

    `api_url` is the Baremetal API's root for the servers' agents. `find_port` and `read_file` make the services hosts
    serve DHCP and TFTP. `netconf`, `redfish` and `ipmi` say which control planes run: a NETCONF or gNMI server for each
    switch, one Redfish server with a system for each server (by its name), an IPMI BMC for each server. Without
    them, load the switches' forwarding by hand.

    Raises:
        ValueError: the description contradicts itself (see `RackDescription.check`).
    """

    def __init__(
        self,
        description: RackDescription,
        *,
        api_url: str = "",
        find_port: FindPort | None = None,
        read_file: ReadFile | None = None,
        timings: Timings | None = None,
        netconf: bool = True,
        redfish: bool = True,
        ipmi: bool = False,
    ) -> None:
        description.check()
        self.description = description
        self.switches = _switches(description)
        self.spine = _spine(description, self.switches)
        self.servers = {server.name: _server(server, api_url, timings) for server in description.servers}
        self.services = {
            host.name: ServicesHost(host.name, host.mac, host.vlans, find_port=find_port, read_file=read_file)
            for host in description.services
        }
        for host in self.services.values():
            connect(host.interface, self.spine.interface(host.name))
        for server in description.servers:
            for nic in server.nics:
                switch = self.switches[nic.switch]
                connect(self.servers[server.name].interface(nic.name), switch.interface(nic.port))
        self.netconf = self._netconf_servers() if netconf else {}
        self.gnmi = self._gnmi_servers() if netconf else {}
        self.redfish = self._redfish() if redfish else None
        self.ipmi = self._ipmi() if ipmi else {}
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all servers' listeners; nothing is left running when one of them fails."""
        async with AsyncExitStack() as starting:
            for host in self.services.values():
                starting.push_async_callback(host.close)
            for machine in self.servers.values():
                starting.push_async_callback(machine.close)
            planes: list[NetconfServer | GnmiServer] = [*self.netconf.values(), *self.gnmi.values()]
            for switch in planes:
                starting.push_async_callback(switch.stop)
                await switch.start()
            if self.redfish is not None:
                starting.push_async_callback(self.redfish.stop)
                await self.redfish.start(self.description.redfish_port)
            for server in self.description.servers if self.ipmi else ():
                starting.push_async_callback(self.ipmi[server.name].stop)
                await self.ipmi[server.name].start(server.ipmi_port)
            self._running = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.__aexit__(kind, error, trace)

    def agent_port(self, address: IPv4Address) -> int | None:
        """TCP port on loopback of the agent that answers ARP for an address, asked by the services hosts right now."""
        for host in self.services.values():
            for vlan in host.vlans:
                mac = host.endpoint(vlan).resolve(address)
                for server in self.servers.values() if mac is not None else ():
                    if any(nic.mac == mac for nic in server.nics.values()):
                        return server.agent_port
        return None

    def reach(self) -> Reach:
        """Measure who reaches whom now."""
        return measure_reach(self.servers.values(), self.services.values())

    def watch(self, provider_vlans: Iterable[int], tenant_of: Callable[[int], str | None]) -> InvariantWatch:
        """Check all switches against the invariants at every commit from now on."""
        watch = InvariantWatch(self.description.cabling, frozenset(provider_vlans), tenant_of)
        watch.attach(self.switches.values())
        return watch

    def _netconf_servers(self) -> dict[str, NetconfServer]:
        key = asyncssh.generate_private_key("ssh-ed25519")
        return {
            switch.name: NetconfServer(
                switch.ports,
                self.switches[switch.name].load,
                port=switch.netconf_port,
                username=switch.username,
                password=switch.password,
                host_key=key,
                neighbours=partial(_heard_by, self.switches[switch.name]),
            )
            for switch in self.description.switches
            if switch.gnmi_port is None
        }

    def _gnmi_servers(self) -> dict[str, GnmiServer]:
        switches = [switch for switch in self.description.switches if switch.gnmi_port is not None]
        if not switches:
            return {}
        from ironlane.lab.gnmi import GnmiServer  # gRPC is heavy, and most racks do without

        return {
            switch.name: GnmiServer(
                switch.ports,
                self.switches[switch.name].load,
                port=switch.gnmi_port or 0,
                username=switch.username,
                password=switch.password,
                neighbours=partial(_heard_by, self.switches[switch.name]),
            )
            for switch in switches
        }

    def _redfish(self) -> RedfishBmcs:
        bmcs = RedfishBmcs()
        for server in self.description.servers:
            bmcs.add(server.name, self.servers[server.name], server.bmc_username, server.bmc_password)
        return bmcs

    def _ipmi(self) -> dict[str, IpmiBmc]:
        return {
            server.name: IpmiBmc(self.servers[server.name], server.bmc_username, server.bmc_password)
            for server in self.description.servers
        }


def _heard_by(switch: VirtualSwitch) -> Mapping[str, Lldp]:
    return switch.neighbours


def _uplink_lags(description: RackDescription) -> dict[str, LagMembership]:
    """The LAG that each paired switch's uplink is a member of, on both ends."""
    return {
        name: LagMembership(number, lacp=False)
        for number, both in enumerate(description.pairs, _UPLINK_LAGS)
        for name in both
    }


def _switches(description: RackDescription) -> dict[str, VirtualSwitch]:
    lags = _uplink_lags(description)
    switches = {
        switch.name: VirtualSwitch(switch.name, switch.mac, switch.ports, {UPLINK: lags.get(switch.name)})
        for switch in description.switches
    }
    for first, second in description.pairs:
        if first not in switches or second not in switches:
            raise ValueError(f"there are no two switches {first} and {second} to pair")
        pair(switches[first], switches[second])
    return switches


def _spine(description: RackDescription, switches: Mapping[str, VirtualSwitch]) -> VirtualSwitch:
    lags = _uplink_lags(description)
    ports = {name: lags.get(name) for name in switches} | {host.name: None for host in description.services}
    spine = VirtualSwitch("spine", description.spine_mac, (), ports)
    for name, switch in switches.items():
        connect(switch.interface(UPLINK), spine.interface(name))
    return spine


def _server(description: ServerDescription, api_url: str, timings: Timings | None) -> VirtualServer:
    return VirtualServer(
        description.name,
        {nic.name: nic.mac for nic in description.nics},
        api_url=api_url,
        pxe_nics=description.pxe_nics,
        bond=description.bond,
        addresses=description.addresses,
        dhcp=description.dhcp,
        disk_image=description.disk_image,
        timings=timings,
    )
