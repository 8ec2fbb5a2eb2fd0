"""`/v2.0/network-ip-availabilities`: how many addresses are left. Source: Networking API v2.0 reference, "Network IP
availability and usage stats"."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from fastapi import Request
from starlette.responses import JSONResponse

from ironlane.api.listing import Attribute, integer
from ironlane.api.networking.requests import StoreDep, View, chosen, collected, fields_of, listed, row_id
from ironlane.model import policy
from ironlane.model.caller import Caller
from ironlane.model.errors import NotFound
from ironlane.model.network import Network
from ironlane.model.policy import Target
from ironlane.store import ip_availability, networks
from ironlane.store.database import Tx
from ironlane.store.ip_availability import Availability
from ironlane.store.listing import Listing

NOUN, PLURAL = "network_ip_availability", "network_ip_availabilities"

ATTRIBUTES = {
    "network_id": Attribute("id"),
    "network_name": Attribute("name"),
    "project_id": Attribute("project_id"),
    "tenant_id": Attribute("project_id"),
}
_VERSIONS = frozenset({4, 6})


async def list_(request: Request, store: StoreDep) -> JSONResponse:
    asked = collected(request, ATTRIBUTES, special=("ip_version",), standard=False)
    versions = {integer(value, "ip_version") for value in asked.special.get("ip_version", ())} or _VERSIONS

    def find(tx: Tx) -> tuple[list[View], bool]:
        found, more = networks.page(tx, _own(tx.caller, asked.listing))
        return _views(tx, found, versions), more

    views, more = await store.read(find)
    return listed(request, PLURAL, asked, views, more, key="network_id")


async def show(request: Request, ident: str, store: StoreDep) -> JSONResponse:
    network_id, fields = row_id("network", ident), fields_of(request)

    def find(tx: Tx) -> View:
        network = networks.get(tx, network_id)
        if not policy.allowed(tx.caller, "get_network_ip_availability", Target(project=network.project_id)):
            raise NotFound("network", network_id)
        return _views(tx, [network], _VERSIONS)[0]

    return JSONResponse({NOUN: chosen(await store.read(find), fields)})


def _own(caller: Caller, listing: Listing) -> Listing:
    """How full a network is, is its owner's affair, not of those that it is shared with."""
    if caller.sees_all:
        return listing
    projects = [
        project for project in listing.equal.get("project_id", [caller.project_id]) if project == caller.project_id
    ]
    return replace(listing, equal={**listing.equal, "project_id": projects})


def _views(tx: Tx, found: Sequence[Network], versions: Collection[int]) -> list[View]:
    availability = ip_availability.of_networks(tx, found)
    return [
        _view(network, [item for item in availability[network.id] if item.subnet.ip_version in versions])
        for network in found
    ]


def _view(network: Network, of_subnets: Sequence[Availability]) -> View:
    return {
        "network_id": network.id,
        "network_name": network.name,
        "tenant_id": network.project_id,
        "project_id": network.project_id,
        "total_ips": sum(item.total for item in of_subnets),
        "used_ips": sum(item.used for item in of_subnets),
        "subnet_ip_availability": [
            {
                "subnet_id": item.subnet.id,
                "subnet_name": item.subnet.name,
                "ip_version": item.subnet.ip_version,
                "cidr": item.subnet.cidr,
                "total_ips": item.total,
                "used_ips": item.used,
            }
            for item in of_subnets
        ],
    }
