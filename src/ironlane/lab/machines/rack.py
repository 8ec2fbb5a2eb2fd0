"""A rack of real parts: two switches, servers with BMCs, hosts that are there already, and this host's legs.

To be made in namespaces of one's own (`programs.NAMESPACE`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from ironlane.lab.bmc import RedfishBmcs
from ironlane.lab.ipmi import IpmiBmc
from ironlane.lab.machines import hosts
from ironlane.lab.machines.cable import Cable
from ironlane.lab.machines.hosts import Host
from ironlane.lab.machines.qemu import Firmware, MachineNic, QemuMachine
from ironlane.lab.machines.switch import Switch

PROVISIONING_VLAN = 101
HERE = IPv4Interface("10.101.0.1/24")
"""This host on the provisioning network; the conductor's services are there."""
HERE_V6 = "fd00:101::1/64"
"""iPXE waits 16 s for a router advertisement, if there is none; so there is one on each network."""
LEG = "provisioning"
WITNESS = IPv4Interface("10.101.0.9/24")
"""A host that is on the provisioning network for good: who reaches it is on that network."""
USER, PASSWORD = "admin", "ironlane-lab"


@dataclass(frozen=True, slots=True)
class Tenant:
    """`here`, `here_v6`: where the conductor is on its network. `peer`: a host of its that is there already."""

    name: str
    here: IPv4Interface
    peer: IPv4Interface
    here_v6: str


TENANTS = (
    Tenant("red", IPv4Interface("192.0.2.2/24"), IPv4Interface("192.0.2.9/24"), "fd00:201::1/64"),
    Tenant("blue", IPv4Interface("198.51.100.2/24"), IPv4Interface("198.51.100.9/24"), "fd00:202::1/64"),
)


@dataclass(frozen=True, slots=True)
class Link:
    """Where a NIC's cable ends."""

    mac: str
    switch: str
    port: str


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """A server. With several links they are a LACP bond when the operating system runs."""

    name: str
    driver: str
    tenant: Tenant
    links: tuple[Link, ...]
    firmware: Firmware = "bios"


SERVERS = (
    ServerPlan(
        "server-1",
        "ipmi",
        TENANTS[0],
        (Link("52:54:00:00:01:00", "leaf-1", "swp1"), Link("52:54:00:00:01:01", "leaf-1", "swp2")),
        "uefi",
    ),
    ServerPlan("server-2", "redfish", TENANTS[1], (Link("52:54:00:00:02:00", "leaf-2", "swp1"),)),
)
SWITCHES = {"leaf-1": "02:5c:00:00:00:01", "leaf-2": "02:5c:00:00:00:02"}


@dataclass(slots=True)
class MachineRack:
    """What runs, by name. Use `start` and `stop`; `directory`'s path must be short, for it holds sockets."""

    directory: Path
    plans: Sequence[ServerPlan]
    accel: str
    switches: dict[str, Switch] = field(default_factory=dict)
    machines: dict[str, QemuMachine] = field(default_factory=dict)
    peers: dict[str, Host] = field(default_factory=dict)
    ipmi: dict[str, IpmiBmc] = field(default_factory=dict)
    redfish: RedfishBmcs = field(default_factory=RedfishBmcs)
    _cables: list[Cable] = field(default_factory=list)

    @property
    def witnesses(self) -> Mapping[str, IPv4Address]:
        """Who is looked for from every server: name to address."""
        return {"provisioning": WITNESS.ip, "conductor": HERE.ip} | {t.name: t.peer.ip for t in TENANTS}

    @property
    def legs(self) -> list[str]:
        """The devices that the conductor answers DHCP on."""
        return [LEG, *(tenant.name for tenant in TENANTS)]

    async def start(self, disk_bytes: int) -> None:
        """Everything but the tenants' networks, whose VLANs are not known yet; the servers are off."""
        await hosts.prepare()
        for name, mac in SWITCHES.items():
            self.switches[name] = Switch(name, self.directory / name, hosts.SWITCHES, mac)
            await self.switches[name].start()
        await hosts.trunk(*self.switches.values())
        await hosts.leg(self.switches["leaf-1"], PROVISIONING_VLAN, LEG, str(HERE), HERE_V6)
        await self._peer("witness", WITNESS, PROVISIONING_VLAN)
        await self.redfish.start()
        for plan in self.plans:
            await self._add(plan, disk_bytes)

    async def stop(self) -> None:
        for machine in self.machines.values():
            await machine.power_off()
        for bmc in self.ipmi.values():
            await bmc.stop()
        await self.redfish.stop()
        for cable in self._cables:
            await cable.stop()
        for switch in self.switches.values():
            await switch.stop()

    async def join(self, tenant: Tenant, vlan: int) -> None:
        """A tenant's network has been given a VLAN: its peer is there, and the conductor answers DHCP there."""
        await hosts.leg(self.switches["leaf-1"], vlan, tenant.name, str(tenant.here), tenant.here_v6)
        await self._peer(f"{tenant.name}-peer", tenant.peer, vlan)

    async def _peer(self, name: str, address: IPv4Interface, vlan: int) -> None:
        self.peers[name] = Host(name, address)
        await self.peers[name].plug(self.switches["leaf-1"], vlan)

    async def _add(self, plan: ServerPlan, disk_bytes: int) -> None:
        nics = []
        for number, link in enumerate(plan.links):
            socket = await self.switches[link.switch].add_machine_port(link.port)
            cable = Cable(self.directory / f"{plan.name}-eth{number}.sock", socket)
            await cable.start()
            self._cables.append(cable)
            nics.append(MachineNic(cable.nic, link.mac))
        machine = QemuMachine(plan.name, self.directory, nics, self.accel, plan.firmware)
        machine.make(disk_bytes)
        self.machines[plan.name] = machine
        if plan.driver == "redfish":
            self.redfish.add(plan.name, machine, USER, PASSWORD)
        else:
            self.ipmi[plan.name] = IpmiBmc(machine, USER, PASSWORD)
            await self.ipmi[plan.name].start()
