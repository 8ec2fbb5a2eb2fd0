"""Switches that speak the OpenConfig models over NETCONF: `OpenConfigDriver`.

`leaves`, `edit`, `meaning` and `names` are OpenConfig's, whatever the encoding; `switches.gnmi` builds on them too.
"""

from __future__ import annotations

from ironlane.switches.openconfig.driver import OpenConfigDriver

__all__ = ["OpenConfigDriver"]
