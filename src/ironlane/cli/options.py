"""Options that several commands have."""

from __future__ import annotations

import click

URL = click.option(
    "--url",
    default="http://127.0.0.1:9797",
    envvar="IRONLANE_URL",
    show_default=True,
    help="Address of the running service.",
)

SECTIONS = ("physical-networks", "networks", "switches", "nodes")
"""The sections of a site file that are applied, in the order in which they need each other."""
