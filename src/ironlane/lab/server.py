"""A virtual server: NICs, power, firmware that boots from the network or the disk, and what runs after."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from ipaddress import IPv4Interface
from typing import get_args

import aiohttp

from ironlane.lab.agent import Agent, AgentRecord
from ironlane.lab.firmware import Booted, BootError, Timings, network_boot
from ironlane.lab.frames import mac_text
from ironlane.lab.inspection import Hardware, inspect
from ironlane.lab.installed import BondPlan, InstalledOs
from ironlane.lab.machine import BootDevice, Machine, Power
from ironlane.lab.nic import Nic
from ironlane.lab.wire import Interface

__all__ = ["BondPlan", "Machine", "Stage", "Timings", "VirtualServer"]


class Stage(StrEnum):
    """How far the server has come."""

    OFF = "off"
    FIRMWARE = "firmware"
    """Power-on self-test, then the network boot, again and again until it works."""
    AGENT = "agent"
    """The deploy ramdisk runs."""
    RESCUE = "rescue"
    """The ramdisk runs without its agent, for its tenant to log in to."""
    OS = "os"
    """The operating system on the disk runs."""
    HALTED = "no bootable device"
    """The disk is empty."""


class VirtualServer:
    """One server; fulfils `Machine` for its BMC.

    `nics` maps NIC names to MAC addresses; the network boot tries `pxe_nics` in order (all of them by default).
    `api_url` is the root of the Baremetal API that the agent reports to. `bond`, `addresses` (static, by link name)
    and `dhcp` are the network configuration of the operating system on the disk; `disk_image` is what is installed.
    Use `close` at the end.
    """

    def __init__(
        self,
        name: str,
        nics: Mapping[str, str],
        *,
        api_url: str = "",
        pxe_nics: Sequence[str] | None = None,
        bond: BondPlan | None = None,
        addresses: Mapping[str, IPv4Interface] | None = None,
        dhcp: bool = True,
        disk_image: str | None = None,
        timings: Timings | None = None,
    ) -> None:
        self.name = name
        self.nics = {nic: Nic(name, nic, mac) for nic, mac in nics.items()}
        self.pxe_nics = tuple(nics if pxe_nics is None else pxe_nics)
        self.api_url = api_url
        self.bond = bond
        self.addresses = dict(addresses or {})
        self.dhcp = dhcp
        self.disk_image = disk_image
        self.timings = timings or Timings()
        self.hardware = Hardware()
        """What an inspection finds."""
        self.stage = Stage.OFF
        self.agent: AgentRecord | None = None
        """What the latest run of the agent did."""
        self.ordered: Callable[[str], None] = lambda _name: None
        """Called with the name of each command that the agent takes, before it is answered."""
        self._running_agent: Agent | None = None
        self.os: InstalledOs | None = None
        """The running operating system."""
        self.journal: deque[str] = deque(maxlen=200)
        """What happened, newest last."""
        self._device: BootDevice = "disk"
        self._once: BootDevice | None = None
        self._task: asyncio.Task[None] | None = None
        self._shutdown: asyncio.Task[None] | None = None
        self._power_lock = asyncio.Lock()
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<VirtualServer {self.name}: {self.stage}>"

    @property
    def power(self) -> Power:
        return "off" if self.stage is Stage.OFF else "on"

    @property
    def boot_device(self) -> BootDevice:
        return self._once or self._device

    @property
    def boot_persistent(self) -> bool:
        return self._once is None

    def set_boot_device(self, device: BootDevice, persistent: bool = False) -> None:
        if device not in get_args(BootDevice):
            raise ValueError(f"server {self.name} cannot boot from {device!r}; it has {get_args(BootDevice)}")
        if persistent:
            self._device, self._once = device, None
        else:
            self._once = device

    async def power_on(self) -> None:
        async with self._power_lock:
            if self.stage is not Stage.OFF:
                return
            self._enter(Stage.FIRMWARE)
            for nic in self.nics.values():
                nic.interface.up = True
            self._task = asyncio.create_task(self._run(), name=f"boot {self.name}")

    async def power_off(self) -> None:
        async with self._power_lock:
            task, self._task = self._task, None
            for nic in self.nics.values():
                nic.release()
                nic.interface.up = False
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
            if self.stage is not Stage.OFF:
                self._enter(Stage.OFF)
            if task is not None and not task.cancelled():
                task.result()  # raises what ended the boot process

    async def reset(self) -> None:
        await self.power_off()
        await self.power_on()

    async def close(self) -> None:
        """Power off. An error that ended the boot process is raised here at the latest."""
        await self.power_off()

    @property
    def agent_port(self) -> int | None:
        """TCP port on loopback of the running agent's command API; None when none listens."""
        return self._running_agent.port if self._running_agent is not None else None

    async def crash(self) -> None:
        """The ramdisk or the operating system stops dead; the power stays on."""
        async with self._power_lock:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
        self._say("crashed")

    def _shut_down(self) -> None:
        """What runs on the server turns it off."""
        self._shutdown = asyncio.get_running_loop().create_task(self.power_off())

    def interface(self, nic: str) -> Interface:
        """The end of the cable at a NIC.

        Raises:
            KeyError: no such NIC.
        """
        return self.nics[nic].interface

    def send(self, frame: bytes, link: str | None = None) -> None:
        """Send a frame from the operating system: through the bond if there is one, else the first NIC.

        Raises:
            RuntimeError: no operating system is running.
        """
        if self.os is None:
            raise RuntimeError(f"server {self.name} runs no operating system ({self.stage})")
        self.os.link(link).send(frame)

    async def until(self, true: Callable[[VirtualServer], bool], timeout: float = 10.0) -> None:
        """Wait until something is true of the server; it is asked whenever stage, journal, agent or addresses change.

        Raises:
            TimeoutError: not within `timeout` seconds; the message tells the latest of the journal.
        """
        try:
            async with asyncio.timeout(timeout):
                while not true(self):
                    await self._changed.wait()
        except TimeoutError:
            latest = "; ".join(tuple(self.journal)[-5:])
            raise TimeoutError(f"server {self.name}: {self.stage} after {timeout} s; latest: {latest}") from None

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        self._say(str(stage))

    def _say(self, text: str) -> None:
        self.journal.append(text)
        self._notify()

    async def _run(self) -> None:
        try:
            await self._boot()
        except Exception as error:
            self._say(f"crashed: {error!r}")
            raise

    async def _boot(self) -> None:
        await asyncio.sleep(self.timings.post)
        device, self._once = self.boot_device, None
        if device == "pxe":
            await self._run_agent()
        elif self.disk_image is None:
            self._enter(Stage.HALTED)
        else:
            await asyncio.sleep(self.timings.os_boot)
            await self._run_os(Stage.OS, self.bond)

    async def _run_agent(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self.timings.http_timeout)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            booted = await self._network_boot(http)
            addresses = [mac_text(nic.mac) for nic in self.nics.values()]
            agent = Agent(
                booted,
                addresses=addresses,
                api_url=self.api_url,
                disk=self,
                http=http,
                timings=self.timings,
                on_change=self._notify,
                power_off=self._shut_down,
                ordered=self.ordered,
            )
            self.agent, self._running_agent = agent.record, agent
            self._enter(Stage.AGENT)
            self._say(
                await inspect(
                    booted,
                    api_url=self.api_url,
                    nics=self.nics,
                    hardware=self.hardware,
                    http=http,
                    timings=self.timings,
                )
            )
            try:
                await agent.run()
            finally:
                self._running_agent = None
        booted.nic.release()
        self._say("the rescue user may log in")
        await self._run_os(Stage.RESCUE, None)

    async def _network_boot(self, http: aiohttp.ClientSession) -> Booted:
        """Try the PXE NICs in turn until one boots."""
        while True:
            for name in self.pxe_nics:
                try:
                    booted = await network_boot(self.nics[name], http, self.timings)
                except BootError as error:
                    self.nics[name].release()
                    self._say(f"{name}: {error}")
                else:
                    self._say(f"{name}: booted {booted.boot_file} ({len(booted.content)} bytes)")
                    return booted
            await asyncio.sleep(self.timings.retry)

    async def _run_os(self, stage: Stage, bond: BondPlan | None) -> None:
        """A ramdisk knows nothing of the installed system's network configuration."""
        installed = stage is Stage.OS
        self.os = InstalledOs(
            self.name,
            self.nics,
            bond,
            self.addresses if installed else {},
            dhcp=self.dhcp or not installed,
            timings=self.timings,
            on_change=self._notify,
        )
        try:
            self._enter(stage)
            await self.os.run()
        finally:
            self.os.stop()
            self.os = None
