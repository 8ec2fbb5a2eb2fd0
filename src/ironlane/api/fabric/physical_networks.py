"""`/v1/physical-networks`: how far VLANs reach, and which of them tenants are given."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from ironlane.api.fabric.bodies import PhysicalNetworkBody, require_name
from ironlane.api.fabric.views import MADE
from ironlane.model.inventory import VlanRange
from ironlane.model.network import PhysicalNetwork
from ironlane.store import physical_networks, tenant_vlans
from ironlane.store.database import Store, Tx


def router(store: Store) -> APIRouter:
    """The routes below `/v1/physical-networks`."""
    routes = APIRouter(prefix="/v1/physical-networks", tags=["physical networks"])

    @routes.get("")
    async def list_physical_networks() -> dict[str, Any]:
        """All physical networks; the first is the one that tenant networks are made on by default."""
        found = await store.read(physical_networks.all_)
        return {"physical_networks": [_view(network) for network in found]}

    @routes.put("/{name}", responses=MADE)
    async def put_physical_network(name: str, body: PhysicalNetworkBody, response: Response) -> dict[str, Any]:
        """Add a physical network (201) or change one (200)."""
        require_name(name)
        ranges = [VlanRange(first, last) for first, last in body.tenant_vlans]

        def put(tx: Tx) -> tuple[bool, PhysicalNetwork]:
            known = physical_networks.find(tx, name) is not None
            return known, tenant_vlans.put(tx, name, ranges, body.mtu, body.position)

        known, network = await store.write(put)
        response.status_code = 200 if known else 201
        return _view(network)

    @routes.delete("/{name}", status_code=204)
    async def delete_physical_network(name: str) -> None:
        """Forget a physical network that no switch and no network is on."""
        await store.write(lambda tx: tenant_vlans.delete(tx, name))

    return routes


def _view(network: PhysicalNetwork) -> dict[str, Any]:
    return {
        "name": network.name,
        "tenant_vlans": [list(span) for span in network.tenant_vlans],
        "mtu": network.mtu,
        "position": network.position,
    }
