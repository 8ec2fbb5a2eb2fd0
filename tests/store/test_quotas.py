"""Quotas as rows, on every kind of database."""

from __future__ import annotations

import asyncio

import pytest

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.quota import UNLIMITED
from ironlane.store import networks, physical_networks, ports, quotas
from ironlane.store.database import Store, Tx
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort

DEFAULTS = {"network": 2, "subnet": 2, "port": 3, "trunk": UNLIMITED}


async def network(store: Store) -> str:
    def make(tx: Tx) -> str:
        physical_networks.put(tx, "physnet1", [[200, 299]])
        return networks.create(tx, NewNetwork()).id

    return await store.write(make)


async def test_of_many_at_once_only_as_many_as_allowed(any_store: Store) -> None:
    net = await network(any_store)

    def make(tx: Tx) -> None:
        quotas.claim(tx, "port", ["p1"], DEFAULTS)
        ports.create(tx, NewPort(network_id=net, project_id="p1"))

    made = await asyncio.gather(*(any_store.write(make) for _ in range(8)), return_exceptions=True)
    refused = [outcome for outcome in made if outcome is not None]
    assert [getattr(error, "code", error) for error in refused] == ["OverQuota"] * 5
    assert await any_store.read(lambda tx: quotas.used(tx, "p1", "port")) == 3


async def test_limits_of_its_own(any_store: Store) -> None:
    assert await any_store.read(lambda tx: quotas.all_(tx, DEFAULTS)) == {}
    await any_store.write(lambda tx: quotas.put(tx, "p1", {"network": 7, "trunk": 0}))
    await any_store.write(lambda tx: quotas.put(tx, "p1", {"network": 8}))
    own = {**DEFAULTS, "network": 8, "trunk": 0}
    assert await any_store.read(lambda tx: quotas.limits(tx, "p1", DEFAULTS)) == own
    assert await any_store.read(lambda tx: quotas.limits(tx, "p2", DEFAULTS)) == DEFAULTS
    assert await any_store.read(lambda tx: quotas.all_(tx, DEFAULTS)) == {"p1": own}
    await any_store.write(lambda tx: quotas.delete(tx, "p1"))
    assert await any_store.read(lambda tx: quotas.limits(tx, "p1", DEFAULTS)) == DEFAULTS
    with pytest.raises(NotFound) as missing:
        await any_store.write(lambda tx: quotas.delete(tx, "p1"))
    assert missing.value.code == "TenantQuotaNotFound"


async def test_several_projects_and_several_things_in_one_claim(store: Store) -> None:
    await network(store)
    await store.write(lambda tx: quotas.put(tx, "free", {"network": UNLIMITED}))
    fine = ["p1", "p1", "p2", *[""] * 9, *["free"] * 9]
    await store.write(lambda tx: quotas.claim(tx, "network", fine, DEFAULTS))
    with pytest.raises(Conflict, match=r"Quota exceeded for resources: \['network'\]. Project p2 has 0 of 2"):
        await store.write(lambda tx: quotas.claim(tx, "network", [*fine, "p2", "p2"], DEFAULTS))


async def test_a_limit_below_what_is_there_has_to_be_forced(store: Store) -> None:
    net = await network(store)
    for _ in range(2):
        await store.write(lambda tx: ports.create(tx, NewPort(network_id=net, project_id="p1")))
    with pytest.raises(Invalid, match="Quota limit 1 for port must be greater than or equal to already used 2"):
        await store.write(lambda tx: quotas.put(tx, "p1", {"port": 1}))
    await store.write(lambda tx: quotas.put(tx, "p1", {"port": 2}))
    await store.write(lambda tx: quotas.put(tx, "p1", {"port": 1}, force=True))
    with pytest.raises(Conflict, match="has 2 of 1"):
        await store.write(lambda tx: quotas.claim(tx, "port", ["p1"], DEFAULTS))
    await store.write(lambda tx: quotas.put(tx, "p1", {"port": UNLIMITED}))
    await store.write(lambda tx: quotas.claim(tx, "port", ["p1"], DEFAULTS))
