"""Ports: addresses, DHCP options, and binding to switch ports."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.model.fabric import AttachmentState
from ironlane.store import attachments
from ironlane.store.database import Store, Tx
from ironlane.store.tables import switches
from tests.api.networking import site
from tests.api.networking.conftest import Networking

BOUND = {"binding:vnic_type": "baremetal", "binding:host_id": "host-1"}
PROFILE = site.profile(site.link())


@pytest.fixture
async def net(networking: Networking) -> str:
    made = await networking.made("networks", name="tenant")
    await networking.made("subnets", network_id=made["id"], cidr="10.0.0.0/24", ip_version=4)
    return str(made["id"])


async def states(store: Store, port: str) -> list[AttachmentState]:
    return [a.state for a in await store.read(lambda tx: attachments.of_network_port(tx, port))]


async def test_defaults(networking: Networking, net: str) -> None:
    port = await networking.made("ports", network_id=net)
    assert port["mac_address"].startswith("fa:16:3e:")
    assert [ip["ip_address"] for ip in port["fixed_ips"]] == ["10.0.0.2"]
    assert (port["status"], port["binding:vif_type"], port["binding:vif_details"]) == ("DOWN", "unbound", {})
    assert (port["binding:vnic_type"], port["ip_allocation"], port["revision_number"]) == ("normal", "immediate", 1)


async def test_addresses_by_wish(networking: Networking, net: str) -> None:
    sub = (await networking.listed("subnets"))[0]["id"]
    wish = [{"ip_address": "10.0.0.9"}, {"subnet_id": sub}, {"subnet_id": sub, "ip_address": "10.0.0.2"}]
    port = await networking.made("ports", network_id=net, fixed_ips=wish)
    assert {ip["ip_address"] for ip in port["fixed_ips"]} == {"10.0.0.9", "10.0.0.2", "10.0.0.3"}
    kept = await networking.changed("ports", port["id"], fixed_ips=[{"subnet_id": sub}, {"ip_address": "10.0.0.9"}])
    assert len(kept["fixed_ips"]) == 2
    assert {ip["ip_address"] for ip in kept["fixed_ips"]} < {ip["ip_address"] for ip in port["fixed_ips"]}
    none = await networking.changed("ports", port["id"], fixed_ips=[])
    assert (none["fixed_ips"], none["ip_allocation"]) == ([], "none")
    assert [ip["ip_address"] for ip in (await networking.made("ports", network_id=net))["fixed_ips"]] == ["10.0.0.2"]


async def test_deferred_addresses_come_with_the_binding(networking: Networking, store: Store) -> None:
    made = await networking.made("networks")
    port = await networking.made("ports", network_id=made["id"])
    assert (port["fixed_ips"], port["ip_allocation"]) == ([], "deferred")
    await networking.made("subnets", network_id=made["id"], cidr="10.1.0.0/24", ip_version=4)
    bound = await networking.changed("ports", port["id"], **BOUND, **{"binding:profile": {}})
    assert [ip["ip_address"] for ip in bound["fixed_ips"]] == ["10.1.0.2"]
    assert (bound["ip_allocation"], bound["binding:vif_type"]) == ("immediate", "other")
    assert await states(store, port["id"]) == []


async def test_dhcp_options_are_merged(networking: Networking, net: str) -> None:
    first = [{"opt_name": "67", "opt_value": "a"}, {"opt_name": "66", "opt_value": "b", "ip_version": 4}]
    port = await networking.made(
        "ports", network_id=net, extra_dhcp_opts=[*first, {"opt_name": "61", "opt_value": None}]
    )
    assert port["extra_dhcp_opts"] == [{"ip_version": 4, **option} for option in first]
    change = [
        {"opt_name": "67", "opt_value": "c"},
        {"opt_name": "66", "opt_value": None},
        {"opt_name": "59", "opt_value": "http://[fd00::1]/x", "ip_version": "6"},
        {"opt_name": "150", "opt_value": None},
    ]
    changed = await networking.changed("ports", port["id"], extra_dhcp_opts=change)
    assert changed["extra_dhcp_opts"] == [
        {"opt_name": "67", "opt_value": "c", "ip_version": 4},
        {"opt_name": "59", "opt_value": "http://[fd00::1]/x", "ip_version": 6},
    ]
    assert changed["revision_number"] == 2
    assert (await networking.changed("ports", port["id"], extra_dhcp_opts=[])) == changed


async def test_a_binding_is_active_when_it_was_read_back(networking: Networking, store: Store, net: str) -> None:
    port = await networking.made("ports", network_id=net, **BOUND, **{"binding:profile": PROFILE})
    assert (port["status"], port["binding:vif_type"]) == ("DOWN", "other")
    assert port["binding:vif_details"]["reason"] == "waiting for switch sw1 (Ethernet1/2)"
    await store.write(site.converge)
    active = await networking.shown("ports", port["id"])
    assert (active["status"], active["binding:vif_details"]) == ("ACTIVE", {"bound_drivers": {"0": "ironlane"}})
    again = await networking.changed("ports", port["id"], **BOUND, **{"binding:profile": PROFILE})
    assert again == active
    down = await networking.changed("ports", port["id"], admin_state_up=False)
    assert (down["status"], down["binding:vif_type"]) == ("DOWN", "other")
    assert await states(store, port["id"]) == [AttachmentState.LEAVING]
    up = await networking.changed("ports", port["id"], admin_state_up=True)
    assert up["status"] == "DOWN"
    await store.write(site.converge)
    assert (await networking.shown("ports", port["id"]))["status"] == "ACTIVE"


@pytest.mark.parametrize("nothing", ["", None])
async def test_unbinding_frees_the_mac_address(networking: Networking, store: Store, net: str, nothing: Any) -> None:
    port = await networking.made(
        "ports", network_id=net, mac_address="52:54:00:00:01:01", **BOUND, **{"binding:profile": PROFILE}
    )
    unbound = await networking.changed("ports", port["id"], **{"binding:host_id": nothing, "binding:profile": None})
    assert (unbound["binding:vif_type"], unbound["binding:profile"], unbound["binding:host_id"]) == ("unbound", {}, "")
    assert await states(store, port["id"]) == [AttachmentState.LEAVING]
    fresh = await networking.changed("ports", port["id"], mac_address=None)
    assert fresh["mac_address"].startswith("fa:16:3e:")


async def test_a_server_is_never_on_both_sides(networking: Networking, store: Store, net: str) -> None:
    """DELETE of the provision port and PUT of the tenant port back to back, as Ironic does: the second one waits."""
    provider = {"provider:physical_network": "physnet1", "provider:segmentation_id": 100}
    prov = await networking.made("networks", **provider)
    ramdisk = await networking.made("ports", network_id=prov["id"], **BOUND, **{"binding:profile": PROFILE})
    await store.write(site.converge)
    vif = await networking.made("ports", network_id=net)
    await networking.delete(f"/v2.0/ports/{ramdisk['id']}")
    other = site.profile(site.link("sw2", 2))
    held = await networking.changed("ports", vif["id"], **BOUND, **{"binding:profile": other})
    assert await states(store, vif["id"]) == [AttachmentState.HELD]
    assert "has left VLAN 100" in held["binding:vif_details"]["reason"]
    await store.write(site.converge)
    await store.write(site.converge)
    assert (await networking.shown("ports", vif["id"]))["status"] == "ACTIVE"


async def test_a_bond_across_two_switches(networking: Networking, store: Store, net: str) -> None:
    links = [site.link("sw1", 3), site.link("sw2", 3)]
    group = {"id": "g1", "name": "bond0", "bond_mode": "802.3ad", "bond_properties": {"bond_lacp_rate": "fast"}}
    bond = site.profile(*links, local_group_information=group)
    port = await networking.made("ports", network_id=net, **BOUND, **{"binding:profile": bond})
    assert port["binding:profile"] == bond
    placed = await store.read(lambda tx: attachments.of_network_port(tx, port["id"]))
    assert {(a.switch, a.port, a.vlan) for a in placed} == {("sw1", "Ethernet1/3", 200), ("sw2", "Ethernet1/3", 200)}
    assert len({a.lag for a in placed}) == 1
    assert placed[0].lag is not None
    assert placed[0].request_id.startswith("req-")


@pytest.mark.parametrize("vnic", ["normal", "direct"])
async def test_other_kinds_of_ports_are_not_bound(networking: Networking, store: Store, net: str, vnic: str) -> None:
    attributes = {**BOUND, "binding:vnic_type": vnic, "binding:profile": PROFILE}
    port = await networking.made("ports", network_id=net, **attributes)
    assert (port["binding:vif_type"], port["binding:vif_details"]) == ("binding_failed", {})
    assert await states(store, port["id"]) == []


async def test_a_smart_nic_is_a_switch_of_its_own(networking: Networking, store: Store, net: str) -> None:
    """As Ironic 39 asks: first for the agent on the NIC, by its host name."""
    assert await networking.listed("agents", "host=dpu-9") == []
    (agent,) = await networking.listed("agents", "host=sw1")
    assert (agent["host"], agent["alive"]) == ("sw1", False)

    def observed(tx: Tx) -> None:
        tx.execute(sa.update(switches).where(switches.c.id == "sw1").values(state="ok"))

    await store.write(observed)
    (agent,) = await networking.listed("agents", "host=sw1")
    assert agent["alive"] is True
    kind = {"binding:vnic_type": "smart-nic"}
    port = await networking.made("ports", network_id=net, **kind)
    link = {"hostname": "sw1", "port_id": "Ethernet1/3"}
    binding = {"binding:host_id": "sw1", "binding:profile": {"local_link_information": [link]}}
    bound = await networking.changed("ports", port["id"], **kind, **binding)
    assert bound["binding:vif_type"] == "other"
    placed = await store.read(lambda tx: attachments.of_network_port(tx, port["id"]))
    assert [(a.switch, a.port, a.host) for a in placed] == [("sw1", "Ethernet1/3", "sw1")]
    unknown = {"local_link_information": [{**link, "hostname": "dpu-9"}]}
    refused = await networking.put(f"/v2.0/ports/{port['id']}", {"port": {"binding:profile": unknown}})
    assert (refused.status, "dpu-9 is not known" in refused.json()["NeutronError"]["message"]) == (400, True)


async def test_an_unmanaged_link_touches_no_switch(networking: Networking, store: Store, net: str) -> None:
    unmanaged = {"local_link_information": [{"network_type": "unmanaged"}]}
    port = await networking.made("ports", network_id=net, **BOUND, **{"binding:profile": unmanaged})
    assert port["binding:vif_type"] == "other"
    assert await states(store, port["id"]) == []


async def test_port_security_follows_the_network(networking: Networking) -> None:
    made = await networking.made("networks", port_security_enabled=False)
    assert (await networking.made("ports", network_id=made["id"]))["port_security_enabled"] is False
    own = await networking.made("ports", network_id=made["id"], port_security_enabled=True)
    assert own["port_security_enabled"] is True
