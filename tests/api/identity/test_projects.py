"""What each role may do in its project, and what it may not: through the APIs, in their own shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.store import networks, ports
from ironlane.store.tables import networks as network_rows
from ironlane.store.tables import nodes as node_rows
from ironlane.store.tables import ports as port_rows
from tests.api.asgi import Answer
from tests.api.identity.world import BLUE, RED, World


def is_forbidden(answer: Answer, rule: str) -> bool:
    body = answer.json()
    if "NeutronError" in body:
        told = (body["NeutronError"]["type"], body["NeutronError"]["message"])
    else:
        told = (answer.headers["x-ironlane-error"], json.loads(body["error_message"])["faultstring"])
    return (answer.status, told) == (403, ("PolicyNotAuthorized", f"rule:{rule} is disallowed by policy"))


# --- networking ------------------------------------------------------------------------------------------------


async def test_what_a_member_makes_is_its_projects(world: World) -> None:
    answer = await world.ask("red", "networking", "POST", "/v2.0/networks", {"network": {"name": "n"}})
    network = answer.json()["network"]
    assert (answer.status, network["project_id"], network["tenant_id"]) == (201, RED, RED)
    assert not [name for name in network if name.startswith("provider:")]
    for body in ({"project_id": BLUE}, {"tenant_id": BLUE}, {"project_id": ""}):
        answer = await world.ask("red", "networking", "POST", "/v2.0/networks", {"network": body})
        assert is_forbidden(answer, "create_network"), body
    answer = await world.ask("root", "networking", "POST", "/v2.0/networks", {"network": {"project_id": BLUE}})
    assert answer.json()["network"]["project_id"] == BLUE


@pytest.mark.parametrize(
    ("method", "noun", "attributes", "rule"),
    [
        ("POST", "network", {"shared": True}, "create_network:shared"),
        ("POST", "network", {"router:external": True}, "create_network:router:external"),
        ("POST", "network", {"provider:physical_network": "physnet1"}, "create_network:provider:physical_network"),
        ("POST", "network", {"provider:network_type": "flat"}, "create_network:provider:network_type"),
        ("PUT", "network", {"shared": False}, "update_network:shared"),
        ("PUT", "network", {"router:external": True}, "update_network:router:external"),
        ("POST", "port", {"binding:host_id": "h"}, "create_port:binding:host_id"),
        ("POST", "port", {"binding:profile": {"a": 1}}, "create_port:binding:profile"),
        ("PUT", "port", {"binding:host_id": "h"}, "update_port:binding:host_id"),
        ("PUT", "port", {"binding:profile": {}}, "update_port:binding:profile"),
        ("PUT", "port", {"mac_address": "fa:16:3e:00:00:01"}, "update_port:mac_address"),
    ],
)
async def test_attributes_for_admins(
    world: World, method: str, noun: str, attributes: dict[str, Any], rule: str
) -> None:
    ids = world.ids[RED]
    if method == "POST" and noun == "port":
        attributes = {**attributes, "network_id": ids["network"]}
    url = f"/v2.0/{noun}s" + ("" if method == "POST" else f"/{ids[noun]}")
    answer = await world.ask("red", "networking", method, url, {noun: attributes})
    assert is_forbidden(answer, rule), answer.body


async def test_refusals_do_not_name_what_is_hidden(world: World) -> None:
    """Neither by an empty text, which is no default, nor by what is wrong with another attribute."""
    ids = world.ids[RED]
    for attribute in ("provider:physical_network", "provider:network_type", "provider:segmentation_id"):
        empty: Any = 0 if attribute.endswith("_id") else ""
        answer = await world.ask("red", "networking", "POST", "/v2.0/networks", {"network": {attribute: empty}})
        assert is_forbidden(answer, f"create_network:{attribute}"), answer.body
    for method, url in (("POST", "/v2.0/networks"), ("PUT", f"/v2.0/networks/{ids['network']}")):
        answer = await world.ask("red", "networking", method, url, {"network": {"mtu": 99999}})
        assert (answer.status, b"1500" in answer.body, b"physnet" in answer.body) == (400, True, False), answer.body
        answer = await world.ask("root", "networking", method, url, {"network": {"mtu": 99999}})
        assert b"physical network physnet1" in answer.body
    body = {"network": {"project_id": RED, "provider:physical_network": "physnet2"}}
    with world.in_earnest():
        await world.ask("root", "networking", "PUT", f"/v2.0/ports/{ids['free_port']}", {"port": {"device_id": ""}})
        elsewhere = await world.made("networking", "/v2.0/networks", body)
        other = await world.made(
            "networking", "/v2.0/ports", {"port": {"network_id": elsewhere["id"], "project_id": RED}}
        )
    subport = {"sub_ports": [{"port_id": other["id"]}]}
    for user, told in (("red", False), ("root", True)):
        answer = await world.ask(user, "networking", "PUT", f"/v2.0/trunks/{ids['trunk']}/add_subports", subport)
        assert (answer.status, b"physnet" in answer.body) == (400, told), answer.body
    bound = {"port": {"device_id": "", "binding:host_id": "a-host"}}
    with world.in_earnest():
        answer = await world.ask("root", "networking", "PUT", f"/v2.0/ports/{ids['free_subport']}", bound)
        assert answer.status == 200
    subport = {"sub_ports": [{"port_id": ids["free_subport"]}]}
    for user, told in (("red", False), ("root", True)):
        answer = await world.ask(user, "networking", "PUT", f"/v2.0/trunks/{ids['trunk']}/add_subports", subport)
        assert (answer.status, b"a-host" in answer.body) == (409, told), answer.body


async def test_attributes_at_their_defaults_are_not_set(world: World) -> None:
    body = {"network": {"shared": False, "router:external": False, "port_security_enabled": True}}
    assert (await world.ask("red", "networking", "POST", "/v2.0/networks", body)).status == 201
    port = {"network_id": world.ids[RED]["network"], "binding:host_id": "", "binding:vnic_type": "baremetal"}
    assert (await world.ask("red", "networking", "POST", "/v2.0/ports", {"port": port})).status == 201


async def test_a_members_port_hides_where_it_is(world: World) -> None:
    ids = world.ids[RED]
    shown = await world.ask("red", "networking", "GET", f"/v2.0/ports/{ids['vif']}")
    assert {name for name in shown.json()["port"] if name.startswith("binding:")} == {"binding:vnic_type"}
    changed = await world.ask("red", "networking", "PUT", f"/v2.0/ports/{ids['vif']}", {"port": {"name": "new"}})
    assert "binding:profile" not in changed.json()["port"]
    listed = await world.ask("red", "networking", "GET", "/v2.0/ports")
    assert not any("binding:host_id" in port for port in listed.json()["ports"])
    for user in ("root", "nova", "auditor"):
        shown = await world.ask(user, "networking", "GET", f"/v2.0/ports/{ids['vif']}")
        assert shown.json()["port"]["binding:host_id"] == ids["node"], user


async def test_hidden_attributes_cannot_be_asked_for(world: World) -> None:
    for query in ("provider:segmentation_id=201", "sort_key=provider:segmentation_id"):
        answer = await world.ask("red", "networking", "GET", f"/v2.0/networks?{query}")
        assert answer.status == 400, query
        assert (await world.ask("nova", "networking", "GET", f"/v2.0/networks?{query}")).status == 200
    query = f"binding:host_id={world.ids[RED]['node']}"
    assert (await world.ask("red", "networking", "GET", f"/v2.0/ports?{query}")).status == 400
    assert len((await world.ask("nova", "networking", "GET", f"/v2.0/ports?{query}")).json()["ports"]) == 1


async def test_readers_see_and_change_nothing(world: World) -> None:
    ids = world.ids[RED]
    url = f"/v2.0/networks/{ids['network']}"
    assert (await world.ask("red-reader", "networking", "GET", url)).status == 200
    change = {"network": {"name": "new"}}
    assert is_forbidden(await world.ask("red-reader", "networking", "PUT", url, change), "update_network")
    assert is_forbidden(await world.ask("red-reader", "networking", "DELETE", url), "delete_network")
    assert is_forbidden(
        await world.ask("red-reader", "networking", "POST", "/v2.0/networks", {"network": {}}), "create_network"
    )
    tags = f"{url}/tags/new"
    assert is_forbidden(await world.ask("red-reader", "networking", "PUT", tags), "update_network")
    node = f"/v1/nodes/{ids['node']}"
    assert (await world.ask("red-reader", "baremetal", "GET", node)).status == 200
    power = await world.ask("red-reader", "baremetal", "PUT", f"{node}/states/power", {"target": "power on"})
    assert is_forbidden(power, "baremetal:node:set_power_state")


async def test_without_a_role_of_ours_there_is_nothing(world: World) -> None:
    for url in ("/v2.0/networks", "/v2.0/ports"):
        answer = await world.ask("red-nobody", "networking", "GET", url)
        assert answer.json() == {url.rpartition("/")[2]: []}
    assert (await world.ask("red-nobody", "baremetal", "GET", "/v1/nodes")).status == 403


async def test_auditors_see_everything_and_change_nothing(world: World) -> None:
    for project in (RED, BLUE):
        url = f"/v2.0/networks/{world.ids[project]['network']}"
        assert (await world.ask("auditor", "networking", "GET", url)).status == 200
        assert is_forbidden(await world.ask("auditor", "networking", "DELETE", url), "delete_network")
        assert (await world.ask("auditor", "baremetal", "GET", f"/v1/nodes/{world.ids[project]['node']}")).status == 200
    assert (await world.ask("auditor", "fabric", "GET", "/v1/switches")).status == 200
    assert (await world.ask("auditor", "fabric", "POST", "/v1/audit")).status == 403
    assert (await world.ask("auditor", "fabric", "DELETE", "/v1/switches/sw1")).status == 403


async def test_the_ml2_driver_binds_and_does_no_more(world: World) -> None:
    for path in ("/v1/bindings", "/v1/bindings/events?wait=0"):
        assert (await world.ask("nova", "fabric", "GET", path)).status == 200
    assert (await world.ask("nova", "fabric", "DELETE", f"/v1/bindings/{world.ids[RED]['port']}")).status == 404
    assert (await world.ask("nova", "fabric", "GET", "/v1/switches")).status == 403
    assert (await world.ask("nova", "fabric", "POST", "/v1/audit")).status == 403


# --- shared networks -------------------------------------------------------------------------------------------


async def shared_by_blue(world: World, attribute: str = "shared") -> str:
    """Blue's network, which is for all from now on, in earnest."""
    ids = world.ids[BLUE]
    column = {"shared": "shared", "router:external": "router_external"}[attribute]
    await world.store.write(lambda tx: networks.update(tx, ids["network"], {column: True}))
    return ids["network"]


