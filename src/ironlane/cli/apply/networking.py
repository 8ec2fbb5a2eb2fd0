"""Provider networks and their subnets, through the Networking API."""

from __future__ import annotations

import ipaddress
from typing import Any

from ironlane.cli.apply.outcome import Action, Outcome, differences, failed, tell, unlisted
from ironlane.cli.client import Client, Refused
from ironlane.site.types import Network, Site, Subnet

_NETWORKS = "/networking/v2.0/networks"
_SUBNETS = "/networking/v2.0/subnets"
_FIXED = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")
"""What a network keeps for good once it is made."""


async def networks(client: Client, site: Site, *, dry_run: bool) -> list[Outcome]:
    """Apply the `networks` of a site, each with its subnet. Networks of tenants are none of the file's business."""
    present = (await client.get(_NETWORKS))["networks"]
    subnets: dict[str, list[dict[str, Any]]] = {}
    for subnet in (await client.get(_SUBNETS))["subnets"]:
        subnets.setdefault(subnet["network_id"], []).append(subnet)
    outcomes, matched = [], set()
    for network in site.networks:
        try:
            found = _match(network, present)
            if found is not None:
                matched.add(found["id"])
            outcomes.append(
                await _apply(client, network, found, subnets.get(found["id"] if found else "", []), dry_run=dry_run)
            )
        except Refused as error:
            outcomes.append(failed("network", network.name, error))
    extra = [n["name"] or n["id"] for n in present if n["id"] not in matched and _is_provider(n, site)]
    return outcomes + unlisted("network", extra)


def _match(network: Network, present: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The service's network of that name; a tenant may have made one of the same name, which has another VLAN."""
    named = [item for item in present if item["name"] == network.name]
    exact = [item for item in named if not differences(_fixed(network), item)]
    if exact:
        return exact[0]
    if len(named) > 1:
        raise Refused(f"there are {len(named)} networks of that name, and none has VLAN {network.vlan}", 409)
    return named[0] if named else None


def _fixed(network: Network) -> dict[str, Any]:
    return dict(zip(_FIXED, ("vlan", network.physical_network, network.vlan), strict=True))


def _is_provider(item: dict[str, Any], site: Site) -> bool:
    """Outside the tenants' ranges of a physical network that the file knows."""
    vlan = item.get("provider:segmentation_id")
    for network in site.physical_networks:
        if network.name == item.get("provider:physical_network"):
            return vlan is None or not any(span.holds(vlan) for span in network.tenant_vlans)
    return False


async def _apply(
    client: Client,
    network: Network,
    found: dict[str, Any] | None,
    subnets: list[dict[str, Any]],
    *,
    dry_run: bool,
) -> Outcome:
    mtu = {} if network.mtu is None else {"mtu": network.mtu}
    if found is None:
        network_id = ""
        if not dry_run:
            body = {"name": network.name, "project_id": "", **_fixed(network), **mtu}
            network_id = (await client.request("POST", _NETWORKS, {"network": body}))["network"]["id"]
        await _apply_subnet(client, network, network_id, [], dry_run=dry_run)
        return Outcome(Action.CREATED, "network", network.name)
    wrong = differences(_fixed(network), found)
    if wrong:
        raise Refused(f"cannot be changed once it is there: {'; '.join(tell(wrong))}", 409)
    changes = differences(mtu, found)
    if changes and not dry_run:
        await client.request("PUT", f"{_NETWORKS}/{found['id']}", {"network": mtu})
    details = tell(changes) + await _apply_subnet(client, network, found["id"], subnets, dry_run=dry_run)
    return Outcome(Action.CHANGED if details else Action.UNCHANGED, "network", network.name, details)


async def _apply_subnet(
    client: Client, network: Network, network_id: str, subnets: list[dict[str, Any]], *, dry_run: bool
) -> tuple[str, ...]:
    """Make or change the network's subnet; answers what was done."""
    if network.subnet is None:
        return ()
    desired = _subnet_body(network.name, network.subnet)
    found = next((item for item in subnets if item["cidr"] == network.subnet.cidr), None)
    if found is None:
        version = ipaddress.ip_network(network.subnet.cidr).version
        body = {"network_id": network_id, "cidr": network.subnet.cidr, "ip_version": version, **desired}
        if not dry_run:
            await client.request("POST", _SUBNETS, {"subnet": {**body, "project_id": ""}})
        return (f"subnet {network.subnet.cidr} created",)
    changes = differences(desired, found)
    if changes and not dry_run:
        await client.request("PUT", f"{_SUBNETS}/{found['id']}", {"subnet": {key: desired[key] for key in changes}})
    return tuple(f"subnet {line}" for line in tell(changes))


def _subnet_body(name: str, subnet: Subnet) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": name,
        "gateway_ip": subnet.gateway,
        "enable_dhcp": subnet.dhcp,
        "dns_nameservers": list(subnet.dns),
    }
    if subnet.pools:
        body["allocation_pools"] = [{"start": pool.first, "end": pool.last} for pool in subnet.pools]
    return body
