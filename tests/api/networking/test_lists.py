"""Lists: filters, order, pages, fields, tags; and nothing that a client asks for is ignored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from ironlane.api.networking import app
from ironlane.store.database import open_store
from ironlane.store.tables import metadata
from tests.api.networking import site
from tests.api.networking.conftest import Networking

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUND = {"binding:vnic_type": "baremetal", "binding:host_id": "host-1"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def names(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Networking]:
    """Ports a, b, … on network `one`, and z on network `two`; no test here changes them."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('lists')}/api.sqlite")
    await store.write(lambda tx: metadata.create_all(tx.connection))
    await store.write(site.seed)
    networking = Networking(app.create(store))
    one, two = await networking.made("networks", name="one"), await networking.made("networks", name="two", shared=True)
    for number, made in enumerate((one, two)):
        await networking.made("subnets", network_id=made["id"], cidr=f"10.{number}.0.0/24", ip_version=4)
    common: dict[str, Any] = {"network_id": one["id"], "device_owner": "baremetal:none"}
    await networking.made("ports", name="a", **common, device_id="d1", mac_address="52:54:00:00:00:0A")
    await networking.made("ports", name="b", **common, device_id="d1", admin_state_up=False, project_id="p")
    await networking.made("ports", name="c", **common, device_id="d2", tags=["red", "big"])
    await networking.made("ports", name="d", network_id=one["id"], **BOUND)
    await networking.made("ports", name="z", network_id=two["id"], tags=["red"])
    yield networking
    await store.close()


async def found(api: Networking, query: str, plural: str = "ports") -> str:
    return "".join(item["name"][0] for item in await api.listed(plural, f"sort_key=name&{query}"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "abcdz"),
        ("name=a&name=c&name=nobody", "ac"),
        ("name=a&device_id=d2", ""),
        ("device_id=d1", "ab"),
        ("device_owner=", "dz"),
        ("admin_state_up=False", "b"),
        ("admin_state_up=true&device_id=d1", "a"),
        ("mac_address=5254.0000.000a", "a"),
        ("tenant_id=p", "b"),
        ("project_id=p&project_id=", "abcdz"),
        ("status=DOWN", "abcdz"),
        ("status=ACTIVE", ""),
        ("binding:host_id=host-1", "d"),
        ("binding%3Avif_type=unbound&binding:vnic_type=normal", "abcz"),
        ("fixed_ips=ip_address=10.0.0.2", "a"),
        ("fixed_ips=ip_address%3D10.0.0.2&fixed_ips=ip_address%3D10.1.0.2", "az"),
        ("fixed_ips=ip_address_substr=.0.0.", "abcd"),
        ("fixed_ips=ip_address_substr=_", ""),
        ("tags=red", "cz"),
        ("tags=red,big", "c"),
        ("tags-any=big,blue", "c"),
        ("not-tags=red,big", "abdz"),
        ("not-tags-any=red,big", "abd"),
        ("tags=re", ""),
        ("tags=%25", ""),
        ("revision_number=1", "abcdz"),
        ("changed_since=2020-01-01T00:00:00Z", "abcdz"),
        ("changed_since=2120-01-01T00:00:00", ""),
        ("sort_dir=desc", "zdcba"),
        ("limit=0", "abcdz"),
        ("limit=2", "ab"),
    ],
)
async def test_ports(names: Networking, query: str, expected: str) -> None:
    assert await found(names, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("shared=True", "t"),
        ("provider:segmentation_id=200", "o"),
        ("provider:network_type=vlan&provider:physical_network=physnet1", "ot"),
        ("router:external=false", "ot"),
        ("status=ACTIVE", "ot"),
        ("status=DOWN", ""),
        ("mtu=1500", "ot"),
    ],
)
async def test_networks(names: Networking, query: str, expected: str) -> None:
    assert await found(names, query, "networks") == expected


async def test_subnets(names: Networking) -> None:
    assert [s["cidr"] for s in await names.listed("subnets", "gateway_ip=10.1.0.1&ip_version=4")] == ["10.1.0.0/24"]
    ids = {n["name"]: n["id"] for n in await names.listed("networks")}
    assert [s["cidr"] for s in await names.listed("subnets", f"network_id={ids['one']}")] == ["10.0.0.0/24"]
    subnet = (await names.listed("subnets", f"network_id={ids['two']}"))[0]["id"]
    assert await found(names, f"fixed_ips=subnet_id={subnet}") == "z"


async def test_fields(names: Networking) -> None:
    port = (await names.listed("ports", "name=a&fields=id&fields=binding:host_id&fields=security_groups"))[0]
    assert set(port) == {"id", "binding:host_id"}
    shown = await names.get(f"/v2.0/ports/{port['id']}?fields=name")
    assert shown.json() == {"port": {"name": "a"}}


@pytest.mark.parametrize("order", ["", "sort_key=device_id&sort_key=name&sort_dir=desc&sort_dir=asc&"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
async def test_pages_there_and_back(names: Networking, order: str, limit: int) -> None:
    """Following `next` shows everything once, in order; following `previous` from the end shows it again."""
    whole = [port["id"] for port in await names.listed("ports", order)]
    url = f"/v2.0/ports?{order}limit={limit}"
    seen: list[str] = []
    pages = []
    while url:
        answer = (await names.get(url)).json()
        pages.append([port["id"] for port in answer["ports"]])
        seen += pages[-1]
        links = {link["rel"]: link["href"] for link in answer.get("ports_links", [])}
        assert ("previous" in links) is (len(pages) > 1)
        url = _local(links.get("next", ""))
    assert seen == whole
    back = []
    url = _local(links.get("previous", ""))
    while url:
        answer = (await names.get(url)).json()
        back.append([port["id"] for port in answer["ports"]])
        links = {link["rel"]: link["href"] for link in answer.get("ports_links", [])}
        assert "next" in links
        url = _local(links.get("previous", ""))
    assert back == pages[:-1][::-1]


def _local(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if url else ""


async def test_the_server_may_limit_pages(names: Networking) -> None:
    limited = Networking(app.create(names.app.state.store, page_limit=2))  # type: ignore[attr-defined]
    answer = (await limited.get("/v2.0/ports")).json()
    assert len(answer["ports"]) == 2
    assert answer["ports_links"][0]["rel"] == "next"
    assert len((await limited.get("/v2.0/ports?limit=1")).json()["ports"]) == 1


async def test_what_would_cost_the_database_too_much_costs_nothing(names: Networking) -> None:
    """A sort key that is named again orders nothing; a tag that is named again is no further condition."""
    first = (await names.get("/v2.0/ports?limit=1&sort_key=name")).json()["ports"][0]["id"]
    by_name = f"/v2.0/ports?fields=id&marker={first}&sort_key=name&sort_dir=asc"
    once = await names.get(by_name)
    assert once.json()["ports"]
    again = "&sort_key=name&sort_dir=desc" * 499
    assert (await names.get(by_name + again)).body == once.body
    tags = "&".join(["tags=" + ",".join(["a"] * 500)] * 3)
    assert (await names.get(f"/v2.0/ports?{tags}")).body == (await names.get("/v2.0/ports?tags=a")).body
    substrings = "&".join(f"fixed_ips=ip_address_substr={number}" for number in range(100))
    assert (await names.get(f"/v2.0/ports?{substrings}")).status == 200
    assert (await names.get(f"/v2.0/ports?{substrings}&fixed_ips=ip_address_substr=x")).status == 400
