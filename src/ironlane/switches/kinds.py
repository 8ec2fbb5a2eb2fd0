"""The switch drivers by the name that the site file uses. Adding a kind of switch is a line here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ironlane.model.inventory import SwitchKind
from ironlane.switches.base import Access, SwitchDriver
from ironlane.switches.cli.driver import CliDriver
from ironlane.switches.openconfig.driver import OpenConfigDriver
from ironlane.switches.openflow import OpenFlowDriver
from ironlane.switches.openvswitch import OpenVSwitchDriver


def _gnmi(access: Access) -> SwitchDriver:
    """Its library is the heaviest of all, so it is loaded when a switch needs it. What it raises it also writes to
    stderr, unless told not to."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from ironlane.switches.gnmi import GnmiDriver

    return GnmiDriver(access)


KINDS: Mapping[str, Callable[[Access], SwitchDriver]] = {
    SwitchKind.OPENVSWITCH: OpenVSwitchDriver,
    SwitchKind.OPENCONFIG: OpenConfigDriver,
    SwitchKind.GNMI: _gnmi,
    SwitchKind.CLI: CliDriver,
    SwitchKind.OPENFLOW: OpenFlowDriver,
}
