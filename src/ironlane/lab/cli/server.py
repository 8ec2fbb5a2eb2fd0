"""An SSH server with a switch's command line."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import asyncssh

from ironlane.lab.cli.device import Device, OnRunning, Shell
from ironlane.lab.cli.platforms import PLATFORMS
from ironlane.lab.frames import Lldp
from ironlane.lab.ssh import SshServer

_MAX_LINE = 8192
_READS = re.compile(r"show .*(running|config)|config show")
"""Lines that ask what runs."""


@dataclass
class Faults:
    """What shall go wrong. Texts are looked for in the lines that come in; change them at any time."""

    hang: set[str] = field(default_factory=set)
    """A line with this is neither carried out nor answered."""
    refuse: set[str] = field(default_factory=set)
    """A line with this is refused as an unknown command."""
    drop_before: set[str] = field(default_factory=set)
    """The connection breaks before such a line is carried out, …"""
    drop_after: set[str] = field(default_factory=set)
    """… or when it has been, before the answer."""
    drop_at: int | None = None
    """The connection breaks before this many further lines are carried out (counted down; None: never)."""
    refuse_at: int | None = None
    """So many further lines are carried out, then one is refused (counted down)."""
    once: bool = False
    """Nothing more goes wrong after the first `drop_at` or `drop_after`."""
    logins: bool = False
    """No password is accepted."""


class CliSwitch(SshServer):
    """A virtual switch's command line on 127.0.0.1. It may be stopped and started again; what runs is kept, unless it
    is to `reboot`: then what was not saved is lost.

    `on_running(config)` gets the forwarding of all `ports` at the start and whenever the running configuration changes.
    `delay` is the time that each line takes, in seconds; `commit_delay` is added to lines that commit or save.
    `host_key` may be shared by many switches; without one, each makes its own. `neighbours` tells what the ports hear
    by LLDP.

    Counters: `commands` lines carried out, `sessions` logins, `commits` (see `Device`).
    """

    def __init__(
        self,
        platform: str,
        ports: Sequence[str],
        on_running: OnRunning,
        *,
        hostname: str = "leaf-1",
        port: int = 0,
        username: str = "admin",
        password: str = "admin",  # noqa: S107 - the lab's
        enable_password: str | None = None,
        host_key: asyncssh.SSHKey | None = None,
        delay: float = 0.0,
        commit_delay: float = 0.0,
        neighbours: Callable[[], Mapping[str, Lldp]] = dict,
    ) -> None:
        super().__init__(port, username, password, host_key)
        self.device: Device = PLATFORMS[platform](hostname, ports, on_running)
        self.device.enable_password = enable_password
        self.device.neighbours = neighbours
        self.delay = delay
        self.commit_delay = commit_delay
        self.faults = Faults()
        self.commands = 0
        self.sessions = 0
        self.lines: list[str] = []
        """What came in, passwords left out; clear it at will."""

    @property
    def commits(self) -> int:
        return self.device.commits

    async def start(self) -> None:
        """Listen; `port` is then the port number, also for later starts."""
        self.device.tell()
        await self._listen(
            lambda: not self.faults.logins,
            process_factory=self._serve,
            line_editor=False,
            encoding="utf-8",
            errors="replace",
        )

    async def stop(self, *, reboot: bool = False) -> None:
        """As a switch that loses power (`reboot`: and comes back with what was saved)."""
        await self._go_silent()
        if reboot:
            self.device.reboot()

    async def _serve(self, process: asyncssh.SSHServerProcess[str]) -> None:
        self.sessions += 1
        self._session_began()
        shell = self.device.login()
        try:
            await self._converse(process, shell)
        except (asyncssh.Error, OSError):
            pass  # the client hung up
        finally:
            shell.hang_up()
            self._session_ended()
            with contextlib.suppress(OSError):
                process.exit(0)

    async def _converse(self, process: asyncssh.SSHServerProcess[str], shell: Shell) -> None:
        process.stdout.write("\r\n" + shell.prompt)
        buffer, said = "", ""
        while not shell.closed:
            while "\n" not in buffer:
                process.stdout.write(said)
                said = ""
                data = await process.stdin.read(_MAX_LINE)
                if not data:
                    return
                buffer = (buffer + data).replace("\r\n", "\n").replace("\r", "\n")
            line, _, buffer = buffer.partition("\n")
            if self.delay or _among(line, self.faults.hang):
                process.stdout.write(said)
                said = ""
            answer = await self._answer(process, shell, line)
            if answer is None:
                return
            said += answer  # of lines that were typed ahead, all in one piece
        process.stdout.write(said)

    async def _answer(self, process: asyncssh.SSHServerProcess[str], shell: Shell, line: str) -> str | None:
        """Carry out one line and return the answer; None if the connection is broken instead."""
        secret = shell.asks_password
        if not secret:
            self.lines.append(line)
        faults = self.faults
        if _among(line, faults.hang):
            await process.wait_closed()
            return None
        await self._take_time(line)
        if faults.drop_at is not None:
            faults.drop_at -= 1
        if _among(line, faults.drop_before) or (faults.drop_at is not None and faults.drop_at < 0):
            faults.drop_at = None if faults.once else faults.drop_at
            self.drop()
            return None
        self.commands += 1
        if _READS.search(line):
            self.device.admit()
        elif self.device.deaf:
            self.device.pretend()
        answer = shell.execute("no-such-command" if self._refused(line) else line)
        if _among(line, faults.drop_after):
            if faults.once:
                faults.drop_after.clear()
            self.drop()
            return None
        echo = "" if secret else line
        prompt = "" if shell.asks_password else shell.prompt
        return f"{echo}\n{answer}{prompt}".replace("\n", "\r\n")

    def _refused(self, line: str) -> bool:
        faults = self.faults
        if faults.refuse_at is not None:
            faults.refuse_at = faults.refuse_at - 1 if faults.refuse_at else None
            if faults.refuse_at is None:
                return True
        return _among(line, faults.refuse)

    async def _take_time(self, line: str) -> None:
        seconds = self.delay
        if any(word in line for word in ("commit", "apply", "write", "save", "copy")):
            seconds += self.commit_delay
        if seconds:
            await asyncio.sleep(seconds)


def _among(line: str, texts: set[str]) -> bool:
    return any(text in line for text in texts)
