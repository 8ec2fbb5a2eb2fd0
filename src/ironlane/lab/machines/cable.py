"""A cable between a NIC of QEMU's and a port of Open vSwitch's dummy datapath.

Both are Unix sockets that carry frames, each after its length: four bytes for QEMU, two for Open vSwitch.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

_LARGEST = 65535


class Cable:
    """QEMU plugs in at `nic`; each time that it does, its frames go to and come from the switch port's socket."""

    def __init__(self, nic: Path, port: Path) -> None:
        self.nic = nic
        self._port = port
        self._server: asyncio.Server | None = None
        self._plugged: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self.nic.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._plug, self.nic)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._plugged:
            task.cancel()
        await asyncio.gather(*self._plugged, return_exceptions=True)

    def _plug(self, from_nic: asyncio.StreamReader, to_nic: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(from_nic, to_nic), name=f"cable-{self.nic.name}")
        self._plugged.add(task)
        task.add_done_callback(self._plugged.discard)

    async def _carry(self, from_nic: asyncio.StreamReader, to_nic: asyncio.StreamWriter) -> None:
        from_port, to_port = await asyncio.open_unix_connection(self._port)
        ways = [
            asyncio.create_task(_frames(from_nic, 4, to_port, 2)),
            asyncio.create_task(_frames(from_port, 2, to_nic, 4)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_port.close()
            to_nic.close()


async def _frames(source: asyncio.StreamReader, width: int, target: asyncio.StreamWriter, other: int) -> None:
    """Until either end is gone."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            length = int.from_bytes(await source.readexactly(width), "big")
            frame = await source.readexactly(length)
            if length <= _LARGEST:
                target.write(length.to_bytes(other, "big") + frame)
                await target.drain()
