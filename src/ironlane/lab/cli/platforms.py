"""The dialects by the name of their platform."""

from __future__ import annotations

from collections.abc import Mapping

from ironlane.lab.cli.aoscx import AoscxDevice
from ironlane.lab.cli.device import Device
from ironlane.lab.cli.eos import EosDevice
from ironlane.lab.cli.iosxe import IosxeDevice
from ironlane.lab.cli.junos import JunosDevice
from ironlane.lab.cli.nvue import NvueDevice
from ironlane.lab.cli.nxos import NxosDevice
from ironlane.lab.cli.os10 import Os10Device
from ironlane.lab.cli.sonic import SonicDevice

_DIALECTS: tuple[type[Device], ...] = (
    AoscxDevice,
    EosDevice,
    IosxeDevice,
    JunosDevice,
    NvueDevice,
    NxosDevice,
    Os10Device,
    SonicDevice,
)
PLATFORMS: Mapping[str, type[Device]] = {device.platform: device for device in _DIALECTS}
