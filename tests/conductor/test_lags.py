"""LAGs as rows: settings asked for, MLAG pairs, ids that are unique, possible, nobody else's, and come back."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ironlane.model.errors import Conflict, IronlaneError
from ironlane.model.fabric import (
    AttachmentState,
    Lag,
    LagMode,
    LagSupport,
    ManagedPorts,
    Mlag,
    PortConfig,
    SwitchId,
)
from ironlane.model.link import GroupParameters
from ironlane.model.plan import project
from ironlane.store import bindings, settling
from ironlane.store import switches as switch_rows
from ironlane.store.attachments import (
    lag_from_json,
    lag_to_json,
    of_network_port,
    of_switch,
    support_from_json,
    support_to_json,
)
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.switches import SwitchSpec
from ironlane.store.tables import lag_claims, metadata, switches
from tests.conductor.test_bindings import LEAVES, NETWORKS, PORTS, as_desired, furnish, obey, wish

BOTH = [("leaf-1", "p1"), ("leaf-2", "p1")]
ONE = [("leaf-1", "p1"), ("leaf-1", "p2")]
PROPERTIES = "binding:profile.local_group_information.bond_properties"


def bond(mode: str = "802.3ad", **properties: Any) -> GroupParameters:
    return GroupParameters("g1", bond_mode=mode, bond_properties=properties)


def make_pair(tx: Tx) -> None:
    for leaf, peer in zip(LEAVES, reversed(LEAVES), strict=True):
        tx.execute(sa.update(switches).where(switches.c.id == leaf).values(mlag_peer=peer))


def support(tx: Tx, leaf: SwitchId, can: LagSupport) -> None:
    tx.execute(sa.update(switches).where(switches.c.id == leaf).values(lags=support_to_json(can)))


def lags_of(tx: Tx, port: str) -> set[Lag | None]:
    return {a.lag for a in of_network_port(tx, port) if a.state is not AttachmentState.LEAVING}


def claims(tx: Tx) -> list[tuple[str, int, str]]:
    rows = tx.all(sa.select(lag_claims).order_by(lag_claims.c.switch_id, lag_claims.c.number))
    return [(row.switch_id, row.number, row.network_port_id) for row in rows]


@pytest.fixture
async def rack(any_store: Store) -> Store:
    await any_store.write(furnish)
    return any_store


async def test_a_lag_across_a_pair_has_an_mlag_id_and_others_have_none(rack: Store) -> None:
    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "red", BOTH, bond()))
        assert lags_of(tx, "h1-red") == {Lag(1)}, "these two are no pair"
        bindings.unbind(tx, "h1-red")
        obey(tx)
        make_pair(tx)
        bindings.bind(tx, wish("h1", "red", ONE, bond()))
        assert lags_of(tx, "h1-red") == {Lag(1)}, "on one switch only"
        bindings.bind(tx, wish("h2", "red", [("leaf-1", "p3"), ("leaf-2", "p3")], bond()))
        assert lags_of(tx, "h2-red") == {Lag(2, mlag=2)}

    await rack.write(work)


async def test_a_pair_does_not_part_while_a_lag_is_on_both(rack: Store) -> None:
    def work(tx: Tx) -> None:
        make_pair(tx)
        record = switch_rows.get(tx, "leaf-1")
        spec = SwitchSpec(
            record.id, record.kind, record.address, frozenset(PORTS), mac=record.mac, mlag_peer=record.mlag_peer
        )
        bindings.bind(tx, wish("h1", "red", BOTH, bond()))
        switch_rows.put(tx, spec)
        with pytest.raises(Conflict, match="cannot part from its peer leaf-2") as caught:
            switch_rows.put(tx, replace(spec, mlag_peer=None))
        assert caught.value.field == "mlag_peer"
        bindings.unbind(tx, "h1-red")
        obey(tx)
        assert switch_rows.put(tx, replace(spec, mlag_peer=None)).mlag_peer is None

    await rack.write(work)


async def test_one_sided_pairs_are_none(rack: Store) -> None:
    def work(tx: Tx) -> None:
        tx.execute(sa.update(switches).where(switches.c.id == "leaf-1").values(mlag_peer="leaf-2"))
        bindings.bind(tx, wish("h1", "red", BOTH, bond()))
        assert lags_of(tx, "h1-red") == {Lag(1)}

    await rack.write(work)


async def test_a_pair_without_mlag_is_told_when_it_is_bound(rack: Store) -> None:
    def work(tx: Tx) -> None:
        make_pair(tx)
        support(tx, LEAVES[1], LagSupport(mlag=Mlag.NONE))
        bindings.bind(tx, wish("h1", "red", BOTH, bond()))

    with pytest.raises(IronlaneError, match="are a pair, but have no MLAG") as caught:
        await rack.write(work)
    assert getattr(caught.value, "field", "") == "binding:profile.local_link_information"


@pytest.mark.parametrize(
    ("links", "asked", "each"),
    [
        (ONE, 2, 2),
        (BOTH, 2, 1),
        ([*BOTH, ("leaf-1", "p2"), ("leaf-2", "p2")], 3, 1),
        ([*BOTH, ("leaf-1", "p2"), ("leaf-2", "p2")], 4, 2),
        ([*ONE, ("leaf-2", "p1")], 3, 1),
    ],
)
async def test_min_links_is_what_a_switch_can_know_of_the_bond(
    rack: Store, links: list[tuple[str, str]], asked: int, each: int
) -> None:
    def work(tx: Tx) -> None:
        make_pair(tx)
        bindings.bind(tx, wish("h1", "red", links, bond(bond_min_links=asked)))
        assert {lag.min_links for lag in lags_of(tx, "h1-red") if lag} == {each}

    await rack.write(work)


@pytest.mark.parametrize(
    ("can", "group", "said", "field"),
    [
        (LagSupport(), bond(min_links=3), "3 links are required, but the port is bound to 2", "bond_min_links"),
        (LagSupport(min_links=frozenset()), bond(min_links=2), "keeps no minimum of links", "bond_min_links"),
        (LagSupport(fallback=False), bond(fallback=True), "no LACP fallback", "bond_fallback"),
        (LagSupport(modes=frozenset({LagMode.STATIC})), bond(), "has no lacp LAGs", None),
        (LagSupport(modes=frozenset({LagMode.LACP})), bond("2"), "has no static LAGs", None),
    ],
)
async def test_what_a_switch_is_known_not_to_keep_is_refused_by_its_field(
    rack: Store, can: LagSupport, group: GroupParameters, said: str, field: str | None
) -> None:
    def work(tx: Tx) -> None:
        support(tx, LEAVES[0], can)
        bindings.bind(tx, wish("h1", "red", ONE, group))

    with pytest.raises(IronlaneError, match=said) as caught:
        await rack.write(work)
    where = f"{PROPERTIES}.{field}" if field else PROPERTIES.replace("bond_properties", "bond_mode")
    assert getattr(caught.value, "field", "") == where
    assert await rack.read(claims) == []


async def test_settings_that_change_make_another_lag(rack: Store) -> None:
    def work(tx: Tx) -> None:
        bindings.bind(tx, wish("h1", "red", ONE, bond()))
        obey(tx)
        bindings.bind(tx, wish("h1", "red", ONE, bond(fallback=True)))
        obey(tx)
        obey(tx)
        assert lags_of(tx, "h1-red") == {Lag(2, fallback=True)}
        assert claims(tx) == [("leaf-1", 2, "h1-red")]

    await rack.write(work)


async def test_ids_are_those_that_both_switches_have_and_nobody_else_uses(rack: Store) -> None:
    def work(tx: Tx) -> None:
        make_pair(tx)
        support(tx, LEAVES[0], LagSupport(range(1, 6), foreign=frozenset({1, 3})))
        support(tx, LEAVES[1], LagSupport(range(2, 1001), foreign=frozenset({2, 7})))
        bindings.bind(tx, wish("h1", "red", BOTH, bond()))
        assert lags_of(tx, "h1-red") == {Lag(4, mlag=4)}
        bindings.bind(tx, wish("h2", "red", [("leaf-1", "p2"), ("leaf-2", "p2")], bond()))
        with pytest.raises(Conflict, match="no LAG id is free on leaf-1, leaf-2"):
            bindings.bind(tx, wish("h3", "red", [("leaf-1", "p3"), ("leaf-2", "p3")], bond()))

    await rack.write(work)


def test_rows_of_before_are_read() -> None:
    old = {"number": 7, "mode": "static", "rate": "slow", "min_links": 2, "fallback": False}
    assert lag_from_json(old) == Lag(7, LagMode.STATIC, min_links=2)
    for lag in (Lag(3), Lag(4, fallback=True, mlag=4)):
        assert lag_from_json(lag_to_json(lag)) == lag
    can = LagSupport(range(1, 129), frozenset({LagMode.LACP}), frozenset(), False, Mlag.ID, frozenset({5, 9}))
    assert support_from_json(support_to_json(can)) == can
    assert support_from_json(None) is None


class Claims(RuleBasedStateMachine):
    """Servers are bound, bound otherwise and unbound in any order, while switches do what they are told, or less."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.store: Store = open_store(f"sqlite:///{Path(self.folder.name)}/x.sqlite")
        self.run(lambda tx: metadata.create_all(tx.connection))
        self.run(furnish)
        self.run(make_pair)
        self.shown: dict[SwitchId, dict[str, PortConfig]] = {
            leaf: self.run(lambda tx, leaf=leaf: as_desired(tx, leaf)) for leaf in LEAVES
        }

    def run(self, transaction):  # type: ignore[no-untyped-def]
        return self.loop.run_until_complete(self.store.write(transaction))

    @rule(
        host=st.sampled_from(["h1", "h2", "h3"]),
        network=st.sampled_from(list(NETWORKS)),
        ports=st.sets(st.tuples(st.sampled_from(LEAVES), st.sampled_from(PORTS)), min_size=1, max_size=4),
        group=st.sampled_from(
            [None, bond(), bond("1"), bond("balance-xor"), bond(fallback=True), bond(lacp_rate="fast", min_links=2)]
        ),
    )
    def bind(self, host: str, network: str, ports: set[tuple[SwitchId, str]], group: GroupParameters | None) -> None:
        try:
            self.run(lambda tx: bindings.bind(tx, wish(host, network, sorted(ports), group)))
        except IronlaneError:
            return  # refused as a whole: what was claimed for it is not kept

    @rule(host=st.sampled_from(["h1", "h2", "h3"]), network=st.sampled_from(list(NETWORKS)))
    def unbind(self, host: str, network: str) -> None:
        self.run(lambda tx: bindings.unbind(tx, f"{host}-{network}"))

    @rule(leaf=st.sampled_from(LEAVES), broken=st.sets(st.sampled_from(PORTS)))
    def commit(self, leaf: SwitchId, broken: set[str]) -> None:
        """A commit that fails on some ports, which stay as they were."""
        seen = self.run(lambda tx: of_switch(tx, leaf))
        desired = project(seen, ManagedPorts(leaf, frozenset(PORTS)))
        self.shown[leaf] = desired | {port: self.shown[leaf][port] for port in broken}
        self.run(lambda tx: settling.settle(tx, leaf, seen, self.shown[leaf]))

    @precondition(lambda self: hasattr(self, "shown"))
    @invariant()
    def each_lag_has_one_owner(self) -> None:
        claimed = {(switch, number): owner for switch, number, owner in self.run(claims)}
        for leaf in LEAVES:
            for a in self.run(lambda tx, leaf=leaf: of_switch(tx, leaf)):
                if a.lag is not None:
                    assert claimed[leaf, a.lag.number] == a.network_port
        for leaf, shown in self.shown.items():
            hosts: dict[int, set[str]] = {}
            for config in shown.values():
                if config.lag is not None:
                    hosts.setdefault(config.lag.number, set()).add(config.description)
            assert all(len(owners) == 1 for owners in hosts.values()), f"two servers in one LAG of {leaf}"

    @precondition(lambda self: hasattr(self, "shown"))
    @invariant()
    def pairs_agree(self) -> None:
        for host in ("h1", "h2", "h3"):
            for network in NETWORKS:
                lags = self.run(lambda tx, port=f"{host}-{network}": lags_of(tx, port))
                assert len(lags) <= 1, "one LAG for all links, with one number and one MLAG id"

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        for host in ("h1", "h2", "h3"):
            for network in NETWORKS:
                self.unbind(host, network)
        for _ in range(4):
            for leaf in LEAVES:
                self.commit(leaf, set())
        assert self.run(claims) == [], "nothing is bound: no id is kept"
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        self.folder.cleanup()


Claims.TestCase.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestClaims = Claims.TestCase
