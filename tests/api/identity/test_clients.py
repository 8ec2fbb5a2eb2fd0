"""The unmodified openstacksdk with credentials: tokens of Keystone, or a name and a password; and what it makes of 401,
403 and 404."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import openstack
import pytest
import uvicorn
from keystoneauth1.exceptions import Unauthorized
from openstack import exceptions
from openstack.connection import Connection
from starlette.applications import Starlette

from ironlane.api.baremetal import app as baremetal
from ironlane.api.http import Mounts
from ironlane.api.identity.base import Authenticator
from ironlane.api.identity.keystone import KeystoneAuthentication, KeystoneSettings
from ironlane.api.networking import app as networking
from ironlane.store.database import Store
from tests.api.identity.keystone import SERVICE_PASSWORD, FakeKeystone, User
from tests.api.identity.world import BLUE, RED, World, identity

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")]


@asynccontextmanager
async def serving(store: Store, who: Authenticator) -> AsyncIterator[str]:
    apis = {"/networking": networking.create(store, identity=who), "/baremetal": baremetal.create(store, identity=who)}
    config = uvicorn.Config(Mounts(apis, Starlette()), "127.0.0.1", 0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@contextmanager
def connected(**how: Any) -> Iterator[Connection]:
    connection = openstack.connect(load_yaml_config=False, load_envvars=False, **how)
    try:
        yield connection
    finally:
        connection.close()
        connection.session.session.close()


async def drive(steps: Callable[[Connection], None], **how: Any) -> None:
    """Run blocking client code beside the servers."""

    def run() -> None:
        with connected(**how) as cloud:
            steps(cloud)

    await asyncio.to_thread(run)


async def test_with_tokens_of_keystone(world: World) -> None:
    member = User("alice", "for alice", {RED: ("member",)})
    async with FakeKeystone(member).running() as keystone:
        who = KeystoneAuthentication(KeystoneSettings(keystone.url, "ironlane", SERVICE_PASSWORD))
        async with serving(world.store, who) as url:
            keystone.endpoints = {"network": f"{url}/networking", "baremetal": f"{url}/baremetal"}

            def steps(cloud: Connection) -> None:
                made = cloud.network.create_network(name="mine")
                assert made.project_id == RED
                assert made.provider_segmentation_id is None
                with pytest.raises(exceptions.ForbiddenException, match="create_network:shared"):
                    cloud.network.create_network(name="everybody's", is_shared=True)
                with pytest.raises(exceptions.NotFoundException):
                    cloud.network.get_network(world.ids[BLUE]["network"])
                assert cloud.network.find_network("azure-name") is None
                assert {network.project_id for network in cloud.network.networks()} == {RED}
                assert {node.id for node in cloud.baremetal.nodes()} == {
                    world.ids[RED][name] for name in ("node", "let_node")
                }
                with pytest.raises(exceptions.NotFoundException):
                    cloud.baremetal.get_node(world.ids[BLUE]["node"])
                with pytest.raises(exceptions.ForbiddenException, match="baremetal:node:delete"):
                    cloud.baremetal.delete_node(world.ids[RED]["node"])

            auth = {
                "auth_url": keystone.url,
                "username": "alice",
                "password": "for alice",
                "project_name": RED,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            }
            await drive(steps, auth=auth, region_name="RegionOne")
            wrong = {**auth, "password": "wrong"}
            with pytest.raises(Unauthorized):
                await drive(lambda cloud: list(cloud.network.networks()), auth=wrong, region_name="RegionOne")
        await who.close()


async def test_with_a_name_and_a_password(world: World) -> None:
    async with serving(world.store, identity()) as url:
        for user, seen in (("red", {RED}), ("root", {RED, BLUE})):
            auth = {"username": user, "password": user, "endpoint": f"{url}/networking"}

            def steps(cloud: Connection, seen: set[str] = seen) -> None:
                assert {network.project_id for network in cloud.network.networks()} == seen

            await drive(steps, auth_type="http_basic", auth=auth)
        wrong = {"username": "root", "password": "wrong", "endpoint": f"{url}/networking"}
        with pytest.raises(exceptions.HttpException) as refused:
            await drive(lambda cloud: list(cloud.network.networks()), auth_type="http_basic", auth=wrong)
        assert refused.value.status_code == 401
