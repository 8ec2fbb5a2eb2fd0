"""Whom an OpenConfig switch hears by LLDP: a reply as switches send it, and frames on the wire of the lab's switch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironlane.lab.frames import Lldp, mac_bytes
from ironlane.lab.netconf import NetconfServer
from ironlane.lab.switch import PortForwarding, VirtualSwitch
from ironlane.lab.wire import Interface, connect
from ironlane.model.errors import Permanent
from ironlane.model.fabric import SwitchId
from ironlane.model.lldp import Neighbour
from ironlane.switches.base import Access, NeighbourAware
from ironlane.switches.netconf import parse_xml
from ironlane.switches.openconfig import OpenConfigDriver, read

GOLDEN = Path(__file__).parent / "golden" / "openconfig" / "neighbours.xml"
HOST, NIC = "52:54:00:00:00:01", "52:54:00:00:00:02"


def test_a_reply_becomes_exactly_these_neighbours() -> None:
    reply = parse_xml(GOLDEN.read_bytes())
    assert read.neighbours(reply, ["Ethernet1", "Ethernet2", "Ethernet3", "Ethernet5"]) == {
        "Ethernet1": [Neighbour(HOST, NIC, "eth1", "server-1")],
        "Ethernet2": [Neighbour("52:54:00:00:00:0a", "eno1"), Neighbour("52:54:00:00:00:0b", port="7")],
    }


async def test_the_lab_tells_what_arrives_on_its_ports() -> None:
    switch = VirtualSwitch("leaf-1", "02:5a:00:00:00:01", ["Ethernet1", "Ethernet2"])
    switch.load({"Ethernet1": PortForwarding(enabled=True), "Ethernet2": PortForwarding(enabled=True)})
    server = Interface("server/eth0", lambda _interface, _frame: None)
    connect(server, switch.interface("Ethernet1"))
    lab = NetconfServer(switch.ports, lambda _config: None, neighbours=lambda: switch.neighbours)
    await lab.start()
    access = Access(SwitchId("leaf-1"), "127.0.0.1", lab.port, "admin", "admin", {"host_key": lab.host_key})
    driver = OpenConfigDriver(access)
    try:
        assert isinstance(driver, NeighbourAware)
        assert await driver.neighbours(["Ethernet1", "Ethernet2"]) == {}
        heard = Lldp(mac_bytes(HOST), NIC, "server-1", port_mac=mac_bytes(NIC))
        server.send(heard.frame(mac_bytes(NIC)))
        expected = {"Ethernet1": [Neighbour(HOST, NIC, system_name="server-1")]}
        assert await driver.neighbours(["Ethernet1", "Ethernet2"]) == expected
        assert await driver.neighbours(["Ethernet2"]) == {}
        assert set(await driver.observe(["Ethernet1"])) == {"Ethernet1"}, "the session goes on"
        server.send(Lldp(mac_bytes(HOST), NIC, ttl=0, port_mac=mac_bytes(NIC)).frame(mac_bytes(NIC)))
        assert await driver.neighbours(["Ethernet1"]) == {}, "it said goodbye"
        server.send(heard.frame(mac_bytes(NIC)))
        assert await driver.neighbours(["Ethernet1"]) == expected
        server.up = False
        assert await driver.neighbours(["Ethernet1"]) == {}, "the link went down"
        lab.faults.refuse.add("get")
        with pytest.raises(Permanent):
            await driver.neighbours(["Ethernet1"])
    finally:
        await driver.close()
        await lab.stop()
