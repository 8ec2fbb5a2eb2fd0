"""`ironlane plan`: what would be sent to each switch, in its own words. Nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ironlane.cli.options import URL
from ironlane.cli.show import ask, exact, printable, step, table

TARGETS = ("cleaning", "provisioning", "tenant", "idle")


@click.command()
@click.option("--switch", help="What is pending on this switch; without it, on all of them.")
@click.option("--node", help="What moving this node (UUID or name) would change; needs --to.")
@click.option("--to", "target", type=click.Choice(TARGETS), help="Where the node would be moved.")
@click.option("--json", "as_json", is_flag=True, help="The service's answer as it is.")
@URL
def plan(*, url: str, switch: str | None, node: str | None, target: str | None, as_json: bool) -> None:
    """Show what would be sent to each switch, without sending it.

    Without options: what is pending now. With --node and --to: what moving the node would change, generation by
    generation, for what joins is sent only when what leaves was seen to be gone.
    """
    body = {key: value for key, value in (("switch", switch), ("node", node), ("target", target)) if value is not None}
    answer = ask(url, lambda client: client.request("POST", "/fabric/v1/plan", body))
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    show_plan(answer)


def show_plan(answer: Mapping[str, Any]) -> None:
    """The generations of an answer: changes in words, then the exact text for each switch."""
    generations = answer["generations"]
    if not generations:
        click.echo("nothing to send")
    for number, generation in enumerate(generations, 1):
        if len(generations) > 1:
            when = "first" if number == 1 else "once that was seen done"
            click.echo(f"# generation {number} of {len(generations)}, {when}")
        for its in generation:
            _show_switch(its)
    for its in answer["unavailable"]:
        click.echo(printable(f"switch {its['switch']} cannot be asked: {its['reason']}"), err=True)


def _show_switch(its: Mapping[str, Any]) -> None:
    switch = printable(its["switch"])
    for port in its["missing"]:
        click.echo(printable(f"# {switch}: has no port {port}"))
    for port in its["tolerated"]:
        click.echo(printable(f"# {switch}: {port} was changed by somebody else, and is left so by its policy"))
    if not its["changes"]:
        return
    click.echo(f"# {switch}: {len(its['changes'])} {'port' if len(its['changes']) == 1 else 'ports'} in one commit")
    table(("# PORT", "BEFORE", "AFTER", "NETWORK PORTS"), [_change(change) for change in its["changes"]])
    note = "" if its["exact"] else " (what the switch makes of the generation before may change details)"
    _send(f"# to {switch}{note}:", its["rendered"])


def _change(change: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = step(change["before"], change["after"])
    return f"# {change['port']}", before, after, ", ".join(change["network_ports"]) or "-"


def _send(title: str, rendered: Sequence[str]) -> None:
    click.echo(title)
    for text in rendered:
        exact(text)
    click.echo()
