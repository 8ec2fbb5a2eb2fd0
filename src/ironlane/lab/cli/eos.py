"""Arista EOS: configuration sessions; a member's own `switchport` lines rest while it is in a Port-Channel."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Sequence

from ironlane.lab.cli import blocks
from ironlane.lab.cli.blocks import BlockDevice, BlockShell
from ironlane.lab.cli.device import OnRunning
from ironlane.lab.cli.state import Config, Interface

_MAX_SESSIONS = 5


class EosShell(BlockShell):
    device: EosDevice
    session: str | None = None

    def leave(self) -> str:
        if self.session is not None:
            self.session = self.staged = None
            self.changed = False
        return super().leave()


class EosDevice(BlockDevice):
    """`pending` are configuration sessions by name; they outlive the login that opened them."""

    platform = "arista-eos"
    shell = EosShell
    lag_prefix = "Port-Channel"
    lag_max = 2000

    def __init__(self, hostname: str, ports: Sequence[str], on_running: OnRunning) -> None:
        super().__init__(hostname, ports, on_running)
        self.pending: dict[str, Config] = {}
        self.waiting: tuple[str, asyncio.TimerHandle] | None = None
        """The commit that waits to be confirmed: its session's name, and the timer that undoes it."""

    def reboot(self) -> None:
        super().reboot()
        self.pending.clear()
        if self.waiting is not None:
            self.waiting[1].cancel()
            self.waiting = None

    def show_interface(self, interface: Interface) -> list[str]:
        lines = [f"description {interface.description}"] if interface.description else []
        if not interface.up:
            lines.append("shutdown")
        lines += blocks.show_switchport(interface) if interface.switched else ["no switchport"]
        if interface.group is not None:
            lines.append(f"channel-group {interface.group} mode {interface.group_mode}")
        if interface.rate:
            lines.append("lacp timer fast")
        if interface.min_links > 1:
            lines.append(f"port-channel min-links {interface.min_links}")
        if interface.fallback:
            lines.append("port-channel lacp fallback static")
        if interface.mlag is not None:
            lines.append(f"mlag {interface.mlag}")
        return lines


def _session(shell: EosShell, match: re.Match[str]) -> str:
    device, name = shell.device, match[1]
    if not shell.privileged:
        return device.unknown
    if device.lock_refused:
        return "% Configuration is locked by another session\n"
    if name not in device.pending and len(device.pending) >= _MAX_SESSIONS:
        return "% Maximum number of pending sessions has been reached. Please commit or abort previous sessions.\n"
    shell.staged = device.pending.setdefault(name, copy.deepcopy(device.running))
    shell.session = name
    shell.mode = f"config-s-{name[:6]}"
    return ""


def _forget(shell: EosShell, match: re.Match[str]) -> str:
    gone = shell.device.pending.pop(match[1], None)
    return "" if gone is not None else "% Cannot delete non-existent session\n"


def _commit(shell: EosShell, match: re.Match[str]) -> str:
    device, name = shell.device, shell.session
    if name is None or shell.staged is None:
        return device.unknown
    before = device.running
    shell.put_into_force()
    del device.pending[name]
    if match[1]:
        hours, minutes, seconds = (int(part) for part in match[2].split(":"))

        def undo() -> None:
            device.waiting = None
            device.running = before
            device.tell()

        timer = asyncio.get_running_loop().call_later(hours * 3600 + minutes * 60 + seconds, undo)
        device.waiting = (name, timer)
    return shell.leave()


def _confirm(shell: EosShell, match: re.Match[str]) -> str:
    waiting = shell.device.waiting
    if waiting is None or waiting[0] != match[1]:
        return "% Invalid input\n"
    waiting[1].cancel()
    shell.device.waiting = None
    return ""


def _abort(shell: EosShell, _: re.Match[str]) -> str:
    if shell.session is not None:
        shell.device.pending.pop(shell.session, None)
    return shell.leave()


def _show_sessions(shell: EosShell, _: re.Match[str]) -> str:
    text = "Maximum number of completed sessions: 1\nMaximum number of pending sessions: 5\n\n  Name State User\n"
    text += "".join(f"  {name} pending\n" for name in shell.device.pending)
    return text + (f"  {shell.device.waiting[0]} pendingCommitTimer\n" if shell.device.waiting else "")


def _show_running(shell: BlockShell, _: re.Match[str]) -> str:
    if not shell.privileged:
        return shell.device.unknown
    config = shell.device.running
    return (
        f"! Command: show running-config\n! device: {shell.device.hostname} (DCS-7050)\n!\n"
        f"hostname {shell.device.hostname}\n!\n{shell.device.show_vlans(config)}"
        f"{shell.device.show_interfaces(config)}end\n"
    )


def _join(shell: BlockShell, match: re.Match[str]) -> str:
    number = int(match[1])
    if shell.is_lag or not 1 <= number <= 2000:
        return shell.device.unknown
    others = [member for member in shell.config.members(number) if member is not shell.interface]
    if any((member.group_mode == "on") is not (match[2] == "on") for member in others):
        return "% Cannot change mode; remove all members and try again.\n"
    shell.config.interfaces.setdefault(shell.device.lag_name(number), Interface())
    shell.interface.group, shell.interface.group_mode = number, match[2]
    return shell.touched()


def _part(shell: BlockShell, _: re.Match[str]) -> str:
    shell.interface.group = None
    return shell.touched()


def _rate(shell: BlockShell, match: re.Match[str]) -> str:
    if shell.is_lag:
        return shell.device.unknown
    shell.interface.rate = "fast" if match.re.groups and match[1] == "fast" else ""
    return shell.touched()


def _min_links(shell: BlockShell, match: re.Match[str]) -> str:
    if not shell.is_lag:
        return shell.device.unknown
    shell.interface.min_links = int(match[1]) if match.re.groups else 1
    return shell.touched()


def _fallback(value: bool) -> blocks.Handler:
    def handler(shell: BlockShell, _: re.Match[str]) -> str:
        if not shell.is_lag:
            return shell.device.unknown
        shell.interface.fallback = value
        return shell.touched()

    return handler


EosShell.exec_lines = blocks.compiled(
    blocks.EXEC,
    {
        r"configure session (\S+)": _session,
        r"no configure session (\S+)": _forget,
        r"configure session (\S+) commit": _confirm,
        "show running-config": _show_running,
        "show configuration sessions": _show_sessions,
    },
)
EosShell.config_lines = blocks.compiled(
    blocks.CONFIG, {r"commit( timer (\d\d:\d\d:\d\d))?": _commit, "abort": _abort, "show running-config": _show_running}
)
EosShell.interface_lines = blocks.compiled(
    blocks.INTERFACE,
    blocks.SWITCHPORT,
    blocks.mlag("mlag", 2000),
    {
        r"channel-group (\d+) mode (active|passive|on)": _join,
        "no channel-group": _part,
        "lacp timer (fast|normal)": _rate,
        "no lacp timer": _rate,
        r"port-channel min-links (\d+)": _min_links,
        "no port-channel min-links": _min_links,
        "port-channel lacp fallback static": _fallback(True),
        "no port-channel lacp fallback": _fallback(False),
    },
)
