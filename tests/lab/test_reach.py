from __future__ import annotations

from ironlane.lab.forwarding import PortForwarding
from ironlane.lab.rack import VirtualRack, standard_racks

from .wiring import access

PROVISION = 100


def owners(vlan: int) -> str | None:
    return {2000: "red", 3000: "blue"}.get(vlan)


def rack() -> VirtualRack:
    return VirtualRack(standard_racks(1, 2), netconf=False, redfish=False)


def test_nobody_reaches_anybody_while_the_power_is_off() -> None:
    reach = rack().reach()
    assert reach.pairs() == frozenset()
    assert set(reach.endpoints) == {"server-1-1", "server-1-2"}


def test_raw_nics_are_probed_one_by_one() -> None:
    built = rack()
    for switch in built.switches.values():
        switch.load({"Ethernet1": access(10), "Ethernet2": access(20)})
    built.switches["leaf-1b"].load({"Ethernet1": access(10), "Ethernet2": access(10)})
    for server in built.servers.values():
        for nic in server.nics.values():
            nic.interface.up = True
    reach = built.reach()
    assert reach.nics["server-1-1/eth0"] == {"server-1-1/eth1", "server-1-2/eth1"}
    assert reach.nics["server-1-2/eth0"] == frozenset()
    assert reach.pairs() == {("server-1-1", "server-1-2"), ("server-1-2", "server-1-1")}
    assert not any(nic.taps for server in built.servers.values() for nic in server.nics.values())


def test_a_server_on_both_sides_is_found_across_switches() -> None:
    built = rack()
    watch = built.watch([PROVISION], owners)
    first, second = built.switches.values()
    first.load({"Ethernet1": access(PROVISION)})
    second.load({"Ethernet2": access(2000)})
    assert watch.violations == []
    second.load({"Ethernet1": PortForwarding(enabled=True, tagged=frozenset({2000}))})
    (found,) = watch.violations
    assert (found.rule, found.switch, found.commit) == ("I1", "leaf-1b", 3)
    assert found.text == "server-1-1 is on provider VLAN [100] and on VLAN 2000 of red"
    watch.detach(built.switches.values())
    second.load({"Ethernet1": access(2000)})
    assert watch.commits == 3


def test_shut_ports_carry_nothing() -> None:
    built = rack()
    watch = built.watch([PROVISION], owners)
    first, second = built.switches.values()
    first.load({"Ethernet1": access(PROVISION)})
    second.load({"Ethernet1": PortForwarding(enabled=False, pvid=2000)})
    assert watch.violations == []


def test_two_tenants_on_one_server_or_one_vlan_are_found() -> None:
    built = rack()
    owner = {2000: "red", 3000: "blue"}
    watch = built.watch([PROVISION], owner.get)
    first, second = built.switches.values()
    first.load({"Ethernet1": access(2000)})
    second.load({"Ethernet1": access(3000)})
    assert [v.text for v in watch.violations] == ["server-1-1 is with two tenants: VLAN 2000 of red, VLAN 3000 of blue"]
    watch.violations.clear()
    owner[2000] = "blue"
    second.load({"Ethernet2": access(2000)})
    assert [(v.rule, v.text) for v in watch.violations] == [("I3", "VLAN 2000 is carried for tenants blue, red")]
    first.load({})
    watch.violations.clear()
    first.load({"Ethernet1": access(2000)})
    assert watch.violations == []
