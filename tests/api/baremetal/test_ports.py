"""NICs and portgroups: lists, membership, and when it may change how a node is connected."""

from __future__ import annotations

from typing import Any

from ironlane.store import attachments
from tests.api.baremetal.conftest import Baremetal, fault


def _op(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


async def test_addresses_and_switch_ids_are_kept_in_one_notation(api: Baremetal) -> None:
    node = await api.node()
    link = {"switch_id": "0011.2233.4401", "port_id": "Ethernet1", "switch_info": "leaf-1"}
    port = await api.made("ports", node_uuid="n1", address="52-54-00-AB-CD-EF", local_link_connection=link)
    assert port["address"] == "52:54:00:ab:cd:ef"
    assert port["local_link_connection"] == {**link, "switch_id": "00:11:22:33:44:01"}
    assert port["node_uuid"] == node["uuid"]
    unknown = {"switch_id": "0000112233445566", "port_id": "1"}
    later = await api.made("ports", node_uuid="n1", address="52:54:00:00:00:02", local_link_connection=unknown)
    assert later["local_link_connection"] == unknown
    smart = {"hostname": "dpu-1", "port_id": "rep0"}
    nic = {"node_uuid": "n1", "address": "52:54:00:00:00:03", "is_smartnic": True}
    assert (await api.made("ports", **nic, local_link_connection=smart))["local_link_connection"] == smart


async def test_lists(api: Baremetal) -> None:
    one, two = await api.node("n1", conductor_group="a"), await api.node("n2")
    group = await api.made("portgroups", node_uuid=one["uuid"], name="bond0", address="52:54:00:00:00:01")
    for node, number, more in ((one, 1, {"portgroup_uuid": group["uuid"]}), (one, 2, {}), (two, 3, {})):
        await api.nic(node, number, name=f"nic{number}", **more)
    for url, expected in {
        "/v1/ports": ["nic1", "nic2", "nic3"],
        "/v1/ports/detail?node=n1": ["nic1", "nic2"],
        f"/v1/ports?node_uuid={two['uuid']}": ["nic3"],
        "/v1/ports?portgroup=bond0": ["nic1"],
        "/v1/ports?address=52:54:00:00:00:03": ["nic3"],
        "/v1/ports?conductor_groups=A,b": ["nic1", "nic2"],
        "/v1/nodes/n1/ports?sort_key=address&sort_dir=desc": ["nic2", "nic1"],
        "/v1/nodes/n1/ports/detail": ["nic1", "nic2"],
        "/v1/portgroups/bond0/ports": ["nic1"],
        f"/v1/portgroups/{group['uuid']}/ports/detail": ["nic1"],
    }.items():
        assert [port["name"] for port in (await api.shown(url))["ports"]] == expected, url
    for url in ("/v1/portgroups?address=52:54:00:00:00:01", "/v1/portgroups/detail?node=n1", "/v1/nodes/n1/portgroups"):
        assert [g["name"] for g in (await api.shown(url))["portgroups"]] == ["bond0"], url
    assert (await api.shown("/v1/nodes/n2/portgroups/detail")) == {"portgroups": []}


async def test_members_belong_together(api: Baremetal) -> None:
    one, two = await api.node("n1"), await api.node("n2")
    group = await api.made("portgroups", node_uuid=one["uuid"], name="bond0")
    strict = await api.made("portgroups", node_uuid=one["uuid"], name="bond1", standalone_ports_supported=False)
    await api.nic(one, 1, portgroup_uuid=group["uuid"], physical_network="physnet1")
    free = await api.nic(one, 2, physical_network="physnet2")
    other = await api.nic(two, 3)
    before = await api.everything()
    for port, target, status, named in (
        (other, group, 400, "portgroup_uuid"),
        (free, group, 409, "physical_network"),
        (free, strict, 409, "pxe_enabled"),
        (free, {"uuid": free["uuid"]}, 400, "portgroup_uuid"),
    ):
        answer = await api.patch(f"/v1/ports/{port['uuid']}", _op("/portgroup_uuid", target["uuid"]))
        assert (answer.status, named in fault(answer)) == (status, True), answer.body
    assert await api.everything() == before
    joined = await api.patch(
        f"/v1/ports/{free['uuid']}", _op("/portgroup_uuid", strict["uuid"]), _op("/pxe_enabled", False)
    )
    assert joined.json()["portgroup_uuid"] == strict["uuid"]
    left = await api.patch(f"/v1/ports/{free['uuid']}", {"op": "remove", "path": "/portgroup_uuid"})
    assert left.json()["portgroup_uuid"] is None


async def test_cabling_changes_only_while_nothing_depends_on_it(api: Baremetal) -> None:
    node = await api.node()
    port = await api.nic(node, 1)
    group = await api.made("portgroups", node_uuid=node["uuid"], name="bond0")
    link = _op("/local_link_connection/port_id", "Ethernet3")
    for state, maintenance, status in (
        ("enroll", False, 200),
        ("manageable", False, 200),
        ("available", False, 409),
        ("deploying", False, 409),
        ("active", False, 409),
        ("active", True, 200),
    ):
        await api.put_in(node, provision_state=state, maintenance=maintenance)
        changed = await api.patch(f"/v1/ports/{port['uuid']}", {**link, "value": f"Ethernet-{state}-{maintenance}"})
        assert changed.status == status, state
        changed = await api.patch(f"/v1/portgroups/{group['uuid']}", _op("/properties/priority", "4"))
        assert changed.status == status
        await api.patch(f"/v1/portgroups/{group['uuid']}", {"op": "remove", "path": "/properties"})
    await api.put_in(node, provision_state="active", maintenance=False)
    named = await api.patch(f"/v1/ports/{port['uuid']}", _op("/extra/rack", 4), _op("/name", "eth0"))
    assert (named.status, named.json()["name"]) == (200, "eth0")


async def test_recabling_an_active_node_in_maintenance_moves_its_attachment(api: Baremetal) -> None:
    node = await api.node()
    port = await api.nic(node, 1)
    await api.put_in(node, provision_state="active", maintenance=True)
    vif = await api.tenant_port("net1")
    assert (await api.post("/v1/nodes/n1/vifs", {"id": vif})).status == 204
    assert (
        await api.patch(f"/v1/ports/{port['uuid']}", _op("/local_link_connection/port_id", "Ethernet3"))
    ).status == 200
    found = await api.store.read(lambda tx: attachments.of_network_port(tx, vif))
    assert {(a.port, a.state.value) for a in found} == {("Ethernet1", "leaving"), ("Ethernet3", "wanted")}
    before = await api.everything()
    unknown = await api.patch(f"/v1/ports/{port['uuid']}", _op("/local_link_connection/port_id", "nosuch"))
    assert (unknown.status, "nosuch" in fault(unknown)) == (400, True)
    assert await api.everything() == before
    address = await api.patch(f"/v1/ports/{port['uuid']}", _op("/address", "52:54:00:00:00:77"))
    assert (address.status, vif in fault(address)) == (409, True)
    assert (await api.delete(f"/v1/ports/{port['uuid']}")).status == 409


async def test_portgroups(api: Baremetal) -> None:
    node = await api.node()
    group = await api.made(
        "portgroups", node_uuid="n1", name="bond0", mode="4", properties={"priority": "7", "lacp_rate": "fast"}
    )
    assert (group["mode"], group["properties"]) == ("4", {"priority": 7, "lacp_rate": "fast"})
    assert group["ports"][0]["href"].endswith(f"/v1/portgroups/{group['uuid']}/ports")
    changed = await api.patch("/v1/portgroups/bond0", _op("/mode", "802.3ad"), _op("/address", "52:54:00:00:00:01"))
    assert (changed.json()["mode"], changed.json()["address"]) == ("802.3ad", "52:54:00:00:00:01")
    old = await api.get("/v1/portgroups/bond0", headers={"X-OpenStack-Ironic-API-Version": "1.25"})
    assert not {"mode", "properties"} & old.json().keys()
    assert (await api.delete("/v1/portgroups/bond0")).status == 204
    assert (await api.shown(f"/v1/nodes/{node['uuid']}/portgroups")) == {"portgroups": []}
