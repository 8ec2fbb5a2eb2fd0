"""Subnets: defaults, IPv6, changes."""

from __future__ import annotations

from tests.api.networking.conftest import Networking


async def test_defaults(networking: Networking) -> None:
    net = await networking.made("networks")
    sub = await networking.made("subnets", network_id=net["id"], cidr="10.0.0.77/24", ip_version="4", name="s")
    assert sub["cidr"] == "10.0.0.0/24"
    assert sub["gateway_ip"] == "10.0.0.1"
    assert sub["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]
    assert (sub["enable_dhcp"], sub["dns_nameservers"], sub["host_routes"]) == (True, [], [])
    shown = await networking.shown("networks", net["id"])
    assert shown["subnets"] == [sub["id"]]
    assert shown["revision_number"] == 2


async def test_everything_given(networking: Networking) -> None:
    net = await networking.made("networks")
    wish = {
        "cidr": "10.0.0.0/24",
        "ip_version": 4,
        "gateway_ip": None,
        "enable_dhcp": False,
        "allocation_pools": [{"start": "10.0.0.100", "end": "10.0.0.110"}, {"start": "10.0.0.10", "end": "10.0.0.20"}],
        "dns_nameservers": ["192.0.2.53", "2001:db8::53"],
        "host_routes": [{"destination": "198.51.100.0/24", "nexthop": "10.0.0.254"}],
        "description": "d",
        "tags": ["red"],
    }
    sub = await networking.made("subnets", network_id=net["id"], **wish)
    wish["allocation_pools"] = sorted(sub["allocation_pools"], key=lambda pool: len(pool["start"]))
    assert {name: sub[name] for name in wish} == wish
    port = await networking.made("ports", network_id=net["id"])
    assert port["fixed_ips"] == [{"subnet_id": sub["id"], "ip_address": "10.0.0.10"}]


async def test_ipv6(networking: Networking) -> None:
    """A port gets a stateful address and a stateless one, which follows its MAC address."""
    net = await networking.made("networks")
    stateful = await networking.made("subnets", network_id=net["id"], cidr="fd00:1::/64", ip_version=6)
    assert stateful["allocation_pools"] == [{"start": "fd00:1::2", "end": "fd00:1::ffff:ffff:ffff:ffff"}]
    slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    stateless = await networking.made("subnets", network_id=net["id"], cidr="fd00:2::/64", ip_version=6, **slaac)
    port = await networking.made("ports", network_id=net["id"], mac_address="52:54:00:00:00:01")
    assert {ip["subnet_id"]: ip["ip_address"] for ip in port["fixed_ips"]} == {
        stateful["id"]: "fd00:1::2",
        stateless["id"]: "fd00:2::5054:ff:fe00:1",
    }
    moved = await networking.changed("ports", port["id"], mac_address="52:54:00:00:00:02")
    assert {ip["ip_address"] for ip in moved["fixed_ips"]} == {"fd00:1::2", "fd00:2::5054:ff:fe00:2"}


async def test_change(networking: Networking) -> None:
    net = await networking.made("networks")
    sub = await networking.made("subnets", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4)
    pools = [{"start": "10.0.0.50", "end": "10.0.0.60"}]
    changed = await networking.changed(
        "subnets", sub["id"], gateway_ip="10.0.0.254", allocation_pools=pools, dns_nameservers=["192.0.2.1"], name="new"
    )
    assert changed["allocation_pools"] == pools
    assert (changed["gateway_ip"], changed["name"], changed["revision_number"]) == ("10.0.0.254", "new", 2)
    assert (await networking.changed("subnets", sub["id"], gateway_ip=None, dns_nameservers=None))["gateway_ip"] is None
    assert (await networking.delete(f"/v2.0/subnets/{sub['id']}")).status == 204
    assert (await networking.get(f"/v2.0/subnets/{sub['id']}")).status == 404


async def test_a_new_network_may_reuse_a_cidr(networking: Networking) -> None:
    for _ in range(2):
        net = await networking.made("networks")
        await networking.made("subnets", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4)
    refused = await networking.post(
        "/v2.0/subnets", {"subnet": {"network_id": net["id"], "cidr": "10.0.0.128/25", "ip_version": 4}}
    )
    assert refused.status == 400
    assert "overlaps with 10.0.0.0/24" in refused.json()["NeutronError"]["message"]
