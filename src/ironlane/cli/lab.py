"""`ironlane lab`: a virtual data centre on this machine, to try things on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import click

from ironlane.cli.log import LEVELS, configure
from ironlane.cli.options import URL
from ironlane.cli.site import load, secret_reader
from ironlane.model.errors import IronlaneError
from ironlane.site.types import Site


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@URL
@click.option(
    "--secrets-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of files named like the secrets; IRONLANE_SECRET_<NAME> comes first.",
)
@click.option("--log-level", type=click.Choice(LEVELS), default="warning", show_default=True)
@click.option(
    "--gateway-port",
    type=click.IntRange(0, 65535),
    default=9799,
    show_default=True,
    help="TCP port of the HTTP proxy to the servers' agents; 0 takes any free one.",
)
def lab(file: Path, url: str, secrets_dir: Path | None, log_level: str, gateway_port: int) -> None:
    """Pretend the racks of site file FILE until SIGTERM or SIGINT.

    Switches speak NETCONF or gNMI and forward frames, BMCs speak Redfish, servers boot over the virtual network and
    report to the service at URL. No root, no daemon: all of it is in this process.
    """
    configure(log_level)
    site = load(file)
    try:
        asyncio.run(_run(site, secret_reader(secrets_dir), url, gateway_port))
    except (IronlaneError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


async def _run(site: Site, read_secret: Callable[[str], str], url: str, gateway_port: int) -> None:
    from ironlane.cli.virtual import environment, running_gateway, virtual_rack
    from ironlane.lab.from_site import describe

    description = describe(site, read_secret)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_gateway(gateway_port) as gateway, virtual_rack(description, url, gateway) as rack:
        for name, server in rack.netconf.items():
            click.echo(f"switch {name:<16} NETCONF at 127.0.0.1 port {server.port}")
        for name, switch in rack.gnmi.items():
            click.echo(f"switch {name:<16} gNMI at 127.0.0.1 port {switch.port}")
        if rack.redfish is not None:
            click.echo(f"BMCs of {len(rack.servers)} servers      Redfish at {rack.redfish.url}")
        settings = " ".join(f"{name}={value}" for name, value in environment(description, gateway).items())
        click.echo(f"start the service with  {settings}")
        image = " ".join(f"--instance-info {name}={value}" for name, value in gateway.instance_info.items())
        click.echo(f"an image to deploy      {image}")
        await stop.wait()
