"""The one place where a request gets its caller, before its body is read and before any route is looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from ironlane.api.errors import status_of
from ironlane.api.identity.base import SCOPE, Authenticator
from ironlane.model.caller import INTERNAL
from ironlane.model.errors import Busy, Forbidden, Temporary, Unauthorized

log = structlog.get_logger(__name__)


class Authentication:
    """Puts the caller into the ASGI scope (`base.caller_of`), or answers 401; 503 when it cannot be found out.

    Args:
        app: what is served to those who are known.
        failure: makes the API's error answer.
        identity: the strategy.
        public: methods and path templates that are served without credentials, on Ironlane's own behalf: what is
            public for everybody, and what proves by itself who is there (a ramdisk, by its agent token).
        admit: refuses (`Forbidden`) whoever may ask for nothing there, before a byte of the body is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        failure: Callable[[int, str, str], Response],
        identity: Authenticator,
        public: Iterable[tuple[str, str]],
        admit: Callable[[Scope], None] | None = None,
    ) -> None:
        self.app = app
        self.failure = failure
        self.identity = identity
        self.admit = admit
        public = list(public)
        self._paths = frozenset((method, path) for method, path in public if "{" not in path)
        self._patterns = [(method, compile_path(path)[0]) for method, path in public if "{" in path]
        self._methods = frozenset(method for method, _ in public)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] in self._methods and self._is_public(scope):
            scope[SCOPE] = INTERNAL  # whatever credentials came along
        else:
            try:
                scope[SCOPE] = await self.identity.authenticate(scope)
                if self.admit is not None:
                    self.admit(scope)
            except Forbidden as error:
                await self.failure(status_of(error), error.code, error.message)(scope, receive, send)
                return
            except (Unauthorized, Temporary) as error:
                await self._refuse(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refuse(self, error: Unauthorized | Temporary) -> Response:
        if isinstance(error, Temporary):
            message = "Authentication is not available; try again."
            if isinstance(error, Busy):
                message = error.message
            else:
                log.error("it cannot be found out who makes requests", error=error.message)
            answer = self.failure(status_of(error), "ServiceUnavailable", message)
            answer.headers["Retry-After"] = "5"
            return answer
        answer = self.failure(status_of(error), error.code, error.message)
        answer.headers["WWW-Authenticate"] = self.identity.challenge
        return answer

    def _is_public(self, scope: Scope) -> bool:
        method, path = scope["method"], scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/") or "/"
        return (method, path) in self._paths or any(
            method == its and pattern.match(path) for its, pattern in self._patterns
        )
