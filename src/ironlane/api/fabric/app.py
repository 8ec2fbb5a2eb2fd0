"""The fabric API: switches, their ports, who is attached; plans, drift and history. Mounted at `/fabric`.

Operators write what there is (`PUT` by name, so that saying it twice is harmless) and read what became of it. Nothing
here talks to a switch: a request writes rows, and the fabric loop does the rest.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.types import Scope

from ironlane.api.fabric import bindings, cabling, failures, foresight, physical_networks, records, switches, takeover
from ironlane.api.identity.base import Authenticator, caller_of
from ironlane.model.cabling import CablingPolicy
from ironlane.model.policy import require as require_rule
from ironlane.store.database import Store

RESOURCES = ("switches", "attachments", "plans", "drifts", "history", "physical-networks", "cabling", "bindings")
"""What version 1 lists. Besides, it has questions and orders, each a POST: `plan`, `restore`, `audit`, `takeover`."""


def create(
    store: Store,
    policy: CablingPolicy | None = None,
    stopping: asyncio.Event | None = None,
    identity: Authenticator | None = None,
    *,
    patience: float = foresight.PATIENCE,
) -> FastAPI:
    """The fabric API on an open store. `policy` says for how long what LLDP told counts.

    Once `stopping` is set nobody is kept waiting for events any more. `identity` finds out who makes a request; None:
    everybody is an admin. `patience` are the seconds that a conductor may take to answer what it would send.
    """
    app = FastAPI(
        title="Ironlane fabric API",
        version="1",
        redirect_slashes=False,
        responses={"default": {"model": failures.Refusal, "description": "It was refused, or failed."}},
    )
    failures.install(app, identity, _by_rule)
    app.include_router(_versions())
    for routes in (
        switches.router(store),
        physical_networks.router(store),
        records.router(store),
        cabling.router(store, policy or CablingPolicy()),
        foresight.router(store, policy or CablingPolicy(), patience),
        takeover.router(store),
    ):
        app.include_router(routes)
    app.include_router(bindings.router(store, stopping or asyncio.Event()))
    return app


def _by_rule(scope: Scope) -> None:
    """Asks the rule `fabric:get`, or `fabric:change` for whatever is no GET; of bindings `fabric:bindings:…`.

    As a dependency of the routes it would be asked only after a body had been read and parsed, and one may be large.
    """
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    name = "fabric:bindings" if f"{path}/".startswith("/v1/bindings/") else "fabric"
    require_rule(caller_of(scope), f"{name}:get" if scope["method"] == "GET" else f"{name}:change")


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
        return {**version(request), "resources": list(RESOURCES)}

    return routes
