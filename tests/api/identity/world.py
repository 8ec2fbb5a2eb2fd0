"""Two projects side by side on one small site, each with one of everything, and the three APIs in front of them.

Whatever could tell of a project's things (names, descriptions, tags, `extra`) has the project's mark in it: `crimson`
for project red, `azure` for project blue. So an answer to red that says `azure` somewhere is a leak.
"""

from __future__ import annotations

import atexit
import copy
import functools
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from fastapi import FastAPI

from ironlane.api.baremetal import app as baremetal
from ironlane.api.fabric import app as fabric
from ironlane.api.identity.basic import BasicAuthentication
from ironlane.api.identity.htpasswd import PasswordFile
from ironlane.api.networking import app as networking
from ironlane.store import tables
from ironlane.store.database import Store, T, Transaction, Tx
from tests.api.asgi import Answer, Client
from tests.api.identity.passwords import basic, hashed
from tests.api.networking.site import dump, seed

RED, BLUE = "project-red", "project-blue"
MARKS = {RED: "crimson", BLUE: "azure"}
USERS = {
    "root": "",
    "red": f":{RED}:member",
    "red-reader": f":{RED}:reader",
    "red-nobody": f":{RED}:auditor",
    "blue": f":{BLUE}:member",
    "blue-reader": f":{BLUE}:reader",
    "nova": ":services:service",
    "auditor": "::reader",
}
VERSION = "1.109"
NOWHERE = "00000000-0000-4000-8000-00000000dead"
"""The id of nothing."""

CHASSIS = "00000000-0000-4000-8000-0000000000c5"
"""A chassis, which is no project's."""

Ids = dict[str, str]
"""What a project has, by what it is: `network`, `port`, `node`, … Those of `path_values` and of bodies."""


