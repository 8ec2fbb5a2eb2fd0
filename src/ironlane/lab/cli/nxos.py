"""Cisco NX-OS: no staging; a member takes over what its port-channel carries, and cannot be changed by itself."""

from __future__ import annotations

import copy
import re

from ironlane.lab.cli import blocks
from ironlane.lab.cli.blocks import BlockDevice, BlockShell
from ironlane.lab.cli.state import DEFAULT_VLAN, Interface, parse_list

_SWITCHPORT = ("switched", "mode", "access", "native", "allowed")


class NxosShell(BlockShell):
    device: NxosDevice

    def refused(self, text: str) -> str:
        return f"ERROR: {text}\n"


class NxosDevice(BlockDevice):
    platform = "cisco-nxos"
    shell = NxosShell
    lag_prefix = "port-channel"
    lag_max = 4096
    unknown = "                ^\n% Invalid command at '^' marker.\n"
    vlan_max = 3967
    mlag_taken = "Operation failed: [vPC {number} is already used by {name}]"
    mlag_fixed = "Operation failed: [the port-channel is in another vPC; remove it first]"
    indent = "  "

    def show_interface(self, interface: Interface) -> list[str]:
        lines = [f"description {interface.description}"] if interface.description else []
        if not interface.up:
            lines.append("shutdown")
        lines += blocks.show_switchport(interface) if interface.switched else ["no switchport"]
        if interface.group is not None:
            mode = " mode active" if interface.group_mode == "active" else ""
            lines.append(f"channel-group {interface.group}{mode}")
        if interface.rate:
            lines.append("lacp rate fast")
        return lines

    def show_lag(self, interface: Interface) -> list[str]:
        lines = self.show_interface(interface)
        if interface.min_links > 1:
            lines.append(f"lacp min-links {interface.min_links}")
        if interface.fallback:
            lines.append("no lacp suspend-individual")
        if interface.mlag is not None:
            lines.append(f"vpc {interface.mlag}")
        return lines


def follow(shell: BlockShell) -> None:
    """Members carry what their port-channel does."""
    number = shell.device.lag_number(shell.at[0]) if shell.at else None
    if number is None:
        return
    for member in shell.config.members(number):
        for key in _SWITCHPORT:
            setattr(member, key, getattr(shell.interface, key))


def _own(handler: blocks.Handler) -> blocks.Handler:
    """A `switchport` line: not for members."""

    def guarded(shell: NxosShell, match: re.Match[str]) -> str:
        if shell.interface.group is not None:
            return shell.refused(f"{shell.at[0]}: port is a member of port-channel{shell.interface.group}")
        with shell.device.one_change():
            answer = handler(shell, match)
            follow(shell)
        return answer

    return guarded


def _join(shell: NxosShell, match: re.Match[str]) -> str:
    number, forced, mode = int(match[1]), bool(match[2]), match[3] or "on"
    if shell.is_lag or not 1 <= number <= shell.device.lag_max:
        return shell.device.unknown
    port, name = shell.interface, shell.device.lag_name(number)
    others = [member for member in shell.config.members(number) if member is not port]
    if any((member.group_mode == "on") is not (mode == "on") for member in others):
        return "command failed: port not compatible [Operation mode]\n"
    lag = shell.config.interfaces.get(name)
    if lag is None:
        lag = shell.config.interfaces[name] = copy.deepcopy(port)
        lag.description, lag.rate = "", ""
    if not forced and not port.same_vlans(lag):
        return "command failed: port not compatible [port mode or VLANs]\n** You can use force option to override\n"
    for key in _SWITCHPORT:
        setattr(port, key, getattr(lag, key))
    port.group, port.group_mode = number, mode
    return shell.touched()


def part(shell: BlockShell, _: re.Match[str]) -> str:
    shell.interface.group = None
    return shell.touched()


def rate(shell: BlockShell, match: re.Match[str]) -> str:
    if shell.is_lag:
        return shell.device.unknown
    shell.interface.rate = "fast" if match.re.groups and match[1] == "fast" else ""
    return shell.touched()


