"""The fabric API: what operators write and read, and that a refused request leaves no trace."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.api.fabric.app import RESOURCES, create
from ironlane.model.fabric import HostId, PortConfig, Side, SwitchId, Vlan
from ironlane.model.link import LocalLink
from ironlane.model.plan import Change, Plan
from ironlane.store import attachments, bindings, plans, settling
from ironlane.store.database import Hint, Store, Tx
from ironlane.store.tables import metadata
from tests.api.asgi import Client

LEAF: dict[str, Any] = {
    "kind": "openconfig",
    "address": "192.0.2.11",
    "port": 830,
    "username": "ironlane",
    "secret": "leaf-1",
    "mac": "02-00-00-00-00-01",
    "physical_network": "physnet1",
    "rack": "r1",
    "idle_vlan": 99,
    "policy": "report",
    "options": {"lag_name": "ae{number}"},
    "ports": ["Ethernet1/1", "Ethernet1/2"],
}


@pytest.fixture
async def api(store: Store) -> Client:
    client = Client(create(store), "/fabric")
    answer = await client.put("/v1/physical-networks/physnet1", {"tenant_vlans": [[200, 299]], "mtu": 9000})
    assert answer.status == 201
    assert (await client.put("/v1/switches/leaf-1", LEAF)).status == 201
    return client


async def rows(store: Store) -> list[list[tuple[object, ...]]]:
    def read(tx: Tx) -> list[list[tuple[object, ...]]]:
        return [[tuple(row) for row in tx.all(sa.select(table))] for table in metadata.sorted_tables]

    return await store.read(read)


async def attach(store: Store) -> None:
    link = LocalLink("Ethernet1/1", "02:00:00:00:00:01")
    wish = bindings.Wish("np-1", "net-1", HostId("host-1"), Vlan(200), "physnet1", Side.TENANT, [link])
    await store.write(lambda tx: bindings.bind(tx, wish))


async def test_versions(api: Client) -> None:
    versions = (await api.get("/")).json()["versions"]
    assert [(v["id"], v["links"][0]["href"]) for v in versions] == [("v1", "http://ironlane.test/fabric/v1/")]
    assert (await api.get("/v1/")).json()["resources"] == list(RESOURCES)


async def test_a_switch_reads_back_as_it_was_written(api: Client) -> None:
    found = (await api.get("/v1/switches/leaf-1")).json()
    assert {key: found[key] for key in LEAF} == {**LEAF, "mac": "02:00:00:00:00:01"}
    assert (found["generation"], found["applied_generation"], found["converged"]) == (1, 0, False)
    assert (await api.get("/v1/switches")).json() == {"switches": [found]}


async def test_put_replaces_and_repeats_harmlessly(api: Client, store: Store) -> None:
    before = await rows(store)
    again = await api.put("/v1/switches/leaf-1", LEAF)
    assert (again.status, again.json()["generation"]) == (200, 1)
    assert await rows(store) == before
    changed = await api.put("/v1/switches/leaf-1", {**LEAF, "idle_vlan": None, "ports": ["Ethernet1/2"]})
    assert changed.status == 200
    found = changed.json()
    assert (found["generation"], found["idle_vlan"], found["ports"]) == (2, None, ["Ethernet1/2"])


BAD_SWITCHES = [
    ({"policy": "ignore"}, 400, "policy"),
    ({"colour": "red"}, 400, "colour"),
    ({"kind": "junos"}, 400, "kind"),
    ({"kind": None}, 400, "kind"),
    ({"address": ""}, 400, "address"),
    ({"address": "a\nb"}, 400, "address"),
    ({"address": "a" * 256}, 400, "address"),
    ({"port": 0}, 400, "port"),
    ({"port": "830"}, 400, "port"),
    ({"port": True}, 400, "port"),
    ({"secret": "p4$$ word"}, 400, "secret"),
    ({"secret": ".."}, 400, "secret"),
    ({"mac": "02:00:00:00:00"}, 400, "mac"),
    ({"mac": "03:00:00:00:00:01"}, 400, "mac"),
    ({"mac": None}, 400, "mac"),
    ({"datapath_id": "02:00:00:00:00:01"}, 400, "datapath_id"),
    ({"idle_vlan": 0}, 400, "idle_vlan"),
    ({"idle_vlan": 4095}, 400, "idle_vlan"),
    ({"idle_vlan": 99.0}, 400, "idle_vlan"),
    ({"idle_vlan": 250}, 400, "idle_vlan"),
    ({"physical_network": "nowhere"}, 400, "physical_network"),
    ({"physical_network": ""}, 400, "physical_network"),
    ({"mlag_peer": "leaf-1"}, 400, "mlag_peer"),
    ({"options": []}, 400, "options"),
    ({"options": {"private_key": "/root/.ssh/id_ed25519"}}, 400, "options.private_key"),
    ({"options": {"platform_file": "../../etc/shadow"}}, 400, "options.platform_file"),
    ({"options": {"tls_ca": ["ca.pem"]}}, 400, "options.tls_ca"),
    ({"ports": "Ethernet1/1"}, 400, "ports"),
    ({"ports": ["Ethernet1/1", ""]}, 400, "ports[1]"),
    ({"ports": [" Ethernet1/1"]}, 400, "ports[0]"),
    ({"ports": ["a" * 65]}, 400, "ports[0]"),
    ({"ports": ["Ethernet1/1", "Ethernet1/1"]}, 400, "ports"),
    ({"ports": ["Ethernet1/2"]}, 409, "ports"),
]


async def test_a_bad_switch_is_refused_and_nothing_stored(api: Client, store: Store) -> None:
    await attach(store)
    before = await rows(store)
    for change, status, field in BAD_SWITCHES:
        answer = await api.put("/v1/switches/leaf-1", {**LEAF, **change})
        error = answer.json()["error"]
        assert (answer.status, error["field"]) == (status, field), change
        assert field.partition("[")[0] in error["message"], change
    assert await rows(store) == before


async def test_a_body_that_is_none_is_refused(api: Client, store: Store) -> None:
    before = await rows(store)
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{" * 5000):
        answer = await api.request("PUT", "/v1/switches/leaf-1", body=body)
        assert answer.status == 400, body
        assert answer.json()["error"]["message"], body
    assert await rows(store) == before


async def test_a_bad_name_is_refused(api: Client) -> None:
    for name in ("-leaf", "a" * 65, "a%20b", "l%C3%A9af"):
        answer = await api.put(f"/v1/switches/{name}", {**LEAF, "mac": "02:00:00:00:00:09"})
        assert (answer.status, answer.json()["error"]["field"]) == (400, "name"), name


REFUSED = [
    ("GET", "/v1/switches/leaf-9", 404, "SwitchNotFound"),
    ("DELETE", "/v1/switches/leaf-9", 404, "SwitchNotFound"),
    ("GET", "/v1/switches/leaf-9/ports", 404, "SwitchNotFound"),
    ("POST", "/v1/switches/leaf-9/reconcile", 404, "SwitchNotFound"),
    ("POST", "/v1/switches/leaf-9/audit", 404, "SwitchNotFound"),
    ("GET", "/v1/drifts?open=perhaps", 400, "Invalid"),
    ("GET", "/v1/history?vlan=4095", 400, "Invalid"),
    ("DELETE", "/v1/physical-networks/nowhere", 404, "PhysicalNetworkNotFound"),
    ("DELETE", "/v1/physical-networks/physnet1", 409, "PhysicalNetworkInUse"),
    ("GET", "/v2", 404, "NotFound"),
    ("PATCH", "/v1/switches/leaf-1", 405, "MethodNotAllowed"),
    ("GET", "/v1/attachments?swich=leaf-1", 400, "Invalid"),
    ("GET", "/v1/attachments?state=gone", 400, "Invalid"),
    ("GET", "/v1/attachments?host=%00", 400, "Invalid"),
    ("GET", "/v1/plans?limit=0", 400, "Invalid"),
    ("GET", "/v1/switches/leaf-1/ports?port=x", 400, "Invalid"),
]


async def test_what_cannot_be_answered(api: Client) -> None:
    for method, path, status, code in REFUSED:
        answer = await api.request(method, path)
        assert (answer.status, answer.json()["error"]["code"]) == (status, code), path
        assert answer.headers["x-openstack-request-id"].startswith("req-")


async def test_ports_show_what_they_carry_and_who_is_on_them(api: Client, store: Store) -> None:
    await attach(store)

    def observe(tx: Tx) -> None:
        observed = {"Ethernet1/1": PortConfig(untagged=Vlan(200)), "Ethernet1/2": PortConfig(untagged=Vlan(99))}
        settling.settle(tx, SwitchId("leaf-1"), attachments.of_switch(tx, SwitchId("leaf-1")), observed)

    await store.write(observe)
    first, second = (await api.get("/v1/switches/leaf-1/ports")).json()["ports"]
    assert (first["name"], first["idle"], first["observed"]["untagged"]) == ("Ethernet1/1", False, 200)
    assert [(a["network_port"], a["state"], a["applied"]) for a in first["attachments"]] == [("np-1", "wanted", True)]
    assert (second["idle"], second["observed"]["untagged"], second["attachments"]) == (True, 99, [])
    one = (await api.get("/v1/switches/leaf-1/ports?name=Ethernet1%2F2")).json()["ports"]
    assert one == [second]


async def test_attachments_by_every_filter(api: Client, store: Store) -> None:
    await attach(store)
    for query in ("", "?switch=leaf-1", "?host=host-1&state=wanted", "?network=net-1", "?network_port=np-1"):
        found = (await api.get(f"/v1/attachments{query}")).json()["attachments"]
        assert [(a["switch"], a["port"], a["vlan"]) for a in found] == [("leaf-1", "Ethernet1/1", 200)]
    for query in ("?switch=leaf-2", "?host=host-1&state=leaving", "?network_port=np-2"):
        assert (await api.get(f"/v1/attachments{query}")).json() == {"attachments": []}


async def test_a_switch_in_use_is_not_deleted(api: Client, store: Store) -> None:
    await attach(store)
    answer = await api.delete("/v1/switches/leaf-1")
    assert (answer.status, answer.json()["error"]["code"]) == (409, "SwitchInUse")
    assert "np-1" in answer.json()["error"]["message"]


async def test_a_switch_that_is_gone_for_good_is_forgotten_by_force(api: Client, store: Store) -> None:
    await attach(store)
    for body in ({}, {"force": False, "reason": "burnt down"}, {"force": True}, {"force": True, "reason": ""}):
        assert (await api.post("/v1/switches/leaf-1/forget", body)).status == 400, body
    answer = await api.post("/v1/switches/leaf-1/forget", {"force": True, "reason": "burnt down"})
    assert (answer.status, answer.json()["network_ports"]) == (200, ["np-1"])
    (plan,) = (await api.get("/v1/plans?switch=leaf-1")).json()["plans"]
    assert (plan["id"], plan["outcome"]) == (answer.json()["plan"], "failed")
    assert plan["reason"].endswith("burnt down")
    assert (await api.get("/v1/switches/leaf-1")).status == 404
    assert (await api.get("/v1/attachments")).json() == {"attachments": []}


async def test_switches_and_physical_networks_go_when_nothing_is_on_them(api: Client) -> None:
    assert (await api.delete("/v1/switches/leaf-1")).status == 204
    assert (await api.delete("/v1/physical-networks/physnet1")).status == 204
    assert (await api.get("/v1/physical-networks")).json() == {"physical_networks": []}


async def test_an_audit_is_due_at_once(api: Client, store: Store) -> None:
    hints: list[Hint] = []
    store.listen(hints.append)
    answer = await api.post("/v1/switches/leaf-1/audit", None)
    assert (answer.status, answer.json()["audit_due"], hints) == (202, True, [Hint("switch", "leaf-1")])
    assert (await api.get("/v1/switches/leaf-1")).json()["generation"] == 1, "nothing has changed by that"
    assert (await api.post("/v1/audit", None)).status == 202
    assert hints == [Hint("switch", "leaf-1")] * 2


async def test_reconcile_wakes_the_fabric_loop(api: Client, store: Store) -> None:
    hints: list[Hint] = []
    store.listen(hints.append)
    answer = await api.post("/v1/switches/leaf-1/reconcile", None)
    assert (answer.status, answer.json()["generation"], hints) == (202, 1, [Hint("switch", "leaf-1")])


async def test_plans_newest_first(api: Client, store: Store) -> None:
    change = Change("Ethernet1/1", PortConfig(), PortConfig(untagged=Vlan(200)), ("np-1",))
    plan = Plan(SwitchId("leaf-1"), (change,))
    first = await store.write(lambda tx: plans.save(tx, plan.switch, 1, plan, ["set x"]))
    await store.write(lambda tx: plans.finish(tx, first, "failed", "refused"))
    second = await store.write(lambda tx: plans.save(tx, plan.switch, 2, plan, []))
    found = (await api.get("/v1/plans?switch=leaf-1")).json()["plans"]
    assert [(p["id"], p["outcome"]) for p in found] == [(second, "saved"), (first, "failed")]
    assert found[1]["changes"][0]["after"]["untagged"] == 200
    assert (found[1]["rendered"], found[1]["reason"]) == (["set x"], "refused")
    assert len((await api.get("/v1/plans?limit=1")).json()["plans"]) == 1


BAD_PHYSICAL_NETWORKS: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "tenant_vlans"),
    ({"tenant_vlans": [[200]]}, 400, "tenant_vlans[0]"),
    ({"tenant_vlans": [["200", 299]]}, 400, "tenant_vlans[0][0]"),
    ({"tenant_vlans": [[299, 200]]}, 400, "tenant_vlans"),
    ({"tenant_vlans": [[200, 4095]]}, 400, "tenant_vlans"),
    ({"tenant_vlans": [[200, 299], [299, 310]]}, 400, "tenant_vlans"),
    ({"tenant_vlans": [[90, 110]]}, 409, "tenant_vlans"),
    ({"tenant_vlans": [], "mtu": 67}, 400, "mtu"),
    ({"tenant_vlans": [], "vlans": []}, 400, "vlans"),
]


async def test_a_bad_physical_network_is_refused_and_nothing_stored(api: Client, store: Store) -> None:
    before = await rows(store)
    for body, status, field in BAD_PHYSICAL_NETWORKS:
        answer = await api.put("/v1/physical-networks/physnet1", body)
        assert (answer.status, answer.json()["error"]["field"]) == (status, field), body
    assert await rows(store) == before


@pytest.mark.parametrize(
    "value", [b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b'"\\u0000"', b'{"\\u0000": 1}', b"[" * 65 + b"]" * 65]
)
async def test_what_no_answer_could_hold_is_not_stored(api: Client, store: Store, value: bytes) -> None:
    """Python's parser takes it, and every list that it is in would fail from then on."""
    before = await rows(store)
    uuid = b"00000000-0000-4000-8000-0000000000aa"
    switch = json.dumps({**LEAF, "options": {}}).encode().replace(b'"options": {}', b'"options": {"a": ' + value + b"}")
    node = b'{"id": "' + uuid + b'", "driver": "fake-hardware", "provision_state": "available", "extra": {"a": ' + value
    binding = b'{"revision": 1, "network_id": "' + uuid + b'", "host_id": "h", "profile": {"a": ' + value + b"}}"
    for method, url, body, field in (
        ("PUT", "/v1/switches/leaf-1", switch, "options"),
        ("POST", "/v1/takeover", b'{"dry_run": false, "nodes": [' + node + b"}}]}", "nodes[0].extra"),
        ("PUT", f"/v1/bindings/{uuid.decode()}", binding, "profile"),
    ):
        answer = await api.request(method, url, body=body)
        assert (answer.status, answer.json()["error"]["field"]) == (400, field), answer.body
    assert await rows(store) == before
