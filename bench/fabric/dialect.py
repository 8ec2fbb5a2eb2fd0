"""Arista EOS as the lab speaks it, and what networking-generic-switch sends and expects beyond that.

One virtual switch for all who are measured. It computes no forwarding, which nobody here looks at.
"""

from __future__ import annotations

import copy
import importlib
import re
from typing import Any

from ironlane.lab.cli import blocks
from ironlane.lab.cli.eos import EosDevice, EosShell
from ironlane.lab.cli.state import Config

_PLATFORM = "bench-eos"


def _access(shell: Any, _: re.Match[str]) -> str:
    shell.interface.mode = "access"
    return str(shell.touched())


_TERMINAL = {
    r"terminal width (\d+)": lambda _, match: f"Width set to {match[1]} columns.\n",
    "terminal length 0": lambda *_: "Pagination disabled.\n",
    "copy running-config startup-config": blocks.save,
}
"""What netmiko waits for when it logs in, and how it saves."""


class _Shell(EosShell):
    exec_lines = blocks.compiled(_TERMINAL) + EosShell.exec_lines
    config_lines = blocks.compiled({r"name \S+": blocks.nothing}) + EosShell.config_lines
    interface_lines = blocks.compiled({"no switchport mode (access|trunk)": _access}) + EosShell.interface_lines


class _Config(Config):
    """Copied quickly: a session stages a copy of all that runs, and its time is the virtual switch's own."""

    def __deepcopy__(self, _: dict[int, Any]) -> _Config:
        return _Config({name: copy.copy(interface) for name, interface in self.interfaces.items()}, dict(self.vlans))


class _Device(EosDevice):
    platform = _PLATFORM
    shell = _Shell

    def factory(self) -> Config:
        plain = super().factory()
        return _Config(plain.interfaces, plain.vlans)

    def tell(self) -> None:
        """There are no frames."""

    def lldp(self, line: str) -> None:
        """Nobody asks for neighbours either."""


def register() -> str:
    """Add the dialect to the lab's; returns its name."""
    platforms: Any = importlib.import_module("ironlane.lab.cli.platforms").PLATFORMS
    platforms.setdefault(_PLATFORM, _Device)
    return _PLATFORM
