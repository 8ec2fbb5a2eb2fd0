"""`ironlane switch`: what the service knows of its switches, and who is on their ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ironlane.cli.options import URL
from ironlane.cli.show import ask, get, table


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
        for s in get(url, "/fabric/v1/switches")["switches"]
    ]
    table(("NAME", "KIND", "RACK", "STATE", "APPLIED", "REASON"), rows)


@switch.command()
@click.argument("name")
@URL
def show(name: str, url: str) -> None:
    """One switch, and what its ports carry."""
    from urllib.parse import quote

    found = get(url, f"/fabric/v1/switches/{quote(name, safe='')}")
    for key, value in found.items():
        if key not in ("ports", "options") and value not in (None, ""):
            click.echo(f"{key:<20}{value}")
    for key, value in found["options"].items():
        click.echo(f"{'options.' + key:<20}{value}")
    ports = get(url, f"/fabric/v1/switches/{quote(name, safe='')}/ports")["ports"]
    click.echo()
    table(("PORT", "CARRIES", "LAG", "WANTED", "HOST"), [_port_row(port) for port in ports])


@switch.command()
@click.argument("name")
@click.option(
    "--force", is_flag=True, help="Although servers are attached: nobody will read back that they are off it."
)
@click.option("--reason", default="", help="With --force: why, for the record.")
@URL
def forget(name: str, force: bool, reason: str, url: str) -> None:
    """Take a switch off the record; nothing is changed on the switch itself.

    With --force you vouch that it is gone for good, or at least off: no frame passes through it any more. Its servers
    move to other networks as if they had been seen to leave, and its VLANs are given to others. If it comes back with
    its old configuration, they meet.
    """
    from urllib.parse import quote

    path = f"/fabric/v1/switches/{quote(name, safe='')}"
    if not force:
        ask(url, lambda client: client.request("DELETE", path))
        return
    if not reason:
        raise click.UsageError("--force needs a --reason")
    body = {"force": True, "reason": reason}
    done = ask(url, lambda client: client.request("POST", f"{path}/forget", body))
    for port in done["network_ports"]:
        click.echo(f"network port {port} was on it")
    click.echo(f"on record as plan {done['plan']}")


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
