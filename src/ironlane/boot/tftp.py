"""Boot files over TFTP, by a dnsmasq that does nothing else and is never restarted for a change: no download is cut off
by one. It is started again when it dies, with back-off."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from ironlane.boot.daemon import Daemon
from ironlane.model.errors import IronlaneError

log = structlog.get_logger(__name__)

_FIRST_RETRY, _LAST_RETRY, _WELL = 0.1, 10.0, 20.0
_STARTED = re.compile(r"dnsmasq-tftp(?:\[\d+\])?: TFTP root is ")
_MISSING = re.compile(
    r"dnsmasq-tftp(?:\[\d+\])?: (?:file (?P<file>.+) not found for (?P<client>\S+)|cannot access .+)$"
)
_FAILED = re.compile(r"dnsmasq-tftp(?:\[\d+\])?: (failed sending|error \d+|.* permission denied|ignored? ).*$", re.I)
_SENT = re.compile(r"dnsmasq-tftp(?:\[\d+\])?: sent (?P<file>.+) to (?P<client>\S+)$")


@dataclass(frozen=True, slots=True)
class TftpSettings:
    """`address`: what it listens on."""

    root: Path
    address: str
    command: tuple[str, ...] = ("dnsmasq",)
    timeout: float = 10.0


class TftpServer:
    """Runs from `start` to `stop`; whether it does at the moment, `state` says."""

    def __init__(self, settings: TftpSettings) -> None:
        self._settings = settings
        self._daemon: Daemon | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._reason = "starting"
        self._sent = self._missing = 0

    async def start(self) -> None:
        """Starts it; when that fails now, it is tried again."""
        await self._run()
        self._keeper = asyncio.create_task(self._keep(), name="tftp-keeper")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._daemon is not None:
            await self._daemon.stop()

    @property
    def pid(self) -> int | None:
        return None if self._daemon is None else self._daemon.pid

    def state(self) -> dict[str, Any]:
        status = "failing" if self._reason else "ok"
        return {"state": status, "reason": self._reason, "sent": self._sent, "not_found": self._missing}

    async def _run(self) -> None:
        self._started.clear()
        daemon = Daemon("TFTP (dnsmasq)", self._command(), heard=self._heard)
        self._daemon = daemon
        try:
            await daemon.start()
            await daemon.until(self._started, self._settings.timeout)
            self._reason = ""
        except IronlaneError as error:
            await daemon.stop()
            if self._reason != error.message:
                log.error("TFTP does not run", reason=error.message)
            self._reason = error.message

    def _command(self) -> list[str]:
        return [
            *self._settings.command,
            "--no-daemon",
            "--conf-file=/dev/null",
            "--log-facility=-",
            "--port=0",
            "--bind-interfaces",
            f"--listen-address={self._settings.address}",
            "--enable-tftp",
            f"--tftp-root={self._settings.root}",
            "--tftp-max=1000",
        ]

    async def _keep(self) -> None:
        loop, delay = asyncio.get_running_loop(), _FIRST_RETRY
        while True:
            began = loop.time()
            if self._daemon is not None and self._daemon.running:
                await self._daemon.ended.wait()
                self._reason = f"it died and is started again: {self._daemon.last_words}"
                log.error("TFTP died", reason=self._daemon.last_words)
            delay = _FIRST_RETRY if loop.time() - began > _WELL else min(2 * delay, _LAST_RETRY)
            await asyncio.sleep(delay)
            await self._run()

    def _heard(self, line: str) -> None:
        if _STARTED.search(line):
            self._started.set()
        elif match := _SENT.search(line):
            self._sent += 1
            log.info("boot file sent", file=Path(match["file"]).name, client=match["client"])
        elif match := _MISSING.search(line):
            self._missing += 1
            log.warning("boot file is not there", file=match["file"] or line, client=match["client"])
        elif _FAILED.search(line):
            log.warning("TFTP", line=line)
