"""The power drivers by the names that a node's `driver` field uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ironlane.power.base import PowerDriver
from ironlane.power.fake import FakePower
from ironlane.power.ipmi import IpmiPower
from ironlane.power.redfish import RedfishPower

DRIVERS: Mapping[str, Callable[[], PowerDriver]] = {
    "ipmi": IpmiPower,
    "redfish": RedfishPower,
    "fake-hardware": FakePower,
}
"""One instance of a driver serves all nodes that name it; whoever makes one must `close()` it."""
