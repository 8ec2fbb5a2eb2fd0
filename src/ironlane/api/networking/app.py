"""The Networking API as an application: at the root of a server, or mounted below a path such as `/networking`."""

from __future__ import annotations

from fastapi import FastAPI

from ironlane.api import http
from ironlane.api.direct import DirectApi
from ironlane.api.identity.base import Authenticator
from ironlane.api.networking import errors, routes
from ironlane.model.quota import DEFAULT_LIMITS, Limits
from ironlane.store.database import Store

PUBLIC = (("GET", "/"), ("GET", "/v2.0"))
"""What needs no credentials: clients look there before they have any."""


def create(
    store: Store,
    *,
    page_limit: int | None = None,
    body_limit: int = http.BODY_LIMIT,
    identity: Authenticator | None = None,
    limits: Limits = DEFAULT_LIMITS,
    conductor_timeout: float = 60.0,
) -> FastAPI:
    """Make the application. Its OpenAPI document is at `/openapi.json`.

    Args:
        store: an open database; the caller closes it.
        page_limit: items on a page of a list at the most, also when the client names no limit (clients follow the
            links to further pages); None: lists are whole.
        body_limit: bytes of a request body at the most.
        identity: finds out who makes a request; None: everybody is an admin.
        limits: what a project may have of each kind unless its own quota says otherwise.
        conductor_timeout: seconds that a conductor may be silent before it is shown as dead.
    """
    app = DirectApi(
        title="Ironlane Networking API",
        version="2.0",
        description="Networks, subnets and ports for bare-metal servers, as Neutron's API v2.0.",
        docs_url=None,  # the pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.store = store
    app.state.page_limit = page_limit
    app.state.limits = limits
    app.state.conductor_timeout = conductor_timeout
    errors.install(app)
    http.install(app, errors.failure, body_limit=body_limit, identity=identity, public=PUBLIC)
    routes.install(app)
    return app
