"""Switches that speak the OpenConfig models over NETCONF: `OpenConfigDriver`."""

from __future__ import annotations

from ironlane.switches.openconfig.driver import OpenConfigDriver

__all__ = ["OpenConfigDriver"]
