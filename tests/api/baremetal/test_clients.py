"""The real clients, unmodified: the `openstack` command line and openstacksdk."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from ironlane.api.baremetal import app
from ironlane.store import tables
from ironlane.store.database import Store
from tests.api.baremetal.conftest import Baremetal, build_site

pytestmark = pytest.mark.clients

BIN = Path(sys.executable).parent

SDK = """
import json, sys, warnings
warnings.simplefilter("ignore")
import openstack
cloud = openstack.connect(auth_type="none", endpoint=sys.argv[1], load_yaml_config=False)
bm, vif = cloud.baremetal, sys.argv[2]
link = {"switch_id": "00:11:22:33:44:01", "port_id": "Ethernet1"}
node = bm.create_node(name="sdk-1", driver="fake-hardware", resource_class="bm", properties={"cpus": 4})
bond = bm.create_port_group(node_id=node.id, name="sdk-bond", mode="802.3ad", properties={"priority": 2})
port = bm.create_port(
    node_id=node.id, address="52:54:00:00:00:01", local_link_connection=link, port_group_id=bond.id
)
node = bm.update_node(node, instance_info={"image_source": "x"}, owner="me")
bm.set_node_provision_state(node, "manage")
bm.attach_vif_to_node(node, vif)
told = {
    "version": bm.get_node(node.id).provision_state,
    "owner": node.owner,
    "vifs": bm.list_node_vifs(node),
    "nodes": [n.name for n in bm.nodes(details=True, resource_class="bm")],
    "ports": [p.internal_info.get("tenant_vif_port_id") for p in bm.ports(details=True, node=node.id)],
    "groups": [g.internal_info["tenant_vif_port_id"] for g in bm.port_groups(details=True, node=node.id)],
    "connectors": list(bm.volume_connectors(details=True, node=node.id)),
    "drivers": sorted(d.name for d in bm.drivers()),
    "conductors": [c.hostname for c in bm.conductors()],
}
bm.detach_vif_from_node(node, vif)
try:
    bm.validate_node(node, required=("deploy", "power", "boot"))
    bm.set_node_provision_state(node, "provide")
except openstack.exceptions.BadRequestException as error:
    told["error"] = str(error)
