"""The Baremetal API as an application of its own; `/baremetal` of the service, or alone at the root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ironlane.api import http
from ironlane.api.baremetal import errors, microversions, openapi
from ironlane.api.baremetal.call import Call, Settings
from ironlane.api.baremetal.microversions import NotAcceptable
from ironlane.api.baremetal.routes import PUBLIC, ROUTES, Route
from ironlane.api.baremetal.rules import ADMINS_ONLY, RULES
from ironlane.api.identity.base import Authenticator, caller_of
from ironlane.model import policy
from ironlane.model.cabling import CablingPolicy
from ironlane.store.database import Store

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of a request body at the most: a config drive comes in one."""

_VERSION = "ironlane.baremetal.version"
"""Where the ASGI scope holds a request's microversion."""


def create(
    store: Store,
    *,
    heartbeat_timeout: int = 300,
    conductor_timeout: float = 60.0,
    max_limit: int = 1000,
    body_limit: int = BODY_LIMIT,
    cabling: CablingPolicy | None = None,
    agent_tls: bool = False,
    automated_clean: bool = True,
    image_service: bool = False,
    identity: Authenticator | None = None,
) -> FastAPI:
    """The application.

    Args:
        store: where everything is read and written; the caller closes it.
        heartbeat_timeout: seconds, told to ramdisks.
        conductor_timeout: seconds after which a conductor that was not heard of counts as dead.
        max_limit: items of a page at the most.
        body_limit: bytes of a request body at the most.
        automated_clean: whether new nodes are cleaned, if they do not say so themselves.
        agent_tls: refuse agents that do not serve their commands over HTTPS.
        image_service: images may be named by their id in an image service.
        cabling: what becomes of a VIF for a NIC that LLDP has seen elsewhere.
        identity: finds out who makes a request; None: everybody is an admin.
    """
    app = FastAPI(
        title="Ironlane Baremetal API",
        version=microversions.number(microversions.NEWEST),
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.store = store
    settings = Settings(
        heartbeat_timeout,
        conductor_timeout,
        max_limit,
        cabling or CablingPolicy(),
        automated_clean,
        agent_tls,
        image_service,
    )
    for route in ROUTES:
        app.add_api_route(
            route.path,
            _endpoint(route, settings),
            methods=[route.method],
            name=f"{route.handler.__module__.rpartition('.')[2]}.{route.handler.__name__}",
            summary=(route.handler.__doc__ or "").strip().splitlines()[0],
            response_model=None,
            openapi_extra=openapi.described(route),
        )
    errors.install(app)
    app.add_middleware(Microversion)
    http.install(app, errors.failure, body_limit=body_limit, identity=identity, public=PUBLIC)
    return app


class Microversion:
    """Negotiates the version of each request below `/v1` and tells it in the answer; takes off a trailing slash."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        root = scope.get("root_path", "")
        path = scope["path"].removeprefix(root)
        if path == "/v1" or path.startswith("/v1/"):
            try:
                scope[_VERSION] = microversions.negotiate(Headers(scope=scope))
            except NotAcceptable as error:
                await errors.failure(406, error.code, error.message)(scope, receive, send)
                return
        if path != "/":
            scope["path"] = root + (path.rstrip("/") or "/")

        async def announced(message: Message) -> None:
            if message["type"] == "http.response.start":
                microversions.announce(MutableHeaders(scope=message), scope.get(_VERSION))
            await send(message)

        await self.app(scope, receive, announced)


def _endpoint(route: Route, settings: Settings) -> Callable[[Request], Awaitable[Response]]:
    rule = "" if (route.method, route.path) in PUBLIC else RULES.get((route.method, route.path), ADMINS_ONLY)

    async def endpoint(request: Request) -> Response:
        version = request.scope.get(_VERSION, microversions.NEWEST)
        if version < route.since or any("\0" in str(part) for part in request.path_params.values()):
            raise HTTPException(404)
        base = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"
        caller = caller_of(request.scope)
        if rule and not policy.possible(caller, rule):
            policy.require(caller, rule)
        store = request.app.state.store.on_behalf_of(caller, rule)
        return await route.handler(Call(request, store, settings, version, base))

    return endpoint
