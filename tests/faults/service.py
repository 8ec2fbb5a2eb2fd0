"""The service under test: a real process on one database file, started again whenever it was killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ironlane.cli.client import Client, Refused, Unreachable
from tests.faults.rack import PASSWORD
from tests.service.process import START, Running, Zygote, free_port

ENVIRONMENT = {
    "IRONLANE_SECRET_LAB": PASSWORD,
    "IRONLANE_SWITCH_TIMEOUT": "1.5",
    "IRONLANE_SWITCH_RETRY": "1",
    "IRONLANE_AUDIT_INTERVAL": "2",
    "IRONLANE_SCAN_INTERVAL": "0.2",
}


@dataclass(slots=True)
class Service:
    """`kill` it at any moment; `log` is what it said in all its lives."""

    log: Path
    database: str
    zygote: Zygote
    port: int = field(default_factory=free_port)
    kills: int = 0
    up: asyncio.Event = field(default_factory=asyncio.Event)
    _process: Running | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, zygote: Zygote) -> AsyncIterator[Service]:
        service = cls(folder / "service.log", f"sqlite:///{folder}/faults.sqlite", zygote)
        keeping = asyncio.create_task(service._keep())
        try:
            await service.until_up()
            yield service
        finally:
            keeping.cancel()
            outcome = await asyncio.gather(keeping, return_exceptions=True)
            service.end()
            if not isinstance(outcome[0], asyncio.CancelledError):
                raise outcome[0]

    async def until_up(self) -> None:
        async with asyncio.timeout(START):
            await self.up.wait()

    def kill(self) -> bool:
        """kill -9, if it is there to be killed."""
        if self._process is None or not self.up.is_set():
            return False
        self.up.clear()
        self.kills += 1
        self._process.send(signal.SIGKILL)
        return True

    def end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send(signal.SIGKILL)
            self._process.close()
            self._process = None

    async def _keep(self) -> None:
        argv = ["serve", "--port", str(self.port), "--database", self.database, "--hostname", "conductor-1"]
        async with Client(self.url) as client:
            while True:
                self._process = self.zygote.start(argv, ENVIRONMENT, self.log)
                await self._healthy(client)
                self.up.set()
                await self._process.ended()
                self.up.clear()
                self._process.close()
                self._process = None

    async def _healthy(self, client: Client) -> None:
        try:
            async with asyncio.timeout(START):
                while True:
                    with contextlib.suppress(Unreachable, Refused):
                        await client.get("/healthz")
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"the service does not start; its log: {self.log}") from None