class World:
    """The site as one test sees it. Nothing that is asked through it changes anything, except within `in_earnest`."""

    def __init__(self, store: Store, ids: dict[str, Ids]) -> None:
        self.store = store
        self.ids = ids
        self._asked = Rehearsing(store)
        self._fabric: FastAPI | None = None

    def app(self, api: str) -> FastAPI:
        if api == "fabric":
            self._fabric = self._fabric or fabric.create(self._asked, identity=identity())
            return self._fabric
        app = _applications()[api]
        app.state.store = self._asked
        return app

    @contextmanager
    def in_earnest(self) -> Iterator[None]:
        rehearsing, self._asked = self._asked, self.store
        yield
        self._asked = rehearsing

    async def ask(self, user: str, api: str, method: str, url: str, body: object = None) -> Answer:
        """A request by a user (whose password is its name)."""
        headers = {**basic(user, user), "X-OpenStack-Ironic-API-Version": VERSION}
        return await Client(self.app(api)).request(method, url, json_body=body, headers=headers)

    async def made(self, api: str, url: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.ask("root", api, "POST", url, body)
        assert answer.status in {201, 204}, answer.body
        return dict(next(iter(answer.json().values())) if api == "networking" else answer.json()) if answer.body else {}

    async def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        return await dump(self.store)


class Rehearsing(Store):
    """A store on which every change is taken back once it has succeeded."""

    def __init__(self, store: Store) -> None:
        self.__dict__.update(store.__dict__)

    async def write(self, transaction: Transaction[T]) -> T:
        plain = copy.copy(self)
        plain.__class__ = Store  # for whom `write` is what it was
        return await plain.rehearse(transaction)


@functools.cache
def identity() -> BasicAuthentication:
    """The users of all tests."""
    with tempfile.NamedTemporaryFile("w", suffix=".htpasswd", delete=False) as file:
        file.writelines(f"{name}:{hashed(name)}{rest}\n" for name, rest in USERS.items())
    atexit.register(os.unlink, file.name)
    return BasicAuthentication(PasswordFile(Path(file.name)))


@functools.cache
def _applications() -> dict[str, FastAPI]:
    """Made once, which takes the most of a test's time otherwise; `World.app` gives them their store."""
    nothing = cast("Store", None)
    return {
        "networking": networking.create(nothing, identity=identity()),
        "baremetal": baremetal.create(nothing, identity=identity()),
    }


async def build(store: Store) -> dict[str, Ids]:
    """Furnish an empty database. The ids are by project."""
    await store.write(_site)
    ids: dict[str, Ids] = {}
    world = World(store, ids)
    with world.in_earnest():
        for number, project in enumerate((RED, BLUE), start=1):
            ids[project] = await _furnish(world, project, number)
    return ids


def _site(tx: Tx) -> None:
    seed(tx)
    driver = {"name": "fake-hardware", "required": [], "properties": {}}
    # Alive for as long as the tests may take: nobody sends a heartbeat for it.
    row = {"hostname": "c1", "heartbeat_at": tx.now + timedelta(days=1), "created_at": tx.now, "drivers": [driver]}
    tx.execute(sa.insert(tables.conductors).values(**row))
    tx.execute(sa.insert(tables.chassis).values(id=CHASSIS, created_at=tx.now))


async def _furnish(world: World, project: str, number: int) -> Ids:
    mark = MARKS[project]
    told = {"name": f"{mark}-name", "description": f"{mark}-description", "tags": [f"{mark}-tag"]}
    ids: Ids = {"project": project, "tag": f"{mark}-tag"}

    async def networking_thing(noun: str, **attributes: Any) -> str:
        body = {noun: {**told, "project_id": project, **attributes}}
        return str((await world.made("networking", f"/v2.0/{noun}s", body))["id"])

    ids["network"] = await networking_thing("network")
    ids["network2"] = await networking_thing("network")
    net = f"10.{number}.0"
    ids["subnet"] = await networking_thing("subnet", network_id=ids["network"], cidr=f"{net}.0/24", ip_version=4)
    for name, network in (("port", "network"), ("subport", "network2"), ("vif", "network"), ("free_port", "network")):
        ids[name] = await networking_thing("port", network_id=ids[network], device_id=f"{mark}-device")
    third = await networking_thing("network")
    ids["free_subport"] = await networking_thing("port", network_id=third)
    unused = {"port": {"device_id": ""}}
    real = await world.ask("root", "networking", "PUT", f"/v2.0/ports/{ids['subport']}", unused)
    assert real.status == 200, real.body
    ids["trunk"] = await networking_thing(
        "trunk", port_id=ids["port"], sub_ports=[{"port_id": ids["subport"], "segmentation_type": "inherit"}]
    )
    policy = {"object_type": "network", "object_id": ids["network2"], "target_tenant": "a third project"}
    sharing = {"rbac_policy": {**policy, "action": "access_as_shared", "project_id": project}}
    ids["rbac_policy"] = (await world.made("networking", "/v2.0/rbac-policies", sharing))["id"]
    quota = {"quota": {"port": 200 + number}}
    assert (await world.ask("root", "networking", "PUT", f"/v2.0/quotas/{project}", quota)).status == 200
    await _nodes(world, project, ids, number)
    return ids


async def _nodes(world: World, project: str, ids: Ids, number: int) -> None:
    """A node that the project owns, with a VIF, and one that it was let."""
    mark = MARKS[project]
    told = {"driver": "fake-hardware", "description": f"{mark}-description", "resource_class": mark}
    told |= {"extra": {"mark": mark}}
    secret = {"driver_info": {"deploy_ramdisk": f"http://{mark}-image"}, "instance_info": {"image_source": mark}}
    owned = await world.made("baremetal", "/v1/nodes", {**told, **secret, "name": f"{mark}-node", "owner": project})
    let = await world.made("baremetal", "/v1/nodes", {**told, **secret, "name": f"{mark}-let", "lessee": project})
    ids |= {"node": owned["uuid"], "let_node": let["uuid"], "node_name": owned["name"]}
    group = {"node_uuid": owned["uuid"], "name": f"{mark}-group", "extra": {"mark": mark}}
    ids["portgroup"] = (await world.made("baremetal", "/v1/portgroups", group))["uuid"]
    for nic, name in enumerate(("nic", "free_nic"), start=1):
        link = {"switch_id": "00:11:22:33:44:01", "port_id": f"Ethernet1/{number * 2 + nic}"}
        body = {
            "node_uuid": owned["uuid"],
            "address": f"52:54:00:00:0{number}:0{nic}",
            "name": f"{mark}-{name.replace('_', '-')}",
            "local_link_connection": link,
            "extra": {"mark": mark},
        }
        ids[name] = (await world.made("baremetal", "/v1/ports", body))["uuid"]
    vif = {"id": ids["vif"], "port_uuid": ids["nic"]}
    await world.made("baremetal", f"/v1/nodes/{owned['uuid']}/vifs", vif)
    traits = {"traits": ["CUSTOM_MARK", f"CUSTOM_{mark.upper()}"]}
    for node in (owned, let):
        assert (await world.ask("root", "baremetal", "PUT", f"/v1/nodes/{node['uuid']}/traits", traits)).status == 204
    ids["trait"] = f"CUSTOM_{mark.upper()}"
    volume = {"node_uuid": owned["uuid"], "extra": {"mark": mark}}
    connector = {**volume, "type": "iqn", "connector_id": f"iqn.{mark}"}
    ids["connector"] = (await world.made("baremetal", "/v1/volume/connectors", connector))["uuid"]
    target = {**volume, "volume_type": "iscsi", "boot_index": 0, "volume_id": mark}
    ids["target"] = (await world.made("baremetal", "/v1/volume/targets", target))["uuid"]
    for node in (let, owned):
        wish = {"name": f"{mark}-{node['name']}", "node": node["uuid"], "resource_class": mark, "owner": project}
        ids["allocation"] = (await world.made("baremetal", "/v1/allocations", wish))["uuid"]
    await world.store.write(lambda tx: _what_happened(tx, ids, mark))


def _what_happened(tx: Tx, ids: Ids, mark: str) -> None:
    """What the loops would have recorded of the nodes."""
    for node in ("node", "let_node"):
        row = {"node_id": ids[node], "inventory": {"mark": mark}, "received_at": tx.now, "plugin_data": {}}
        tx.execute(sa.insert(tables.inventories).values(**row))
    ids["entry"] = str(uuid.uuid4())
    entry = {"id": ids["entry"], "node_id": ids["node"], "event": f"{mark} happened", "created_at": tx.now}
    tx.execute(sa.insert(tables.node_history).values(**entry, severity="INFO", event_type="provisioning"))


def made_up(name: str) -> str:
    """What `name` could be and is not."""
    return {"trait": "CUSTOM_NONE", "tag": "none", "node_name": "no-such-node", "project": "no-such-project"}.get(
        name, NOWHERE if name not in {"let_node", "free_port"} else str(uuid.UUID(int=7))
    )
