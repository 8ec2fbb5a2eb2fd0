"""Trunks on the switches: untagged and tagged on one switch port, sub-ports that come and go, what never happens."""

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

from ironlane.model.errors import Conflict, NotFound
from ironlane.model.fabric import AttachmentState, Lag, ManagedPorts, PortConfig, PortMode, Side, SwitchId, Vlan
from ironlane.model.network import TrunkStatus
from ironlane.model.plan import project
from ironlane.store import networks, physical_networks, ports, settling, switches, trunks
from ironlane.store.attachments import of_network_port, of_switch
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.networks import NewNetwork
from ironlane.store.ports import NewPort
from ironlane.store.switches import SwitchSpec
from ironlane.store.tables import attachments, lag_claims, metadata
from ironlane.store.tables import ports as port_rows
from ironlane.store.trunks import NewSubPort, NewTrunk
from tests.conductor.site import CLEANING, MACS, PORTS, PROVISIONING, Site


@pytest.fixture
async def site(any_store: Store) -> Site:
    made = Site(any_store)
    await made.furnish()
    return made


def profile(
    port: str = "p1", *, bond: str | None = "802.3ad", leaves: tuple[str, ...] = tuple(MACS)
) -> dict[str, object]:
    links = [{"switch_id": MACS[leaf], "switch_info": leaf, "port_id": port} for leaf in leaves]
    group = {"local_group_information": {"id": "g", "bond_mode": bond}} if bond else {}
    return {"local_link_information": links, **group}


async def trunk_of(site: Site, parent: str, *members: str) -> str:
    new = NewTrunk(parent, sub_ports=[NewSubPort(member) for member in members])
    return (await site.store.write(lambda tx: trunks.create(tx, new))).id


async def until_active(site: Site, trunk: str) -> None:
    await site.until(lambda tx: trunks.get(tx, trunk).status is TrunkStatus.ACTIVE, "the trunk is ACTIVE")


async def bind(site: Site, port: str, **where: object) -> None:
    changes = {"vnic_type": "baremetal", "host_id": "h1", "profile": profile(), **where}
    await site.store.write(lambda tx: ports.update(tx, port, changes))


def trunked(untagged: int, *tagged: int, lag: Lag | None = Lag(1)) -> PortConfig:  # noqa: B008 - frozen
    mode = PortMode.TRUNK if tagged else PortMode.ACCESS
    return PortConfig(mode, Vlan(untagged), frozenset(Vlan(v) for v in tagged), lag)


async def test_a_server_with_a_trunk_lives(site: Site) -> None:
    """Provisioned untagged on one NIC; then the tenant's networks, untagged and tagged, on the LAG; then cleaned."""
    async with site.conductor():
        node = await site.node(1)
        await site.to_available(node)
        parent, red, blue = [await site.tenant_port(name) for name in ("parent", "red", "blue")]
        trunk = await trunk_of(site, parent, red, blue)
        await site.attach(node, parent)
        assert (await site.store.read(lambda tx: ports.get(tx, red))).host_id == node.id
        await site.ask(node, "active")
        await site.until_state(node, "wait call-back", "booted")
        assert site.carried() == {"leaf-1": {"p1": PortConfig(untagged=Vlan(PROVISIONING))}, "leaf-2": {}}
        await site.report(node)
        await site.until_state(node, "active")
        await until_active(site, trunk)
        vlans = [await site.vlan(port) for port in (parent, red, blue)]
        assert site.carried() == {leaf: {"p1": trunked(*vlans)} for leaf in MACS}
        statuses = await site.store.read(lambda tx: [ports.get(tx, p).status for p in (parent, red, blue)])
        assert statuses == ["ACTIVE"] * 3

        await site.ask(node, "deleted")
        await site.until_state(node, "clean wait", "booted")
        assert site.carried() == {"leaf-1": {"p1": PortConfig(untagged=Vlan(CLEANING))}, "leaf-2": {}}
        await site.report(node)
        await site.until_state(node, "available")
        assert (await site.store.read(lambda tx: ports.get(tx, red))).host_id == ""
        assert (await site.store.read(lambda tx: trunks.get(tx, trunk))).status is TrunkStatus.DOWN
        assert await site.store.read(lambda tx: tx.all(sa.select(lag_claims))) == []
    site.assert_walls_stood()


