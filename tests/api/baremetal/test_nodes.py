"""Nodes: lists, versions, patches, secrets, deletion."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.api.baremetal.node_fields import NODE
from ironlane.store import nodes, ports, tables
from tests.api.baremetal.conftest import Baremetal, fault, network_id

INSTANCE = "5eba08c7-c901-4bee-9522-57d35501f1cc"


def _op(path: str, value: Any, op: str = "add") -> dict[str, Any]:
    return {"op": op, "path": path, "value": value}


async def names(api: Baremetal, query: str) -> list[str]:
    return [node["name"] for node in (await api.shown(f"/v1/nodes?{query}"))["nodes"]]


async def test_a_new_node_is_answered_whole_and_found_by_uuid_and_name(api: Baremetal) -> None:
    answer = await api.post("/v1/nodes", {"driver": "ipmi", "name": "n1", "properties": {"cpus": 4}})
    assert answer.status == 201
    node = answer.json()
    assert answer.headers["location"] == f"http://ironlane.test/v1/nodes/{node['uuid']}"
    assert (node["provision_state"], node["properties"], node["power_interface"]) == ("enroll", {"cpus": 4}, "ipmitool")
    assert node["links"][0] == {"href": f"http://ironlane.test/v1/nodes/{node['uuid']}", "rel": "self"}
    for ident in ("n1", node["uuid"], node["uuid"].upper()):
        assert await api.shown(f"/v1/nodes/{ident}") == node


async def test_each_version_has_its_fields(api: Baremetal) -> None:
    await api.node()
    for version in (1, 5, 20, 37, 61, 95, 101):
        headers = {"X-OpenStack-Ironic-API-Version": f"1.{version}"}
        shown = (await api.get("/v1/nodes/n1", headers=headers)).json()
        expected = {field.name for field in NODE.fields.values() if field.since <= version}
        expected |= {"links"} | {name for name, since in NODE.sublinks.items() if since <= version}
        assert set(shown) == expected


@pytest.mark.parametrize(
    ("method", "url", "body", "version"),
    [
        ("POST", "/v1/nodes", {"driver": "ipmi", "name": "x"}, 4),
        ("POST", "/v1/nodes", {"driver": "ipmi", "owner": "x"}, 49),
        ("PATCH", "/v1/nodes/n1", [_op("/lessee", "x")], 64),
        ("GET", "/v1/nodes?fields=uuid", None, 7),
        ("GET", "/v1/nodes?fields=owner", None, 49),
        ("GET", "/v1/nodes?detail=true", None, 42),
        ("GET", "/v1/nodes?owner=x", None, 49),
        ("PUT", "/v1/nodes/n1/states/provision", {"target": "manage"}, 3),
        ("PUT", "/v1/nodes/n1/states/provision", {"target": "deploy"}, 72),
        ("PUT", "/v1/nodes/n1/states/power", {"target": "soft rebooting"}, 26),
    ],
)
async def test_what_is_newer_than_the_version_is_not_acceptable(
    api: Baremetal, method: str, url: str, body: Any, version: int
) -> None:
    await api.node()
    before = await api.everything()
    headers = {"X-OpenStack-Ironic-API-Version": f"1.{version}"}
    answer = await api.request(method, url, json_body=body, headers=headers)
    assert (answer.status, "1." in fault(answer)) == (406, True)
    assert answer.headers["x-openstack-ironic-api-maximum-version"] == "1.109"
    assert await api.everything() == before
    newer = await api.request(
        method, url, json_body=body, headers={"X-OpenStack-Ironic-API-Version": f"1.{version + 1}"}
    )
    assert newer.status != 406


async def test_routes_newer_than_the_version_are_not_found(api: Baremetal) -> None:
    for url, since in (("/v1/portgroups", 23), ("/v1/conductors", 49), ("/v1/volume/connectors", 32)):
        old = await api.get(url, headers={"X-OpenStack-Ironic-API-Version": f"1.{since - 1}"})
        new = await api.get(url, headers={"X-OpenStack-Ironic-API-Version": f"1.{since}"})
        assert (old.status, new.status) == (404, 200)


@pytest.mark.parametrize(
    ("header", "value", "chosen"),
    [
        ("X-OpenStack-Ironic-API-Version", "latest", "1.109"),
        ("X-OpenStack-Ironic-API-Version", "1.31", "1.31"),
        ("OpenStack-API-Version", "compute 2.1, baremetal 1.61", "1.61"),
        ("OpenStack-API-Version", "compute 2.1", "1.1"),
        ("X-OpenStack-Ironic-API-Version", "1.110", None),
        ("X-OpenStack-Ironic-API-Version", "1.0", None),
        ("X-OpenStack-Ironic-API-Version", "2.1", None),
        ("X-OpenStack-Ironic-API-Version", "x", None),
        ("X-OpenStack-Ironic-API-Version", "1.٣", None),
    ],
)
async def test_negotiation(api: Baremetal, header: str, value: str, chosen: str | None) -> None:
    api.version = ""
    plain = super(Baremetal, api)
    answer = await plain.request("GET", "/v1/nodes", headers={header: value.encode().decode("latin-1")})
    assert answer.status == (200 if chosen else 406)
    assert answer.headers.get("x-openstack-ironic-api-version") == chosen
    assert answer.headers["x-openstack-ironic-api-minimum-version"] == "1.1"


async def test_discovery_and_links_below_a_mount_point(api: Baremetal) -> None:
    api.root_path = "/baremetal"
    root = await api.shown("/")
    assert root["versions"][0]["links"][0]["href"] == "http://ironlane.test/baremetal/v1/"
    assert (root["versions"][0]["min_version"], root["versions"][0]["version"]) == ("1.1", "1.109")
    v1 = await api.shown("/v1/")
    assert v1["nodes"][0]["href"] == "http://ironlane.test/baremetal/v1/nodes/"
    await api.node()
    await api.node("n2")
    page = await api.shown("/v1/nodes/?limit=1")
    assert page["next"].startswith("http://ironlane.test/baremetal/v1/nodes?limit=1&marker=")


async def test_filters(api: Baremetal) -> None:
    await api.node("n1", owner="me", resource_class="small", description="the 100% red one")
    await api.node("n2", lessee="me", driver="ipmi", conductor_group="Rack-1", retired=True)
    await api.put_in(await api.node("n3"), provision_state="active", instance_uuid=INSTANCE, maintenance=True)
    for query, expected in {
        "owner=me": ["n1"],
        "lessee=me": ["n2"],
        "project=me": ["n1", "n2"],
        "driver=ipmi": ["n2"],
        "resource_class=small": ["n1"],
        "conductor_group=RACK-1": ["n2"],
        "retired=true": ["n2"],
        "provision_state=active": ["n3"],
        "maintenance=True": ["n3"],
        "maintenance=false": ["n1", "n2"],
        "associated=true": ["n3"],
        "associated=0": ["n1", "n2"],
        f"instance_uuid={INSTANCE}": ["n3"],
        "description_contains=100%25": ["n1"],
        "description_contains=R_D": [],
        "driver=fake-hardware&maintenance=false": ["n1"],
        "shard=s1": [],
    }.items():
        assert await names(api, query) == expected, query


@pytest.mark.parametrize("sort", ["", "&sort_key=name", "&sort_key=resource_class", "&sort_key=updated_at"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_pages_have_every_node_once(api: Baremetal, sort: str, direction: str) -> None:
    for number in range(5):
        await api.node(f"n{number}", **({"resource_class": "x"} if number % 2 else {}))
    url: str | None = f"/v1/nodes?limit=2&sort_dir={direction}{sort}"
    seen: list[str] = []
    sizes = []
    while url is not None:
        page = await api.shown(url)
        sizes.append(len(page["nodes"]))
        seen += [node["name"] for node in page["nodes"]]
        url = page["next"].removeprefix("http://ironlane.test") if "next" in page else None
    assert sizes == [2, 2, 1]
    whole = await names(api, f"sort_dir={direction}{sort}")
    assert seen == whole
    assert sorted(seen) == [f"n{number}" for number in range(5)]


async def test_patches(api: Baremetal) -> None:
    await api.node(extra={"a": 1}, properties={"cpus": 4})
    changed = await api.patch(
        "/v1/nodes/n1",
        _op("/extra/b", {"c": [1]}),
        _op("/properties/cpus", 8, "replace"),
        _op("/name", "n2"),
        _op("/instance_uuid", INSTANCE.upper().replace("-", "")),
        {"op": "remove", "path": "/extra/a"},
    )
    assert changed.status == 200
    node = changed.json()
    assert (node["extra"], node["properties"], node["name"]) == ({"b": {"c": [1]}}, {"cpus": 8}, "n2")
    assert node["instance_uuid"] == INSTANCE
    again = await api.patch("/v1/nodes/n2", {"op": "remove", "path": "/instance_uuid"}, _op("/automated_clean", None))
    assert (again.json()["instance_uuid"], again.json()["automated_clean"]) == (None, True)


async def test_an_instance_is_on_one_node(api: Baremetal) -> None:
    await api.node("n1", instance_uuid=INSTANCE)
    await api.node("n2")
    taken = await api.patch("/v1/nodes/n2", _op("/instance_uuid", INSTANCE))
    assert (taken.status, "already associated" in fault(taken)) == (409, True)
    other = await api.patch("/v1/nodes/n1", _op("/instance_uuid", INSTANCE.replace("5", "6")))
    assert (other.status, INSTANCE in fault(other)) == (409, True)


async def test_secrets_are_never_answered_and_survive_a_round_trip(api: Baremetal) -> None:
    secret = {"ipmi_password": "geheim", "nested": {"api_token": "geheim"}, "ipmi_hex_kg_key": "geheim"}
    node = await api.node(
        driver="ipmi", driver_info={**secret, "ipmi_address": "127.0.0.1"}, instance_info={"configdrive": "geheim"}
    )
    assert node["driver_info"]["ipmi_password"] == "******"
    changed = await api.patch(
        "/v1/nodes/n1",
        _op("/driver_info", {**node["driver_info"], "ipmi_port": 623}),
        _op("/instance_info/image_source", "x"),
    )
    assert changed.status == 200
    for url in ("/v1/nodes/n1", "/v1/nodes/detail", "/v1/nodes?fields=driver_info,instance_info"):
        assert "geheim" not in json.dumps(await api.shown(url))
    assert "geheim" not in changed.body.decode()
    row = await api.store.read(lambda tx: nodes.get(tx, "n1"))
    assert api.store.vault.opened(row.driver_info) == {**secret, "ipmi_address": "127.0.0.1", "ipmi_port": 623}
    assert api.store.vault.opened(row.instance_info) == {"configdrive": "geheim", "image_source": "x"}
    await api.patch("/v1/nodes/n1", _op("/driver_info/ipmi_password", "neu"))
    row = await api.store.read(lambda tx: nodes.get(tx, "n1"))
    assert api.store.vault.opened(row.driver_info)["ipmi_password"] == "neu"
    stored = await api.store.read(lambda tx: tx.one(sa.select(tables.nodes)))
    assert "geheim" not in repr(stored)
    assert "neu" not in repr(stored)


async def test_a_mask_that_stands_for_nothing_is_refused(api: Baremetal) -> None:
    await api.node(driver="ipmi", driver_info={"ipmi_password": "geheim"})
    for path in ("redfish_password", "nested"):
        value = {"api_token": "******"} if path == "nested" else "******"
        answer = await api.patch("/v1/nodes/n1", _op(f"/driver_info/{path}", value))
        assert (answer.status, "nothing is stored there" in fault(answer)) == (400, True)
    answer = await api.post("/v1/nodes", {"driver": "ipmi", "driver_info": {"ipmi_password": "******"}})
    assert (answer.status, "driver_info.ipmi_password" in fault(answer)) == (400, True)
    row = await api.store.read(lambda tx: nodes.get(tx, "n1"))
    assert api.store.vault.opened(row.driver_info) == {"ipmi_password": "geheim"}


async def test_hardware_changes_are_refused_in_use_and_allowed_in_maintenance(api: Baremetal) -> None:
    node = await api.node()
    await api.put_in(node, provision_state="active")
    for operation in (_op("/driver", "ipmi"), _op("/resource_class", "x"), _op("/boot_interface", "pxe")):
        answer = await api.patch("/v1/nodes/n1", operation)
        assert (answer.status, operation["path"][1:6] in fault(answer)) == (409, True) or "interfaces" in fault(answer)
    await api.put("/v1/nodes/n1/maintenance", {"reason": "new BMC"})
    assert (await api.patch("/v1/nodes/n1", _op("/driver", "ipmi"))).json()["power_interface"] == "ipmitool"
    assert (await api.delete("/v1/nodes/n1/maintenance")).status == 202
    shown = await api.shown("/v1/nodes/n1")
    assert (shown["maintenance"], shown["maintenance_reason"]) == (False, None)


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({}, 204),
        ({"provision_state": "available"}, 204),
        ({"provision_state": "active"}, 409),
        ({"provision_state": "cleaning"}, 409),
        ({"instance_uuid": INSTANCE}, 409),
        ({"provision_state": "active", "maintenance": True}, 204),
        ({"protected": True}, 403),
    ],
)
async def test_deletion(api: Baremetal, columns: dict[str, Any], status: int) -> None:
    node = await api.node()
    group = await api.made("portgroups", node_uuid=node["uuid"])
    await api.nic(node, 1, portgroup_uuid=group["uuid"])
    await api.put_in(node, **columns)
    before = await api.everything()
    assert (await api.delete("/v1/nodes/n1")).status == status
    after = await api.everything()
    assert (after == before) if status != 204 else not any(after.values())


async def test_deletion_takes_the_ramdisks_network_ports_along(api: Baremetal) -> None:
    node = await api.node()
    nic = await api.nic(node, 1)
    new = ports.NewPort(network_id=network_id("prov"))
    port = await api.store.write(lambda tx: ports.create(tx, new))
    info = {"cleaning_vif_port_id": port.id}
    table = tables.baremetal_ports
    await api.store.write(
        lambda tx: tx.execute(sa.update(table).where(table.c.id == nic["uuid"]).values(internal_info=info)) and None
    )
    held = await api.delete(f"/v1/ports/{nic['uuid']}")
    assert (held.status, port.id in fault(held)) == (409, True)
    assert (await api.delete("/v1/nodes/n1")).status == 204
    assert await api.store.read(lambda tx: ports.find(tx, id=port.id)) == []
