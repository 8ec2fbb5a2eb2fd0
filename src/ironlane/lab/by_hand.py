"""Somebody else at a virtual switch: a port shut, opened or put on a VLAN by hand, as its operator would type it.

On a command line the lines go through a shell of the platform; where there are models, a session of its own edits them.
Each function answers whether the switch took it: while another session has staged configuration, it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from ironlane.lab.cli import CliSwitch
from ironlane.lab.cli.device import Device
from ironlane.lab.gnmi import GnmiServer
from ironlane.lab.netconf import NetconfServer, openconfig
from ironlane.lab.netconf.datastore import RpcFault
from ironlane.lab.netconf.schema import NAMESPACES, NETCONF

ControlPlane = NetconfServer | GnmiServer | CliSwitch

_SESSION = 0x7FFF_FFFF
"""Number of the session that edits over NETCONF; clients' are counted from 1."""


@dataclass(frozen=True, slots=True)
class _Words:
    """What an operator types. `port` and `vlan` may be named in braces."""

    begin: Sequence[str] = ("configure terminal",)
    shut: Sequence[str] = ("interface {port}", "shutdown")
    open: Sequence[str] = ("interface {port}", "no shutdown")
    vlan: Sequence[str] = (
        "vlan {vlan}",
        "interface {port}",
        "switchport",
        "switchport access vlan {vlan}",
        "switchport mode access",
        "no shutdown",
    )
    undefine: Sequence[str] = ("no vlan {vlan}",)
    """Where a VLAN that ports are on cannot be taken away: nothing."""
    end: Sequence[str] = ("end",)


_JUNOS_VLAN = "unit 0 family ethernet-switching"
_WORDS: Mapping[str, _Words] = {
    "arista-eos": _Words(),
    "cisco-iosxe": _Words(),
    "cisco-nxos": _Words(),
    "dell-os10": _Words(
        undefine=(),
        vlan=(
            "interface vlan{vlan}",
            "interface {port}",
            "switchport mode access",
            "switchport access vlan {vlan}",
            "no shutdown",
        ),
    ),
    "aruba-aoscx": _Words(
        vlan=("vlan {vlan}", "interface {port}", "no routing", "vlan access {vlan}", "no shutdown"),
    ),
    "sonic": _Words(
        undefine=(),
        begin=(),
        shut=("sudo config interface shutdown {port}",),
        open=("sudo config interface startup {port}",),
        vlan=(
            "sudo config vlan add {vlan}",
            "sudo config switchport mode access {port}",
            "sudo config vlan member add -u {vlan} {port}",
            "sudo config interface startup {port}",
        ),
        end=(),
    ),
    "juniper-junos": _Words(
        undefine=(),
        begin=("configure",),
        shut=("set interfaces {port} disable",),
        open=("delete interfaces {port} disable",),
        vlan=(
            "set vlans by-hand-{vlan} vlan-id {vlan}",
            "delete interfaces {port} disable",
            f"delete interfaces {{port}} {_JUNOS_VLAN}",
            f"set interfaces {{port}} {_JUNOS_VLAN} interface-mode access",
            f"set interfaces {{port}} {_JUNOS_VLAN} vlan members {{vlan}}",
        ),
        end=("commit and-quit", "rollback 0", "exit configuration-mode"),
    ),
    "nvidia-cumulus": _Words(
        undefine=(),
        begin=(),
        shut=("nv set interface {port} link state down",),
        open=("nv set interface {port} link state up",),
        vlan=(
            "nv set bridge domain br_default vlan {vlan}",
            "nv unset interface {port} bridge",
            "nv set interface {port} bridge domain br_default access {vlan}",
            "nv set interface {port} link state up",
        ),
        end=("nv config apply -y",),
    ),
}


def busy(plane: ControlPlane) -> bool:
    """Whether what is changed by hand now would be lost: some session has staged configuration, or the lock, or the
    switch does not do what it is told."""
    if not isinstance(plane, CliSwitch):
        return plane.configuration.in_use or plane.configuration.deaf
    device = plane.device
    if device.deaf or device.pretending:
        return True
    staged = getattr(device, "pending", None) or getattr(device, "staged", None)
    return bool(staged) or device.locked_by is not None


