"""Nodes, NICs, portgroups and conductors as rows: what is unique, what wakes the loop, what is deleted with what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.node import Node
from ironlane.store import baremetal_ports, conductors, nodes, portgroups, tables
from ironlane.store.database import Hint, Store, Tx

UUID = "5eba08c7-c901-4bee-9522-57d35501f1cc"


@pytest.fixture
async def node(store: Store) -> Node:
    return await store.write(lambda tx: nodes.create(tx, {"id": UUID, "name": "n1", "driver": "ipmi"}))


async def test_a_node_is_found_by_uuid_and_name(store: Store, node: Node) -> None:
    for ident in (UUID, UUID.upper(), "n1"):
        assert await store.read(lambda tx, ident=ident: nodes.get(tx, ident)) == node
    with pytest.raises(NotFound, match="nosuch"):
        await store.read(lambda tx: nodes.get(tx, "nosuch"))
    assert await store.read(lambda tx: nodes.find(tx, driver="ipmi")) == [node]
    assert await store.read(lambda tx: nodes.find(tx, driver="redfish")) == []


async def test_what_is_another_nodes_is_refused(store: Store, node: Node) -> None:
    await store.write(lambda tx: nodes.update(tx, node.id, {"instance_uuid": UUID}))
    other = await store.write(lambda tx: nodes.create(tx, {"name": "n2", "driver": "ipmi"}))
    refused: list[tuple[Callable[[Tx], Any], str]] = [
        (lambda tx: nodes.create(tx, {"id": UUID, "driver": "ipmi"}), "NodeAlreadyExists"),
        (lambda tx: nodes.create(tx, {"name": "n1", "driver": "ipmi"}), "DuplicateName"),
        (lambda tx: nodes.update(tx, other.id, {"name": "n1"}), "DuplicateName"),
        (lambda tx: nodes.update(tx, other.id, {"instance_uuid": UUID}), "InstanceAssociated"),
    ]
    for transaction, code in refused:
        with pytest.raises(Conflict) as caught:
            await store.write(transaction)
        assert caught.value.code == code
    same = await store.write(lambda tx: nodes.update(tx, node.id, {"name": "n1", "instance_uuid": UUID}))
    assert same.name == "n1"
    with pytest.raises(NotFound):
        await store.write(lambda tx: nodes.update(tx, "nosuch", {"name": "n3"}))


async def test_only_a_due_time_wakes_the_loop(store: Store, node: Node) -> None:
    heard: list[Hint] = []
    store.listen(heard.append)
    await store.write(lambda tx: nodes.update(tx, node.id, {"extra": {"a": 1}, "due_at": None}))
    assert heard == []
    wishes: list[Callable[[Tx], Node]] = [
        lambda tx: nodes.request_power(tx, nodes.by_id(tx, node.id), "power on"),
        lambda tx: nodes.request_boot_device(tx, nodes.by_id(tx, node.id), "pxe", persistent=True),
        lambda tx: nodes.request_state(tx, nodes.by_id(tx, node.id), "manage", {"last_error": "x"}),
    ]
    for number, wish in enumerate(wishes, 2):
        assert (await store.write(wish)).generation == number
    assert heard == [Hint("node", node.id)] * 3
    with pytest.raises(Invalid, match="power target"):
        await store.write(lambda tx: nodes.request_power(tx, node, "on"))


async def test_nics_and_portgroups_are_unique_and_go_with_their_node(store: Store, node: Node) -> None:
    group = await store.write(
        lambda tx: portgroups.create(tx, {"node_id": node.id, "name": "bond0", "address": "52:54:00:00:00:01"})
    )
    nic = await store.write(
        lambda tx: baremetal_ports.create(
            tx, {"node_id": node.id, "name": "eth0", "address": "52:54:00:00:00:01", "portgroup_id": group.id}
        )
    )
    assert await store.read(lambda tx: baremetal_ports.of_portgroup(tx, group.id)) == [nic]
    taken = {"node_id": node.id, "address": "52:54:00:00:00:02"}
    refused: list[tuple[Callable[[Tx], Any], str]] = [
        (lambda tx: baremetal_ports.create(tx, {**taken, "address": nic.address}), "MACAlreadyExists"),
        (lambda tx: baremetal_ports.create(tx, {**taken, "name": "eth0"}), "PortDuplicateName"),
        (lambda tx: baremetal_ports.create(tx, {**taken, "id": nic.id}), "PortAlreadyExists"),
        (lambda tx: portgroups.create(tx, {"node_id": node.id, "address": group.address}), "PortgroupMACAlreadyExists"),
        (lambda tx: portgroups.create(tx, {"node_id": node.id, "name": "bond0"}), "PortgroupDuplicateName"),
        (lambda tx: portgroups.create(tx, {"node_id": node.id, "id": group.id}), "PortgroupAlreadyExists"),
    ]
    for transaction, code in refused:
        with pytest.raises(Conflict) as caught:
            await store.write(transaction)
        assert caught.value.code == code
    with pytest.raises(Invalid, match="not empty"):
        await store.write(lambda tx: portgroups.delete(tx, group.id))
    await store.write(lambda tx: nodes.delete(tx, node.id))
    assert await store.read(lambda tx: (baremetal_ports.find(tx), portgroups.find(tx), nodes.find(tx))) == ([], [], [])


async def test_a_conductor_that_is_not_heard_of_has_no_drivers(store: Store) -> None:
    def write(tx: Tx) -> None:
        for number, age in enumerate((0, 0, 90)):
            row = {"hostname": f"c{number}", "heartbeat_at": tx.now - timedelta(seconds=age), "created_at": tx.now}
            drivers = [{"name": f"d{number % 2}", "required": ["a"], "properties": {"a": "what"}}, {"name": "all"}]
            tx.execute(sa.insert(tables.conductors).values(**row, drivers=drivers))

    await store.write(write)
    found = await store.read(lambda tx: conductors.drivers(tx, 60.0))
    assert {name: hosts for name, (_, hosts) in found.items()} == {"d0": ["c0"], "d1": ["c1"], "all": ["c0", "c1"]}
    assert (found["d0"][0].required, found["d0"][0].properties) == (("a",), {"a": "what"})
    with pytest.raises(NotFound, match="nosuch"):
        await store.read(lambda tx: conductors.get(tx, "nosuch"))
