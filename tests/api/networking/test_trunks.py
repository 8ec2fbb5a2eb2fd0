"""`/v2.0/trunks`: what clients see of trunks, what they are refused, and openstacksdk over it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from openstack import exceptions
from openstack.connection import Connection

from ironlane.api.networking import app
from ironlane.store.database import Store, open_store
from ironlane.store.tables import metadata
from tests.api.networking import site
from tests.api.networking.conftest import Networking
from tests.api.networking.test_openstacksdk import drive

NOBODY = "00000000-0000-0000-0000-000000000007"
VNIC = {"binding:vnic_type": "baremetal", "binding:host_id": "host-1"}
PROVIDER = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}

JsonObject = dict[str, Any]


async def ports_on(api: Networking, *names: str) -> list[JsonObject]:
    """A port on a new tenant network for each name, in the order of the networks' VLANs (200, 201, …)."""
    made = []
    for name in names:
        net = await api.made("networks", name=name)
        made.append(await api.made("ports", network_id=net["id"], name=name))
    return made


async def put(api: Networking, trunk: JsonObject, action: str, *subports: JsonObject) -> JsonObject:
    answer = await api.put(f"/v2.0/trunks/{trunk['id']}/{action}", {"sub_ports": list(subports)})
    assert answer.status == 200, answer.body
    return dict(answer.json())


async def test_a_trunk_comes_and_goes(networking: Networking) -> None:
    parent, red, blue = await ports_on(networking, "parent", "red", "blue")
    trunk = await networking.made(
        "trunks", port_id=parent["id"], name="t", sub_ports=[{"port_id": red["id"], "segmentation_type": "inherit"}]
    )
    assert (trunk["status"], trunk["revision_number"], trunk["admin_state_up"]) == ("DOWN", 1, True)
    assert trunk["sub_ports"] == [{"port_id": red["id"], "segmentation_type": "vlan", "segmentation_id": 201}]
    named = {"port_id": blue["id"], "segmentation_type": "vlan", "segmentation_id": "202"}
    after = await put(networking, trunk, "add_subports", named)
    assert [s["segmentation_id"] for s in after["sub_ports"]] == [201, 202]
    assert after["revision_number"] == 2
    assert (await networking.get(f"/v2.0/trunks/{trunk['id']}/get_subports")).json() == {
        "sub_ports": after["sub_ports"]
    }

    shown = await networking.shown("ports", blue["id"])
    assert (shown["device_owner"], shown["device_id"]) == ("trunk:subport", trunk["id"])
    assert "trunk_details" not in shown
    details = (await networking.shown("ports", parent["id"]))["trunk_details"]
    assert details["trunk_id"] == trunk["id"]
    assert [(s["port_id"], s["mac_address"]) for s in details["sub_ports"]] == [
        (red["id"], red["mac_address"]),
        (blue["id"], blue["mac_address"]),
    ]
    with_details = [p["id"] for p in await networking.listed("ports") if "trunk_details" in p]
    assert with_details == [parent["id"]]

    after = await put(networking, trunk, "remove_subports", {"port_id": blue["id"]})
    assert [s["port_id"] for s in after["sub_ports"]] == [red["id"]]
    shown = await networking.shown("ports", blue["id"])
    assert (shown["device_owner"], shown["device_id"]) == ("", "")
    assert (await networking.delete(f"/v2.0/trunks/{trunk['id']}")).status == 204
    assert (await networking.get(f"/v2.0/trunks/{trunk['id']}")).json()["NeutronError"]["type"] == "TrunkNotFound"
    for port in (blue, red, parent):
        assert (await networking.delete(f"/v2.0/ports/{port['id']}")).status == 204