def shut(plane: ControlPlane, port: str) -> bool:
    """Shut a port."""
    return _enable(plane, port, False)


def reopen(plane: ControlPlane, port: str) -> bool:
    """Open a port."""
    return _enable(plane, port, True)


def put_on(plane: ControlPlane, port: str, vlan: int) -> bool:
    """Make a single port an access port on a VLAN, and open it."""
    if busy(plane):
        return False
    if isinstance(plane, CliSwitch):
        _type(plane.device, _WORDS[plane.device.platform].vlan, port, vlan)
        interface = plane.device.running.interfaces[port]
        return interface.up and interface.carried([vlan])[0] == vlan
    oc, eth, lan, ni = (NAMESPACES[name] for name in ("oc-if", "oc-eth", "oc-vlan", "oc-netinst"))
    return _edit(
        plane,
        f'<interfaces xmlns="{oc}"><interface><name>{port}</name><config><name>{port}</name><enabled>true</enabled>'
        f'</config><ethernet xmlns="{eth}"><switched-vlan xmlns="{lan}" xmlns:nc="{NETCONF}"'
        f' nc:operation="replace"><config><interface-mode>ACCESS</interface-mode><access-vlan>{vlan}</access-vlan>'
        f"</config></switched-vlan></ethernet></interface></interfaces>"
        f'<network-instances xmlns="{ni}"><network-instance><name>default</name><vlans><vlan><vlan-id>{vlan}</vlan-id>'
        f"<config><vlan-id>{vlan}</vlan-id></config></vlan></vlans></network-instance></network-instances>",
    )


def undefine(plane: ControlPlane, vlan: int) -> bool:
    """Take a VLAN away; ports that were on it stay configured so, and forward nothing. False where that cannot be."""
    if busy(plane):
        return False
    if not isinstance(plane, CliSwitch):
        return _edit(
            plane,
            f'<network-instances xmlns="{NAMESPACES["oc-netinst"]}" xmlns:nc="{NETCONF}"><network-instance>'
            f'<name>default</name><vlans><vlan nc:operation="remove"><vlan-id>{vlan}</vlan-id></vlan></vlans>'
            "</network-instance></network-instances>",
        )
    device = plane.device
    if vlan in device.running.vlans:
        _type(device, _WORDS[device.platform].undefine, "", vlan)
    return vlan not in device.running.vlans


def _enable(plane: ControlPlane, port: str, up: bool) -> bool:
    if busy(plane):
        return False
    if isinstance(plane, CliSwitch):
        words = _WORDS[plane.device.platform]
        _type(plane.device, words.open if up else words.shut, port, 0)
        return plane.device.running.interfaces[port].up is up
    return _edit(
        plane,
        f'<interfaces xmlns="{NAMESPACES["oc-if"]}"><interface><name>{port}</name><config><name>{port}</name>'
        f"<enabled>{str(up).lower()}</enabled></config></interface></interfaces>",
    )


def _type(device: Device, lines: Sequence[str], port: str, vlan: int) -> None:
    words, shell = _WORDS[device.platform], device.login()
    for line in (*words.begin, *lines, *words.end):
        shell.execute(line.format(port=port, vlan=vlan))
    shell.hang_up()


def _edit(plane: NetconfServer | GnmiServer, content: str) -> bool:
    configuration = plane.configuration
    try:
        configuration.lock("candidate", _SESSION)
    except RpcFault:
        return False
    try:
        configuration.edit(_SESSION, etree.fromstring(f"<config>{content}</config>"), "merge")
        if isinstance(plane, GnmiServer) and plane.strict:
            openconfig.check_strictly(configuration.read("candidate"))
        configuration.commit(_SESSION)
    except RpcFault:
        return False
    finally:
        configuration.end_session(_SESSION)
    return True
