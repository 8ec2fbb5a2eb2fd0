"""Quotas: how much a project may have, and that it gets no more."""

from __future__ import annotations

import asyncio
from typing import Any

import openstack
import pytest

from ironlane.model.quota import DEFAULT_LIMITS
from tests.api.networking.conftest import Networking
from tests.api.networking.test_openstacksdk import drive

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


async def limited(networking: Networking, project: str, **limits: int) -> None:
    answer = await networking.put(f"/v2.0/quotas/{project}", {"quota": limits})
    assert answer.status == 200, answer.body


def over(answer: Any) -> bool:
    error = answer.json()["NeutronError"] if answer.status == 409 else {}
    return (
        bool(error) and error["type"] == "OverQuota" and error["message"].startswith("Quota exceeded for resources: [")
    )


async def test_defaults(networking: Networking) -> None:
    for path in ("/v2.0/quotas/p1", "/v2.0/quotas/p1/default"):
        assert (await networking.get(path)).json() == {"quota": dict(DEFAULT_LIMITS)}
    assert (await networking.get("/v2.0/quotas")).json() == {"quotas": []}
    assert (await networking.get("/v2.0/quotas/p1?fields=port")).json() == {"quota": {"port": 500}}


async def test_a_projects_own(networking: Networking) -> None:
    body = {"quota": {"network": "3", "check_limit": True}}
    assert (await networking.put("/v2.0/quotas/p1", body)).json()["quota"]["network"] == 3
    mine = {**DEFAULT_LIMITS, "network": 3}
    assert (await networking.get("/v2.0/quotas/p1")).json() == {"quota": mine}
    assert (await networking.get("/v2.0/quotas/p1/default")).json() == {"quota": dict(DEFAULT_LIMITS)}
    listed = {"project_id": "p1", "tenant_id": "p1", **mine}
    assert (await networking.get("/v2.0/quotas")).json() == {"quotas": [listed]}
    assert (await networking.delete("/v2.0/quotas/p1")).status == 204
    missing = await networking.delete("/v2.0/quotas/p1")
    assert (missing.status, missing.json()["NeutronError"]["type"]) == (404, "TenantQuotaNotFound")


async def test_how_much_of_it_is_there(networking: Networking) -> None:
    await networking.made("networks", project_id="p1")
    details = (await networking.get("/v2.0/quotas/p1/details")).json()["quota"]
    assert details["network"] == {"limit": 100, "used": 1, "reserved": 0}
    assert details["trunk"] == {"limit": -1, "used": 0, "reserved": 0}
    assert (await networking.get("/v2.0/quotas/p1/details.json")).json() == {"quota": details}


async def test_whose_quota(networking: Networking) -> None:
    headers = {"X-Project-Id": "p1"}
    assert (await networking.get("/v2.0/quotas/project", headers=headers)).json() == {"project": {"project_id": "p1"}}
    assert (await networking.get("/v2.0/quotas/tenant", headers=headers)).json() == {"tenant": {"tenant_id": "p1"}}
    nobody = await networking.get("/v2.0/quotas/project")
    assert (nobody.status, nobody.json()["NeutronError"]["type"]) == (400, "QuotaMissingProject")


async def test_every_kind_is_counted(networking: Networking) -> None:
    net = await networking.made("networks", project_id="p1")
    port = await networking.made("ports", network_id=net["id"], project_id="p1")
    await networking.made("subnets", network_id=net["id"], project_id="p1", cidr="10.0.0.0/24", ip_version=4)
    await networking.made("trunks", port_id=port["id"], project_id="p1")
    await limited(networking, "p1", network=1, port=1, subnet=1, trunk=1)
    spare = await networking.made("ports", network_id=net["id"], project_id="p2")
    wishes: dict[str, dict[str, Any]] = {
        "networks": {},
        "ports": {"network_id": net["id"]},
        "subnets": {"network_id": net["id"], "cidr": "10.0.1.0/24", "ip_version": 4},
        "trunks": {"port_id": spare["id"]},
    }
    for plural, wish in wishes.items():
        answer = await networking.post(f"/v2.0/{plural}", {plural[:-1]: {**wish, "project_id": "p1"}})
        assert over(answer), plural
        assert f"['{plural[:-1]}']" in answer.json()["NeutronError"]["message"]
        mine = await networking.post(f"/v2.0/{plural}", {plural[:-1]: wish}, headers={"X-Project-Id": "p1"})
        assert over(mine), plural
        assert len(await networking.listed(plural, "project_id=p1")) == 1
        await networking.made(plural, **wish, project_id="p2")


