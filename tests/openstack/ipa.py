"""A real ironic-python-agent as the ramdisk of a machine that is nothing else: a process, and a loop device for disk.

It runs in namespaces of its own, where it has no rights over this host, a root that is read-only, and a /dev with no
disk but that one: it could not touch this host's disks, nor switch it off, whatever it was told. Its `poweroff` ends
the process, as a server's power goes off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import environments
from ironlane.lab.machine import BootDevice, Power

HARDWARE = Path(__file__).with_name("ipa_hardware.py")
NAMESPACES = ("unshare", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
INIT = r"""
mount -t tmpfs none /run
mount --bind "$1" "$1"
mount -o remount,bind,ro /
mount -o remount,bind,ro /sys
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
mount -t tmpfs none "$1/dev"
for name in null zero full random urandom; do touch "$1/dev/$name"; mount --bind "/dev/$name" "$1/dev/$name"; done
mkdir "$1/dev/shm"
touch "$1/dev/vda"
mount --bind "$2" "$1/dev/vda"
mount --rbind "$1/dev" /dev
shift 2
exec "$@"
"""


def environment() -> Path:
    """The virtual environment with the agent.

    Raises:
        Unavailable: the packages cannot be installed.
    """
    return environments.environment("ipa", "openstack-ipa.lock")


@dataclass(frozen=True, slots=True)
class Ramdisk:
    """The agent, and what it is told: the MAC address of its NIC, the Baremetal API's URL, the port that it listens on.

    `made` is the environment that it is installed in.
    """

    made: Path
    mac: str
    api_url: str
    port: int


class AgentMachine:
    """A `Machine` whose ramdisk is the agent. What is on its disk is not run: from there it just hums along."""

    def __init__(self, name: str, folder: Path, ramdisk: Ramdisk, disk_bytes: int) -> None:
        self.name = name
        self.folder = folder / name
        self.disk = self.folder / "disk"
        self.log = self.folder / "agent.log"
        self.boots: list[BootDevice] = []
        self._ramdisk = ramdisk
        self._process: asyncio.subprocess.Process | None = None
        self._humming = False
        self._once: BootDevice | None = None
        self._always: BootDevice = "disk"
        self.device = ""
        self._prepare(disk_bytes)

    def _prepare(self, disk_bytes: int) -> None:
        plugin = self.folder / "plugin"
        info, programs = plugin / "ipa_hardware-1.dist-info", self.folder / "bin"
        for directory in (info, programs, self.folder / "dev"):
            directory.mkdir(parents=True)
        shutil.copy(HARDWARE, plugin)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ipa-hardware\nVersion: 1\n")
        (info / "entry_points.txt").write_text(
            "[ironic_python_agent.hardware_managers]\none_disk = ipa_hardware:OneDisk\n"
        )
        (programs / "poweroff").write_text("#!/bin/sh\nexec busybox poweroff -f\n")
        (programs / "poweroff").chmod(0o755)
        (self.folder / "init").write_text(INIT)
        with self.disk.open("wb") as disk:
            disk.truncate(disk_bytes)
        (self.folder / "agent.conf").write_text(f"""[DEFAULT]
debug = true
api_url = {self._ramdisk.api_url}
listen_host = 127.0.0.1
listen_port = {self._ramdisk.port}
advertise_host = 127.0.0.1
advertise_port = {self._ramdisk.port}
lookup_timeout = 120
lookup_interval = 1
disk_wait_attempts = 1
""")

    @contextmanager
    def attached(self) -> Iterator[None]:
        """The disk is a block device, at `device`."""
        self.device = environments.run("losetup", "--find", "--show", self.disk).strip()
        try:
            yield
        finally:
            environments.run("losetup", "--detach", self.device)

    @property
    def power(self) -> Power:
        running = self._process is not None and self._process.returncode is None
        return "on" if running or self._humming else "off"

    @property
    def boot_device(self) -> BootDevice:
        return self._once or self._always

    @property
    def boot_persistent(self) -> bool:
        return self._once is None

    def set_boot_device(self, device: BootDevice, persistent: bool = False) -> None:
        self._once, self._always = (None, device) if persistent else (device, self._always)

    async def power_on(self) -> None:
        if self.power == "on":
            return
        device, self._once = self.boot_device, None
        self.boots.append(device)
        if device == "disk":
            self._humming = True
            return
        agent = (str(self._ramdisk.made / "bin/ironic-python-agent"), "--config-file", str(self.folder / "agent.conf"))
        env = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "PYTHONPATH": str(self.folder / "plugin"),
            "MACHINE_MAC": self._ramdisk.mac,
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
        }
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*NAMESPACES, "sh", "-e", str(self.folder / "init"), str(self.folder), self.device, *agent),
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    async def power_off(self) -> None:
        self._humming = False
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()  # and with it all that it started
            await self._process.wait()

    async def reset(self) -> None:
        await self.power_off()
        await self.power_on()
