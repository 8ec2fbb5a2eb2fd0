"""`keystone`: the token in `X-Auth-Token`, validated by an OpenStack Identity service (API v3).

Source: Identity API v3 reference, "Authentication and token management". The service logs in with a user of its own,
whose token it shows when it asks about others' (`GET /v3/auth/tokens`).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from starlette.types import Scope

from ironlane.api.identity.base import header
from ironlane.api.identity.recent import Found, Recent
from ironlane.model.caller import Caller
from ironlane.model.errors import Permanent, Temporary, Unauthorized

log = structlog.get_logger(__name__)

_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_KEPT, _KEPT_REFUSALS = 10_000, 1_000
_REFUSED_FOR = 30.0
"""Seconds that a token which Keystone does not know is refused without asking again."""

_REFUSED = "The request you have made requires authentication."


@dataclass(frozen=True, slots=True)
class KeystoneSettings:
    """Where Keystone is, and whom Ironlane is there.

    `url` ends in `/v3`. `public_url` is what clients are told in a 401, if they reach it elsewhere. `keep` is for how
    long a validated token counts without asking again, in seconds: so late is a revoked one noticed.
    """

    url: str
    username: str
    password: str = field(repr=False)
    user_domain: str = "Default"
    project: str = "service"
    project_domain: str = "Default"
    cafile: str = ""
    public_url: str = ""
    keep: float = 300.0
    timeout: float = 10.0


class KeystoneAuthentication:
    """Asks Keystone once per token and `keep`, also when many requests come with one token at the same time."""

    def __init__(
        self,
        settings: KeystoneSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Raises: Permanent, when there are no certificates in `cafile`."""
        self._settings = settings
        self._url = settings.url.rstrip("/")
        self._clock, self._now = clock, now
        self._tls = _tls(settings.cafile)
        self._known: Recent[Caller] = Recent(_KEPT, clock)
        self._refused: Recent[None] = Recent(_KEPT_REFUSALS, clock)
        self._session: aiohttp.ClientSession | None = None
        self._own = ""
        self._own_until = 0.0
        self._logging_in = asyncio.Lock()

    @property
    def challenge(self) -> str:
        return f'Keystone uri="{self._settings.public_url or self._url}"'

    async def authenticate(self, scope: Scope) -> Caller:
        """Raises: Unauthorized; Temporary, when Keystone does not answer and the token is not known yet."""
        token = header(scope, "x-auth-token")
        if not _TOKEN.fullmatch(token):
            raise Unauthorized(_REFUSED)
        # What lies in memory must not be of use to whoever gets to see it.
        key = hashlib.sha256(token.encode()).digest()
        if self._refused.knows(key):
            raise Unauthorized(_REFUSED)
        try:
            return await self._known.get(key, lambda: self._look_up(token))
        except Unauthorized:
            self._refused.keep(key, Found(None, self._clock() + _REFUSED_FOR))
            raise

    async def close(self) -> None:
        await self._known.close()
        if self._session is not None:
            await self._session.close()

    async def _look_up(self, token: str) -> Found[Caller]:
        for renewed in (False, True):
            own = await self._own_token(renewed)
            headers = {"X-Auth-Token": own, "X-Subject-Token": token}
            status, body, _ = await self._request("GET", "/auth/tokens?nocatalog", headers=headers)
            if status == 200:
                return self._found(body)
            if status in {400, 404}:
                raise Unauthorized(_REFUSED)
            if status != 401:  # 401 is about our own token: it was revoked, or Keystone's keys have changed
                break
        raise Temporary(
            f"Keystone at {self._url} does not validate tokens for user {self._settings.username}: {status}"
        )

    def _found(self, body: Any) -> Found[Caller]:
        """What a validated token says.

        Raises:
            Unauthorized: it has expired.
            Temporary: it cannot be read.
        """
        try:
            told = body["token"]
            left = (datetime.fromisoformat(told["expires_at"]) - self._now()).total_seconds()
            caller = _caller(told)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Temporary(f"Keystone at {self._url} describes a token in a way that cannot be read") from error
        if left <= 0:
            raise Unauthorized(_REFUSED)
        return Found(caller, self._clock() + min(left, self._settings.keep))

    async def _own_token(self, renewed: bool) -> str:
        """Our own token; a new one when it is about to expire, or when the present one was refused."""
        refused = self._own if renewed else ""
        async with self._logging_in:  # one log-in serves all who wait for it
            if self._own in {"", refused} or self._clock() >= self._own_until:
                await self._log_in()
            return self._own

    async def _log_in(self) -> None:
        settings = self._settings
        user = {"name": settings.username, "domain": {"name": settings.user_domain}, "password": settings.password}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": settings.project, "domain": {"name": settings.project_domain}}},
            }
        }
        status, told, headers = await self._request("POST", "/auth/tokens?nocatalog", json=body)
        if status != 201 or "X-Subject-Token" not in headers:
            raise Temporary(f"user {settings.username} cannot log in to Keystone at {self._url}: status {status}")
        try:
            left = (datetime.fromisoformat(told["token"]["expires_at"]) - self._now()).total_seconds()
        except (KeyError, TypeError, ValueError) as error:
            raise Temporary(f"Keystone at {self._url} gave a token that cannot be read") from error
        self._own = headers["X-Subject-Token"]
        self._own_until = self._clock() + left - min(60.0, left / 2)

    async def _request(self, method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
        """Status, JSON (None: there is none) and headers of an answer.

        Raises:
            Temporary: there was none.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout),
                connector=aiohttp.TCPConnector(limit=32, ssl=self._tls, keepalive_timeout=15),
                headers={"Accept": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.request(method, self._url + path, allow_redirects=False, **more) as answer:
                raw = await answer.read()
                parsed = await answer.json(content_type=None) if raw and answer.status < 300 else None
                return answer.status, parsed, answer.headers
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Temporary(f"Keystone at {self._url} does not answer: {error or type(error).__name__}") from error


def _caller(told: Any) -> Caller:
    """The user of a token and its roles, which count only where they say for what: in a project, or the system."""
    project = told.get("project") or {}
    system = bool((told.get("system") or {}).get("all"))
    scoped = bool(project) or system
    return Caller(
        user_id=str(told["user"]["id"]),
        user_name=str(told["user"]["name"]),
        project_id=str(project["id"]) if project else "",
        roles=frozenset(str(role["name"]).lower() for role in told.get("roles", ())) if scoped else frozenset(),
        is_system=system,
    )


def _tls(cafile: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cafile or None)
    except (OSError, ssl.SSLError) as error:
        raise Permanent(f"no certificates could be read from {cafile}: {error}") from error
