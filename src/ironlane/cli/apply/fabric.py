"""Physical networks and switches, through the fabric API. A `PUT` says all there is to say about one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ironlane.cli.apply.outcome import Action, Outcome, differences, failed, tell, unlisted
from ironlane.cli.client import Client, Refused
from ironlane.site.types import Site, Switch


async def physical_networks(client: Client, site: Site, *, dry_run: bool) -> list[Outcome]:
    """Apply the `physical_networks` of a site; the order of the file is kept, for the first one is the default."""
    answer = await client.get("/fabric/v1/physical-networks")
    present = {item["name"]: item for item in answer["physical_networks"]}
    desired = {
        network.name: {
            "tenant_vlans": sorted([span.first, span.last] for span in network.tenant_vlans),
            "mtu": network.mtu,
            "position": position,
        }
        for position, network in enumerate(site.physical_networks)
    }
    return await _put_all(client, "physical network", "/fabric/v1/physical-networks", desired, present, dry_run=dry_run)


async def switches(client: Client, site: Site, *, dry_run: bool) -> list[Outcome]:
    """Apply the `switches` of a site."""
    answer = await client.get("/fabric/v1/switches")
    present = {item["name"]: item for item in answer["switches"]}
    desired = {switch.name: _body(switch) for switch in site.switches}
    return await _put_all(client, "switch", "/fabric/v1/switches", desired, present, dry_run=dry_run)


async def _put_all(
    client: Client,
    noun: str,
    path: str,
    desired: Mapping[str, Mapping[str, Any]],
    present: Mapping[str, Mapping[str, Any]],
    *,
    dry_run: bool,
) -> list[Outcome]:
    outcomes = []
    for name, body in desired.items():
        found = differences(body, present.get(name, {}))
        if name in present and not found:
            outcomes.append(Outcome(Action.UNCHANGED, noun, name))
            continue
        try:
            if not dry_run:
                await client.request("PUT", f"{path}/{name}", body)
        except Refused as error:
            outcomes.append(failed(noun, name, error))
            continue
        changed = name in present
        outcomes.append(
            Outcome(Action.CHANGED if changed else Action.CREATED, noun, name, tell(found) if changed else ())
        )
    return outcomes + unlisted(noun, [name for name in present if name not in desired])


def _body(switch: Switch) -> dict[str, Any]:
    return {
        "kind": switch.kind,
        "address": switch.address,
        "port": switch.port,
        "username": switch.username,
        "secret": switch.secret,
        "mac": switch.mac,
        "datapath_id": switch.datapath_id,
        "physical_network": switch.physical_network,
        "rack": switch.rack,
        "mlag_peer": switch.mlag_peer,
        "idle_vlan": switch.idle_vlan,
        "policy": switch.policy,
        "options": dict(switch.options),
        "ports": sorted(switch.ports),
    }