@pytest.mark.parametrize("attribute", ["shared", "router:external"])
async def test_a_shared_network_is_seen_and_used_and_not_changed(world: World, attribute: str) -> None:
    network = await shared_by_blue(world, attribute)
    shown = await world.ask("red", "networking", "GET", f"/v2.0/networks/{network}")
    assert (shown.status, shown.json()["network"][attribute]) == (200, True)
    listed = await world.ask("red", "networking", "GET", f"/v2.0/networks?id={network}")
    assert len(listed.json()["networks"]) == 1
    subnet = world.ids[BLUE]["subnet"]
    assert (await world.ask("red", "networking", "GET", f"/v2.0/subnets/{subnet}")).status == 200
    change = {"network": {"name": "mine now"}}
    refused = await world.ask("red", "networking", "PUT", f"/v2.0/networks/{network}", change)
    assert is_forbidden(refused, "update_network")
    refused = await world.ask("red", "networking", "DELETE", f"/v2.0/subnets/{subnet}")
    assert is_forbidden(refused, "delete_subnet")
    more = {"network_id": network, "cidr": "198.51.100.0/24", "ip_version": 4}
    refused = await world.ask("red", "networking", "POST", "/v2.0/subnets", {"subnet": more})
    assert is_forbidden(refused, "create_subnet")
    made = await world.ask("red", "networking", "POST", "/v2.0/ports", {"port": {"network_id": network}})
    assert (made.status, made.json()["port"]["project_id"]) == (201, RED)
    ports = await world.ask("red", "networking", "GET", f"/v2.0/ports?network_id={network}")
    assert ports.json() == {"ports": []}, "the others' ports are the others'"


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({"mac_address": "fa:16:3e:00:00:01"}, "create_port:mac_address"),
        ({"fixed_ips": [{"ip_address": "10.2.0.9"}]}, "create_port:fixed_ips:ip_address"),
        ({"device_owner": "network:dhcp"}, "create_port:device_owner:network"),
        ({"port_security_enabled": False}, "create_port:port_security_enabled"),
    ],
)
async def test_on_a_shared_network_only_its_owner_chooses(world: World, attributes: dict[str, Any], rule: str) -> None:
    """So nobody learns of others' addresses by asking for them."""
    port = {"port": {"network_id": await shared_by_blue(world), **attributes}}
    assert is_forbidden(await world.ask("red", "networking", "POST", "/v2.0/ports", port), rule)
    assert (await world.ask("blue", "networking", "POST", "/v2.0/ports", port)).status == 201


