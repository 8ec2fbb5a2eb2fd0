"""A proxy between the virtual servers and the service: it sees each answer before they do, and can lose it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

Hook = Callable[[str], bool]


class Front:
    """Listens on a port of its own; `backend` is the service's URL.

    `answered(what)` is called with `lookup` and `start` (the first heartbeat of a boot) when the service has accepted
    that; True: the answer is lost. `delivered(what)` is called when it has been sent on.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.url = ""
        self.answered: Hook = lambda _what: False
        self.delivered: Hook = lambda _what: False
        self.tokens: set[str] = set()
        """The agent tokens that the service has told."""
        self.heard: set[str] = set()
        """Those that a heartbeat was accepted with."""

    @classmethod
    @asynccontextmanager
    async def running(cls, backend: str) -> AsyncIterator[Front]:
        front = cls(backend)
        app = web.Application()
        app.cleanup_ctx.append(front._session)
        app.router.add_route("*", "/{path:.*}", front._pass)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            front.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield front
        finally:
            # Whoever connected last is gone by now. A connection that is accepted during the clean-up would be
            # nobody's, and never be closed.
            await asyncio.sleep(0.1)
            await runner.cleanup()

    async def _session(self, _app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as self._http:
            yield

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            async with self._http.request(
                request.method, f"{self.backend}{request.raw_path}", data=body or None, headers=request.headers
            ) as answer:
                content = await answer.read()
        except aiohttp.ClientError:
            return _lost(request)
        what = self._what(request, body) if answer.status < 300 else ""
        if what == "lookup":
            self.tokens.add(json.loads(content)["config"]["agent_token"])
        if what and self.answered(what):
            return _lost(request)
        response = web.Response(body=content or None, status=answer.status, content_type=answer.content_type)
        if what:
            await response.prepare(request)
            await response.write_eof()
            self.delivered(what)
        return response

    def _what(self, request: web.Request, body: bytes) -> str:
        if request.path.endswith("/v1/lookup"):
            return "lookup"
        if "/v1/heartbeat/" in request.path:
            token = json.loads(body)["agent_token"]
            if token not in self.heard:
                self.heard.add(token)
                return "start"
        return ""


def _lost(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)
