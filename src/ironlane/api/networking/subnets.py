"""`/v2.0/subnets`: the addresses of networks. Source: Networking API v2.0 reference, "Subnets"."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from fastapi import Request
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import JSONResponse, Response

from ironlane.api.listing import Attribute, address, flag, integer
from ironlane.api.networking.fields import (
    Address,
    Body,
    Cidr,
    Flag,
    Integer,
    OneOrSeveral,
    Owned,
    Tags,
    Text,
    Uuid,
    either,
)
from ironlane.api.networking.requests import (
    BULK_MAX,
    LimitsDep,
    ProjectDep,
    RevisionDep,
    StoreDep,
    View,
    at_revision,
    chosen,
    collected,
    create_all,
    created,
    fields_of,
    listed,
    moment,
    no_content,
    row_id,
)
from ironlane.model.network import HostRoute, Pool, Subnet
from ironlane.store import subnets
from ironlane.store.database import Tx
from ironlane.store.subnets import NewSubnet

NOUN, PLURAL = "subnet", "subnets"

ATTRIBUTES = {
    "id": Attribute("id"),
    "name": Attribute("name"),
    "description": Attribute("description"),
    "project_id": Attribute("project_id"),
    "tenant_id": Attribute("project_id"),
    "network_id": Attribute("network_id"),
    "ip_version": Attribute("ip_version", integer),
    "cidr": Attribute("cidr"),
    "gateway_ip": Attribute("gateway_ip", address),
    "enable_dhcp": Attribute("enable_dhcp", flag),
    "ipv6_ra_mode": Attribute("ipv6_ra_mode"),
    "ipv6_address_mode": Attribute("ipv6_address_mode"),
    "revision_number": Attribute("revision_number", integer),
}
_FIXED: View = {"subnetpool_id": None, "service_types": []}


class PoolBody(Body):
    start: Address
    end: Address


class RouteBody(Body):
    destination: Cidr
    nexthop: Address


class SubnetCreate(Owned):
    network_id: Uuid
    cidr: Cidr
    ip_version: Integer
    name: Text = ""
    description: Text = ""
    gateway_ip: Address | None = None
    enable_dhcp: Flag = True
    allocation_pools: list[PoolBody] | None = None
    dns_nameservers: list[Address] | None = None
    host_routes: list[RouteBody] | None = None
    ipv6_ra_mode: Text | None = None
    ipv6_address_mode: Text | None = None
    subnetpool_id: None = None
    service_types: Annotated[list[str], Field(max_length=0, default_factory=list)]
    tags: Annotated[Tags, Field(default_factory=list)]

    @model_validator(mode="after")
    def _known_version(self) -> SubnetCreate:
        if self.ip_version not in {4, 6}:
            raise PydanticCustomError("ip_version", "ip_version is 4 or 6")
        return self

    def new(self, project: str) -> NewSubnet:
        return NewSubnet(**_stored(self, self.owned(project)))


class SubnetUpdate(Body):
    read_only: ClassVar[frozenset[str]] = frozenset(
        {
            "id",
            "network_id",
            "project_id",
            "tenant_id",
            "cidr",
            "ip_version",
            "ipv6_ra_mode",
            "ipv6_address_mode",
            "subnetpool_id",
            "revision_number",
            "created_at",
            "updated_at",
        }
    )

    name: Text = ""
    description: Text = ""
    gateway_ip: Address | None = None
    enable_dhcp: Flag = True
    allocation_pools: Annotated[list[PoolBody], Field(default_factory=list)]
    dns_nameservers: list[Address] | None = None
    host_routes: list[RouteBody] | None = None
    service_types: Annotated[list[str], Field(max_length=0, default_factory=list)]


class SubnetsCreate(OneOrSeveral[SubnetCreate]):
    """One subnet, or several that are all created or none."""

    model_config = either(NOUN, PLURAL)

    subnet: SubnetCreate | None = None
    subnets: Annotated[list[SubnetCreate] | None, Field(min_length=1, max_length=BULK_MAX)] = None


class SubnetChange(Body):
    subnet: SubnetUpdate


async def create(body: SubnetsCreate, store: StoreDep, project: ProjectDep, limits: LimitsDep) -> JSONResponse:
    news = [item.new(project) for item in body.items()]
    made = await store.write(lambda tx: create_all(tx, PLURAL, news, subnets.create, kind=NOUN, limits=limits))
    return created(NOUN, PLURAL, [view(subnet) for subnet in made], bulk=body.bulk)


async def list_(request: Request, store: StoreDep) -> JSONResponse:
    asked = collected(request, ATTRIBUTES)
    found, more = await store.read(lambda tx: subnets.page(tx, asked.listing))
    return listed(request, PLURAL, asked, [view(subnet) for subnet in found], more)


async def show(request: Request, ident: str, store: StoreDep) -> JSONResponse:
    subnet_id, fields = row_id(NOUN, ident), fields_of(request)
    subnet = await store.read(lambda tx: subnets.get(tx, subnet_id))
    return JSONResponse({NOUN: chosen(view(subnet), fields)})


async def update(ident: str, body: SubnetChange, store: StoreDep, revision: RevisionDep) -> JSONResponse:
    def change(tx: Tx, subnet_id: str) -> Subnet:
        return subnets.update(tx, subnet_id, _stored(body.subnet, body.subnet.given()))

    after = await at_revision(store, NOUN, ident, subnets.get, change, revision=revision)
    return JSONResponse({NOUN: view(after)})


async def delete(ident: str, store: StoreDep, revision: RevisionDep) -> Response:
    await at_revision(store, NOUN, ident, subnets.get, subnets.delete, revision=revision)
    return no_content()


def view(subnet: Subnet) -> View:
    """A subnet as the API shows it."""
    return {
        "id": subnet.id,
        "name": subnet.name,
        "tenant_id": subnet.project_id,
        "project_id": subnet.project_id,
        "description": subnet.description,
        "network_id": subnet.network_id,
        "ip_version": subnet.ip_version,
        "cidr": subnet.cidr,
        "gateway_ip": subnet.gateway_ip,
        "enable_dhcp": subnet.enable_dhcp,
        "allocation_pools": [{"start": pool.start, "end": pool.end} for pool in subnet.allocation_pools],
        "dns_nameservers": list(subnet.dns_nameservers),
        "host_routes": [{"destination": r.destination, "nexthop": r.nexthop} for r in subnet.host_routes],
        "ipv6_ra_mode": subnet.ipv6_ra_mode,
        "ipv6_address_mode": subnet.ipv6_address_mode,
        **_FIXED,
        "tags": list(subnet.tags),
        "created_at": moment(subnet.created_at),
        "updated_at": moment(subnet.updated_at),
        "revision_number": subnet.revision_number,
    }


def _stored(body: SubnetCreate | SubnetUpdate, attributes: dict[str, Any]) -> dict[str, Any]:
    """What the client named, in the store's types. `gateway_ip` null is "no gateway", which the store calls `""`."""
    found = {name: value for name, value in attributes.items() if name not in _FIXED}
    if "gateway_ip" in found:
        found["gateway_ip"] = found["gateway_ip"] or ""
    if found.get("allocation_pools") is not None:
        found["allocation_pools"] = [Pool(pool.start, pool.end) for pool in body.allocation_pools or ()]
    if "dns_nameservers" in found:
        found["dns_nameservers"] = body.dns_nameservers or []
    if "host_routes" in found:
        found["host_routes"] = [HostRoute(route.destination, route.nexthop) for route in body.host_routes or ()]
    return found