async def test_sub_ports_come_and_go_and_the_untagged_network_stays(site: Site) -> None:
    async with site.conductor():
        parent, red, blue = [await site.tenant_port(name) for name in ("parent", "red", "blue")]
        vlans = [await site.vlan(port) for port in (parent, red, blue)]
        trunk = await trunk_of(site, parent)
        await bind(site, parent)
        await until_active(site, trunk)
        begin = {name: len(leaf.history) for name, leaf in site.leaves.items()}
        await site.store.write(lambda tx: trunks.add_subports(tx, trunk, [NewSubPort(red), NewSubPort(blue)]))
        await until_active(site, trunk)
        assert site.carried() == {leaf: {"p1": trunked(*vlans)} for leaf in MACS}
        await site.store.write(lambda tx: trunks.remove_subports(tx, trunk, [red]))
        await site.until(lambda tx: not of_network_port(tx, red), "red has left")
        assert site.carried() == {leaf: {"p1": trunked(vlans[0], vlans[2])} for leaf in MACS}
        assert (await site.store.read(lambda tx: ports.get(tx, red))).status == "DOWN"
        await site.store.write(lambda tx: trunks.delete(tx, trunk))
        await site.until(lambda tx: not of_network_port(tx, blue), "blue has left")
        assert site.carried() == {leaf: {"p1": trunked(vlans[0])} for leaf in MACS}
        for name, leaf in site.leaves.items():
            for moment in leaf.history[begin[name] :]:
                assert (moment["p1"].untagged, moment["p1"].lag) == (vlans[0], Lag(1)), "it never flapped"
        assert (await site.store.read(lambda tx: ports.get(tx, parent))).status == "ACTIVE"


async def test_a_trunk_made_of_a_bound_port_joins_at_once(site: Site) -> None:
    async with site.conductor():
        parent, red = [await site.tenant_port(name) for name in ("parent", "red")]
        await bind(site, parent, profile=profile(bond=None, leaves=("leaf-2",)))
        trunk = await trunk_of(site, parent, red)
        await until_active(site, trunk)
        config = trunked(await site.vlan(parent), await site.vlan(red), lag=None)
        assert site.carried() == {"leaf-1": {}, "leaf-2": {"p1": config}}


async def test_a_sub_port_waits_as_its_parent_port_does_for_another_server_to_leave(site: Site) -> None:
    before, parent, red = [await site.tenant_port(name) for name in ("before", "parent", "red")]
    trunk = await trunk_of(site, parent, red)
    await bind(site, before)
    await site.store.write(lambda tx: ports.update(tx, before, {"host_id": "", "profile": {}}))
    await bind(site, parent, host_id="h2")
    for port in (parent, red):
        found = await site.store.read(lambda tx, port=port: of_network_port(tx, port))  # type: ignore[misc]
        assert {a.state for a in found} == {AttachmentState.HELD}
    async with site.conductor():
        await until_active(site, trunk)


async def test_the_parent_port_moves_and_its_sub_ports_with_it(site: Site) -> None:
    async with site.conductor():
        parent, red = [await site.tenant_port(name) for name in ("parent", "red")]
        trunk = await trunk_of(site, parent, red)
        await bind(site, parent)
        await until_active(site, trunk)
        vlans = await site.vlan(parent), await site.vlan(red)
        await bind(site, parent, profile=profile("p2"))
        await until_active(site, trunk)
        await site.until(lambda tx: len(tx.all(sa.select(attachments.c.id))) == 4, "p1 is left")
        assert [set(carried) for carried in site.carried().values()] == [{"p2"}, {"p2"}]
        await bind(site, parent, profile=profile("p2", bond="balance-xor"))
        await until_active(site, trunk)
        for carried in site.carried().values():
            assert (carried["p2"].untagged, carried["p2"].tagged) == (vlans[0], {vlans[1]})
            assert carried["p2"].lag is not None
            assert carried["p2"].lag.mode.value == "static"
        assert len(await site.store.read(lambda tx: tx.all(sa.select(lag_claims)))) == 2


