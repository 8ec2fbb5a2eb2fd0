"""The switch drivers by the name that the site file uses. Adding a kind of switch is a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ironlane.model.inventory import SwitchKind
from ironlane.switches.base import Access, SwitchDriver
from ironlane.switches.cli.driver import CliDriver
from ironlane.switches.openconfig.driver import OpenConfigDriver
from ironlane.switches.openflow import OpenFlowDriver
from ironlane.switches.openvswitch import OpenVSwitchDriver

KINDS: Mapping[str, Callable[[Access], SwitchDriver]] = {
    SwitchKind.OPENVSWITCH: OpenVSwitchDriver,
    SwitchKind.OPENCONFIG: OpenConfigDriver,
    SwitchKind.CLI: CliDriver,
    SwitchKind.OPENFLOW: OpenFlowDriver,
}
