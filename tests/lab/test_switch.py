from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.lab.frames import BROADCAST, Ethernet, Lacpdu, LacpInfo, Lldp
from ironlane.lab.switch import VirtualSwitch, pair
from ironlane.lab.wire import connect, disconnect

from .wiring import BondedHost, Host, access, fabric

LACP = LagMembership(7, lacp=True)
STATIC = LagMembership(7, lacp=False)


def single(config: Mapping[str, PortForwarding]) -> tuple[VirtualSwitch, dict[str, Host]]:
    """One switch with a host at each port."""
    switch = VirtualSwitch("leaf", "02:aa:00:00:00:01", list(config))
    hosts = {port: Host(port, n) for n, port in enumerate(config, 1)}
    for port, host in hosts.items():
        connect(host.interface, switch.interface(port))
    switch.load(config)
    for host in hosts.values():
        host.got.clear()
    return switch, hosts


def mlag(config: PortForwarding, mode: str = "802.3ad") -> tuple[VirtualSwitch, VirtualSwitch, BondedHost, Host]:
    """A pair with a bonded server at p0 of both, and a host in VLAN 10 at p1 of the first."""
    first, second = fabric(1)
    server, host = BondedHost("server", 1, mode=mode), Host("host", 9)
    connect(server.nics[0].interface, first.interface("p0"))
    connect(server.nics[1].interface, second.interface("p0"))
    connect(host.interface, first.interface("p1"))
    first.load({"p0": config, "p1": access(10)})
    second.load({"p0": config})
    server.up()
    return first, second, server, host


def test_vlans_are_filtered_and_tags_translated() -> None:
    trunk = PortForwarding(enabled=True, pvid=10, tagged=frozenset({20}))
    _, hosts = single({"a": access(10), "b": access(20), "t": trunk, "n": access(None)})
    hosts["a"].send(b"ten")
    hosts["b"].send(b"twenty")
    assert [Ethernet.parse(f).vlan for f in hosts["t"].got] == [None, 20]
    assert (hosts["a"].got, hosts["b"].got, hosts["n"].got) == ([], [], [])
    hosts["t"].send(b"native")
    hosts["t"].send(b"tagged", vlan=20)
    hosts["t"].send(b"own pvid tagged", vlan=10)
    hosts["t"].send(b"foreign", vlan=30)
    hosts["n"].send(b"nowhere")
    assert hosts["a"].count(b"native") == 1
    assert hosts["b"].count(b"tagged") == 1
    assert len(hosts["a"].got) == len(hosts["b"].got) == 1


def test_priority_tag_belongs_to_the_pvid() -> None:
    _, hosts = single({"a": access(10), "b": access(10)})
    hosts["a"].send(b"x", vlan=0)
    assert hosts["b"].got == [hosts["a"].frame(b"x")]


def test_unicast_goes_to_one_port_once_learned_and_learning_ends_with_a_load() -> None:
    config = {"a": access(10), "b": access(10), "c": access(10)}
    switch, hosts = single(config)
    a, b, c = hosts.values()
    a.send(b"flooded", to=b.mac)
    assert (b.count(b"flooded"), c.count(b"flooded")) == (1, 1)
    b.send(b"known", to=a.mac)
    assert (a.count(b"known"), c.count(b"known")) == (1, 0)
    assert switch.learned(10) == {"02:00:00:00:00:01": "a", "02:00:00:00:00:02": "b"}
    b.send(b"to itself", to=b.mac)
    assert b.count(b"to itself") == 0
    switch.load({**config, "c": access(20)})
    assert switch.learned(10) == {}


def test_shut_port_has_no_carrier_and_unnamed_ports_are_shut() -> None:
    switch, hosts = single({"a": access(10), "b": access(10)})
    switch.load({"a": access(10)})
    assert not hosts["b"].interface.carrier
    hosts["a"].send(b"x")
    assert hosts["b"].got == []
    with pytest.raises(ValueError, match="has no port z"):
        switch.load({"z": access(10)})
    assert switch.forwarding["a"] == access(10)


def test_observers_see_every_load_after_it_took_effect() -> None:
    switch, hosts = single({"a": access(10), "b": access(10)})
    seen = []

    def observer(at: VirtualSwitch, old: Mapping[str, PortForwarding], new: Mapping[str, PortForwarding]) -> None:
        seen.append((at.name, old["a"].pvid, new["a"].pvid, dict(at.forwarding) == dict(new)))

    switch.observers.append(observer)
    switch.load({"a": access(20), "b": access(10)})
    switch.load({"a": access(20), "b": access(10)})
    assert seen == [("leaf", 10, 20, True), ("leaf", 20, 20, True)]
    assert hosts["a"].interface.carrier


