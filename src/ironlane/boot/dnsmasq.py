"""DHCP and router advertisements by dnsmasq, one daemon that is started, told and kept alive.

A port that is new to the running daemon, or gets its first options, is told by files in directories that it watches;
it says in its log when it has read one. Everything else restarts it (a few milliseconds; leases stay), because dnsmasq
neither forgets what it has read nor takes a second reservation for an address. It is never sent SIGHUP, which makes
2.90 crash. When it cannot be told, it is stopped: rather no answer than one that is not true any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from ironlane.boot.daemon import Daemon, death
from ironlane.boot.dnsmasq_files import DnsmasqSettings, configuration, hosts_file, lease_lines, options_file
from ironlane.model.dhcp import Answers
from ironlane.model.errors import IronlaneError, Temporary

log = structlog.get_logger(__name__)

_READ = re.compile(r"dnsmasq-dhcp(?:\[\d+\])?: read (.+)$")
_STARTED = re.compile(r"dnsmasq(?:\[\d+\])?: started, version (\S+)")
_REFUSED = re.compile(r"dnsmasq(?:-dhcp)?(?:\[\d+\])?: (.* at line \d+ of .+)$")
_TROUBLE = re.compile(r"not using configured address|no address available")
_ALL = "all"
"""The file with what was known when the daemon started; later ports have a file each."""
_BREATH = 0.1
"""Seconds between two restarts at least, so that clients are answered in between however fast the ports change."""


class _Heard:
    """What one run of the daemon has said so far."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.refused: list[str] = []
        self._awaited: dict[str, asyncio.Event] = {}
        self.version = ""

    def expect(self, path: Path) -> asyncio.Event:
        return self._awaited.setdefault(str(path), asyncio.Event())

    def line(self, line: str) -> None:
        if match := _READ.search(line):
            event = self._awaited.pop(match[1], None)
            if event is not None:
                event.set()
        elif match := _STARTED.search(line):
            self.version = match[1]
            self.started.set()
        elif match := _REFUSED.search(line):
            self.refused.append(match[1])
            log.error("dnsmasq does not understand what it was given", line=match[1])
        elif _TROUBLE.search(line):
            log.warning("dnsmasq cannot answer a server", line=line)


class DnsmasqEngine:
    """A `DhcpEngine`."""

    def __init__(self, settings: DnsmasqSettings) -> None:
        self._settings = settings
        self._directory = settings.directory
        self._lock = asyncio.Lock()
        self._served: Answers | None = None
        """What the running daemon answers; None: it does not run."""
        self._daemon: Daemon | None = None
        self._replaced = asyncio.Event()
        self._heard = _Heard()
        self._restarted_at = 0.0
        self._restarts = -1
        self._reason = "starting"

    async def start(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _end_leftover(self._directory / "pid", self._directory)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with self._lock:
            yield

    async def apply(self, answers: Answers) -> None:
        """See `DhcpEngine`; to be called within `turn`."""
        try:
            await self._converge(answers)
            self._reason = "; ".join(self._heard.refused[:3])
        except (IronlaneError, OSError) as error:
            await self._silence()
            self._reason = getattr(error, "message", str(error))
            if isinstance(error, OSError):
                raise Temporary(f"dnsmasq cannot be told: {error}") from error
            raise

    def state(self) -> dict[str, Any]:
        figures = {"restarts": max(self._restarts, 0), "version": self._heard.version}
        if self._served is not None:
            figures |= {"subnets": len(self._served.subnets), "reservations": len(self._served.reservations)}
        status = "failing" if self._reason else "ok"
        return {"engine": "dnsmasq", "state": status, "reason": self._reason, **figures}

    async def close(self) -> None:
        await self._silence()

    async def broken(self) -> str:
        self._reason = await death(lambda: self._daemon, self._replaced)
        return self._reason

    async def _converge(self, answers: Answers) -> None:
        served = self._served
        if served is not None and (self._daemon is None or self._daemon.running):
            ports = _additions(served, answers)
            if ports is not None:
                await self._add(answers, ports)
                self._served = answers
                return
        await self._restart(answers)

    async def _add(self, answers: Answers, ports: Iterable[str]) -> None:
        """Options before hosts: a port is known only with its options."""
        for port in ports:
            reservation, before = answers.reservations[port], (self._served or answers).reservations.get(port)
            if reservation.options and (before is None or not before.options):
                await self._told("opts", port, options_file(port, reservation.options))
            if before is None:
                await self._told("hosts", port, hosts_file(reservation))

    async def _told(self, kind: str, port: str, text: str) -> None:
        if self._daemon is None:
            return
        path = self._directory / kind / port
        read = self._heard.expect(path)
        new = self._directory / "new"
        new.write_text(text)
        new.rename(path)
        await self._daemon.until(read, self._settings.timeout)

    async def _restart(self, answers: Answers) -> None:
        await asyncio.sleep(max(0.0, self._restarted_at + _BREATH - time.monotonic()))
        await self._silence()
        if not answers.subnets:
            self._served = answers  # nothing to run for
            return
        self._write(answers)
        self._heard = heard = _Heard()
        daemon = Daemon(
            "dnsmasq",
            [*self._settings.command, "--no-daemon", f"--conf-file={self._directory / 'conf'}"],
            heard=heard.line,
        )
        read = [heard.expect(self._directory / kind / _ALL) for kind in ("opts", "hosts")]
        self._daemon = daemon
        await daemon.start()
        (self._directory / "pid").write_text(f"{daemon.pid}\n")
        for event in (heard.started, *read):
            await daemon.until(event, self._settings.timeout)
        self._replaced.set()
        self._restarted_at = time.monotonic()
        self._restarts += 1
        self._served = answers

    def _write(self, answers: Answers) -> None:
        for kind in ("hosts", "opts"):
            shutil.rmtree(self._directory / kind, ignore_errors=True)
            (self._directory / kind).mkdir(mode=0o700)
        ports = answers.reservations.values()
        (self._directory / "hosts" / _ALL).write_text("".join(map(hosts_file, ports)))
        (self._directory / "opts" / _ALL).write_text("".join(options_file(r.port, r.options) for r in ports))
        leases = self._directory / "leases"
        if leases.exists():
            leases.write_text(lease_lines(leases.read_text(errors="replace"), answers))
        (self._directory / "conf").write_text(configuration(self._settings, answers))

    async def _silence(self) -> None:
        self._served = None
        if self._daemon is not None:
            await self._daemon.stop()
            self._daemon = None
            (self._directory / "pid").unlink(missing_ok=True)


def _additions(served: Answers, answers: Answers) -> list[str] | None:
    """The ports that the running daemon has to hear of; None when that does not make it answer as it should."""
    if served.subnets != answers.subnets or served.reservations.keys() - answers.reservations.keys():
        return None
    known = served.reservations
    changed = [port for port, now in answers.reservations.items() if known.get(port) != now]
    taken: set[object] | None = None
    for port in changed:
        before, now = known.get(port), answers.reservations[port]
        if before is None:
            if taken is None:
                taken = {address for r in known.values() for _, address in r.addresses}
            if any(address in taken for _, address in now.addresses):
                return None
        elif before.options or (before.mac, before.addresses, before.client_id) != (
            now.mac,
            now.addresses,
            now.client_id,
        ):
            return None
    return changed


def _end_leftover(pid_file: Path, directory: Path) -> None:
    """A daemon that outlived the process that ran it before answers what that process knew: it has to go."""
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    if os.fsencode(f"--conf-file={directory / 'conf'}") in command:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
