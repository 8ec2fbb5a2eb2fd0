"""`/v2.0/ports`: places on networks. Source: Networking API v2.0 reference, "Ports" and "Port binding extended".

A port with `binding:vnic_type` baremetal is bound by a PUT (or POST) of `binding:host_id`; the switch ports in its
`binding:profile` then belong to it, and `status` is ACTIVE once they were read back; see
`ironlane.store.ports`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from fastapi import Request
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import JSONResponse, Response

from ironlane.api.listing import Attribute, address, flag, integer, mac
from ironlane.api.networking.fields import (
    Address,
    Body,
    Flag,
    Integer,
    Mac,
    NullableText,
    OneOrSeveral,
    Owned,
    Profile,
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
    shown,
)
from ironlane.model.dhcp import parse_option
from ironlane.model.errors import Invalid
from ironlane.model.network import NetworkPort, TrunkDetails
from ironlane.store import access, ports, subports
from ironlane.store.database import Tx
from ironlane.store.ports import NewPort

NOUN, PLURAL = "port", "ports"

ATTRIBUTES = {
    "id": Attribute("id"),
    "name": Attribute("name"),
    "description": Attribute("description"),
    "project_id": Attribute("project_id"),
    "tenant_id": Attribute("project_id"),
    "network_id": Attribute("network_id"),
    "mac_address": Attribute("mac_address", mac),
    "admin_state_up": Attribute("admin_state_up", flag),
    "status": Attribute("status"),
    "device_id": Attribute("device_id"),
    "device_owner": Attribute("device_owner"),
    "binding:vnic_type": Attribute("vnic_type"),
    "binding:host_id": Attribute("host_id"),
    "binding:vif_type": Attribute("vif_type"),
    "ip_allocation": Attribute("ip_allocation"),
    "port_security_enabled": Attribute("port_security_enabled", flag),
    "revision_number": Attribute("revision_number", integer),
}
_SUBSTRINGS_MAX = 100
"""Parts of addresses in one filter at the most: each is a condition of its own to the database."""

_BLANK_VALUES = frozenset({"router", "classless-static-route"})
"""DHCP options that Neutron lets be blank: it means "do not send this one"."""


class FixedIpBody(Body):
    subnet_id: Uuid | None = None
    ip_address: Address | None = None


class DhcpOption(Body):
    """One DHCP option; an `opt_value` of null takes it away."""

    opt_name: Annotated[Text, Field(min_length=1)]
    opt_value: Text | None
    ip_version: Integer = 4

    @model_validator(mode="after")
    def _sound(self) -> DhcpOption:
        if self.ip_version not in {4, 6}:
            raise PydanticCustomError("ip_version", "ip_version is 4 or 6")
        if not self.opt_name.strip():
            raise PydanticCustomError("opt_name", "opt_name is blank")
        if self.opt_value is not None and not self.opt_value.strip() and self.opt_name not in _BLANK_VALUES:
            raise PydanticCustomError("opt_value", "opt_value is blank; null removes an option")
        if self.opt_value is not None:
            try:
                parse_option(self.opt_name, self.opt_value, self.ip_version)
            except Invalid as error:
                raise PydanticCustomError("dhcp_option", "{reason}", {"reason": error.message}) from None
        return self


class _Changeable(Body):
    """Attributes that are taken on creation and on change alike."""

    name: Text = ""
    description: Text = ""
    admin_state_up: Flag = True
    mac_address: Mac | None = None
    device_id: NullableText = ""
    device_owner: NullableText = ""
    fixed_ips: Annotated[list[FixedIpBody], Field(default_factory=list)]
    extra_dhcp_opts: Annotated[list[DhcpOption] | None, Field(max_length=100)] = None
    port_security_enabled: Flag = True
    vnic_type: Annotated[Text, Field(alias="binding:vnic_type")] = "normal"
    host_id: Annotated[NullableText, Field(alias="binding:host_id")] = ""
    profile: Annotated[Profile, Field(alias="binding:profile")] = None

    def stored(self) -> dict[str, Any]:
        """What the client named, in the store's types."""
        found = self.given()
        if "fixed_ips" in found:
            found["fixed_ips"] = [item.model_dump() for item in self.fixed_ips]
        if "extra_dhcp_opts" in found:
            found["extra_dhcp_opts"] = [item.model_dump() for item in self.extra_dhcp_opts or ()]
        return found


class PortCreate(Owned, _Changeable):
    network_id: Uuid
    tags: Annotated[Tags, Field(default_factory=list)]

    def new(self, project: str) -> NewPort:
        return NewPort(**{**self.owned(project), **{n: v for n, v in self.stored().items() if n not in _OWNER}})


class PortUpdate(_Changeable):
    read_only: ClassVar[frozenset[str]] = frozenset(
        {
            "id",
            "network_id",
            "project_id",
            "tenant_id",
            "status",
            "binding:vif_type",
            "binding:vif_details",
            "ip_allocation",
            "trunk_details",
            "revision_number",
            "created_at",
            "updated_at",
        }
    )


