"""`/v2.0/trunks`: several networks on one place of a server. Source: Networking API v2.0 reference, "Trunk networking".

The parent port's network is untagged, those of the sub-ports are tagged with their own VLAN: `segmentation_id` is that
or is left out; see `ironlane.store.trunks` and ADR 6.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from fastapi import Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from ironlane.api.listing import Attribute, flag, integer
from ironlane.api.networking.fields import Body, Flag, Integer, OneOrSeveral, Owned, Tags, Text, Uuid, either
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
from ironlane.model.network import SubPort, Trunk
from ironlane.store import trunks
from ironlane.store.database import Tx
from ironlane.store.trunks import SUBPORTS_MAX, NewSubPort, NewTrunk

NOUN, PLURAL = "trunk", "trunks"

ATTRIBUTES = {
    "id": Attribute("id"),
    "name": Attribute("name"),
    "description": Attribute("description"),
    "project_id": Attribute("project_id"),
    "tenant_id": Attribute("project_id"),
    "admin_state_up": Attribute("admin_state_up", flag),
    "port_id": Attribute("port_id"),
    "status": Attribute("status"),
    "revision_number": Attribute("revision_number", integer),
}


class SubPortBody(Body):
    port_id: Uuid
    segmentation_type: Text | None = None
    segmentation_id: Integer | None = None

    def new(self) -> NewSubPort:
        return NewSubPort(self.port_id, self.segmentation_type, self.segmentation_id)


SubPortList = Annotated[list[SubPortBody], Field(max_length=SUBPORTS_MAX)]


class TrunkCreate(Owned):
    port_id: Uuid
    name: Text = ""
    description: Text = ""
    admin_state_up: Flag = True
    sub_ports: Annotated[SubPortList, Field(default_factory=list)]
    tags: Annotated[Tags, Field(default_factory=list)]

    def new(self, project: str) -> NewTrunk:
        return NewTrunk(**{**self.owned(project), "sub_ports": [item.new() for item in self.sub_ports]})


class TrunkUpdate(Body):
    read_only: ClassVar[frozenset[str]] = frozenset(
        {
            "id",
            "project_id",
            "tenant_id",
            "port_id",
            "sub_ports",
            "status",
            "revision_number",
            "created_at",
            "updated_at",
        }
    )

    name: Text = ""
    description: Text = ""
    admin_state_up: Flag = True


class TrunksCreate(OneOrSeveral[TrunkCreate]):
    """One trunk, or several that are all created or none."""

    model_config = either(NOUN, PLURAL)

    trunk: TrunkCreate | None = None
    trunks: Annotated[list[TrunkCreate] | None, Field(min_length=1, max_length=BULK_MAX)] = None


class TrunkChange(Body):
    trunk: TrunkUpdate


class SubPorts(Body):
    """Sub-ports to add or to remove; to remove one, its `port_id` is enough."""

    sub_ports: SubPortList


async def create(body: TrunksCreate, store: StoreDep, project: ProjectDep, limits: LimitsDep) -> JSONResponse:
    news = [item.new(project) for item in body.items()]
    made = await store.write(lambda tx: create_all(tx, PLURAL, news, trunks.create, kind=NOUN, limits=limits))
    return created(NOUN, PLURAL, [view(trunk) for trunk in made], bulk=body.bulk)


async def list_(request: Request, store: StoreDep) -> JSONResponse:
    asked = collected(request, ATTRIBUTES)
    found, more = await store.read(lambda tx: trunks.page(tx, asked.listing))
    return listed(request, PLURAL, asked, [view(trunk) for trunk in found], more)


async def show(request: Request, ident: str, store: StoreDep) -> JSONResponse:
    trunk_id, fields = row_id(NOUN, ident), fields_of(request)
    trunk = await store.read(lambda tx: trunks.get(tx, trunk_id))
    return JSONResponse({NOUN: chosen(view(trunk), fields)})


async def update(ident: str, body: TrunkChange, store: StoreDep, revision: RevisionDep) -> JSONResponse:
    def change(tx: Tx, trunk_id: str) -> Trunk:
        return trunks.update(tx, trunk_id, body.trunk.given())

    after = await at_revision(store, NOUN, ident, trunks.get, change, revision=revision)
    return JSONResponse({NOUN: view(after)})


async def delete(ident: str, store: StoreDep, revision: RevisionDep) -> Response:
    await at_revision(store, NOUN, ident, trunks.get, trunks.delete, revision=revision)
    return no_content()


async def get_subports(request: Request, ident: str, store: StoreDep) -> JSONResponse:
    trunk_id, fields = row_id(NOUN, ident), fields_of(request)
    trunk = await store.read(lambda tx: trunks.get(tx, trunk_id))
    return JSONResponse({"sub_ports": [chosen(item, fields) for item in _subports(trunk.sub_ports)]})


async def add_subports(ident: str, body: SubPorts, store: StoreDep, revision: RevisionDep) -> JSONResponse:
    news = [item.new() for item in body.sub_ports]

    def add(tx: Tx, trunk_id: str) -> Trunk:
        return trunks.add_subports(tx, trunk_id, news)

    # Not in an envelope: so Neutron answers these two, and its clients read it.
    return JSONResponse(view(await at_revision(store, NOUN, ident, trunks.get, add, revision=revision)))


async def remove_subports(ident: str, body: SubPorts, store: StoreDep, revision: RevisionDep) -> JSONResponse:
    def remove(tx: Tx, trunk_id: str) -> Trunk:
        return trunks.remove_subports(tx, trunk_id, [item.port_id for item in body.sub_ports])

    return JSONResponse(view(await at_revision(store, NOUN, ident, trunks.get, remove, revision=revision)))


def view(trunk: Trunk) -> View:
    """A trunk as the API shows it."""
    return {
        "id": trunk.id,
        "name": trunk.name,
        "tenant_id": trunk.project_id,
        "project_id": trunk.project_id,
        "description": trunk.description,
        "admin_state_up": trunk.admin_state_up,
        "status": trunk.status.value,
        "port_id": trunk.port_id,
        "sub_ports": _subports(trunk.sub_ports),
        "tags": list(trunk.tags),
        "created_at": moment(trunk.created_at),
        "updated_at": moment(trunk.updated_at),
        "revision_number": trunk.revision_number,
    }


def _subports(found: tuple[SubPort, ...]) -> list[dict[str, Any]]:
    return [
        {
            "port_id": item.port_id,
            "segmentation_type": item.segmentation_type,
            "segmentation_id": item.segmentation_id,
        }
        for item in found
    ]
