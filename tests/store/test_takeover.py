"""Taking over what was somebody else's: each thing for itself, in one transaction."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.model.fabric import DriftPolicy, Side, SwitchId
from ironlane.model.states import ProvisionState
from ironlane.store import leases, networks, nodes, physical_networks, ports, switches
from ironlane.store.database import Store, Tx
from ironlane.store.leases import Membership
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.switches import SwitchSpec
from ironlane.store.tables import segments
from ironlane.store.tables import switches as switch_rows
from ironlane.store.takeover import Document, Taken, take_over

RED, BLUE, PORT, OTHER, NODE = (str(uuid.UUID(int=number)) for number in range(1, 6))
MAC = "02:00:00:00:00:01"
LINKS = {"local_link_information": [{"switch_id": MAC, "port_id": "p1", "switch_info": "leaf-1"}]}


def network(ident: str, vlan: int, **changed: Any) -> NewNetwork:
    whole = NewNetwork(name=f"net-{vlan}", id=ident, segmentation_id=vlan, physical_network="physnet1")
    return replace(whole, side=Side.TENANT, **changed)


def port(ident: str, net: str, host: str = NODE, profile: Any = LINKS) -> NewPort:
    mac = f"52:54:00:00:00:{int(ident[-2:], 16):02x}"
    return NewPort(net, id=ident, mac_address=mac, vnic_type="baremetal", host_id=host, profile=profile, fixed_ips=[])


@pytest.fixture
async def site(any_store: Store) -> Store:
    def work(tx: Tx) -> None:
        physical_networks.put(tx, "physnet1", [(200, 210)], 1500, 0)
        spec = SwitchSpec(SwitchId("leaf-1"), "memory", "", frozenset({"p1", "p2"}), "physnet1", MAC)
        switches.put(tx, replace(spec, policy=DriftPolicy.OBSERVE))
        tx.execute(sa.update(switch_rows).values(observed_at=tx.now))
        leases.join(tx, Membership("c1", [{"name": "redfish", "required": [], "properties": {}}]))

    await any_store.write(work)
    return any_store


async def taken(store: Store, **document: Any) -> dict[str, tuple[str, str]]:
    found: list[Taken] = await store.write(lambda tx: take_over(tx, Document(**document)))
    return {one.id: (one.action.value, one.reason) for one in found}


async def test_one_that_is_refused_holds_up_no_other_and_leaves_no_trace(site: Store) -> None:
    """The second port is refused after its row was written: its switch port is the first one's."""
    found = await taken(
        site,
        networks=[network(RED, 201), network(BLUE, 201), network(str(uuid.UUID(int=9)), 202)],
        ports=[port(PORT, RED), port(OTHER, RED)],
    )
    assert [action for action, _ in found.values()] == ["created", "conflict", "created", "created", "conflict"]
    assert f"in use by network {RED}" in found[BLUE][1]
    assert f"in use by network port {PORT}" in found[OTHER][1]
    assert [p.id for p in await site.read(ports.find)] == [PORT]
    assert await site.read(lambda tx: {row.vlan for row in tx.all(sa.select(segments.c.vlan))}) == {201, 202}
    again = await taken(site, networks=[network(RED, 201)], ports=[port(PORT, RED)])
    assert {action for action, _ in again.values()} == {"unchanged"}


async def test_sides_are_told_and_stay(site: Store) -> None:
    shared = network(BLUE, 301, shared=True)
    found = await taken(site, networks=[replace(network(RED, 300), side=Side.PROVIDER), shared])
    assert {action for action, _ in found.values()} == {"created"}
    renamed = [await site.write(lambda tx, n=n: networks.update(tx, n, {"name": "x"})) for n in (RED, BLUE)]
    assert [(n.side, n.vlan) for n in renamed] == [(Side.PROVIDER, 300), (Side.TENANT, 301)]
    both = replace(network(PORT, 302, shared=True), side=Side.PROVIDER)
    assert "cannot stand on the provider side" in (await taken(site, networks=[both]))[PORT][1]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"provision_state": ProvisionState.DEPLOYING}, "is deploying; it can be taken over when it is"),
        ({"driver": "ilo"}, "no conductor has driver ilo; there is redfish"),
        ({"driver_info": {"redfish_password": "******"}}, "driver_info.redfish_password: is masked"),
    ],
)
async def test_nodes_that_cannot_be_taken_over(site: Store, changed: dict[str, Any], reason: str) -> None:
    columns = {"id": NODE, "name": "n", "driver": "redfish", "provision_state": ProvisionState.ACTIVE}
    told = (await taken(site, nodes=[columns | changed]))[NODE]
    assert (told[0], reason in told[1]) == ("conflict", True), told
    assert await site.read(nodes.find) == []
    nic = {"id": PORT, "node_id": NODE, "address": "52:54:00:00:00:01"}
    assert "Node" in (await taken(site, nics=[nic]))[PORT][1]
    assert (await taken(site, nodes=[columns]))[NODE] == ("created", "")
    assert (await site.read(lambda tx: nodes.by_id(tx, NODE))).provision_state is ProvisionState.ACTIVE
