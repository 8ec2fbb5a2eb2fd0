"""A service with a Keystone for its log-ins: an admin, a tenant, and another tenant in a project of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from tests.api.identity.keystone import SERVICE_PASSWORD, FakeKeystone, User, error
from tests.compatibility.cloud import CLOUD, TENANT_VLANS, Cloud, cloud, nothing

ADMIN = User("root", "secret", {"ops": ("admin",)})
TENANT = User("demo", "secret", {"demo": ("member",)})
OTHER_TENANT = User("alt", "secret", {"alt": ("member",)})
TENANT_CLOUD, OTHER_CLOUD = "ironlane-demo", "ironlane-alt"
"""Names in the clouds.yaml, beside the admin's."""

_DOMAIN = {"id": "default", "name": "Default", "enabled": True}
_ROLES = [{"id": f"id of {name}", "name": name} for name in ("admin", "member", "reader", "service")]


class Keystone(FakeKeystone):
    """One that has projects made in it, and roles given. Whose a role is only matters for the users that log in."""

    def __init__(self, *users: User) -> None:
        super().__init__(*users)
        self.made: dict[str, str] = {}
        """Project id to its name."""

    def routes(self) -> list[web.RouteDef]:
        given = "/v3/projects/{id}/users/{user}/roles/{role}"
        return [
            *super().routes(),
            web.post("/v3/projects", self._make_project),
            web.delete("/v3/projects/{id}", self._delete_project),
            web.get("/v3/domains", _always({"domains": [_DOMAIN]})),
            web.get("/v3/domains/default", _always({"domain": _DOMAIN})),
            web.get("/v3/roles", _always({"roles": _ROLES})),
            web.get("/v3/users/{id}", self._user),
            web.get("/v3/role_assignments", _always({"role_assignments": []})),
            web.head(given, _always(None, 404)),
            web.put(given, _always(None, 204)),
            web.delete(given, _always(None, 204)),
        ]

    def projects(self) -> dict[str, str]:
        return super().projects() | self.made

    async def _make_project(self, request: web.Request) -> web.Response:
        name = str((await request.json())["project"]["name"])
        project = secrets.token_hex(16)
        self.made[project] = name
        return web.json_response({"project": self.project(project)}, status=201)

    async def _delete_project(self, request: web.Request) -> web.Response:
        del self.made[request.match_info["id"]]
        return web.Response(status=204)

    async def _user(self, request: web.Request) -> web.Response:
        found = next((user for user in self.users.values() if user.id == request.match_info["id"]), None)
        if found is None:
            return error(404, "Not Found", "Could not find user.")
        shown: dict[str, Any] = {"id": found.id, "name": found.name, "domain_id": "default", "enabled": True}
        return web.json_response({"user": shown})


def _always(body: object, status: int = 200) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that has one answer."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status) if body is None else web.json_response(body, status=status)

    return answer


@asynccontextmanager
async def cloud_with_keystone(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Cloud]:
    """A service with one physical network, and three clouds that lead to it."""
    async with Keystone(ADMIN, TENANT, OTHER_TENANT).running() as keystone:
        identity = {
            "IRONLANE_AUTH_STRATEGY": "keystone",
            "IRONLANE_KEYSTONE_URL": keystone.url,
            "IRONLANE_SECRET_KEYSTONE_PASSWORD": SERVICE_PASSWORD,
        }
        async with cloud(folder, nothing, {**settings, **identity}) as found:
            keystone.endpoints.update(
                network=f"{found.url}/networking", baremetal=f"{found.url}/baremetal", identity=keystone.url
            )
            clouds = {
                CLOUD: _log_in(keystone, ADMIN),
                TENANT_CLOUD: _log_in(keystone, TENANT),
                OTHER_CLOUD: _log_in(keystone, OTHER_TENANT),
            }
            (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": clouds}))
            await _add_physical_network(found.url, keystone.issue(ADMIN.name, "ops"))
            yield found


async def _add_physical_network(url: str, token: str) -> None:
    body = {"tenant_vlans": [list(TENANT_VLANS)], "mtu": 1500}
    async with (
        aiohttp.ClientSession(headers={"X-Auth-Token": token}) as session,
        session.put(f"{url}/fabric/v1/physical-networks/physnet1", json=body) as answer,
    ):
        answer.raise_for_status()


def _log_in(keystone: FakeKeystone, user: User) -> dict[str, object]:
    (project,) = user.roles
    return {
        "auth_type": "password",
        "auth": {
            "auth_url": keystone.url,
            "username": user.name,
            "password": user.password,
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": "RegionOne",
        "has_compute": False,
        "has_image": False,
    }
