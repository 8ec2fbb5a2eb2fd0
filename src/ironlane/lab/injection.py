"""Faults of a virtual switch, under one name each whatever protocol it speaks: what a real one does to its controller.

Faults that last stay until `clear`; they may be combined. What they do is done on the wire or in the switch, so that
the other side sees what it would see of a real switch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import grpc

from ironlane.lab import by_hand
from ironlane.lab.by_hand import ControlPlane
from ironlane.lab.cli import CliSwitch
from ironlane.lab.gnmi import GnmiServer
from ironlane.lab.netconf import NetconfServer

_COMMITS = {NetconfServer: {"commit", "confirmed-commit"}, GnmiServer: {"set", "commit", "confirm"}}
"""Operations that put something into force."""
_STEPS = {
    NetconfServer: ("lock", "edit-config", "validate", "commit", "unlock", "copy-config"),
    GnmiServer: ("get", "commit", "confirm", "set", "capabilities"),
}
"""The operations of one change, as they are counted by `drop_after_lines`."""
_CLI_COMMITS = {
    "arista-eos": {"commit"},
    "dell-os10": {"commit"},
    "juniper-junos": {"commit"},
    "nvidia-cumulus": {"config apply"},
}
"""Lines that put what is staged into force. Elsewhere each line counts: those about VLANs stand for the commit."""
_CLI_LINES = {"vlan"}


_EVERY_STEP = frozenset({"capabilities", "get", "set", "commit", "confirm", "cancel"})
"""Of gNMI."""


class _Everything(set[str]):
    """A set that everything is in."""

    def __contains__(self, _item: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return True


class FaultInjector:
    """What can go wrong with one switch. `name` is the switch's."""

    def __init__(self, name: str, plane: ControlPlane) -> None:
        self.name = name
        self.plane = plane
        self._silent: asyncio.Server | None = None
        self._held: list[asyncio.StreamWriter] = []

    @property
    def atomic(self) -> bool:
        """Whether a commit takes effect as a whole."""
        return not isinstance(self.plane, CliSwitch) or self.plane.device.platform in _CLI_COMMITS

    @property
    def persistent(self) -> bool:
        """Whether a commit survives a reboot without being saved."""
        if isinstance(self.plane, CliSwitch):
            return self.plane.device.platform == "juniper-junos"
        return not self.plane.configuration.forgets

    def hang(self) -> None:
        """Sessions stay open, and nothing is answered in them any more."""
        if isinstance(self.plane, CliSwitch):
            self.plane.faults.hang = {""}  # is in every line
        else:
            self.plane.faults.hang = _Everything()

    async def go_silent(self) -> None:
        """Connections break; new ones are accepted, and not even greeted."""
        if self._silent is None:
            await self.plane.stop()
            self._silent = await asyncio.start_server(self._ignore, "127.0.0.1", self.plane.port)

    async def _ignore(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._held.append(writer)

    def slow_down(self, seconds: float) -> None:
        """Each answer takes this long."""
        if isinstance(self.plane, CliSwitch):
            self.plane.delay = seconds / 10  # a conversation has many more lines than operations
            self.plane.commit_delay = seconds
        else:
            self.plane.rpc_delay = self.plane.commit_delay = seconds

    def refuse_logins(self) -> None:
        """No password is good any more; open sessions stay."""
        if isinstance(self.plane, GnmiServer):
            self._refuse(_EVERY_STEP, grpc.StatusCode.UNAUTHENTICATED)
        else:
            self.plane.faults.logins = True

    def hold_lock(self) -> None:
        """Somebody else is configuring: the lock is refused."""
        if isinstance(self.plane, CliSwitch):
            self.plane.device.lock_refused = True
        elif isinstance(self.plane, GnmiServer):
            self._refuse(_COMMITS[GnmiServer], grpc.StatusCode.UNAVAILABLE)
        else:
            self.plane.faults.refuse |= {"lock"}

    def refuse_commits(self) -> None:
        """What is to be put into force is refused as an error."""
        if isinstance(self.plane, CliSwitch):
            self.plane.faults.refuse |= _CLI_COMMITS.get(self.plane.device.platform, _CLI_LINES)
        elif isinstance(self.plane, GnmiServer):
            self._refuse(_COMMITS[GnmiServer], grpc.StatusCode.INVALID_ARGUMENT)
        else:
            self.plane.faults.refuse |= _COMMITS[NetconfServer]

    def _refuse(self, steps: Iterable[str], code: grpc.StatusCode) -> None:
        if isinstance(self.plane, GnmiServer):
            self.plane.faults.refuse |= dict.fromkeys(steps, code)

    def drop_commits(self, *, after: bool) -> None:
        """The session breaks at the commit: before it is carried out, or when it has been and before the answer."""
        if isinstance(self.plane, CliSwitch):
            words = _CLI_COMMITS.get(self.plane.device.platform, _CLI_LINES)
        else:
            words = _COMMITS[type(self.plane)]
        faults = self.plane.faults
        (faults.drop_after if after else faults.drop_before).update(words)

    def go_deaf(self) -> None:
        """Everything is accepted, and nothing of it is done: who looks sees what was there before."""
        if isinstance(self.plane, CliSwitch):
            self.plane.device.deaf = True
        else:
            self.plane.configuration.deaf = True

    def drop_after_lines(self, lines: int) -> None:
        """The session breaks after this many lines or operations; where each line counts, half of them stay."""
        if isinstance(self.plane, CliSwitch):
            self.plane.faults.drop_at = lines
        else:
            steps = _STEPS[type(self.plane)]
            self.plane.faults.drop_before |= {steps[lines % len(steps)]}

    def drop(self) -> None:
        """All sessions break now. (Over gRPC there are none: each request stands by itself.)"""
        if not isinstance(self.plane, GnmiServer):
            self.plane.drop()

    async def clear(self) -> None:
        """The switch is sound again. What it was made to do stays done."""
        fresh = type(self.plane.faults)()
        for name in vars(fresh):
            setattr(self.plane.faults, name, getattr(fresh, name))
        if isinstance(self.plane, CliSwitch):
            self.plane.device.lock_refused = False
            self.plane.device.hear()
            self.plane.delay = self.plane.commit_delay = 0.0
        else:
            self.plane.rpc_delay = self.plane.commit_delay = 0.0
            self.plane.configuration.deaf = False
        if self._silent is not None:
            silent, self._silent = self._silent, None
            silent.close()
            for writer in self._held:
                writer.transport.abort()
            self._held.clear()
            await silent.wait_closed()
            await self.plane.start()

    async def reboot(self, *, erased: bool = False, seconds: float = 0.0) -> None:
        """Off for a while; then what was saved counts, or (`erased`) nothing but what the factory set."""
        async with self.off(erased=erased):
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def off(self, *, erased: bool = False) -> AsyncIterator[None]:
        """The same, for as long as the context lasts."""
        if self._silent is not None:
            await self.clear()
        if isinstance(self.plane, CliSwitch):
            if erased:
                self.plane.device.erase()
            await self.plane.stop(reboot=True)
        else:
            await self.plane.stop()
            if erased:
                self.plane.configuration.erase()
            self.plane.configuration.reboot()
        try:
            yield
        finally:
            await self.plane.start()

    def power_cycle(self) -> None:
        """Off and on in no time: what was saved runs. Sessions are not told."""
        if isinstance(self.plane, CliSwitch):
            self.plane.device.reboot()
            self.plane.device.tell()
        else:
            self.plane.configuration.reboot()
            self.plane.configuration.start()

    def shut(self, port: str) -> bool:
        """Somebody shuts a port by hand; False while the switch is being configured."""
        return by_hand.shut(self.plane, port)

    def reopen(self, port: str) -> bool:
        """Somebody opens a port by hand."""
        return by_hand.reopen(self.plane, port)

    def put_on(self, port: str, vlan: int) -> bool:
        """Somebody puts a single port on a VLAN by hand."""
        return by_hand.put_on(self.plane, port, vlan)

    def undefine(self, vlan: int) -> bool:
        """Somebody takes a VLAN away by hand, from under the ports that are on it."""
        return by_hand.undefine(self.plane, vlan)