async def test_a_subnet_of_a_shared_network_may_be_chosen(world: World) -> None:
    port = {"network_id": await shared_by_blue(world), "fixed_ips": [{"subnet_id": world.ids[BLUE]["subnet"]}]}
    assert (await world.ask("red", "networking", "POST", "/v2.0/ports", {"port": port})).status == 201


async def test_a_networks_owner_sees_others_ports_on_it_and_may_delete_them(world: World) -> None:
    network = await shared_by_blue(world)
    body = {"port": {"network_id": network, "project_id": RED}}
    with world.in_earnest():
        port = (await world.ask("root", "networking", "POST", "/v2.0/ports", body)).json()["port"]["id"]
    url = f"/v2.0/ports/{port}"
    assert (await world.ask("blue", "networking", "GET", url)).status == 200
    refused = await world.ask("blue", "networking", "PUT", url, {"port": {"name": "mine now"}})
    assert is_forbidden(refused, "update_port")
    trunk = {"trunk": {"port_id": port}}
    refused = await world.ask("blue", "networking", "POST", "/v2.0/trunks", trunk)
    assert is_forbidden(refused, "update_port")
    vif = {"id": port}
    refused = await world.ask("blue", "baremetal", "POST", f"/v1/nodes/{world.ids[BLUE]['node']}/vifs", vif)
    assert is_forbidden(refused, "update_port")
    assert (await world.ask("blue", "networking", "DELETE", url)).status == 204


