"""The lab's gNMI server, driven by pygnmi (which we did not write), and with the messages of the specification."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import text_format

from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.lab.gnmi import GnmiServer
from ironlane.protobuf import gnmi_pb2 as pb
from tests.switches.test_gnmi_lab import certificate

PORTS = ["Ethernet1", "Ethernet2"]
NAME = "leaf-1.example"
LOGIN = (("username", "admin"), ("password", "admin"))
VLAN_10 = "/network-instances/network-instance[name=default]/vlans/vlan[vlan-id=10]/config"
ON_PORT = "/interfaces/interface[name=Ethernet1]/ethernet/switched-vlan/config"


class Plane:
    """A forwarding plane that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, PortForwarding]] = []
        self.news = asyncio.Event()

    def __call__(self, forwarding: Mapping[str, PortForwarding]) -> None:
        self.told.append(forwarding)
        self.news.set()


@pytest.fixture
def plane() -> Plane:
    return Plane()


@pytest.fixture
async def server(plane: Plane) -> AsyncIterator[GnmiServer]:
    server = GnmiServer(PORTS, plane)
    await server.start()
    yield server
    await server.stop()


class Client:
    """Sends messages as they are."""

    def __init__(self, server: GnmiServer) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")

    async def __call__(self, rpc: str, request: Any, answer: Any) -> Any:
        method = self.channel.unary_unary(
            f"/gnmi.gNMI/{rpc}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return await method(request, timeout=20, metadata=LOGIN)

    async def get(self, text: str) -> pb.GetResponse:
        answer: pb.GetResponse = await self("Get", text_format.Parse(text, pb.GetRequest()), pb.GetResponse)
        return answer

    async def set(self, text: str) -> pb.SetResponse:
        answer: pb.SetResponse = await self("Set", text_format.Parse(text, pb.SetRequest()), pb.SetResponse)
        return answer

    async def refused(self, text: str) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.set(text)
        return caught.value.code(), caught.value.details() or ""


@pytest.fixture
async def client(server: GnmiServer) -> AsyncIterator[Client]:
    client = Client(server)
    yield client
    await client.channel.close()


def path(text: str) -> str:
    """``/interfaces/interface[name=x]`` in protobuf's text format."""
    elems = []
    for part in text.strip("/").split("/") if text.strip("/") else ():
        name, _, rest = part.partition("[")
        key, _, value = rest.rstrip("]").partition("=")
        elems.append(f'elem {{ name: "{name}" ' + (f'key {{ key: "{key}" value: "{value}" }}' if key else "") + "}")
    return "path { " + " ".join(elems) + " }"


def put(at: str, value: Any, operation: str = "update") -> str:
    return f"{operation} {{ {path(at)} val {{ json_ietf_val: '{json.dumps(value)}' }} }}\n"


def delete(at: str) -> str:
    return path(at).replace("path", "delete", 1) + "\n"


def access(vlan: Any) -> str:
    return put(VLAN_10, {"vlan-id": 10, "status": "ACTIVE"}) + put(
        ON_PORT, {"openconfig-vlan:interface-mode": "ACCESS", "openconfig-vlan:access-vlan": vlan}
    )


@pytest.fixture
async def secure(plane: Plane, tmp_path: Path) -> AsyncIterator[GnmiServer]:
    shown = certificate(NAME)
    (tmp_path / "certificate.pem").write_bytes(shown.chain)
    server = GnmiServer(PORTS, plane, certificate=shown)
    await server.start()
    yield server
    await server.stop()


async def test_pygnmi_makes_a_change_and_reads_it_back(secure: GnmiServer, plane: Plane, tmp_path: Path) -> None:
    aggregate = {
        "openconfig-interfaces:config": {"name": "Port-Channel7", "type": "iana-if-type:ieee8023adLag"},
        "openconfig-if-aggregate:aggregation": {
            "config": {"lag-type": "LACP", "min-links": 1},
            "openconfig-vlan:switched-vlan": {"config": {"interface-mode": "TRUNK", "trunk-vlans": [10]}},
        },
    }
    port = {
        "openconfig-interfaces:config": {"name": "Ethernet1", "enabled": True, "description": "by pygnmi"},
        "openconfig-if-ethernet:ethernet": {"config": {"openconfig-if-aggregate:aggregate-id": "Port-Channel7"}},
    }
    update = [
        (VLAN_10, {"openconfig-network-instance:vlan-id": 10}),
        ("/interfaces/interface[name=Port-Channel7]", aggregate),
        ("/interfaces/interface[name=Ethernet1]", port),
    ]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("capabilities", {}),
        ("set", {"update": update, "encoding": "json_ietf"}),
        ("get", {"path": ["/interfaces/interface[name=Ethernet1]"], "datatype": "config", "encoding": "json_ietf"}),
        ("set", {"delete": ["/interfaces/interface[name=Port-Channel7]"]}),
        (
            "set",
            {
                "update": [("/interfaces/interface[name=Ethernet9]/config", {"name": "Ethernet9"})],
                "encoding": "json_ietf",
            },
        ),
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        Path(__file__).parent / "pygnmi_client.py",
        str(secure.port),
        tmp_path / "certificate.pem",
        NAME,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await asyncio.wait_for(process.communicate(json.dumps(calls).encode()), 60)
    capabilities, changed, seen, dangling, unknown = json.loads(told.splitlines()[-1])
    assert capabilities["gnmi_version"] == "0.10.0"
    assert "openconfig-vlan" in [model["name"] for model in capabilities["supported_models"]]
    assert [result["op"] for result in changed["response"]] == ["UPDATE"] * 3
    (read_back,) = seen["notification"][0]["update"]
    assert read_back["val"]["openconfig-interfaces:config"]["description"] == "by pygnmi"
    assert "does not exist" in dangling["error"]
    assert "no such interface" in unknown["error"]
    lag = LagMembership(7, lacp=True)
    assert plane.told[-1]["Ethernet1"] == PortForwarding(True, None, frozenset({10}), lag)
    assert secure.commits == 1


async def test_deleted_then_replaced_then_updated(client: Client, plane: Plane) -> None:
    """The order of the fields in the message does not matter, the order of the specification does."""
    await client.set(access(10))
    config = "/interfaces/interface[name=Ethernet1]/config"
    await client.set(put(config, {"description": "old", "enabled": True}))
    answer = await client.set(
        put(f"{config}/description", "updated")
        + put(config, {"name": "Ethernet1", "description": "replaced"}, "replace")
        + delete("/interfaces/interface[name=Ethernet1]/ethernet")
    )
    assert [result.op for result in answer.response] == [1, 2, 3]
    seen = await client.get(path(config) + "type: CONFIG encoding: JSON_IETF")
    assert json.loads(seen.notification[0].update[0].val.json_ietf_val) == {
        "openconfig-interfaces:name": "Ethernet1",
        "openconfig-interfaces:description": "updated",
    }
    assert plane.told[-1]["Ethernet1"] == PortForwarding(True, 1)  # without the leaf: enabled, its default


async def test_wildcards_delete_and_select(client: Client) -> None:
    for name in PORTS:
        await client.set(put(f"/interfaces/interface[name={name}]/config/description", f"on {name}"))
    everywhere = "/interfaces/interface[name=*]/config/description"
    seen = await client.get(path(everywhere) + "encoding: JSON_IETF")
    found = [(update.path.elem[1].key["name"], update.val.json_ietf_val) for update in seen.notification[0].update]
    assert found == [("Ethernet1", b'"on Ethernet1"'), ("Ethernet2", b'"on Ethernet2"')]
    await client.set(delete(everywhere))
    seen = await client.get(path(everywhere) + "encoding: JSON_IETF")
    assert not seen.notification[0].update


async def test_union_replace_replaces_everything(client: Client, plane: Plane) -> None:
    await client.set(access(10))
    everything = {
        "openconfig-interfaces:interfaces": {"interface": [{"name": "Ethernet2", "config": {"name": "Ethernet2"}}]}
    }
    await client.set(put("/", everything, "union_replace"))
    assert plane.told[-1] == {"Ethernet1": PortForwarding(False, 1), "Ethernet2": PortForwarding(True, 1)}


@pytest.mark.parametrize(
    ("request_text", "code", "words"),
    [
        (access(10) + put(ON_PORT, {"access-vlan": 4095}), "INVALID_ARGUMENT", "invalid value '4095'"),
        (access("10"), "INVALID_ARGUMENT", "access-vlan: expected a number, not '10'"),
        (
            put(ON_PORT, {"interface-mode": "ACCESS", "access-vlan": 11}),
            "FAILED_PRECONDITION",
            "VLAN 11 is not defined",
        ),
        (put(ON_PORT, {"trunk-vlans": [1]}), "NOT_FOUND", "only applies to interface-mode TRUNK"),
        (put(ON_PORT + "/colour", "red"), "NOT_FOUND", "no element colour"),
        (
            put(ON_PORT, {"openconfig-interfaces:access-vlan": 1}),
            "NOT_FOUND",
            "no element openconfig-interfaces:access",
        ),
        (put("/interfaces/interface/config", {"enabled": True}), "INVALID_ARGUMENT", "needs all keys"),
        (put("/interfaces/interface[id=7]/config", {"enabled": True}), "INVALID_ARGUMENT", "no key id"),
        (put("/interfaces/interface[name=Ethernet1]", {"name": "other"}), "INVALID_ARGUMENT", "contradicts the key"),
        (
            put("/interfaces/interface[name=Ethernet7]/config", {"name": "Ethernet7"}),
            "INVALID_ARGUMENT",
            "no such interface",
        ),
        (
            put(
                "/interfaces/interface[name=Ethernet1]/ethernet/config", {"openconfig-if-aggregate:aggregate-id": "ae1"}
            ),
            "FAILED_PRECONDITION",
            "aggregate interface ae1 does not exist",
        ),
        (f"update {{ {path(ON_PORT)} val {{ json_ietf_val: '{{' }} }}", "INVALID_ARGUMENT", "malformed JSON"),
        (f"update {{ {path(ON_PORT)} val {{ proto_bytes: 'x' }} }}", "UNIMPLEMENTED", "proto_bytes"),
        ('prefix { origin: "cli" } ' + delete("/interfaces"), "UNIMPLEMENTED", "no origin 'cli'"),
    ],
)
async def test_what_a_switch_does_not_take(
    client: Client, server: GnmiServer, request_text: str, code: str, words: str
) -> None:
    first = put("/interfaces/interface[name=Ethernet2]/config/description", "all or nothing")
    refused, details = await client.refused(first + request_text)
    assert (refused.name, words in details) == (code, True), details
    seen = await client.get(path("/interfaces/interface[name=Ethernet2]/config/description") + "encoding: JSON_IETF")
    assert not seen.notification[0].update
    assert server.commits == 0


async def test_a_member_of_a_lag_has_no_vlans_of_its_own(client: Client) -> None:
    aggregate = put(
        "/interfaces/interface[name=ae1]/config", {"name": "ae1", "type": "iana-if-type:ieee8023adLag"}
    ) + put("/interfaces/interface[name=ae1]/aggregation/config", {"lag-type": "STATIC"})
    join = put("/interfaces/interface[name=Ethernet1]/ethernet/config", {"aggregate-id": "ae1"})
    _, details = await client.refused(access(10) + aggregate + join)
    assert "a member of a LAG has no VLANs of its own" in details
    await client.set(aggregate + join)


# --- the commit confirmed extension -----------------------------------------------------------------------------------


def extension(action: str, ident: str = "one") -> str:
    return f'extension {{ commit {{ id: "{ident}" {action} {{ }} }} }}'


WITH_TIMEOUT = 'extension { commit { id: "one" commit { rollback_duration { seconds: 1 } } } }'


async def test_a_commit_that_is_confirmed_stays(client: Client, plane: Plane, server: GnmiServer) -> None:
    await client.set(access(10) + extension("commit"))
    assert plane.told[-1]["Ethernet1"].pvid == 10
    for other in (access(1), access(1) + extension("commit", "two")):
        assert (await client.refused(other))[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert (await client.refused(extension("confirm", "two")))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert (await client.refused(access(1) + extension("confirm")))[0] is grpc.StatusCode.INVALID_ARGUMENT
    await client.set(extension("confirm"))
    assert (await client.refused(extension("confirm")))[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert (plane.told[-1]["Ethernet1"].pvid, server.commits) == (10, 1)


async def test_a_commit_that_is_cancelled_is_undone(client: Client, plane: Plane) -> None:
    await client.set(access(10) + extension("commit"))
    await client.set(extension("cancel"))
    assert plane.told[-1]["Ethernet1"].pvid == 1
    await client.set(access(10))


async def test_a_commit_that_nobody_confirms_is_undone_in_time(client: Client, plane: Plane) -> None:
    await client.set(access(10) + WITH_TIMEOUT)
    plane.news.clear()
    await asyncio.wait_for(plane.news.wait(), 30)
    assert plane.told[-1]["Ethernet1"].pvid == 1


async def test_a_commit_may_be_given_more_time(client: Client, server: GnmiServer, plane: Plane) -> None:
    await client.set(access(10) + WITH_TIMEOUT)
    more = 'extension { commit { id: "one" set_rollback_duration { rollback_duration { seconds: 600 } } } }'
    await client.set(more)
    assert (await client.refused(more.replace("600", "0")))[0] is grpc.StatusCode.INVALID_ARGUMENT
    plane.news.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(plane.news.wait(), 1.5)
    assert server.configuration.waiting == "one"


async def test_a_request_without_operations_is_no_error(client: Client, server: GnmiServer) -> None:
    await client.set("")
    assert server.commits == 0


async def test_strangers_are_turned_away(server: GnmiServer) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        method = channel.unary_unary(
            "/gnmi.gNMI/Capabilities",
            request_serializer=pb.CapabilityRequest.SerializeToString,
            response_deserializer=pb.CapabilityResponse.FromString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(pb.CapabilityRequest(), timeout=20, metadata=(("username", "admin"),))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
