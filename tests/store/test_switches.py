"""Switches, their ports and plans as rows, on each kind of database."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.fabric import HostId, Lag, PortConfig, PortMode, Side, SwitchId, Vlan
from ironlane.model.inventory import VlanRange
from ironlane.model.link import LocalLink
from ironlane.model.plan import Change, Plan
from ironlane.store import attachments, bindings, physical_networks, plans, settling, switches, tenant_vlans
from ironlane.store import segments as segment_rows
from ironlane.store.database import Hint, Store, Tx
from ironlane.store.plans import Outcome
from ironlane.store.switches import SwitchRecord, SwitchSpec
from ironlane.store.tables import metadata, segments, switch_ports, write_turn

LEAF = SwitchSpec(
    id=SwitchId("leaf-1"),
    kind="openconfig",
    address="192.0.2.11",
    ports=frozenset({"Ethernet1/1", "Ethernet1/2"}),
    physical_network="physnet1",
    mac="02:00:00:00:00:01",
    idle_vlan=Vlan(99),
    options={"lag_name": "ae{number}"},
)


@pytest.fixture
async def store(any_store: Store) -> Store:
    await any_store.write(lambda tx: physical_networks.put(tx, "physnet1", [[200, 299]]))
    await put(any_store, LEAF)
    return any_store


async def put(store: Store, spec: SwitchSpec) -> SwitchRecord:
    return await store.write(lambda tx: switches.put(tx, spec))


async def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    def read(tx: Tx) -> dict[str, list[tuple[object, ...]]]:
        tables = (table for table in metadata.sorted_tables if table is not write_turn)
        return {table.name: [tuple(row) for row in tx.all(sa.select(table))] for table in tables}

    return await store.read(read)


async def attach(store: Store, port: str = "Ethernet1/1", *, vlan: int = 200) -> None:
    def bind(tx: Tx) -> None:
        link = LocalLink(port, LEAF.mac)
        wish = bindings.Wish("np-1", "net-1", HostId("host-1"), Vlan(vlan), "physnet1", Side.TENANT, [link])
        bindings.bind(tx, wish)

    await store.write(bind)


async def take_vlan(store: Store, vlan: int) -> None:
    row = {"physical_network": "physnet1", "vlan": vlan, "network_id": "net-1"}
    await store.write(lambda tx: tx.execute(sa.insert(segments).values(**row)))


async def test_a_new_switch_is_due(store: Store) -> None:
    record = await store.read(lambda tx: switches.get(tx, "leaf-1"))
    assert (record.generation, record.applied_generation, record.state) == (1, 0, "unknown")
    assert record.due_at is not None
    assert record.options == {"lag_name": "ae{number}"}
    managed = await store.read(lambda tx: switches.managed_ports(tx, "leaf-1"))
    assert (managed.names, managed.idle_vlan) == (LEAF.ports, 99)
    assert [port.observed for port in await store.read(lambda tx: switches.ports_of(tx, "leaf-1"))] == [None, None]


async def test_saying_the_same_again_changes_nothing_and_wakes_nobody(store: Store) -> None:
    hints: list[Hint] = []
    store.listen(hints.append)
    before = await rows(store)
    await put(store, LEAF)
    assert await rows(store) == before
    assert hints == []


async def test_a_change_is_a_new_generation_due_at_once(store: Store) -> None:
    hints: list[Hint] = []
    store.listen(hints.append)
    record = await put(store, replace(LEAF, idle_vlan=None, ports=frozenset({"Ethernet1/2", "Ethernet1/3"})))
    assert (record.generation, record.idle_vlan) == (2, None)
    assert record.updated_at is not None
    assert hints == [Hint("switch", "leaf-1")]
    assert (await store.read(switches.port_names))["leaf-1"] == ["Ethernet1/2", "Ethernet1/3"]


CONTRADICTIONS: list[tuple[dict[str, object], type[Conflict | Invalid], str]] = [
    ({"id": "leaf-2"}, Conflict, "mac"),
    ({"id": "leaf-2", "mac": None, "datapath_id": "00000000000000aa"}, Conflict, "datapath_id"),
    ({"id": "leaf-3", "mac": None, "mlag_peer": "leaf-1"}, Conflict, "mlag_peer"),
    ({"mlag_peer": "leaf-1"}, Invalid, "mlag_peer"),
    ({"physical_network": "nowhere"}, Invalid, "physical_network"),
    ({"idle_vlan": 250}, Invalid, "idle_vlan"),
    ({"idle_vlan": 250, "physical_network": ""}, Invalid, "idle_vlan"),
    ({"idle_vlan": 100}, Conflict, "idle_vlan"),
]


async def test_what_contradicts_the_rest_is_refused_and_nothing_stored(store: Store) -> None:
    other = replace(LEAF, id=SwitchId("ovs"), mac=None, datapath_id="00000000000000aa", mlag_peer="leaf-1")
    await put(store, other)
    await take_vlan(store, 100)
    before = await rows(store)
    for change, error, field in CONTRADICTIONS:
        with pytest.raises(error) as caught:
            await put(store, replace(LEAF, **change))  # type: ignore[arg-type]
        assert caught.value.field == field, change
    assert await rows(store) == before


async def test_a_port_that_somebody_is_on_cannot_be_given_up(store: Store) -> None:
    await attach(store)
    before = await rows(store)
    smaller = replace(LEAF, ports=frozenset({"Ethernet1/2"}))
    with pytest.raises(Conflict, match="np-1"):
        await put(store, smaller)
    with pytest.raises(Conflict, match="np-1"):
        await put(store, replace(LEAF, physical_network=""))
    with pytest.raises(Conflict, match="np-1"):
        await store.write(lambda tx: switches.delete(tx, "leaf-1"))
    assert await rows(store) == before
    await store.write(lambda tx: bindings.unbind(tx, "np-1"))  # it leaves, but has not been seen to be gone
    with pytest.raises(Conflict, match="leaving"):
        await put(store, smaller)

    def gone(tx: Tx) -> None:
        observed = {"Ethernet1/1": PortConfig(untagged=Vlan(99))}
        settling.settle(tx, LEAF.id, attachments.of_switch(tx, LEAF.id), observed)

    await store.write(gone)
    await put(store, smaller)
    await store.write(lambda tx: switches.delete(tx, "leaf-1"))
    assert await store.read(switches.all_) == []


async def test_of_what_is_not_there(store: Store) -> None:
    for work in (switches.get, switches.delete, switches.managed_ports, switches.make_due):
        with pytest.raises(NotFound) as caught:
            await store.write(lambda tx, work=work: work(tx, "leaf-9"))  # type: ignore[misc]
        assert caught.value.code == "SwitchNotFound"


async def test_reconcile_makes_a_switch_due_without_a_new_generation(store: Store) -> None:
    record = await store.write(lambda tx: switches.make_due(tx, "leaf-1"))
    assert record.generation == 1
    assert record.due_at is not None


async def test_plans_are_kept_with_their_outcome(store: Store) -> None:
    after = PortConfig(PortMode.TRUNK, Vlan(5), frozenset({Vlan(6)}), Lag(7), description="ironlane n1")
    plan = Plan(LEAF.id, (Change("Ethernet1/1", PortConfig(), after, ("np-1", "np-2")),))
    first = await store.write(lambda tx: plans.save(tx, LEAF.id, 3, plan, ["line 1", "line 2"]))
    second = await store.write(lambda tx: plans.save(tx, LEAF.id, 4, Plan(LEAF.id), []))
    (record, _) = await store.read(lambda tx: plans.unfinished(tx, LEAF.id))
    assert (record.id, record.plan, record.rendered, record.outcome) == (first, plan, ("line 1", "line 2"), "saved")
    await store.write(lambda tx: plans.finish(tx, first, "applied"))
    assert len(await store.read(lambda tx: plans.unfinished(tx, LEAF.id))) == 2
    await store.write(lambda tx: plans.finish(tx, first, "verified"))
    await store.write(lambda tx: plans.finish(tx, second, Outcome.FAILED, "refused"))
    assert await store.read(lambda tx: plans.unfinished(tx, LEAF.id)) == []
    newest = await store.read(lambda tx: plans.latest(tx, "leaf-1", limit=1))
    assert [(p.id, p.outcome, p.reason, p.finished_at is None) for p in newest] == [
        (second, "failed", "refused", False)
    ]
    with pytest.raises(NotFound):
        await store.write(lambda tx: plans.finish(tx, "nonesuch", "verified"))


TAKEN_OR_TWICE = [
    ([VlanRange(210, 299)], "VLAN 200 cannot leave"),
    ([VlanRange(200, 299), VlanRange(100, 110)], "VLAN 100 cannot become a tenant VLAN of physnet1: provider"),
    ([VlanRange(90, 99), VlanRange(200, 299)], "idle switch ports carry it"),
    ([], "VLAN 200 cannot leave"),
]


async def test_tenant_vlans_that_would_be_taken_away_or_given_twice(store: Store) -> None:
    await take_vlan(store, 200)
    await take_vlan(store, 100)
    before = await rows(store)
    for ranges, message in TAKEN_OR_TWICE:
        with pytest.raises(Conflict, match=message) as caught:
            await store.write(lambda tx, ranges=ranges: tenant_vlans.put(tx, "physnet1", ranges, 1500, 0))  # type: ignore[misc]
        assert caught.value.field == "tenant_vlans"
    assert await rows(store) == before
    await store.write(lambda tx: tenant_vlans.put(tx, "physnet1", [VlanRange(200, 210)], 1500, 0))


async def test_a_physical_network_in_use_is_not_deleted(store: Store) -> None:
    with pytest.raises(Conflict, match="switch leaf-1"):
        await store.write(lambda tx: tenant_vlans.delete(tx, "physnet1"))
    await store.write(lambda tx: switches.delete(tx, "leaf-1"))
    await take_vlan(store, 100)
    with pytest.raises(Conflict, match="VLAN 100"):
        await store.write(lambda tx: tenant_vlans.delete(tx, "physnet1"))
    await store.write(lambda tx: tx.execute(sa.delete(segments)))
    await store.write(lambda tx: tenant_vlans.delete(tx, "physnet1"))
    with pytest.raises(NotFound):
        await store.write(lambda tx: tenant_vlans.delete(tx, "physnet1"))


async def test_idle_vlans_that_a_switch_behind_its_rows_may_still_carry(store: Store) -> None:
    shown = {"Ethernet1/1": {"untagged": 251}, "Ethernet1/2": {"untagged": None}}

    def observed(tx: Tx) -> None:
        for name, port in shown.items():
            tx.execute(sa.update(switch_ports).where(switch_ports.c.name == name).values(observed=port))

    await store.write(observed)
    assert await store.read(lambda tx: segment_rows.idle_vlans(tx, "physnet1")) == {99, 251}
