"""Cisco IOS-XE: no staging; a member that carries something else than its port-channel is suspended."""

from __future__ import annotations

import copy
import re

from ironlane.lab.cli import blocks
from ironlane.lab.cli.blocks import BlockDevice, BlockShell
from ironlane.lab.cli.nxos import follow, min_links, part, rate
from ironlane.lab.cli.state import Interface, parse_list

_RESERVED = frozenset(range(1002, 1006))


class IosxeShell(BlockShell):
    device: IosxeDevice


class IosxeDevice(BlockDevice):
    platform = "cisco-iosxe"
    shell = IosxeShell
    lag_prefix = "Port-channel"
    lag_max = 128
    unknown = "              ^\n% Invalid input detected at '^' marker.\n\n"
    indent = " "
    suspend_unequal = True
    tells_mlag = False

    def show_interface(self, interface: Interface) -> list[str]:
        lines = [f"description {interface.description}"] if interface.description else []
        lines += blocks.show_switchport(interface) if interface.switched else ["no switchport"]
        if interface.mode == "access":
            lines.append("switchport mode access")
        if not interface.up:
            lines.append("shutdown")
        if interface.rate:
            lines.append("lacp rate fast")
        if interface.group is not None:
            lines.append(f"channel-group {interface.group} mode {interface.group_mode}")
        return lines

    def show_lag(self, interface: Interface) -> list[str]:
        lines = self.show_interface(interface)
        if interface.fallback:
            lines.append("no port-channel standalone-disable")
        if interface.min_links > 1:
            lines.append(f"port-channel min-links {interface.min_links}")
        return lines


def _switchport(handler: blocks.Handler) -> blocks.Handler:
    """A `switchport` line: what is said to a port-channel goes for its members."""

    def followed(shell: IosxeShell, match: re.Match[str]) -> str:
        with shell.device.one_change():
            answer = handler(shell, match)
            follow(shell)
        return answer

    return followed


def _access(shell: IosxeShell, match: re.Match[str]) -> str:
    answer = blocks.access_vlan(shell, match)
    vlan = shell.interface.access
    if not answer and vlan is not None and vlan not in shell.config.vlans:
        if vlan in _RESERVED:
            return "Command rejected: Bad VLAN allowed list\n"
        shell.config.vlans[vlan] = f"VLAN{vlan:04}"
        return f"% Access VLAN does not exist. Creating vlan {vlan}\n" + shell.touched()
    return answer


def _define(shell: IosxeShell, match: re.Match[str]) -> str:
    if (parse_list(match[1]) or frozenset()) & _RESERVED:
        return f"Command rejected: VLAN {match[1]} are default VLANs, which cannot be modified\n"
    return blocks.define_vlans(shell, match)


def _join(shell: IosxeShell, match: re.Match[str]) -> str:
    number, mode = int(match[1]), match[2]
    if shell.is_lag or not 1 <= number <= shell.device.lag_max:
        return shell.device.unknown
    port, name = shell.interface, shell.device.lag_name(number)
    others = [member for member in shell.config.members(number) if member is not port]
    if any((member.group_mode == "on") is not (mode == "on") for member in others):
        return "Command rejected: the interface can not be added to the channel group (different protocol)\n"
    if name not in shell.config.interfaces:
        lag = shell.config.interfaces[name] = copy.deepcopy(port)
        lag.description, lag.rate = "", ""
        port.group, port.group_mode = number, mode
        return f"Creating a port-channel interface {name}\n\n" + shell.touched()
    port.group, port.group_mode = number, mode
    return shell.touched()


def _standalone(value: bool) -> blocks.Handler:
    def handler(shell: IosxeShell, _: re.Match[str]) -> str:
        if not shell.is_lag:
            return shell.device.unknown
        shell.interface.fallback = not value
        return shell.touched()

    return handler


def _remove(shell: IosxeShell, match: re.Match[str]) -> str:
    number = shell.device.lag_number(match[1])
    for member in shell.config.members(number) if number is not None else ():
        member.up = False  # what loses its port-channel is shut, lest it make a loop
    return blocks.remove_interface(shell, match)


def _configure(shell: IosxeShell, match: re.Match[str]) -> str:
    answer = blocks.configure(shell, match)
    return answer or "Enter configuration commands, one per line.  End with CNTL/Z.\n"


def _show_interfaces(shell: IosxeShell, _: re.Match[str]) -> str:
    if not shell.privileged:
        return shell.device.unknown
    return shell.device.show_interfaces(shell.device.running).replace("!\n", "")


def _show_vlans(shell: IosxeShell, _: re.Match[str]) -> str:
    device = shell.device
    rows = ["", "VLAN Name                             Status    Ports", f"---- {'-' * 32} --------- {'-' * 31}"]
    for vlan, name in sorted(device.running.vlans.items()):
        ports = [p for p, i in device.running.interfaces.items() if i.mode == "access" and i.access == vlan]
        short = ", ".join(port.replace("GigabitEthernet", "Gi") for port in ports[:4] if port in device.ports)
        rows.append(f"{vlan:<4} {name:<32} active    {short}")
    rows += [f"{vlan:<4} {'reserved-default':<32} act/unsup " for vlan in sorted(_RESERVED)]
    return "\n".join(rows) + "\n"


def _save(shell: IosxeShell, match: re.Match[str]) -> str:
    return (
        "Building configuration...\n[OK]\n" if not blocks.save(shell, match).startswith("%") else shell.device.unknown
    )


IosxeShell.exec_lines = blocks.compiled(
    blocks.EXEC,
    {
        "configure( terminal)?": _configure,
        r"show running-config \| section \^interface": _show_interfaces,
        "show vlan brief": _show_vlans,
        "write( memory)?": _save,
    },
)
IosxeShell.config_lines = blocks.compiled(blocks.CONFIG, {r"vlan ([\d,-]+)": _define, r"no interface (\S+)": _remove})
IosxeShell.interface_lines = blocks.compiled(
    blocks.INTERFACE,
    {line: _switchport(handler) for line, handler in blocks.SWITCHPORT.items()},
    {
        r"switchport access vlan (\d+)": _switchport(_access),
        r"channel-group (\d+) mode (active|passive|on)": _join,
        "no channel-group": part,
        "lacp rate (fast|normal)": rate,
        "no lacp rate": rate,
        r"port-channel min-links (\d+)": min_links,
        "no port-channel min-links": min_links,
        "port-channel standalone-disable": _standalone(True),
        "no port-channel standalone-disable": _standalone(False),
    },
)
