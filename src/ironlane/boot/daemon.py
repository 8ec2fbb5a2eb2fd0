"""A child process whose log is read as it comes: started until it says that it is ready, and dying with this process.

No shell: a command is a list of arguments.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from ironlane.model.errors import Permanent, Temporary

log = structlog.get_logger(__name__)

_LINE = 1 << 16


class Daemon:
    """One run of a daemon; a further run is another one.

    Args:
        name: for the log and in messages.
        command: program and arguments.
        heard: called with each line of its log.
        environment: added to this process'. Messages are asked for in English, because they are read.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        heard: Callable[[str], None] = lambda _line: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._heard = heard
        self._environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C", **(environment or {})}
        self._last: deque[str] = deque(maxlen=5)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._stopping = False
        self.ended = asyncio.Event()

    async def start(self) -> None:
        """Start it. Whether it is ready, its log says.

        Raises:
            Permanent: there is no such program.
        """
        program = shutil.which(self._command[0], path=_SYSTEM_PATH)
        if program is None:
            raise Permanent(f"{self.name}: there is no program {self._command[0]}; install its package")
        # Were this process killed, nobody would tell the daemon what to answer any more: it must not outlive it.
        setpriv = shutil.which("setpriv", path=_SYSTEM_PATH)
        bound = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        self._process = await asyncio.create_subprocess_exec(
            *bound,
            program,
            *self._command[1:],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            limit=_LINE,
        )
        self._reader = asyncio.create_task(self._read(self._process), name=f"{self.name}-log")

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and not self.ended.is_set()

    @property
    def died(self) -> bool:
        """It ended, and not because it was told to."""
        return self.ended.is_set() and not self._stopping

    async def until(self, said: asyncio.Event, timeout: float) -> None:
        """Wait until its log has said something.

        Raises:
            Temporary: it ended, or did not say it in time.
        """
        waits = [asyncio.create_task(event.wait()) for event in (said, self.ended)]
        try:
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if said.is_set():
            return
        if self.ended.is_set():
            raise Temporary(f"{self.name} ended: {self.last_words}")
        raise Temporary(f"{self.name} did not say within {timeout:g} s that it is ready; it said: {self.last_words}")

    @property
    def last_words(self) -> str:
        return "; ".join(self._last) or "(nothing)"

    async def stop(self, patience: float = 2.0) -> None:
        """End it, by force if it does not hear; returns when it is gone."""
        self._stopping = True
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self.ended.wait(), patience)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self.ended.wait()
        if self._reader is not None:
            await self._reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        stream = process.stdout
        assert stream is not None  # noqa: S101 - it was asked for
        try:
            while True:
                try:
                    raw = await stream.readline()
                except ValueError:  # a line longer than any that matters
                    continue
                if not raw:
                    break
                line = raw.decode(errors="replace").rstrip()
                if line:
                    self._last.append(line)
                    log.debug("daemon said", daemon=self.name, line=line)
                    self._heard(line)
        finally:
            code = await process.wait()
            if not self._stopping:
                self._last.append(f"exit code {code}")
            self.ended.set()


_SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin", "/bin"])


async def death(current: Callable[[], Daemon | None], changed: asyncio.Event) -> str:
    """Return when the daemon that is `current` dies, with a sentence about it. `changed` is set when another one is."""
    daemon = current()
    while daemon is None or not daemon.died:
        if daemon is not None and daemon.running:
            await daemon.ended.wait()
        else:  # stopped, or not yet started
            changed.clear()
            await changed.wait()
        daemon = current()
    return f"{daemon.name} died and is started again: {daemon.last_words}"
