"""The boot services of one conductor: each node's files, HTTP, TFTP; started together and stopped together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ironlane.boot.files import BootFiles, BootFilesSettings
from ironlane.boot.http import BootHttp
from ironlane.boot.images import CacheSettings, ImageCache
from ironlane.boot.tftp import TftpServer, TftpSettings
from ironlane.model.node import Node


@dataclass(frozen=True, slots=True)
class BootServicesSettings:
    """`host`: the address that HTTP and TFTP listen on; `port`: HTTP's, 0 for any free one."""

    host: str
    port: int
    files: BootFilesSettings
    cache: CacheSettings
    tftp_command: tuple[str, ...] = ("dnsmasq",)


class BootServices:
    """A `NetworkBoot` with all that it needs around it."""

    def __init__(self, settings: BootServicesSettings) -> None:
        self._settings = settings
        self._cache = ImageCache(settings.cache)
        self.files = BootFiles(settings.files, self._cache)
        self._http = BootHttp(self.files, settings.host, settings.port)
        self._tftp = TftpServer(TftpSettings(self.files.root, settings.host, settings.tftp_command))

    async def start(self) -> None:
        """Raises `Permanent` when HTTP cannot be served. TFTP is tried again by itself; `state` says how it stands."""
        await self._http.start()
        if self._settings.port == 0:
            url = self._settings.files.http_url.removesuffix(":0") + f":{self._http.port}"
            self.files.settings = replace(self._settings.files, http_url=url)
        self.files.start()
        await self._tftp.start()

    async def stop(self) -> None:
        await self._tftp.stop()
        await self._http.stop()
        await self._cache.close()

    async def prepare(self, node: Node, purpose: str) -> Sequence[Mapping[str, Any]]:
        """See `NetworkBoot`."""
        return await self.files.prepare(node, purpose)

    async def discard(self, node_id: str) -> None:
        """See `NetworkBoot`."""
        await self.files.discard(node_id)

    def state(self) -> dict[str, Any]:
        """For `/healthz`."""
        return {"http": f"{self._settings.host}:{self._http.port}", "tftp": self._tftp.state(), **self._cache.state()}
