"""`ironlane cabling`: where each NIC is on record, and where LLDP has seen it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ironlane.cli.options import URL
from ironlane.cli.show import get, moment, printable, table


@click.command()
@click.option("--node", help="Of this node only: name or UUID.")
@click.option("--wrong", is_flag=True, help="Only where LLDP contradicts the record.")
@URL
def cabling(*, url: str, node: str | None, wrong: bool) -> None:
    """Show where each NIC is on record, what LLDP says of it, and whether the two agree.

    What a server heard is of its last inspection; what a switch shows, of its last audit (`ironlane drift --audit`).
    """
    query = {key: value for key, value in (("node", node), ("verdict", "contradicts" if wrong else None)) if value}
    found = get(url, "/fabric/v1/cabling", query)["cabling"]
    if not found:
        click.echo("no NIC is where it should not be" if wrong else "no NIC is on record")
        return
    table(("NODE", "NIC", "RECORDED AT", "HEARD", "AT", "SWITCH SHOWS", "VERDICT"), [_row(item) for item in found])
    for item in found:
        if item["verdict"] == "contradicts":
            click.echo(printable(item["reason"]))
        if item["problems"]:
            click.echo(printable(f"NIC {item['address']} heard LLDP that makes no sense: {item['problems']}"))


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    recorded, heard = item["recorded"], item["heard"]
    return (
        item["node"] or item["node_uuid"],
        f"{item['nic']} {item['address']}" if item["nic"] else item["address"],
        "-" if recorded is None else f"{recorded['switch'] or recorded['switch_id']}/{recorded['port']}",
        "-" if heard is None else _place(heard),
        "-" if heard is None else moment(heard["at"]),
        ", ".join(_place(shown) for shown in item["shown"]) or "-",
        item["verdict"],
    )


def _place(told: Mapping[str, Any]) -> str:
    system = told["system_name"] or told["chassis"] or "?"
    return f"{system}/{told['port'] or told['port_description'] or '?'}"
