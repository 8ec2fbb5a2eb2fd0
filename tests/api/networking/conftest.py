"""Fixtures: the Networking API on a small site, in this process."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import uvicorn
from fastapi import FastAPI

from ironlane.api.networking import app
from ironlane.store.database import Store
from tests.api.asgi import Client
from tests.api.networking import site


class Networking(Client):
    """The API, and short ways to make things."""

    async def made(self, plural: str, **attributes: Any) -> dict[str, Any]:
        noun = plural[:-1]
        answer = await self.post(f"/v2.0/{plural}", {noun: attributes})
        assert answer.status == 201, answer.body
        return dict(answer.json()[noun])

    async def shown(self, plural: str, ident: str) -> dict[str, Any]:
        answer = await self.get(f"/v2.0/{plural}/{ident}")
        assert answer.status == 200, answer.body
        return dict(answer.json()[plural[:-1]])

    async def changed(self, plural: str, ident: str, **attributes: Any) -> dict[str, Any]:
        answer = await self.put(f"/v2.0/{plural}/{ident}", {plural[:-1]: attributes})
        assert answer.status == 200, answer.body
        return dict(answer.json()[plural[:-1]])

    async def listed(self, plural: str, query: str = "") -> list[dict[str, Any]]:
        answer = await self.get(f"/v2.0/{plural}?{query}")
        assert answer.status == 200, answer.body
        return list(answer.json()[plural])


@functools.cache
def _application() -> FastAPI:
    return app.create(cast("Store", None))


def application(store: Store) -> FastAPI:
    """The API on a store. It is made once and serves one test after the other: making it takes a quarter second."""
    _application().state.store = store
    return _application()


@pytest.fixture
async def networking(store: Store) -> Networking:
    await store.write(site.seed)
    return Networking(application(store))


@pytest.fixture
async def endpoint(store: Store) -> AsyncIterator[str]:
    """URL of the API on a real server at 127.0.0.1."""
    await store.write(site.seed)
    config = uvicorn.Config(application(store), host="127.0.0.1", port=0, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving
