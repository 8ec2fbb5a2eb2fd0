"""Whom a gNMI switch hears by LLDP: subtrees and single leaves, and frames on the wire of the lab's switch."""

from __future__ import annotations

import json

import grpc
import pytest

from ironlane.lab.frames import Lldp, mac_bytes
from ironlane.lab.switch import PortForwarding, VirtualSwitch
from ironlane.lab.wire import Interface, connect
from ironlane.model.errors import Permanent
from ironlane.model.lldp import Neighbour
from ironlane.protobuf import gnmi_pb2 as pb
from ironlane.switches.base import NeighbourAware
from ironlane.switches.gnmi import read
from tests.switches.gnmi_bench import PORTS, Bench

HOST, NIC = "52:54:00:00:00:01", "52:54:00:00:00:02"
STATE = {"chassis-id": "5254.0000.0001", "port-id": NIC, "port-description": "eth1", "system-name": "server-1"}
EXPECTED = {"Ethernet1": [Neighbour(HOST, NIC, "eth1", "server-1")]}


def test_a_subtree_is_understood() -> None:
    entry = {"id": "1", "state": {**STATE, "id": "1", "age": "17"}}
    other = {"id": "2", "state": {"chassis-id": "52:54:00:00:00:0b"}}
    interfaces = [
        {"name": "Ethernet1", "neighbors": {"neighbor": [entry]}},
        {"name": "Ethernet2", "neighbors": {"neighbor": [other, {"id": "3"}]}},
        {"name": "Ethernet3"},
        {"name": "Ethernet9", "neighbors": {"neighbor": [entry]}},
    ]
    answer = pb.GetResponse()
    update = answer.notification.add().update.add()
    update.path.elem.extend([pb.PathElem(name="lldp"), pb.PathElem(name="interfaces")])
    update.val.json_ietf_val = json.dumps({"openconfig-lldp:interface": interfaces}).encode()
    assert read.neighbours(answer, PORTS) == {**EXPECTED, "Ethernet2": [Neighbour("52:54:00:00:00:0b")]}


def test_single_leaves_are_understood() -> None:
    answer = pb.GetResponse()
    notification = answer.notification.add()
    notification.prefix.elem.extend([pb.PathElem(name="lldp"), pb.PathElem(name="interfaces")])
    for leaf, value in STATE.items():
        update = notification.update.add()
        update.path.elem.extend(
            [
                pb.PathElem(name="interface", key={"name": "Ethernet1"}),
                pb.PathElem(name="neighbors"),
                pb.PathElem(name="neighbor", key={"id": "1"}),
                pb.PathElem(name="state"),
                pb.PathElem(name=leaf),
            ]
        )
        update.val.string_val = value
    assert read.neighbours(answer, PORTS) == EXPECTED


async def test_the_lab_tells_what_arrives_on_its_ports() -> None:
    switch = VirtualSwitch("leaf-1", "02:5a:00:00:00:01", PORTS)
    switch.load({"Ethernet1": PortForwarding(enabled=True)})
    server = Interface("server/eth0", lambda _interface, _frame: None)
    connect(server, switch.interface("Ethernet1"))
    bench = await Bench(server_options={"neighbours": lambda: switch.neighbours}).start()
    try:
        assert isinstance(bench.driver, NeighbourAware)
        assert await bench.driver.neighbours(PORTS) == {}
        server.send(Lldp(mac_bytes(HOST), NIC, "server-1", port_mac=mac_bytes(NIC)).frame(mac_bytes(NIC)))
        assert await bench.driver.neighbours(PORTS) == {"Ethernet1": [Neighbour(HOST, NIC, system_name="server-1")]}
        assert set(await bench.driver.observe(PORTS)) == set(PORTS), "the session goes on"
        bench.server.faults.refuse["get"] = grpc.StatusCode.NOT_FOUND
        assert await bench.driver.neighbours(PORTS) == {}, "of some switches, nothing is not found"
        bench.server.faults.refuse["get"] = grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(Permanent):
            await bench.driver.neighbours(PORTS)
    finally:
        await bench.stop()


async def test_a_switch_without_the_model_says_so() -> None:
    models = ("http://x?module=openconfig-interfaces&revision=1", "http://x?module=openconfig-vlan&revision=1")
    bench = await Bench(server_options={"models": models}).start()
    try:
        with pytest.raises(Permanent, match="without openconfig-lldp"):
            await bench.driver.neighbours(PORTS)
    finally:
        await bench.stop()
