"""Provision and power states, boot device, validation, traits, conductors, and the ramdisk's calls."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.model.node import Node
from ironlane.model.sha_crypt import sha512_crypt
from ironlane.store import nodes, tables
from ironlane.store.database import Hint
from tests.api.baremetal.conftest import Baremetal, fault

IMAGE = {"image_source": "http://images.example/disk.img", "image_checksum": "ab" * 32}
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
        ({"provision_state": "active"}, {"target": "rescue", "rescue_password": "geheim"}, 202),
        ({"provision_state": "active"}, {"target": "rescue"}, 400),
        ({"provision_state": "active"}, {"target": "rescue", "rescue_password": ""}, 400),
        ({"provision_state": "active"}, {"target": "rescue", "rescue_password": ["x"]}, 400),
        ({"provision_state": "active"}, {"target": "rebuild", "rescue_password": "geheim"}, 400),
        ({"provision_state": "active", "maintenance": True}, {"target": "rescue", "rescue_password": "geheim"}, 400),
        (
            {"provision_state": "active", "interfaces": {"rescue_interface": "no-rescue"}},
            {"target": "rescue", "rescue_password": "geheim"},
            400,
        ),
        ({"provision_state": "rescue"}, {"target": "unrescue"}, 202),
        ({"provision_state": "rescue"}, {"target": "unrescue", "rescue_password": "geheim"}, 400),
        ({"provision_state": "rescue wait"}, {"target": "abort"}, 202),
        ({"provision_state": "active"}, {"target": "service"}, 400),
        (
            {"provision_state": "active"},
            {"target": "service", "service_steps": [{"interface": "deploy", "step": "x"}]},
            202,
        ),
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
    assert after.driver_internal_info["user_deploy_steps"] == steps
    shown = await api.shown("/v1/nodes/n1/states")
    assert (shown["provision_state"], shown["target_provision_state"]) == ("deploying", "active")


async def test_a_rescue_password_is_hashed_at_once_and_never_shown(api: Baremetal) -> None:
    node = await api.node()
    await api.put_in(node, provision_state="active")
    assert (await api.put(URL, {"target": "rescue", "rescue_password": "geheim"})).status == 202
    kept = (await stored(api)).driver_internal_info
    hashed = api.store.vault.opened(kept)["hashed_rescue_password"]
    assert hashed == sha512_crypt("geheim", hashed.split("$")[2])
    assert "$6$" not in str(kept)
    shown = await api.shown("/v1/nodes/n1")
    assert shown["driver_internal_info"]["hashed_rescue_password"] == "******"
    await api.put_in(node, provision_state="rescue failed")
    assert (await api.put(URL, {"target": "unrescue"})).status == 202
    assert "hashed_rescue_password" not in (await stored(api)).driver_internal_info
    old = await api.put(
        URL, {"target": "rescue", "rescue_password": "x"}, headers={"X-OpenStack-Ironic-API-Version": "1.37"}
    )
    assert old.status == 406


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
        "rescue": False,
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
        {"op": "add", "path": "/instance_info", "value": IMAGE},
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
        assert (refused.status, "token" in fault(refused)) == (401, True)
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


async def test_an_agent_is_called_at_its_own_address_only(api: Baremetal) -> None:
    node = await api.node(driver="ipmi", driver_info={"ipmi_address": "127.0.0.1"})
    await api.nic(node, 1)
    await api.put_in(node, provision_state="clean wait")
    token = (await api.shown("/v1/lookup?addresses=52:54:00:00:00:01"))["config"]["agent_token"]
    before = await api.everything()
    body = {"agent_token": token, "agent_verify_ca": "-----BEGIN CERTIFICATE-----"}
    foreign = (
        "http://169.254.169.254:80",
        "https://192.0.2.7:9999",
        "http://localhost:9999",
        "http://127.0.0.1:9999/v1/nodes",
        "http://user@127.0.0.1:9999",
        "http://127.0.0.1:9999?x=",
        "http://127.0.0.1:x",
        "http://[::1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "",
    )
    for url in foreign:
        answer = await api.post("/v1/heartbeat/n1", {**body, "callback_url": url})
        assert (answer.status, "callback_url" in fault(answer)) == (400, True), url
    assert await api.everything() == before
    url = "https://127.0.0.1:9999"  # the test's client is at 127.0.0.1, and no provision port has another address
    assert (await api.post("/v1/heartbeat/n1", {**body, "callback_url": url})).status == 202
    moved = await api.post("/v1/heartbeat/n1", {**body, "callback_url": "https://127.0.0.1:9998"})
    assert (moved.status, "another one than at first" in fault(moved)) == (400, True)
    shown = (await api.shown("/v1/nodes/n1"))["driver_internal_info"]
    assert (shown["agent_url"], shown["agent_secret_token"]) == (url, "******")
    assert shown["agent_verify_ca"] == body["agent_verify_ca"]


async def test_where_tls_is_required_an_agent_without_it_is_refused(api: Baremetal) -> None:
    api = Baremetal(api.store, agent_tls=True)
    node = await api.node(driver="ipmi", driver_info={"ipmi_address": "127.0.0.1"})
    await api.nic(node, 1)
    await api.put_in(node, provision_state="clean wait")
    token = (await api.shown("/v1/lookup?addresses=52:54:00:00:00:01"))["config"]["agent_token"]
    body = {"agent_token": token, "callback_url": "http://127.0.0.1:9999"}
    refused = await api.post("/v1/heartbeat/n1", body)
    assert (refused.status, "must be https" in fault(refused)) == (400, True)
    assert (await api.post("/v1/heartbeat/n1", {**body, "callback_url": "https://127.0.0.1:9999"})).status == 202


async def test_the_step_that_an_agent_is_at_is_shown(api: Baremetal) -> None:
    node = await api.node()
    steps = [
        {"interface": "deploy", "step": name, "priority": 10} for name in ("erase_devices_metadata", "erase_devices")
    ]
    info = {"clean_steps": steps, "clean_step_index": 1}
    await api.put_in(node, provision_state="clean wait", driver_internal_info=info)
    shown = await api.shown("/v1/nodes/n1?fields=clean_step,deploy_step")
    assert (shown["clean_step"], shown["deploy_step"]) == (steps[1], {})
    await api.put_in(node, provision_state="available")
    assert (await api.shown("/v1/nodes/n1"))["clean_step"] == {}


async def test_an_image_is_checked_before_anything_is_deployed(api: Baremetal) -> None:
    node = await api.node(driver="ipmi", driver_info={"ipmi_address": "127.0.0.1"})
    await api.put_in(node, provision_state="available")
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "image_source"),
        ({"image_source": "8f1e0a4e-0000-4000-8000-000000000000"}, "image_source"),
        ({"image_source": "file:///etc/shadow"}, "image_source"),
        ({"image_source": IMAGE["image_source"]}, "image_checksum"),
        ({**IMAGE, "image_checksum": "d41d8cd98f00b204e9800998ecf8427e"}, "image_checksum"),
        ({**IMAGE, "image_os_hash_algo": "md5", "image_os_hash_value": "x"}, "image_os_hash_algo"),
        ({**IMAGE, "image_os_hash_algo": "sha512", "image_os_hash_value": "ab"}, "image_os_hash_value"),
        ({**IMAGE, "image_type": "floppy"}, "image_type"),
        ({**IMAGE, "image_type": "partition"}, "root_gb"),
        ({**IMAGE, "image_type": "partition", "root_gb": "much"}, "root_gb"),
        ({**IMAGE, "deploy_boot_mode": "coreboot"}, "deploy_boot_mode"),
    ]
    for info, key in cases:
        await api.patch("/v1/nodes/n1", {"op": "add", "path": "/instance_info", "value": info})
        told = (await api.shown("/v1/nodes/n1/validate"))["deploy"]
        assert (told["result"], key in told["reason"]) == (False, True), info
        refused = await api.put(URL, {"target": "active"})
        assert (refused.status, f"instance_info.{key}" in fault(refused)) == (400, True), info
    await api.patch("/v1/nodes/n1", {"op": "add", "path": "/instance_info", "value": IMAGE})
    built = await api.put(URL, {"target": "active", "configdrive": {"meta_data": {}}})
    assert (built.status, "configdrive" in fault(built)) == (400, True)
    await api.patch("/v1/nodes/n1", {"op": "add", "path": "/deploy_interface", "value": "ramdisk"})
    assert "instance_info.kernel" in fault(await api.put(URL, {"target": "active"}))
    await api.patch("/v1/nodes/n1", {"op": "add", "path": "/deploy_interface", "value": "direct"})
    assert (await api.put(URL, {"target": "active"})).status == 202


async def test_an_image_may_be_named_by_its_id_where_there_is_an_image_service(api: Baremetal) -> None:
    node = await api.node(driver="ipmi", driver_info={"ipmi_address": "127.0.0.1"})
    await api.put_in(node, provision_state="available")
    api = Baremetal(api.store, image_service=True)
    for source, sound in (("8f1e0a4e-0000-4000-8000-000000000000", True), ("ubuntu", False), ("", False)):
        await api.patch("/v1/nodes/n1", {"op": "add", "path": "/instance_info", "value": {"image_source": source}})
        assert (await api.shown("/v1/nodes/n1/validate"))["deploy"]["result"] is sound
        if not sound:
            assert "image_source" in fault(await api.put(URL, {"target": "active"}))
    partition = {"image_source": "8f1e0a4e-0000-4000-8000-000000000000", "image_type": "partition"}
    await api.patch("/v1/nodes/n1", {"op": "add", "path": "/instance_info", "value": partition})
    assert "root_gb" in fault(await api.put(URL, {"target": "active"}))


async def test_a_ramdisk_of_two_nodes_is_nobodys(api: Baremetal) -> None:
    for number in (1, 2):
        node = await api.node(f"n{number}")
        await api.nic(node, number)
        await api.put_in(node, provision_state="clean wait")
    both = "/v1/lookup?addresses=52:54:00:00:00:01,52:54:00:00:00:02"
    assert (await api.get(both)).status == 404
    assert (await api.get("/v1/lookup?addresses=52:54:00:00:00:01")).status == 200
