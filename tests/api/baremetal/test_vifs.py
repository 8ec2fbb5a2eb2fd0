"""Tenant ports on nodes: which place they get, what their network ports say then, and how they leave."""

from __future__ import annotations

from typing import Any

import pytest

from ironlane.model.errors import Conflict
from ironlane.model.fabric import AttachmentState
from ironlane.model.network import NetworkPort
from ironlane.store import attachments, nodes, ports, vifs
from ironlane.store.database import Tx
from tests.api.baremetal.conftest import Baremetal, fault

State = AttachmentState


async def network_port(api: Baremetal, vif: str) -> NetworkPort:
    return await api.store.read(lambda tx: ports.get(tx, vif))


async def on_switch_ports(api: Baremetal, vif: str) -> set[str]:
    """Where a VIF is wanted: the switch ports that join its network."""
    found = await api.store.read(lambda tx: attachments.of_network_port(tx, vif))
    return {str(a.switch_port) for a in found if a.state is State.WANTED}


async def with_node(api: Baremetal, node: dict[str, Any], act: Any) -> None:
    def write(tx: Tx) -> None:
        act(tx, nodes.by_id(tx, node["uuid"]))

    await api.store.write(write)


async def two_bonds(api: Baremetal, name: str, first: int, priorities: tuple[int, int]) -> dict[str, Any]:
    """A node with two portgroups of two NICs each, on both switches."""
    node = await api.node(name)
    for index, priority in enumerate(priorities):
        group = await api.made(
            "portgroups",
            node_uuid=node["uuid"],
            name=f"{name}-bond{index}",
            mode="802.3ad",
            properties={"priority": priority, "miimon": 100},
        )
        for offset in range(2):
            await api.nic(node, first + 2 * index + offset, portgroup_uuid=group["uuid"])
    return node


async def attached(api: Baremetal, node: dict[str, Any], network: str) -> str:
    vif = await api.tenant_port(network)
    answer = await api.post(f"/v1/nodes/{node['uuid']}/vifs", {"id": vif})
    assert answer.status == 204, answer.body
    return vif


async def holder(api: Baremetal, vif: str) -> str | None:
    for group in (await api.shown("/v1/portgroups/detail"))["portgroups"]:
        if group["internal_info"].get("tenant_vif_port_id") == vif:
            return str(group["name"])
    return None


async def test_one_network_takes_the_portgroup_with_the_higher_priority(api: Baremetal) -> None:
    low_first = await two_bonds(api, "n1", 1, (1, 2))
    high_first = await two_bonds(api, "n2", 5, (7, 3))
    vif1, vif2 = await attached(api, low_first, "net1"), await attached(api, high_first, "net1")
    assert (await holder(api, vif1), await holder(api, vif2)) == ("n1-bond1", "n2-bond0")
    for node in (low_first, high_first):
        await api.put_in(node, provision_state="active")
        await with_node(api, node, vifs.plug)
    assert await on_switch_ports(api, vif1) == {"leaf-1/Ethernet3", "leaf-2/Ethernet4"}
    assert await on_switch_ports(api, vif2) == {"leaf-1/Ethernet5", "leaf-2/Ethernet6"}


async def test_two_networks_take_both_in_the_order_of_priority_and_a_third_is_refused(api: Baremetal) -> None:
    one, two = await two_bonds(api, "n1", 1, (1, 2)), await two_bonds(api, "n2", 5, (2, 1))
    for node, order in ((one, ["n1-bond1", "n1-bond0"]), (two, ["n2-bond0", "n2-bond1"])):
        held = [await attached(api, node, network) for network in ("net1", "net2")]
        assert [await holder(api, vif) for vif in held] == order
        assert await api.shown(f"/v1/nodes/{node['uuid']}/vifs") == {"vifs": [{"id": vif} for vif in held]}
        third = await api.tenant_port("net3")
        before = await api.everything()
        answer = await api.post(f"/v1/nodes/{node['uuid']}/vifs", {"id": third})
        assert answer.status == 400
        assert f"VIF {third}" in fault(answer)
        assert await api.everything() == before


async def test_a_vif_waits_without_links_until_it_is_plugged(api: Baremetal) -> None:
    node = await two_bonds(api, "n1", 1, (1, 2))
    vif = await attached(api, node, "net1")
    port = await network_port(api, vif)
    assert (port.host_id, port.vnic_type, dict(port.profile)) == (node["uuid"], "baremetal", {})
    assert port.mac_address == "52:54:00:00:00:03"
    assert await on_switch_ports(api, vif) == set()
    await with_node(api, node, vifs.plug)
    plugged = await network_port(api, vif)
    assert len(plugged.profile["local_link_information"]) == 2
    assert plugged.profile["local_group_information"]["bond_properties"] == {"bond_miimon": 100}
    await with_node(api, node, vifs.plug)
    assert await network_port(api, vif) == plugged
    await with_node(api, node, vifs.unplug)
    assert await on_switch_ports(api, vif) == set()
    assert (await network_port(api, vif)).host_id == node["uuid"]
    await with_node(api, node, vifs.detach_all)
    free = await network_port(api, vif)
    assert free.host_id == ""
    assert free.mac_address != "52:54:00:00:00:03"
    assert await api.shown("/v1/nodes/n1/vifs") == {"vifs": []}


