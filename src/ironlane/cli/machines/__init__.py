"""`ironlane machines`: servers' whole life with real parts, on this machine, as an ordinary user.

It uses the product as an operator would: `ironlane serve` in a process of its own, a site file, the HTTP APIs. What it
says about who reaches whom, the machines and hosts in the rack found out by themselves.
"""

from ironlane.cli.machines.command import machines

__all__ = ["machines"]
