"""RBAC policies: networks that are shared with one project or with all."""

from __future__ import annotations

import asyncio
from typing import Any

import openstack
import pytest

from ironlane.store.database import Store
from tests.api.asgi import Answer
from tests.api.networking import site
from tests.api.networking.conftest import Networking
from tests.api.networking.test_openstacksdk import drive

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")

PROVIDER = {"provider:physical_network": "physnet1", "provider:segmentation_id": 100}


def policy(network: str, target: str, **more: Any) -> dict[str, Any]:
    return {
        "object_type": "network",
        "object_id": network,
        "action": "access_as_shared",
        "target_tenant": target,
        **more,
    }


async def shared(networking: Networking, network: str, target: str, **more: Any) -> dict[str, Any]:
    answer = await networking.post("/v2.0/rbac-policies", {"rbac_policy": policy(network, target, **more)})
    assert answer.status == 201, answer.body
    return dict(answer.json()["rbac_policy"])


async def policies(networking: Networking, query: str = "") -> list[dict[str, Any]]:
    answer = await networking.get(f"/v2.0/rbac-policies?{query}")
    assert answer.status == 200, answer.body
    return list(answer.json()["rbac_policies"])


def refused(answer: Answer, status: int, kind: str, *told: str) -> bool:
    error = answer.json()["NeutronError"]
    assert (answer.status, error["type"]) == (status, kind), answer.body
    return all(words in error["message"] for words in told)


async def test_a_policys_life(networking: Networking) -> None:
    net = await networking.made("networks", project_id="p1")
    made = await shared(networking, net["id"], "p2", project_id="p1")
    assert made == {
        "id": made["id"],
        "project_id": "p1",
        "tenant_id": "p1",
        "object_type": "network",
        "object_id": net["id"],
        "target_tenant": "p2",
        "action": "access_as_shared",
    }
    url = f"/v2.0/rbac-policies/{made['id']}"
    assert (await networking.get(url)).json() == {"rbac_policy": made}
    assert (await networking.get(f"{url}?fields=action")).json() == {"rbac_policy": {"action": "access_as_shared"}}
    changed = await networking.put(url, {"rbac_policy": {"target_tenant": "p3"}})
    assert changed.json() == {"rbac_policy": {**made, "target_tenant": "p3"}}
    assert (await networking.delete(url)).status == 204
    assert refused(await networking.get(url), 404, "RbacPolicyNotFound")
    assert refused(await networking.delete(url), 404, "RbacPolicyNotFound")
    assert refused(await networking.get("/v2.0/rbac-policies/nothing"), 404, "RbacPolicyNotFound")


async def test_lists(networking: Networking) -> None:
    one, two = [(await networking.made("networks"))["id"] for _ in range(2)]
    for network, target in ((one, "p1"), (one, "p2"), (two, "p1")):
        await shared(networking, network, target, project_id=f"of-{target}")
    assert len(await policies(networking)) == 3
    assert len(await policies(networking, f"object_id={one}&object_type=network&action=access_as_shared")) == 2
    assert [p["object_id"] for p in await policies(networking, f"target_tenant=p1&object_id={two}")] == [two]
    assert {p["target_tenant"] for p in await policies(networking, "project_id=of-p2&tenant_id=of-p2")} == {"p2"}
    assert await policies(networking, "sort_key=target_tenant&sort_dir=desc&limit=1&fields=target_tenant") == [
        {"target_tenant": "p2"}
    ]
    for strange in ("tags=red", "changed_since=2026-01-01T00:00:00Z", "colour=red"):
        assert (await networking.get(f"/v2.0/rbac-policies?{strange}")).status == 400


