"""The dialects by the name of their platform."""

from __future__ import annotations

from collections.abc import Mapping

from ironlane.lab.cli.device import Device
from ironlane.lab.cli.eos import EosDevice
from ironlane.lab.cli.iosxe import IosxeDevice
from ironlane.lab.cli.junos import JunosDevice
from ironlane.lab.cli.nxos import NxosDevice

_DIALECTS: tuple[type[Device], ...] = (EosDevice, IosxeDevice, JunosDevice, NxosDevice)
PLATFORMS: Mapping[str, type[Device]] = {device.platform: device for device in _DIALECTS}
