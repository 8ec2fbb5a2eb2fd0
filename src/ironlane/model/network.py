"""Nouns of the Networking API: physical networks, networks, subnets, network ports.

Source of the attributes: the OpenStack Networking API v2.0 reference. Times are UTC, ids are UUIDs as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ironlane.model.fabric import Side, Vlan


class NetworkType(StrEnum):
    """`provider:network_type`: how a network is told from others on its physical network."""

    VLAN = "vlan"
    """By an 802.1Q VLAN id."""
    FLAT = "flat"
    """Not at all: it is the physical network itself. It has no VLAN, so no switch port can be bound to it."""


class VnicType(StrEnum):
    """`binding:vnic_type`: what kind of NIC a network port is for. Ironlane binds `baremetal` and `smart-nic`."""

    NORMAL = "normal"
    BAREMETAL = "baremetal"
    SMART_NIC = "smart-nic"
    DIRECT = "direct"
    DIRECT_PHYSICAL = "direct-physical"
    MACVTAP = "macvtap"
    VIRTIO_FORWARDER = "virtio-forwarder"
    VDPA = "vdpa"
    ACCELERATOR_DIRECT = "accelerator-direct"
    ACCELERATOR_DIRECT_PHYSICAL = "accelerator-direct-physical"
    REMOTE_MANAGED = "remote-managed"


class VifType(StrEnum):
    """`binding:vif_type`: what has become of a binding."""

    UNBOUND = "unbound"
    """No `binding:host_id`."""
    OTHER = "other"
    """Bound to a host; its switch ports, if it names any, are the fabric's business."""
    BINDING_FAILED = "binding_failed"
    """Bound to a host, but nothing here serves that `binding:vnic_type`."""


class IpAllocation(StrEnum):
    """`ip_allocation`: when a network port is given addresses."""

    IMMEDIATE = "immediate"
    """When it was created, or since."""
    DEFERRED = "deferred"
    """Its network had no subnet: when it is bound to a host, if there is one by then."""
    NONE = "none"
    """Never: the client asked for an empty list of `fixed_ips`."""


@dataclass(frozen=True, slots=True)
class PhysicalNetwork:
    """A set of switches that share VLAN ids. `tenant_vlans` are inclusive ranges that tenant networks draw from."""

    name: str
    tenant_vlans: tuple[tuple[int, int], ...] = ()
    mtu: int = 1500
    position: int = 0

    def is_tenant_vlan(self, vlan: int) -> bool:
        return any(first <= vlan <= last for first, last in self.tenant_vlans)


@dataclass(frozen=True, slots=True)
class Network:
    """An L2 segment. `vlan` (`provider:segmentation_id`) is None for a flat network. `subnets` are their ids."""

    id: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    shared: bool
    router_external: bool
    port_security_enabled: bool
    mtu: int
    network_type: NetworkType
    physical_network: str
    vlan: Vlan | None
    side: Side
    tags: tuple[str, ...]
    revision_number: int
    created_at: datetime
    updated_at: datetime
    subnets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pool:
    """An inclusive range of addresses that ports are given addresses from."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A route that DHCP hands out: `destination` is a CIDR, `nexthop` an address."""

    destination: str
    nexthop: str


@dataclass(frozen=True, slots=True)
class Subnet:
    """The addresses of a network. `cidr` is in canonical form; `gateway_ip` None means that there is no gateway."""

    id: str
    network_id: str
    project_id: str
    name: str
    description: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    allocation_pools: tuple[Pool, ...]
    dns_nameservers: tuple[str, ...]
    host_routes: tuple[HostRoute, ...]
    ipv6_ra_mode: str | None
    ipv6_address_mode: str | None
    tags: tuple[str, ...]
    revision_number: int
    created_at: datetime
    updated_at: datetime

    @property
    def from_mac(self) -> bool:
        """Hosts make their own address from their MAC address (SLAAC), so a port's address follows from its MAC."""
        return self.ipv6_address_mode in {"slaac", "dhcpv6-stateless"}


@dataclass(frozen=True, slots=True)
class FixedIp:
    """One address of a network port."""

    subnet_id: str
    ip_address: str


@dataclass(frozen=True, slots=True)
class NetworkPort:
    """A place on a network.

    `status` is ACTIVE only after a read-back of every switch port it asks for; `status_reason` says what it waits for.
    `profile` is the client's `binding:profile` as sent; `extra_dhcp_opts` are `{opt_name, opt_value, ip_version}`.
    """

    id: str
    network_id: str
    project_id: str
    name: str
    description: str
    mac_address: str
    admin_state_up: bool
    device_id: str
    device_owner: str
    status: str
    status_reason: str
    vnic_type: VnicType
    host_id: str
    vif_type: VifType
    profile: Mapping[str, Any]
    extra_dhcp_opts: tuple[Mapping[str, Any], ...]
    ip_allocation: IpAllocation
    port_security_enabled: bool
    tags: tuple[str, ...]
    revision_number: int
    created_at: datetime
    updated_at: datetime
    fixed_ips: tuple[FixedIp, ...] = ()
    trunk_id: str | None = None
    """The trunk whose parent port or sub-port it is."""

    @property
    def bound(self) -> bool:
        """Whether the port is bound to a host, so that its MAC address is fixed."""
        return self.vif_type is VifType.OTHER


class TrunkStatus(StrEnum):
    """`status` of a trunk: how much of what its ports ask for was read back."""

    DOWN = "DOWN"
    """The parent port asks for no switch port."""
    BUILD = "BUILD"
    """Some of it is not on its switch ports yet."""
    ACTIVE = "ACTIVE"
    """All of it is."""


@dataclass(frozen=True, slots=True)
class SubPort:
    """A network port that shares its trunk's switch ports, with an 802.1Q tag: always its network's VLAN (ADR 6)."""

    port_id: str
    segmentation_id: Vlan
    segmentation_type: str = "vlan"
    mac_address: str = ""


@dataclass(frozen=True, slots=True)
class TrunkDetails:
    """`trunk_details` of a network port that is a trunk's parent port."""

    trunk_id: str
    sub_ports: tuple[SubPort, ...]


@dataclass(frozen=True, slots=True)
class Trunk:
    """Several networks on one place of a server: `port_id`'s untagged, those of `sub_ports` tagged."""

    id: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    port_id: str
    status: TrunkStatus
    tags: tuple[str, ...]
    revision_number: int
    created_at: datetime
    updated_at: datetime
    sub_ports: tuple[SubPort, ...] = ()
