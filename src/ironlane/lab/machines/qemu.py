"""A server: a QEMU process while its power is on. Its BMC (`lab.ipmi`, `lab.bmc`) drives it through `lab.machine`."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ironlane.lab.machine import BootDevice, Power
from ironlane.lab.machines.programs import OVMF, environment, program
from ironlane.model.errors import Permanent

Firmware = Literal["bios", "uefi"]

_LINE = re.compile(r"^lab: (.*)$")
_CONTROL = re.compile(r"\r|\x1b\[[0-9;=?]*[A-Za-z]")
"""What firmware writes to a console besides text."""
_SECTOR = bytes.fromhex("b82a00ba010566ef").ljust(510, b"\xf4") + b"\x55\xaa"  # out 0x501, 0x2a: ends QEMU with 0x55
_PROBE_LIMIT = 2.0
_MEMORY: Mapping[Firmware, str] = {"bios": "192", "uefi": "320"}
"""Megabytes."""


@dataclass(frozen=True, slots=True)
class MachineNic:
    """A NIC: the socket of its cable, and its MAC address. Servers boot over the first one."""

    socket: Path
    mac: str


async def accelerator() -> str:
    """`kvm` where a boot sector really runs on it within two seconds, else `tcg`; /dev/kvm alone proves nothing."""
    with tempfile.NamedTemporaryFile(prefix="ironlane-sector-") as sector:
        await asyncio.to_thread(_write, sector.file, _SECTOR)
        command = [
            *(program("qemu-system-x86_64"), "-accel", "kvm"),
            *("-M", "pc", "-m", "16", "-nodefaults", "-display", "none"),
            *("-device", "isa-debug-exit,iobase=0x501,iosize=4"),
            *("-drive", f"file={sector.name},format=raw,if=ide,readonly=off,snapshot=on"),
        ]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_PROBE_LIMIT):
                return "kvm" if await process.wait() == 0x55 else "tcg"
        except TimeoutError:
            return "tcg"
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _write(file: object, content: bytes) -> None:
    file.write(content)  # type: ignore[attr-defined]
    file.flush()  # type: ignore[attr-defined]


class QemuMachine:
    """A `Machine` with one disk and NICs. What it writes to its serial console is in `console`, over all boots."""

    def __init__(
        self,
        name: str,
        directory: Path,
        nics: Sequence[MachineNic],
        accel: str,
        firmware: Firmware = "bios",
    ) -> None:
        self.name = name
        self.disk = directory / f"{name}.disk"
        self.console = directory / f"{name}.console"
        self._nics = list(nics)
        self._accel = accel
        self._firmware = firmware
        self._log = directory / f"{name}.qemu"
        self._process: asyncio.subprocess.Process | None = None
        self._once: BootDevice | None = None
        self._always: BootDevice = "disk"
        self._began: list[int] = []
        self._changing = asyncio.Lock()

    def make(self, disk_bytes: int) -> None:
        """An empty disk and an empty console."""
        with self.disk.open("wb") as file:
            file.truncate(disk_bytes)
        self.console.touch()

    @property
    def power(self) -> Power:
        return "on" if self._process is not None and self._process.returncode is None else "off"

    @property
    def boot_device(self) -> BootDevice:
        return self._once or self._always

    @property
    def boot_persistent(self) -> bool:
        return self._once is None

    def set_boot_device(self, device: BootDevice, persistent: bool = False) -> None:
        if device not in ("pxe", "disk"):
            raise ValueError(f"{self.name} does not boot from {device}")
        self._once, self._always = (None, device) if persistent else (device, self._always)

    async def power_on(self) -> None:
        async with self._changing:
            if self.power == "on":
                return
            self._began.append(self.console.stat().st_size)
            command = self._command(self.boot_device)
            self._once = None
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment()
                )

    async def power_off(self) -> None:
        async with self._changing:
            if self._process is not None:
                with suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()

    async def reset(self) -> None:
        await self.power_off()
        await self.power_on()

    @property
    def boots(self) -> int:
        """How often it was switched on."""
        return len(self._began)

    def told(self, boot: int = -1) -> list[str]:
        """What the machine said of itself in one of its boots, the latest if not told: the console's lines with
        `lab: `."""
        return [match[1] for line in self.shown(boot) if (match := _LINE.match(line))]

    def shown(self, boot: int = -1) -> list[str]:
        """All whole lines on the console in one of its boots: its firmware's, too."""
        if not self._began:
            return []
        bounds = [*self._began, self.console.stat().st_size]
        begin, end = bounds[:-1][boot], bounds[1:][boot]
        with self.console.open("rb") as file:
            file.seek(begin)
            text = file.read(end - begin).decode(errors="replace")
        return _CONTROL.sub("", text).split("\n")[:-1]

    def _command(self, device: BootDevice) -> list[str]:
        nics = [
            word
            for number, nic in enumerate(self._nics)
            for word in (
                *("-netdev", f"stream,id=n{number},server=off,addr.type=unix,addr.path={nic.socket}"),
                # A speed, for without one the kernel puts no link into an LACP aggregate.
                "-device",
                f"virtio-net-pci,netdev=n{number},mac={nic.mac},speed=10000,duplex=full"
                # UEFI has a PXE client of its own. The BIOS has none: there it is in the NIC's ROM, which is iPXE.
                + (",romfile=" if self._firmware == "uefi" else "")
                + (",bootindex=1" if device == "pxe" and number == 0 else ""),
            )
        ]
        accel = (
            ["-accel", "kvm", "-cpu", "host"] if self._accel == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", "max"]
        )
        return [
            *(program("qemu-system-x86_64"), *accel, "-M", "pc", "-m", _MEMORY[self._firmware], "-name", self.name),
            *(("-bios", str(OVMF)) if self._firmware == "uefi" else ()),
            *("-nodefaults", "-display", "none", "-boot", "strict=on"),
            *("-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console"),
            *("-drive", f"file={self.disk},format=raw,if=none,id=disk"),
            *("-device", "virtio-blk-pci,drive=disk" + (",bootindex=1" if device == "disk" else "")),
            *nics,
        ]


async def until_told(machine: QemuMachine, wanted: str, patience: float) -> str:
    """The first line of this boot that begins with `wanted`.

    Raises:
        Permanent: it does not say so in time.
    """
    try:
        async with asyncio.timeout(patience):
            while True:
                found = next((line for line in machine.told() if line.startswith(wanted)), None)
                if found is not None:
                    return found
                await asyncio.sleep(0.2)
    except TimeoutError:
        last = machine.told()[-1:] or ["nothing"]
        raise Permanent(
            f"{machine.name} did not say {wanted!r} within {patience:.0f} s; "
            f"last it said {last[0]!r}; see {machine.console}"
        ) from None
