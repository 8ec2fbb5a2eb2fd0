"""A private Open vSwitch: its own database server and vswitchd on unix sockets in its own directory.

Nothing of a system-wide Open vSwitch is used or touched. With `--enable-dummy` and `datapath_type=dummy` the userspace
datapath needs neither root nor /dev/net/tun; interfaces of `type=dummy` need no network device either.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PROGRAMS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-appctl", "ovs-ofctl")
_SBIN = "/usr/sbin:/sbin"


class CommandFailed(Exception):
    """A program ended with an error; the message holds the command and what it wrote."""


def missing_programs(programs: Sequence[str] = PROGRAMS) -> list[str]:
    """Those of the named programs that this machine does not have."""
    path = f"{os.environ.get('PATH', '')}:{_SBIN}"
    return [program for program in programs if shutil.which(program, path=path) is None]


async def run(*argv: str, timeout: float = 20.0, check: bool = True) -> str:
    """Run a short command without a shell and without blocking the event loop; what it wrote to stdout.

    Raises:
        CommandFailed: it ended with an error (unless `check` is False).
    """
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{_SBIN}"}

    def call() -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, env=environment, check=False)

    done = await asyncio.to_thread(call)
    if check and done.returncode != 0:
        raise CommandFailed(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def end(process: subprocess.Popen[bytes] | None, *, grace: float = 3.0) -> None:
    """End one process of ours and collect it: politely, then for good."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(grace)


class OpenVSwitch:
    """One ovsdb-server and one ovs-vswitchd.

    `namespace` is the network namespace that both run in (None: the present one); `directory` holds the database, the
    sockets and the logs, and its path must be short (a unix socket's path has at most 107 characters).
    `server_options` are further command-line options of ovsdb-server.
    """

    def __init__(self, directory: Path, *, namespace: str | None = None, server_options: Sequence[str] = ()) -> None:
        self.directory = directory
        self.namespace = namespace
        self.server_options = tuple(server_options)
        self.socket = directory / "db.sock"
        self._server: subprocess.Popen[bytes] | None = None
        self._vswitchd: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> list[int]:
        """The running processes of this Open vSwitch."""
        return [p.pid for p in (self._server, self._vswitchd) if p is not None and p.poll() is None]

    async def start(self) -> None:
        """Create the database if there is none, start both daemons, and return when they answer."""
        self.directory.mkdir(parents=True, exist_ok=True)
        database = self.directory / "conf.db"
        if not database.exists():
            await run("ovsdb-tool", "create", str(database), str(SCHEMA))
        self.start_server()
        await self.wait_for_server()
        await self.vsctl("init", wait=False)
        await self.start_vswitchd()

    def start_server(self) -> None:
        """Start the database server (again)."""
        self._server = self._spawn(
            "ovsdb-server",
            str(self.directory / "conf.db"),
            f"--remote=punix:{self.socket}",
            f"--unixctl={self.directory / 'ovsdb.ctl'}",
            *self.server_options,
        )

    async def wait_for_server(self) -> None:
        """Return when the database server listens."""
        await self._wait_for(self.socket)

    async def start_vswitchd(self) -> None:
        """Start vswitchd (again), and return when it has applied what the database says."""
        self._vswitchd = self._spawn(
            "ovs-vswitchd",
            f"unix:{self.socket}",
            "--enable-dummy",
            "--disable-system",
            f"--unixctl={self.directory / 'vswitchd.ctl'}",
        )
        await self._wait_for(self.directory / "vswitchd.ctl")
        # A value that is new each time: `ovs-vsctl` waits for vswitchd only when it has changed something.
        await self.vsctl("set", "Open_vSwitch", ".", f"external_ids:started={time.monotonic_ns()}")

    def kill_vswitchd(self) -> None:
        """End vswitchd without ceremony, as a crash would."""
        if self._vswitchd is not None:
            self._vswitchd.kill()
            self._vswitchd.wait(5)
        (self.directory / "vswitchd.ctl").unlink(missing_ok=True)

    def kill_server(self) -> None:
        """End the database server without ceremony."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(5)
        self.socket.unlink(missing_ok=True)

    def stop(self) -> None:
        """End both daemons. The directory stays."""
        end(self._vswitchd)
        end(self._server)

    async def vsctl(self, *argv: str, wait: bool = True) -> str:
        """`ovs-vsctl` on this Open vSwitch; by default returns when vswitchd has applied it (10 s at the most)."""
        waiting = ["--timeout=10"] if wait else ["--timeout=10", "--no-wait"]
        return (await run("ovs-vsctl", f"--db=unix:{self.socket}", *waiting, *argv)).strip()

    async def appctl(self, *argv: str) -> str:
        """`ovs-appctl` on this vswitchd (`bond/show`, `lacp/show`, `fdb/show`)."""
        return await run("ovs-appctl", f"--target={self.directory / 'vswitchd.ctl'}", *argv)

    async def add_flow(self, bridge: str, flow: str) -> None:
        """Add one OpenFlow flow to a bridge."""
        await run("ovs-ofctl", "add-flow", f"unix:{self.directory / f'{bridge}.mgmt'}", flow)

    def _spawn(self, program: str, *argv: str) -> subprocess.Popen[bytes]:
        inside = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        log = self.directory / f"{program}.log"
        environment = {
            **os.environ,
            "PATH": f"{os.environ.get('PATH', '')}:{_SBIN}",
            "OVS_RUNDIR": str(self.directory),
            "OVS_LOGDIR": str(self.directory),
            "OVS_DBDIR": str(self.directory),
        }
        options = ["--no-chdir", "-vconsole:off", f"--log-file={log}"]
        with (self.directory / f"{program}.out").open("ab") as out:
            # `ip netns exec` replaces itself with the program, so the pid is the daemon's own.
            return subprocess.Popen([*inside, program, *argv, *options], stdout=out, stderr=out, env=environment)

    async def _wait_for(self, path: Path, *, timeout: float = 10.0) -> None:
        """Return when somebody listens on a socket: its file is there a moment before."""
        until = time.monotonic() + timeout
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(path)
            except OSError:
                if time.monotonic() > until:
                    raise CommandFailed(f"nobody listens on {path} after {timeout} s; see its log") from None
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return
