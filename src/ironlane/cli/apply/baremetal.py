"""Nodes with their portgroups and ports, through the Baremetal API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from ironlane.cli.apply.bodies import node_body, password_of, port_body, portgroup_body
from ironlane.cli.apply.outcome import Action, Difference, Outcome, counted, differences, failed, tell, unlisted
from ironlane.cli.client import Client, Refused
from ironlane.site.types import Node, Site

_NODES, _PORTS, _PORTGROUPS = "/baremetal/v1/nodes", "/baremetal/v1/ports", "/baremetal/v1/portgroups"
_PAGE = 1000
_AT_ONCE = 32
"""Nodes under way at the same time."""

_OPEN = frozenset({"driver_info", "properties", "extra"})
"""Mappings in which others may keep keys of their own; only the file's keys are compared and sent."""

ReadSecret = Callable[[str], str]
"""`name -> secret`; raises `Permanent` when there is none of that name."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Present:
    """What the service knows already."""

    nodes: Mapping[str, Mapping[str, Any]]
    """By name; those without a name by UUID."""
    ports: Mapping[str, Mapping[str, Any]]
    """By MAC address."""
    portgroups: Mapping[str, Mapping[str, Any]]
    """By name; those without a name by UUID."""


@dataclass(frozen=True, slots=True)
class Run:
    """How one file is being applied."""

    client: Client
    site: Site
    present: Present
    read_secret: ReadSecret
    dry_run: bool
    new_passwords: bool
    """Send BMC passwords again: they cannot be read back and compared."""


async def nodes(
    client: Client, site: Site, read_secret: ReadSecret, *, dry_run: bool, new_passwords: bool = False
) -> list[Outcome]:
    """Apply the `nodes` of a site, many at a time.

    Raises:
        Permanent: a password is needed and its secret is not there.
    """
    present = Present(
        nodes=_by_name(await _all(client, _NODES, "nodes")),
        ports={item["address"]: item for item in await _all(client, _PORTS, "ports")},
        portgroups=_by_name(await _all(client, _PORTGROUPS, "portgroups")),
    )
    run = Run(client, site, present, read_secret, dry_run, new_passwords)
    outcomes = await _each(site.nodes, lambda node: _node(run, node))
    listed = {node.name for node in site.nodes}
    return outcomes + unlisted("node", [name for name in present.nodes if name not in listed]) + _strays(run)


async def _each(items: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """Results of `work` in the order of `items`, a bounded number at a time; the first failure stops the rest."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> R:
        async with limit:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _all(client: Client, path: str, key: str) -> list[dict[str, Any]]:
    """All items of a collection in full, page by page."""
    items: list[dict[str, Any]] = []
    query = {"limit": str(_PAGE)}
    while True:
        answer = await client.get(f"{path}/detail", query)
        items.extend(answer[key])
        if not answer.get("next") or not answer[key]:
            return items
        query["marker"] = answer[key][-1]["uuid"]


