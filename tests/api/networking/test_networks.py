"""Networks: VLANs and sides, sharing, deletion while switches still carry them."""

from __future__ import annotations

from typing import Any

from ironlane.store.database import Store
from tests.api.networking import site
from tests.api.networking.conftest import Networking

PROVIDER = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
BOUND = {"binding:vnic_type": "baremetal", "binding:host_id": "host-1"}


async def column(store: Store, table: str, *names: str) -> list[tuple[Any, ...]]:
    from ironlane.store.tables import metadata

    columns = [column.name for column in metadata.tables[table].columns]
    return [tuple(row[columns.index(name)] for name in names) for row in (await site.dump(store))[table]]


async def test_vlans_are_given_lowest_first(networking: Networking) -> None:
    vlans = [(await networking.made("networks"))["provider:segmentation_id"] for _ in range(3)]
    assert vlans == [200, 201, 202]
    victim = (await networking.listed("networks", "provider:segmentation_id=201"))[0]
    assert (await networking.delete(f"/v2.0/networks/{victim['id']}")).status == 204
    again = await networking.made("networks", name="again")
    assert again["provider:segmentation_id"] == 201
    assert again["provider:network_type"] == "vlan"
    assert again["provider:physical_network"] == "physnet1"
    assert (again["mtu"], again["status"], again["subnets"]) == (1500, "ACTIVE", [])


async def test_the_tenant_range_of_a_named_physical_network(networking: Networking) -> None:
    wish = {"provider:physical_network": "physnet2"}
    assert [(await networking.made("networks", **wish))["provider:segmentation_id"] for _ in range(2)] == [300, 301]
    refused = await networking.post("/v2.0/networks", {"network": wish})
    assert refused.status == 409
    assert refused.json()["NeutronError"]["type"] == "NoNetworkAvailable"
    assert (await networking.listed("networks", "provider:physical_network=physnet2"))[0]["mtu"] == 9000


async def test_no_physical_network_at_all(store: Store) -> None:
    from ironlane.api.networking import app

    refused = await Networking(app.create(store)).post("/v2.0/networks", {"network": {}})
    assert (refused.status, refused.json()["NeutronError"]["type"]) == (409, "NoNetworkAvailable")


async def test_sides(networking: Networking, store: Store) -> None:
    """A named VLAN is the administrator's, unless it is shared; a drawn one is a tenant's."""
    await networking.made("networks", name="a", **PROVIDER, **{"provider:segmentation_id": "100"})
    await networking.made("networks", name="b", shared=True, **PROVIDER, **{"provider:segmentation_id": 101})
    await networking.made("networks", name="c")
    await networking.made("networks", name="d", shared="true")
    flat = {"provider:network_type": "flat", "provider:physical_network": "physnet1"}
    await networking.made("networks", name="e", **flat)
    sides = dict(await column(store, "networks", "name", "side"))
    assert sides == {"a": "provider", "b": "tenant", "c": "tenant", "d": "tenant", "e": "provider"}
    again = await networking.post("/v2.0/networks", {"network": flat})
    assert (again.status, again.json()["NeutronError"]["type"]) == (409, "FlatNetworkInUse")


async def test_sharing_cannot_move_a_network_with_switch_ports(networking: Networking, store: Store) -> None:
    net = await networking.made("networks", **PROVIDER, **{"provider:segmentation_id": 100})
    port = await networking.made(
        "ports", network_id=net["id"], **BOUND, **{"binding:profile": site.profile(site.link())}
    )
    refused = await networking.put(f"/v2.0/networks/{net['id']}", {"network": {"shared": True}})
    assert refused.status == 409
    assert "shared" in refused.json()["NeutronError"]["message"]
    await networking.delete(f"/v2.0/ports/{port['id']}")
    refused = await networking.put(f"/v2.0/networks/{net['id']}", {"network": {"shared": True}})
    assert refused.status == 409, "the switch has not been seen to be clean"
    await store.write(site.converge)
    assert (await networking.changed("networks", net["id"], shared=True))["shared"] is True
    assert await column(store, "networks", "side") == [("tenant",)]


