"""Tags of networks, subnets and ports."""

from __future__ import annotations

from tests.api.networking.conftest import Networking


async def test_tags(networking: Networking) -> None:
    net = await networking.made("networks")
    await networking.made("subnets", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4)
    ident = (await networking.made("ports", network_id=net["id"], tags=["red", "big"]))["id"]
    url = f"/v2.0/ports/{ident}/tags"
    assert (await networking.get(url)).json() == {"tags": ["red", "big"]}
    assert (await networking.put(url, {"tags": ["x", "y", "x"]})).json() == {"tags": ["x", "y"]}
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
