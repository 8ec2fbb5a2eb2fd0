"""Switches that are configured through their command line: `CliDriver`, and one data file for each platform.

`platform` is the form of those files, `platforms/` holds them, `write` makes a plan into lines, `read` makes a switch's
answer into port configs, `session` talks. No module knows a platform.
"""

from __future__ import annotations

from ironlane.switches.cli.driver import CliDriver

__all__ = ["CliDriver"]
