"""An image service that answers what it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class Images:
    """`images`: by id, what is answered; a number is an HTTP status without a body."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any] | str | int] = {}
        self.asked: Counter[str] = Counter()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Images]:
        service = cls()
        app = web.Application()
        app.router.add_get("/v2/images/{id}", service._show)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield service
        finally:
            await runner.cleanup()

    async def _show(self, request: web.Request) -> web.Response:
        ident = request.match_info["id"]
        self.asked[ident] += 1
        answer = self.images.get(ident, 404)
        if isinstance(answer, int):
            return web.Response(status=answer)
        return web.Response(text=answer) if isinstance(answer, str) else web.json_response(answer)