async def test_trunk_details_are_the_trunks_owners(world: World) -> None:
    ids = world.ids[BLUE]
    details = await world.ask("blue", "networking", "GET", f"/v2.0/ports/{ids['port']}")
    assert details.json()["port"]["trunk_details"]["trunk_id"] == ids["trunk"]

    def to_red(tx: Any) -> None:
        tx.execute(network_rows.update().where(network_rows.c.id == ids["network"]).values(project_id=RED))
        assert ports.get(tx, ids["port"]).project_id == BLUE

    await world.store.write(to_red)
    seen = await world.ask("red", "networking", "GET", f"/v2.0/ports/{ids['port']}")
    assert seen.status == 200
    assert "trunk_details" not in seen.json()["port"]


async def test_a_network_is_shared_by_its_owner_with_whom_it_likes_and_by_admins_with_all(world: World) -> None:
    red, blue = world.ids[RED], world.ids[BLUE]

    def sharing(network: str, target: str, **more: str) -> dict[str, Any]:
        policy = {"object_type": "network", "object_id": network, "target_tenant": target, **more}
        return {"rbac_policy": {**policy, "action": "access_as_shared"}}

    async def create(user: str, body: dict[str, Any]) -> Answer:
        return await world.ask(user, "networking", "POST", "/v2.0/rbac-policies", body)

    url = f"/v2.0/networks/{red['network']}"
    assert (await world.ask("blue", "networking", "GET", url)).status == 404
    assert is_forbidden(await create("red", sharing(red["network"], "*")), "create_rbac_policy:target_tenant:*")
    assert is_forbidden(await create("red-reader", sharing(red["network"], BLUE)), "update_network")
    assert is_forbidden(await create("red", sharing(red["network"], BLUE, project_id=BLUE)), "create_rbac_policy")
    assert (await create("red", sharing(blue["network"], RED))).status == 404, "nobody lets himself in"
    with world.in_earnest():
        made = await create("red", sharing(red["network"], BLUE))
    assert made.status == 201, made.body
    assert (await world.ask("blue", "networking", "GET", url)).status == 200
    assert is_forbidden(await world.ask("blue", "networking", "DELETE", url), "delete_network")
    full = "/v2.0/network-ip-availabilities"  # how full it is remains its owner's affair
    assert (await world.ask("blue", "networking", "GET", f"{full}/{red['network']}")).status == 404
    for query in ("", f"?network_id={red['network']}", f"?project_id={RED}"):
        listed = await world.ask("blue", "networking", "GET", full + query)
        assert (listed.status, red["network"] in listed.body.decode()) == (200, False)
    assert (await world.ask("red", "networking", "GET", f"{full}/{red['network']}")).status == 200
    port = {"port": {"network_id": red["network"]}}
    assert (await world.ask("blue", "networking", "POST", "/v2.0/ports", port)).status == 201
    assert is_forbidden(await create("blue", sharing(red["network"], "a fifth")), "update_network")
    policy = f"/v2.0/rbac-policies/{made.json()['rbac_policy']['id']}"
    assert (await world.ask("blue", "networking", "DELETE", policy)).status == 404, "it is its owner's"
    wider = {"rbac_policy": {"target_tenant": "*"}}
    refused = await world.ask("red", "networking", "PUT", policy, wider)
    assert is_forbidden(refused, "update_rbac_policy:target_tenant:*")
    assert (await world.ask("red", "networking", "DELETE", policy)).status == 204


