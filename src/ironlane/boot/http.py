"""Boot files over HTTP, on a port of their own: iPXE scripts, kernels, ramdisks.

Nothing else is served, no directory is listed, and what is not there, not allowed or malformed is the same 404.
"""

from __future__ import annotations

import re

import structlog
from aiohttp import web

from ironlane.boot.files import TOKEN, BootFiles
from ironlane.model.errors import Permanent

log = structlog.get_logger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BootHttp:
    """Serves the files at `/<token>/<name>`."""

    def __init__(self, files: BootFiles, host: str, port: int) -> None:
        self._files = files
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None
        self.port = port
        """The one that it listens on, once it does."""

    async def start(self) -> None:
        """Raises `Permanent` when the address cannot be listened on."""
        app = web.Application()
        app.router.add_get("/{token}/{name}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            message = f"cannot serve boot files on {self._host} port {self._port} (boot_host, boot_port)"
            raise Permanent(f"{message}: {error.strerror}") from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        token, name = request.match_info["token"], request.match_info["name"]
        if not TOKEN.fullmatch(token) or not _NAME.fullmatch(name):
            raise web.HTTPNotFound
        path = self._files.root / token / name
        if not path.is_file():
            log.warning("boot file is not there", file=name, node=self._files.whose(token), client=request.remote)
            raise web.HTTPNotFound
        log.info("boot file served", file=name, node=self._files.whose(token), client=request.remote)
        return web.FileResponse(path, headers={"Cache-Control": "no-store"})
