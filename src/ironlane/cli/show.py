"""Asking a running service, and showing what it says on a terminal."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ironlane.model.errors import IronlaneError

if TYPE_CHECKING:
    from ironlane.cli.client import Client

T = TypeVar("T")

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Time(click.ParamType[datetime]):
    """A moment: ISO 8601 (without an offset it is this machine's time), or how long ago: `-15m`, `-2h`, `-1d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        ago = re.fullmatch(r"-(\d{1,6})([smhdw])", value)
        try:
            if ago is not None:
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither ISO 8601 (2026-11-22T15:00:00Z) nor like -15m, -2h, -1d", param, ctx)


def ask(url: str, question: Callable[[Client], Awaitable[T]]) -> T:
    """Run `question` on a session with the service at `url`.

    Raises:
        click.ClickException: the service refused, or did not answer.
    """
    from ironlane.cli.client import Client

    async def asking() -> T:
        async with Client(url) as client:
            return await question(client)

    try:
        return asyncio.run(asking())
    except IronlaneError as error:
        raise click.ClickException(printable(error.message)) from error


def get(url: str, path: str, query: Mapping[str, str] | None = None) -> Any:
    """One answer of the service."""
    return ask(url, lambda client: client.get(path, query))


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest value. What a terminal would act on in a value is shown, not sent."""
    shown = [tuple(titles), *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(titles))]
    for row in shown:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def exact(text: str) -> None:
    """A text byte for byte; on a terminal without what the terminal would act on."""
    if sys.stdout.isatty():
        text = "\n".join(printable(line) for line in text.splitlines())
    click.echo(text)


def printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def moment(value: str | None) -> str:
    """A time of the API in UTC, to the second."""
    return "-" if value is None else f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def step(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, str]:
    """What a port carries before and after, in words; with as much detail as it takes to tell them apart."""
    told = _words(before), _words(after)
    if told[0] != told[1]:
        return told
    named = [key for key in before if before[key] != after.get(key)]
    return _detailed(told[0], before, named), _detailed(told[1], after, named)


def _detailed(words: str, config: Mapping[str, Any], keys: Sequence[str]) -> str:
    return f"{words} ({', '.join(f'{key}: {config[key]}' for key in keys)})"


def _words(config: Mapping[str, Any]) -> str:
    carried = [] if config["untagged"] is None else [f"VLAN {config['untagged']}"]
    if config["tagged"]:
        carried.append(f"tagged {', '.join(str(vlan) for vlan in config['tagged'])}")
    if not config["enabled"]:
        return f"shut ({', '.join(carried)})" if carried else "shut"
    if config["lag"]:
        carried.append(f"in LAG {config['lag']['number']}")
    return ", ".join(carried) or "no VLAN"