async def test_an_active_node_is_plugged_at_once_and_lets_go_at_once(api: Baremetal) -> None:
    node = await api.node()
    await api.nic(node, 1)
    await api.put_in(node, provision_state="active")
    vif = await attached(api, node, "net1")
    assert await on_switch_ports(api, vif) == {"leaf-1/Ethernet1"}
    assert (await api.delete(f"/v1/nodes/n1/vifs/{vif}")).status == 204
    assert await on_switch_ports(api, vif) == set()
    again = await api.delete(f"/v1/nodes/n1/vifs/{vif}")
    assert again.status == 400
    assert "not attached" in fault(again)


async def test_a_vif_is_attached_to_one_node_once(api: Baremetal) -> None:
    one, two = await two_bonds(api, "n1", 1, (1, 2)), await two_bonds(api, "n2", 5, (2, 1))
    vif = await attached(api, one, "net1")
    for node in (one, two):
        before = await api.everything()
        answer = await api.post(f"/v1/nodes/{node['uuid']}/vifs", {"id": vif})
        assert answer.status == 409
        assert vif in fault(answer)
        assert await api.everything() == before


async def test_a_place_can_be_asked_for_since_1_67(api: Baremetal) -> None:
    node = await api.node()
    for number in (1, 2):
        await api.nic(node, number)
    second = (await api.shown("/v1/ports?address=52:54:00:00:00:02"))["ports"][0]["uuid"]
    vif = await api.tenant_port("net1")
    old = await api.post(
        "/v1/nodes/n1/vifs", {"id": vif, "port_uuid": second}, headers={"X-OpenStack-Ironic-API-Version": "1.66"}
    )
    assert old.status == 406
    assert (await api.post("/v1/nodes/n1/vifs", {"id": vif, "port_uuid": second})).status == 204
    assert (await network_port(api, vif)).mac_address == "52:54:00:00:00:02"


@pytest.mark.parametrize("state", ["deploying", "deleting"])
async def test_a_node_whose_switch_ports_are_being_moved_takes_no_vif(api: Baremetal, state: str) -> None:
    node = await api.node()
    await api.nic(node, 1)
    await api.put_in(node, provision_state=state)
    answer = await api.post("/v1/nodes/n1/vifs", {"id": await api.tenant_port("net1")})
    assert (answer.status, state in fault(answer)) == (409, True)


async def test_remap_follows_priorities_that_changed_and_keeps_what_was_pinned(api: Baremetal) -> None:
    node = await two_bonds(api, "n1", 1, (2, 1))
    first, second = await attached(api, node, "net1"), await attached(api, node, "net1")
    assert [await holder(api, vif) for vif in (first, second)] == ["n1-bond0", "n1-bond1"]
    await api.patch("/v1/portgroups/n1-bond1", {"op": "replace", "path": "/properties/priority", "value": 9})
    await with_node(api, node, vifs.remap)
    assert [await holder(api, vif) for vif in (first, second)] == ["n1-bond1", "n1-bond0"]
    assert (await network_port(api, first)).mac_address == "52:54:00:00:00:03"
    assert (await network_port(api, second)).mac_address == "52:54:00:00:00:01"
    assert (await network_port(api, first)).host_id == node["uuid"]
    settled = await api.everything()
    await with_node(api, node, vifs.remap)
    assert await api.everything() == settled


async def test_remap_leaves_a_chosen_place_alone(api: Baremetal) -> None:
    node = await two_bonds(api, "n1", 1, (2, 1))
    low = (await api.shown("/v1/portgroups/n1-bond1"))["uuid"]
    vif = await api.tenant_port("net1")
    assert (await api.post("/v1/nodes/n1/vifs", {"id": vif, "portgroup_uuid": low})).status == 204
    await with_node(api, node, vifs.remap)
    assert await holder(api, vif) == "n1-bond1"


@pytest.mark.parametrize("gone", ["port", "elsewhere"])
async def test_detach_copes_with_a_network_port_that_is_not_ours_any_more(api: Baremetal, gone: str) -> None:
    node = await api.node()
    await api.nic(node, 1)
    vif = await attached(api, node, "net1")
    if gone == "port":
        await api.store.write(lambda tx: ports.delete(tx, vif))
    else:
        taken = {"host_id": "another", "profile": {"local_link_information": [{"network_type": "unmanaged"}]}}
        await api.store.write(lambda tx: ports.update(tx, vif, taken))
        with pytest.raises(Conflict, match="bound to host another"):
            await with_node(api, node, vifs.plug)
        before = await network_port(api, vif)
        await with_node(api, node, vifs.unplug)
        assert await network_port(api, vif) == before
    assert (await api.delete(f"/v1/nodes/n1/vifs/{vif}")).status == 204
    assert await api.shown("/v1/nodes/n1/vifs") == {"vifs": []}


async def test_a_server_that_is_taken_off_record_leaves_its_tenants_networks(api: Baremetal) -> None:
    node = await two_bonds(api, "n1", 1, (1, 1))
    vif = await attached(api, node, "net1")
    await with_node(api, node, vifs.plug)
    assert await on_switch_ports(api, vif)
    await api.put_in(node, provision_state="active", maintenance=True)
    assert (await api.delete("/v1/nodes/n1")).status == 204
    assert await on_switch_ports(api, vif) == set(), "nobody else would ever take them off"
    assert (await network_port(api, vif)).host_id == ""
