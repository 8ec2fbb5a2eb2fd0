"""The lab's NETCONF server, driven by ncclient (which we did not write), and its datastores directly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncssh
import pytest
from lxml import etree
from ncclient import manager
from ncclient.operations import RPCError

from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.lab.netconf import NetconfServer
from ironlane.lab.netconf.configuration import Configuration
from ironlane.lab.netconf.datastore import RpcFault
from ironlane.lab.netconf.schema import NAMESPACES, NETCONF

PORTS = ["Ethernet1", "Ethernet2"]
KEY = asyncssh.generate_private_key("ssh-ed25519")
IF, ETH, LAG = (f'xmlns="{NAMESPACES[p]}"' for p in ("oc-if", "oc-eth", "oc-lag"))
VLAN, LACP, NI = (f'xmlns="{NAMESPACES[p]}"' for p in ("oc-vlan", "oc-lacp", "oc-netinst"))
TYPES = 'xmlns:ianaift="urn:ietf:params:xml:ns:yang:iana-if-type"'


def interfaces(*entries: str) -> str:
    return f"<interfaces {IF}>{''.join(entries)}</interfaces>"


def interface(name: str, *content: str, operation: str = "merge") -> str:
    return f'<interface nc:operation="{operation}"><name>{name}</name>{"".join(content)}</interface>'


def access_port(name: str, vlan: int | str, *, enabled: str = "true") -> str:
    switched = f"<interface-mode>ACCESS</interface-mode><access-vlan>{vlan}</access-vlan>"
    return interface(
        name,
        f"<config><name>{name}</name><enabled>{enabled}</enabled></config>",
        f"<ethernet {ETH}><switched-vlan {VLAN}><config>{switched}</config></switched-vlan></ethernet>",
    )


def vlans(*numbers: int, status: str = "ACTIVE") -> str:
    entries = "".join(
        f"<vlan><vlan-id>{n}</vlan-id><config><vlan-id>{n}</vlan-id><status>{status}</status></config></vlan>"
        for n in numbers
    )
    return (
        f"<network-instances {NI}><network-instance><name>default</name><vlans>{entries}</vlans>"
        "</network-instance></network-instances>"
    )


def lag(name: str, *settings: str) -> str:
    return interface(
        name,
        f"<config><name>{name}</name><type {TYPES}>ianaift:ieee8023adLag</type></config>",
        f"<aggregation {LAG}>{''.join(settings)}</aggregation>",
    )


def member(name: str, aggregate: str) -> str:
    ethernet = f"<ethernet {ETH}><config><aggregate-id {LAG}>{aggregate}</aggregate-id></config></ethernet>"
    return interface(name, "<config><enabled>true</enabled></config>", ethernet)


def config(*content: str) -> str:
    return f'<config xmlns="{NETCONF}" xmlns:nc="{NETCONF}">{"".join(content)}</config>'


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
async def server(plane: Plane) -> AsyncIterator[NetconfServer]:
    server = NetconfServer(PORTS, plane, host_key=KEY)
    await server.start()
    yield server
    await server.stop()


def dial(server: NetconfServer) -> Any:
    return manager.connect(
        host="127.0.0.1",
        port=server.port,
        username="admin",
        password="admin",
        hostkey_verify=False,
        allow_agent=False,
        look_for_keys=False,
        timeout=10,
    )


async def test_ncclient_makes_a_change_and_reads_it_back(server: NetconfServer, plane: Plane) -> None:
    def conversation() -> str:
        with dial(server) as session:
            assert ":confirmed-commit:1.1" in session.server_capabilities
            with session.locked("candidate"):
                session.edit_config(config(vlans(101), interfaces(access_port("Ethernet1", 101))), target="candidate")
                session.validate("candidate")
                session.commit(confirmed=True, timeout="60")
                session.commit()
            subtree = f"<interfaces {IF}><interface><name>Ethernet1</name></interface></interfaces>"
            return str(session.get_config("running", filter=("subtree", subtree)).data_xml)

    text = await asyncio.to_thread(conversation)
    assert "<access-vlan>101</access-vlan>" in text
    assert "Ethernet2" not in text
    assert plane.told[-1] == {"Ethernet1": PortForwarding(True, 101), "Ethernet2": PortForwarding(False, 1)}
    assert (server.commits, server.edits, len(plane.told)) == (1, 1, 2)


async def test_ncclient_sees_locks_refusals_and_killed_sessions(server: NetconfServer) -> None:
    def conversation() -> list[tuple[str, str | None]]:
        seen = []
        one = dial(server)
        with dial(server) as other:
            one.lock("candidate")
            for attempt in (
                lambda: other.lock("candidate"),
                lambda: other.edit_config(config(interfaces(access_port("Ethernet1", 5))), target="candidate"),
                lambda: one.edit_config(config(interfaces(access_port("Ethernet1", 4095))), target="candidate"),
                lambda: one.edit_config(config(f"<nonsense {IF}/>"), target="candidate"),
            ):
                with pytest.raises(RPCError) as caught:
                    attempt()
                seen.append((caught.value.tag, caught.value.path))
            other.kill_session(one.session_id)
            other.lock("candidate")
            other.discard_changes()
            other.unlock("candidate")
            one._session.join()  # its threads end with the session
        return seen

    leaf = (
        "/oc-if:interfaces/oc-if:interface[oc-if:name='Ethernet1']/oc-eth:ethernet/oc-vlan:switched-vlan"
        "/oc-vlan:config/oc-vlan:access-vlan"
    )
    assert await asyncio.to_thread(conversation) == [
        ("lock-denied", None),
        ("in-use", None),
        ("invalid-value", leaf),
        ("unknown-element", "/oc-if:nonsense"),
    ]


async def test_two_hundred_servers_with_one_key_are_cheap() -> None:
    servers = [NetconfServer(PORTS, lambda _: None, host_key=KEY) for _ in range(200)]
    for server in servers:
        await server.start()
    assert len({server.port for server in servers}) == 200
    for server in servers:
        await server.stop()


class Switch(Configuration):
    """Datastores with a plane, and edits given as text."""

    def __init__(self) -> None:
        self.plane = Plane()
        super().__init__(PORTS, self.plane)
        self.start()

    def change(self, *content: str, default: str = "merge") -> None:
        self.edit(1, etree.fromstring(config(*content)), default)

    @property
    def forwarding(self) -> Mapping[str, PortForwarding]:
        return self.plane.told[-1]


@pytest.fixture
def switch() -> Switch:
    return Switch()


def test_ports_start_shut_on_vlan_1(switch: Switch) -> None:
    assert switch.forwarding == dict.fromkeys(PORTS, PortForwarding(False, 1))


def test_a_vlan_that_is_not_defined_and_active_is_not_forwarded(switch: Switch) -> None:
    switch.change(interfaces(access_port("Ethernet1", 7)))
    switch.commit(1)
    assert switch.forwarding["Ethernet1"] == PortForwarding(True, None)
    switch.change(vlans(7))
    switch.commit(1)
    assert switch.forwarding["Ethernet1"] == PortForwarding(True, 7)
    switch.change(vlans(7, status="SUSPENDED"))
    switch.commit(1)
    assert switch.forwarding["Ethernet1"] == PortForwarding(True, None)


def test_members_of_a_lag_forward_as_the_lag_does(switch: Switch) -> None:
    trunk = "<interface-mode>TRUNK</interface-mode><native-vlan>5</native-vlan><trunk-vlans>5..7</trunk-vlans>"
    switch.change(
        vlans(5, 6, 8),
        interfaces(
            lag(
                "ae12",
                "<config><lag-type>LACP</lag-type><min-links>2</min-links></config>",
                f"<switched-vlan {VLAN}><config>{trunk}</config></switched-vlan>",
            ),
            member("Ethernet2", "ae12"),
        ),
        f"<lacp {LACP}><interfaces><interface><name>ae12</name><config><name>ae12</name><fallback>true</fallback>"
        "</config></interface></interfaces></lacp>",
    )
    switch.commit(1)
    membership = LagMembership(12, lacp=True, fallback=True, min_links=2)
    assert switch.forwarding["Ethernet2"] == PortForwarding(True, 5, frozenset({6}), membership)


def test_a_trunk_without_a_list_carries_all_defined_vlans(switch: Switch) -> None:
    trunk = "<config><interface-mode>TRUNK</interface-mode></config>"
    ethernet = f"<ethernet {ETH}><switched-vlan {VLAN}>{trunk}</switched-vlan></ethernet>"
    switch.change(vlans(5, 6), interfaces(interface("Ethernet1", ethernet)))
    switch.commit(1)
    assert switch.forwarding["Ethernet1"].tagged == {1, 5, 6}


BAD_TRUNK = (
    f"<ethernet {ETH}><switched-vlan {VLAN}><config><interface-mode>ACCESS</interface-mode>"
    "<trunk-vlans>5</trunk-vlans></config></switched-vlan></ethernet>"
)


@pytest.mark.parametrize(
    ("content", "tag", "path"),
    [
        (access_port("Ethernet9", 5), "invalid-value", "[oc-if:name='Ethernet9']"),
        (member("Ethernet1", "ae3"), "data-missing", "oc-lag:aggregate-id"),
        (member("Ethernet1", "Ethernet2"), "data-missing", "oc-lag:aggregate-id"),
        (interface("Ethernet1", BAD_TRUNK), "unknown-element", "oc-vlan:trunk-vlans"),
        (interface("Ethernet1", f"<aggregation {LAG}/>"), "unknown-element", "oc-lag:aggregation"),
    ],
)
def test_what_contradicts_the_model_is_refused_at_validation(switch: Switch, content: str, tag: str, path: str) -> None:
    switch.change(interfaces(content))
    for attempt in (lambda: switch.validate("candidate"), lambda: switch.commit(1)):
        with pytest.raises(RpcFault) as caught:
            attempt()
        assert caught.value.tag == tag
        assert caught.value.path.endswith(path)
    assert switch.commits == 0


@pytest.mark.parametrize(
    ("entry", "tag"),
    [
        (interface("ae1", operation="delete"), "data-missing"),
        (interface("Ethernet1", operation="create"), "data-exists"),
        (interface("Ethernet1", operation="destroy"), "bad-attribute"),
        ("<interface><config/></interface>", "missing-element"),
        (access_port("Ethernet1", "7..9"), "invalid-value"),
        (interface("ae1", "<config><type>x:ieee8023adLag</type></config>"), "invalid-value"),
    ],
)
def test_edits_are_refused_as_a_whole(switch: Switch, entry: str, tag: str) -> None:
    with pytest.raises(RpcFault) as caught:
        switch.change(vlans(5), interfaces(entry))
    assert caught.value.tag == tag
    assert b">5<" not in etree.tostring(switch.read("candidate"))
    assert switch.edits == 0


def test_operations(switch: Switch) -> None:
    switch.change(vlans(5), interfaces(access_port("Ethernet1", 5), access_port("Ethernet2", 5)))
    switch.change(interfaces(interface("Ethernet1", "<config><description>x</description></config>")), default="none")
    switch.commit(1)
    assert switch.forwarding["Ethernet1"].pvid == 5
    switch.change(interfaces(interface("ae1", operation="remove"), interface("Ethernet1", operation="delete")))
    switch.commit(1)
    assert switch.forwarding["Ethernet1"] == PortForwarding(False, 1)
    switch.change(interfaces(access_port("Ethernet1", 5)), default="replace")
    switch.commit(1)
    assert switch.forwarding == {"Ethernet1": PortForwarding(True, None), "Ethernet2": PortForwarding(False, 1)}


async def test_an_unconfirmed_commit_is_undone_by_its_timer(switch: Switch) -> None:
    switch.change(vlans(5), interfaces(access_port("Ethernet1", 5)))
    switch.plane.news.clear()
    switch.commit_confirmed(1, timeout=0.01)
    assert switch.forwarding["Ethernet1"].pvid == 5
    switch.plane.news.clear()
    await switch.plane.news.wait()
    assert switch.forwarding["Ethernet1"] == PortForwarding(False, 1)


async def test_an_unconfirmed_commit_and_other_sessions(switch: Switch) -> None:
    switch.change(vlans(5), interfaces(access_port("Ethernet1", 5)))
    switch.commit_confirmed(1, timeout=60)
    for attempt, tag in (
        (lambda: switch.lock("running", 2), "lock-denied"),
        (lambda: switch.commit(2), "in-use"),
        (lambda: switch.cancel_commit(2), "in-use"),
        (lambda: switch.commit(1, persist_id="no"), None),
    ):
        if tag is None:
            attempt()
            continue
        with pytest.raises(RpcFault) as caught:
            attempt()
        assert caught.value.tag == tag
    switch.lock("running", 2)
    switch.end_session(2)
    switch.end_session(1)
    assert switch.forwarding["Ethernet1"].pvid == 5


async def test_a_persistent_commit_outlives_its_session(switch: Switch) -> None:
    switch.change(vlans(5), interfaces(access_port("Ethernet1", 5)))
    switch.commit_confirmed(1, timeout=60, persist="token")
    switch.end_session(1)
    assert switch.forwarding["Ethernet1"].pvid == 5
    with pytest.raises(RpcFault, match="another persist-id"):
        switch.commit(2)
    switch.cancel_commit(2, persist_id="token")
    assert switch.forwarding["Ethernet1"] == PortForwarding(False, 1)


async def test_what_runs_outlives_a_restart_and_an_unconfirmed_commit_does_not(switch: Switch) -> None:
    switch.change(vlans(5), interfaces(access_port("Ethernet1", 5)))
    switch.commit(1)
    switch.change(interfaces(access_port("Ethernet2", 5)))
    switch.commit_confirmed(1, timeout=60)
    switch.stop()
    switch.start()
    assert switch.forwarding == {"Ethernet1": PortForwarding(True, 5), "Ethernet2": PortForwarding(False, 1)}


async def test_latency_can_be_set(server: NetconfServer) -> None:
    server.rpc_delay, server.commit_delay = 0.01, 0.05
    loop = asyncio.get_running_loop()
    begin = loop.time()

    def conversation() -> None:
        with dial(server) as session:
            session.commit()

    await asyncio.to_thread(conversation)
    assert loop.time() - begin >= 0.07
