"""`/v2.0/quotas`: how much of each kind a project may have. Source: Networking API v2.0 reference, "Quotas extension".

Projects are an identity service's, so limits may be set for one that nobody here has heard of. A list has those that
have limits of their own.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from ironlane.api.networking.fields import Body, Flag, Integer
from ironlane.api.networking.requests import (
    LimitsDep,
    ProjectDep,
    StoreDep,
    View,
    chosen,
    collected,
    fields_of,
    no_content,
)
from ironlane.model.errors import Invalid
from ironlane.model.quota import UNLIMITED, Limits
from ironlane.store import access, quotas
from ironlane.store.database import Tx

NOUN, PLURAL = "quota", "quotas"

ProjectId = Annotated[str, Path(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
Limit = Annotated[Integer, Field(ge=UNLIMITED)]


class QuotaUpdate(Body):
    """Limits to set; -1 is as many as one likes. `force` sets those too that the project is over already."""

    network: Limit = UNLIMITED
    subnet: Limit = UNLIMITED
    port: Limit = UNLIMITED
    trunk: Limit = UNLIMITED
    rbac_policy: Limit = UNLIMITED
    force: Flag = False
    check_limit: Flag = True

    def changes(self) -> dict[str, int]:
        given = self.given()
        return {kind: limit for kind, limit in given.items() if kind not in {"force", "check_limit"}}


class QuotaChange(Body):
    quota: QuotaUpdate


async def list_(request: Request, store: StoreDep, defaults: LimitsDep) -> JSONResponse:
    fields = collected(request, {}, standard=False).fields
    found = await store.read(lambda tx: quotas.all_(tx, defaults))
    views = [{"project_id": project, "tenant_id": project, **limits} for project, limits in found.items()]
    return JSONResponse({PLURAL: [chosen(view, fields) for view in views]})


async def show(request: Request, project_id: ProjectId, store: StoreDep, defaults: LimitsDep) -> JSONResponse:
    fields = fields_of(request)

    def find(tx: Tx) -> Limits:
        access.require_project(tx, "get_quota", project_id)
        return quotas.limits(tx, project_id, defaults)

    return JSONResponse({NOUN: chosen(dict(await store.read(find)), fields)})


async def update(project_id: ProjectId, body: QuotaChange, store: StoreDep, defaults: LimitsDep) -> JSONResponse:
    changes = body.quota.changes()

    def change(tx: Tx) -> Limits:
        access.require_project(tx, "update_quota", project_id)
        quotas.put(tx, project_id, changes, force=body.quota.force)
        return quotas.limits(tx, project_id, defaults)

    return JSONResponse({NOUN: await store.write(change)})


async def delete(project_id: ProjectId, store: StoreDep) -> Response:
    def remove(tx: Tx) -> None:
        access.require_project(tx, "delete_quota", project_id)
        quotas.delete(tx, project_id)

    await store.write(remove)
    return no_content()


async def default(project_id: ProjectId, defaults: LimitsDep) -> JSONResponse:  # noqa: ARG001 - the same for all
    return JSONResponse({NOUN: dict(defaults)})


async def details(project_id: ProjectId, store: StoreDep, defaults: LimitsDep) -> JSONResponse:
    """Nothing is ever reserved: what is counted is what is there."""

    def find(tx: Tx) -> View:
        access.require_project(tx, "get_quota", project_id)
        limits = quotas.limits(tx, project_id, defaults)
        return {
            kind: {"limit": limit, "used": quotas.used(tx, project_id, kind), "reserved": 0}
            for kind, limit in limits.items()
        }

    return JSONResponse({NOUN: await store.read(find)})


async def details_json(project_id: ProjectId, store: StoreDep, defaults: LimitsDep) -> JSONResponse:
    """As older clients ask."""
    return await details(project_id, store, defaults)


async def project(project: ProjectDep) -> JSONResponse:
    """Which project the client acts for."""
    return _mine("project", project)


async def tenant(project: ProjectDep) -> JSONResponse:
    """The same by its older name."""
    return _mine("tenant", project)


def _mine(name: str, project: str) -> JSONResponse:
    if not project:
        raise Invalid("Project-id was missing from quota request.", code="QuotaMissingProject")
    answer: dict[str, Any] = {name: {f"{name}_id": project}}
    return JSONResponse(answer)
