"""The command: into namespaces of its own, then through the servers' life."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import click

from ironlane.cli.log import configure
from ironlane.model.errors import IronlaneError


@click.command()
@click.option("--servers", type=click.IntRange(1, 2), default=2, show_default=True, help="How many; each is a QEMU.")
@click.option("--inside", type=click.Path(file_okay=False, path_type=Path), hidden=True)
def machines(servers: int, inside: Path | None) -> None:
    """Take QEMU machines through their whole life: IPMI and Redfish, PXE, Open vSwitch, dnsmasq, images on disks.

    Two servers go from enroll to active on two tenants' networks, and back to available. Needs no root, no KVM and no
    network, but packages (docs/lab.md). Logs and consoles are kept. Exits with 1 if anything is not as it has to be.
    """
    from ironlane.lab.machines.programs import NAMESPACE, program, why_not

    configure("error")
    if inside is None:
        if reason := why_not():
            raise click.ClickException(reason)
        # Sockets are in there, whose paths must be short.
        folder = tempfile.mkdtemp(prefix="ironlane-machines-", dir="/tmp")
        again = (sys.executable, "-m", "ironlane", "machines", "--servers", str(servers), "--inside", folder)
        sys.stdout.flush()
        os.execv(program("unshare"), [*NAMESPACE, *again])  # noqa: S606 - no shell is wanted
    from ironlane.cli.machines.life import run

    try:
        sound = asyncio.run(run(inside, servers))
    except IronlaneError as error:
        click.echo(f"failed: {error.message}", err=True)
        sound = False
    click.echo(f"logs and consoles: {inside}")
    sys.exit(0 if sound else 1)
