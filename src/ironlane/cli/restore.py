"""`ironlane restore`: tenants' network ports back to what they were bound to at a moment; as a plan first."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from ironlane.cli.options import URL
from ironlane.cli.plan import show_plan
from ironlane.cli.show import Time, ask, printable, table


@click.command()
@click.option("--at", type=Time(), required=True, help="The moment: ISO 8601, or how long ago, such as -15m.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@URL
def restore(*, url: str, at: datetime, yes: bool) -> None:
    """Bind tenants' network ports to what they were bound to at a moment, all or none of them.

    First shows what is done with each network port and what is sent to each switch for it; nothing is done before you
    have agreed. Exits with 1 when something is in the way.
    """
    body = {"at": at.isoformat()}
    plan = ask(url, lambda client: client.request("POST", "/fabric/v1/restore", body))
    _show(plan)
    if any(action["conflict"] for action in plan["actions"]):
        raise click.ClickException("nothing is done while there are conflicts")
    if not plan["actions"]:
        return
    if not yes:
        if not sys.stdin.isatty():
            click.echo("This is only the plan; --yes does it.")
            return
        click.confirm("Do it?", abort=True)
    order = {**body, "dry_run": False, "token": plan["token"]}
    done = ask(url, lambda client: client.request("POST", "/fabric/v1/restore", order))
    count = len(done["actions"])
    click.echo(f"{count} network {'port is' if count == 1 else 'ports are'} to be as then; the switches follow")


def _show(plan: Mapping[str, Any]) -> None:
    if plan["actions"]:
        table(("ACTION", "NETWORK PORT", "NOW", "THEN", "CONFLICT"), [_row(action) for action in plan["actions"]])
    else:
        click.echo("nothing to restore")
    for item in plan["not_restorable"]:
        held = _told(item["binding"])
        click.echo(printable(f"cannot be restored: network port {item['network_port']} ({held}): {item['reason']}"))
    if plan["actions"]:
        click.echo()
        show_plan(plan)


def _row(action: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        action["action"],
        action["network_port"],
        _told(action["before"]),
        _told(action["after"]),
        action["conflict"] or "-",
    )


def _told(binding: Mapping[str, Any] | None) -> str:
    if binding is None:
        return "not bound"
    links = " + ".join(f"{link['switch']}/{link['port']}" for link in binding["links"])
    bundle = f" ({binding['bundle']})" if binding["bundle"] else ""
    return f"{links}{bundle} for {binding['host']}"
