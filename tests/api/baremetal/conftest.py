"""Fixtures: the Baremetal API on a small site, in this process."""

from __future__ import annotations

import asyncio
import functools
import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from ironlane.api.baremetal import app
from ironlane.store import ports, tables
from ironlane.store.database import Store, Tx, open_store
from tests.api.asgi import Answer, Client

SWITCHES = {"leaf-1": "00:11:22:33:44:01", "leaf-2": "00:11:22:33:44:02"}
DRIVERS = [
    {
        "name": "ipmi",
        "required": ["ipmi_address"],
        "properties": {"ipmi_address": "Where the BMC is.", "ipmi_password": "Its password."},
    },
    {"name": "fake-hardware", "required": [], "properties": {}},
]


def network_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def build_site(tx: Tx) -> None:
    """One live conductor, two switches of eight ports, a provisioning network and three tenant networks."""
    tx.execute(
        sa.insert(tables.conductors).values(
            hostname="c1",
            heartbeat_at=tx.now + timedelta(days=1),  # nobody sends one for it
            created_at=tx.now,
            cleaning_network="prov",
            provisioning_network="prov",
            drivers=DRIVERS,
        )
    )
    for name, vlan in (("prov", 100), ("net1", 201), ("net2", 202), ("net3", 203)):
        row = {"id": network_id(name), "name": name, "physical_network": "physnet1", "segmentation_id": vlan}
        row["side"] = "provider" if name == "prov" else "tenant"
        tx.execute(sa.insert(tables.networks).values(**row, created_at=tx.now))
    for name, mac in SWITCHES.items():
        row = {"id": name, "kind": "fake", "mac": mac, "physical_network": "physnet1"}
        tx.execute(sa.insert(tables.switches).values(**row, created_at=tx.now))
        for number in range(1, 9):
            tx.execute(sa.insert(tables.switch_ports).values(switch_id=name, name=f"Ethernet{number}"))


@functools.cache
def _application() -> FastAPI:
    return app.create(cast("Store", None))


def application(store: Store, **settings: Any) -> FastAPI:
    """The API on a store. With the usual settings it is made once and serves one test after the other, which saves
    most of their time."""
    made = app.create(store, **settings) if settings else _application()
    made.state.store = store
    return made


class Baremetal(Client):
    """The API at its newest version, and short ways to make things."""

    def __init__(self, store: Store, version: str = "1.109", **settings: Any) -> None:
        super().__init__(application(store, **settings))
        self.store = store
        self.version = version

    async def request(self, method: str, url: str, **more: Any) -> Answer:
        headers = {"X-OpenStack-Ironic-API-Version": self.version, **(more.pop("headers", None) or {})}
        return await super().request(method, url, headers=headers, **more)

    async def patch(self, url: str, *operations: dict[str, Any]) -> Answer:
        return await self.request("PATCH", url, json_body=list(operations))

    async def made(self, plural: str, **attributes: Any) -> dict[str, Any]:
        answer = await self.post(f"/v1/{plural}", attributes)
        assert answer.status == 201, answer.body
        return dict(answer.json())

    async def shown(self, url: str) -> Any:
        answer = await self.get(url)
        assert answer.status == 200, answer.body
        return answer.json()

    async def node(self, name: str = "n1", **more: Any) -> dict[str, Any]:
        return await self.made("nodes", **{"name": name, "driver": "fake-hardware", **more})

    async def nic(self, node: dict[str, Any], number: int, **more: Any) -> dict[str, Any]:
        """A NIC, cabled to port `number` of a switch: odd numbers to leaf-1, even ones to leaf-2."""
        switch = SWITCHES["leaf-1" if number % 2 else "leaf-2"]
        link = {"switch_id": switch, "port_id": f"Ethernet{number}"}
        address = f"52:54:00:00:00:{number:02x}"
        return await self.made(
            "ports", **{"node_uuid": node["uuid"], "address": address, "local_link_connection": link, **more}
        )

    async def put_in(self, node: dict[str, Any], **columns: Any) -> None:
        """Set columns of a node, as the lifecycle loop would."""

        def write(tx: Tx) -> None:
            tx.execute(sa.update(tables.nodes).where(tables.nodes.c.id == node["uuid"]).values(**columns))

        if columns:
            await self.store.write(write)

    async def tenant_port(self, network: str) -> str:
        new = ports.NewPort(network_id=network_id(network))
        return (await self.store.write(lambda tx: ports.create(tx, new))).id

    async def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of the tables that this API writes, to see that a refused request changed nothing."""
        written = (tables.nodes, tables.baremetal_ports, tables.portgroups, tables.ports, tables.attachments)
        return await self.store.read(lambda tx: {t.name: [tuple(row) for row in tx.all(sa.select(t))] for t in written})


def fault(answer: Answer) -> str:
    """The `faultstring` of an error answer, as python-ironicclient reads it."""
    inner = json.loads(answer.json()["error_message"])
    assert inner["faultcode"] == ("Client" if answer.status < 500 else "Server")
    assert inner["debuginfo"] is None
    return str(inner["faultstring"])


@pytest.fixture
async def api(store: Store) -> Baremetal:
    await store.write(build_site)
    return Baremetal(store)


@pytest.fixture
def loop_api(tmp_path: Path) -> Iterator[tuple[asyncio.AbstractEventLoop, Baremetal]]:
    """The API with a node, a NIC and a portgroup, and a loop to run it on: for property tests, which are not async."""
    loop = asyncio.new_event_loop()
    store = open_store(f"sqlite:///{tmp_path}/properties.sqlite")

    async def prepare() -> Baremetal:
        await store.write(lambda tx: tables.metadata.create_all(tx.connection))
        await store.write(build_site)
        api = Baremetal(store)
        node = await api.node()
        await api.nic(node, 1, name="eth0")
        await api.made("portgroups", node_uuid=node["uuid"], name="bond0")
        return api

    yield loop, loop.run_until_complete(prepare())
    loop.run_until_complete(store.close())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
