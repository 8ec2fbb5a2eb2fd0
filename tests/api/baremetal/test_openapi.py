"""The OpenAPI document tells what is so: requests made up from it are served, and the answers are as it says."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from ironlane.api.baremetal.routes import ROUTES
from ironlane.store import allocations, baremetal_ports, chassis, history, nodes, portgroups, ports, volumes
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.tables import inventories, metadata
from tests.api.baremetal.conftest import application, build_site, network_id
from tests.api.described import Described, Known

NEWEST = {"X-OpenStack-Ironic-API-Version": "latest"}


@pytest.fixture
def quiet() -> Iterator[None]:
    """Without a line in the log for each of many requests."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.reset_defaults()


@pytest.fixture
def open_database(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/api.sqlite")
    asyncio.run(opened.write(lambda tx: metadata.create_all(tx.connection)))
    yield opened
    asyncio.run(opened.close())


def furnish(tx: Tx) -> Known:
    """Nodes in several states, with something of everything that a node may have."""
    for table in reversed(metadata.sorted_tables):
        tx.execute(sa.delete(table))
    build_site(tx)
    rack = chassis.create(tx, {"description": "rack 1"})
    common = {"driver": "fake-hardware", "resource_class": "bm", "power_state": "power off", "traits": ["CUSTOM_X"]}
    made = [
        nodes.create(tx, {**common, "name": f"n{number}", "provision_state": state, "shard": "a"})
        for number, state in enumerate(("available", "active", "clean wait", "manageable", "inspect wait"))
    ]
    free, active, *_ = made
    nodes.update(tx, active.id, {"chassis_uuid": rack.id, "parent_node": free.id})
    group = portgroups.create(tx, {"node_id": free.id, "name": "bond0"})
    link = {"switch_id": "00:11:22:33:44:01", "port_id": "Ethernet1"}
    nics = [
        baremetal_ports.create(
            tx, {"node_id": node.id, "address": f"52:54:00:00:00:0{n}", "local_link_connection": link}
        )
        for n, node in enumerate(made)
    ]
    wish = allocations.create(tx, {"resource_class": "bm"})
    met = allocations.create(tx, {"resource_class": "bm", "name": "mine"})
    allocations.meet(tx, met.id)
    history.record(tx, active.id, "something happened")
    (event,) = history.of_node(tx, active.id)
    connector = volumes.CONNECTORS.create(tx, {"node_id": free.id, "type": "iqn", "connector_id": "iqn.x"})
    target = volumes.TARGETS.create(
        tx, {"node_id": free.id, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v", "properties": {"a": 1}}
    )
    tx.execute(sa.insert(inventories).values(node_id=active.id, inventory={"a": 1}, plugin_data={}, received_at=tx.now))
    vif = ports.create(tx, ports.NewPort(network_id=network_id("net1"))).id
    named = [*(node.id for node in made), "n1"]
    return {
        "/v1/nodes/{node}": named,
        "/v1/heartbeat/{node}": named,
        "/v1/nodes/{node}/history/{entry}": [event.id],
        "/v1/nodes/{node}/vifs/{vif}": [vif],
        "/v1/nodes/{node}/traits/{trait}": ["CUSTOM_X", "CUSTOM_Y"],
        "/v1/ports/{port}": [nic.id for nic in nics],
        "/v1/portgroups/{portgroup}": [group.id, "bond0"],
        "/v1/chassis/{chassis}": [rack.id],
        "/v1/allocations/{allocation}": [wish.id, "mine"],
        "/v1/volume/connectors/{ident}": [connector.id],
        "/v1/volume/targets/{ident}": [target.id],
        "/v1/conductors/{hostname}": ["c1"],
        "/v1/drivers/{driver}": ["fake-hardware", "ipmi"],
        "uuid": [*(node.id for node in made), vif, group.id, rack.id, met.id, str(uuid.UUID(int=0))],
        "mac-address": ["52:54:00:00:00:01", "52-54-00-00-00-77", "ff:ff:ff:ff:ff:ff", "zz"],
    }


@pytest.mark.usefixtures("quiet")
def test_requests_that_the_document_allows(open_database: Store) -> None:
    described = Described(application(open_database), lambda: open_database.write(furnish), headers=NEWEST)
    assert "\n\n".join(described.faults()) == ""


def test_every_route_is_described(open_database: Store) -> None:
    document: dict[str, Any] = application(open_database).openapi()
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        assert "default" in operation["responses"], route.path
        assert operation["summary"]
        if route.method in {"POST", "PATCH"} and "vendor_passthru" not in route.path and "vmedia" not in route.path:
            assert operation["requestBody"]["content"]["application/json"]["schema"], route.path
