"""How many addresses a network has, and how many of them are given out."""

from __future__ import annotations

from typing import Any

from tests.api.networking.conftest import Networking

URL = "/v2.0/network-ip-availabilities"


async def listed(networking: Networking, query: str = "") -> list[dict[str, Any]]:
    answer = await networking.get(f"{URL}?{query}")
    assert answer.status == 200, answer.body
    return list(answer.json()["network_ip_availabilities"])


async def test_availability(networking: Networking) -> None:
    net = await networking.made("networks", name="one", project_id="p1")
    pool = {"start": "10.0.0.10", "end": "10.0.0.19"}
    four = await networking.made(
        "subnets", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4, name="four", allocation_pools=[pool]
    )
    six = await networking.made("subnets", network_id=net["id"], cidr="2001:db8::/126", ip_version=6)
    for address in ("10.0.0.10", "10.0.0.200"):  # within the pool, and beyond it
        await networking.made("ports", network_id=net["id"], fixed_ips=[{"ip_address": address}])
    found = (await networking.get(f"{URL}/{net['id']}")).json()["network_ip_availability"]
    subnet = {"subnet_id": four["id"], "subnet_name": "four", "ip_version": 4, "cidr": "10.0.0.0/24"}
    assert found["subnet_ip_availability"][0] == {**subnet, "total_ips": 10, "used_ips": 2}
    assert found["subnet_ip_availability"][1]["subnet_id"] == six["id"]
    assert (found["network_name"], found["project_id"], found["tenant_id"]) == ("one", "p1", "p1")
    assert (found["total_ips"], found["used_ips"]) == (10 + 2, 2)
    assert await listed(networking) == [found]
    (only,) = await listed(networking, "ip_version=6")
    assert (only["total_ips"], [item["ip_version"] for item in only["subnet_ip_availability"]]) == (2, [6])


async def test_lists(networking: Networking) -> None:
    ids = [(await networking.made("networks", name=f"n{number}", project_id="p1"))["id"] for number in range(3)]
    found = await listed(networking)
    assert {item["network_id"] for item in found} == set(ids)
    assert {(item["total_ips"], item["used_ips"]) for item in found} == {(0, 0)}
    assert [item["network_id"] for item in await listed(networking, f"network_id={ids[1]}")] == [ids[1]]
    assert [item["network_id"] for item in await listed(networking, "network_name=n2&project_id=p1")] == [ids[2]]
    first = (await networking.get(f"{URL}?limit=2")).json()
    (link,) = first["network_ip_availabilities_links"]
    last = (await networking.get(link["href"].removeprefix("http://ironlane.test"))).json()
    assert len(first["network_ip_availabilities"]) == 2
    assert len(last["network_ip_availabilities"]) == 1
    for query in ("colour=red", "tags=red", "ip_version=x"):
        assert (await networking.get(f"{URL}?{query}")).status == 400
    missing = await networking.get(f"{URL}/{'0' * 32}")
    assert (missing.status, missing.json()["NeutronError"]["type"]) == (404, "NetworkNotFound")
