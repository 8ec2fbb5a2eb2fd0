"""Corners in which an invariant could be lost: idle VLANs, links without a switch of ours, deleted servers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ironlane.model.errors import Invalid
from ironlane.model.fabric import SwitchId, Vlan
from ironlane.model.plan import Plan
from ironlane.store import baremetal_ports, networks, ports, switches
from ironlane.store.database import Store, Tx
from ironlane.store.networks import NewNetwork
from ironlane.store.switches import SwitchSpec
from tests.conductor.site import MACS, PORTS, Site


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


async def test_an_idle_vlan_is_nobody_elses_while_a_switch_may_still_carry_it(site: Site) -> None:
    spec = SwitchSpec(SwitchId("leaf-1"), "memory", "", frozenset(PORTS), "physnet1", MACS["leaf-1"])
    wish = NewNetwork(name="x", physical_network="physnet1", segmentation_id=99)
    async with site.conductor():
        await site.store.write(lambda tx: switches.put(tx, replace(spec, idle_vlan=Vlan(99))))
        await site.until(lambda tx: _idle_vlan(tx) == 99, "idle VLAN 99")
        site.leaves["leaf-1"].unreachable = True
        await site.store.write(lambda tx: switches.put(tx, spec))
        with pytest.raises(Invalid, match="idle VLAN"):
            await site.store.write(lambda tx: networks.create(tx, wish))
        site.leaves["leaf-1"].unreachable = False
        await site.until(lambda tx: _idle_vlan(tx) is None, "off the ports")
        assert (await site.store.write(lambda tx: networks.create(tx, wish))).vlan == 99


def _idle_vlan(tx: Tx) -> int | None:
    """What all ports of leaf-1 were read back to carry; 0 while that is not settled."""
    record = switches.get(tx, "leaf-1")
    carried = {port.observed.untagged if port.observed else 0 for port in switches.ports_of(tx, SwitchId("leaf-1"))}
    return carried.pop() if record.generation == record.applied_generation and len(carried) == 1 else 0


async def test_links_without_a_switch_of_ours_hold_nobody_up(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)

        def unmanage(tx: Tx) -> None:
            for port in baremetal_ports.of_node(tx, node.id):
                baremetal_ports.update(tx, port.id, {"local_link_connection": {"network_type": "unmanaged"}})

        await site.store.write(unmanage)
        await site.to_available(node)
        port = await site.tenant_port("red")
        await site.attach(node, port)
        await site.to_active(node)
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}


async def test_an_error_that_nobody_foresaw_is_told_on_the_switch_and_tried_again(site: Site) -> None:
    def broken(_plan: Plan) -> tuple[str, ...]:
        raise ValueError("secret words")

    leaf = site.leaves["leaf-1"]
    leaf.render, whole = broken, leaf.render  # type: ignore[method-assign]
    async with site.conductor():
        await site.until(lambda tx: "unforeseen ValueError" in switches.get(tx, "leaf-1").reason, "told")
        assert "secret" not in (await site.store.read(lambda tx: switches.get(tx, "leaf-1"))).reason
        leaf.render = whole  # type: ignore[method-assign]
        await site.until(lambda tx: switches.get(tx, "leaf-1").state == "ok", "tried again")


async def test_a_port_on_unmanaged_links_says_so_truthfully(site: Site) -> None:
    port = await site.tenant_port("red")
    profile = {"local_link_information": [{"network_type": "unmanaged"}]}
    change = {"vnic_type": "baremetal", "host_id": "somewhere", "profile": profile}
    await site.store.write(lambda tx: ports.update(tx, port, change))
    assert (await site.store.read(lambda tx: ports.get(tx, port))).status == "ACTIVE"
    await site.store.write(lambda tx: ports.update(tx, port, {"host_id": "", "profile": {}}))
    assert (await site.store.read(lambda tx: ports.get(tx, port))).status == "DOWN"
