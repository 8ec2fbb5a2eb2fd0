"""`ironlane import`: a dry run first, and what was found in it is done only when it is asked for."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ironlane.cli.options import URL
from ironlane.cli.show import ask, printable
from ironlane.model.errors import IronlaneError, Permanent

_PATH = "/fabric/v1/takeover"
_PATIENCE = 1800.0
"""Seconds that a whole cloud may take in one transaction."""

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("import")
@click.option("--os-cloud", envvar="OS_CLOUD", help="The cloud in clouds.yaml; without it, OS_* variables say which.")
@click.option("--networking-url", help="Address of the Networking API, in place of a cloud.")
@click.option("--baremetal-url", help="Address of the Baremetal API, in place of a cloud.")
@click.option(
    "--auth",
    type=click.Choice(("none", "http_basic")),
    default="none",
    show_default=True,
    help="How to authenticate at these addresses; http_basic takes OS_USERNAME and OS_PASSWORD.",
)
@click.option("--cacert", envvar="OS_CACERT", type=_FILE, help="PEM file of the authorities to trust.")
@click.option("--no-baremetal", is_flag=True, help="Leave the nodes where they are.")
@click.option(
    "--provider-network",
    "provider_networks",
    multiple=True,
    help="Name or UUID of a network for cleaning, provisioning, inspection or rescue; may be given several times.",
)
@click.option(
    "--bmc-secret", help="Name of the secret that all BMCs have, unless there is one named bmc-<UUID of node>."
)
@click.option(
    "--secrets-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of files named like the secrets; IRONLANE_SECRET_<NAME> comes first.",
)
@click.option("--save", type=_FILE, help="Write down what was read, too.")
@click.option("--from", "saved", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read that again.")
@click.option("--apply", "earnest", is_flag=True, help="Do it. Without it nothing is changed.")
@click.option("--despite-conflicts", is_flag=True, help="Take over the rest even if something cannot be.")
@click.option("-v", "--verbose", is_flag=True, help="Tell about what is here already, too.")
@URL
def import_(
    *,
    url: str,
    provider_networks: tuple[str, ...],
    bmc_secret: str | None,
    secrets_dir: Path | None,
    earnest: bool,
    despite_conflicts: bool,
    verbose: bool,
    **source: Any,
) -> None:
    """Take over what another Neutron and Ironic have: networks, ports, trunks, nodes, with their UUIDs.

    Without --apply it tells what would be created, what is here already, what is in the way, and what stays where it
    is. Nothing is ever changed there, nor on a switch (docs/migration.md).
    """
    from ironlane.cli.takeover.translate import translate

    try:
        found = _found(**source)
        made = translate(found, provider_networks, _secrets(secrets_dir, bmc_secret))
    except IronlaneError as error:
        raise click.ClickException(printable(error.message)) from error
    for left in made.left:
        _line("without" if left.remark else "left", left.noun, left.id, left.name, left.reason)
    counts = Counter("left" for left in made.left if not left.remark)

    def send(dry_run: bool) -> list[dict[str, Any]]:
        body = {"dry_run": dry_run, **made.body}
        answer = ask(url, lambda client: client.request("POST", _PATH, body, seconds=_PATIENCE))
        return list(answer["things"])

    things = send(dry_run=True)
    conflicts = any(thing["action"] == "conflict" for thing in things)
    doing = earnest and (despite_conflicts or not conflicts)
    if doing:
        things = send(dry_run=False)
    _tell(things, counts, verbose)
    summary = ", ".join(f"{number} {action}" for action, number in counts.items()) or "nothing there"
    click.echo(f"{'' if doing else 'would be: '}{summary}")
    if earnest and not doing:
        click.echo("nothing was done while there are conflicts; --despite-conflicts takes over the rest", err=True)
    if conflicts:
        sys.exit(1)


def _found(*, save: Path | None, saved: Path | None, auth: str, no_baremetal: bool, **where: Any) -> Any:
    import os

    from ironlane.cli.takeover.source import Found, Where, read

    if saved is not None:
        return Found.load(saved)
    credentials = {}
    if auth == "http_basic":
        credentials = {"username": os.environ.get("OS_USERNAME"), "password": os.environ.get("OS_PASSWORD")}
        if not all(credentials.values()):
            raise Permanent("--auth http_basic needs OS_USERNAME and OS_PASSWORD")
    found = read(
        Where(
            cloud=where["os_cloud"],
            networking_url=where["networking_url"],
            baremetal_url=where["baremetal_url"],
            cacert=str(where["cacert"]) if where["cacert"] else None,
            with_baremetal=not no_baremetal,
            **credentials,
        )
    )
    if save is not None:
        found.save(save)
    return found


def _secrets(directory: Path | None, shared: str | None) -> Callable[[str, str], str | None]:
    """Passwords of BMCs: the node's own secret, or the one that all have."""
    from ironlane.settings import Settings

    settings = Settings() if directory is None else Settings(secrets_dir=directory)

    def secret(node: str, key: str) -> str | None:
        if not key.endswith("_password"):
            return None
        try:
            return settings.read_secret(f"bmc-{node}")
        except Permanent:
            return None if shared is None else settings.read_secret(shared)

    return secret


def _tell(things: Sequence[Mapping[str, Any]], counts: Counter[str], verbose: bool) -> None:
    for thing in things:
        counts[thing["action"]] += 1
        if verbose or thing["action"] != "unchanged":
            _line(thing["action"], thing["noun"], thing["id"], thing["name"], thing["reason"])


def _line(action: str, noun: str, ident: str, name: str, reason: str) -> None:
    click.echo(printable(f"{action:<10} {noun} {ident}{f' ({name})' if name else ''}{f': {reason}' if reason else ''}"))