def test_lldp_when_carrier_comes_and_on_request() -> None:
    switch = VirtualSwitch("leaf", "02:aa:00:00:00:01", ["Ethernet1/2"])
    host = Host("host", 1)
    connect(host.interface, switch.interface("Ethernet1/2"))
    assert host.got == []
    switch.load({"Ethernet1/2": access(10)})
    switch.announce("Ethernet1/2")
    assert [Lldp.parse(frame[14:]) for frame in host.got] == [
        Lldp(bytes.fromhex("02aa00000001"), "Ethernet1/2", "leaf")
    ] * 2


def test_link_local_frames_are_not_forwarded() -> None:
    _, hosts = single({"a": access(10), "b": access(10)})
    hosts["a"].send(b"x", to=bytes.fromhex("0180c200000e"))
    assert hosts["b"].got == []


def test_a_port_outside_an_lacp_lag_does_not_answer_lacpdus() -> None:
    _, hosts = single({"a": access(10), "b": access(10, STATIC)})
    for host in hosts.values():
        host.interface.send(Lacpdu(LacpInfo(host.mac, 1, 1, 5), LacpInfo()).frame(host.mac))
        assert host.got == []


def test_lacp_bundles_and_each_frame_arrives_once() -> None:
    first, second, server, host = mlag(access(10, LACP))
    assert (first.lag_members(7), second.lag_members(7)) == (("p0",), ("p0",))
    assert server.bond is not None
    assert server.bond.active == tuple(server.nics)
    host.send(b"broadcast")
    assert server.count(b"broadcast") == 1
    for n in range(20):
        to = bytes([2, 0, 0, 0, 0xEE, n])
        server.send(b"out %d" % n, to=to)
        assert host.count(b"out %d" % n) == 1
    host.send(b"back", to=server.bond.mac)
    assert server.count(b"back") == 1
    assert second.learned(10)["02:00:00:00:01:00"] == 7
    assert second.learned(10)["02:00:00:00:00:09"] == "peer-link"


def test_when_one_side_of_the_pair_fails_the_other_delivers() -> None:
    first, _, server, host = mlag(access(10, LACP))
    server.send(b"learn me")
    server.nics[0].interface.up = False
    assert first.lag_members(7) == ()
    host.send(b"broadcast")
    host.send(b"unicast", to=server.nics[0].mac)
    assert (server.count(b"broadcast"), server.count(b"unicast")) == (1, 1)
    server.send(b"answer", to=host.mac)
    assert host.count(b"answer") == 1
    server.nics[0].interface.up = True
    assert first.lag_members(7) == ("p0",)
    host.send(b"again")
    assert server.count(b"again") == 1


def test_without_partner_an_lacp_lag_is_silent_and_fallback_forwards_on_one_member() -> None:
    for lag, expected in ((LACP, 0), (LagMembership(7, lacp=True, fallback=True), 1)):
        first, second = fabric(1)
        hosts = [Host("pxe0", 1), Host("pxe1", 2), Host("dhcp", 3)]
        connect(hosts[0].interface, first.interface("p0"))
        connect(hosts[1].interface, second.interface("p0"))
        connect(hosts[2].interface, second.interface("p1"))
        first.load({"p0": access(10, lag)})
        second.load({"p0": access(10, lag), "p1": access(10)})
        hosts[0].send(b"discover")
        hosts[1].send(b"other")
        assert (hosts[2].count(b"discover"), hosts[2].count(b"other")) == (expected, 0)
        hosts[2].send(b"offer")
        assert (hosts[0].count(b"offer"), hosts[1].count(b"offer")) == (expected, 0)


def test_fallback_ends_when_a_partner_speaks() -> None:
    first, second, server, host = mlag(access(10, LagMembership(7, lacp=True, fallback=True)))
    assert (first.lag_members(7), second.lag_members(7)) == (("p0",), ("p0",))
    host.send(b"x")
    assert server.count(b"x") == 1


def test_a_different_partner_is_not_bundled() -> None:
    first, second = fabric(1)
    one, other = BondedHost("one", 1, links=1), BondedHost("other", 2, links=1)
    connect(one.nics[0].interface, first.interface("p0"))
    connect(other.nics[0].interface, second.interface("p0"))
    for leaf in (first, second):
        leaf.load({"p0": access(10, LACP)})
    one.up(), other.up()
    assert (first.lag_members(7), second.lag_members(7)) == (("p0",), ())
    one.nics[0].interface.up = False
    assert second.lag_members(7) == ("p0",)


def test_static_lag_is_active_with_the_carrier() -> None:
    first, second, server, host = mlag(access(10, STATIC), mode="balance-xor")
    assert (first.lag_members(7), second.lag_members(7)) == (("p0",), ("p0",))
    host.send(b"x")
    assert server.count(b"x") == 1


