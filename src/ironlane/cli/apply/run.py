"""The sections of a file in the order in which they need each other."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ironlane.cli.apply import baremetal, fabric, networking
from ironlane.cli.apply.baremetal import ReadSecret
from ironlane.cli.apply.outcome import Outcome
from ironlane.cli.client import Client
from ironlane.site.types import Site


async def apply(
    client: Client, site: Site, read_secret: ReadSecret, *, dry_run: bool, new_passwords: bool
) -> AsyncIterator[Outcome]:
    """Apply a site file, telling each outcome as soon as its section is through.

    Raises:
        Unreachable: the service does not answer.
        Permanent: a secret is needed and not there.
    """
    sections = (
        fabric.physical_networks(client, site, dry_run=dry_run),
        networking.networks(client, site, dry_run=dry_run),
        fabric.switches(client, site, dry_run=dry_run),
        baremetal.nodes(client, site, read_secret, dry_run=dry_run, new_passwords=new_passwords),
    )
    started = 0
    try:
        for section in sections:
            started += 1
            for outcome in await section:
                yield outcome
    finally:
        for section in sections[started:]:
            section.close()
