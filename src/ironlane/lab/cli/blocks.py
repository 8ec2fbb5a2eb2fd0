"""Command lines of the industry's common sort: modes, `interface` blocks, `no` in front of what goes.

`BlockDevice` and `BlockShell` are what the dialects share; each dialect adds its lines, its refusals and its words.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

from ironlane.lab.cli.device import Device, Shell
from ironlane.lab.cli.state import ALL_VLANS, DEFAULT_VLAN, Config, Interface, list_text, parse_list

Handler = Callable[[Any, "re.Match[str]"], str]
"""What a line does, given the shell (of whatever dialect) and the match; returns the answer."""
Table = Mapping[str, Handler]


def compiled(*tables: Table) -> list[tuple[re.Pattern[str], Handler]]:
    """Tables of lines, later ones first, so that a dialect's own come before what is common."""
    return [(re.compile(line), handler) for table in reversed(tables) for line, handler in table.items()]


class BlockDevice(Device):
    """`port_names` and `lag_names` say how the dialect spells interfaces."""

    lag_prefix = ""
    lag_max = 1000
    unknown = "% Invalid input\n"
    vlan_max = 4094
    mlag_taken = "{words} {number} is in use by {name}"
    mlag_fixed = ""
    """What is said when a port-channel is to get another MLAG id before it has lost the one that it has."""
    indent = "   "

    def lag_name(self, number: int) -> str:
        return f"{self.lag_prefix}{number}"

    def lag_number(self, name: str) -> int | None:
        match = re.fullmatch(re.escape(self.lag_prefix) + r"([1-9]\d*)", name)
        return int(match[1]) if match and int(match[1]) <= self.lag_max else None

    def show_head(self, name: str, interface: Interface) -> str:
        """What stands behind the word `interface` in a block's first line."""
        del interface
        return name

    def show_interface(self, interface: Interface) -> list[str]:
        """The lines of an interface's block."""
        raise NotImplementedError

    def show_lag(self, interface: Interface) -> list[str]:
        """The same for a LAG."""
        return self.show_interface(interface)

    def show_vlans(self, config: Config) -> str:
        return "".join(f"vlan {vlan}\n!\n" for vlan in sorted(config.vlans) if vlan != DEFAULT_VLAN)

    def show_interfaces(self, config: Config) -> str:
        blocks = []
        for name, interface in config.interfaces.items():
            show = self.show_interface if self.lag_number(name) is None else self.show_lag
            lines = [self.indent + line for line in show(interface)]
            blocks.append("\n".join([f"interface {self.show_head(name, interface)}", *lines, "!", ""]))
        return "".join(blocks)


class BlockShell(Shell):
    """`staged` is a copy of what runs while lines are collected for a commit; None: lines count at once."""

    device: BlockDevice
    exec_lines: list[tuple[re.Pattern[str], Handler]]
    config_lines: list[tuple[re.Pattern[str], Handler]]
    interface_lines: list[tuple[re.Pattern[str], Handler]]

    def __init__(self, device: BlockDevice) -> None:
        super().__init__(device)
        self.device = device
        self.privileged = device.enable_password is None
        self.mode = ""
        """The word in the prompt's brackets, such as "config-if-Et1"; empty outside of configuration."""
        self.at: list[str] = []
        """The interfaces that a block is about."""
        self.staged: Config | None = None
        self.changed = False

    @property
    def prompt(self) -> str:
        mode = f"({self.mode})" if self.mode else ""
        return f"{self.device.hostname}{mode}{'#' if self.privileged else '>'}"

    @property
    def config(self) -> Config:
        """What lines change."""
        return self.device.running if self.staged is None else self.staged

    @property
    def interface(self) -> Interface:
        return self.config.interfaces[self.at[0]]

    @property
    def is_lag(self) -> bool:
        return bool(self.at) and self.device.lag_number(self.at[0]) is not None

    def execute(self, line: str) -> str:
        if self.asks_password:
            self.asks_password = False
            self.privileged = line == self.device.enable_password
            return "" if self.privileged else "% Bad secrets\n"
        line = " ".join(line.split())
        if not line or line.startswith("!"):
            return ""
        told = None if self.mode else self.device.lldp(line)
        if told is not None:
            return told
        for lines in self._tables():
            for pattern, handler in lines:
                if match := pattern.fullmatch(line):
                    return handler(self, match)
        return self.device.unknown

    def _tables(self) -> list[list[tuple[re.Pattern[str], Handler]]]:
        if not self.mode:
            return [self.exec_lines]
        return [self.interface_lines, self.config_lines] if self.at else [self.config_lines]

    def refused(self, text: str) -> str:
        return f"% {text}\n"

    def touched(self) -> str:
        """A line has changed something."""
        self.changed = True
        if self.staged is None:
            self.device.tell()
        return ""

    def leave(self) -> str:
        """To the exec mode."""
        if self.changed and self.staged is None and self.mode:
            self.device.commits += 1
        self.mode, self.at, self.changed = "", [], False
        return ""

    def put_into_force(self) -> None:
        if self.staged is not None:
            self.device.running = copy.deepcopy(self.staged)
            self.device.commits += 1
            self.device.tell()

    def hang_up(self) -> None:
        if self.device.locked_by is self:
            self.device.locked_by = None
        self.leave()


