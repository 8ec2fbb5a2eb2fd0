"""Nouns of the Baremetal API: node, baremetal port, portgroup, allocation, chassis, volumes.

They mirror the rows of the store field by field; what a client may see of them, and since which API version, is said
in `ironlane.api.baremetal`. JSON values (`driver_info`, `extra`, …) have the shape that the client gave them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from ironlane.model.states import ProvisionState

NodeId = NewType("NodeId", str)
"""UUID of a node; also its ports' `binding:host_id` and its key on the hash ring."""

BaremetalPortId = NewType("BaremetalPortId", str)
"""UUID of a baremetal port, that is of one NIC of a node."""

PortgroupId = NewType("PortgroupId", str)
"""UUID of a portgroup."""

TENANT_VIF = "tenant_vif_port_id"
"""Key in `internal_info`: UUID of the tenant port that is attached to this NIC or portgroup."""

VIF_ORDER = "tenant_vif_order"
"""Key in `internal_info`: when the VIF was attached, counted per node; the first takes the best place."""

VIF_PINNED = "tenant_vif_pinned"
"""Key in `internal_info`: the client itself chose this NIC or portgroup for the VIF."""


@dataclass(frozen=True, slots=True)
class Node:
    """A bare-metal server. `generation` counts the wishes of clients; `step` is the loop's place in the state."""

    id: NodeId
    name: str | None = None
    driver: str = ""
    driver_info: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    instance_info: Mapping[str, Any] = field(default_factory=dict)
    interfaces: Mapping[str, str] = field(default_factory=dict)
    traits: Sequence[str] = ()
    instance_uuid: str | None = None
    instance_name: str | None = None
    resource_class: str | None = None
    conductor_group: str = ""
    chassis_uuid: str | None = None
    allocation_uuid: str | None = None
    shard: str | None = None
    parent_node: str | None = None
    owner: str | None = None
    lessee: str | None = None
    description: str | None = None
    provision_state: ProvisionState = ProvisionState.ENROLL
    target_provision_state: ProvisionState | None = None
    provision_updated_at: datetime | None = None
    power_state: str | None = None
    target_power_state: str | None = None
    boot_device: str | None = None
    boot_device_persistent: bool = False
    boot_device_due: bool = False
    """The BMC has not been told of `boot_device` yet."""
    last_error: str | None = None
    maintenance: bool = False
    maintenance_reason: str | None = None
    fault: str | None = None
    protected: bool = False
    protected_reason: str | None = None
    retired: bool = False
    retired_reason: str | None = None
    automated_clean: bool = True
    driver_internal_info: Mapping[str, Any] = field(default_factory=dict)
    step: str | None = None
    agent_token_hash: str | None = None
    """SHA-256 in hex of the token that the present ramdisk was given; the token itself is never stored."""
    agent_report: str | None = None
    """`start`, `end` or `error`, as the ramdisk of the present boot said last."""
    agent_message: str | None = None
    agent_seen_at: datetime | None = None
    inspection_started_at: datetime | None = None
    inspection_finished_at: datetime | None = None
    generation: int = 1
    due_at: datetime | None = None
    attempts: int = 0
    conductor: str | None = None
    conductor_epoch: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def label(self) -> str:
        """What a person calls it: the name, else the UUID."""
        return self.name or self.id

    @property
    def deploy_interface(self) -> str:
        """How it is cleaned and deployed: `direct`, `ramdisk`, or `fake`, for which whoever plays the ramdisk reports
        `end` by itself."""
        return self.interfaces.get("deploy_interface") or ("fake" if self.driver == "fake-hardware" else "direct")

    @property
    def network_interface(self) -> str:
        """`neutron`: its switch ports are ours to move. `noop`: nobody's; its VIFs are not looked at either."""
        return self.interfaces.get("network_interface") or "neutron"

    @property
    def has_agent(self) -> bool:
        """Whether its ramdisk has an agent that takes commands."""
        return self.deploy_interface != "fake"

    @property
    def capabilities(self) -> Mapping[str, str]:
        """`properties.capabilities`: `boot_mode:uefi,secure_boot:true`."""
        text = str(self.properties.get("capabilities") or "")
        pairs = (part.partition(":") for part in text.split(","))
        return {key.strip(): value.strip() for key, colon, value in pairs if colon}


@dataclass(frozen=True, slots=True)
class BaremetalPort:
    """One NIC of a node. `address` is its MAC, `local_link_connection` the switch port that it is cabled to."""

    id: BaremetalPortId
    node_id: NodeId
    address: str
    portgroup_id: PortgroupId | None = None
    name: str | None = None
    local_link_connection: Mapping[str, Any] = field(default_factory=dict)
    pxe_enabled: bool = True
    physical_network: str | None = None
    is_smartnic: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    internal_info: Mapping[str, Any] = field(default_factory=dict)
    category: str | None = None
    vendor: str | None = None
    description: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def vif(self) -> str | None:
        """UUID of the tenant port that is attached here, or None."""
        value = self.internal_info.get(TENANT_VIF)
        return str(value) if value else None


@dataclass(frozen=True, slots=True)
class Portgroup:
    """NICs of a node that act as one link. `address` is its primary NIC's MAC; `mode` a Linux bonding mode."""

    id: PortgroupId
    node_id: NodeId
    name: str | None = None
    address: str | None = None
    mode: str = "active-backup"
    properties: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    internal_info: Mapping[str, Any] = field(default_factory=dict)
    standalone_ports_supported: bool = True
    physical_network: str | None = None
    category: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def vif(self) -> str | None:
        """UUID of the tenant port that is attached here, or None."""
        value = self.internal_info.get(TENANT_VIF)
        return str(value) if value else None

    @property
    def priority(self) -> int:
        """`properties.priority`, 0 unless set: the higher, the earlier a tenant port is attached here."""
        value = self.properties.get("priority", 0)
        try:
            return int(value)
        except (TypeError, ValueError):
            return 0


class AllocationState(StrEnum):
    """How far an allocation is."""

    ALLOCATING = "allocating"
    """A conductor looks for a node."""
    ACTIVE = "active"
    """It has its node."""
    ERROR = "error"
    """There was none; `last_error` says why."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """A wish for a node of a resource class, with traits, perhaps among some candidates (UUIDs)."""

    id: str
    name: str | None = None
    resource_class: str | None = None
    state: AllocationState = AllocationState.ALLOCATING
    last_error: str | None = None
    traits: Sequence[str] = ()
    candidate_nodes: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    owner: str | None = None
    node_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Chassis:
    """What holds several nodes, by the operator's word."""

    id: str
    description: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VolumeConnector:
    """What storage calls a node: an iSCSI initiator's name (`iqn`), an `ip`, a `mac`, a `wwnn`, `wwpn` or `port`."""

    id: str
    node_id: str
    type: str
    connector_id: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VolumeTarget:
    """A volume that a node is to have; the one with `boot_index` 0 is what it would boot from."""

    id: str
    node_id: str
    volume_type: str
    boot_index: int
    volume_id: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
