"""Chassis, volumes, shards, children, history, and what no driver has: as Ironic's clients find them."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.store import history, tables
from ironlane.store.history import KEPT, Severity
from tests.api.baremetal.conftest import Baremetal, fault

VERSION = "X-OpenStack-Ironic-API-Version"
UNKNOWN = "5c9dcd04-2073-49bc-9618-99ae634d8971"


async def test_a_chassis_holds_nodes(api: Baremetal) -> None:
    made = await api.made("chassis", description="rack 1", extra={"row": 3})
    url = f"/v1/chassis/{made['uuid']}"
    assert (await api.shown("/v1/chassis"))["chassis"][0].keys() == {"uuid", "description", "links"}
    node = await api.node(chassis_uuid=made["uuid"])
    assert [n["uuid"] for n in (await api.shown(f"{url}/nodes"))["nodes"]] == [node["uuid"]]
    assert (await api.shown(f"{url}/nodes/detail"))["nodes"][0]["chassis_uuid"] == made["uuid"]
    held = await api.delete(url)
    assert (held.status, node["uuid"] in fault(held)) == (400, True)
    changed = await api.patch(url, {"op": "remove", "path": "/description"})
    assert (changed.json()["description"], changed.json()["extra"]) == (None, {"row": 3})
    await api.patch("/v1/nodes/n1", {"op": "remove", "path": "/chassis_uuid"})
    assert (await api.delete(url)).status == 204
    assert (await api.get(url)).status == 404
    refused = await api.patch("/v1/nodes/n1", {"op": "add", "path": "/chassis_uuid", "value": made["uuid"]})
    assert (refused.status, made["uuid"] in fault(refused)) == (400, True)


CONNECTOR = {"type": "iqn", "connector_id": "iqn.2026-01.example:n1"}
TARGET = {"volume_type": "iscsi", "boot_index": 0, "volume_id": "v1"}


@pytest.mark.parametrize(
    ("name", "body", "change", "twin"),
    [
        ("connectors", CONNECTOR, {"connector_id": "iqn.2026-01.example:n2"}, CONNECTOR),
        ("targets", TARGET, {"boot_index": 1}, {**TARGET, "volume_id": "v2"}),
    ],
)
async def test_volumes_are_kept(
    api: Baremetal, name: str, body: dict[str, Any], change: dict[str, Any], twin: dict[str, Any]
) -> None:
    node, other = await api.node(), await api.node("n2")
    url = f"/v1/volume/{name}"
    made = await api.made(f"volume/{name}", node_uuid=node["uuid"], extra={"a": 1}, **body)
    assert made["links"][0]["href"].endswith(f"{url}/{made['uuid']}")
    taken = await api.post(url, {"node_uuid": node["uuid"], **twin})
    assert (taken.status, "already exists" in fault(taken)) == (409, True)
    for query, found in (("node=n1", [made["uuid"]]), (f"node={other['uuid']}", []), ("detail=true", [made["uuid"]])):
        assert [one["uuid"] for one in (await api.shown(f"{url}?{query}"))[name]] == found
    assert (await api.shown(f"/v1/nodes/n1/volume/{name}"))[name] == (await api.shown(url))[name]
    ((key, value),) = change.items()
    operation = {"op": "replace", "path": f"/{key}", "value": value}
    await api.put_in(node, power_state="power on")
    refused = await api.patch(f"{url}/{made['uuid']}", operation)
    assert (refused.status, "powered off" in fault(refused)) == (400, True)
    assert (await api.delete(f"{url}/{made['uuid']}")).status == 400
    await api.put_in(node, power_state="power off")
    changed = await api.patch(f"{url}/{made['uuid']}", operation)
    assert (changed.json()[key], changed.json()["extra"]) == (value, {"a": 1})
    assert (await api.delete(f"{url}/{made['uuid']}")).status == 204
    assert (await api.get(f"{url}/{made['uuid']}")).status == 404
    await api.made(f"volume/{name}", node_uuid=node["uuid"], **body)
    await api.put_in(node, maintenance=True)
    assert (await api.delete("/v1/nodes/n1")).status == 204
    assert (await api.shown(url))[name] == []


async def test_a_volumes_password_is_sealed(api: Baremetal) -> None:
    node = await api.node()
    secret = {"auth_username": "u", "auth_password": "geheim"}
    made = await api.made("volume/targets", node_uuid=node["uuid"], properties=secret, **TARGET)
    assert made["properties"] == {"auth_username": "u", "auth_password": "******"}
    kept = await api.store.read(lambda tx: tx.all(sa.select(tables.volume_targets.c.properties)))
    assert "geheim" not in str(kept)
    await api.patch(f"/v1/volume/targets/{made['uuid']}", {"op": "add", "path": "/properties/x", "value": 1})
    after = await api.store.read(lambda tx: tx.one(sa.select(tables.volume_targets.c.properties)))
    assert after is not None
    assert after.properties["auth_password"] == kept[0].properties["auth_password"]


@pytest.mark.parametrize(
    ("url", "body", "named"),
    [
        ("/v1/volume/connectors", {"type": "iqn", "connector_id": "x"}, "node_uuid"),
        ("/v1/volume/connectors", {"node_uuid": UNKNOWN, **CONNECTOR}, "node_uuid"),
        ("/v1/volume/connectors", {"node_uuid": UNKNOWN, **CONNECTOR, "type": "tape"}, "type"),
        ("/v1/volume/targets", {"node_uuid": UNKNOWN, **TARGET, "boot_index": -1}, "boot_index"),
        ("/v1/volume/targets", {"node_uuid": UNKNOWN, **TARGET, "boot_index": True}, "boot_index"),
        ("/v1/volume/targets", {"node_uuid": UNKNOWN, **TARGET, "volume_id": ""}, "volume_id"),
        ("/v1/chassis", {"description": 1}, "description"),
        ("/v1/nodes", {"driver": "fake-hardware", "parent_node": "nosuch"}, "parent_node"),
        ("/v1/nodes", {"driver": "fake-hardware", "chassis_uuid": UNKNOWN}, "chassis_uuid"),
    ],
)
async def test_refusals(api: Baremetal, url: str, body: dict[str, Any], named: str) -> None:
    answer = await api.post(url, body)
    assert (answer.status, named in fault(answer)) == (400, True)


async def test_shards_and_children(api: Baremetal) -> None:
    first, *_ = [await api.node(f"n{n}", shard=shard) for n, shard in ((1, "a"), (2, "b"), (3, "a"), (4, None))]
    await api.node("child", parent_node="n1")
    await api.nic(first, 1)
    assert await api.shown("/v1/shards") == {"shards": [{"name": "a", "count": 2}, {"name": "b", "count": 1}]}

    async def names(query: str) -> list[str]:
        return [node["name"] for node in (await api.shown(f"/v1/nodes?{query}"))["nodes"]]

    assert await names("shard=b,a") == await names("sharded=true") == ["n1", "n2", "n3"]
    assert await names("sharded=false") == ["n4"]
    assert await names("") == ["n1", "n2", "n3", "n4"]
    assert await names("parent_node=n1") == ["child"]
    assert await names("include_children=true") == ["n1", "n2", "n3", "n4", "child"]
    child = await api.shown("/v1/nodes/child")
    assert child["parent_node"] == first["uuid"]
    assert await api.shown("/v1/nodes/n1/children") == {"children": [child["uuid"]]}
    for parent in ("child", "n1"):
        change = {"op": "add", "path": "/parent_node", "value": parent}
        assert (await api.patch("/v1/nodes/n1", change)).status == 400
    assert len((await api.shown("/v1/ports?shard=a"))["ports"]) == 1
    assert (await api.shown("/v1/ports?shard=b"))["ports"] == []


async def test_what_happened_to_a_node_is_told(api: Baremetal) -> None:
    node = await api.node()
    assert (await api.put("/v1/nodes/n1/states/provision", {"target": "manage"})).status == 202

    def fail(tx: Any) -> None:
        history.record(tx, node["uuid"], "the BMC is on fire", severity=Severity.ERROR, conductor="c1")

    await api.store.write(fail)
    first, second = (await api.shown("/v1/nodes/n1/history"))["history"]
    assert first["event"] == "asked to manage: from enroll to verifying"
    assert second.keys() == {"uuid", "created_at", "severity", "event", "links"}
    shown = await api.shown(f"/v1/nodes/n1/history/{second['uuid']}")
    assert (shown["severity"], shown["event"], shown["conductor"]) == ("ERROR", "the BMC is on fire", "c1")
    assert second["links"][0]["href"].endswith(f"/v1/nodes/{node['uuid']}/history/{second['uuid']}")
    page = await api.shown("/v1/nodes/n1/history?limit=1&detail=true")
    assert page["history"][0]["event_type"] == "transition"
    assert "/history?" in page["next"]
    assert (await api.get(f"/v1/nodes/n1/history/{UNKNOWN}")).status == 404
    other = await api.node("n2")
    assert (await api.get(f"/v1/nodes/n2/history/{second['uuid']}")).status == 404
    assert (await api.shown(f"/v1/nodes/{other['uuid']}/history")) == {"history": []}
    assert (await api.delete("/v1/nodes/n1")).status == 409, "it is being verified"
    await api.put_in(node, maintenance=True)
    assert (await api.delete("/v1/nodes/n1")).status == 204


async def test_a_nodes_history_does_not_grow_for_ever(api: Baremetal) -> None:
    node = await api.node()

    def many(tx: Any) -> None:
        for number in range(KEPT + 10):
            history.record(tx, node["uuid"], f"event {number}")

    await api.store.write(many)
    assert [await api.store.write(history.prune) for _ in range(2)] == [10, 0]
    assert len(await api.store.read(lambda tx: history.of_node(tx, node["uuid"]))) == KEPT


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "states/console", 400),
        ("PUT", "states/raid", 400),
        ("PUT", "states/boot_mode", 400),
        ("PUT", "states/secure_boot", 400),
        ("PUT", "management/inject_nmi", 400),
        ("GET", "management/indicators", 400),
        ("POST", "vendor_passthru?method=x", 400),
        ("GET", "vendor_passthru/methods", 200),
        ("GET", "bios", 200),
        ("GET", "bios/BootMode", 404),
        ("GET", "firmware", 200),
    ],
)
async def test_what_no_driver_has(api: Baremetal, method: str, path: str, status: int) -> None:
    await api.node()
    answer = await api.request(method, f"/v1/nodes/n1/{path}", json_body={} if method == "PUT" else None)
    assert answer.status == status
    if status == 400:
        assert "does not support" in fault(answer)
        assert answer.headers["x-ironlane-error"] == "UnsupportedDriverExtension"
    assert (await api.request(method, f"/v1/nodes/nosuch/{path}")).status == 404


async def test_older_versions_are_shown_what_they_know(api: Baremetal) -> None:
    node = await api.node()
    cases = (("available", "1.1", None), ("available", "1.2", "available"), ("inspect wait", "1.38", "inspecting"))
    for state, version, shown in cases:
        await api.put_in(node, provision_state=state)
        answer = await api.get("/v1/nodes/" + node["uuid"], headers={VERSION: version})
        assert answer.json()["provision_state"] == shown
    old = await api.put("/v1/nodes/n1/states/provision", {"target": "abort"}, headers={VERSION: "1.40"})
    assert old.status == 406


async def test_a_portgroups_physical_network_is_its_members(api: Baremetal) -> None:
    node = await api.node()
    group = await api.made("portgroups", node_uuid=node["uuid"], physical_network="physnet1", category="fast")
    assert (group["physical_network"], group["category"]) == ("physnet1", "fast")
    member = {"portgroup_uuid": group["uuid"], "node_uuid": node["uuid"], "address": "52:54:00:00:00:01"}
    assert (await api.post("/v1/ports", {**member, "physical_network": "physnet2"})).status == 409
    await api.made("ports", **member, physical_network="physnet1")
    change = {"op": "replace", "path": "/physical_network", "value": "physnet2"}
    assert (await api.patch(f"/v1/portgroups/{group['uuid']}", change)).status == 409


async def test_before_1_11_a_new_node_is_available_at_once(api: Baremetal) -> None:
    for version, state in (("1.10", "available"), ("1.11", "enroll")):
        made = await api.post("/v1/nodes", {"driver": "fake-hardware"}, headers={VERSION: version})
        assert (made.status, made.json()["provision_state"]) == (201, state)


async def test_without_a_network_of_ours_a_vif_is_only_nodded_at(api: Baremetal) -> None:
    await api.node(network_interface="noop")
    assert (await api.post("/v1/nodes/n1/vifs", {"id": UNKNOWN})).status == 204
    assert await api.shown("/v1/nodes/n1/vifs") == {"vifs": []}
    assert (await api.delete(f"/v1/nodes/n1/vifs/{UNKNOWN}")).status == 204


async def test_an_instances_name_is_novas_until_somebody_gives_another(api: Baremetal) -> None:
    await api.node(instance_info={"display_name": "web-1"})
    assert [n["name"] for n in (await api.shown("/v1/nodes?instance_name=web-1"))["nodes"]] == ["n1"]
    await api.patch("/v1/nodes/n1", {"op": "add", "path": "/instance_name", "value": "web-2"})
    await api.patch("/v1/nodes/n1", {"op": "add", "path": "/instance_info/display_name", "value": "web-3"})
    shown = await api.shown("/v1/nodes/n1")
    assert (shown["instance_name"], shown["instance_info"]) == ("web-2", {"display_name": "web-3"})


async def test_what_new_nodes_are_cleaned_like_is_the_operators_to_say(api: Baremetal) -> None:
    api = Baremetal(api.store, automated_clean=False)
    assert (await api.node())["automated_clean"] is False
    assert (await api.node("n2", automated_clean=True))["automated_clean"] is True
