"""Tags of networks, subnets and ports."""

from __future__ import annotations

from tests.api.networking.conftest import Networking


async def test_tags(networking: Networking) -> None:
    net = await networking.made("networks")
    await networking.made("subnets", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4)
    ident = (await networking.made("ports", network_id=net["id"], tags=["red", "big"]))["id"]
    url = f"/v2.0/ports/{ident}/tags"
    assert (await networking.get(url)).json() == {"tags": ["big", "red"]}
    assert (await networking.put(url, {"tags": ["y", "x", "y"]})).json() == {"tags": ["x", "y"]}
    assert (await networking.request("PUT", f"{url}/z")).status == 201
    assert (await networking.get(f"{url}/z")).status == 204
    assert (await networking.delete(f"{url}/x")).status == 204
    assert (await networking.delete(f"{url}/x")).status == 404
    assert (await networking.shown("ports", ident))["tags"] == ["y", "z"]
    assert (await networking.delete(url)).status == 204
    assert (await networking.get(url)).json() == {"tags": []}
    for plural in ("networks", "subnets"):
        thing = (await networking.listed(plural))[0]["id"]
        assert (await networking.put(f"/v2.0/{plural}/{thing}/tags", {"tags": ["t"]})).status == 200
        assert (await networking.shown(plural, thing))["tags"] == ["t"]


async def test_tags_are_added_up_to_fifty(networking: Networking) -> None:
    url = f"/v2.0/networks/{(await networking.made('networks'))['id']}/tags"
    assert (await networking.post(url, {"tags": ["red", "green"]})).status == 201
    added = await networking.post(url, {"tags": ["blue", "red"]})
    assert (added.status, added.json()) == (201, {"tags": ["blue", "red"]})
    assert (await networking.get(url)).json() == {"tags": ["blue", "green", "red"]}
    assert (await networking.post(url, {"tags": [f"t{number}" for number in range(47)]})).status == 201
    for refused in (
        await networking.request("PUT", f"{url}/one-more"),
        await networking.post(url, {"tags": ["one-more"]}),
        await networking.put(url, {"tags": [f"t{number}" for number in range(51)]}),
    ):
        assert (refused.status, "tags" in refused.json()["NeutronError"]["message"]) == (400, True)
    assert len((await networking.get(url)).json()["tags"]) == 50
