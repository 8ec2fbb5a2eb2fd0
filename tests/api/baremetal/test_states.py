"""Provision and power states, boot device, validation, traits, conductors, and the ramdisk's calls."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.model.node import Node
from ironlane.store import nodes, tables
from ironlane.store.database import Hint
from tests.api.baremetal.conftest import Baremetal, fault

URL = "/v1/nodes/n1/states/provision"


async def stored(api: Baremetal, ident: str = "n1") -> Node:
    return await api.store.read(lambda tx: nodes.get(tx, ident))


async def test_a_verb_takes_its_step_and_wakes_the_loop(api: Baremetal) -> None:
    node = await api.node()
    await api.put_in(node, last_error="old", attempts=3, step="x")
    heard: list[Hint] = []
    api.store.listen(heard.append)
    assert (await api.put(URL, {"target": "manage"})).status == 202
    after = await stored(api)
    assert (after.provision_state, after.target_provision_state) == ("verifying", "manageable")
    assert (after.last_error, after.attempts, after.step, after.generation) == (None, 0, None, 2)
    assert after.due_at is not None
    assert heard == [Hint("node", node["uuid"])]
    refused = await api.put(URL, {"target": "provide"})
    assert (refused.status, '"provide" can not be performed' in fault(refused)) == (400, True)


@pytest.mark.parametrize(
    ("columns", "body", "status"),
    [
        ({"provision_state": "available"}, {"target": "deploy", "configdrive": {"user_data": "x"}}, 202),
        ({"provision_state": "available"}, {"target": "active", "deploy_steps": []}, 202),
        (
            {"provision_state": "manageable"},
            {"target": "clean", "clean_steps": [{"interface": "deploy", "step": "x"}]},
            202,
        ),
        ({"provision_state": "available", "maintenance": True}, {"target": "active"}, 400),
        ({"provision_state": "active", "protected": True}, {"target": "undeploy"}, 403),
        ({"provision_state": "manageable", "retired": True}, {"target": "provide"}, 409),
        ({"provision_state": "available", "driver": "ipmi"}, {"target": "active"}, 400),
        ({"provision_state": "available", "driver": "gone"}, {"target": "active"}, 400),
        ({"provision_state": "deploying"}, {"target": "deleted"}, 400),
    ],
)
async def test_verbs(api: Baremetal, columns: dict[str, Any], body: dict[str, Any], status: int) -> None:
    node = await api.node()
    await api.put_in(node, **columns)
    before = await api.everything()
    answer = await api.put(URL, body)
    assert answer.status == status, answer.body
    assert (await api.everything() == before) == (status != 202)


async def test_what_comes_with_a_verb_is_kept_for_the_loop(api: Baremetal) -> None:
    node = await api.node(instance_info={"image_source": "x"})
    await api.put_in(node, provision_state="available")
    steps = [{"interface": "deploy", "step": "write", "args": {}, "priority": 10}]
    assert (await api.put(URL, {"target": "active", "configdrive": "abc", "deploy_steps": steps})).status == 202
    after = await stored(api)
    assert api.store.vault.opened(after.instance_info) == {"image_source": "x", "configdrive": "abc"}
    assert after.driver_internal_info["deploy_steps"] == steps
    shown = await api.shown("/v1/nodes/n1/states")
    assert (shown["provision_state"], shown["target_provision_state"]) == ("deploying", "active")


async def test_power_and_boot_device(api: Baremetal) -> None:
    node = await api.node()
    assert (await api.put("/v1/nodes/n1/states/power", {"target": "soft power off", "timeout": 9})).status == 202
    assert (await stored(api)).target_power_state == "soft power off"
    device = {"boot_device": "pxe", "persistent": True}
    assert (await api.put("/v1/nodes/n1/management/boot_device", device)).status == 204
    assert await api.shown("/v1/nodes/n1/management/boot_device") == device
    after = await stored(api)
    assert after.boot_device_due
    assert after.due_at is not None
    supported = await api.shown("/v1/nodes/n1/management/boot_device/supported")
    assert supported == {"supported_boot_devices": ["pxe", "disk"]}
    for state, status in (("cleaning", 400), ("deploying", 409)):
        await api.put_in(node, provision_state=state)
        assert (await api.put("/v1/nodes/n1/states/power", {"target": "power on"})).status == status


async def test_validate_says_what_is_missing(api: Baremetal) -> None:
    node = await api.node(driver="ipmi")
    poor = await api.shown("/v1/nodes/n1/validate")
    assert {kind: part["result"] for kind, part in poor.items() if part["result"] is not None} == {
        "power": False,
        "management": False,
        "boot": False,
        "inspect": False,
        "deploy": False,
        "network": True,
        "storage": True,
    }
    assert "ipmi_address" in poor["power"]["reason"]
    assert poor["raid"] == {"result": None, "reason": "not supported"}
    await api.made("ports", node_uuid=node["uuid"], address="52:54:00:00:00:01")
    assert "52:54:00:00:00:01" in (await api.shown("/v1/nodes/n1/validate"))["network"]["reason"]
    add = [
        {"op": "add", "path": "/driver_info/ipmi_address", "value": "127.0.0.1"},
        {"op": "add", "path": "/instance_info/image_source", "value": "x"},
    ]
    await api.patch("/v1/nodes/n1", *add)
    link = {"switch_id": "00:11:22:33:44:01", "port_id": "Ethernet1"}
    port = (await api.shown("/v1/nodes/n1/ports"))["ports"][0]["uuid"]
    await api.patch(f"/v1/ports/{port}", {"op": "add", "path": "/local_link_connection", "value": link})
    rich = await api.shown("/v1/nodes/n1/validate")
    assert all(part["result"] is not False for part in rich.values()), rich
    for network in ("nosuch", "net1"):
        await api.patch("/v1/nodes/n1", {"op": "add", "path": "/driver_info/cleaning_network", "value": network})
        assert network in (await api.shown("/v1/nodes/n1/validate"))["network"]["reason"]


async def test_traits(api: Baremetal) -> None:
    await api.node()
    url = "/v1/nodes/n1/traits"
    assert (await api.put(url, {"traits": ["CUSTOM_B", "HW_CPU_X86_VMX", "CUSTOM_B"]})).status == 204
    assert (await api.request("PUT", f"{url}/CUSTOM_A")).status == 204
    assert await api.shown(url) == {"traits": ["CUSTOM_A", "CUSTOM_B", "HW_CPU_X86_VMX"]}
    assert (await api.delete(f"{url}/CUSTOM_A")).status == 204
    assert (await api.shown("/v1/nodes/n1?fields=traits"))["traits"] == ["CUSTOM_B", "HW_CPU_X86_VMX"]
    assert (await api.delete(url)).status == 204
    assert await api.shown(url) == {"traits": []}


async def test_a_dead_conductor_takes_its_drivers_along(api: Baremetal) -> None:
    assert [driver["name"] for driver in (await api.shown("/v1/drivers"))["drivers"]] == ["ipmi", "fake-hardware"]
    assert set(await api.shown("/v1/drivers/ipmi/properties")) == {"ipmi_address", "ipmi_password"}
    assert (await api.shown("/v1/conductors/c1"))["drivers"] == ["ipmi", "fake-hardware"]
    await api.store.write(lambda tx: tx.execute(sa.update(tables.conductors).values(online=False)) and None)
    assert await api.shown("/v1/drivers") == {"drivers": []}
    assert [c["alive"] for c in (await api.shown("/v1/conductors"))["conductors"]] == [False]
    refused = await api.post("/v1/nodes", {"driver": "ipmi"})
    assert (refused.status, "no conductor is alive" in fault(refused)) == (400, True)


async def test_a_ramdisk_gets_one_token_and_reports_with_it(api: Baremetal) -> None:
    node = await api.node(driver_info={"ipmi_password": "geheim"}, instance_info={"configdrive": "geheim"})
    await api.nic(node, 1)
    lookup = "/v1/lookup?addresses=aa:aa:aa:aa:aa:aa,52:54:00:00:00:01"
    assert (await api.get(lookup)).status == 404
    await api.put_in(node, provision_state="wait call-back")
    first = await api.shown(lookup)
    unheard = first["config"]["agent_token"]
    assert (first["node"]["uuid"], first["config"]["agent_token_required"]) == (node["uuid"], True)
    token = (await api.shown(lookup))["config"]["agent_token"]
    assert token not in {"******", unheard}, "the answer may have been lost: the ramdisk asks again"
    assert token not in str(await stored(api))
    heartbeat = {"callback_url": "http://127.0.0.1:9999", "agent_version": "1", "agent_status": "start"}
    for wrong in (None, "guess", token + "x", unheard, "\u00e4"):
        refused = await api.post("/v1/heartbeat/n1", {**heartbeat, "agent_token": wrong})
        assert (refused.status, "token" in fault(refused)) == (400, True)
    assert (await stored(api)).agent_seen_at is None
    answer = await api.post(f"/v1/heartbeat/{node['uuid']}", {**heartbeat, "agent_token": token})
    assert answer.status == 202
    assert (await api.shown(lookup))["config"]["agent_token"] == "******", "it is in use: nobody is told another"
    for idle in ({}, {"agent_status": ""}):
        body = {"callback_url": "x", "agent_token": token, **idle}
        assert (await api.post("/v1/heartbeat/n1", body)).status == 202
    after = await stored(api)
    assert after.agent_report == "start"
    assert after.agent_seen_at is not None
    assert after.due_at is not None
    await api.put_in(node, provision_state="active")
    late = await api.post("/v1/heartbeat/n1", {**heartbeat, "agent_token": token})
    assert (late.status, "waits for no ramdisk" in fault(late)) == (409, True)


async def test_a_ramdisk_of_two_nodes_is_nobodys(api: Baremetal) -> None:
    for number in (1, 2):
        node = await api.node(f"n{number}")
        await api.nic(node, number)
        await api.put_in(node, provision_state="clean wait")
    both = "/v1/lookup?addresses=52:54:00:00:00:01,52:54:00:00:00:02"
    assert (await api.get(both)).status == 404
    assert (await api.get("/v1/lookup?addresses=52:54:00:00:00:01")).status == 200
