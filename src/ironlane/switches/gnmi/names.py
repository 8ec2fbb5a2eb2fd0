"""The driver's options that are gNMI's."""

from __future__ import annotations

from dataclasses import dataclass

from ironlane.switches.openconfig.names import Dialect


@dataclass(frozen=True, slots=True)
class GnmiDialect(Dialect):
    """What differs between OpenConfig switches that speak gNMI."""

    target: str = ""
    """`prefix.target` of every request; SONiC wants "OC-YANG"."""
    origin: str = ""
    """`prefix.origin` of every request; empty is OpenConfig's (gNMI specification section 2.2.2.1), some want it said:
    "openconfig"."""