async def test_a_vlan_comes_back_only_when_no_switch_carries_it(networking: Networking, store: Store) -> None:
    net = await networking.made("networks")
    await networking.made("subnets", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4)
    port = await networking.made(
        "ports", network_id=net["id"], **BOUND, **{"binding:profile": site.profile(site.link())}
    )
    await store.write(site.converge)
    refused = await networking.delete(f"/v2.0/networks/{net['id']}")
    assert (refused.status, refused.json()["NeutronError"]["type"]) == (409, "NetworkInUse")
    assert (await networking.delete(f"/v2.0/ports/{port['id']}")).status == 204
    assert (await networking.delete(f"/v2.0/networks/{net['id']}")).status == 204
    assert await networking.listed("subnets") == []
    assert await column(store, "segments", "vlan", "released") == [(200, True)]
    assert (await networking.made("networks"))["provider:segmentation_id"] == 201
    await store.write(site.converge)
    assert await column(store, "segments", "vlan", "released") == [(201, False)]
    assert (await networking.made("networks"))["provider:segmentation_id"] == 200


async def test_a_network_that_is_down_has_no_switch_ports(networking: Networking, store: Store) -> None:
    net = await networking.made("networks")
    port = await networking.made(
        "ports", network_id=net["id"], **BOUND, **{"binding:profile": site.profile(site.link())}
    )
    await store.write(site.converge)
    assert (await networking.shown("ports", port["id"]))["status"] == "ACTIVE"
    await networking.changed("networks", net["id"], admin_state_up=False)
    assert (await networking.shown("ports", port["id"]))["status"] == "DOWN"
    await store.write(site.converge)
    assert await column(store, "attachments", "id") == []
    await networking.changed("networks", net["id"], admin_state_up=True)
    await store.write(site.converge)
    assert (await networking.shown("ports", port["id"]))["status"] == "ACTIVE"


async def test_revisions(networking: Networking) -> None:
    net = await networking.made("networks", name="a")
    assert net["revision_number"] == 1
    same = await networking.changed("networks", net["id"], name="a")
    assert same == net
    renamed = await networking.changed("networks", net["id"], name="b", **{"router:external": True})
    assert (renamed["revision_number"], renamed["router:external"]) == (2, True)
    url = f"/v2.0/networks/{net['id']}"
    stale = await networking.put(url, {"network": {"name": "c"}}, headers={"If-Match": "revision_number=1"})
    assert (stale.status, stale.json()["NeutronError"]["type"]) == (412, "RevisionNumberConstraintFailed")
    assert (await networking.delete(url, headers={"If-Match": "revision_number=1"})).status == 412
    assert (await networking.delete(url, headers={"If-Match": "two"})).status == 400
    assert (await networking.delete(url, headers={"If-Match": "revision_number=2"})).status == 204


async def test_projects(networking: Networking) -> None:
    from_header = await networking.post("/v2.0/networks", {"network": {}}, headers={"X-Project-Id": "p1"})
    assert from_header.json()["network"]["project_id"] == "p1"
    named = await networking.post("/v2.0/networks", {"network": {"tenant_id": "p2"}}, headers={"X-Project-Id": "p1"})
    assert named.json()["network"]["project_id"] == named.json()["network"]["tenant_id"] == "p2"
    assert len(await networking.listed("networks", "tenant_id=p2&project_id=p2")) == 1
    assert await networking.listed("networks", "tenant_id=p1&project_id=p2") == []


async def test_bulk_is_all_or_nothing(networking: Networking) -> None:
    made = await networking.post("/v2.0/networks", {"networks": [{"name": "a"}, {"name": "b"}]})
    assert [net["name"] for net in made.json()["networks"]] == ["a", "b"]
    one = await networking.post("/v2.0/networks", {"networks": [{"name": "c"}]})
    assert [net["name"] for net in one.json()["networks"]] == ["c"]
    over = {"provider:physical_network": "physnet2"}
    refused = await networking.post("/v2.0/networks", {"networks": [over] * 3})
    assert refused.status == 409
    assert refused.json()["NeutronError"]["message"].startswith("networks[2]: ")
    assert len(await networking.listed("networks")) == 3
