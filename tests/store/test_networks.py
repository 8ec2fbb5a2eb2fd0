"""Networks and their VLANs as rows, on every kind of database."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.fabric import Side
from ironlane.store import networks, physical_networks, segments, subnets
from ironlane.store.database import Store, Tx
from ironlane.store.networks import NewNetwork
from ironlane.store.tables import switches


def two_physical_networks(tx: Tx) -> None:
    physical_networks.put(tx, "physnet2", [[300, 301]], 9000, 1)
    physical_networks.put(tx, "physnet1", [[200, 201], [210, 211]], 1500, 0)


async def test_physical_networks_come_in_the_order_of_the_site_file(store: Store) -> None:
    await store.write(two_physical_networks)
    found = await store.read(physical_networks.all_)
    assert [(p.name, p.tenant_vlans, p.mtu) for p in found] == [
        ("physnet1", ((200, 201), (210, 211)), 1500),
        ("physnet2", ((300, 301),), 9000),
    ]
    await store.write(lambda tx: physical_networks.put(tx, "physnet1", [], 1400, 5))
    assert [p.name for p in await store.read(physical_networks.all_)] == ["physnet2", "physnet1"]
    assert await store.read(lambda tx: physical_networks.find(tx, "nowhere")) is None


@pytest.mark.parametrize("vlans", [[[0, 5]], [[5, 4095]], [[9, 5]], [[5]], [[5, 9], [9, 12]]])
async def test_malformed_tenant_vlans(store: Store, vlans: list[list[int]]) -> None:
    with pytest.raises(Invalid, match=r"tenant_vlans\["):
        await store.write(lambda tx: physical_networks.put(tx, "physnet1", vlans))


async def test_vlans_come_from_all_ranges_and_never_from_idle_ones(any_store: Store) -> None:
    await any_store.write(two_physical_networks)
    idle = {"id": "sw1", "idle_vlan": 201, "physical_network": ""}
    await any_store.write(lambda tx: tx.execute(sa.insert(switches).values(**idle, created_at=tx.now)))
    made = [await any_store.write(lambda tx: networks.create(tx, NewNetwork())) for _ in range(3)]
    assert [network.vlan for network in made] == [200, 210, 211]
    with pytest.raises(Conflict, match="No tenant VLAN is free") as refused:
        await any_store.write(lambda tx: networks.create(tx, NewNetwork()))
    assert refused.value.code == "NoNetworkAvailable"
    await any_store.write(lambda tx: networks.delete(tx, made[1].id))
    assert (await any_store.write(lambda tx: networks.create(tx, NewNetwork()))).vlan == 210


async def test_a_shrunken_range_takes_nothing_away(store: Store) -> None:
    """A tenant's network stays on the tenants' side although its VLAN is no longer in the range."""
    await store.write(two_physical_networks)
    network = await store.write(lambda tx: networks.create(tx, NewNetwork()))
    await store.write(lambda tx: physical_networks.put(tx, "physnet1", [[400, 401]]))
    for shared in (True, False):
        changes = {"shared": shared}
        after = await store.write(lambda tx, changes=changes: networks.update(tx, network.id, changes))
        assert (after.vlan, after.side, after.shared) == (200, Side.TENANT, shared)


async def test_concurrent_claims(any_store: Store) -> None:
    await any_store.write(two_physical_networks)
    wish = NewNetwork(physical_network="physnet1", segmentation_id=7)
    claims = (any_store.write(lambda tx: networks.create(tx, wish)) for _ in range(5))
    outcomes = await asyncio.gather(*claims, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 4 + ["Network"]


async def test_release_forgets_a_network(store: Store) -> None:
    await store.write(two_physical_networks)
    network = await store.write(lambda tx: networks.create(tx, NewNetwork(name="n", tags=["t"])))
    await store.write(lambda tx: subnets.create(tx, subnets.NewSubnet(network.id, "10.0.0.0/24", 4)))
    await store.write(lambda tx: networks.delete(tx, network.id))
    await store.write(lambda tx: segments.release(tx, network.id))
    with pytest.raises(NotFound):
        await store.read(lambda tx: networks.get(tx, network.id))


async def test_what_cannot_change(store: Store) -> None:
    await store.write(two_physical_networks)
    network = await store.write(lambda tx: networks.create(tx, NewNetwork()))
    with pytest.raises(Invalid, match="segmentation_id"):
        await store.write(lambda tx: networks.update(tx, network.id, {"segmentation_id": 7}))
