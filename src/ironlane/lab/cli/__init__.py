"""The virtual rack's switches with a command line: `CliSwitch` speaks the dialect of one platform over SSH.

`state` is what is configured and what it means for frames, `device` what all command lines have in common; the other
modules are the dialects: which lines each takes, which it refuses and in which words, how it shows what runs. Written
from the vendors' manuals: nothing here is shared with the driver that it is there to test.
"""

from __future__ import annotations

from ironlane.lab.cli.platforms import PLATFORMS
from ironlane.lab.cli.server import CliSwitch, Faults

__all__ = ["PLATFORMS", "CliSwitch", "Faults"]