def _by_name(items: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {item["name"] or item["uuid"]: item for item in items}


def _strays(run: Run) -> list[Outcome]:
    """Ports and portgroups of nodes in the file that the file does not have."""
    owners = {
        found["uuid"]: node.name for node in run.site.nodes if (found := run.present.nodes.get(node.name)) is not None
    }
    macs = {nic.address for node in run.site.nodes for nic in node.nics}
    groups = {f"{node.name}-{group.name}" for node in run.site.nodes for group in node.portgroups}
    ports = [
        f"{address} of node {owners[item['node_uuid']]}"
        for address, item in run.present.ports.items()
        if item["node_uuid"] in owners and address not in macs
    ]
    portgroups = [
        f"{name} of node {owners[item['node_uuid']]}"
        for name, item in run.present.portgroups.items()
        if item["node_uuid"] in owners and name not in groups
    ]
    return unlisted("port", ports) + unlisted("portgroup", portgroups)


async def _node(run: Run, node: Node) -> Outcome:
    """Bring one node with all that belongs to it to what the file says."""
    try:
        uuid, created, details = await _node_itself(run, node)
        group_uuids = {}
        for group in node.portgroups:
            name = f"{node.name}-{group.name}"
            body = portgroup_body(node, group)
            place = Place(_PORTGROUPS, f"portgroup {name}", uuid, run.present.portgroups.get(name))
            group_uuids[group.name], told = await _belonging(run, place, body)
            details.extend(told)
        group_of = {nic: group.name for group in node.portgroups for nic in group.nics}
        for nic in node.nics:
            body = port_body(run.site, node, nic)
            body["portgroup_uuid"] = group_uuids.get(group_of.get(nic.name, ""))
            place = Place(_PORTS, f"port {nic.address}", uuid, run.present.ports.get(nic.address))
            _, told = await _belonging(run, place, body)
            details.extend(told)
    except Refused as error:
        return failed("node", node.name, error)
    if created:
        parts = (counted(len(node.nics), "port"), counted(len(node.portgroups), "portgroup"))
        return Outcome(Action.CREATED, "node", node.name, (f"with {' and '.join(parts)}",))
    return Outcome(Action.CHANGED if details else Action.UNCHANGED, "node", node.name, tuple(details))


async def _node_itself(run: Run, node: Node) -> tuple[str, bool, list[str]]:
    """The node's UUID, whether it is new, and what was changed."""
    found = run.present.nodes.get(node.name)
    body = node_body(node)
    password = password_of(node)
    if found is None:
        if password is not None and not run.dry_run:
            body["driver_info"][password[0]] = run.read_secret(password[1])
        answer = {} if run.dry_run else await run.client.request("POST", _NODES, {"name": node.name, **body})
        return answer.get("uuid", ""), True, []
    changes = _changes(body, found)
    details = list(tell(changes))
    if password is not None and (run.new_passwords or not found["driver_info"].get(password[0])):
        details.append(f"driver_info.{password[0]}: sent")
        if not run.dry_run:
            changes[f"driver_info.{password[0]}"] = (
                found["driver_info"].get(password[0]),
                run.read_secret(password[1]),
            )
    await _patch(run, f"{_NODES}/{found['uuid']}", changes)
    return found["uuid"], False, details


class Place(NamedTuple):
    """A portgroup or port of a node: its collection, what it is called, its node's UUID, and what is there already."""

    path: str
    title: str
    node_uuid: str
    found: Mapping[str, Any] | None


async def _belonging(run: Run, place: Place, body: dict[str, Any]) -> tuple[str | None, list[str]]:
    """Bring a portgroup or port of a node to `body`; its UUID and what was changed.

    Raises:
        Refused: it belongs to another node, or the service said no.
    """
    found = place.found
    if found is None:
        request = {"node_uuid": place.node_uuid, **body}
        answer = {} if run.dry_run else await run.client.request("POST", place.path, request)
        return answer.get("uuid"), [f"{place.title}: created"]
    if found["node_uuid"] != place.node_uuid:
        raise Refused(f"{place.title} belongs to node {found['node_uuid']} already", 409)
    changes = _changes(body, found)
    await _patch(run, f"{place.path}/{found['uuid']}", changes)
    return found["uuid"], [f"{place.title}: {line}" for line in tell(changes)]


def _changes(body: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Difference]:
    """What differs, by field; by `field.key` within mappings that others write to as well."""
    changes: dict[str, Difference] = {}
    for field, value in body.items():
        present = found.get(field)
        if field in _OPEN:
            inner = differences(value, present or {})
            changes.update((f"{field}.{key}", difference) for key, difference in inner.items())
        elif present != value:
            changes[field] = (present, value)
    return changes


async def _patch(run: Run, path: str, changes: Mapping[str, Difference]) -> None:
    """Send differences as a JSON patch (RFC 6902)."""
    if run.dry_run or not changes:
        return
    patch: list[dict[str, Any]] = []
    for name, (before, after) in changes.items():
        pointer = "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in name.split(".", 1))
        if after is None:
            patch.append({"op": "remove", "path": pointer})
        else:
            patch.append({"op": "add" if before is None else "replace", "path": pointer, "value": after})
    await run.client.request("PATCH", path, patch)
