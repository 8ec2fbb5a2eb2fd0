"""Ironlane's fabric API on a real server, for the ML2 driver's client, which is synchronous."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from ironlane.api.fabric.app import create
from ironlane.store.database import Store
from tests.api.asgi import Client as Asgi
from tests.api.fabric.test_fabric import LEAF


@asynccontextmanager
async def listening(app: ASGIApp, port: int = 0) -> AsyncIterator[int]:
    """Its TCP port on 127.0.0.1."""
    config = uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def mounted(app: ASGIApp) -> ASGIApp:
    """The fabric API where Ironlane has it."""
    return Starlette(routes=[Mount("/fabric", app)])


async def fabric(store: Store, stopping: asyncio.Event) -> ASGIApp:
    """With one switch, `leaf-1`. Once `stopping` is set nobody is kept waiting."""
    app = create(store, stopping=stopping)
    client = Asgi(app, "/fabric")
    await client.put("/v1/physical-networks/physnet1", {"tenant_vlans": [[200, 250]]})
    assert (await client.put("/v1/switches/leaf-1", LEAF)).status in (200, 201)
    return mounted(app)