async def test_a_disabled_trunk_is_locked(networking: Networking) -> None:
    parent, red = await ports_on(networking, "parent", "red")
    trunk = await networking.made("trunks", port_id=parent["id"], admin_state_up=False)
    for answer in (
        await networking.put(f"/v2.0/trunks/{trunk['id']}/add_subports", {"sub_ports": [{"port_id": red["id"]}]}),
        await networking.put(f"/v2.0/trunks/{trunk['id']}/remove_subports", {"sub_ports": []}),
        await networking.delete(f"/v2.0/trunks/{trunk['id']}"),
    ):
        assert (answer.status, answer.json()["NeutronError"]["type"]) == (409, "TrunkDisabled")
    changed = await networking.changed("trunks", trunk["id"], admin_state_up=True, name="n", description="d")
    assert (changed["name"], changed["description"], changed["revision_number"]) == ("n", "d", 2)
    same = await networking.changed("trunks", trunk["id"], name="n")
    assert same["revision_number"] == 2, "a change that changes nothing leaves no trace"
    assert (await networking.delete(f"/v2.0/trunks/{trunk['id']}")).status == 204


async def test_status_follows_the_switches(networking: Networking, store: Store) -> None:
    parent, red, blue = await ports_on(networking, "parent", "red", "blue")
    trunk = await networking.made("trunks", port_id=parent["id"], sub_ports=[{"port_id": red["id"]}])
    profile = site.profile(site.link())
    await networking.changed("ports", parent["id"], **VNIC, **{"binding:profile": profile})
    shown = await networking.shown("ports", red["id"])
    assert (shown["binding:host_id"], shown["binding:vif_type"], shown["status"]) == ("host-1", "other", "DOWN")
    assert shown["binding:profile"] == {}
    assert (await networking.shown("trunks", trunk["id"]))["status"] == "BUILD"
    await store.write(site.converge)
    assert (await networking.shown("trunks", trunk["id"]))["status"] == "ACTIVE"
    assert [(await networking.shown("ports", p["id"]))["status"] for p in (parent, red)] == ["ACTIVE", "ACTIVE"]
    assert (await put(networking, trunk, "add_subports", {"port_id": blue["id"]}))["status"] == "BUILD"
    assert [t["id"] for t in await networking.listed("trunks", "status=BUILD&status=ERROR")] == [trunk["id"]]
    assert await networking.listed("trunks", "status=ACTIVE") == []
    await store.write(site.converge)
    assert await networking.listed("trunks", "status=ACTIVE&sort_key=status&fields=id") == [{"id": trunk["id"]}]
    await networking.changed("ports", parent["id"], **{"binding:host_id": "", "binding:profile": {}})
    assert (await networking.shown("trunks", trunk["id"]))["status"] == "DOWN"
    shown = await networking.shown("ports", red["id"])
    assert (shown["binding:host_id"], shown["binding:vif_type"], shown["status"]) == ("", "unbound", "DOWN")


async def test_lists_and_tags(networking: Networking) -> None:
    parents = await ports_on(networking, "a", "b", "c")
    for number, port in enumerate(parents):
        await networking.made("trunks", port_id=port["id"], name=f"t{number}", project_id=f"p{number % 2}", tags=["x"])
    assert [t["name"] for t in await networking.listed("trunks", "sort_key=name&sort_dir=desc")] == ["t2", "t1", "t0"]
    assert [t["name"] for t in await networking.listed("trunks", "tenant_id=p1")] == ["t1"]
    assert [t["name"] for t in await networking.listed("trunks", f"port_id={parents[2]['id']}")] == ["t2"]
    page = (await networking.get("/v2.0/trunks?limit=2&sort_key=name")).json()
    assert [t["name"] for t in page["trunks"]] == ["t0", "t1"]
    marker = page["trunks"][1]["id"]
    assert [t["name"] for t in await networking.listed("trunks", f"limit=2&sort_key=name&marker={marker}")] == ["t2"]
    first = page["trunks"][0]
    assert (await networking.put(f"/v2.0/trunks/{first['id']}/tags/red", None)).status == 201
    assert [t["name"] for t in await networking.listed("trunks", "tags=red,x")] == ["t0"]


async def test_revisions(networking: Networking) -> None:
    parent, red = await ports_on(networking, "parent", "red")
    trunk = await networking.made("trunks", port_id=parent["id"])
    url, body = f"/v2.0/trunks/{trunk['id']}/add_subports", {"sub_ports": [{"port_id": red["id"]}]}
    assert (await networking.put(url, body, headers={"If-Match": "revision_number=9"})).status == 412
    assert (await networking.put(url, body, headers={"If-Match": "revision_number=1"})).status == 200


