"""`/v2.0/networks`: L2 segments. Source: Networking API v2.0 reference, "Networks" and "Networks provider extension".

What is always the same here (no availability zones, no address scopes, no VLAN transparency) is said so, because
clients read it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from ironlane.api.listing import Attribute, flag, integer
from ironlane.api.networking.fields import Body, Flag, Integer, OneOrSeveral, Owned, Tags, Text, either
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
    shown,
)
from ironlane.model.caller import Caller
from ironlane.model.network import Network
from ironlane.store import networks
from ironlane.store.database import Tx
from ironlane.store.networks import NewNetwork

NOUN, PLURAL = "network", "networks"

ATTRIBUTES = {
    "id": Attribute("id"),
    "name": Attribute("name"),
    "description": Attribute("description"),
    "project_id": Attribute("project_id"),
    "tenant_id": Attribute("project_id"),
    "admin_state_up": Attribute("admin_state_up", flag),
    "shared": Attribute("shared", flag),
    "router:external": Attribute("router_external", flag),
    "port_security_enabled": Attribute("port_security_enabled", flag),
    "mtu": Attribute("mtu", integer),
    "provider:network_type": Attribute("network_type"),
    "provider:physical_network": Attribute("physical_network"),
    "provider:segmentation_id": Attribute("segmentation_id", integer),
    "revision_number": Attribute("revision_number", integer),
}
_FIXED: View = {
    "status": "ACTIVE",
    "availability_zone_hints": [],
    "availability_zones": [],
    "ipv4_address_scope": None,
    "ipv6_address_scope": None,
    "qinq": False,
    "vlan_transparent": False,
    "l2_adjacency": True,
}


class NetworkCreate(Owned):
    name: Text = ""
    description: Text = ""
    admin_state_up: Flag = True
    shared: Flag = False
    router_external: Annotated[Flag, Field(alias="router:external")] = False
    port_security_enabled: Flag = True
    mtu: Integer | None = None
    network_type: Annotated[Text | None, Field(alias="provider:network_type")] = None
    physical_network: Annotated[Text | None, Field(alias="provider:physical_network")] = None
    segmentation_id: Annotated[Integer | None, Field(alias="provider:segmentation_id")] = None
    availability_zone_hints: Annotated[list[str], Field(max_length=0, default_factory=list)]
    vlan_transparent: Literal[False] | None = None
    qinq: Literal[False] | None = None
    tags: Annotated[Tags, Field(default_factory=list)]

    def new(self, project: str) -> NewNetwork:
        return NewNetwork(**_stored(self.owned(project)))


class NetworkUpdate(Body):
    read_only: ClassVar[frozenset[str]] = frozenset(
        {
            "id",
            "project_id",
            "tenant_id",
            "status",
            "subnets",
            "provider:network_type",
            "provider:physical_network",
            "provider:segmentation_id",
            "availability_zone_hints",
            "availability_zones",
            "vlan_transparent",
            "qinq",
            "revision_number",
            "created_at",
            "updated_at",
        }
    )

    name: Text = ""
    description: Text = ""
    admin_state_up: Flag = True
    shared: Flag = False
    router_external: Annotated[Flag, Field(alias="router:external")] = False
    port_security_enabled: Flag = True
    mtu: Integer = 1500


class NetworksCreate(OneOrSeveral[NetworkCreate]):
    """One network, or several that are all created or none."""

    model_config = either(NOUN, PLURAL)

    network: NetworkCreate | None = None
    networks: Annotated[list[NetworkCreate] | None, Field(min_length=1, max_length=BULK_MAX)] = None


class NetworkChange(Body):
    network: NetworkUpdate


async def create(body: NetworksCreate, store: StoreDep, project: ProjectDep, limits: LimitsDep) -> JSONResponse:
    news = [item.new(project) for item in body.items()]
    made = await store.write(lambda tx: create_all(tx, PLURAL, news, networks.create, kind=NOUN, limits=limits))
    return created(NOUN, PLURAL, [view(network, store.caller) for network in made], bulk=body.bulk)


async def list_(request: Request, store: StoreDep) -> JSONResponse:
    asked = collected(request, ATTRIBUTES, special=("status",))
    if not set(asked.special.get("status", ["ACTIVE"])) & {"ACTIVE"}:
        return JSONResponse({PLURAL: []})
    found, more = await store.read(lambda tx: networks.page(tx, asked.listing))
    return listed(request, PLURAL, asked, [view(network, store.caller) for network in found], more)


async def show(request: Request, ident: str, store: StoreDep) -> JSONResponse:
    network_id, fields = row_id(NOUN, ident), fields_of(request)
    network = await store.read(lambda tx: networks.get(tx, network_id))
    return JSONResponse({NOUN: chosen(view(network, store.caller), fields)})


async def update(ident: str, body: NetworkChange, store: StoreDep, revision: RevisionDep) -> JSONResponse:
    def change(tx: Tx, network_id: str) -> Network:
        return networks.update(tx, network_id, body.network.given())

    after = await at_revision(store, NOUN, ident, networks.get, change, revision=revision)
    return JSONResponse({NOUN: view(after, store.caller)})


async def delete(ident: str, store: StoreDep, revision: RevisionDep) -> Response:
    await at_revision(store, NOUN, ident, networks.get, networks.delete, revision=revision)
    return no_content()


def view(network: Network, caller: Caller) -> View:
    """A network as the API shows it to a caller."""
    whole = {
        "id": network.id,
        "name": network.name,
        "tenant_id": network.project_id,
        "project_id": network.project_id,
        "description": network.description,
        "admin_state_up": network.admin_state_up,
        "shared": network.shared,
        "router:external": network.router_external,
        "port_security_enabled": network.port_security_enabled,
        "mtu": network.mtu,
        "subnets": list(network.subnets),
        "provider:network_type": network.network_type.value,
        "provider:physical_network": network.physical_network,
        "provider:segmentation_id": network.vlan,
        **_FIXED,
        "tags": list(network.tags),
        "created_at": moment(network.created_at),
        "updated_at": moment(network.updated_at),
        "revision_number": network.revision_number,
    }
    return shown(whole, NOUN, caller)


def _stored(attributes: dict[str, Any]) -> dict[str, Any]:
    """Without the attributes that only have one value here."""
    return {name: value for name, value in attributes.items() if name not in _FIXED}