async def test_shared_is_a_policy_for_all(networking: Networking) -> None:
    net = await networking.made("networks", project_id="p1", shared=True)
    assert net["shared"] is True
    (found,) = await policies(networking)
    assert (found["target_tenant"], found["object_id"], found["project_id"]) == ("*", net["id"], "p1")
    assert (await networking.changed("networks", net["id"], shared=False))["shared"] is False
    assert await policies(networking) == []
    made = await shared(networking, net["id"], "*")
    after = await networking.shown("networks", net["id"])
    assert (after["shared"], after["revision_number"]) == (True, net["revision_number"] + 2)
    assert await networking.listed("networks", "shared=true&fields=id") == [{"id": net["id"]}]
    changed = await networking.put(f"/v2.0/rbac-policies/{made['id']}", {"rbac_policy": {"target_tenant": "p2"}})
    assert changed.status == 200
    assert await networking.listed("networks", "shared=true") == []
    assert (await networking.changed("networks", net["id"], shared=True))["shared"] is True
    assert sorted(p["target_tenant"] for p in await policies(networking)) == ["*", "p2"]
    assert (await networking.delete(f"/v2.0/networks/{net['id']}")).status == 204
    assert await policies(networking) == []


async def test_what_is_refused(networking: Networking) -> None:
    net = (await networking.made("networks"))["id"]
    await shared(networking, net, "p1")
    other = await shared(networking, net, "p2")
    post = "/v2.0/rbac-policies"
    again = await networking.post(post, {"rbac_policy": policy(net, "p1")})
    assert refused(again, 409, "DuplicateRbacPolicy")
    changed = await networking.put(f"{post}/{other['id']}", {"rbac_policy": {"target_tenant": "p1"}})
    assert refused(changed, 409, "DuplicateRbacPolicy")
    nowhere = await networking.post(post, {"rbac_policy": policy("0" * 32, "p1")})
    assert refused(nowhere, 404, "NetworkNotFound", "object_id")
    for change, told in (
        ({"object_type": "router"}, "object_type"),
        ({"action": "access_as_external"}, "action"),
        ({"target_tenant": ""}, "target_tenant"),
        ({"target_tenant": None}, "target_tenant"),
        ({"object_id": "n"}, "object_id"),
        ({"colour": "red"}, "colour"),
    ):
        answer = await networking.post(post, {"rbac_policy": {**policy(net, "p3"), **change}})
        assert refused(answer, 400, "HTTPBadRequest", told)
    answer = await networking.put(f"{post}/{other['id']}", {"rbac_policy": {"target_tenant": "p4", "action": "x"}})
    assert refused(answer, 400, "HTTPBadRequest", "read-only", "action")
    assert len(await policies(networking)) == 2


async def test_all_of_a_bulk_request_or_none(networking: Networking) -> None:
    net = (await networking.made("networks"))["id"]
    several = [policy(net, "p1"), policy(net, "p2"), policy(net, "p1")]
    answer = await networking.post("/v2.0/rbac-policies", {"rbac_policies": several})
    assert refused(answer, 409, "DuplicateRbacPolicy", "rbac_policies[2]")
    assert await policies(networking) == []
    answer = await networking.post("/v2.0/rbac-policies", {"rbac_policies": several[:2]})
    assert [made["target_tenant"] for made in answer.json()["rbac_policies"]] == ["p1", "p2"]


async def test_one_that_is_in_use_stays(networking: Networking) -> None:
    net = (await networking.made("networks", project_id="p1"))["id"]
    for mine in ("p1", ""):
        await networking.made("ports", network_id=net, project_id=mine)
    one, all_ = await shared(networking, net, "p2"), await shared(networking, net, "*")
    port = await networking.made("ports", network_id=net, project_id="p2")
    url = f"/v2.0/rbac-policies/{one['id']}"
    assert (await networking.delete(url)).status == 204  # the other one is enough
    url = f"/v2.0/rbac-policies/{all_['id']}"
    assert refused(await networking.delete(url), 409, "RbacPolicyInUse", net, "p2")
    assert refused(
        await networking.put(url, {"rbac_policy": {"target_tenant": "p3"}}), 409, "RbacPolicyInUse", net, "p2"
    )
    unshared = await networking.put(f"/v2.0/networks/{net}", {"network": {"shared": False}})
    assert refused(unshared, 409, "InvalidSharedSetting", net)
    assert (await networking.shown("networks", net))["shared"] is True
    assert [p["id"] for p in await policies(networking)] == [all_["id"]]
    again = await shared(networking, net, "p2")
    assert (await networking.delete(url)).status == 204
    assert refused(await networking.delete(f"/v2.0/rbac-policies/{again['id']}"), 409, "RbacPolicyInUse")
    assert (await networking.delete(f"/v2.0/ports/{port['id']}")).status == 204
    assert (await networking.delete(f"/v2.0/rbac-policies/{again['id']}")).status == 204