class Case(NamedTuple):
    """A request, and what its refusal must say; `{…}` in url and body are ids of `Site.ids`."""

    method: str
    url: str
    body: Any
    status: int
    says: str
    kind: str = ""


def made(status: int, says: str, kind: str = "", **attributes: Any) -> Case:
    return Case("POST", "/v2.0/trunks", {"trunk": {"port_id": "{free}", **attributes}}, status, says, kind)


def added(status: int, says: str, kind: str = "", **subport: Any) -> Case:
    body = {"sub_ports": [{"port_id": "{green}", **subport}]}
    return Case("PUT", "/v2.0/trunks/{trunk}/add_subports", body, status, says, kind)


def removed(status: int, says: str, kind: str, port: str) -> Case:
    body = {"sub_ports": [{"port_id": port}]}
    return Case("PUT", "/v2.0/trunks/{trunk}/remove_subports", body, status, says, kind)


def bound(status: int, says: str, kind: str, **attributes: Any) -> Case:
    return Case("PUT", "/v2.0/ports/{red}", {"port": attributes}, status, says, kind)


CASES = [
    Case("POST", "/v2.0/trunks", {"trunk": {}}, 400, "Required attribute 'port_id'"),
    Case("POST", "/v2.0/trunks", {}, 400, "trunk"),
    made(400, "port_id", port_id="parent"),
    made(404, "port_id", "PortNotFound", port_id=NOBODY),
    made(409, "port_id", "ParentPortInUse", port_id="{parent}"),
    made(409, "port_id", "TrunkPortInUse", port_id="{red}"),
    made(400, "Unrecognized attribute(s) 'colour'", colour=1),
    made(400, "name", name=7),
    made(400, "sub_ports", sub_ports="red"),
    made(400, "sub_ports[0].port_id", sub_ports=[{}]),
    made(409, "sub_ports[0].port_id", "ParentPortInUse", sub_ports=[{"port_id": "{free}"}]),
    made(400, "sub_ports[1].port_id", sub_ports=[{"port_id": "{green}"}, {"port_id": "{green}"}]),
    made(
        409,
        "sub_ports[1].segmentation_id",
        "DuplicateSubPort",
        sub_ports=[{"port_id": "{green}"}, {"port_id": "{green2}"}],
    ),
    Case("POST", "/v2.0/trunks", {"trunks": [{"port_id": "{free}"}, {"port_id": "{red}"}]}, 409, "trunks[1]: "),
    added(400, "sub_ports[0].segmentation_type", segmentation_type="vxlan", segmentation_id=203),
    added(400, "sub_ports[0].segmentation_type", segmentation_id=203),
    added(400, "sub_ports[0].segmentation_id", segmentation_type="vlan"),
    added(400, "sub_ports[0].segmentation_id", segmentation_type="vlan", segmentation_id="many"),
    added(400, "sub_ports[0].segmentation_id", segmentation_type="vlan", segmentation_id=True),
    added(400, "sub_ports[0].segmentation_id", segmentation_type="vlan", segmentation_id=0),
    added(400, "sub_ports[0].segmentation_id", segmentation_type="vlan", segmentation_id=4095),
    added(400, "sub_ports[0].segmentation_id: 100 is not the VLAN", segmentation_type="vlan", segmentation_id=100),
    added(400, "sub_ports[0].segmentation_id", segmentation_type="inherit", segmentation_id=100),
    added(400, "sub_ports[0].colour", colour=1),
    added(409, "sub_ports[0].port_id", "TrunkPortInUse", port_id="{red}"),
    added(409, "sub_ports[0].port_id", "ParentPortInUse", port_id="{parent}"),
    added(409, "sub_ports[0].port_id", "PortInUse", port_id="{used}"),
    added(409, "sub_ports[0].port_id", "PortInUse", port_id="{bound}"),
    added(409, "sub_ports[0].segmentation_id", "DuplicateSubPort", port_id="{red2}"),
    added(409, "sub_ports[0].segmentation_id", "DuplicateSubPort", port_id="{parent2}"),
    added(404, "sub_ports[0].port_id", "PortNotFound", port_id=NOBODY),
    added(400, "sub_ports[0].port_id: network", port_id="{provider}"),
    added(400, "sub_ports[0].port_id: network", port_id="{elsewhere}"),
    added(400, "has no VLAN", port_id="{flat}"),
    added(409, "MTU", "SubPortMtuGreaterThanTrunkPortMtu", port_id="{wide}"),
    removed(404, "sub_ports[0].port_id", "SubPortNotFound", "{green}"),
    removed(404, "sub_ports[0].port_id", "SubPortNotFound", NOBODY),
    Case("PUT", "/v2.0/trunks/{trunk}/add_subports", {}, 400, "sub_ports"),
    Case("PUT", "/v2.0/trunks/{trunk}/add_subports", {"sub_ports": None}, 400, "sub_ports"),
    Case("PUT", f"/v2.0/trunks/{NOBODY}/add_subports", {"sub_ports": []}, 404, NOBODY, "TrunkNotFound"),
    Case("PUT", f"/v2.0/trunks/{NOBODY}/remove_subports", {"sub_ports": []}, 404, NOBODY, "TrunkNotFound"),
    Case("GET", f"/v2.0/trunks/{NOBODY}/get_subports", None, 404, NOBODY, "TrunkNotFound"),
    Case("GET", "/v2.0/trunks/by-name", None, 404, "by-name", "TrunkNotFound"),
    Case("PUT", "/v2.0/trunks/{trunk}", {"trunk": {"port_id": NOBODY}}, 400, "read-only attribute port_id"),
    Case("PUT", "/v2.0/trunks/{trunk}", {"trunk": {"sub_ports": []}}, 400, "read-only attribute sub_ports"),
    Case("PUT", "/v2.0/trunks/{trunk}", {"trunk": {"status": "ACTIVE"}}, 400, "read-only attribute status"),
    Case("PUT", "/v2.0/trunks/{trunk}", {"trunk": {"name": None}}, 400, "name"),
    Case("DELETE", f"/v2.0/trunks/{NOBODY}", None, 404, NOBODY, "TrunkNotFound"),
    Case("GET", "/v2.0/trunks?colour=blue", None, 400, "colour"),
    Case("GET", "/v2.0/trunks?sort_key=sub_ports", None, 400, "sort_key"),
    Case("GET", f"/v2.0/trunks?marker={NOBODY}", None, 400, "marker"),
    # ports in trunks
    Case("DELETE", "/v2.0/ports/{parent}", None, 409, "{trunk}", "PortInUseAsTrunkParent"),
    Case("DELETE", "/v2.0/ports/{red}", None, 409, "{trunk}", "PortInUseAsSubPort"),
    bound(409, "binding:host_id", "PortInUseAsSubPort", **{"binding:host_id": "host-9"}),
    bound(409, "binding:profile", "PortInUseAsSubPort", **{"binding:profile": site.profile(site.link(port=4))}),
    bound(409, "binding:vnic_type", "PortInUseAsSubPort", **{"binding:vnic_type": "baremetal"}),
    bound(409, "mac_address", "PortBound", mac_address="52:54:00:00:00:99"),
    Case("PUT", "/v2.0/ports/{parent}", {"port": {"trunk_details": {}}}, 400, "read-only attribute trunk_details"),
]


