"""`POST /v1/takeover`: networks, ports and nodes that were another Neutron's and Ironic's, with the ids they had there.

First as a dry run, which changes nothing and answers what would become of each thing. `ironlane import` is its client.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from ironlane.api.fabric.bodies import Body, JsonObject, Text, Uuid, VlanId
from ironlane.model.errors import Invalid
from ironlane.model.fabric import Side
from ironlane.model.network import HostRoute, Pool
from ironlane.model.states import ProvisionState
from ironlane.store.database import Store
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.subnets import NewSubnet
from ironlane.store.takeover import Document, Taken, take_over
from ironlane.store.trunks import NewSubPort, NewTrunk

LongText = Annotated[str, Field(max_length=10000)]
State = Annotated[ProvisionState, Field(strict=False)]


class Thing(Body):
    """What all things of the Networking API have."""

    id: Uuid
    project_id: Text = ""
    name: Text = ""
    description: Text = ""
    tags: list[Text] = Field(default_factory=list)


class NetworkBody(Thing):
    """A network on a VLAN, and on which side of the wall it stands (ADR 4)."""

    side: Annotated[Side, Field(strict=False)]
    physical_network: Text
    segmentation_id: VlanId
    admin_state_up: bool = True
    shared: bool = False
    router_external: bool = False
    port_security_enabled: bool = True
    mtu: int | None = None


class PoolBody(Body):
    start: Text
    end: Text


class RouteBody(Body):
    destination: Text
    nexthop: Text


class SubnetBody(Thing):
    """A subnet; `gateway_ip` null: none."""

    network_id: Uuid
    ip_version: Literal[4, 6]
    cidr: Text
    gateway_ip: Text | None = None
    enable_dhcp: bool = True
    allocation_pools: list[PoolBody]
    dns_nameservers: list[Text] = Field(default_factory=list)
    host_routes: list[RouteBody] = Field(default_factory=list)
    ipv6_ra_mode: Text | None = None
    ipv6_address_mode: Text | None = None

    def new(self) -> NewSubnet:
        """The same for the store."""
        values = self.model_dump()
        values["gateway_ip"] = self.gateway_ip or ""
        values["allocation_pools"] = [Pool(**pool) for pool in values["allocation_pools"]]
        values["host_routes"] = [HostRoute(**route) for route in values["host_routes"]]
        return NewSubnet(**values)


class FixedIpBody(Body):
    subnet_id: Uuid
    ip_address: Text


class PortBody(Thing):
    """A network port, with its binding as it is. A trunk's sub-port has none of its own."""

    network_id: Uuid
    mac_address: Text
    admin_state_up: bool = True
    device_id: Text = ""
    device_owner: Text = ""
    vnic_type: Text = "baremetal"
    host_id: Text = ""
    profile: JsonObject = Field(default_factory=dict)
    extra_dhcp_opts: list[JsonObject] = Field(default_factory=list)
    fixed_ips: list[FixedIpBody] = Field(default_factory=list)
    port_security_enabled: bool | None = None


class SubPortBody(Body):
    port_id: Uuid
    segmentation_type: Text
    segmentation_id: VlanId


class TrunkBody(Thing):
    """A trunk with its sub-ports."""

    port_id: Uuid
    admin_state_up: bool = True
    sub_ports: list[SubPortBody] = Field(default_factory=list)

    def new(self) -> NewTrunk:
        """The same for the store."""
        return NewTrunk(
            **self.model_dump(exclude={"sub_ports"}), sub_ports=[NewSubPort(**s.model_dump()) for s in self.sub_ports]
        )


class NodeBody(Body):
    """A node as it stands: one that is active goes on being so, and nobody boots it."""

    id: Uuid
    name: Text | None = None
    driver: Text
    provision_state: State
    driver_info: JsonObject = Field(default_factory=dict)
    properties: JsonObject = Field(default_factory=dict)
    extra: JsonObject = Field(default_factory=dict)
    instance_info: JsonObject = Field(default_factory=dict)
    interfaces: dict[Literal["deploy_interface"], Literal["direct", "ramdisk"]] = Field(default_factory=dict)
    traits: list[Text] = Field(default_factory=list)
    instance_uuid: Uuid | None = None
    resource_class: Annotated[str, Field(max_length=80)] | None = None
    conductor_group: Text = ""
    owner: Text | None = None
    lessee: Text | None = None
    description: LongText | None = None
    power_state: Literal["power on", "power off"] | None = None
    maintenance: bool = False
    maintenance_reason: LongText | None = None
    protected: bool = False
    protected_reason: LongText | None = None
    retired: bool = False
    retired_reason: LongText | None = None
    automated_clean: bool = True


class OfNode(Body):
    id: Uuid
    node_id: Uuid
    name: Text | None = None
    extra: JsonObject = Field(default_factory=dict)
    internal_info: JsonObject = Field(default_factory=dict)


class PortgroupBody(OfNode):
    address: Text | None = None
    mode: Text = "active-backup"
    properties: JsonObject = Field(default_factory=dict)
    standalone_ports_supported: bool = True


class NicBody(OfNode):
    """A baremetal port."""

    address: Text
    portgroup_id: Uuid | None = None
    local_link_connection: JsonObject = Field(default_factory=dict)
    pxe_enabled: bool = True
    physical_network: Text | None = None
    is_smartnic: bool = False


class TakeoverBody(Body):
    """All that is to be taken over. `dry_run` is true unless it is said otherwise."""

    dry_run: bool = True
    networks: list[NetworkBody] = Field(default_factory=list)
    subnets: list[SubnetBody] = Field(default_factory=list)
    ports: list[PortBody] = Field(default_factory=list)
    trunks: list[TrunkBody] = Field(default_factory=list)
    nodes: list[NodeBody] = Field(default_factory=list)
    portgroups: list[PortgroupBody] = Field(default_factory=list)
    nics: list[NicBody] = Field(default_factory=list)

    def document(self) -> Document:
        """The same for the store.

        Raises:
            Invalid: an id that is given twice.
        """
        for name in sorted(type(self).model_fields.keys() - {"dry_run"}):
            ids = [thing.id for thing in getattr(self, name)]
            if (
                twice := next((ident for ident in ids if ids.count(ident) > 1), None)
                if len(set(ids)) < len(ids)
                else None
            ):
                raise Invalid(f"has {twice} twice", field=name)
        return Document(
            networks=[NewNetwork(**body.model_dump()) for body in self.networks],
            subnets=[body.new() for body in self.subnets],
            ports=[NewPort(**body.model_dump()) for body in self.ports],
            trunks=[body.new() for body in self.trunks],
            nodes=[body.model_dump() for body in self.nodes],
            portgroups=[body.model_dump() for body in self.portgroups],
            nics=[body.model_dump() for body in self.nics],
        )


def router(store: Store) -> APIRouter:
    """The route `/v1/takeover`."""
    routes = APIRouter(prefix="/v1/takeover", tags=["takeover"])

    @routes.post("")
    async def take_things_over(body: TakeoverBody) -> dict[str, Any]:
        """Take in what is not here yet, or (`dry_run`) tell what that would lead to. No switch is written to.

        What cannot be taken over is told with its reason (`conflict`), and the rest is.
        """
        document = body.document()
        work = store.rehearse if body.dry_run else store.write
        return {"things": [_view(taken) for taken in await work(lambda tx: take_over(tx, document))]}

    return routes


def _view(taken: Taken) -> dict[str, Any]:
    names = ("noun", "id", "name", "action", "reason")
    return {name: getattr(taken, name) for name in names}
