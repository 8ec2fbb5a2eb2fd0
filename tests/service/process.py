"""`ironlane serve` in processes of its own: as its user starts it, and forked from a warm one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ironlane.store.vault import new_key

START = 60.0
"""Seconds that a process may take until it listens, on a machine that is busy with other tests."""

ENCRYPTION_KEY = {"IRONLANE_SECRET_ENCRYPTION_KEYS": new_key()}
"""What a service on a database server needs in its environment."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(slots=True)
class Running:
    """A process that is not our child: only its id is known, and when it has ended."""

    pid: int
    fd: int = field(init=False)

    def __post_init__(self) -> None:
        self.fd = os.pidfd_open(self.pid)

    def send(self, number: signal.Signals) -> None:
        signal.pidfd_send_signal(self.fd, number)

    async def ended(self) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.fd, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self.fd)

    def close(self) -> None:
        os.close(self.fd)


class Zygote:
    """See `tests.service.zygote`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Zygote]:
        with subprocess.Popen(
            [sys.executable, "-m", "tests.service.zygote"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            zygote = cls(process)
            assert zygote._answer() == b"ready\n"
            yield zygote

    def start(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> Running:
        """A new `ironlane` with these arguments."""
        assert self._process.stdin is not None
        order = {"argv": list(argv), "env": dict(env), "log": str(log)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return Running(int(self._answer()))

    def _answer(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@asynccontextmanager
async def serving(
    *arguments: str, env: Mapping[str, str] | None = None, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m ironlane serve …`; killed at the end if it still runs."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ironlane", "serve", *arguments),
            env={**os.environ, **(env or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
