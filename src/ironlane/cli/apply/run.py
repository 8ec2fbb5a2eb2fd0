"""Applying a site file, section by section."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

from ironlane.cli.apply import baremetal, fabric, networking
from ironlane.cli.apply.baremetal import ReadSecret
from ironlane.cli.apply.outcome import Outcome
from ironlane.cli.client import Client
from ironlane.cli.options import SECTIONS
from ironlane.site.types import Site


async def apply(
    client: Client,
    site: Site,
    read_secret: ReadSecret,
    *,
    dry_run: bool,
    new_passwords: bool,
    only: Collection[str] = SECTIONS,
) -> AsyncIterator[Outcome]:
    """Apply the sections `only` of a site file, telling each outcome as soon as its section is through.

    Raises:
        Unreachable: the service does not answer.
        Permanent: a secret is needed and not there.
    """
    sections: Mapping[str, Callable[[], Awaitable[list[Outcome]]]] = {
        "physical-networks": lambda: fabric.physical_networks(client, site, dry_run=dry_run),
        "networks": lambda: networking.networks(client, site, dry_run=dry_run),
        "switches": lambda: fabric.switches(client, site, dry_run=dry_run),
        "nodes": lambda: baremetal.nodes(client, site, read_secret, dry_run=dry_run, new_passwords=new_passwords),
    }
    for name in SECTIONS:
        if name in only:
            for outcome in await sections[name]():
                yield outcome
