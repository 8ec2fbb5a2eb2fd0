"""`ironlane history`: who held which VLAN on which port, from when to when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import click

from ironlane.cli.options import URL
from ironlane.cli.show import Time, get, moment, table


@click.command()
@click.option("--switch", help="On this switch.")
@click.option("--port", help="On switch ports of this name.")
@click.option("--host", help="Of this host (binding:host_id).")
@click.option("--node", help="Of this node (UUID or name).")
@click.option("--vlan", type=click.IntRange(1, 4094), help="Of this VLAN.")
@click.option("--network", help="Of the network with this UUID.")
@click.option("--network-port", help="Of the network port with this UUID.")
@click.option("--at", type=Time(), help="At this moment: ISO 8601, or how long ago, such as -15m.")
@click.option("--limit", type=click.IntRange(1, 10000), default=1000, show_default=True)
@URL
def history(*, url: str, node: str | None, at: datetime | None, **filters: Any) -> None:
    """Show who held which VLAN on which switch port, from when to when, and which request asked for it.

    Newest first; all filters given must match. Times are those of the read-backs, in UTC.
    """
    if node is not None:
        if filters["host"] is not None:
            raise click.UsageError("--node and --host are the same thing: give one of them")
        filters["host"] = get(url, f"/baremetal/v1/nodes/{quote(node, safe='')}")["uuid"]
    query = {key: str(value) for key, value in filters.items() if value is not None}
    if at is not None:
        query["at"] = at.isoformat()
    found = get(url, "/fabric/v1/history", query)["history"]
    titles = ("FROM", "TO", "SWITCH", "PORT", "VLAN", "LAG", "HOST", "NETWORK PORT", "REQUEST")
    table(titles, [_row(item) for item in found])


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        moment(item["from_at"]),
        moment(item["to_at"]),
        item["switch"],
        item["port"],
        f"{item['vlan']}{' tagged' if item['tagged'] else ''}",
        str(item["lag"]["number"]) if item["lag"] else "-",
        item["host"],
        item["network_port"],
        item["request_id"] or "-",
    )
