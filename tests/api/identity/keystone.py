"""A Keystone that behaves: the part of the Identity API v3 that logs in, validates tokens and tells of projects.

Source: Identity API v3 reference. Statuses and bodies are Keystone's: 401 for a wrong password and for a validating
token that does not count, 404 for a subject token that does not, 403 where the validating user may not.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

SERVICE_PASSWORD = "the service's own"


@dataclass
class User:
    name: str
    password: str
    roles: dict[str, tuple[str, ...]]
    """Project id (or "system") to the names of the roles there."""
    id: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass
class Token:
    user: User
    scope: str
    expires_at: datetime


def error(status: int, title: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": status, "title": title, "message": message}}, status=status)


class FakeKeystone:
    """Users, projects by id (whose name is the same), and tokens; `requests` counts what was asked for."""

    def __init__(self, *users: User, lifetime: timedelta = timedelta(hours=1)) -> None:
        service = User("ironlane", SERVICE_PASSWORD, {"service": ("service",)})
        self.users = {user.name: user for user in (service, *users)}
        self.tokens: dict[str, Token] = {}
        self.requests: Counter[str] = Counter()
        self.lifetime = lifetime
        self.now = lambda: datetime.now(UTC)
        self.failing = 0
        """A status that everything is answered with."""
        self.url = ""
        self.endpoints: dict[str, str] = {}
        """The catalog: service type to URL."""

    def issue(self, name: str, scope: str, lifetime: timedelta | None = None) -> str:
        """A token as a log-in would give."""
        token = f"gAAAA{secrets.token_urlsafe(48)}"
        self.tokens[token] = Token(self.users[name], scope, self.now() + (lifetime or self.lifetime))
        return token

    def revoke(self, token: str) -> None:
        del self.tokens[token]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._versions),
            web.get("/v3", self._version),
            web.get("/v3/", self._version),
            web.post("/v3/auth/tokens", self._log_in),
            web.get("/v3/auth/tokens", self._validate),
            web.get("/v3/projects", self._list_projects),
            web.get("/v3/projects/{id}", self._show_project),
        ]

    def projects(self) -> dict[str, str]:
        """Id to name."""
        return {scope: scope for user in self.users.values() for scope in user.roles if scope != "system"}

    def project(self, ident: str) -> dict[str, Any]:
        """One of them, as the API shows it."""
        told = {"domain_id": "default", "enabled": True, "is_domain": False}
        return {"id": ident, "name": self.projects()[ident], **told}

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[FakeKeystone]:
        app = web.Application()
        app.add_routes(self.routes())
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v3"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _versions(self, _request: web.Request) -> web.Response:
        return web.json_response({"versions": {"values": [self._v3()]}}, status=300)

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": self._v3()})

    def _v3(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": f"{self.url}/"}]
        return {"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z", "links": links}

    async def _log_in(self, request: web.Request) -> web.Response:
        self.requests["log in"] += 1
        if self.failing:
            return error(self.failing, "Failing", "as the test wants it")
        auth = (await request.json())["auth"]
        asked = auth["identity"]["password"]["user"]
        user = self.users.get(asked["name"])
        if user is None or user.password != asked["password"] or asked["domain"].get("name", "Default") != "Default":
            return error(401, "Unauthorized", "The request you have made requires authentication.")
        wished = auth.get("scope", {})
        scope = "system" if "system" in wished else wished["project"].get("name") or wished["project"]["id"]
        if scope not in user.roles:
            return error(401, "Unauthorized", "User has no access to project.")
        token = self.issue(user.name, scope)
        return web.json_response(self._told(token), status=201, headers={"X-Subject-Token": token})

    async def _validate(self, request: web.Request) -> web.Response:
        self.requests["validate"] += 1
        if self.failing:
            return error(self.failing, "Failing", "as the test wants it")
        asking = self._live(request.headers.get("X-Auth-Token", ""))
        if asking is None:
            return error(401, "Unauthorized", "The request you have made requires authentication.")
        if not {"admin", "service"} & set(asking.user.roles[asking.scope]):
            return error(403, "Forbidden", "You are not authorized to perform the requested action.")
        subject = request.headers["X-Subject-Token"]
        if self._live(subject) is None:
            return error(404, "Not Found", "Failed to validate token")
        return web.json_response(self._told(subject), headers={"X-Subject-Token": subject})

    async def _list_projects(self, request: web.Request) -> web.Response:
        named = request.query.get("name")
        found = [ident for ident, name in self.projects().items() if named in {None, name}]
        return web.json_response({"projects": [self.project(ident) for ident in found], "links": {"next": None}})

    async def _show_project(self, request: web.Request) -> web.Response:
        ident = request.match_info["id"]
        if ident not in self.projects():
            return error(404, "Not Found", f"Could not find project: {ident}.")
        return web.json_response({"project": self.project(ident)})

    def _live(self, token: str) -> Token | None:
        found = self.tokens.get(token)
        return found if found is not None and found.expires_at > self.now() else None

    def _told(self, token: str) -> dict[str, Any]:
        found = self.tokens[token]
        domain = {"id": "default", "name": "Default"}
        told: dict[str, Any] = {
            "methods": ["password"],
            "user": {"domain": domain, "id": found.user.id, "name": found.user.name, "password_expires_at": None},
            "audit_ids": [secrets.token_urlsafe(16)],
            "expires_at": found.expires_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "issued_at": self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "roles": [{"id": f"id of {role}", "name": role} for role in found.user.roles[found.scope]],
            "catalog": list(self._catalog(self.endpoints)),
        }
        if found.scope == "system":
            told["system"] = {"all": True}
        else:
            told["project"] = {"domain": domain, "id": found.scope, "name": found.scope}
        return {"token": told}

    @staticmethod
    def _catalog(endpoints: dict[str, str]) -> Iterable[dict[str, Any]]:
        for kind, url in endpoints.items():
            endpoint = {"id": kind, "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": url}
            yield {"id": kind, "type": kind, "name": kind, "endpoints": [endpoint]}
