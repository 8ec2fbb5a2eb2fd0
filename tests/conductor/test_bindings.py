"""Wishes as rows: break before make, one wish per switch port, VLANs and LAG ids that come back only when gone."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ironlane.model.errors import Conflict, Invalid
from ironlane.model.fabric import AttachmentState, HostId, ManagedPorts, PortConfig, Side, SwitchId, Vlan
from ironlane.model.link import GroupParameters, LocalLink
from ironlane.model.plan import project
from ironlane.store import bindings, settling
from ironlane.store.attachments import of_host, of_network_port, of_switch
from ironlane.store.bindings import Wish
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.tables import attachments, lag_claims, metadata, networks, ports, segments, switch_ports, switches

LEAVES = [SwitchId("leaf-1"), SwitchId("leaf-2")]
MACS = {"leaf-1": "00:11:22:33:44:01", "leaf-2": "00:11:22:33:44:02"}
PORTS = ["p1", "p2", "p3"]
NETWORKS = {"clean": (10, Side.PROVIDER), "red": (200, Side.TENANT), "blue": (201, Side.TENANT)}
BOND = GroupParameters("g1", bond_mode="802.3ad")


def furnish(tx: Tx) -> None:
    for leaf in LEAVES:
        tx.execute(sa.insert(switches).values(id=leaf, kind="x", mac=MACS[leaf], address="", created_at=tx.now))
        for port in PORTS:
            tx.execute(sa.insert(switch_ports).values(switch_id=leaf, name=port))
    for name, (vlan, side) in NETWORKS.items():
        tx.execute(sa.insert(networks).values(id=name, side=side.value, segmentation_id=vlan, created_at=tx.now))
        tx.execute(sa.insert(segments).values(physical_network="p", vlan=vlan, network_id=name))
    for host in ("h1", "h2", "h3"):
        for name in NETWORKS:
            tx.execute(
                sa.insert(ports).values(
                    id=f"{host}-{name}", network_id=name, mac_address=f"{host}-{name}", created_at=tx.now
                )
            )


def wish(host: str, network: str, links: list[tuple[str, str]], group: GroupParameters | None = None) -> Wish:
    vlan, side = NETWORKS[network]
    return Wish(
        network_port=f"{host}-{network}",
        network=network,
        host=HostId(host),
        vlan=Vlan(vlan),
        physical_network="p",
        side=side,
        links=[LocalLink(port, MACS[leaf]) for leaf, port in links],
        group=group,
    )


def as_desired(tx: Tx, switch: SwitchId) -> dict[str, PortConfig]:
    """What a switch shows that does what it is told."""
    return project(of_switch(tx, switch), ManagedPorts(switch, frozenset(PORTS)))


def obey(tx: Tx) -> None:
    """All switches do what they are told, and are read back, once."""
    for leaf in LEAVES:
        settling.settle(tx, leaf, of_switch(tx, leaf), as_desired(tx, leaf))


def status(tx: Tx, port: str) -> tuple[str, str]:
    row = tx.execute(sa.select(ports.c.status, ports.c.status_reason).where(ports.c.id == port)).one()
    return row.status, row.status_reason


@pytest.fixture
async def rack(any_store: Store) -> Store:
    await any_store.write(furnish)
    return any_store


BOTH = [("leaf-1", "p1"), ("leaf-2", "p1")]


async def test_a_port_is_active_only_after_read_back(rack: Store) -> None:
    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "red", BOTH, BOND))
        assert status(tx, "h1-red")[0] == "DOWN"
        settling.settle(tx, LEAVES[0], of_switch(tx, LEAVES[0]), as_desired(tx, LEAVES[0]))
        assert status(tx, "h1-red")[0] == "DOWN", "half a bond is not ACTIVE"
        settling.settle(tx, LEAVES[1], of_switch(tx, LEAVES[1]), as_desired(tx, LEAVES[1]))
        assert status(tx, "h1-red") == ("ACTIVE", "")

    await rack.write(work)


async def test_a_read_back_that_shows_something_else_is_not_active(rack: Store) -> None:
    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "red", BOTH[:1]))
        seen = of_switch(tx, LEAVES[0])
        settling.settle(tx, LEAVES[0], seen, {"p1": PortConfig(untagged=Vlan(201))})
        assert status(tx, "h1-red")[0] == "DOWN"
        settling.settle(tx, LEAVES[0], seen, {"p1": PortConfig(untagged=Vlan(200), enabled=False)})
        assert status(tx, "h1-red")[0] == "DOWN"

    await rack.write(work)


async def test_tenant_waits_until_provisioning_is_gone_from_every_switch(rack: Store) -> None:
    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "clean", BOTH[:1]))
        obey(tx)
        bindings.unbind(tx, "h1-clean")
        bindings.bind(tx, wish("h1", "red", BOTH, BOND))
        assert {a.state for a in of_network_port(tx, "h1-red")} == {AttachmentState.HELD}
        assert "waiting until leaf-1/p1" in status(tx, "h1-red")[1]
        settling.settle(tx, LEAVES[1], of_switch(tx, LEAVES[1]), as_desired(tx, LEAVES[1]))
        assert {a.state for a in of_network_port(tx, "h1-red")} == {AttachmentState.HELD}
        settling.settle(tx, LEAVES[0], of_switch(tx, LEAVES[0]), as_desired(tx, LEAVES[0]))
        assert {a.state for a in of_network_port(tx, "h1-red")} == {AttachmentState.WANTED}

    await rack.write(work)


async def test_a_failing_switch_keeps_the_leaving_attachment_on_record(rack: Store) -> None:
    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "clean", BOTH[:1]))
        obey(tx)
        bindings.unbind(tx, "h1-clean")
        settling.settle(tx, LEAVES[0], of_switch(tx, LEAVES[0]), {"p1": PortConfig(untagged=Vlan(10))})
        assert [a.state for a in of_network_port(tx, "h1-clean")] == [AttachmentState.LEAVING]

    await rack.write(work)


async def test_binding_twice_is_binding_once(rack: Store) -> None:
    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "red", BOTH, BOND))
        before = tx.all(sa.select(attachments)), tx.all(sa.select(lag_claims)), tx.all(sa.select(switches.c.generation))
        bindings.bind(tx, wish("h1", "red", BOTH, BOND))
        assert before == (
            tx.all(sa.select(attachments)),
            tx.all(sa.select(lag_claims)),
            tx.all(sa.select(switches.c.generation)),
        )

    await rack.write(work)


async def test_lag_ids_are_equal_on_both_switches_and_come_back(rack: Store) -> None:
    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "red", BOTH, BOND))
        bindings.bind(tx, wish("h2", "red", [("leaf-1", "p2"), ("leaf-2", "p2")], BOND))
        numbers = {a.host: {x.lag.number for x in of_host(tx, a.host) if x.lag} for a in of_switch(tx, LEAVES[0])}
        assert numbers == {"h1": {1}, "h2": {2}}
        obey(tx)
        bindings.unbind(tx, "h1-red")
        bindings.bind(tx, wish("h3", "red", [("leaf-1", "p3"), ("leaf-2", "p3")], BOND))
        assert {a.lag.number for a in of_host(tx, "h3") if a.lag} == {3}, "1 is still on the wire"
        obey(tx)
        claims = {(row.number, row.network_port_id) for row in tx.all(sa.select(lag_claims))}
        assert claims == {(2, "h2-red"), (3, "h3-red")}

    await rack.write(work)


async def test_a_port_that_is_bound_anew_with_fewer_links_lets_go_of_the_others(rack: Store) -> None:
    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "red", BOTH))
        obey(tx)
        bindings.bind(tx, wish("h1", "red", BOTH[:1]))
        assert {(a.switch, a.state) for a in of_network_port(tx, "h1-red")} == {
            ("leaf-1", AttachmentState.WANTED),
            ("leaf-2", AttachmentState.LEAVING),
        }
        assert status(tx, "h1-red") == ("ACTIVE", "")
        obey(tx)
        assert [a.switch for a in of_network_port(tx, "h1-red")] == ["leaf-1"]

    await rack.write(work)


@pytest.mark.parametrize("mode", ["802.3ad", "balance-xor"])
async def test_a_bond_that_is_bound_anew_while_it_waits_keeps_a_lag_id_of_its_own(rack: Store, mode: str) -> None:
    again = GroupParameters("g1", "bond", mode)

    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "clean", BOTH[:1]))
        obey(tx)
        bindings.unbind(tx, "h1-clean")
        bindings.bind(tx, wish("h1", "red", BOTH, BOND))
        assert {a.state for a in of_network_port(tx, "h1-red")} == {AttachmentState.HELD}
        bindings.bind(tx, wish("h1", "red", [("leaf-1", "p2"), ("leaf-2", "p2")], again))
        bindings.bind(tx, wish("h2", "blue", [("leaf-1", "p3"), ("leaf-2", "p3")], BOND))
        one, two = [{a.lag.number for a in of_network_port(tx, port) if a.lag} for port in ("h1-red", "h2-blue")]
        assert one.isdisjoint(two), "two servers in one LAG"
        claims = {(row.number, row.network_port_id) for row in tx.all(sa.select(lag_claims))}
        assert claims == {(one.pop(), "h1-red"), (two.pop(), "h2-blue")}

    await rack.write(work)


@pytest.mark.parametrize(
    ("links", "field"),
    [
        ([LocalLink("p1", "00:00:00:00:00:09")], "local_link_information[0].switch_id"),
        ([LocalLink("p1", None, "nowhere")], "local_link_information[0].switch_info"),
        ([LocalLink("p9", MACS["leaf-1"])], "local_link_information[0].port_id"),
        ([LocalLink("p1", MACS["leaf-1"]), LocalLink("p1", None, "leaf-1")], "local_link_information"),
    ],
)
async def test_links_that_name_nothing_we_manage_are_refused(rack: Store, links: list[LocalLink], field: str) -> None:
    base = wish("h1", "red", [])
    bad = Wish(**{**{k: getattr(base, k) for k in base.__slots__}, "links": links})
    with pytest.raises(Invalid) as caught:
        await rack.write(lambda tx: bindings.bind(tx, bad))
    assert caught.value.field == f"binding:profile.{field}"
    assert await rack.read(lambda tx: tx.all(sa.select(attachments))) == []


async def test_a_switch_port_has_one_master(rack: Store) -> None:
    await rack.write(lambda tx: bindings.bind(tx, wish("h1", "red", BOTH)))
    with pytest.raises(Conflict, match="h1-red"):
        await rack.write(lambda tx: bindings.bind(tx, wish("h2", "blue", BOTH)))


class Fabric(RuleBasedStateMachine):
    """Clients bind and unbind in any order; switches obey when they please. The invariants hold on the switches."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.store: Store = open_store(f"sqlite:///{Path(self.folder.name)}/x.sqlite")
        self.run(lambda tx: metadata.create_all(tx.connection))
        self.run(furnish)
        self.shown: dict[SwitchId, dict[str, PortConfig]] = {
            leaf: self.run(lambda tx, leaf=leaf: as_desired(tx, leaf)) for leaf in LEAVES
        }

    def run(self, transaction):  # type: ignore[no-untyped-def]
        return self.loop.run_until_complete(self.store.write(transaction))

    @rule(
        host=st.sampled_from(["h1", "h2"]),
        network=st.sampled_from(list(NETWORKS)),
        port=st.sampled_from(PORTS),
        both=st.booleans(),
    )
    def bind(self, host: str, network: str, port: str, both: bool) -> None:
        links = [("leaf-1", port), ("leaf-2", port)] if both else [("leaf-1", port)]
        with contextlib.suppress(Conflict):
            self.run(lambda tx: bindings.bind(tx, wish(host, network, links, BOND if both else None)))

    @rule(host=st.sampled_from(["h1", "h2"]), network=st.sampled_from(list(NETWORKS)))
    def unbind(self, host: str, network: str) -> None:
        self.run(lambda tx: bindings.unbind(tx, f"{host}-{network}"))

    @rule(leaf=st.sampled_from(LEAVES))
    def commit(self, leaf: SwitchId) -> None:
        seen = self.run(lambda tx: of_switch(tx, leaf))
        self.shown[leaf] = project(seen, ManagedPorts(leaf, frozenset(PORTS)))
        self.run(lambda tx: settling.settle(tx, leaf, seen, self.shown[leaf]))

    @rule(leaf=st.sampled_from(LEAVES))
    def commit_unrecorded(self, leaf: SwitchId) -> None:
        """A conductor dies between the commit and the record."""
        seen = self.run(lambda tx: of_switch(tx, leaf))
        self.shown[leaf] = project(seen, ManagedPorts(leaf, frozenset(PORTS)))

    @precondition(lambda self: hasattr(self, "shown"))
    @invariant()
    def walls_stand(self) -> None:
        sides: dict[str, set[Side]] = {}
        for configs in self.shown.values():
            for config in configs.values():
                for vlan in config.vlans:
                    host = config.description.removeprefix("ironlane ")
                    sides.setdefault(host, set()).add(next(s for v, s in NETWORKS.values() if v == vlan))
        assert all(len(s) == 1 for s in sides.values()), "I1: one server on both sides"

    @precondition(lambda self: hasattr(self, "shown"))
    @invariant()
    def active_is_true(self) -> None:
        for row in self.run(lambda tx: tx.all(sa.select(ports).where(ports.c.status == "ACTIVE"))):
            for a in self.run(lambda tx, port=row.id: of_network_port(tx, port)):
                if a.state is AttachmentState.WANTED:
                    assert a.vlan in self.shown[a.switch][a.port].vlans, "I4: ACTIVE is on the switch"

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        for _ in range(6):  # once clients are quiet, every wish is fulfilled
            for leaf in LEAVES:
                self.commit(leaf)
        left = self.run(lambda tx: tx.all(sa.select(attachments.c.state, attachments.c.host_id)))
        sides = {host: set() for _, host in left}  # type: ignore[var-annotated]
        for state, host in left:
            sides[host].add(state)
        assert AttachmentState.LEAVING not in {state for state, _ in left}
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        self.folder.cleanup()


Fabric.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestFabric = Fabric.TestCase