class PortsCreate(OneOrSeveral[PortCreate]):
    """One port, or several that are all created or none."""

    model_config = either(NOUN, PLURAL)

    port: PortCreate | None = None
    ports: Annotated[list[PortCreate] | None, Field(min_length=1, max_length=BULK_MAX)] = None


class PortChange(Body):
    port: PortUpdate


_OWNER = frozenset({"project_id", "tenant_id"})


async def create(body: PortsCreate, store: StoreDep, project: ProjectDep, limits: LimitsDep) -> JSONResponse:
    news = [item.new(project) for item in body.items()]
    made = await store.write(lambda tx: create_all(tx, PLURAL, news, ports.create, kind=NOUN, limits=limits))
    return created(NOUN, PLURAL, [shown(view(port), NOUN, store.caller) for port in made], bulk=body.bulk)


async def list_(request: Request, store: StoreDep) -> JSONResponse:
    asked = collected(request, ATTRIBUTES, special=("fixed_ips",))
    fixed_ips = _fixed_ips(asked.special.get("fixed_ips", ()))

    def find(tx: Tx) -> tuple[list[View], bool]:
        found, more = ports.page(tx, asked.listing, fixed_ips)
        return _views(tx, found), more

    views, more = await store.read(find)
    return listed(request, PLURAL, asked, views, more)


async def show(request: Request, ident: str, store: StoreDep) -> JSONResponse:
    port_id, fields = row_id(NOUN, ident), fields_of(request)
    found = await store.read(lambda tx: _views(tx, [ports.get(tx, port_id)]))
    return JSONResponse({NOUN: chosen(found[0], fields)})


async def update(ident: str, body: PortChange, store: StoreDep, revision: RevisionDep) -> JSONResponse:
    def change(tx: Tx, port_id: str) -> list[View]:
        return _views(tx, [ports.update(tx, port_id, body.port.stored())])

    (after,) = await at_revision(store, NOUN, ident, ports.get, change, revision=revision)
    return JSONResponse({NOUN: after})


async def delete(ident: str, store: StoreDep, revision: RevisionDep) -> Response:
    await at_revision(store, NOUN, ident, ports.get, ports.delete, revision=revision)
    return no_content()


def view(port: NetworkPort, trunk: TrunkDetails | None = None) -> View:
    """A port as the API shows it; a trunk's parent port with its `trunk_details`."""
    return {
        "id": port.id,
        "name": port.name,
        "network_id": port.network_id,
        "tenant_id": port.project_id,
        "project_id": port.project_id,
        "description": port.description,
        "mac_address": port.mac_address,
        "admin_state_up": port.admin_state_up,
        "status": port.status,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "fixed_ips": [{"subnet_id": ip.subnet_id, "ip_address": ip.ip_address} for ip in port.fixed_ips],
        "ip_allocation": port.ip_allocation.value,
        "extra_dhcp_opts": [dict(option) for option in port.extra_dhcp_opts],
        "port_security_enabled": port.port_security_enabled,
        "binding:vnic_type": port.vnic_type.value,
        "binding:host_id": port.host_id,
        "binding:profile": port.profile,
        "binding:vif_type": port.vif_type.value,
        "binding:vif_details": _vif_details(port),
        "tags": list(port.tags),
        "created_at": moment(port.created_at),
        "updated_at": moment(port.updated_at),
        "revision_number": port.revision_number,
        **({} if trunk is None else {"trunk_details": _trunk_details(trunk)}),
    }


def _views(tx: Tx, found: Sequence[NetworkPort]) -> list[View]:
    trunks = subports.details(tx, [port for port in found if access.sees_trunk_of(tx, port)])
    return [shown(view(port, trunks.get(port.id)), NOUN, tx.caller) for port in found]


def _trunk_details(trunk: TrunkDetails) -> View:
    """Source: Networking API v2.0 reference, "Trunk details extended attributes"."""
    return {
        "trunk_id": trunk.trunk_id,
        "sub_ports": [
            {
                "port_id": item.port_id,
                "segmentation_type": item.segmentation_type,
                "segmentation_id": item.segmentation_id,
                "mac_address": item.mac_address,
            }
            for item in trunk.sub_ports
        ],
    }


def _vif_details(port: NetworkPort) -> View:
    """Who bound the port, and what it waits for when it is bound and not ACTIVE."""
    if not port.bound:
        return {}
    waits = {"reason": port.status_reason} if port.status != "ACTIVE" and port.status_reason else {}
    return {"bound_drivers": {"0": "ironlane"}, **waits}


def _fixed_ips(values: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """`fixed_ips=ip_address=192.0.2.1`, repeated: values of one key are alternatives, different keys all hold."""
    found: dict[str, list[str]] = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not sign or key not in {"ip_address", "subnet_id", "ip_address_substr"}:
            message = f"{value!r} is not ip_address=, subnet_id= or ip_address_substr= and a value"
            raise Invalid(message, field="fixed_ips")
        found.setdefault(key, []).append(address(text, "fixed_ips") if key == "ip_address" else text)
    if len(found.get("ip_address_substr", ())) > _SUBSTRINGS_MAX:
        raise Invalid(f"has more than {_SUBSTRINGS_MAX} ip_address_substr", field="fixed_ips")
    return found
