"""HPE Aruba AOS-CX: no staging; `vlan trunk allowed` adds to the list; a member of a lag has no VLANs of its own."""

from __future__ import annotations

import re

from ironlane.lab.cli import blocks
from ironlane.lab.cli.blocks import BlockDevice, BlockShell
from ironlane.lab.cli.state import ALL_VLANS, DEFAULT_VLAN, Config, Interface, list_text, parse_list


class AoscxShell(BlockShell):
    device: AoscxDevice

    def refused(self, text: str) -> str:
        return f"Error: {text}\n"


class AoscxDevice(BlockDevice):
    platform = "aruba-aoscx"
    shell = AoscxShell
    lag_prefix = "lag "
    lag_max = 256
    unknown = "Invalid input: no-such-command\n"
    indent = "    "

    def factory(self) -> Config:
        return Config({name: Interface(up=False) for name in self.ports}, {1: "DEFAULT_VLAN_1"})

    def show_interface(self, interface: Interface) -> list[str]:
        lines = [f"description {interface.description}"] if interface.description else []
        lines.append("no shutdown" if interface.up else "shutdown")
        if interface.group is not None:
            return [*lines, f"lag {interface.group}"]
        if not interface.switched:
            return [*lines, "routing"]
        lines.append("no routing")
        if interface.mode == "access":
            return [*lines, f"vlan access {interface.access}"]
        allowed = "all" if interface.allowed == ALL_VLANS else list_text(interface.allowed)
        lines.append(f"vlan trunk native {interface.native}")
        return [*lines, f"vlan trunk allowed {allowed}"] if allowed else lines

    def show_head(self, name: str, interface: Interface) -> str:
        if interface.mlag is None:
            return name
        return f"{name} multi-chassis{' static' if interface.group_mode == 'static' else ''}"

    def show_lag(self, interface: Interface) -> list[str]:
        lines = self.show_interface(interface)
        if interface.group_mode == "active":
            lines.append("lacp mode active")
        if interface.rate:
            lines.append("lacp rate fast")
        if interface.fallback:
            lines.append("lacp fallback")
        return lines


def _vlans(handler: blocks.Handler) -> blocks.Handler:
    """A line about VLANs: for switched interfaces, not for members, on VLANs that are there."""

    def guarded(shell: AoscxShell, match: re.Match[str]) -> str:
        if shell.interface.group is not None:
            return "Operation not allowed on an interface that is part of a LAG\n"
        if not shell.interface.switched:
            return "Operation not allowed on a routed interface\n"
        return handler(shell, match)

    return guarded


def _known(shell: AoscxShell, text: str) -> frozenset[int] | str:
    if text == "all":
        return ALL_VLANS
    vlans = parse_list(text)
    if vlans is None:
        return shell.device.unknown
    missing = vlans - shell.config.vlans.keys()
    return f"VLAN {min(missing)} does not exist\n" if missing else vlans


def _access(shell: AoscxShell, match: re.Match[str]) -> str:
    vlans = _known(shell, match[1])
    if isinstance(vlans, str):
        return vlans
    shell.interface.mode, shell.interface.access = "access", min(vlans)
    return shell.touched()


def _trunk(port: Interface, allowed: frozenset[int]) -> None:
    if port.mode != "trunk":
        port.mode, port.native, port.allowed = "trunk", DEFAULT_VLAN, allowed


def _native(shell: AoscxShell, match: re.Match[str]) -> str:
    vlans = _known(shell, match[1]) if match.re.groups else frozenset({DEFAULT_VLAN})
    if isinstance(vlans, str):
        return vlans
    _trunk(shell.interface, ALL_VLANS)
    shell.interface.native = min(vlans)
    return shell.touched()


def _allow(shell: AoscxShell, match: re.Match[str]) -> str:
    vlans = _known(shell, match[1])
    if isinstance(vlans, str):
        return vlans
    port = shell.interface
    if port.mode != "trunk" or port.allowed == ALL_VLANS:
        _trunk(port, vlans)
        port.allowed = vlans
    else:
        port.allowed |= vlans
    return shell.touched()


def _disallow(shell: AoscxShell, match: re.Match[str]) -> str:
    vlans = parse_list(match[1])
    port = shell.interface
    if vlans is None or port.mode != "trunk":
        return shell.device.unknown
    port.allowed -= vlans
    return shell.touched()


def _multi_chassis(shell: AoscxShell, match: re.Match[str]) -> str:
    """A lag is made for both switches of a VSX pair, or for one; what there is stays what it is."""
    name, number, mode = match[1], int(match[2]), "static" if match[3] else ""
    if shell.device.lag_number(name) is None:
        return shell.device.unknown
    lag = shell.config.interfaces.get(name)
    if lag is None:
        lag = shell.config.interfaces[name] = blocks.new_lag(shell.device)
        lag.mlag, lag.group_mode = number, mode
        shell.touched()
    elif lag.mlag is None:
        return f"Operation not allowed: {name} exists and is not multi-chassis\n"
    elif (lag.group_mode == "static") is not (mode == "static"):
        return f"Operation not allowed: the mode of {name} cannot be changed\n"
    return blocks.enter_interface(shell, match)


