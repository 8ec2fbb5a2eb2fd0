"""Dell SmartFabric OS10: transactions; a LAG member is `no switchport`; a VLAN is there before a port is on it."""

from __future__ import annotations

import copy
import re

from ironlane.lab.cli import blocks
from ironlane.lab.cli.blocks import BlockDevice, BlockShell
from ironlane.lab.cli.state import DEFAULT_VLAN, Config, Interface, list_text, parse_list


class Os10Shell(BlockShell):
    device: Os10Device
    transaction: Config | None = None

    def hang_up(self) -> None:
        self.transaction = self.staged = None
        super().hang_up()


class Os10Device(BlockDevice):
    platform = "dell-os10"
    shell = Os10Shell
    lag_prefix = "port-channel"
    lag_max = 128
    unknown = "% Error: Unrecognized command.\n"
    vlan_max = 4093
    mlag_taken = "Error: VLT port-channel ID {number} is already assigned to {name}"
    mlag_fixed = "Error: Port-channel is assigned to another VLT port-channel ID; remove it first"
    indent = " "

    def factory(self) -> Config:
        """A trunk lets nothing through but its untagged VLAN until it is told to."""
        return Config({name: Interface(allowed=frozenset()) for name in self.ports}, {1: "default"})

    def show_interface(self, interface: Interface) -> list[str]:
        lines = [f"description {_quoted(interface.description)}"] if interface.description else []
        lines.append("no shutdown" if interface.up else "shutdown")
        if interface.group is not None:
            lines.append(f"channel-group {interface.group} mode {interface.group_mode}")
        if not interface.switched:
            lines.append("no switchport")
        else:
            if interface.mode == "trunk":
                lines.append("switchport mode trunk")
            lines.append(f"switchport access vlan {interface.access}")
            if interface.mode == "trunk" and interface.allowed - {interface.access}:
                lines.append(f"switchport trunk allowed vlan {list_text(interface.allowed - {interface.access})}")
        if interface.rate:
            lines.append("lacp rate fast")
        if interface.min_links > 1:
            lines.append(f"minimum-links {interface.min_links}")
        if interface.fallback:
            lines.append("lacp fallback enable")
        if interface.mlag is not None:
            lines.append(f"vlt-port-channel {interface.mlag}")
        return lines

    def show_vlans(self, config: Config) -> str:
        return "".join(f"interface vlan{vlan}\n no shutdown\n!\n" for vlan in sorted(config.vlans))


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text


def _begin(shell: Os10Shell, _: re.Match[str]) -> str:
    if shell.device.lock_refused or shell.device.locked_by not in (None, shell):
        return "% Error: Configuration is locked by another session\n"
    if shell.transaction is not None:
        return "% Error: A transaction is already in progress\n"
    shell.device.locked_by = shell
    shell.transaction = copy.deepcopy(shell.device.running)
    return ""


def _configure(shell: Os10Shell, match: re.Match[str]) -> str:
    shell.staged = shell.transaction
    return blocks.configure(shell, match)


def _commit(shell: Os10Shell, _: re.Match[str]) -> str:
    if shell.transaction is None:
        return "% Error: No transaction in progress\n"
    shell.staged = shell.transaction
    shell.put_into_force()
    return _discard(shell, _)


def _discard(shell: Os10Shell, _: re.Match[str]) -> str:
    if shell.transaction is None:
        return "% Error: No transaction in progress\n"
    shell.transaction = shell.staged = None
    shell.device.locked_by = None
    return ""


def _own(handler: blocks.Handler) -> blocks.Handler:
    def guarded(shell: Os10Shell, match: re.Match[str]) -> str:
        if shell.interface.group is not None:
            return "% Error: Switchport configuration is not allowed on a port-channel member\n"
        return handler(shell, match)

    return guarded


def _mode(shell: Os10Shell, match: re.Match[str]) -> str:
    port = shell.interface
    port.switched, port.mode = True, match[1]
    if port.mode == "access":
        port.allowed = frozenset({port.access or DEFAULT_VLAN})
    port.native = port.access
    return shell.touched()


def _vlan(shell: Os10Shell, match: re.Match[str]) -> str:
    vlan = int(match[1]) if match.re.groups else DEFAULT_VLAN
    port = shell.interface
    if vlan not in shell.config.vlans:
        return f"% Error: VLAN {vlan} does not exist\n"
    port.allowed = (port.allowed - {port.access}) | {vlan}
    port.access = port.native = vlan
    return shell.touched()