def min_links(shell: BlockShell, match: re.Match[str]) -> str:
    if not shell.is_lag or (match.re.groups and not 1 <= int(match[1]) <= 32):
        return shell.device.unknown
    shell.interface.min_links = int(match[1]) if match.re.groups else 1
    return shell.touched()


def _suspend(value: bool) -> blocks.Handler:
    def handler(shell: NxosShell, _: re.Match[str]) -> str:
        if not shell.is_lag:
            return shell.device.unknown
        if shell.interface.up:
            return shell.refused(f"Cannot set/reset lacp suspend-individual for {shell.at[0]} that is admin up")
        shell.interface.fallback = not value
        return shell.touched()

    return handler


def _define(shell: NxosShell, match: re.Match[str]) -> str:
    if parse_list(match[1], last=shell.device.vlan_max) is None and parse_list(match[1]) is not None:
        return shell.refused("One or more VLANs are reserved for internal use")
    return blocks.define_vlans(shell, match)


def _show_interfaces(shell: NxosShell, _: re.Match[str]) -> str:
    head = "\n!Command: show running-config interface\n!Running configuration last done at: Sun Nov 22 2026\n\n"
    return head + "version 9.3(8) Bios:version\n\n" + shell.device.show_interfaces(shell.device.running)


def _show_vlans(shell: NxosShell, _: re.Match[str]) -> str:
    vlans = shell.device.running.vlans
    text = "\n!Command: show running-config vlan\n\nversion 9.3(8) Bios:version\n"
    text += f"vlan {','.join(map(str, sorted(vlans)))}\n"
    named = ((vlan, name) for vlan, name in sorted(vlans.items()) if vlan != DEFAULT_VLAN)
    return text + "".join(f"vlan {vlan}\n  name {name}\n" for vlan, name in named)


def _save(shell: NxosShell, match: re.Match[str]) -> str:
    return "[########################################] 100%\n" + blocks.save(shell, match)


def _checkpoint(shell: NxosShell, match: re.Match[str]) -> str:
    done = shell.device.take_checkpoint(match[1])
    return ".......Done\n" if done else shell.refused(f"Checkpoint {match[1]} already exists")


def _no_checkpoint(shell: NxosShell, match: re.Match[str]) -> str:
    gone = shell.device.checkpoints.pop(match[1], None)
    return "" if gone is not None else shell.refused(f"Checkpoint {match[1]} does not exist")


def _rollback(shell: NxosShell, match: re.Match[str]) -> str:
    if not shell.device.restore_checkpoint(match[1]):
        return shell.refused(f"Checkpoint {match[1]} does not exist")
    return "Generating Rollback patch\nExecuting Rollback Patch\nRollback completed successfully.\n"


NxosShell.exec_lines = blocks.compiled(
    {key: handler for key, handler in blocks.EXEC.items() if not key.startswith("write")},
    {
        "show running-config interface": _show_interfaces,
        "show running-config vlan": _show_vlans,
        "copy running-config startup-config": _save,
        r"checkpoint (\w+)": _checkpoint,
        r"no checkpoint (\w+)": _no_checkpoint,
        r"rollback running-config checkpoint (\w+) atomic": _rollback,
    },
)
NxosShell.config_lines = blocks.compiled(blocks.CONFIG, {r"vlan ([\d,-]+)": _define})
NxosShell.interface_lines = blocks.compiled(
    blocks.INTERFACE,
    {line: _own(handler) for line, handler in blocks.SWITCHPORT.items() if line != "switchport"},
    blocks.mlag("vpc", 4096),
    {
        "switchport": _own(blocks.switched(True)),
        r"channel-group (\d+)( force)?(?: mode (active|passive|on))?": _join,
        "no channel-group": part,
        "lacp rate (fast|normal)": rate,
        "no lacp rate": rate,
        r"lacp min-links (\d+)": min_links,
        "no lacp min-links": min_links,
        "lacp suspend-individual": _suspend(True),
        "no lacp suspend-individual": _suspend(False),
    },
)