def _join(shell: AoscxShell, match: re.Match[str]) -> str:
    number = int(match[1])
    if shell.is_lag:
        return shell.device.unknown
    if shell.device.lag_name(number) not in shell.config.interfaces:
        return f"LAG {number} does not exist\n"
    if shell.interface.group not in (None, number):
        return f"Operation not allowed: interface is a member of lag {shell.interface.group}\n"
    shell.interface.group = number
    return shell.touched()


def _part(shell: AoscxShell, match: re.Match[str]) -> str:
    port = shell.interface
    if port.group != int(match[1]):
        return f"Error: interface is not a member of lag {match[1]}\n"
    port.group, port.mode, port.access, port.native, port.allowed = None, "access", 1, 1, ALL_VLANS
    return shell.touched()


def _on_lag(handler: blocks.Handler) -> blocks.Handler:
    def guarded(shell: AoscxShell, match: re.Match[str]) -> str:
        if not shell.is_lag:
            return shell.device.unknown
        handler(shell, match)
        return shell.touched()

    return guarded


def _lacp(shell: AoscxShell, match: re.Match[str]) -> str:
    port = shell.interface
    if port.group_mode != "static":
        port.group_mode = "" if match[0].startswith("no ") else match[1]
    return ""


def _rate(shell: AoscxShell, match: re.Match[str]) -> str:
    shell.interface.rate = "fast" if match[0] == "lacp rate fast" else ""
    return ""


def _fallback(shell: AoscxShell, match: re.Match[str]) -> str:
    shell.interface.fallback = not match[0].startswith("no ")
    return ""


def _show_running(shell: AoscxShell, _: re.Match[str]) -> str:
    device = shell.device
    vlans = list_text(device.running.vlans)
    shown = device.show_interfaces(device.running).replace("!\n", "")
    return f"Current configuration:\n!\n!Version ArubaOS-CX FL.10.13\nhostname {device.hostname}\nvlan {vlans}\n{shown}"


def _save(shell: AoscxShell, match: re.Match[str]) -> str:
    blocks.save(shell, match)
    return "Copying configuration: [Success]\n"


def _checkpoint(shell: AoscxShell, match: re.Match[str]) -> str:
    done = shell.device.take_checkpoint(match[1])
    return "Copying configuration: [Success]\n" if done else shell.refused(f"checkpoint {match[1]} exists")


def _erase_checkpoint(shell: AoscxShell, match: re.Match[str]) -> str:
    gone = shell.device.checkpoints.pop(match[1], None)
    return "" if gone is not None else shell.refused(f"checkpoint {match[1]} not found")


def _rollback(shell: AoscxShell, match: re.Match[str]) -> str:
    done = shell.device.restore_checkpoint(match[1])
    return "Restoring configuration: [Success]\n" if done else shell.refused(f"checkpoint {match[1]} not found")


AoscxShell.exec_lines = blocks.compiled(
    blocks.EXEC,
    {
        "no page": blocks.nothing,
        "show running-config": _show_running,
        "write memory": _save,
        r"copy running-config checkpoint (\w+)": _checkpoint,
        r"erase checkpoint (\w+)": _erase_checkpoint,
        r"checkpoint rollback (\w+)": _rollback,
    },
)
AoscxShell.config_lines = blocks.compiled(
    blocks.CONFIG,
    {
        r"interface (lag \d+|\S+)": blocks.enter_interface,
        r"interface (lag (\d+)) multi-chassis( static)?": _multi_chassis,
        r"no interface (lag \d+)": blocks.remove_interface,
    },
)
AoscxShell.interface_lines = blocks.compiled(
    blocks.INTERFACE,
    {
        "routing": blocks.switched(False),
        "no routing": blocks.switched(True),
        r"vlan access (\d+)": _vlans(_access),
        r"vlan trunk native (\d+)": _vlans(_native),
        "no vlan trunk native": _vlans(_native),
        r"vlan trunk allowed ([\d,-]+|all)": _vlans(_allow),
        r"no vlan trunk allowed ([\d,-]+)": _vlans(_disallow),
        r"lag (\d+)": _join,
        r"no lag (\d+)": _part,
        "lacp mode (active|passive)": _on_lag(_lacp),
        "no lacp mode": _on_lag(_lacp),
        "lacp rate (fast|slow)": _on_lag(_rate),
        "no lacp rate": _on_lag(_rate),
        "lacp fallback": _on_lag(_fallback),
        "no lacp fallback": _on_lag(_fallback),
    },
)
