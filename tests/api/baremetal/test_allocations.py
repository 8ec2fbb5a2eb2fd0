"""Allocations: a wish is recorded by the API and met by a conductor, one node for one wish."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ironlane.conductor.allocating import allocate
from ironlane.store import nodes
from ironlane.store.database import Hint
from tests.api.baremetal.conftest import Baremetal, fault

URL = "/v1/allocations"


async def available(api: Baremetal, name: str, **more: Any) -> dict[str, Any]:
    node = await api.node(name, resource_class="bm", **more)
    await api.put_in(node, provision_state="available", power_state="power off")
    return node


async def wish(api: Baremetal, **more: Any) -> dict[str, Any]:
    """An allocation, after a conductor has had its turn."""
    made = await api.made("allocations", **{"resource_class": "bm", **more})
    assert (made["state"], made["node_uuid"], made["last_error"]) == ("allocating", None, None)
    await allocate(api.store, made["uuid"])
    return dict(await api.shown(f"{URL}/{made['uuid']}"))


async def test_a_wish_is_met_by_a_node_that_nobody_else_has(api: Baremetal) -> None:
    node = await available(api, "n1")
    heard: list[Hint] = []
    api.store.listen(heard.append)
    met = await wish(api, name="mine", extra={"a": 1})
    assert heard[0] == Hint("allocation", met["uuid"])
    assert (met["state"], met["node_uuid"]) == ("active", node["uuid"])
    shown = await api.shown("/v1/nodes/n1")
    assert (shown["instance_uuid"], shown["allocation_uuid"]) == (met["uuid"], met["uuid"])
    assert await api.shown("/v1/nodes/n1/allocation") == met == await api.shown(f"{URL}/mine")
    second = await wish(api)
    assert (second["state"], second["node_uuid"]) == ("error", None)
    assert second["last_error"].endswith("no available nodes match the resource class bm.")
    assert (await api.delete(f"{URL}/mine")).status == 204
    shown = await api.shown("/v1/nodes/n1")
    assert (shown["instance_uuid"], shown["allocation_uuid"]) == (None, None)
    assert (await api.get("/v1/nodes/n1/allocation")).status == 404
    assert (await wish(api))["node_uuid"] == node["uuid"]


@pytest.mark.parametrize(
    ("columns", "asked", "met", "words"),
    [
        ({}, {}, True, ""),
        ({"maintenance": True}, {}, False, "no available nodes match the resource class bm"),
        ({"power_state": None}, {}, False, "no available nodes"),
        ({"provision_state": "manageable"}, {}, False, "no available nodes"),
        ({"instance_uuid": "5c9dcd04-2073-49bc-9618-99ae634d8971"}, {}, False, "no available nodes"),
        ({}, {"resource_class": "other"}, False, "match the resource class other"),
        ({"traits": ["CUSTOM_GPU", "CUSTOM_X"]}, {"traits": ["CUSTOM_GPU"]}, True, ""),
        ({}, {"traits": ["CUSTOM_GPU"]}, False, "no suitable nodes have the requested traits CUSTOM_GPU"),
        ({}, {"candidate_nodes": ["n1"]}, True, ""),
        ({}, {"candidate_nodes": ["n2"]}, False, "none of the requested nodes are available"),
        ({"owner": "red"}, {"owner": "red"}, True, ""),
        ({"owner": "blue"}, {"owner": "red"}, False, "no available nodes"),
    ],
)
async def test_what_makes_a_node_suitable(
    api: Baremetal, columns: dict[str, Any], asked: dict[str, Any], met: bool, words: str
) -> None:
    node = await available(api, "n1")
    await api.node("n2")
    await api.put_in(node, **columns)
    found = await wish(api, **asked)
    assert (found["state"], found["node_uuid"]) == (("active", node["uuid"]) if met else ("error", None))
    assert words in (found["last_error"] or "")


async def test_candidates_are_taken_in_the_order_of_the_client(api: Baremetal) -> None:
    made = [await available(api, f"n{number}") for number in (1, 2, 3)]
    found = await wish(api, candidate_nodes=["n3", made[0]["uuid"]])
    assert found["candidate_nodes"] == [made[2]["uuid"], made[0]["uuid"]]
    assert found["node_uuid"] == made[2]["uuid"]


async def test_the_name_and_extra_may_change(api: Baremetal) -> None:
    await available(api, "n1")
    made = await wish(api)
    changed = await api.patch(
        f"{URL}/{made['uuid']}",
        {"op": "add", "path": "/name", "value": "mine"},
        {"op": "add", "path": "/extra/a", "value": 1},
    )
    assert (changed.json()["name"], changed.json()["extra"]) == ("mine", {"a": 1})
    refused = await api.patch(f"{URL}/mine", {"op": "add", "path": "/resource_class", "value": "x"})
    assert (refused.status, "/resource_class" in fault(refused)) == (400, True)


async def test_lists_are_narrowed(api: Baremetal) -> None:
    node = await available(api, "n1")
    met, failed = await wish(api), await wish(api, resource_class="none", owner="red")

    async def listed(query: str) -> list[str]:
        return [one["uuid"] for one in (await api.shown(f"{URL}?{query}"))["allocations"]]

    assert await listed("") == [met["uuid"], failed["uuid"]]
    assert await listed("state=active") == await listed("node=n1") == await listed(f"node={node['uuid']}")
    assert await listed("node=n1") == await listed("resource_class=bm") == [met["uuid"]]
    assert await listed("owner=red") == await listed("state=error") == [failed["uuid"]]
    (short,) = (await api.shown(f"{URL}?fields=uuid&state=active"))["allocations"]
    assert short.keys() == {"uuid", "links"}


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({}, 400, "resource_class"),
        ({"resource_class": "x" * 81}, 400, "resource_class"),
        ({"resource_class": "bm", "traits": "CUSTOM_X"}, 400, "traits"),
        ({"resource_class": "bm", "traits": ["lower"]}, 400, "traits[0]"),
        ({"resource_class": "bm", "candidate_nodes": ["nosuch"]}, 400, "candidate_nodes[0]"),
        ({"resource_class": "bm", "state": "active"}, 400, "state"),
        ({"resource_class": "bm", "node_uuid": "x"}, 400, "node_uuid"),
        ({"resource_class": "bm", "uuid": "x"}, 400, "uuid"),
        ({"resource_class": "bm", "name": "mine"}, 409, "name"),
        ({"node": "nosuch"}, 400, "node"),
        ([], 400, "body"),
    ],
)
async def test_refusals(api: Baremetal, body: Any, status: int, named: str) -> None:
    await api.made("allocations", resource_class="bm", name="mine")
    answer = await api.post(URL, body)
    assert (answer.status, named in fault(answer)) == (status, True)


async def test_older_versions_know_less(api: Baremetal) -> None:
    for version, method, url, body, status in (
        ("1.51", "GET", URL, None, 404),
        ("1.52", "GET", URL, None, 200),
        ("1.52", "POST", URL, {"resource_class": "bm", "owner": "red"}, 406),
        ("1.57", "POST", URL, {"node": "n1"}, 400),
        ("1.56", "PATCH", f"{URL}/x", [], 404),
    ):
        headers = {"X-OpenStack-Ironic-API-Version": version}
        assert (await api.request(method, url, json_body=body, headers=headers)).status == status


async def test_a_node_in_use_is_recorded_as_allocated(api: Baremetal) -> None:
    instance = str(uuid.uuid4())
    node = await available(api, "n1")
    await api.put_in(node, provision_state="active", instance_uuid=instance, traits=["CUSTOM_X"])
    for wrong in ({"traits": ["CUSTOM_Y"]}, {"resource_class": "other"}, {"candidate_nodes": []}):
        answer = await api.post(URL, {"node": "n1", "uuid": str(uuid.uuid4()), **wrong})
        assert answer.status == 409, "another UUID than the instance's"
    refused = await api.post(URL, {"node": "n1", "traits": ["CUSTOM_Y"]})
    assert (refused.status, "CUSTOM_Y" in fault(refused)) == (400, True)
    made = await api.made("allocations", node="n1", traits=["CUSTOM_X"])
    assert (made["uuid"], made["state"], made["node_uuid"]) == (instance, "active", node["uuid"])
    held = await api.delete(f"{URL}/{instance}")
    assert (held.status, "undeploy it first" in fault(held)) == (409, True)
    unset = await api.patch("/v1/nodes/n1", {"op": "remove", "path": "/instance_uuid"})
    assert unset.status == 409
    await api.put_in(node, provision_state="available")
    other = await api.patch("/v1/nodes/n1", {"op": "add", "path": "/instance_uuid", "value": str(uuid.uuid4())})
    assert other.status == 409
    unset = await api.patch("/v1/nodes/n1", {"op": "remove", "path": "/instance_uuid"})
    assert (unset.status, unset.json()["allocation_uuid"]) == (200, None)
    assert (await api.get(f"{URL}/{instance}")).status == 404


async def test_it_goes_with_its_node(api: Baremetal) -> None:
    node = await available(api, "n1")
    met = await wish(api)
    await api.put_in(node, maintenance=True)
    assert (await api.delete("/v1/nodes/n1")).status == 204
    assert (await api.get(f"{URL}/{met['uuid']}")).status == 404
    assert await api.store.read(nodes.find) == []
