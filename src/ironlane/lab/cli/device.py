"""What all command lines have in common: a device that holds configuration, and shells on it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ironlane.lab.cli import lldp
from ironlane.lab.cli.state import Config, Interface, forwarding
from ironlane.lab.forwarding import PortForwarding
from ironlane.lab.frames import Lldp

OnRunning = Callable[[Mapping[str, PortForwarding]], None]


class Shell:
    """One login: lines in, answers out. Synchronous."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.closed = False
        self.asks_password = False
        """The next line is a password, and is not echoed."""

    @property
    def prompt(self) -> str:
        raise NotImplementedError

    def execute(self, line: str) -> str:
        """Carry out a line and answer it, without the prompt; lines end with a line feed."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """The session ended, however."""


class Device:
    """A switch of one platform: what runs, what survives a reboot, and who has locked what.

    `on_running` gets the forwarding of all ports whenever what runs has changed. `commits` counts the times that staged
    configuration was put into force, or, where every line counts, that a configuration mode with changes was left.
    """

    platform = ""
    shell: type[Shell]
    suspend_unequal = False
    tells_mlag = True
    """Its command line can say which LAGs go on at an MLAG peer."""

    def __init__(self, hostname: str, ports: Sequence[str], on_running: OnRunning) -> None:
        self.hostname = hostname
        self.ports = tuple(ports)
        self.commits = 0
        self.lock_refused = False
        """Somebody else is said to hold the configuration lock."""
        self.locked_by: Shell | None = None
        self.neighbours: Callable[[], Mapping[str, Lldp]] = dict
        """What the ports hear by LLDP."""
        self.deaf = False
        """It takes lines as if it carried them out; when it is next asked what it runs, it has done nothing of it."""
        self._before: Any = None
        """While lines are only taken: what really runs."""
        self.enable_password: str | None = None
        """The password that `enable` asks for; None: the login is privileged at once."""
        self._on_running = on_running
        self._told = True
        self.running = self.factory()
        self.startup = copy.deepcopy(self.running)
        self.checkpoints: dict[str, Config] = {}

    def factory(self) -> Config:
        """The configuration of a switch out of the box."""
        return Config({name: Interface() for name in self.ports}, {1: "default"})

    def lag_name(self, number: int) -> str:
        raise NotImplementedError

    @contextmanager
    def one_change(self) -> Iterator[None]:
        """What runs changes in several places at once: the data plane is told when all of it is done."""
        self._told, told = False, self._told
        try:
            yield
        finally:
            self._told = told
        self.tell()

    def tell(self) -> None:
        """Let the data plane know what runs."""
        if not self._told:
            return
        self._on_running(
            forwarding(
                self.running,
                self.ports,
                self.lag_name,
                suspend_unequal=self.suspend_unequal,
                tells_mlag=self.tells_mlag,
            )
        )

    def pretend(self) -> None:
        """From here on lines are only taken: the data plane hears of none of them."""
        if self._before is None:
            self._before, self._told = copy.deepcopy(self._state()), False

    def admit(self) -> None:
        """What was only taken is forgotten: this is what really runs."""
        if self._before is not None:
            before, self._before, self._told = self._before, None, True
            self._restore(before)
            self.tell()

    def hear(self) -> None:
        """Deaf no more; if it is in the midst of something that it only pretends to do, from the next look at it on."""
        self.deaf = False
        if self._before == self._state():
            self.admit()

    @property
    def pretending(self) -> bool:
        return self._before is not None

    def _state(self) -> Any:
        """All that decides what runs."""
        return self.running

    def _restore(self, state: Any) -> None:
        self.running = state

    def lldp(self, line: str) -> str | None:
        """The answer to the line that asks for LLDP neighbours; None if it is another line."""
        question, show = lldp.ANSWERS[self.platform]
        return show(self.neighbours()) if line == question else None

    def save(self) -> None:
        self.startup = copy.deepcopy(self.running)

    def take_checkpoint(self, name: str) -> bool:
        """Keep what runs under a name; False if there is one of that name already."""
        if name in self.checkpoints:
            return False
        self.checkpoints[name] = copy.deepcopy(self.running)
        return True

    def restore_checkpoint(self, name: str) -> bool:
        """Run what was kept, and only that; False if there is none of that name."""
        if name not in self.checkpoints:
            return False
        self.running = copy.deepcopy(self.checkpoints[name])
        self.tell()
        return True

    def reboot(self) -> None:
        """What was not saved is lost."""
        self.admit()
        self.running = copy.deepcopy(self.startup)
        self.locked_by = None

    def erase(self) -> None:
        """The next reboot finds nothing saved."""
        self.startup = self.factory()

    def login(self) -> Shell:
        return self.shell(self)