class Site(NamedTuple):
    api: Networking
    store: Store
    ids: dict[str, str]
    rows: dict[str, list[tuple[Any, ...]]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A bound trunk with one sub-port, and ports that are good or bad as further ones."""
    folder: Path = tmp_path_factory.mktemp("trunks")
    store = open_store(f"sqlite:///{folder}/api.sqlite")
    await store.write(lambda tx: metadata.create_all(tx.connection))
    await store.write(site.seed)
    api = Networking(app.create(store))
    names = ("parent", "red", "free", "green", "used", "bound")
    ids = {port["name"]: port for port in await ports_on(api, *names)}
    networks = {
        "provider": await api.made("networks", **PROVIDER, **{"provider:segmentation_id": 100}),
        "elsewhere": await api.made("networks", **{"provider:physical_network": "physnet2"}),
        "flat": await api.made(
            "networks", **{"provider:network_type": "flat", "provider:physical_network": "physnet2"}
        ),
    }
    ids |= {name: await api.made("ports", network_id=net["id"]) for name, net in networks.items()}
    ids |= {f"{n}2": await api.made("ports", network_id=ids[n]["network_id"]) for n in ("red", "green", "parent")}
    ids["wide"] = (await ports_on(api, "wide"))[0]
    for name in ("parent", "red", "green", "used", "bound"):
        await api.changed("networks", ids[name]["network_id"], mtu=1400)
    await api.changed("ports", ids["used"]["id"], device_id="server-1")
    await api.changed("ports", ids["bound"]["id"], **{"binding:host_id": "host-2"})
    ids["trunk"] = await api.made("trunks", port_id=ids["parent"]["id"], sub_ports=[{"port_id": ids["red"]["id"]}])
    link = site.profile(site.link(port=1))
    await api.changed("ports", ids["parent"]["id"], **VNIC, **{"binding:profile": link})
    yield Site(api, store, {name: thing["id"] for name, thing in ids.items()}, await site.dump(store))
    await store.close()


def filled(text: str, ids: dict[str, str]) -> str:
    for name, ident in ids.items():
        text = text.replace("{" + name + "}", ident)
    return text


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{c.method}-{c.status}-{c.says[:30]}" for n, c in enumerate(CASES)])
async def test_refused_and_nothing_changed(full: Site, case: Case) -> None:
    body = b"" if case.body is None else filled(json.dumps(case.body), full.ids).encode()
    answer = await full.api.request(case.method, filled(case.url, full.ids), body=body)
    assert answer.status == case.status, answer.body
    error = answer.json()["NeutronError"]
    assert filled(case.says, full.ids) in error["message"]
    if case.kind:
        assert error["type"] == case.kind
    assert await site.dump(full.store) == full.rows


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
async def test_openstacksdk(endpoint: str, store: Store) -> None:
    ids: dict[str, str] = {}

    def make(cloud: Connection) -> None:
        ports = []
        for name in ("parent", "red", "blue"):
            net = cloud.network.create_network(name=name)
            ports.append(cloud.network.create_port(network_id=net.id, name=name))
        parent, red, blue = ports
        trunk = cloud.network.create_trunk(
            name="t",
            port_id=parent.id,
            sub_ports=[{"port_id": red.id, "segmentation_type": "vlan", "segmentation_id": 201}],
        )
        assert (trunk.status, trunk.is_admin_state_up) == ("DOWN", True)
        assert cloud.network.find_trunk("t", ignore_missing=False).id == trunk.id
        assert cloud.network.find_trunk("nobody", ignore_missing=True) is None
        trunk = cloud.network.add_trunk_subports(trunk, [{"port_id": blue.id}])
        assert [s["segmentation_id"] for s in trunk.sub_ports] == [201, 202]
        assert [s["port_id"] for s in cloud.network.get_trunk_subports(trunk)["sub_ports"]] == [red.id, blue.id]
        assert cloud.network.update_trunk(trunk, description="d").description == "d"
        assert [t.name for t in cloud.network.trunks(port_id=parent.id)] == ["t"]
        cloud.network.set_tags(trunk, ["x"])
        for alias in ("trunk", "trunk-details"):
            assert cloud.network.find_extension(alias, ignore_missing=False)
        cloud.network.update_port(
            parent, binding_host_id="h", binding_vnic_type="baremetal", binding_profile=site.profile(site.link())
        )
        ids.update(trunk=trunk.id, parent=parent.id, red=red.id, blue=blue.id)

    def unmake(cloud: Connection) -> None:
        trunk = cloud.network.get_trunk(ids["trunk"])
        assert (trunk.status, trunk.tags) == ("ACTIVE", ["x"])
        assert [s["port_id"] for s in cloud.network.get_port(ids["parent"]).trunk_details["sub_ports"]] == [
            ids["red"],
            ids["blue"],
        ]
        with pytest.raises(exceptions.ConflictException, match="subport"):
            cloud.network.delete_port(ids["red"])
        trunk = cloud.network.delete_trunk_subports(trunk, [{"port_id": ids["red"]}])
        assert [s["port_id"] for s in trunk.sub_ports] == [ids["blue"]]
        cloud.network.delete_port(ids["red"])
        cloud.network.delete_trunk(trunk)
        assert list(cloud.network.trunks()) == []

    await drive(endpoint, make)
    await store.write(site.converge)
    await drive(endpoint, unmake)
