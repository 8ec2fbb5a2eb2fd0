"""What all three APIs do with every HTTP request: an id, its caller, a limit on its size, a line in the log, and a
last resort.

Pure ASGI, so it costs little and keeps context variables. Each API installs it with its own error shape.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ironlane.api.identity.base import SCOPE, Authenticator, NoAuthentication
from ironlane.api.identity.middleware import Authentication
from ironlane.model.caller import INTERNAL
from ironlane.store.database import REQUEST_ID

BODY_LIMIT = 1024 * 1024
"""Bytes of a request body at the most, unless an API says otherwise."""

_DRAIN = 16
"""A body over the limit is read (and dropped) up to this many times the limit, so that the client hears why; a client
that sends still more finds its connection closed."""

Failure = Callable[[int, str, str], Response]
"""Makes an API's error answer of an HTTP status, an error code and a message."""

log = structlog.get_logger(__name__)


def install(
    app: Starlette,
    failure: Failure,
    *,
    body_limit: int = BODY_LIMIT,
    body_limits: Mapping[str, int] | None = None,
    identity: Authenticator | None = None,
    public: Iterable[tuple[str, str]] = (),
    admit: Callable[[Scope], None] | None = None,
) -> None:
    """Have `app` treat its requests as this module says. Call it once, before the application starts.

    `body_limits` are other limits for the paths of some requests. `identity` finds out who makes them (None: nobody is
    asked); methods and paths in `public` need no credentials. `admit` refuses the others before their body is read.
    """
    app.add_middleware(BodyLimit, failure=failure, limit=body_limit, limits=body_limits)
    identity = identity or NoAuthentication()
    app.add_middleware(Authentication, failure=failure, identity=identity, public=tuple(public), admit=admit)
    app.add_middleware(RequestScope, failure=failure)


class RequestScope:
    """Gives each request an id, which its transactions, its log lines and its answer carry.

    The id is ours (`req-` and a UUID); what a client sends in `X-Openstack-Request-Id` is logged beside it. The log
    line names method, path, status and duration: no query, no header and no body, where secrets might be. An exception
    that nothing handled becomes a 500 that tells nothing of the inside.
    """

    def __init__(self, app: ASGIApp, failure: Failure) -> None:
        self.app = app
        self.failure = failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = f"req-{_new_uuid()}"
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Openstack-Request-Id"] = request_id
            await send(message)

        token = REQUEST_ID.set(request_id)
        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("request failed", request_id=request_id, method=scope["method"], path=scope["path"])
            if status:
                raise  # half an answer is out: the server has to cut the connection
            answer = self.failure(500, "InternalServerError", f"the service failed; its log has {request_id}")
            await answer(scope, receive, send_with_id)
        finally:
            REQUEST_ID.reset(token)
            log.info(
                "request",
                request_id=request_id,
                client_request_id=(header(scope, b"x-openstack-request-id") or b"").decode("latin-1")[:64],
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                **_who(scope),
            )


class BodyLimit:
    """Answers 413 to a request body of more than `limit` bytes; the application never sees any of it.

    `limits` has other limits by path.
    """

    def __init__(
        self, app: ASGIApp, failure: Failure, limit: int = BODY_LIMIT, limits: Mapping[str, int] | None = None
    ) -> None:
        self.app = app
        self.failure = failure
        self.limit = limit
        self.limits = limits or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self.app(scope, receive, send)
            return
        limit = self.limit
        if self.limits:
            limit = self.limits.get(scope["path"].removeprefix(scope.get("root_path", "")), limit)
        body = bytearray()
        size = 0
        more = True
        while more and size <= limit * _DRAIN:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client went away
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= limit:
                body += chunk
            more = message.get("more_body", False)
        if size > limit:
            answer = self.failure(413, "RequestTooLarge", f"the request body is larger than {limit} bytes")
            answer.headers["Connection"] = "close"
            await answer(scope, receive, send)
            return
        await self.app(scope, _replay(bytes(body), receive), send)


def _who(scope: Scope) -> dict[str, str]:
    """Whose request it was, for the log; nothing where nobody was asked."""
    caller = scope.get(SCOPE, INTERNAL)
    return {} if caller is INTERNAL else {"user": caller.user_name, "project": caller.project_id}


def _new_uuid() -> uuid.UUID:
    """A random UUID that need not be unguessable; asking the kernel for randomness costs more than the rest of it."""
    return uuid.UUID(int=random.getrandbits(128), version=4)


def _has_body(scope: Scope) -> bool:
    length = header(scope, b"content-length")
    return (length is not None and length != b"0") or header(scope, b"transfer-encoding") is not None


def header(scope: Scope, name: bytes) -> bytes | None:
    """A header as it came, by its name in small letters, which is how ASGI gives them."""
    found: bytes | None = next((value for key, value in scope["headers"] if key == name), None)
    return found


class Mounts:
    """Several applications, each below a path of its own, and one for all other paths.

    As Starlette's `Mount`, without a router and its layers around applications that have their own; and a client that
    leaves out the slash behind the path is served, not redirected.
    """

    def __init__(self, mounts: Mapping[str, ASGIApp], other: ASGIApp) -> None:
        self._mounts = mounts
        self._other = other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            prefix, _, rest = scope["path"][1:].partition("/")
            app = self._mounts.get(f"/{prefix}")
            if app is not None:
                await app({**scope, "root_path": f"/{prefix}", "path": f"/{prefix}/{rest}"}, receive, send)
                return
        await self._other(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out a body that was read already, and then whatever comes after it."""
    messages: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        message = next(messages, None)
        return message if message is not None else await receive()

    return replayed
