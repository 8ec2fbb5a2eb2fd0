"""A web server that images come from, and that can be told to misbehave."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Origin:
    """`broken`: files of which only half is sent. `gate`: answers wait for it."""

    content: dict[str, bytes] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    url: str = ""
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        self.gate.set()
        app = web.Application()
        app.router.add_get("/{name}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.asked[name] += 1
        await self.gate.wait()
        if name not in self.content:
            raise web.HTTPNotFound
        content = self.content[name]
        tag = f'"{hash(content)}"'
        if request.headers.get("If-None-Match") == tag:
            self.unchanged[name] += 1
            return web.Response(status=304)
        answer = web.StreamResponse(headers={"ETag": tag, "Content-Length": str(len(content))})
        await answer.prepare(request)
        if name in self.broken:
            await answer.write(content[: len(content) // 2])
            assert request.transport is not None
            request.transport.abort()
            return answer
        await answer.write(content)
        return answer
