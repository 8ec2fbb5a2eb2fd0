"""Bad input: the status, the field that is named, Ironic's error shape, and that nothing was stored."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.baremetal.conftest import Baremetal, fault

UNKNOWN = "5eba08c7-c901-4bee-9522-57d35501f1cc"
NODE = "/v1/nodes/n1"
PROVISION = f"{NODE}/states/provision"
NEW_PORT = {"node_uuid": "n1", "address": "52:54:00:00:00:99"}
NEW_GROUP = {"node_uuid": "n1"}


def _replace(path: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": path, "value": value}]


def _link(**link: Any) -> dict[str, Any]:
    return {**NEW_PORT, "local_link_connection": link}


REFUSALS: list[tuple[str, str, Any, int, str]] = [
    # nodes
    ("POST", "/v1/nodes", {}, 400, "driver"),
    ("POST", "/v1/nodes", [], 400, "body"),
    ("POST", "/v1/nodes", {"driver": 7}, 400, "driver"),
    ("POST", "/v1/nodes", {"driver": "nosuch"}, 400, "driver"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "colour": "red"}, 400, "colour"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "provision_state": "active"}, 400, "provision_state"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "links": []}, 400, "links"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "uuid": "x"}, 400, "uuid"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "name": "white space"}, 400, "name"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "name": "a" * 256}, 400, "name"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "name": "detail"}, 400, "name"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "name": UNKNOWN}, 400, "name"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "name": "n1"}, 409, "name"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "driver_info": "x"}, 400, "driver_info"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "extra": [1]}, 400, "extra"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "resource_class": "x" * 81}, 400, "resource_class"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "conductor_group": "a b"}, 400, "conductor_group"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "network_interface": "flat"}, 400, "network_interface"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "power_interface": "redfish"}, 400, "power_interface"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "automated_clean": "perhaps"}, 400, "automated_clean"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "protected": True}, 409, "protected"),
    ("POST", "/v1/nodes", {"driver": "ipmi", "retired_reason": "old"}, 400, "retired_reason"),
    ("PATCH", NODE, {}, 400, "body"),
    ("PATCH", NODE, [], 400, "body"),
    ("PATCH", NODE, ["x"], 400, "body[0]"),
    ("PATCH", NODE, [{"op": "copy", "from": "/driver_info", "path": "/extra"}], 400, "body[0].op"),
    ("PATCH", NODE, [{"op": "replace", "path": "name", "value": "x"}], 400, "body[0].path"),
    ("PATCH", NODE, [{"op": "replace", "path": "/name"}], 400, "body[0].value"),
    ("PATCH", NODE, [{"op": "remove", "path": "/driver"}], 400, "/driver"),
    ("PATCH", NODE, [{"op": "remove", "path": "/extra/none"}], 400, "/extra/none"),
    ("PATCH", NODE, [{"op": "add", "path": "/colour", "value": 1}], 400, "/colour"),
    ("PATCH", NODE, [{"op": "add", "path": "/extra/a/b/c", "value": 1}], 400, "/extra/a/b/c"),
    ("PATCH", NODE, _replace("/provision_state", "active"), 400, "/provision_state"),
    ("PATCH", NODE, _replace("/power_state", "power on"), 400, "/power_state"),
    ("PATCH", NODE, _replace("/uuid", UNKNOWN), 400, "/uuid"),
    ("PATCH", NODE, _replace("/instance_uuid", "x"), 400, "instance_uuid"),
    ("PATCH", NODE, _replace("/driver", "nosuch"), 400, "driver"),
    ("PATCH", NODE, _replace("/protected", True), 409, "protected"),
    ("PATCH", f"{NODE}?reset_interfaces=true", _replace("/name", "n9"), 400, "reset_interfaces"),
    ("PATCH", f"{NODE}?colour=red", _replace("/name", "n9"), 400, "colour"),
    ("GET", "/v1/nodes/nosuch", None, 404, "nosuch"),
    ("GET", "/v1/nodes?colour=red", None, 400, "colour"),
    ("GET", "/v1/nodes?limit=0", None, 400, "limit"),
    ("GET", "/v1/nodes?limit=x", None, 400, "limit"),
    ("GET", "/v1/nodes?marker=nosuch", None, 404, "nosuch"),
    ("GET", "/v1/nodes?sort_key=driver_info", None, 400, "sort_key"),
    ("GET", "/v1/nodes?sort_dir=up", None, 400, "sort_dir"),
    ("GET", "/v1/nodes?fields=colour", None, 400, "fields"),
    ("GET", "/v1/nodes?fields=uuid&detail=true", None, 400, "fields"),
    ("GET", "/v1/nodes?maintenance=perhaps", None, 400, "maintenance"),
    ("GET", "/v1/nodes?owner=%00", None, 400, "owner"),
    ("GET", "/v1/nodes/%00", None, 404, "not be found"),
    # states
    ("PUT", PROVISION, {}, 400, "target"),
    ("PUT", PROVISION, {"target": "fly"}, 400, "target"),
    ("PUT", PROVISION, {"target": 3}, 400, "target"),
    ("PUT", PROVISION, {"target": "active"}, 400, "target"),
    ("PUT", PROVISION, {"target": "manage", "colour": 1}, 400, "colour"),
    ("PUT", PROVISION, {"target": "manage", "configdrive": "x"}, 400, "configdrive"),
    ("PUT", PROVISION, {"target": "active", "configdrive": {"x": 1}}, 400, "configdrive.x"),
    ("PUT", PROVISION, {"target": "active", "rescue_password": "x"}, 400, "rescue_password"),
    ("PUT", PROVISION, {"target": "clean"}, 400, "clean_steps"),
    ("PUT", PROVISION, {"target": "clean", "clean_steps": [{}]}, 400, "clean_steps[0].interface"),
    ("PUT", f"{NODE}/states/power", {"target": "on"}, 400, "target"),
    ("PUT", f"{NODE}/states/power", {"target": "power on", "timeout": -1}, 400, "timeout"),
    ("PUT", f"{NODE}/management/boot_device", {"boot_device": "tape"}, 400, "boot_device"),
    ("PUT", f"{NODE}/management/boot_device", {"boot_device": "pxe", "persistent": "x"}, 400, "persistent"),
    ("PUT", f"{NODE}/maintenance", {"reason": 1}, 400, "reason"),
    ("PUT", f"{NODE}/traits", {"traits": ["lower"]}, 400, "traits[0]"),
    ("PUT", f"{NODE}/traits", {"traits": [f"CUSTOM_{i}" for i in range(51)]}, 400, "traits"),
    ("DELETE", f"{NODE}/traits/CUSTOM_X", None, 404, "CUSTOM_X"),
    # VIFs
    ("POST", f"{NODE}/vifs", {}, 400, "id"),
    ("POST", f"{NODE}/vifs", {"id": "x"}, 400, "id"),
    ("POST", f"{NODE}/vifs", {"id": UNKNOWN}, 400, "id"),
    ("POST", f"{NODE}/vifs", {"id": UNKNOWN, "port_uuid": 1}, 400, "port_uuid"),
    ("DELETE", f"{NODE}/vifs/nosuch", None, 400, "nosuch"),
    # ports
    ("POST", "/v1/ports", {"node_uuid": "n1"}, 400, "address"),
    ("POST", "/v1/ports", {"address": "52:54:00:00:00:99"}, 400, "node_uuid"),
    ("POST", "/v1/ports", {**NEW_PORT, "address": "52:54"}, 400, "address"),
    ("POST", "/v1/ports", {**NEW_PORT, "address": "52-54-00-00-00-01"}, 409, "address"),
    ("POST", "/v1/ports", {**NEW_PORT, "node_uuid": "nosuch"}, 400, "node_uuid"),
    ("POST", "/v1/ports", {**NEW_PORT, "portgroup_uuid": "x"}, 400, "portgroup_uuid"),
    ("POST", "/v1/ports", {**NEW_PORT, "portgroup_uuid": UNKNOWN}, 400, "portgroup_uuid"),
    ("PATCH", "/v1/ports/eth0", _replace("/portgroup_uuid", UNKNOWN), 400, "portgroup_uuid"),
    ("POST", "/v1/ports", {**NEW_PORT, "internal_info": {}}, 400, "internal_info"),
    ("POST", "/v1/ports", {**NEW_PORT, "is_smartnic": True}, 400, "hostname"),
    ("POST", "/v1/ports", _link(switch_id="00:11:22:33:44:01"), 400, "local_link_connection.port_id"),
    ("POST", "/v1/ports", _link(port_id="Ethernet1"), 400, "local_link_connection.switch_id"),
    ("POST", "/v1/ports", _link(switch_id="zz", port_id="x"), 400, "local_link_connection.switch_id"),
    ("POST", "/v1/ports", _link(colour="red"), 400, "local_link_connection.colour"),
    ("POST", "/v1/ports", _link(network_type="flat"), 400, "local_link_connection.network_type"),
    ("PATCH", "/v1/ports/eth0", _replace("/address", "x"), 400, "address"),
    ("PATCH", "/v1/ports/eth0", _replace("/node_uuid", "n1"), 400, "/node_uuid"),
    ("GET", "/v1/ports?node=nosuch", None, 404, "nosuch"),
    ("GET", "/v1/ports?address=x", None, 400, "address"),
    # portgroups
    ("POST", "/v1/portgroups", {}, 400, "node_uuid"),
    ("POST", "/v1/portgroups", {**NEW_GROUP, "mode": "round"}, 400, "mode"),
    ("POST", "/v1/portgroups", {**NEW_GROUP, "properties": {"priority": "high"}}, 400, "properties.priority"),
    ("POST", "/v1/portgroups", {**NEW_GROUP, "properties": {"lacp_rate": "mad"}}, 400, "properties.lacp_rate"),
    ("POST", "/v1/portgroups", {**NEW_GROUP, "name": "bond0"}, 409, "name"),
    (
        "PATCH",
        "/v1/portgroups/bond0",
        _replace("/standalone_ports_supported", False),
        409,
        "standalone_ports_supported",
    ),
    ("DELETE", "/v1/portgroups/bond0", None, 400, "not empty"),
    # the ramdisk
    ("GET", "/v1/lookup", None, 400, "addresses"),
    ("GET", "/v1/lookup?addresses=nonsense", None, 400, "addresses"),
    ("GET", "/v1/lookup?node_uuid=x", None, 400, "node_uuid"),
    ("GET", "/v1/lookup?addresses=52:54:00:00:00:01", None, 404, "52:54:00:00:00:01"),
    ("POST", "/v1/heartbeat/n1", {}, 400, "callback_url"),
    ("POST", "/v1/heartbeat/n1", {"callback_url": "x", "agent_token": "guess"}, 401, "agent token"),
    ("POST", "/v1/heartbeat/n1", {"callback_url": "x", "agent_status": "done"}, 400, "agent_status"),
    ("POST", "/v1/heartbeat/nosuch", {"callback_url": "x"}, 404, "nosuch"),
    # the rest
    ("GET", "/v1/conductors/nosuch", None, 404, "nosuch"),
    ("GET", "/v1/drivers/nosuch", None, 404, "nosuch"),
    ("GET", "/v1/drivers?type=old", None, 400, "type"),
    ("GET", "/v1/nonsense", None, 404, "not be found"),
    ("PUT", "/v1/nodes", {}, 405, "not allowed"),
]


async def test_refusals(api: Baremetal) -> None:
    node = await api.node()
    group = await api.made("portgroups", node_uuid=node["uuid"], name="bond0")
    await api.nic(node, 1, name="eth0", portgroup_uuid=group["uuid"])
    before = await api.everything()
    for method, url, body, status, named in REFUSALS:
        answer = await api.request(method, url, json_body=body)
        assert (answer.status, named in fault(answer)) == (status, True), (method, url, body, answer.body)
        assert await api.everything() == before, (method, url, body)


MALFORMED = [
    b"{",
    b"[1,",
    b'{"driver": NaN}',
    b'{"a": 1e999}',
    b"\xff\xfe",
    b'{"name": "\\ud800"}',
    b'{"name": "\\u0000"}',
]


@pytest.mark.parametrize(
    "body", [*MALFORMED, b"[" * 5000, b'{"driver":"ipmi","extra":' + b'{"a":' * 80 + b"1" + b"}" * 81]
)
async def test_malformed_json_is_refused(api: Baremetal, body: bytes) -> None:
    answer = await api.request("POST", "/v1/nodes", body=body)
    assert answer.status == 400
    assert "valid JSON" in fault(answer)


async def test_a_body_that_is_too_large_is_refused(api: Baremetal) -> None:
    answer = await api.request("POST", "/v1/nodes", body=b'"' + b"x" * (8 * 1024 * 1024) + b'"')
    assert answer.status == 413
    assert "larger" in fault(answer)


async def test_405_names_the_methods_that_there_are(api: Baremetal) -> None:
    answer = await api.put("/v1/nodes/n1", {})
    assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET, PATCH")