# --- lines that mean the same everywhere ------------------------------------------------------------------------------


def _enable(shell: BlockShell, _: re.Match[str]) -> str:
    if shell.privileged:
        return ""
    shell.asks_password = True
    return "Password: "


def _exit(shell: BlockShell, _: re.Match[str]) -> str:
    if not shell.mode:
        shell.closed = True
    elif shell.at:
        shell.at, shell.mode = [], shell.mode.partition("-")[0]
    else:
        shell.leave()
    return ""


def nothing(_: BlockShell, __: re.Match[str]) -> str:
    """A line that is taken and changes nothing here."""
    return ""


def save(shell: BlockShell, _: re.Match[str]) -> str:
    if not shell.privileged:
        return shell.device.unknown
    shell.device.save()
    return "Copy completed successfully.\n"


def configure(shell: BlockShell, _: re.Match[str]) -> str:
    if not shell.privileged:
        return shell.device.unknown
    if shell.device.lock_refused:
        return shell.refused("Configuration mode is locked by user 'other' on line vty 3")
    shell.mode = "config"
    return ""


def enter_interface(shell: BlockShell, match: re.Match[str]) -> str:
    name = match[1]
    if shell.device.lag_number(name) is not None:
        if name not in shell.config.interfaces:
            shell.config.interfaces[name] = new_lag(shell.device)
            shell.touched()
    elif name not in shell.device.ports:
        return shell.device.unknown
    shell.at = [name]
    shell.mode = shell.mode.partition("-")[0] + "-if"
    return ""


def new_lag(device: BlockDevice) -> Interface:
    lag = device.factory().interfaces[device.ports[0]]
    lag.up = True
    return lag


def remove_interface(shell: BlockShell, match: re.Match[str]) -> str:
    number = shell.device.lag_number(match[1])
    if number is None or match[1] not in shell.config.interfaces:
        return shell.device.unknown
    for member in shell.config.members(number):
        member.group = None
    del shell.config.interfaces[match[1]]
    shell.at = []
    return shell.touched()


def define_vlans(shell: BlockShell, match: re.Match[str]) -> str:
    vlans = parse_list(match[1], last=shell.device.vlan_max)
    if vlans is None:
        return shell.device.unknown
    for vlan in vlans:
        shell.config.vlans.setdefault(vlan, f"VLAN{vlan:04}")
    shell.at = []
    shell.mode = shell.mode.partition("-")[0] + "-vlan"
    return shell.touched()


def undefine_vlans(shell: BlockShell, match: re.Match[str]) -> str:
    vlans = parse_list(match[1], last=shell.device.vlan_max)
    if vlans is None or DEFAULT_VLAN in vlans:
        return shell.device.unknown
    for vlan in vlans:
        shell.config.vlans.pop(vlan, None)
    return shell.touched()


def set_up(value: bool) -> Handler:
    def handler(shell: BlockShell, _: re.Match[str]) -> str:
        shell.interface.up = value
        return shell.touched()

    return handler