# --- baremetal -------------------------------------------------------------------------------------------------


async def test_what_an_owner_and_a_lessee_see_of_a_node(world: World) -> None:
    ids = world.ids[RED]
    owned = (await world.ask("red", "baremetal", "GET", f"/v1/nodes/{ids['node']}")).json()
    assert owned["driver_info"] == {"deploy_ramdisk": "http://crimson-image"}
    let = (await world.ask("red", "baremetal", "GET", f"/v1/nodes/{ids['let_node']}")).json()
    for name in ("driver_info", "driver_internal_info"):
        redacted = f"** Redacted - requires baremetal:node:get:{name} permission. **"
        assert let[name] == {"content": redacted}
    assert let["instance_info"]["image_source"] == "crimson"
    listed = (await world.ask("red", "baremetal", "GET", "/v1/nodes/detail")).json()["nodes"]
    assert {node["uuid"] for node in listed} == {ids["node"], ids["let_node"]}
    assert "crimson-image" not in json.dumps(next(node for node in listed if node["uuid"] == ids["let_node"]))


@pytest.mark.parametrize(
    ("path", "owner", "lessee"),
    [
        ("/extra/new", 200, 200),
        ("/instance_info/new", 200, 200),
        ("/properties/new", 200, 403),
        ("/description", 200, 403),
        ("/lessee", 200, 403),
        ("/owner", 403, 403),
        ("/driver_info/redfish_address", 403, 403),
        ("/name", 403, 403),
        ("/instance_uuid", 403, 403),
        ("/conductor_group", 403, 403),
    ],
)
async def test_what_an_owner_and_a_lessee_change(world: World, path: str, owner: int, lessee: int) -> None:
    values = {"/instance_uuid": "0b5f1d3e-5f1c-4f0e-9d0c-000000000001"}
    patch = [{"op": "add", "path": path, "value": values.get(path, "new")}]
    for name, status in (("node", owner), ("let_node", lessee)):
        url = f"/v1/nodes/{world.ids[RED][name]}"
        answer = await world.ask("red", "baremetal", "PATCH", url, patch)
        assert answer.status == status, f"{name}: {answer.body!r}"
        assert (await world.ask("nova", "baremetal", "PATCH", url, patch)).status in {200, 409}


