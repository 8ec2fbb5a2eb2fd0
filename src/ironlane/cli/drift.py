"""`ironlane drift`: what somebody else changed on our ports."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from ironlane.cli.options import URL
from ironlane.cli.show import ask, get, moment, printable, step, table

if TYPE_CHECKING:
    from ironlane.cli.client import Client

_PATIENCE = 60.0
"""Seconds that an audit may take."""


@click.command()
@click.option("--switch", help="Of this switch only.")
@click.option("--all", "every", is_flag=True, help="Also those that are gone or repaired.")
@click.option("--audit", is_flag=True, help="Have the switches read first, and wait for it.")
@URL
def drift(*, url: str, switch: str | None, every: bool, audit: bool) -> None:
    """Show the changes on our switch ports that were not ours: what should be, and what was found.

    With --audit, exits with 1 when a switch could not be read.
    """
    unread = ask(url, lambda client: _audit(client, switch)) if audit else {}
    query = {key: value for key, value in (("switch", switch), ("open", None if every else "true")) if value}
    found = get(url, "/fabric/v1/drifts", query)["drifts"]
    if found:
        table(("FOUND AT", "SWITCH", "PORT", "SHOULD BE", "WAS FOUND", "STATE"), [_row(item) for item in found])
    else:
        click.echo("no drift" if every else "no drift is open")
    for name, reason in unread.items():
        click.echo(printable(f"switch {name} could not be read: {reason}"), err=True)
    if unread:
        sys.exit(1)


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    expected, found = step(item["expected"], item["found"])
    state = "open" if item["resolved_at"] is None else f"{item['resolution']} {moment(item['resolved_at'])}"
    return moment(item["found_at"]), item["switch"], item["port"], expected, found, state


async def _audit(client: Client, switch: str | None) -> dict[str, str]:
    """Have one switch read, or all, and wait until that is done; returns those that could not be read, with why."""
    if switch is not None:
        asked = [await client.request("POST", f"/fabric/v1/switches/{quote(switch, safe='')}/audit")]
    else:
        asked = (await client.get("/fabric/v1/switches"))["switches"]
        await client.request("POST", "/fabric/v1/audit")
    attempts = {item["name"]: item["attempts"] for item in asked}
    waiting, unread = set(attempts), dict[str, str]()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    while waiting and loop.time() < deadline:
        for item in (await client.get("/fabric/v1/switches"))["switches"]:
            name = item["name"]
            if name in waiting and item["audit_due"] and item["attempts"] > attempts[name]:
                unread[name] = item["reason"]
            elif name in waiting and item["audit_due"]:
                continue
            waiting.discard(name)
        await asyncio.sleep(0.1)
    return unread | dict.fromkeys(sorted(waiting), f"not done within {_PATIENCE:g} s; is a conductor running?")
