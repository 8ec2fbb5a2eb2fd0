"""The service under test: real processes on one database, started again whenever they were killed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ironlane.cli.client import Client, Refused, Unreachable
from tests.faults.rack import PASSWORD
from tests.service.process import START, Running, Zygote, free_port

ENVIRONMENT = {
    "IRONLANE_SECRET_LAB": PASSWORD,
    "IRONLANE_SECRET_ENCRYPTION_KEYS": base64.urlsafe_b64encode(bytes(range(32))).decode(),
    "IRONLANE_SWITCH_RETRY": "1",
    "IRONLANE_AUDIT_INTERVAL": "2",
    "IRONLANE_SCAN_INTERVAL": "0.2",
}


LEASE = 2.0
"""Seconds after which a conductor that is not heard of is taken for dead, where there are several."""


@dataclass(slots=True, eq=False)
class Process:
    """One `ironlane serve`, in all its lives: APIs and a conductor of its own name."""

    hostname: str
    database: str
    zygote: Zygote
    log: Path
    environment: Mapping[str, str]
    port: int = field(default_factory=free_port)
    up: asyncio.Event = field(default_factory=asyncio.Event)
    running: Running | None = None
    asleep: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, number: signal.Signals) -> bool:
        """A signal, if it is there to get it."""
        if self.running is None or not self.up.is_set():
            return False
        if number == signal.SIGKILL:
            self.up.clear()
        self.running.send(number)
        return True

    async def keep(self) -> None:
        """Start it, again and again."""
        argv = ["serve", "--port", str(self.port), "--database", self.database, "--hostname", self.hostname]
        async with Client(self.url) as client:
            while True:
                self.asleep = False
                self.running = self.zygote.start(argv, self.environment, self.log)
                await self._healthy(client)
                self.up.set()
                await self.running.ended()
                self.up.clear()
                self.running.close()
                self.running = None

    def end(self) -> None:
        running, self.running = self.running, None
        if running is not None:
            with contextlib.suppress(ProcessLookupError):
                running.send(signal.SIGKILL)
            running.close()

    async def _healthy(self, client: Client) -> None:
        try:
            async with asyncio.timeout(START):
                while True:
                    with contextlib.suppress(Unreachable, Refused):
                        await client.get("/healthz")
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{self.hostname} does not start; its log: {self.log}") from None


@dataclass(slots=True)
class Service:
    """One process on SQLite, or several on a database that they share."""

    processes: list[Process]
    kills: int = 0
    pauses: int = 0

    @classmethod
    @asynccontextmanager
    async def running(
        cls, folder: Path, zygote: Zygote, database: str = "", timeout: float = 1.5
    ) -> AsyncIterator[Service]:
        """`database`: the URL of one that two processes share; without, one process has a file of its own. `timeout` is
        how long they wait for a switch."""
        url, names = database or f"sqlite:///{folder}/faults.sqlite", ("conductor-1", "conductor-2")
        environment = ENVIRONMENT | {"IRONLANE_SWITCH_TIMEOUT": str(timeout)}
        environment |= {"IRONLANE_LEASE_TTL": str(LEASE)} if database else {}
        service = cls(
            [Process(n, url, zygote, folder / f"{n}.log", environment) for n in names[: 2 if database else 1]]
        )
        keeping = []
        try:
            for process in service.processes:  # the first one makes the tables
                keeping.append(asyncio.create_task(process.keep()))
                await _either(process.up.wait(), keeping[-1])
            yield service
        finally:
            for task in keeping:
                task.cancel()
            outcomes = await asyncio.gather(*keeping, return_exceptions=True)
            for process in service.processes:
                process.end()
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome

    @property
    def awake(self) -> list[int]:
        """Which of the processes may be asked."""
        return [at for at, process in enumerate(self.processes) if process.up.is_set() and not process.asleep]

    async def until_up(self) -> None:
        async with asyncio.timeout(START):
            for process in self.processes:
                await process.up.wait()

    def kill(self, which: int) -> str:
        """kill -9 of one process, if it is there to be killed. Returns whose it was."""
        process = self.processes[which % len(self.processes)]
        if not process.send(signal.SIGKILL):
            return ""
        self.kills += 1
        return process.hostname

    def stop(self, which: int) -> Callable[[], str]:
        """Stop one process where it is; what is returned has it go on from there, and tells whose it was."""
        process = self.processes[which % len(self.processes)]
        running = process.running
        if running is None or not process.send(signal.SIGSTOP):
            return lambda: "nobody"
        self.pauses += 1
        process.asleep = True

        def go_on() -> str:
            if process.running is running:
                process.asleep = False
                with contextlib.suppress(ProcessLookupError):
                    running.send(signal.SIGCONT)
            return process.hostname

        return go_on


async def _either(wanted: Coroutine[Any, Any, Any], work: asyncio.Task[None]) -> None:
    """Until what is wanted has come, or the work has failed."""
    waiting = asyncio.ensure_future(wanted)
    await asyncio.wait([waiting, work], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if work.done():
        work.result()
