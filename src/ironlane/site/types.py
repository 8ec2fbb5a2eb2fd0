"""What a site file says, as frozen values. `docs/site-file.md` explains each key to the person who writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ironlane.model.fabric import DriftPolicy
from ironlane.model.inventory import VlanRange


@dataclass(frozen=True, slots=True)
class Plane:
    """One of the site's planes; descriptive, for people and the console. `cidr` may be empty."""

    name: str
    cidr: str = ""
    gateway: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class PhysicalNetwork:
    """A set of switches among which VLANs reach. Tenants' VLANs are given out from `tenant_vlans`. `mtu` in bytes."""

    name: str
    tenant_vlans: tuple[VlanRange, ...] = ()
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses from `first` to `last`, both included, that DHCP may give out."""

    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Subnet:
    """The addresses of a provider network. No pools: all addresses but the gateway's."""

    cidr: str
    gateway: str | None = None
    pools: tuple[Pool, ...] = ()
    dns: tuple[str, ...] = ()
    dhcp: bool = True


@dataclass(frozen=True, slots=True)
class Network:
    """A provider network: a VLAN outside the tenants' ranges. `mtu` None: that of the physical network."""

    name: str
    physical_network: str
    vlan: int
    mtu: int | None = None
    subnet: Subnet | None = None


@dataclass(frozen=True, slots=True)
class Rack:
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """A top-of-rack switch. `ports` are those that Ironlane owns; all others it never writes."""

    name: str
    kind: str
    address: str
    physical_network: str
    ports: tuple[str, ...]
    rack: str | None = None
    port: int | None = None
    username: str = ""
    secret: str = ""
    mac: str | None = None
    datapath_id: str | None = None
    idle_vlan: int | None = None
    mlag_peer: str | None = None
    policy: str = DriftPolicy.REPAIR.value
    """What becomes of changes that somebody else makes on the ports."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def switch_id(self) -> str:
        """What local link information calls the switch: its MAC address, else its datapath id."""
        return self.mac or self.datapath_id or ""


@dataclass(frozen=True, slots=True)
class Bmc:
    """How to reach a node out of band. `password_secret` is the name of a secret."""

    address: str
    port: int | None = None
    username: str = ""
    password_secret: str = ""


@dataclass(frozen=True, slots=True)
class Nic:
    """One NIC of a node and the switch port it is cabled to. `address` is its MAC address."""

    name: str
    address: str
    switch: str | None = None
    port: str | None = None
    pxe: bool = False


@dataclass(frozen=True, slots=True)
class Portgroup:
    """NICs of a node that act as one link. Among portgroups the one with the highest `priority` is used first."""

    name: str
    nics: tuple[str, ...]
    mode: str = "802.3ad"
    priority: int = 0
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """A bare-metal server."""

    name: str
    driver: str
    bmc: Bmc | None = None
    driver_info: Mapping[str, Any] = field(default_factory=dict)
    rack: str | None = None
    resource_class: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    nics: tuple[Nic, ...] = ()
    portgroups: tuple[Portgroup, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """A whole site: checked, and free of contradictions."""

    name: str = ""
    planes: tuple[Plane, ...] = ()
    physical_networks: tuple[PhysicalNetwork, ...] = ()
    networks: tuple[Network, ...] = ()
    racks: tuple[Rack, ...] = ()
    switches: tuple[Switch, ...] = ()
    nodes: tuple[Node, ...] = ()

    def switch(self, name: str) -> Switch:
        """The switch of that name; `KeyError` when there is none (a checked site refers to none that is missing)."""
        for switch in self.switches:
            if switch.name == name:
                return switch
        raise KeyError(name)
