"""Switches that speak the OpenConfig models over gNMI: `GnmiDriver`. Importing it loads gRPC."""

from __future__ import annotations

from ironlane.switches.gnmi.driver import GnmiDriver

__all__ = ["GnmiDriver"]