async def test_a_bulk_request_is_counted_as_a_whole(networking: Networking) -> None:
    await limited(networking, "p1", network=2)
    three = [{"project_id": "p1", "name": str(number)} for number in range(3)]
    assert over(await networking.post("/v2.0/networks", {"networks": three}))
    assert await networking.listed("networks") == []
    assert (await networking.post("/v2.0/networks", {"networks": three[:2]})).status == 201


async def test_room_that_is_made_can_be_used(networking: Networking) -> None:
    await limited(networking, "p1", network=1)
    net = await networking.made("networks", project_id="p1")
    assert over(await networking.post("/v2.0/networks", {"network": {"project_id": "p1"}}))
    assert (await networking.delete(f"/v2.0/networks/{net['id']}")).status == 204
    await networking.made("networks", project_id="p1")


async def test_of_many_at_once_only_as_many_as_allowed(networking: Networking) -> None:
    await limited(networking, "p1", network=3)
    body = {"network": {"project_id": "p1"}}
    answers = await asyncio.gather(*(networking.post("/v2.0/networks", body) for _ in range(12)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [409] * 9
    assert all(over(answer) for answer in answers if answer.status == 409)


async def test_what_belongs_to_no_project_is_not_counted(networking: Networking) -> None:
    await limited(networking, "p1", network=0)
    await networking.made("networks")
    assert over(await networking.post("/v2.0/networks", {"network": {}}, headers={"X-Project-Id": "p1"}))


@pytest.mark.parametrize(
    ("quota", "told"),
    [
        ({"network": -2}, "network"),
        ({"network": 2**31}, "network"),
        ({"network": None}, "network"),
        ({"network": True}, "network"),
        ({"network": "many"}, "network"),
        ({"router": 1}, "router"),
    ],
)
async def test_what_is_refused(networking: Networking, quota: dict[str, Any], told: str) -> None:
    answer = await networking.put("/v2.0/quotas/p1", {"quota": quota})
    assert answer.status == 400
    assert told in answer.json()["NeutronError"]["message"]
    assert (await networking.get("/v2.0/quotas")).json() == {"quotas": []}


async def test_a_limit_below_what_is_there_has_to_be_forced(networking: Networking) -> None:
    for _ in range(2):
        await networking.made("networks", project_id="p1")
    answer = await networking.put("/v2.0/quotas/p1", {"quota": {"port": 7, "network": 1}})
    assert (answer.status, "already used 2" in answer.json()["NeutronError"]["message"]) == (400, True)
    assert (await networking.get("/v2.0/quotas")).json() == {"quotas": []}
    await limited(networking, "p1", network=1, force=True)
    assert over(await networking.post("/v2.0/networks", {"network": {"project_id": "p1"}}))


async def test_openstacksdk(endpoint: str) -> None:
    def steps(cloud: openstack.connection.Connection) -> None:
        changed = cloud.network.update_quota("p1", networks=123456789)
        assert changed.networks == 123456789
        assert cloud.network.get_quota("p1").networks == 123456789
        assert cloud.network.get_quota("p1", details=True).networks == {"limit": 123456789, "used": 0, "reserved": 0}
        assert cloud.network.get_quota_default("p1").networks == 100
        assert [quota.project_id for quota in cloud.network.quotas()] == ["p1"]
        cloud.network.update_quota("p1", networks=0)
        with pytest.raises(openstack.exceptions.ConflictException, match="Quota exceeded"):
            cloud.network.create_network(project_id="p1")
        cloud.network.delete_quota("p1")
        assert list(cloud.network.quotas()) == []

    await drive(endpoint, steps)
