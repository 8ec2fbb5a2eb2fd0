"""Discovery: versions and their links, extensions, the OpenAPI document; at the root and mounted."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from ironlane.api.networking import app
from ironlane.api.networking.routes import ROUTES
from ironlane.store.database import Store
from tests.api.networking.conftest import Networking


async def test_versions_at_the_root(networking: Networking) -> None:
    answer = await networking.get("/")
    link = {"rel": "self", "href": "http://ironlane.test/v2.0/"}
    assert answer.json() == {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}


async def test_versions_when_mounted(store: Store) -> None:
    outer = Networking(Starlette(routes=[Mount("/networking", app.create(store))]))
    answer = await outer.get("/networking/", headers={"Host": "cloud.example:8443"})
    assert answer.json()["versions"][0]["links"][0]["href"] == "http://cloud.example:8443/networking/v2.0/"
    assert (await outer.get("/networking/v2.0/networks")).json() == {"networks": []}
    resources = (await outer.get("/networking/v2.0/")).json()["resources"]
    assert resources[0]["links"][0]["href"] == "http://ironlane.test/networking/v2.0/networks"
    missing = await outer.get("/networking/v2.0/nothing")
    assert missing.json()["NeutronError"]["type"] == "HTTPNotFound"


@pytest.mark.parametrize("path", ["/v2.0", "/v2.0/"])
async def test_collections(networking: Networking, path: str) -> None:
    names = [resource["name"] for resource in (await networking.get(path)).json()["resources"]]
    assert names == [
        "network",
        "subnet",
        "port",
        "trunk",
        "quota",
        "rbac-policy",
        "agent",
        "network-ip-availability",
        "availability_zone",
        "extension",
    ]


async def test_extensions(networking: Networking) -> None:
    known = (await networking.get("/v2.0/extensions")).json()["extensions"]
    aliases = {extension["alias"] for extension in known}
    assert {"binding", "provider", "extra_dhcp_opt", "standard-attr-revisions", "pagination"} <= aliases
    assert not aliases & {"router", "security-group", "allowed-address-pairs"}
    for alias in aliases:
        assert (await networking.get(f"/v2.0/extensions/{alias}")).json()["extension"]["alias"] == alias


async def test_openapi(networking: Networking) -> None:
    document = (await networking.get("/openapi.json")).json()
    served = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert served == {(route.method, route.path) for route in ROUTES if route.path != "/v2.0"}
    port = document["components"]["schemas"]["PortCreate"]
    assert "binding:host_id" in port["properties"]
    assert port["required"] == ["network_id"]
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


async def test_there_are_no_availability_zones(networking: Networking) -> None:
    assert (await networking.get("/v2.0/availability_zones?state=available")).json() == {"availability_zones": []}
    assert (await networking.get("/v2.0/availability_zones?colour=red")).status == 400


@pytest.mark.parametrize("collection", ["routers", "floatingips", "security-groups", "subnetpools", "address-scopes"])
async def test_what_is_not_there_is_said_so(networking: Networking, collection: str) -> None:
    """As Neutron says it where an extension is missing."""
    for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{'0' * 32}")):
        answer = await networking.request(method, f"/v2.0/{collection}{path}")
        error = answer.json()["NeutronError"]
        assert (answer.status, error["type"]) == (404, "HTTPNotFound")
        assert error["message"] == "The resource could not be found."
