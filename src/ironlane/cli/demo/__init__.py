"""`ironlane demo`: the main job on a virtual site, in front of your eyes.

It uses the product as a user would: `ironlane serve` in a process of its own, a site file, the HTTP APIs. What it
prints about reachability is measured with frames through the virtual switches.
"""

from ironlane.cli.demo.command import demo

__all__ = ["demo"]
