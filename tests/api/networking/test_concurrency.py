"""Many clients at once: nobody is given what another one has."""

from __future__ import annotations

import asyncio

from tests.api.networking.conftest import Networking


async def test_ports_have_their_own_addresses(networking: Networking) -> None:
    net = await networking.made("networks")
    await networking.made("subnets", network_id=net["id"], cidr="10.0.0.0/26", ip_version=4)
    ports = await asyncio.gather(*(networking.made("ports", network_id=net["id"]) for _ in range(50)))
    assert len({port["fixed_ips"][0]["ip_address"] for port in ports}) == 50
    assert len({port["mac_address"] for port in ports}) == 50


async def test_networks_have_their_own_vlans(networking: Networking) -> None:
    networks = await asyncio.gather(*(networking.made("networks") for _ in range(50)))
    assert sorted(net["provider:segmentation_id"] for net in networks) == list(range(200, 250))


async def test_one_of_many_gets_a_named_vlan_and_address(networking: Networking) -> None:
    wish = {"provider:physical_network": "physnet1", "provider:segmentation_id": 100}
    answers = await asyncio.gather(*(networking.post("/v2.0/networks", {"network": wish}) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 9
    net = next(answer for answer in answers if answer.status == 201).json()["network"]["id"]
    await networking.made("subnets", network_id=net, cidr="10.0.0.0/26", ip_version=4)
    body = {"port": {"network_id": net, "fixed_ips": [{"ip_address": "10.0.0.9"}]}}
    answers = await asyncio.gather(*(networking.post("/v2.0/ports", body) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 9
