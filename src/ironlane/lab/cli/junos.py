"""Juniper Junos (Enhanced Layer 2 Software): a tree of statements, edited in a candidate and checked at the commit."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Sequence
from typing import Any

from ironlane.lab.cli.device import Device, OnRunning, Shell
from ironlane.lab.cli.state import ALL_VLANS, DEFAULT_VLAN, Config, Interface, parse_list

Statements = dict[str, str]
"""Path of a statement → its value; empty for those without one. In the order in which they were set."""

_NUMBER = r"\d{1,4}"
_WORD = r'"[^"]*"|\S+'
_INTERFACE = r"interfaces \S+"
_SWITCHING = rf"{_INTERFACE} unit 0 family ethernet-switching"
# Leaves that hold one value: (path, value).
_VALUES = [
    (rf"{_INTERFACE} description", _WORD),
    (rf"{_INTERFACE} native-vlan-id", _NUMBER),
    (rf"{_SWITCHING} interface-mode", "access|trunk"),
    (rf"{_INTERFACE} (?:ether|gigether)-options 802\.3ad", r"ae\d+"),
    (rf"{_INTERFACE} aggregated-ether-options minimum-links", r"\d{1,2}"),
    (rf"{_INTERFACE} aggregated-ether-options lacp periodic", "fast|slow"),
    (r"vlans \S+ vlan-id", _NUMBER),
]
# Statements without a value, lists among them.
_FLAGS = [
    rf"{_INTERFACE} disable",
    rf"{_SWITCHING}",
    rf"{_SWITCHING} vlan members \S+",
    rf"{_INTERFACE} ether-options 802\.3ad lacp force-up",
    rf"{_INTERFACE} aggregated-ether-options lacp (?:active|passive)",
]
_PATHS = [*(path for path, _ in _VALUES), *_FLAGS]


class JunosShell(Shell):
    device: JunosDevice

    def __init__(self, device: JunosDevice) -> None:
        super().__init__(device)
        self.device = device
        self.configuring = False

    @property
    def prompt(self) -> str:
        user = f"admin@{self.device.hostname}"
        return f"\n[edit]\n{user}# " if self.configuring else f"\n{user}> "

    def execute(self, line: str) -> str:
        line = line.strip()
        if not line:
            return ""
        if not self.configuring:
            return self._operational(line)
        verb, _, rest = line.partition(" ")
        if verb in ("set", "delete"):
            return self._edit(verb, rest)
        return self._configuration(line)

    def _operational(self, line: str) -> str:
        device = self.device
        if line in ("configure", "configure exclusive", "edit"):
            if device.lock_refused or device.locked_by not in (None, self):
                return "error: configuration database locked by:\n  other terminal p1 (pid 4711) on since 2026-11-22\n"
            if line == "configure exclusive":
                device.locked_by = self
                device.candidate = dict(device.statements)
            self.configuring = True
            warning = "warning: uncommitted changes will be discarded on exit\n"
            return (warning if device.locked_by is self else "") + "Entering configuration mode\n"
        if match := re.fullmatch(r"show configuration (interfaces|vlans) \| display set", line):
            return "".join(f"set {text}\n" for text in device.shown() if text.startswith(match[1] + " "))
        told = device.lldp(line)
        if told is not None:
            return told
        if line == "show interfaces terse":
            rows = "".join(f"{port:<24}up    up\n{port + '.0':<24}up    up   eth-switch\n" for port in device.ports)
            return "Interface               Admin Link Proto    Local                 Remote\n" + rows
        if line == "show system commit":
            waiting = "commit confirmed, rollback in 1mins\n" if device.waiting is not None else ""
            return "0   2026-11-22 12:00:00 UTC by admin via cli " + waiting + "\n"
        if line.startswith("set cli "):
            return ""
        if line in ("exit", "quit"):
            self.closed = True
            return ""
        return "             ^\nunknown command.\n"

    def _configuration(self, line: str) -> str:
        device = self.device
        if line == "top":
            return ""
        if line in ("rollback", "rollback 0"):
            device.candidate = dict(device.statements)
            return "load complete\n"
        if line in ("exit", "quit", "exit configuration-mode"):
            return self._leave()
        if match := re.fullmatch(r"commit( and-quit| check|(?: confirmed(?: (\d+))?))?", line):
            problem = device.problem()
            if problem:
                return f"{problem}\nerror: configuration check-out failed\n"
            if match[1] == " check":
                return "configuration check succeeds\n"
            minutes = int(match[2] or 10) if match[1] and "confirmed" in match[1] else None
            device.commit(minutes)
            answer = (
                "" if minutes is None else f"commit confirmed will be automatically rolled back in {minutes} minutes\n"
            )
            answer += "commit complete\n"
            return answer + (self._leave() if match[1] == " and-quit" else "")
        return "                ^\nunknown command.\n"

    def _leave(self) -> str:
        if self.device.locked_by is self:
            self.device.locked_by = None
            self.device.candidate = dict(self.device.statements)
        self.configuring = False
        return "Exiting configuration mode\n"

    def _edit(self, verb: str, rest: str) -> str:
        candidate = self.device.candidate
        if verb == "set":
            for path, value in _VALUES:
                if match := re.fullmatch(rf"({path}) ({value})", rest):
                    candidate[match[1]] = match[2].strip('"')
                    return ""
            if any(re.fullmatch(path, rest) for path in _FLAGS):
                candidate[rest] = ""
                return ""
            return "                ^\nsyntax error.\n"
        if not any(_begins(path, rest) for path in _PATHS):
            return "                ^\nsyntax error.\n"
        gone = [path for path in candidate if path == rest or path.startswith(rest + " ")]
        for path in gone:
            del candidate[path]
        return "" if gone else "warning: statement not found\n"

    def hang_up(self) -> None:
        if self.configuring:
            self._leave()


def _begins(pattern: str, text: str) -> bool:
    """Whether `text` is a whole number of words at the beginning of what `pattern` matches."""
    words = pattern.split(" ")
    return any(re.fullmatch(" ".join(words[:count]), text) for count in range(2, len(words) + 1))


class JunosDevice(Device):
    """`statements` run; `candidate` is edited."""

    platform = "juniper-junos"
    tells_mlag = False
    shell = JunosShell

    def __init__(self, hostname: str, ports: Sequence[str], on_running: OnRunning) -> None:
        self.statements: Statements = {}
        self.candidate: Statements = {}
        self.waiting: asyncio.TimerHandle | None = None
        super().__init__(hostname, ports, on_running)

    def lag_name(self, number: int) -> str:
        return f"ae{number}"

    def factory(self) -> Config:
        return _config(self.statements, self.ports)

    def _state(self) -> Any:
        return self.statements

    def _restore(self, state: Any) -> None:
        self.statements = state
        self.running = _config(state, self.ports)

    def reboot(self) -> None:
        """Commits are kept."""
        self.admit()
        self.locked_by = None
        self.candidate = dict(self.statements)

    def erase(self) -> None:
        self.statements = {}
        self.running = self.factory()

    def shown(self) -> list[str]:
        """What runs, as `display set` shows it (containers before what they contain are not)."""
        lines = []
        for path, value in self.statements.items():
            if not value and any(other.startswith(path + " ") for other in self.statements):
                continue
            quoted = f'"{value}"' if re.search(r"[^\w./:-]", value) else value
            lines.append(f"{path} {quoted}".strip())
        return lines

    def commit(self, minutes: int | None) -> None:
        before = dict(self.statements)
        changed = before != self.candidate
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
        self._run(dict(self.candidate))
        self.commits += changed
        if minutes is not None:
            self.waiting = asyncio.get_running_loop().call_later(minutes * 60, self._undo, before)

    def _undo(self, before: Statements) -> None:
        self.waiting = None
        self._run(before)

    def _run(self, statements: Statements) -> None:
        self.statements = statements
        self.running = _config(statements, self.ports)
        self.tell()

    def problem(self) -> str:
        """Why the candidate cannot be committed; empty if it can."""
        ids = [int(value) for path, value in self.candidate.items() if path.startswith("vlans ")]
        if any(vlan not in ALL_VLANS for vlan in ids):
            return "error: vlan-id out of range 1..4094"
        if len(set(ids)) != len(ids):
            return "error: a vlan-id is used by more than one vlan"
        config = _config(self.candidate, self.ports)
        for name, interface in config.interfaces.items():
            if name not in self.ports and re.fullmatch(r"ae\d+", name) is None:
                return f"error: interface {name} does not exist on this switch"
            has_unit = any(path.startswith(f"interfaces {name} unit 0") for path in self.candidate)
            if interface.group is not None and has_unit:
                return f"[edit interfaces {name}]\n  'unit 0'\n    logical unit is not allowed on aggregated member"
            if interface.group is not None and self.lag_name(interface.group) not in config.interfaces:
                return f"error: {name}: ae{interface.group} is not configured"
        for path in self.candidate:
            if match := re.fullmatch(r"interfaces (\S+) unit 0 .* members (\S+)", path):
                if _members(match[2], self.candidate) is None:
                    place = f"[edit interfaces {match[1]} unit 0 family ethernet-switching]"
                    return f"{place}\n  'vlan'\nerror: vlan {match[2]} is not defined"
                if config.interfaces[match[1]].mode == "access" and "-" in match[2]:
                    return f"error: {match[1]}: access interface with more than one vlan"
        return ""


def _members(text: str, statements: Statements) -> frozenset[int] | None:
    """VLAN ids that a `members` statement stands for; None if one of them is not defined."""
    defined = {path.split()[1]: int(value) for path, value in statements.items() if path.startswith("vlans ")}
    if text == "all":
        return frozenset(defined.values())
    if text in defined:
        return frozenset({defined[text]})
    vlans = parse_list(text)
    return vlans if vlans is not None and vlans <= {DEFAULT_VLAN, *defined.values()} else None


def _config(statements: Statements, ports: Sequence[str]) -> Config:
    """What statements mean. A port without `family ethernet-switching` carries nothing."""
    blank = Interface(switched=False, access=None, native=None, allowed=frozenset())
    config = Config({port: copy.copy(blank) for port in ports}, {1: "default"})
    for path, value in statements.items():
        words = path.split(" ")
        if words[0] == "vlans":
            config.vlans[int(value)] = words[1]
    for path, value in statements.items():
        words = path.split(" ")
        if words[0] == "interfaces":
            interface = config.interfaces.setdefault(words[1], copy.copy(blank))
            _apply(" ".join(words[2:]), value, interface, statements)
    return config


def _apply(path: str, value: str, interface: Interface, statements: Statements) -> None:
    if path == "disable":
        interface.up = False
    elif path == "description":
        interface.description = value
    elif path == "native-vlan-id":
        interface.native = int(value)
    elif path.endswith("802.3ad"):
        interface.group = int(value[2:])
    elif path.endswith("force-up"):
        interface.fallback = True
    elif path.endswith("minimum-links"):
        interface.min_links = int(value)
    elif path.endswith(("lacp active", "lacp passive")):
        interface.group_mode = "active"
    elif path.endswith("periodic"):
        interface.rate = value
    elif "ethernet-switching" in path:
        interface.switched = True
        if path.endswith("interface-mode"):
            interface.mode = value
        vlans = _members(path.rsplit(" ", 1)[1], statements) if " members " in path else None
        interface.allowed |= vlans or frozenset()
        interface.access = min(interface.allowed, default=DEFAULT_VLAN)
