"""What a ramdisk sends at the end of an inspection, as ironic-python-agent sends it, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.asgi import Answer
from tests.api.baremetal.conftest import Baremetal, fault

INVENTORY = {
    "interfaces": [
        {"name": "eth0", "mac_address": "52:54:00:00:00:01", "ipv4_address": "10.0.0.9", "has_carrier": True},
        {"name": "ib0", "mac_address": "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1"},
    ],
    "bmc_address": "192.0.2.7",
    "cpu": {"count": 8, "architecture": "x86_64"},
}
BODY = {"inventory": INVENTORY, "error": None, "root_disk": {"size": 1 << 40}, "logs": "H4sI" * 100}
URL = "/v1/continue_inspection"


async def waiting(api: Baremetal, name: str = "n1", **more: Any) -> dict[str, Any]:
    node = await api.node(name, **more)
    await api.put_in(node, provision_state="inspect wait", target_provision_state="manageable")
    return node


async def send(api: Baremetal, body: Any = BODY, version: str = "1.84", query: str = "") -> Answer:
    return await api.request("POST", URL + query, json_body=body, headers={"X-OpenStack-Ironic-API-Version": version})


async def test_what_arrives_is_told_again_without_the_logs(api: Baremetal) -> None:
    node = await waiting(api)
    await api.nic(node, 1)
    refused = await api.get("/v1/nodes/n1/inventory")
    assert refused.status == 404
    assert "inventory of node n1" in fault(refused)
    answer = await send(api)
    assert answer.status == 202
    told = answer.json()
    assert told["node"]["uuid"] == node["uuid"]
    assert len(told["config"]["agent_token"]) > 20, "the ramdisk can send heartbeats without a lookup"
    found = await api.shown("/v1/nodes/n1/inventory")
    assert found == {"inventory": INVENTORY, "plugin_data": {"error": None, "root_disk": {"size": 1 << 40}}}


async def test_an_agent_that_names_no_version_is_told_the_uuid_only(api: Baremetal) -> None:
    node = await waiting(api)
    await api.nic(node, 1)
    answer = await send(api, version="1.1")
    assert (answer.status, answer.json()) == (202, {"uuid": node["uuid"]})


@pytest.mark.parametrize("version", ["1.2", "1.83"])
async def test_versions_between_do_not_have_it(api: Baremetal, version: str) -> None:
    await api.nic(await waiting(api), 1)
    assert (await send(api, version=version)).status == 404


@pytest.mark.parametrize("state", ["manageable", "inspecting", "inspect failed", "active", "clean wait"])
async def test_nobody_else_is_told_anything(api: Baremetal, state: str) -> None:
    node = await waiting(api)
    await api.nic(node, 1)
    await api.put_in(node, provision_state=state)
    before = await api.everything()
    assert (await send(api)).status == 404
    assert (await api.get("/v1/nodes/n1/inventory")).status == 404
    assert await api.everything() == before


async def test_a_server_whose_nics_are_unknown_is_known_by_its_bmc(api: Baremetal) -> None:
    await waiting(api, "n0", driver_info={"ipmi_address": "192.0.2.6"})
    node = await waiting(api, driver_info={"redfish_address": "https://192.0.2.7:8000/redfish"})
    assert (await send(api)).json()["node"]["uuid"] == node["uuid"]
    await waiting(api, "n2", driver_info={"ipmi_address": "192.0.2.7"})
    assert (await send(api)).status == 404, "two nodes with one BMC address: neither is meant"


async def test_nics_of_two_nodes_are_nobody_s(api: Baremetal) -> None:
    one, two = await waiting(api), await waiting(api, "n2")
    await api.nic(one, 1)
    await api.nic(two, 2)
    both = [{"name": f"eth{n}", "mac_address": f"52:54:00:00:00:{n:02x}"} for n in (1, 2)]
    assert (await send(api, {"inventory": {"interfaces": both}})).status == 404
    assert (await send(api, query=f"?node_uuid={two['uuid']}")).status == 404, "the named node has other NICs"
    assert (await send(api, query=f"?node_uuid={one['uuid']}")).status == 202


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        ([], "body"),
        ({}, "inventory"),
        ({"inventory": []}, "inventory"),
        ({"inventory": {"interfaces": []}}, "inventory.interfaces"),
        ({"inventory": {"interfaces": {}}}, "inventory.interfaces"),
        ({"inventory": {"interfaces": [7]}}, "inventory.interfaces[0].mac_address"),
        ({"inventory": {"interfaces": [{"mac_address": 7}]}}, "inventory.interfaces[0].mac_address"),
        ({"inventory": {"interfaces": [{"mac_address": "x"}] * 1001}}, "inventory.interfaces"),
    ],
)
async def test_what_is_no_inventory_is_refused(api: Baremetal, body: Any, field: str) -> None:
    await api.nic(await waiting(api), 1)
    answer = await send(api, body)
    assert answer.status == 400
    assert field in fault(answer)


async def test_inspect_is_asked_for_as_any_other_state(api: Baremetal) -> None:
    node = await api.node()
    await api.put_in(node, provision_state="manageable")
    target = "/v1/nodes/n1/states/provision"
    assert (await api.put(target, {"target": "inspect"})).status == 202
    shown = await api.shown("/v1/nodes/n1")
    assert (shown["provision_state"], shown["target_provision_state"]) == ("inspecting", "manageable")
    await api.put_in(node, provision_state="inspect wait")
    assert (await api.put(target, {"target": "abort"})).status == 202
    assert (await api.shown("/v1/nodes/n1"))["provision_state"] == "inspect failed"
    assert (await api.put(target, {"target": "manage"})).status == 202
    assert (await api.shown("/v1/nodes/n1"))["provision_state"] == "manageable"
    await api.put_in(node, provision_state="available")
    assert "can not be performed" in fault(await api.put(target, {"target": "inspect"}))


async def test_a_node_may_be_exempt_from_inspection(api: Baremetal) -> None:
    node = await api.node(inspect_interface="no-inspect")
    await api.put_in(node, provision_state="manageable")
    answer = await api.put("/v1/nodes/n1/states/provision", {"target": "inspect"})
    assert answer.status == 400
    assert "no-inspect" in fault(answer)
