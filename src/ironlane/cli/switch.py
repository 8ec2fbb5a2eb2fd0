"""`ironlane switch`: what the service knows of its switches, and who is on their ports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ironlane.cli.options import URL
from ironlane.model.errors import IronlaneError


@click.group()
def switch() -> None:
    """The switches that Ironlane manages."""


@switch.command(name="list")
@URL
def list_(url: str) -> None:
    """All switches, and how far each is from what it should be."""
    rows = [
        (
            s["name"],
            s["kind"],
            s["rack"] or "-",
            s["state"],
            f"{s['applied_generation']}/{s['generation']}",
            s["reason"],
        )
        for s in _get(url, "/fabric/v1/switches")["switches"]
    ]
    _table(("NAME", "KIND", "RACK", "STATE", "APPLIED", "REASON"), rows)


@switch.command()
@click.argument("name")
@URL
def show(name: str, url: str) -> None:
    """One switch, and what its ports carry."""
    from urllib.parse import quote

    found = _get(url, f"/fabric/v1/switches/{quote(name, safe='')}")
    for key, value in found.items():
        if key not in ("ports", "options") and value not in (None, ""):
            click.echo(f"{key:<20}{value}")
    for key, value in found["options"].items():
        click.echo(f"{'options.' + key:<20}{value}")
    ports = _get(url, f"/fabric/v1/switches/{quote(name, safe='')}/ports")["ports"]
    click.echo()
    _table(("PORT", "CARRIES", "LAG", "WANTED", "HOST"), [_port_row(port) for port in ports])


def _port_row(port: Mapping[str, Any]) -> tuple[str, ...]:
    attachments = port["attachments"]
    wanted = ", ".join(f"{a['vlan']}{' tagged' if a['tagged'] else ''} ({a['state']})" for a in attachments)
    hosts = sorted({a["host"] for a in attachments})
    lag = (port["observed"] or {}).get("lag")
    return (
        port["name"],
        _carries(port["observed"]),
        str(lag["number"]) if lag else "-",
        wanted or "idle",
        ", ".join(hosts) or "-",
    )


def _carries(config: Mapping[str, Any] | None) -> str:
    """What a port was last seen to carry, in a few words."""
    if config is None:
        return "not read yet"
    if not config["enabled"]:
        return "shut"
    parts = [] if config["untagged"] is None else [str(config["untagged"])]
    parts += [f"{vlan}t" for vlan in config["tagged"]]
    return ",".join(parts) or "nothing"


def _get(url: str, path: str) -> Any:
    from ironlane.cli.client import Client

    async def ask() -> Any:
        async with Client(url) as client:
            return await client.get(path)

    try:
        return asyncio.run(ask())
    except IronlaneError as error:
        raise click.ClickException(error.message) from error


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as their widest value. What a terminal would act on in a value is shown, not sent."""
    shown = [titles, *(tuple(_printable(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(titles))]
    for row in shown:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
