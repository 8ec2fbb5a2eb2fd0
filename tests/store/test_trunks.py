"""Rules of trunks as rows, and what a port that is in none does not pay for them."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.fabric import AttachmentState, SwitchId
from ironlane.model.network import IpAllocation, NetworkPort
from ironlane.store import networks, physical_networks, ports, subnets, switches, trunks
from ironlane.store.attachments import of_network_port
from ironlane.store.database import Store, Tx
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.prepared import Prepared
from ironlane.store.subnets import NewSubnet
from ironlane.store.switches import SwitchSpec
from ironlane.store.tables import attachments, trunk_subports
from ironlane.store.trunks import NewSubPort, NewTrunk

MAC = "02:00:00:00:00:01"
LINKED = {"local_link_information": [{"switch_id": MAC, "port_id": "p1"}]}


def furnish(tx: Tx) -> None:
    physical_networks.put(tx, "physnet1", [(200, 299)], 1500, 0)
    switches.put(tx, SwitchSpec(SwitchId("leaf"), "memory", "", frozenset({"p1", "p2"}), "physnet1", MAC))


def port(tx: Tx, name: str) -> NetworkPort:
    return ports.create(tx, NewPort(networks.create(tx, NewNetwork(name=name)).id, name=name))


def bind(tx: Tx, ident: str, host: str = "h1") -> NetworkPort:
    return ports.update(tx, ident, {"vnic_type": "baremetal", "host_id": host, "profile": LINKED})


@pytest.fixture
async def rack(any_store: Store) -> Store:
    await any_store.write(furnish)
    return any_store


async def test_sub_ports_stand_beside_the_parent_port(rack: Store) -> None:
    def work(tx: Tx) -> None:
        parent, red, blue = [port(tx, name) for name in ("parent", "red", "blue")]
        trunk = trunks.create(tx, NewTrunk(parent.id, sub_ports=[NewSubPort(red.id)]))
        bind(tx, parent.id)
        trunks.add_subports(tx, trunk.id, [NewSubPort(blue.id, "vlan", 202)])
        (base,) = of_network_port(tx, parent.id)
        for member, vlan in ((red, 201), (blue, 202)):
            (beside,) = of_network_port(tx, member.id)
            assert (beside.switch_port, beside.host, beside.lag) == (base.switch_port, "h1", None)
            assert (beside.vlan, beside.tagged, beside.state) == (vlan, True, AttachmentState.WANTED)
        assert ports.get(tx, blue.id).host_id == "h1"
        trunks.remove_subports(tx, trunk.id, [red.id])
        assert [a.state for a in of_network_port(tx, red.id)] == [AttachmentState.LEAVING]
        assert [a.state for a in of_network_port(tx, parent.id)] == [AttachmentState.WANTED]
        trunks.add_subports(tx, trunk.id, [NewSubPort(red.id)])
        held = [a for a in of_network_port(tx, red.id) if a.state is AttachmentState.HELD]
        assert len(held) == 1, "the same VLAN is still leaving"
        assert "has left VLAN 201" in ports.get(tx, red.id).status_reason

    await rack.write(work)


async def test_refused_whole(rack: Store) -> None:
    parent, red, blue = await rack.write(lambda tx: [port(tx, name) for name in ("parent", "red", "blue")])
    bad = NewTrunk(parent.id, sub_ports=[NewSubPort(red.id), NewSubPort(blue.id, "vlan", 201)])
    with pytest.raises(Invalid, match="name 202"):
        await rack.write(lambda tx: trunks.create(tx, bad))
    assert await rack.read(lambda tx: tx.all(sa.select(trunk_subports))) == []
    assert await rack.read(lambda tx: [ports.get(tx, p.id).trunk_id for p in (parent, red)]) == [None, None]
    with pytest.raises(Invalid):
        await rack.write(lambda tx: trunks.update(tx, parent.id, {"port_id": red.id}))
    for verb in (trunks.get, trunks.delete):
        with pytest.raises(NotFound):
            await rack.write(lambda tx, verb=verb: verb(tx, parent.id))


async def test_a_port_in_a_trunk_is_not_deleted_and_a_sub_port_not_bound(rack: Store) -> None:
    def make(tx: Tx) -> list[str]:
        parent, red = port(tx, "parent"), port(tx, "red")
        return [trunks.create(tx, NewTrunk(parent.id, sub_ports=[NewSubPort(red.id)])).id, parent.id, red.id]

    trunk, parent, red = await rack.write(make)
    for ident, code in ((parent, "PortInUseAsTrunkParent"), (red, "PortInUseAsSubPort")):
        with pytest.raises(Conflict) as caught:
            await rack.write(lambda tx, ident=ident: ports.delete(tx, ident))
        assert caught.value.code == code
    with pytest.raises(Conflict, match="subport"):
        await rack.write(lambda tx: bind(tx, red))
    same = await rack.write(lambda tx: ports.update(tx, red, {"host_id": "", "profile": {}, "name": "renamed"}))
    assert same.name == "renamed"
    await rack.write(lambda tx: trunks.delete(tx, trunk))
    await rack.write(lambda tx: [ports.delete(tx, ident) for ident in (red, parent)])


async def test_an_address_that_waits_for_a_host_is_given_when_the_parent_port_is_bound(rack: Store) -> None:
    def work(tx: Tx) -> None:
        parent, red = port(tx, "parent"), port(tx, "red")
        trunks.create(tx, NewTrunk(parent.id, sub_ports=[NewSubPort(red.id)]))
        assert ports.get(tx, red.id).ip_allocation is IpAllocation.DEFERRED
        subnets.create(tx, NewSubnet(network_id=red.network_id, cidr="10.0.0.0/24", ip_version=4))
        bind(tx, parent.id)
        after = ports.get(tx, red.id)
        assert (after.ip_allocation, [ip.ip_address for ip in after.fixed_ips]) == (
            IpAllocation.IMMEDIATE,
            ["10.0.0.2"],
        )

    await rack.write(work)


async def test_binding_again_changes_nothing(rack: Store) -> None:
    def work(tx: Tx) -> None:
        parent, red = port(tx, "parent"), port(tx, "red")
        trunks.create(tx, NewTrunk(parent.id, sub_ports=[NewSubPort(red.id)]))
        bind(tx, parent.id)
        before = tx.all(sa.select(attachments))
        revision = ports.get(tx, red.id).revision_number
        ports.update(tx, parent.id, {"profile": {**LINKED, "extra": 1}})
        assert tx.all(sa.select(attachments)) == before
        assert ports.get(tx, red.id).revision_number == revision

    await rack.write(work)


async def test_fewer_links_free_what_was_held_for_the_others(rack: Store) -> None:
    """A port held because of one of its links joins when it is bound again without that link."""

    def work(tx: Tx) -> None:
        old, new = port(tx, "old"), port(tx, "new")
        bind(tx, old.id)
        ports.update(tx, old.id, {"host_id": "", "profile": {}})
        both = [{"switch_id": MAC, "port_id": name} for name in ("p1", "p2")]
        changes = {"vnic_type": "baremetal", "host_id": "h2", "profile": {"local_link_information": both}}
        ports.update(tx, new.id, changes)
        assert {a.state for a in of_network_port(tx, new.id)} == {AttachmentState.HELD}
        ports.update(tx, new.id, {"profile": {"local_link_information": both[1:]}})
        assert [(a.port, a.state) for a in of_network_port(tx, new.id)] == [("p2", AttachmentState.WANTED)]

    await rack.write(work)


async def test_a_port_in_no_trunk_costs_no_statement_for_trunks(rack: Store) -> None:
    said: list[str] = []

    def work(tx: Tx) -> None:
        lone, execute = port(tx, "lone"), tx.execute

        def listening(statement: Any, parameters: Any = None) -> Any:
            said.append(str(statement.statement if isinstance(statement, Prepared) else statement))
            return execute(statement, parameters)

        tx.execute = listening  # type: ignore[method-assign]
        bind(tx, lone.id)
        ports.delete(tx, lone.id)

    await rack.write(work)
    assert said
    assert not [statement for statement in said if "trunks" in statement or "trunk_subports" in statement]