def test_min_links_counts_both_switches_of_the_pair() -> None:
    first, _, server, host = mlag(access(10, LagMembership(7, lacp=True, min_links=2)))
    host.send(b"both")
    server.nics[1].interface.up = False
    host.send(b"one")
    assert (server.count(b"both"), server.count(b"one")) == (1, 0)
    assert first.lag_members(7) == ()


def test_unbundling_tells_the_server_without_a_carrier_change() -> None:
    first, second, server, host = mlag(access(10, LACP))
    assert server.bond is not None
    first.load({"p0": access(10), "p1": access(10)})
    assert server.bond.active == (server.nics[1],)
    host.send(b"half")
    assert server.count(b"half") == 1
    second.load({})
    assert server.bond.active == (server.nics[0],)
    host.send(b"single")
    assert server.count(b"single") == 1
    first.load({"p0": access(10, LACP), "p1": access(10)})
    second.load({"p0": access(10, LACP)})
    assert server.bond.active == tuple(server.nics)


def test_lag_of_two_ports_on_one_switch() -> None:
    switch = VirtualSwitch("leaf", "02:aa:00:00:00:01", ["a", "b", "c"])
    server, host = BondedHost("server", 1), Host("host", 9)
    connect(server.nics[0].interface, switch.interface("a"))
    connect(server.nics[1].interface, switch.interface("b"))
    connect(host.interface, switch.interface("c"))
    switch.load({"a": access(10, LACP), "b": access(10, LACP), "c": access(10)})
    server.up()
    assert switch.lag_members(7) == ("a", "b")
    host.send(b"x")
    server.send(b"y")
    assert (server.count(b"x"), host.count(b"y")) == (1, 1)
    used: set[str] = set()
    for nic in server.nics:
        nic.taps.append(lambda interface, _frame: used.add(interface.name))
    for n in range(16):
        host.interface.send(Ethernet(server.nics[0].mac, bytes([2, 0, 0, 0, 9, n]), 0x88B5, b"z").pack())
    assert used == {"server/eth0", "server/eth1"}


def test_active_backup_fails_over() -> None:
    first, second, server, host = mlag(access(10), mode="active-backup")
    host.send(b"x")
    assert server.count(b"x") == 1
    disconnect(first.interface("p0"))
    assert server.failovers == 1
    host.send(b"y")
    assert server.count(b"y") == 1
    assert second.forwarding["p0"].lag is None


def test_uplinks_reach_the_other_rack_also_when_one_is_cut() -> None:
    leaves = fabric(2)
    here, there = Host("here", 1), Host("there", 2)
    connect(here.interface, leaves[0].interface("p0"))
    connect(there.interface, leaves[3].interface("p0"))
    leaves[0].load({"p0": access(10)})
    leaves[3].load({"p0": access(10)})
    here.send(b"1")
    there.send(b"2", to=here.mac)
    disconnect(leaves[0].interface("up"))
    here.send(b"3")
    there.send(b"4", to=here.mac)
    there.send(b"5")
    assert [there.count(b"1"), here.count(b"2"), there.count(b"3"), here.count(b"4"), here.count(b"5")] == [1] * 5


def test_names_and_pairs_are_checked() -> None:
    with pytest.raises(ValueError, match="two ports of one name"):
        VirtualSwitch("leaf", "02:aa:00:00:00:01", ["a", "a"])
    first, second, third = (VirtualSwitch(f"s{n}", f"02:aa:00:00:00:0{n}", ["a"]) for n in range(3))
    pair(first, second)
    with pytest.raises(ValueError, match="already"):
        pair(first, third)


forwardings = st.builds(
    PortForwarding,
    enabled=st.sampled_from([True, True, True, False]),
    pvid=st.sampled_from([None, 10, 20]),
    tagged=st.frozensets(st.sampled_from([10, 20, 30]), max_size=2),
).map(lambda f: PortForwarding(f.enabled, f.pvid, f.tagged - {f.pvid}))