async def test_others_subnets_keep_a_network_shared(networking: Networking) -> None:
    net = (await networking.made("networks", project_id="p1", shared=True))["id"]
    await networking.made("subnets", network_id=net, project_id="p2", cidr="10.0.0.0/24", ip_version=4)
    unshared = await networking.put(f"/v2.0/networks/{net}", {"network": {"shared": False}})
    assert refused(unshared, 409, "InvalidSharedSetting")


@pytest.mark.parametrize("target", ["p2", "*"])
async def test_a_shared_provider_network_is_the_tenants(networking: Networking, store: Store, target: str) -> None:
    """Which side it is on (ADR 4) follows; not while switch ports are on it."""
    net = (await networking.made("networks", project_id="p1", **PROVIDER))["id"]
    tenants = (await networking.made("networks", project_id="p2"))["id"]
    await shared(networking, net, "p1")  # with itself: with nobody
    made = await shared(networking, net, target)
    wish = {"binding:vnic_type": "baremetal", "binding:host_id": "server"}
    profiles = [site.profile(site.link(port=number)) for number in (1, 2)]
    ports = [
        await networking.made("ports", network_id=network, **wish, **{"binding:profile": profile})
        for network, profile in zip((net, tenants), profiles, strict=True)
    ]
    await store.write(site.converge)
    # Both on the tenants' side: one server may be on both at once.
    assert [(await networking.shown("ports", port["id"]))["status"] for port in ports] == ["ACTIVE", "ACTIVE"]
    url = f"/v2.0/rbac-policies/{made['id']}"
    assert refused(await networking.delete(url), 409, "NetworkInUse", "provider side")
    for port in ports:
        assert (await networking.delete(f"/v2.0/ports/{port['id']}")).status == 204
    await store.write(site.converge)
    assert (await networking.delete(url)).status == 204
    held = [
        await networking.made("ports", network_id=network, **wish, **{"binding:profile": profile})
        for network, profile in zip((net, tenants), profiles, strict=True)
    ]
    await store.write(site.converge)
    assert [(await networking.shown("ports", port["id"]))["status"] for port in held] == ["ACTIVE", "DOWN"]
    again = await networking.post("/v2.0/rbac-policies", {"rbac_policy": policy(net, target)})
    assert refused(again, 409, "NetworkInUse", "tenant side")


async def test_quota(networking: Networking) -> None:
    net = (await networking.made("networks"))["id"]
    assert (await networking.put("/v2.0/quotas/p1", {"quota": {"rbac_policy": 1}})).status == 200
    wishes = [policy(net, f"target-{number}", project_id="p1") for number in range(4)]
    answers = await asyncio.gather(*(networking.post("/v2.0/rbac-policies", {"rbac_policy": wish}) for wish in wishes))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]
    over = next(answer for answer in answers if answer.status == 409)
    assert refused(over, 409, "OverQuota", "['rbac_policy']")


async def test_openstacksdk(endpoint: str) -> None:
    def steps(cloud: openstack.connection.Connection) -> None:
        net = cloud.network.create_network()
        made = cloud.network.create_rbac_policy(
            object_type="network", object_id=net.id, action="access_as_shared", target_project_id="p2"
        )
        assert cloud.network.find_rbac_policy(made.id, ignore_missing=False).target_project_id == "p2"
        assert [found.id for found in cloud.network.rbac_policies(target_project_id="p2")] == [made.id]
        assert cloud.network.update_rbac_policy(made, target_project_id="*").target_project_id == "*"
        assert cloud.network.get_network(net.id).is_shared
        cloud.network.delete_rbac_policy(made, ignore_missing=False)
        assert not cloud.network.get_network(net.id).is_shared

    await drive(endpoint, steps)