async def test_what_an_owner_and_a_lessee_ask_of_a_node(world: World) -> None:
    ids = world.ids[RED]
    for name, status in (("node", 202), ("let_node", 403)):
        url = f"/v1/nodes/{ids[name]}/states/provision"
        answer = await world.ask("red", "baremetal", "PUT", url, {"target": "manage"})
        assert answer.status == status, f"{name}: {answer.body!r}"
    deploy = {"target": "active"}
    for name in ("node", "let_node"):
        answer = await world.ask("red", "baremetal", "PUT", f"/v1/nodes/{ids[name]}/states/provision", deploy)
        assert answer.status == 400, "not from enroll; but it may be asked"
        power = await world.ask(
            "red", "baremetal", "PUT", f"/v1/nodes/{ids[name]}/states/power", {"target": "power on"}
        )
        assert power.status == 202, power.body


async def test_what_is_wrong_with_driver_info_is_told_to_whom_it_is_shown(world: World) -> None:
    ids = world.ids[RED]
    named = [{"op": "add", "path": "/driver_info/cleaning_network", "value": "an-operators-network"}]
    with world.in_earnest():
        for node in ("node", "let_node"):
            answer = await world.ask("root", "baremetal", "PATCH", f"/v1/nodes/{ids[node]}", named)
            assert answer.status == 200, answer.body
    for node in ("node", "let_node"):
        answer = await world.ask("red", "baremetal", "GET", f"/v1/nodes/{ids[node]}/validate")
        reason = answer.json()["network"]["reason"]
        assert ("does not exist" in reason, "an-operators-network" in reason) == (True, node == "node"), reason


async def test_nics_are_the_operators(world: World) -> None:
    ids = world.ids[RED]
    nic = f"/v1/ports/{ids['nic']}"
    assert (await world.ask("red", "baremetal", "GET", nic)).status == 200
    patch = [{"op": "add", "path": "/local_link_connection/port_id", "value": "Ethernet1/8"}]
    assert is_forbidden(await world.ask("red", "baremetal", "PATCH", nic, patch), "baremetal:port:update")
    assert is_forbidden(await world.ask("red", "baremetal", "DELETE", nic), "baremetal:port:delete")


async def test_a_vif_comes_and_goes_though_its_binding_is_not_the_members_to_set(world: World) -> None:
    ids = world.ids[RED]
    vif = {"id": ids["free_port"], "port_uuid": ids["free_nic"]}
    attached = await world.ask("red", "baremetal", "POST", f"/v1/nodes/{ids['node']}/vifs", vif)
    assert attached.status == 204, attached.body
    detached = await world.ask("red", "baremetal", "DELETE", f"/v1/nodes/{ids['node']}/vifs/{ids['vif']}")
    assert detached.status == 204, detached.body


