"""A relay before an OVSDB server's socket: records what the client sends, and can keep answers back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class Relay:
    """Listens on a unix socket while entered, and passes octets on both ways."""

    def __init__(self, listen: Path, upstream: Path) -> None:
        self.listen = listen
        self.upstream = upstream
        self.sent = bytearray()
        """Everything the client has sent, on all connections."""
        self.drop_answers = False
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self.listen.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, str(self.listen))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.close()
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close all connections; new ones are accepted."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        self._tasks, self._writers = set(), []

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        up_reader, up_writer = await asyncio.open_unix_connection(str(self.upstream))
        self._writers += [writer, up_writer]
        for pump in (self._pump(reader, up_writer, record=True), self._pump(up_reader, writer, record=False)):
            self._tasks.add(asyncio.create_task(pump))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, record: bool) -> None:
        while octets := await source.read(65536):
            if record:
                self.sent += octets
            elif self.drop_answers:
                continue
            sink.write(octets)
            await sink.drain()
        sink.close()
