"""A ramdisk's agent for nodes of a small site: its command API is real, its heartbeats go straight into the rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

from ironlane.lab.agent_api import CommandApi
from ironlane.lab.agent_commands import AgentCommands
from ironlane.lab.certificate import self_signed
from ironlane.model.node import Node
from ironlane.store import baremetal_ports, ramdisks
from ironlane.store.database import Store, Tx

IMAGE = b"an operating system"
HERE = "127.0.0.1"


class Ramdisk:
    """One boot: looked up, listening, and heard of once. `heartbeat()` sends more."""

    def __init__(self, store: Store, node: Node) -> None:
        self.store, self.node = store, node
        self.disk_image: str | None = "old"
        self.token = ""
        self.certificate = ""
        self.off = False
        self.ordered: list[str] = []
        self.commands = AgentCommands(self, self._fetch, 0.01, self._finished, self._power_off)
        self.api: CommandApi | None = None
        self.silent = False
        self._sending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Ramdisk]:
        def look_up(tx: Tx) -> str:
            addresses = [port.address for port in baremetal_ports.of_node(tx, self.node.id)]
            token = ramdisks.record_lookup(tx, addresses, None)[1]
            assert token is not None
            return token

        self.token = await self.store.write(look_up)
        tls, self.certificate = self_signed(IPv4Address(HERE))
        self.api = CommandApi(self.commands, self.token, self.ordered.append)
        async with self.api.listening(tls):
            await self.heartbeat()
            yield self
        await asyncio.gather(*self._sending, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self.api is not None
        return f"https://{HERE}:{self.api.port}"

    async def heartbeat(self, **changes: str) -> None:
        told = {"callback_url": self.url, "certificate": self.certificate, "version": "9.13", "source": HERE, **changes}
        token = told.pop("token", self.token)
        await self.store.write(lambda tx: ramdisks.record_heartbeat(tx, self.node.id, token, **told))

    def _finished(self) -> None:
        if not self.silent and self.api is not None and self.api.port is not None:
            task = asyncio.get_running_loop().create_task(self.heartbeat())
            self._sending.add(task)

    def _power_off(self) -> None:
        self.off = True

    async def _fetch(self, _url: str) -> bytes:
        return IMAGE