async def test_who_is_on_a_switch_port_already_is_told_to_operators(world: World) -> None:
    """Two projects' NICs with one switch port on record, which is a mistake of somebody's."""
    red, blue = world.ids[RED], world.ids[BLUE]
    links = [{"op": "add", "path": "/local_link_connection/port_id", "value": "Ethernet1/8"}]
    active = sa.update(node_rows).values(provision_state="active")
    with world.in_earnest():
        for ids in (red, blue):
            answer = await world.ask("root", "baremetal", "PATCH", f"/v1/ports/{ids['free_nic']}", links)
            assert answer.status == 200, answer.body
        await world.store.write(lambda tx: tx.execute(active))
        vif = {"id": blue["free_port"], "port_uuid": blue["free_nic"]}
        answer = await world.ask("root", "baremetal", "POST", f"/v1/nodes/{blue['node']}/vifs", vif)
        assert answer.status == 204, answer.body
    vif = {"id": red["free_port"], "port_uuid": red["free_nic"]}
    for user, told in (("red", False), ("root", True)):
        answer = await world.ask(user, "baremetal", "POST", f"/v1/nodes/{red['node']}/vifs", vif)
        text = answer.body.decode()
        assert (answer.status, answer.headers["x-ironlane-error"]) == (409, "SwitchPortInUse"), text
        assert [one in text for one in (blue["free_port"], blue["node"], "Ethernet1/8")] == [told] * 3, text


async def test_a_vif_that_is_bound_elsewhere_does_not_tell_where(world: World) -> None:
    ids = world.ids[RED]
    bound = {"port": {"binding:host_id": "a-host"}}
    with world.in_earnest():
        answer = await world.ask("root", "networking", "PUT", f"/v2.0/ports/{ids['free_port']}", bound)
        assert answer.status == 200, answer.body
    vif = {"id": ids["free_port"], "port_uuid": ids["free_nic"]}
    for user, told in (("red", False), ("root", True)):
        answer = await world.ask(user, "baremetal", "POST", f"/v1/nodes/{ids['node']}/vifs", vif)
        assert (answer.status, b"a-host" in answer.body) == (409, told), answer.body


async def test_another_projects_vif_can_be_taken_off_ones_node(world: World) -> None:
    """It would stay on the switch port otherwise."""
    ids = world.ids[RED]
    await world.store.write(
        lambda tx: tx.execute(port_rows.update().where(port_rows.c.id == ids["vif"]).values(project_id="somebody"))
    )
    url = f"/v1/nodes/{ids['node']}/vifs/{ids['vif']}"
    with world.in_earnest():
        assert (await world.ask("red", "baremetal", "DELETE", url)).status == 204
    assert (await world.store.read(lambda tx: ports.get(tx, ids["vif"]))).host_id == ""


async def test_conductors_and_drivers_are_the_operators(world: World) -> None:
    for path in ("/v1/conductors", "/v1/conductors/c1", "/v1/drivers", "/v1/drivers/fake-hardware"):
        assert (await world.ask("red", "baremetal", "GET", path)).status == 403
        assert (await world.ask("nova", "baremetal", "GET", path)).status == 200


async def test_quotas_are_seen_by_their_project_and_set_by_admins(world: World) -> None:
    own = f"/v2.0/quotas/{RED}"
    assert (await world.ask("red", "networking", "GET", own)).json()["quota"]["port"] == 201
    assert (await world.ask("red", "networking", "GET", f"{own}/details.json")).status == 200
    more = {"quota": {"port": 1000}}
    assert is_forbidden(await world.ask("red", "networking", "PUT", own, more), "update_quota")
    assert is_forbidden(await world.ask("red", "networking", "DELETE", own), "delete_quota")
    listed = (await world.ask("red", "networking", "GET", "/v2.0/quotas")).json()["quotas"]
    assert [quota["project_id"] for quota in listed] == [RED]
