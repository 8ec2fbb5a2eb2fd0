"""Whatever a ramdisk sends: it is drawn from or refused in words, and nothing it sends breaks the node's record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironlane.model.errors import Permanent
from ironlane.model.node import Node
from ironlane.store import baremetal_ports, inspection, nodes
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.inspection import AddPorts, Sender
from ironlane.store.tables import metadata

MAC = "52:54:00:00:00:01"

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
)
junk = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
names = st.sampled_from(["eth0", "eth1", ""])
macs = st.sampled_from([MAC, "52:54:00:00:00:02", "52-54-00-00-00-02", "01:00:5e:00:00:01", "junk", ""])
interface = st.fixed_dictionaries(
    {"mac_address": macs},
    optional={"name": names | junk, "lldp": junk, "ipv4_address": junk, "client_id": junk},
)
inventories = st.fixed_dictionaries(
    {"interfaces": st.lists(interface, min_size=1, max_size=3)},
    optional={"cpu": junk, "memory": junk, "boot": junk | st.fixed_dictionaries({"pxe_interface": junk})},
)
rests = st.dictionaries(st.sampled_from(["lldp_raw", "parsed_lldp", "root_disk", "error", "x"]), junk)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Store, Node]]:
    with asyncio.Runner() as runner:
        path: Path = tmp_path_factory.mktemp("inspection")
        store = open_store(f"sqlite:///{path}/store.sqlite")

        def make(tx: Tx) -> Node:
            metadata.create_all(tx.connection)
            node = nodes.create(tx, {"name": "n1", "driver": "fake-hardware", "provision_state": "inspect wait"})
            baremetal_ports.create(tx, {"node_id": node.id, "address": MAC})
            return node

        node = runner.run(store.write(make))
        yield runner, store, node
        runner.run(store.close())


@given(inventories, rests, st.sampled_from(AddPorts))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_ramdisk_sends(
    database: tuple[asyncio.Runner, Store, Node], inventory: dict[str, Any], rest: dict[str, Any], add: AddPorts
) -> None:
    runner, store, node = database
    sent = json.loads(json.dumps([inventory, rest]).replace("\\u0000", "0"))  # the API takes no NUL

    def work(tx: Tx) -> None:
        inspection.record(tx, Sender([MAC]), *sent)
        found = nodes.by_id(tx, node.id)
        before = len(baremetal_ports.of_node(tx, node.id))
        if rest.get("error"):
            with pytest.raises(Permanent, match="the ramdisk reported"):
                inspection.draw(tx, found, add)
            return
        drawn = inspection.draw(tx, found, add)
        assert drawn is not None
        assert len(baremetal_ports.of_node(tx, node.id)) == before + len(drawn.added)
        properties = nodes.by_id(tx, node.id).properties
        assert properties.keys() <= {"cpus", "cpu_arch", "memory_mb", "local_gb"}
        assert len(json.dumps(dict(properties))) < 300
        again = inspection.draw(tx, nodes.by_id(tx, node.id), add)
        assert again is not None
        assert (again.added, again.filled) == ([], [])

    runner.run(store.write(work))
