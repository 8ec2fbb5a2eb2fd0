"""What the Networking API's answers look like, for its OpenAPI document.

The handlers do not go through these models, because that would cost more than the rest of the work; the tests hold
answers against them, both ways. Which attributes are there depends on `fields` and on who asks, so none is promised.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def _promise_nothing(schema: dict[str, Any]) -> None:
    schema.pop("required", None)


class Answer(BaseModel):
    """A JSON object in an answer: it has no other attributes than these."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_promise_nothing)


Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Address = Annotated[str, Field(json_schema_extra={"format": "ip-address"})]


class Owned(Answer):
    id: Uuid
    tenant_id: str
    project_id: str


class Standard(Owned):
    """What networks, subnets, ports and trunks have in common."""

    name: str
    description: str
    tags: list[str]
    created_at: Moment
    updated_at: Moment
    revision_number: int


class Network(Standard):
    admin_state_up: bool
    shared: bool
    status: Literal["ACTIVE"]
    router_external: Annotated[bool, Field(alias="router:external")]
    port_security_enabled: bool
    mtu: int
    subnets: list[Uuid]
    network_type: Annotated[Literal["vlan", "flat"], Field(alias="provider:network_type")]
    physical_network: Annotated[str, Field(alias="provider:physical_network")]
    segmentation_id: Annotated[int | None, Field(alias="provider:segmentation_id")]
    availability_zone_hints: list[str]
    availability_zones: list[str]
    ipv4_address_scope: None
    ipv6_address_scope: None
    qinq: bool
    vlan_transparent: bool
    l2_adjacency: bool


class Pool(Answer):
    start: Address
    end: Address


class HostRoute(Answer):
    destination: str
    nexthop: Address


class Subnet(Standard):
    network_id: Uuid
    ip_version: Literal[4, 6]
    cidr: str
    gateway_ip: Address | None
    enable_dhcp: bool
    allocation_pools: list[Pool]
    dns_nameservers: list[Address]
    host_routes: list[HostRoute]
    ipv6_ra_mode: str | None
    ipv6_address_mode: str | None
    subnetpool_id: None
    service_types: list[str]


class FixedIp(Answer):
    subnet_id: Uuid
    ip_address: Address


class PortDhcpOption(Answer):
    opt_name: str
    opt_value: str
    ip_version: Literal[4, 6]


class SubPort(Answer):
    port_id: Uuid
    segmentation_type: str
    segmentation_id: int


class SubPortDetails(SubPort):
    mac_address: str


class TrunkDetails(Answer):
    trunk_id: Uuid
    sub_ports: list[SubPortDetails]


class Port(Standard):
    network_id: Uuid
    mac_address: str
    admin_state_up: bool
    status: Literal["ACTIVE", "DOWN", "BUILD", "ERROR"]
    device_id: str
    device_owner: str
    fixed_ips: list[FixedIp]
    ip_allocation: Literal["immediate", "deferred", "none"]
    extra_dhcp_opts: list[PortDhcpOption]
    port_security_enabled: bool
    vnic_type: Annotated[str, Field(alias="binding:vnic_type")]
    host_id: Annotated[str, Field(alias="binding:host_id")]
    profile: Annotated[dict[str, Any], Field(alias="binding:profile")]
    vif_type: Annotated[Literal["unbound", "other", "binding_failed"], Field(alias="binding:vif_type")]
    vif_details: Annotated[dict[str, Any], Field(alias="binding:vif_details")]
    trunk_details: TrunkDetails = Field(default=..., description="Of a trunk's parent port.")


class Trunk(Standard):
    admin_state_up: bool
    status: Literal["ACTIVE", "DOWN", "BUILD"]
    port_id: Uuid
    sub_ports: list[SubPort]


class RbacPolicy(Owned):
    object_type: Literal["network"]
    object_id: Uuid
    target_tenant: str
    action: Literal["access_as_shared"]


class Quota(Answer):
    network: int
    subnet: int
    port: int
    trunk: int
    rbac_policy: int


class ProjectQuota(Quota):
    project_id: str
    tenant_id: str


class Usage(Answer):
    limit: int
    used: int
    reserved: int


class QuotaDetails(Answer):
    network: Usage
    subnet: Usage
    port: Usage
    trunk: Usage
    rbac_policy: Usage


class Agent(Answer):
    id: Uuid
    agent_type: str
    binary: str
    topic: str
    host: str
    description: str
    admin_state_up: bool
    alive: bool
    created_at: str
    heartbeat_timestamp: str
    configurations: dict[str, Any]
    availability_zone: None


class SubnetIpAvailability(Answer):
    subnet_id: Uuid
    subnet_name: str
    ip_version: Literal[4, 6]
    cidr: str
    total_ips: int
    used_ips: int


class NetworkIpAvailability(Answer):
    network_id: Uuid
    network_name: str
    tenant_id: str
    project_id: str
    total_ips: int
    used_ips: int
    subnet_ip_availability: list[SubnetIpAvailability]


class AvailabilityZone(Answer):
    name: str
    resource: str
    state: str


class Link(Answer):
    rel: str
    href: str


class Extension(Answer):
    alias: str
    name: str
    description: str
    updated: Moment
    links: list[Link]


class Tags(Answer):
    tags: list[str]


class TrunkSubPorts(Answer):
    sub_ports: list[SubPort]


class Version(Answer):
    id: str
    status: str
    links: list[Link]


class Versions(Answer):
    versions: list[Version]


class Collection(Answer):
    name: str
    collection: str
    links: list[Link]


class Collections(Answer):
    resources: list[Collection]


class Project(Answer):
    project_id: str


class MyProject(Answer):
    project: Project


class Tenant(Answer):
    tenant_id: str


class MyTenant(Answer):
    tenant: Tenant


class Fault(Answer):
    """`type` is what clients match on, `message` says what was wrong, with what, and what to do."""

    type: str
    message: str
    detail: str


class Refusal(Answer):
    """Every answer with a status of 400 or more."""

    NeutronError: Fault
