"""`ironlane site`: checking a site file, and making a running service know what it says."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ironlane.cli.apply.outcome import counted
from ironlane.cli.options import SECTIONS, URL
from ironlane.model.errors import IronlaneError
from ironlane.site.check import BrokenSite, read_site
from ironlane.site.types import Site

if TYPE_CHECKING:
    from ironlane.cli.apply.baremetal import ReadSecret

CONDUCTOR_NETWORKS = ("cleaning", "provisioning")
"""Names of the networks that a conductor uses unless it is told otherwise."""

_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group()
def site() -> None:
    """The site file: racks, switches, servers and their cabling (docs/site-file.md)."""


@site.command()
@_FILE
def check(file: Path) -> None:
    """Tell everything that is wrong with FILE, or that it is in order. Talks to nobody."""
    found = load(file)
    counts = (
        counted(len(found.physical_networks), "physical network"),
        counted(len(found.networks), "network"),
        counted(len(found.switches), "switch", "switches"),
        counted(len(found.nodes), "node"),
    )
    click.echo(f"{file}: {', '.join(counts)}: ok")
    names = {network.name for network in found.networks}
    for name in CONDUCTOR_NETWORKS:
        if name not in names:
            click.echo(f"note: no network is named {name}; tell the conductor with IRONLANE_{name.upper()}_NETWORK")


@site.command()
@_FILE
@URL
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option(
    "--only", multiple=True, type=click.Choice(SECTIONS), help="Apply this section only; may be given several times."
)
@click.option("--new-passwords", is_flag=True, help="Send BMC passwords again; the service does not show them.")
@click.option(
    "--secrets-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of files named like the secrets; IRONLANE_SECRET_<NAME> comes first.",
)
def apply(
    *, file: Path, url: str, dry_run: bool, only: tuple[str, ...], new_passwords: bool, secrets_dir: Path | None
) -> None:
    """Enrol what FILE says with a running service, and change what has changed. Deletes nothing."""
    found = load(file)
    applying = _apply(
        found,
        url,
        secret_reader(secrets_dir),
        dry_run=dry_run,
        only=only or SECTIONS,
        new_passwords=new_passwords,
    )
    try:
        counts = asyncio.run(applying)
    except IronlaneError as error:
        raise click.ClickException(error.message) from error
    summary = ", ".join(f"{number} {action}" for action, number in counts.items()) or "nothing to do"
    click.echo(f"{'would be: ' if dry_run else ''}{summary}")
    if counts["failed"]:
        sys.exit(1)


def load(file: Path) -> Site:
    """Read a site file; prints its problems and exits with 1 when it has any."""
    try:
        return read_site(file.read_text(encoding="utf-8"))
    except BrokenSite as broken:
        for problem in broken.problems:
            click.echo(problem.show(str(file)), err=True)
    except UnicodeDecodeError as error:
        click.echo(f"{file}:1: is not UTF-8 text: {error.reason} at byte {error.start}", err=True)
    sys.exit(1)


async def _apply(found: Site, url: str, read_secret: ReadSecret, **how: Any) -> Counter[str]:
    from ironlane.cli.apply.run import apply as run
    from ironlane.cli.client import Client

    counts: Counter[str] = Counter()
    async with Client(url) as client:
        async for outcome in run(client, found, read_secret, **how):
            counts[outcome.action.value] += 1
            for line in outcome.lines():
                click.echo(line)
    return counts


def secret_reader(directory: Path | None) -> ReadSecret:
    """Reads secrets by name, from the environment or the directory."""
    from ironlane.settings import Settings

    settings = Settings() if directory is None else Settings(secrets_dir=directory)
    return settings.read_secret
