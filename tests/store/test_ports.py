"""Network ports as rows, on every kind of database; the signatures that the conductor builds on."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Conflict, Invalid, NotFound
from ironlane.model.fabric import AttachmentState
from ironlane.model.network import FixedIp, Pool, VifType
from ironlane.store import attachments, networks, physical_networks, ports, subnets
from ironlane.store.database import Store, Tx
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.subnets import NewSubnet
from ironlane.store.tables import ip_allocations, switch_ports, switches

PROFILE = {"local_link_information": [{"switch_id": "0011.2233.4401", "port_id": "swp1"}]}


def small_site(tx: Tx) -> str:
    physical_networks.put(tx, "physnet1", [[200, 299]])
    tx.execute(sa.insert(switches).values(id="sw1", mac="00:11:22:33:44:01", created_at=tx.now))
    tx.execute(sa.insert(switch_ports).values(switch_id="sw1", name="swp1"))
    network = networks.create(tx, NewNetwork())
    subnets.create(tx, NewSubnet(network.id, "10.0.0.0/28", 4))
    return network.id


async def test_the_life_of_a_provision_port(any_store: Store) -> None:
    """As the conductor drives it: create, bind, unbind, take the MAC address back, delete."""
    net = await any_store.write(small_site)
    port = await any_store.write(lambda tx: ports.create(tx, NewPort(net, vnic_type="baremetal", device_id="n1")))
    change = {"host_id": "n1", "profile": PROFILE, "mac_address": "52-54-00-00-00-01"}
    bound = await any_store.write(lambda tx: ports.update(tx, port.id, change))
    assert (bound.vif_type, bound.mac_address, bound.status) == (VifType.OTHER, "52:54:00:00:00:01", "DOWN")
    assert bound.status_reason == "waiting for switch sw1 (swp1)"
    found = await any_store.read(lambda tx: ports.find(tx, network_id=net, mac_address=["52:54:00:00:00:01", "x"]))
    assert found == [bound]
    with pytest.raises(Conflict) as refused:
        await any_store.write(lambda tx: ports.update(tx, port.id, {"mac_address": None}))
    assert refused.value.code == "PortBound"

    def unplug(tx: Tx) -> str:
        ports.update(tx, port.id, {"host_id": "", "profile": {}})
        return ports.update(tx, port.id, {"mac_address": None}).mac_address

    assert (await any_store.write(unplug)).startswith("fa:16:3e:")
    await any_store.write(lambda tx: ports.delete(tx, port.id))
    left = await any_store.read(lambda tx: attachments.of_network_port(tx, port.id))
    assert [a.state for a in left] == [AttachmentState.LEAVING]
    assert await any_store.read(lambda tx: tx.all(sa.select(ip_allocations))) == []
    with pytest.raises(NotFound):
        await any_store.write(lambda tx: ports.delete(tx, port.id))


async def test_a_refused_binding_stores_nothing(any_store: Store) -> None:
    net = await any_store.write(small_site)
    first = await any_store.write(
        lambda tx: ports.create(tx, NewPort(net, vnic_type="baremetal", host_id="n1", profile=PROFILE))
    )
    with pytest.raises(Conflict, match=first.id):
        await any_store.write(
            lambda tx: ports.create(tx, NewPort(net, vnic_type="baremetal", host_id="n2", profile=PROFILE))
        )
    assert await any_store.read(ports.find) == [first]


async def test_addresses_are_used_up_and_given_back(any_store: Store) -> None:
    net = await any_store.write(small_site)
    creations = (any_store.write(lambda tx: ports.create(tx, NewPort(net))) for _ in range(5))
    made = await asyncio.gather(*creations)
    made += [await any_store.write(lambda tx: ports.create(tx, NewPort(net))) for _ in range(8)]
    assert len({port.fixed_ips for port in made}) == len({port.mac_address for port in made}) == 13
    with pytest.raises(Conflict) as refused:
        await any_store.write(lambda tx: ports.create(tx, NewPort(net)))
    assert refused.value.code == "IpAddressGenerationFailure"
    victim = made[5]
    await any_store.write(lambda tx: ports.delete(tx, victim.id))
    again = await any_store.write(lambda tx: ports.create(tx, NewPort(net)))
    assert again.fixed_ips == victim.fixed_ips


async def test_a_second_subnet_helps_out(store: Store) -> None:
    net = await store.write(small_site)
    pools = [Pool("10.1.0.5", "10.1.0.5")]
    more = await store.write(lambda tx: subnets.create(tx, NewSubnet(net, "10.1.0.0/24", 4, allocation_pools=pools)))
    for _ in range(13):
        await store.write(lambda tx: ports.create(tx, NewPort(net)))
    last = await store.write(lambda tx: ports.create(tx, NewPort(net)))
    assert last.fixed_ips == (FixedIp(more.id, "10.1.0.5"),)


async def test_shrunken_pools_leave_addresses_alone(store: Store) -> None:
    net = await store.write(small_site)
    port = await store.write(lambda tx: ports.create(tx, NewPort(net)))
    subnet = (await store.read(lambda tx: subnets.of_network(tx, net)))[0]
    pools = [Pool("10.0.0.9", "10.0.0.10")]
    await store.write(lambda tx: subnets.update(tx, subnet.id, {"allocation_pools": pools}))
    renamed = await store.write(lambda tx: ports.update(tx, port.id, {"name": "n"}))
    assert [ip.ip_address for ip in renamed.fixed_ips] == ["10.0.0.2"]
    following = await store.write(lambda tx: ports.create(tx, NewPort(net)))
    assert [ip.ip_address for ip in following.fixed_ips] == ["10.0.0.9"]


async def test_what_cannot_change(store: Store) -> None:
    net = await store.write(small_site)
    port = await store.write(lambda tx: ports.create(tx, NewPort(net)))
    with pytest.raises(Invalid, match="status"):
        await store.write(lambda tx: ports.update(tx, port.id, {"status": "ACTIVE"}))
    assert await store.write(lambda tx: ports.update(tx, port.id, {"name": ""})) == port
