"""A running service (the three APIs on an empty database, without a conductor), and the command line beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import uvicorn
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.routing import Mount

from ironlane.api.baremetal import app as baremetal
from ironlane.api.fabric import app as fabric
from ironlane.api.networking import app as networking
from ironlane.cli.main import main
from ironlane.store import leases
from ironlane.store.database import Store, open_store
from ironlane.store.leases import Membership
from ironlane.store.tables import metadata

DRIVERS = [{"name": name, "required": [], "properties": {}} for name in ("ipmi", "redfish", "fake-hardware")]

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/service.sqlite")
    await store.write(lambda tx: metadata.create_all(tx.connection))
    await store.write(lambda tx: leases.join(tx, Membership("conductor-1", DRIVERS)))
    yield store
    await store.close()


@pytest.fixture
async def url(store: Store) -> AsyncIterator[str]:
    async with served(store) as address:
        yield address


@asynccontextmanager
async def served(store: Store) -> AsyncIterator[str]:
    """The three APIs on a store; their address."""
    app = Starlette(
        routes=[
            Mount("/networking", networking.create(store)),
            Mount("/baremetal", baremetal.create(store)),
            Mount("/fabric", fabric.create(store)),
        ]
    )
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None, access_log=False)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 (uvicorn has nothing to wait on)
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The service's log would go to the commands' output, for both are in this process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def ironlane() -> Command:
    """Runs a command in a thread of its own, for it has an event loop of its own."""

    async def run(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, main, [str(a) for a in arguments], env=env)

    return run
