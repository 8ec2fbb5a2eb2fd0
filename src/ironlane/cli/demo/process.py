"""`ironlane serve` as a child process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from ironlane.model.errors import Permanent

_START = 60.0
"""Seconds that the service may take until it listens."""


@asynccontextmanager
async def service(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[str]:
    """Run the service on a database in `folder`; gives its URL. Its log is `service.log` there.

    Raises:
        Permanent: it does not come up.
    """
    log = folder / "service.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "ironlane", "serve", "--port", "0", "--database", f"sqlite:///{folder / 'demo.sqlite'}"),
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            stdin=asyncio.subprocess.DEVNULL,
        )
    try:
        yield await _url(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _url(process: asyncio.subprocess.Process, log: Path) -> str:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START):
            line = (await process.stdout.readline()).decode()
            if "://" in line:
                return line.split()[-1].rsplit("/", 1)[0]
    raise Permanent(f"the service did not start; its log is {log}")