async def test_a_sub_port_or_its_network_that_is_down_is_not_carried(site: Site) -> None:
    async with site.conductor():
        parent, red, blue = [await site.tenant_port(name) for name in ("parent", "red", "blue")]
        trunk = await trunk_of(site, parent, red, blue)
        await bind(site, parent)
        await until_active(site, trunk)
        vlans = [await site.vlan(port) for port in (parent, red, blue)]
        network = (await site.store.read(lambda tx: ports.get(tx, blue))).network_id
        await site.store.write(lambda tx: ports.update(tx, red, {"admin_state_up": False}))
        await site.store.write(lambda tx: networks.update(tx, network, {"admin_state_up": False}))
        await site.until(lambda tx: not of_network_port(tx, red) and not of_network_port(tx, blue), "both have left")
        assert site.carried() == {leaf: {"p1": trunked(vlans[0])} for leaf in MACS}
        await site.store.write(lambda tx: ports.update(tx, red, {"admin_state_up": True}))
        await site.store.write(lambda tx: networks.update(tx, network, {"admin_state_up": True}))
        await until_active(site, trunk)
        assert site.carried() == {leaf: {"p1": trunked(*vlans)} for leaf in MACS}


async def test_a_trunk_is_on_both_switches_of_its_bundle_or_on_none(site: Site) -> None:
    async with site.conductor():
        parent, red = [await site.tenant_port(name) for name in ("parent", "red")]
        trunk = await trunk_of(site, parent, red)
        site.leaves["leaf-2"].unreachable = True
        await bind(site, parent)
        for port in (parent, red):
            await site.until(lambda tx, port=port: "leaf-2" in ports.get(tx, port).status_reason, "the reason is told")
        await site.until(lambda _: not site.carried()["leaf-1"], "leaf-1 waits for leaf-2")
        blue = await site.tenant_port("blue")
        await site.store.write(lambda tx: trunks.add_subports(tx, trunk, [NewSubPort(blue)]))
        await asyncio.sleep(0.2)
        assert not site.carried()["leaf-1"]
        assert (await site.store.read(lambda tx: trunks.get(tx, trunk))).status is TrunkStatus.BUILD
        site.leaves["leaf-2"].unreachable = False
        await until_active(site, trunk)
        vlans = [await site.vlan(port) for port in (parent, red, blue)]
        assert site.carried() == {leaf: {"p1": trunked(*vlans)} for leaf in MACS}


async def test_one_switch_port_belongs_to_one_trunk(site: Site) -> None:
    parent, red, other = [await site.tenant_port(name) for name in ("parent", "red", "other")]
    await trunk_of(site, parent, red)
    await bind(site, parent)
    with pytest.raises(Conflict, match=parent):
        await bind(site, other)


TENANTS = ("t0", "t1", "t2", "t3")
HOSTS = ("h1", "h2")


