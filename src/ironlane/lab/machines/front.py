"""What servers on the provisioning network reach of the APIs: what a ramdisk calls, and nothing else. And the images.

The service itself listens on loopback only. An operator would have a reverse proxy there.
"""

from __future__ import annotations

from pathlib import Path

import aiohttp
from aiohttp import web

_CALLS = (
    ("GET", "/baremetal/v1/lookup"),
    ("POST", "/baremetal/v1/heartbeat/{node}"),
    ("POST", "/baremetal/v1/continue_inspection"),
)
_VERSION = "X-OpenStack-Ironic-API-Version"


class Front:
    """Passes on to the service at `url`; serves the files in `images`."""

    def __init__(self, url: str, images: Path) -> None:
        self._url = url
        self._images = images
        self._http: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        self._http = aiohttp.ClientSession()
        app = web.Application(client_max_size=4 << 20)
        app.add_routes([web.route(method, path, self._pass_on) for method, path in _CALLS])
        app.add_routes([web.static("/images", self._images)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    async def _pass_on(self, request: web.Request) -> web.Response:
        assert self._http is not None  # noqa: S101 - it was started
        headers = {name: request.headers[name] for name in (_VERSION, "Content-Type") if name in request.headers}
        body = await request.read()
        url = self._url + request.raw_path
        try:
            async with self._http.request(request.method, url, headers=headers, data=body or None) as answer:
                content, kind = await answer.read(), answer.content_type
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=f"the service does not answer: {error}")
        return web.Response(status=answer.status, body=content, content_type=kind)
