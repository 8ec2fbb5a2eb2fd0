"""The `ironlane` command."""

from __future__ import annotations

import click

from ironlane.cli.cabling import cabling
from ironlane.cli.demo import demo
from ironlane.cli.drift import drift
from ironlane.cli.history import history
from ironlane.cli.lab import lab
from ironlane.cli.machines import machines
from ironlane.cli.plan import plan
from ironlane.cli.restore import restore
from ironlane.cli.serve import serve
from ironlane.cli.site import site
from ironlane.cli.switch import switch
from ironlane.cli.takeover.command import import_


@click.group()
@click.version_option(package_name="ironlane")
def main() -> None:
    """The bare-metal network service: puts servers on networks, and proves that they are nowhere else."""


for command in (serve, site, switch, plan, drift, cabling, history, restore, import_, lab, demo, machines):
    main.add_command(command)
