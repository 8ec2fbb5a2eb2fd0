"""The fabric API: switches, their ports, who is attached, which plans were made. Mounted at `/fabric`.

Operators write what there is (`PUT` by name, so that saying it twice is harmless) and read what became of it. Nothing
here talks to a switch: a request writes rows, and the fabric loop does the rest.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request

from ironlane.api.fabric import failures, physical_networks, switches
from ironlane.api.fabric.bodies import AttachmentQuery, PlanQuery
from ironlane.api.fabric.views import attachment_view, plan_view
from ironlane.store import attachments, plans
from ironlane.store.database import Store


def create(store: Store) -> FastAPI:
    """The fabric API on an open store."""
    app = FastAPI(title="Ironlane fabric API", version="1", redirect_slashes=False)
    failures.install(app)
    app.include_router(_versions())
    app.include_router(switches.router(store))
    app.include_router(physical_networks.router(store))
    app.include_router(_records(store))
    return app


def _versions() -> APIRouter:
    routes = APIRouter(tags=["versions"])

    def version(request: Request) -> dict[str, Any]:
        href = f"{str(request.base_url).rstrip('/')}/v1/"
        return {"id": "v1", "status": "CURRENT", "links": [{"rel": "self", "href": href}]}

    @routes.get("/")
    async def list_versions(request: Request) -> dict[str, Any]:
        """The versions of this API."""
        return {"name": "Ironlane fabric API", "versions": [version(request)]}

    @routes.get("/v1")
    @routes.get("/v1/")
    async def get_version(request: Request) -> dict[str, Any]:
        """Version 1, and what it has."""
        names = ("switches", "attachments", "plans", "physical-networks")
        return {**version(request), "resources": list(names)}

    return routes


def _records(store: Store) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["records"])

    @routes.get("/attachments")
    async def list_attachments(query: Annotated[AttachmentQuery, Query()]) -> dict[str, Any]:
        """Who wishes for which switch port, and whether it was read back; all filters must match."""
        found = await store.read(lambda tx: attachments.find(tx, **query.model_dump()))
        return {"attachments": [attachment_view(attachment) for attachment in found]}

    @routes.get("/plans")
    async def list_plans(query: Annotated[PlanQuery, Query()]) -> dict[str, Any]:
        """The newest plans first: what was changed on which switch, in its own words, and the outcome."""
        found = await store.read(lambda tx: plans.latest(tx, query.switch, query.limit))
        return {"plans": [plan_view(record) for record in found]}

    return routes