def mlag(words: str, last: int) -> Table:
    """The lines by which a port-channel gets an id that the MLAG peer knows it by; on nothing else."""

    def give(shell: BlockShell, match: re.Match[str]) -> str:
        number = int(match[1])
        if not shell.is_lag or not 1 <= number <= last:
            return shell.device.unknown
        for name, other in shell.config.interfaces.items():
            if other.mlag == number and other is not shell.interface:
                return shell.refused(shell.device.mlag_taken.format(words=words, number=number, name=name))
        if shell.device.mlag_fixed and shell.interface.mlag not in (None, number):
            return shell.refused(shell.device.mlag_fixed)
        shell.interface.mlag = number
        return shell.touched()

    def take(shell: BlockShell, _: re.Match[str]) -> str:
        if not shell.is_lag:
            return shell.device.unknown
        shell.interface.mlag = None
        return shell.touched()

    return {rf"{words} (\d{{1,5}})": give, f"no {words}": take}


def describe(shell: BlockShell, match: re.Match[str]) -> str:
    shell.interface.description = match[1] if match.re.groups else ""
    return shell.touched()


EXEC: Table = {
    "enable": _enable,
    "exit|logout|quit": _exit,
    r"terminal (length|width) \d+": nothing,
    "configure( terminal)?": configure,
    "write( memory)?": save,
}
CONFIG: Table = {
    "end": lambda shell, _: shell.leave(),
    "exit": _exit,
    r"interface (\S+)": enter_interface,
    r"no interface (\S+)": remove_interface,
    r"vlan ([\d,-]+)": define_vlans,
    r"no vlan ([\d,-]+)": undefine_vlans,
}
INTERFACE: Table = {
    "shutdown": set_up(False),
    "no shutdown": set_up(True),
    r"description (.+)": describe,
    "no description": describe,
}


# --- `switchport …`, as Arista, Cisco and Dell have it ----------------------------------------------------------------


def switched(value: bool) -> Handler:
    def handler(shell: BlockShell, _: re.Match[str]) -> str:
        shell.interface.switched = value
        return shell.touched()

    return handler


def port_mode(shell: BlockShell, match: re.Match[str]) -> str:
    shell.interface.mode = match[1]
    return shell.touched()


def access_vlan(shell: BlockShell, match: re.Match[str]) -> str:
    vlans = parse_list(match[1] or "", last=shell.device.vlan_max) if match.re.groups else {DEFAULT_VLAN}
    if vlans is None or len(vlans) != 1:
        return shell.device.unknown
    (shell.interface.access,) = vlans
    return shell.touched()


def native_vlan(shell: BlockShell, match: re.Match[str]) -> str:
    vlans = parse_list(match[1], last=shell.device.vlan_max) if match.re.groups else {DEFAULT_VLAN}
    if vlans is None or len(vlans) != 1:
        return shell.device.unknown
    (shell.interface.native,) = vlans
    return shell.touched()


def allowed_vlans(shell: BlockShell, match: re.Match[str]) -> str:
    word, text = match[1], match[2]
    vlans = {"all": ALL_VLANS, "none": frozenset[int]()}.get(text) or parse_list(text, last=shell.device.vlan_max)
    if text == "none":
        vlans = frozenset()
    if vlans is None:
        return shell.device.unknown
    before = shell.interface.allowed
    shell.interface.allowed = {"add ": before | vlans, "remove ": before - vlans}.get(word or "", vlans)
    return shell.touched()


def all_vlans(shell: BlockShell, _: re.Match[str]) -> str:
    shell.interface.allowed = ALL_VLANS
    return shell.touched()


SWITCHPORT: Table = {
    "switchport": switched(True),
    "no switchport": switched(False),
    "switchport mode (access|trunk)": port_mode,
    r"switchport access vlan (\d+)": access_vlan,
    "no switchport access vlan": access_vlan,
    r"switchport trunk native vlan (\d+)": native_vlan,
    "no switchport trunk native vlan": native_vlan,
    r"switchport trunk allowed vlan (add |remove )?([\d,-]+|all|none)": allowed_vlans,
    "no switchport trunk allowed vlan": all_vlans,
}


def show_switchport(interface: Interface) -> list[str]:
    """The `switchport` lines of a block; defaults are not shown."""
    lines = []
    if interface.access not in (None, DEFAULT_VLAN):
        lines.append(f"switchport access vlan {interface.access}")
    if interface.native not in (None, DEFAULT_VLAN):
        lines.append(f"switchport trunk native vlan {interface.native}")
    if interface.allowed != ALL_VLANS:
        lines.append(f"switchport trunk allowed vlan {list_text(interface.allowed) or 'none'}")
    if interface.mode == "trunk":
        lines.append("switchport mode trunk")
    return lines