class Trunks(RuleBasedStateMachine):
    """Two servers, each with a provision port and two trunks that share sub-ports; switches obey when they please."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.store: Store = open_store(f"sqlite:///{Path(self.folder.name)}/x.sqlite")
        self.run(lambda tx: metadata.create_all(tx.connection))
        self.run(self._furnish)
        self.shown: dict[str, dict[str, PortConfig]] = {
            leaf: project([], ManagedPorts(SwitchId(leaf), frozenset(PORTS))) for leaf in MACS
        }

    def _furnish(self, tx: Tx) -> None:
        physical_networks.put(tx, "physnet1", [(200, 299)], 1500, 0)
        for name, mac in MACS.items():
            switches.put(tx, SwitchSpec(SwitchId(name), "memory", "", frozenset(PORTS), "physnet1", mac))
        clean = networks.create(tx, NewNetwork(physical_network="physnet1", segmentation_id=CLEANING))
        tenant = [networks.create(tx, NewNetwork(name=name)).id for name in TENANTS]
        self.clean = {h: ports.create(tx, NewPort(clean.id)).id for h in HOSTS}
        self.parents = {h: [ports.create(tx, NewPort(net)).id for net in tenant[:2]] for h in HOSTS}
        self.members = {h: [ports.create(tx, NewPort(net)).id for net in tenant[1:]] for h in HOSTS}
        self.trunks = {h: [trunks.create(tx, NewTrunk(p)).id for p in self.parents[h]] for h in HOSTS}

    def run(self, transaction):  # type: ignore[no-untyped-def]
        return self.loop.run_until_complete(self.store.write(transaction))

    def attempt(self, transaction) -> None:  # type: ignore[no-untyped-def]
        """What clients are refused changes nothing."""
        with contextlib.suppress(Conflict, NotFound):
            self.run(transaction)

    @rule(
        host=st.sampled_from(HOSTS),
        which=st.sampled_from(["clean", 0, 1]),
        port=st.sampled_from(PORTS[:2]),
        bond=st.sampled_from(["802.3ad", None]),
        leaves=st.sampled_from([("leaf-1",), ("leaf-1", "leaf-2")]),
    )
    def bind(self, host: str, which: str | int, port: str, bond: str | None, leaves: tuple[str, ...]) -> None:
        ident = self.clean[host] if isinstance(which, str) else self.parents[host][which]
        where = profile(port, bond=bond, leaves=leaves)
        self.attempt(lambda tx: ports.update(tx, ident, {"vnic_type": "baremetal", "host_id": host, "profile": where}))

    @rule(host=st.sampled_from(HOSTS), which=st.sampled_from(["clean", 0, 1]))
    def unbind(self, host: str, which: str | int) -> None:
        ident = self.clean[host] if isinstance(which, str) else self.parents[host][which]
        self.run(lambda tx: ports.update(tx, ident, {"host_id": "", "profile": {}}))

    @rule(host=st.sampled_from(HOSTS), trunk=st.integers(0, 1), member=st.integers(0, 2))
    def add(self, host: str, trunk: int, member: int) -> None:
        new = [NewSubPort(self.members[host][member])]
        self.attempt(lambda tx: trunks.add_subports(tx, self.trunks[host][trunk], new))

    @rule(host=st.sampled_from(HOSTS), trunk=st.integers(0, 1), member=st.integers(0, 2))
    def remove(self, host: str, trunk: int, member: int) -> None:
        self.attempt(lambda tx: trunks.remove_subports(tx, self.trunks[host][trunk], [self.members[host][member]]))

    @rule(leaf=st.sampled_from(list(MACS)))
    def commit(self, leaf: str) -> None:
        seen = self.run(lambda tx: of_switch(tx, SwitchId(leaf)))
        before = self.shown[leaf]
        self.shown[leaf] = after = project(seen, ManagedPorts(SwitchId(leaf), frozenset(PORTS)))
        for name in PORTS:
            gone = before[name].untagged
            assert not (gone and after[name].untagged and after[name].untagged != gone), "break before make"
        self.run(lambda tx: settling.settle(tx, SwitchId(leaf), seen, self.shown[leaf]))

    @rule(leaf=st.sampled_from(list(MACS)))
    def commit_unrecorded(self, leaf: str) -> None:
        """A conductor dies between the commit and the record."""
        seen = self.run(lambda tx: of_switch(tx, SwitchId(leaf)))
        self.shown[leaf] = project(seen, ManagedPorts(SwitchId(leaf), frozenset(PORTS)))

    @precondition(lambda self: hasattr(self, "shown"))
    @invariant()
    def walls_stand(self) -> None:
        sides: dict[str, set[Side]] = {}
        for configs in self.shown.values():
            for config in configs.values():
                for vlan in config.vlans:
                    side = Side.PROVIDER if vlan == CLEANING else Side.TENANT
                    sides.setdefault(config.description, set()).add(side)
        assert all(len(both) == 1 for both in sides.values()), "I1: one server on both sides"

    @precondition(lambda self: hasattr(self, "shown"))
    @invariant()
    def sub_ports_are_beside_their_parent_port(self) -> None:
        for host in HOSTS:
            for trunk in self.trunks[host]:
                found = self.run(lambda tx, trunk=trunk: trunks.get(tx, trunk))
                places = [
                    {
                        (a.switch, a.port, a.host, a.lag)
                        for a in self.run(lambda tx, port=port: of_network_port(tx, port))
                        if a.state is not AttachmentState.LEAVING
                    }
                    for port in (found.port_id, *(s.port_id for s in found.sub_ports))
                ]
                assert all(mine == places[0] for mine in places[1:])

    @precondition(lambda self: hasattr(self, "shown"))
    @invariant()
    def active_is_true(self) -> None:
        for row in self.run(lambda tx: tx.all(sa.select(port_rows).where(port_rows.c.status == "ACTIVE"))):
            for a in self.run(lambda tx, port=row.id: of_network_port(tx, port)):
                if a.state is AttachmentState.WANTED:
                    config = self.shown[a.switch][a.port]
                    assert a.vlan in config.tagged if a.tagged else a.vlan == config.untagged, "I4"

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        for host in HOSTS:
            self.unbind(host, "clean")  # so that nothing of the other side is wished for
        for _ in range(6):  # once clients are quiet, every wish is fulfilled
            for leaf in MACS:
                self.commit(leaf)
        left = self.run(lambda tx: tx.all(sa.select(attachments.c.state, attachments.c.applied)))
        assert {tuple(row) for row in left} <= {(AttachmentState.WANTED.value, True)}
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        self.folder.cleanup()


Trunks.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTrunks = Trunks.TestCase
