"""A real Keystone's tokens: who is let in, as whom, and what a revocation does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openstack
import pytest
from openstack.connection import Connection

from bench.environments import Unavailable
from ironlane.api.identity.keystone import KeystoneAuthentication, KeystoneSettings
from ironlane.cli.credentials import answer_to
from ironlane.model.caller import Caller
from ironlane.model.errors import Temporary, Unauthorized
from tests.openstack import keystone
from tests.service.process import free_port

pytestmark = [
    pytest.mark.openstack,
    pytest.mark.timeout(600),
    # The library warns of its own use of what it deprecates.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openstack"),
]


@pytest.fixture
async def made() -> Path:
    try:
        return await asyncio.to_thread(keystone.environment)
    except Unavailable as why:
        pytest.skip(f"no Keystone on this machine: {why}")


@contextmanager
def connected(url: str, username: str, password: str, **scope: str) -> Iterator[Connection]:
    auth = {"auth_url": url, "username": username, "password": password, "user_domain_name": "Default", **scope}
    cloud = openstack.connect(auth=auth, load_yaml_config=False, load_envvars=False, identity_endpoint_override=url)
    try:
        yield cloud
    finally:
        cloud.close()
        cloud.session.session.close()


ADMIN = {"project_name": "admin", "project_domain_name": "Default"}


def populate(url: str) -> str:
    """Alice, a member of project red and a reader of the system, and Ironlane's own user; red's id."""
    with connected(url, "admin", keystone.ADMIN_PASSWORD, **ADMIN) as cloud:
        identity = cloud.identity
        red = identity.create_project(name="red", domain_id="default")
        service = identity.create_project(name="service", domain_id="default")
        alice = identity.create_user(name="alice", password="for alice", domain_id="default")
        ironlane = identity.create_user(name="ironlane", password="for ironlane", domain_id="default")
        roles = {role.name: role for role in identity.roles()}
        identity.assign_project_role_to_user(red, alice, roles["member"])
        identity.assign_system_role_to_user(alice, roles["reader"], "all")
        identity.assign_project_role_to_user(service, ironlane, roles["service"])
        return str(red.id)


def log_in(url: str, **scope: str) -> str:
    with connected(url, "alice", "for alice", **scope) as cloud:
        return str(cloud.session.get_token())


def revoke(url: str, token: str) -> None:
    with connected(url, "admin", keystone.ADMIN_PASSWORD, **ADMIN) as cloud:
        cloud.identity.delete("/auth/tokens", headers={"X-Subject-Token": token}).raise_for_status()


async def who(identity: KeystoneAuthentication, token: str) -> Caller:
    return await identity.authenticate({"type": "http", "headers": [(b"x-auth-token", token.encode())]})


async def test_tokens_of_a_real_keystone(made: Path, tmp_path: Path) -> None:
    port = free_port()
    async with keystone.running(made, tmp_path, port) as url:
        red = await asyncio.to_thread(populate, url)
        settings: dict[str, Any] = {"url": url, "username": "ironlane", "password": "for ironlane"}
        identity = KeystoneAuthentication(KeystoneSettings(**settings, keep=0.0))
        token = await asyncio.to_thread(log_in, url, project_name="red", project_domain_name="Default")
        caller = await who(identity, token)
        assert (caller.user_name, caller.project_id, caller.is_system, caller.is_admin) == ("alice", red, False, False)
        assert caller.roles == {"member", "reader"}
        system = await who(identity, await asyncio.to_thread(log_in, url, system_scope="all"))
        assert (system.is_system, system.project_id, system.roles, system.sees_all) == (True, "", {"reader"}, True)
        with pytest.raises(Unauthorized):
            await who(identity, "gAAAAABmade-up")
        await asyncio.to_thread(revoke, url, token)
        with pytest.raises(Unauthorized):
            await who(identity, token)
        await identity.close()
        wrong = KeystoneAuthentication(KeystoneSettings(**{**settings, "password": "wrong"}))
        with pytest.raises(Temporary, match="cannot log in"):
            await who(wrong, token)
        await wrong.close()


async def test_the_commands_log_in_at_a_real_keystone(made: Path, tmp_path: Path) -> None:
    port = free_port()
    async with keystone.running(made, tmp_path, port) as url, aiohttp.ClientSession() as http:
        red = await asyncio.to_thread(populate, url)
        identity = KeystoneAuthentication(KeystoneSettings(url, "ironlane", "for ironlane"))
        alice = {"OS_AUTH_URL": url, "OS_USERNAME": "alice", "OS_PASSWORD": "for alice"}
        for scope, project in (
            ({"OS_PROJECT_NAME": "red"}, red),
            ({"OS_PROJECT_ID": red}, red),
            ({"OS_SYSTEM_SCOPE": "all"}, ""),
        ):
            answer = await answer_to(identity.challenge, "http://127.0.0.1", http, {**alice, **scope})
            assert (await who(identity, answer["X-Auth-Token"])).project_id == project
        await identity.close()
