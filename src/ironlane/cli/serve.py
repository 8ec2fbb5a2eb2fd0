"""`ironlane serve`: the three APIs and a conductor in one process."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
from pathlib import Path
from typing import Any

import click

from ironlane.cli.log import LEVELS, configure
from ironlane.model.errors import IronlaneError


@click.command()
@click.option("--database", "database_url", help="SQLAlchemy URL; a file of SQLite is sqlite:///FILE.")
@click.option("--host", help="Loopback address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0 takes any free one.  [default: 9797]")
@click.option("--hostname", help="This conductor's name.")
@click.option(
    "--secrets-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of files named like the secrets; IRONLANE_SECRET_<NAME> comes first.",
)
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
def serve(log_level: str, **overrides: Any) -> None:
    """Run the service until SIGTERM or SIGINT.

    All settings are read from the environment as IRONLANE_<NAME> (see ironlane/settings.py); the options here override
    a few. After a crash, just start it again: everything goes on from the rows.
    """
    configure(log_level)
    _allow_files()
    import uvloop
    from pydantic import ValidationError

    from ironlane.service import Server
    from ironlane.settings import Settings

    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise click.ClickException(_told(error)) from None

    async def run() -> None:
        server = Server(settings)
        # uvicorn raises the signals that it was stopped by once more: unhandled, they would end the process before the
        # work in hand is finished and the lease given up.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        announcing = asyncio.create_task(_announce(server))
        try:
            await server.run()
        finally:
            announcing.cancel()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except IronlaneError as error:
        raise click.ClickException(error.message) from error


def _allow_files() -> None:
    """Every switch that is spoken to is an open file, and the usual 1024 are few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _told(error: Any) -> str:
    """What is wrong with which settings; without the values, which may be secret."""
    problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
    return "settings: " + "; ".join(problems)


def _collect_seldom() -> None:
    """Python looks for cyclic garbage after every 700 new objects, and ever again at all that was there before; busy
    with many switches, that is a tenth of the time. What is there once the service has started stays for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


async def _announce(server: Any) -> None:
    url = await server.listening()
    _collect_seldom()
    for name in ("networking", "baremetal", "fabric"):
        click.echo(f"{name:<12}{url}/{name}")