bm.set_node_maintenance(node, reason="test")
bm.add_node_trait(node, "CUSTOM_X")
told["traits"] = bm.get_node(node.id).traits
bm.delete_node(node)
told["gone"] = bm.find_node("sdk-1") is None
print(json.dumps(told))
"""


@pytest.fixture
async def address(store: Store) -> AsyncIterator[str]:
    """The API below `/baremetal` on a port of 127.0.0.1."""
    await store.write(build_site)
    mounted = Starlette(routes=[Mount("/baremetal", app.create(store))])
    server = uvicorn.Server(uvicorn.Config(mounted, "127.0.0.1", 0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/baremetal"
    server.should_exit = True
    await serving


async def run(home: Path, address: str, *command: str, lines: str = "") -> tuple[int, str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "OS_AUTH_TYPE": "none", "OS_ENDPOINT": address}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate(lines.encode())
    return process.returncode or 0, out.decode()


def printed(out: str) -> list[Any]:
    """The JSON documents, and the lines between them, that a session printed."""
    found: list[Any] = []
    out = out.strip()
    while out:
        if out[0] in "[{":
            document, end = json.JSONDecoder().raw_decode(out)
            found.append(document)
        else:
            line = out.partition("\n")[0]
            end = len(line)
            found.append(line)
        out = out[end:].strip()
    return found


async def test_openstack_command_line(store: Store, address: str, tmp_path: Path) -> None:
    """From an unknown server to a deployed one; what the lifecycle loop would do is done by rows."""
    api = Baremetal(store)
    vif = await api.tenant_port("net1")

    async def openstack(*lines: str) -> list[Any]:
        """What the commands of one session printed: starting the client is what takes its time."""
        commands = "".join(f"baremetal {line}\n" for line in lines)
        _, out = await run(tmp_path, address, str(BIN / "openstack"), lines=commands)
        return printed(out)

    async def becomes(state: str) -> None:
        values = {"provision_state": state, "target_provision_state": None}
        await store.write(lambda tx: tx.execute(sa.update(tables.nodes).values(**values)) and None)

    made, port, shown = await openstack(
        "node create --driver ipmi --name n1 --driver-info ipmi_address=127.0.0.1 --driver-info ipmi_password=geheim"
        " --resource-class bm -f json",
        "port create 52:54:00:00:00:01 --node n1 --pxe-enabled true --physical-network physnet1"
        " --local-link-connection switch_id=00:11:22:33:44:01 --local-link-connection port_id=Ethernet1 -f json",
        "node set n1 --instance-info image_source=http://images.example/disk.img"
        f" --instance-info image_checksum={'ab' * 32}",
        "node manage n1",
        "node show n1 -c provision_state -f json",
    )
    assert made["driver_info"] == {"ipmi_address": "127.0.0.1", "ipmi_password": "******"}
    assert port["node_uuid"] == made["uuid"]
    assert shown == {"provision_state": "verifying"}
    await becomes("available")
    drive = tmp_path / "config-drive"
    drive.write_bytes(base64.b64encode(gzip.compress(b"an ISO image")))
    attached = f"node vif attach n1 {vif}"
    assert await openstack(attached, "node vif list n1 -f json", f"node deploy n1 --config-drive {drive}") == [
        [{"id": vif}]
    ]
    await becomes("active")
    refused, listed, validated, powered = await openstack(
        "node provide n1",
        "node list --long -f json",
        "node validate n1 -f json",
        "node power off n1",
        "node show n1 -c target_power_state -f json",
    )
    assert "can not be performed" in refused
    assert [(n["provision_state"], n["instance_info"]["configdrive"]) for n in listed] == [("active", "******")]
    assert {part["Interface"]: part["Result"] for part in validated}["network"] is True
    assert powered == {"target_power_state": "power off"}


async def test_openstack_command_line_inspects(store: Store, address: str, tmp_path: Path) -> None:
    api = Baremetal(store)
    node = await api.node()
    await api.nic(node, 1)
    await api.put_in(node, provision_state="manageable")

    async def openstack(*lines: str) -> list[Any]:
        commands = "".join(f"baremetal {line}\n" for line in lines)
        _, out = await run(tmp_path, address, str(BIN / "openstack"), lines=commands)
        return printed(out)

    assert await openstack("node inspect n1", "node show n1 -c provision_state -f json") == [
        {"provision_state": "inspecting"}
    ]
    await api.put_in(node, provision_state="inspect wait")
    inventory = {"interfaces": [{"name": "eth0", "mac_address": "52:54:00:00:00:01", "lldp": []}]}
    assert (await api.post("/v1/continue_inspection", {"inventory": inventory, "error": None})).status == 202
    saved = tmp_path / "inventory.json"
    told, *_ = await openstack("node inventory save n1", f"node inventory save n1 --file {saved}")
    assert told == json.loads(saved.read_text()) == {"inventory": inventory, "plugin_data": {"error": None}}


async def test_openstacksdk(store: Store, address: str, tmp_path: Path) -> None:
    vif = await Baremetal(store).tenant_port("net1")
    status, out = await run(tmp_path, address, sys.executable, "-c", SDK, address, vif)
    assert status == 0, out
    told = json.loads(out)
    assert told.pop("error").count('"provide" can not be performed on node "sdk-1"') == 1
    assert told == {
        "version": "verifying",
        "owner": "me",
        "vifs": [vif],
        "nodes": ["sdk-1"],
        "ports": [None],
        "groups": [vif],
        "connectors": [],
        "drivers": ["fake-hardware", "ipmi"],
        "conductors": ["c1"],
        "traits": ["CUSTOM_X"],
        "gone": True,
    }