def _allow(shell: Os10Shell, match: re.Match[str]) -> str:
    vlans = parse_list(match[2], last=shell.device.vlan_max)
    port = shell.interface
    if vlans is None:
        return "% Error: Illegal parameter.\n"
    if port.mode != "trunk":
        return "% Error: Port is not in trunk mode\n"
    if not match[1] and vlans - shell.config.vlans.keys():
        return f"% Error: VLAN {min(vlans - shell.config.vlans.keys())} does not exist\n"
    port.allowed = port.allowed - vlans if match[1] else port.allowed | vlans
    return shell.touched()


def _join(shell: Os10Shell, match: re.Match[str]) -> str:
    number, mode = int(match[1]), match[2]
    port = shell.interface
    if shell.is_lag or not 1 <= number <= shell.device.lag_max:
        return "% Error: Illegal parameter.\n"
    if port.switched:
        return "% Error: Interface is in switchport mode; remove it with no switchport\n"
    if shell.device.lag_name(number) not in shell.config.interfaces:
        return f"% Error: port-channel{number} does not exist\n"
    others = [member for member in shell.config.members(number) if member is not port]
    if any((member.group_mode == "on") is not (mode == "on") for member in others):
        return "% Error: Port-channel mode mismatch\n"
    port.group, port.group_mode = number, mode
    return shell.touched()


def _part(shell: Os10Shell, _: re.Match[str]) -> str:
    shell.interface.group = None
    return shell.touched()


def _on_lag(change: blocks.Handler, *, lag: bool) -> blocks.Handler:
    def handler(shell: Os10Shell, match: re.Match[str]) -> str:
        if shell.is_lag is not lag:
            return shell.device.unknown
        change(shell, match)
        return shell.touched()

    return handler


def _rate(shell: Os10Shell, match: re.Match[str]) -> str:
    shell.interface.rate = "fast" if match.re.groups and match[1] == "fast" else ""
    return ""


def _links(shell: Os10Shell, match: re.Match[str]) -> str:
    shell.interface.min_links = int(match[1]) if match.re.groups else 1
    return ""


def _fallback(shell: Os10Shell, match: re.Match[str]) -> str:
    shell.interface.fallback = not match[0].startswith("no ")
    return ""


def _remove(shell: Os10Shell, match: re.Match[str]) -> str:
    number = shell.device.lag_number(match[1])
    if number is not None and shell.config.members(number):
        return f"% Error: {match[1]} has members\n"
    return blocks.remove_interface(shell, match)


def _show_running(shell: Os10Shell, _: re.Match[str]) -> str:
    config = shell.device.running
    return (
        f"! Version 10.5.4\n!\nhostname {shell.device.hostname}\n!\n{shell.device.show_vlans(config)}"
        f"{shell.device.show_interfaces(config)}"
    )


Os10Shell.exec_lines = blocks.compiled(
    blocks.EXEC,
    {
        "start transaction": _begin,
        "commit": _commit,
        "discard": _discard,
        "configure( terminal)?": _configure,
        "show running-configuration": _show_running,
    },
)
Os10Shell.config_lines = blocks.compiled(
    blocks.CONFIG, {r"interface vlan ?(\d+)": blocks.define_vlans, r"no interface (\S+)": _remove}
)
Os10Shell.interface_lines = blocks.compiled(
    blocks.INTERFACE,
    blocks.mlag("vlt-port-channel", 1024),
    {
        r'description "([^"]+)"': blocks.describe,
        "no switchport": _own(blocks.switched(False)),
        "switchport mode (access|trunk)": _own(_mode),
        r"switchport access vlan (\d+)": _own(_vlan),
        "no switchport access vlan": _own(_vlan),
        r"(no )?switchport trunk allowed vlan ([\d,-]+)": _own(_allow),
        r"channel-group (\d+) mode (active|passive|on)": _join,
        "no channel-group": _part,
        "lacp rate (fast|normal)": _on_lag(_rate, lag=False),
        "no lacp rate": _on_lag(_rate, lag=False),
        r"minimum-links (\d+)": _on_lag(_links, lag=True),
        "no minimum-links": _on_lag(_links, lag=True),
        "lacp fallback enable": _on_lag(_fallback, lag=True),
        "no lacp fallback enable": _on_lag(_fallback, lag=True),
    },
)