@settings(max_examples=40, deadline=None)
@given(
    configs=st.lists(st.lists(forwardings, min_size=8, max_size=8), min_size=1, max_size=3),
    sends=st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 8), st.sampled_from([None, 10, 20, 30])), min_size=1, max_size=12
    ),
)
def test_frames_arrive_exactly_where_the_vlan_goes(
    configs: list[list[PortForwarding]], sends: list[tuple[int, int, int | None]]
) -> None:
    """Against the simplest reference: a VLAN is one wire that all ports carrying it are on."""
    leaves = fabric(2, ports=2)
    hosts = [Host(f"h{n}", n + 1) for n in range(8)]
    for n, host in enumerate(hosts):
        connect(host.interface, leaves[n // 2].interface(f"p{n % 2}"))
    serial = 0
    for config in configs:
        for n, leaf in enumerate(leaves):
            leaf.load({"p0": config[2 * n], "p1": config[2 * n + 1]})
        for source, target, tag in sends:
            serial += 1
            payload = b"frame %d" % serial
            hosts[source].send(payload, hosts[target].mac if target < 8 else BROADCAST, tag)
            carried = config[source]
            vlan = carried.pvid if tag is None else tag if tag in carried.tagged else None
            reachable = {
                n for n in range(8) if n != source and carried.enabled and vlan is not None and vlan in config[n].vlans
            }
            counts = [host.count(payload) for host in hosts]
            got = {n for n, count in enumerate(counts) if count}
            assert max(counts) <= 1
            assert got <= reachable
            assert got == reachable if target == 8 else (target in got) == (target in reachable)
            for n in got:
                assert Ethernet.parse(hosts[n].got[-1]).vlan == (None if vlan == config[n].pvid else vlan)


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["lacp", "static", "single"]), min_size=4, max_size=4),
    vlans=st.lists(st.sampled_from([10, 20]), min_size=4, max_size=4),
    cuts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=6),
)
def test_bonded_servers_get_each_frame_once_whatever_fails(
    kinds: list[str], vlans: list[int], cuts: list[tuple[int, int]]
) -> None:
    """Servers across both switches of two pairs; links go down and come back in any order."""
    leaves = fabric(2, ports=2)
    modes = {"lacp": "802.3ad", "static": "balance-xor", "single": "active-backup"}
    servers = [BondedHost(f"s{n}", n + 1, mode=modes[kind]) for n, kind in enumerate(kinds)]
    for n, server in enumerate(servers):
        for side in (0, 1):
            connect(server.nics[side].interface, leaves[2 * (n // 2) + side].interface(f"p{n % 2}"))
    for m, leaf in enumerate(leaves):
        config = {}
        for n in (2 * (m // 2), 2 * (m // 2) + 1):
            lag = None if kinds[n] == "single" else LagMembership(n + 1, lacp=kinds[n] == "lacp")
            config[f"p{n % 2}"] = access(vlans[n], lag)
        leaf.load(config)
    for server in servers:
        server.up()
    serial = 0
    for cut in [None, *cuts]:
        if cut is not None:
            nic = servers[cut[0]].nics[cut[1]].interface
            nic.up = not nic.up
        for n, server in enumerate(servers):
            serial += 1
            everybody = b"all %d" % serial
            server.send(everybody)
            for m, other in enumerate(servers):
                connected = n != m and vlans[n] == vlans[m]
                alive = any(nic.carrier for nic in server.nics) and any(nic.carrier for nic in other.nics)
                assert other.count(everybody) == (1 if connected and alive else 0)
                assert other.bond is not None
                serial += 1
                server.send(b"%d" % serial, to=other.bond.mac)
                assert other.count(b"%d" % serial) == (1 if connected and alive else 0)


lags = st.none() | st.builds(LagMembership, st.integers(1, 2), st.booleans(), st.booleans(), st.integers(1, 2))
loads = st.tuples(st.integers(0, 3), st.lists(st.tuples(st.sampled_from([10, 20]), lags), min_size=2, max_size=2))
flaps = st.tuples(st.integers(0, 3), st.integers(0, 1))


@settings(max_examples=40, deadline=None)
@given(st.lists(loads | flaps, max_size=12))
def test_lacp_servers_never_get_a_frame_twice_and_always_recover(
    steps: list[tuple[int, list[tuple[int, LagMembership | None]]] | tuple[int, int]],
) -> None:
    """Whatever the switches are told, on one side or on both: no duplicates, no echo, no storm."""
    leaves = fabric(2, ports=2)
    servers = [BondedHost(f"s{n}", n + 1) for n in range(4)]
    for n, server in enumerate(servers):
        for side in (0, 1):
            connect(server.nics[side].interface, leaves[2 * (n // 2) + side].interface(f"p{n % 2}"))
        server.up()
    serial = 0
    for index, what in steps:
        if isinstance(what, int):
            nic = servers[index].nics[what].interface
            nic.up = not nic.up
        else:
            leaves[index].load({f"p{port}": access(vlan, lag) for port, (vlan, lag) in enumerate(what)})
        for server in servers:
            serial += 1
            server.send(b"%d" % serial)
            assert server.count(b"%d" % serial) == 0
            assert max(other.count(b"%d" % serial) for other in servers) <= 1
    for leaf in leaves:
        leaf.load({f"p{n}": access(10, LagMembership(n + 1, lacp=True)) for n in (0, 1)})
    for server in servers:
        for nic in server.nics:
            nic.interface.up = True
        assert server.bond is not None
        assert server.bond.active == tuple(server.nics)
    servers[0].send(b"all is well")
    assert [server.count(b"all is well") for server in servers] == [0, 1, 1, 1]
