"""The gate: a server whose cables are not where the record says gets onto no tenant network."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.model.cabling import CablingCheck, CablingPolicy, Verdict
from ironlane.model.errors import Conflict, Invalid, Permanent
from ironlane.model.fabric import SwitchId
from ironlane.model.lldp import Neighbour
from ironlane.model.node import Node
from ironlane.store import baremetal_ports, cabling, inspection, nodes, switches, vifs
from ironlane.store.cabling import CABLING_WARNING
from ironlane.store.database import Store, Tx
from ironlane.store.inspection import Sender
from ironlane.store.tables import lldp_heard, lldp_shown
from tests.conductor.site import CLEANING, MACS, PROVISIONING, MemorySwitch, Site
from tests.conductor.test_inspection import lldp

POLICY = CablingPolicy()
NIC = ["52:54:00:01:00:01", "52:54:00:01:00:02"]
"""Both NICs of node 1; the record has them at leaf-1/p1 and leaf-2/p1, in one portgroup."""


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


@pytest.fixture
async def any_site(any_store: Store) -> Site:
    """The same, once on each kind of database."""
    made = Site(any_store)
    await made.furnish()
    return made


async def inspected(site: Site, node: Node, heard: tuple[Any, Any]) -> None:
    """From manageable through an inspection in which each NIC heard these TLVs, and back."""
    await site.ask(node, "inspect")
    await site.until_state(node, "inspect wait", "booted")
    interfaces = [
        {"name": f"eth{n}", "mac_address": mac, "lldp": tlvs}
        for n, (mac, tlvs) in enumerate(zip(NIC, heard, strict=True))
    ]
    inventory = {"interfaces": interfaces}
    await site.store.write(lambda tx: inspection.record(tx, Sender(NIC), inventory, {}))
    await site.until_state(node, "manageable")


async def available(site: Site, *heard: Any) -> Node:
    """Node 1, inspected if anything was heard, and clean; with a VIF on its portgroup."""
    node = await site.node(1)
    await site.ask(node, "manage")
    await site.until_state(node, "manageable")
    if heard:
        await inspected(site, node, heard)
    await site.ask(node, "provide")
    await site.until_state(node, "clean wait", "booted")
    await site.report(node)
    await site.until_state(node, "available")
    await site.attach(node, await site.tenant_port("red"))
    return node


async def judged(site: Site, node: Node, policy: CablingPolicy = POLICY) -> list[cabling.Judged]:
    found = await site.store.read(lambda tx: cabling.of_nodes(tx, [nodes.by_id(tx, node.id)], policy))
    return sorted(found, key=lambda one: one.nic.address)


async def show(site: Site, leaf: str, **ports: list[Neighbour]) -> None:
    """What an audit of the switch finds."""
    await site.store.write(lambda tx: cabling.note_shown(tx, SwitchId(leaf), ["p1", "p2", "p3"], ports))


async def test_swapped_cables_block_the_deployment_before_anything_is_written(any_site: Site) -> None:
    site = any_site
    async with site.conductor():
        node = await available(site, lldp("leaf-1", "p1"), lldp("leaf-2", "p4"))
        await site.ask(node, "active")
        failed = await site.until_state(node, "deploy failed")
        assert failed.last_error is not None
        assert "NIC 52:54:00:01:00:02 of node node-1 is recorded at switch leaf-2" in failed.last_error
        assert f"it is cabled to switch leaf-2 ({MACS['leaf-2']}) port p4" in failed.last_error
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}
        assert failed.agent_seen_at is not None, "only from its cleaning"

        # The operator corrects the record: what was heard agrees with it, and needs not be heard again.
        def correct(tx: Tx) -> None:
            nic = baremetal_ports.find(tx, address=NIC[1])[0]
            link = {**nic.local_link_connection, "port_id": "p4"}
            baremetal_ports.update(tx, nic.id, {"local_link_connection": link})

        await site.store.write(correct)
        await site.to_active(node)
        assert set(site.carried()["leaf-2"]) == {"p4"}
    site.assert_walls_stood()


async def test_what_is_learnt_while_the_server_is_written_blocks_its_tenant_s_network(site: Site) -> None:
    async with site.conductor():
        node = await available(site)
        await site.ask(node, "active")
        await site.until_state(node, "wait call-back", "booted")
        await site.node(2)
        await show(site, "leaf-2", p1=[Neighbour("52:54:00:02:00:02", "52:54:00:02:00:02")])
        await site.report(node)
        failed = await site.until_state(node, "deploy failed")
        assert failed.last_error is not None
        assert "the switch's LLDP shows a NIC of node node-2 (52:54:00:02:00:02" in failed.last_error
        ever = {vlan for leaf in site.leaves.values() for at in leaf.history for c in at.values() for vlan in c.vlans}
        assert ever == {CLEANING, PROVISIONING}, "no tenant's VLAN was ever on a switch"


async def test_a_vif_for_a_wrong_nic_is_refused_and_nothing_stays_of_it(site: Site) -> None:
    async with site.conductor():
        node = await available(site, lldp("leaf-2", "p1"), lldp("leaf-1", "p1"))

        def again(tx: Tx) -> None:
            found = nodes.by_id(tx, node.id)
            cabling.gate(tx, found, vifs.nics(tx, node.id), POLICY)

        with pytest.raises(Conflict) as caught:
            await site.store.write(again)
        assert caught.value.code == "CablingContradiction"
        assert caught.value.message.count("is recorded at") == 2, "both links of the bond are told"


async def test_a_warning_lets_it_pass_and_stays_on_the_node(site: Site) -> None:
    site.settings = replace(site.settings, cabling=CablingPolicy(CablingCheck.WARN))
    async with site.conductor():
        node = await available(site, lldp("leaf-1", "p1"), lldp("leaf-2", "p4"))
        await site.to_active(node)
        active = await site.until_state(node, "active")
        assert "it is cabled to switch leaf-2" in active.driver_internal_info[CABLING_WARNING]
        nic = (await judged(site, node))[1].nic
        link = {**nic.local_link_connection, "port_id": "p4"}
        await site.ask(node, "deleted")
        await site.until_state(node, "clean wait", "booted")
        await site.report(node)
        await site.until_state(node, "available")
        await site.store.write(lambda tx: baremetal_ports.update(tx, nic.id, {"local_link_connection": link}))
        await site.attach(node, await site.tenant_port("blue"))
        await site.to_active(node)
        assert CABLING_WARNING not in (await site.until_state(node, "active")).driver_internal_info


@pytest.mark.parametrize(("own", "state"), [("off", "active"), ("WARN", "active"), ("perhaps", "deploy failed")])
async def test_a_node_may_have_its_own_policy(site: Site, own: str, state: str) -> None:
    async with site.conductor():
        node = await available(site, lldp("leaf-1", "p1"), lldp("leaf-2", "p4"))
        info = {"driver_info": {"cabling_check": own}}
        await site.store.write(lambda tx: nodes.update(tx, node.id, info))
        if state == "active":
            await site.to_active(node)
        else:
            await site.ask(node, "active")
        found = await site.until_state(node, state)
        assert (CABLING_WARNING in found.driver_internal_info) is (own == "WARN")
        if state != "active":
            assert found.last_error == "driver_info.cabling_check: must be one of block, warn, off"


async def test_old_lldp_blocks_nothing(site: Site) -> None:
    async with site.conductor():
        node = await available(site, lldp("leaf-1", "p1"), lldp("leaf-2", "p4"))
        old = site.store.now() - POLICY.fresh - timedelta(minutes=1)
        await site.store.write(lambda tx: tx.execute(sa.update(lldp_heard).values(heard_at=old)) and None)
        assert [one.judgement.verdict for one in await judged(site, node)] == [Verdict.STALE, Verdict.STALE]
        await site.to_active(node)


async def test_lldp_that_makes_no_sense_is_told_and_blocks_nothing(site: Site) -> None:
    async with site.conductor():
        node = await available(site, lldp("leaf-1", "p1"), [[1, "0402"], [2, "zz"], "x", [5, ""]])
        found = await judged(site, node)
        assert [one.judgement.verdict for one in found] == [Verdict.AGREES, Verdict.UNSEEN]
        assert found[0].problems == ""
        assert "a MAC address of 1 bytes; the value of TLV 2 is not hexadecimal" in found[1].problems
        await site.to_active(node)


async def test_a_nic_that_hears_nothing_keeps_what_it_heard(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await inspected(site, node, (lldp("leaf-1", "p1"), lldp("leaf-2", "p4")))
        first = (await judged(site, node))[1]
        assert first.judgement.verdict is Verdict.CONTRADICTS
        await inspected(site, node, (lldp("leaf-1", "p1"), []))
        again = (await judged(site, node))[1]
        assert again.cable.heard == first.cable.heard
        await inspected(site, node, (lldp("leaf-1", "p1"), lldp("leaf-2", "p1")))
        assert (await judged(site, node))[1].judgement.verdict is Verdict.AGREES


@dataclass
class HearingSwitch(MemorySwitch):
    """A switch that speaks LLDP; `deaf` if it refuses to tell."""

    heard: dict[str, list[Neighbour]] = field(default_factory=dict)
    deaf: bool = False

    async def neighbours(self, ports: Collection[str]) -> Mapping[str, Sequence[Neighbour]]:
        if self.deaf:
            raise Permanent("LLDP is not enabled")
        return {port: self.heard[port] for port in ports if port in self.heard}


STRANGER = Neighbour("52:54:00:02:00:02", "52:54:00:02:00:02")


async def hearing(site: Site, **options: Any) -> HearingSwitch:
    """leaf-2, hearing node 2 on the port of node 1 from the start."""
    switch = site.leaves["leaf-2"] = HearingSwitch("leaf-2", heard={"p1": [STRANGER]}, **options)
    await site.node(2)
    return switch


async def test_what_a_switch_hears_is_kept_when_it_is_read(site: Site) -> None:
    await hearing(site)
    async with site.conductor():
        node = await site.node(1)
        await site.until(lambda tx: bool(tx.all(sa.select(lldp_shown))), "neighbours of leaf-2")
        assert [one.judgement.verdict for one in await judged(site, node)] == [Verdict.UNSEEN, Verdict.CONTRADICTS]


async def test_a_switch_that_tells_no_neighbours_carries_what_it_should(site: Site) -> None:
    await hearing(site, deaf=True)
    async with site.conductor():
        node = await available(site)
        await site.to_active(node)
        assert await site.store.read(lambda tx: tx.all(sa.select(lldp_shown))) == []


async def test_a_switch_is_read_again_before_a_server_is_refused_for_what_it_showed(site: Site) -> None:
    switch = await hearing(site)
    async with site.conductor():
        node = await site.node(1)
        await site.to_available(node)
        await site.attach(node, await site.tenant_port("red"))
        assert (await judged(site, node))[1].judgement.verdict is Verdict.CONTRADICTS
        switch.heard.clear()  # the cables were put right since; no audit is due for long
        await site.to_active(node)
    site.assert_walls_stood()


async def test_a_switch_that_still_shows_somebody_else_is_believed(site: Site) -> None:
    await hearing(site)
    async with site.conductor():
        node = await available(site)
        await site.ask(node, "active")
        failed = await site.until_state(node, "deploy failed")
        assert failed.last_error is not None
        assert "there the switch's LLDP shows a NIC of node node-2" in failed.last_error


async def test_a_silent_server_is_told_where_somebody_else_is(site: Site) -> None:
    await hearing(site)
    site.settings = replace(site.settings, report_timeout=timedelta(seconds=0.2))
    async with site.conductor():
        node = await site.node(1)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await site.until(lambda tx: bool(tx.all(sa.select(lldp_shown))), "neighbours of leaf-2")
        await site.ask(node, "inspect")
        failed = await site.until_state(node, "inspect failed")
        assert failed.last_error is not None
        assert "shows a NIC of node node-2" in failed.last_error


async def test_members_of_a_bond_speak_with_its_one_address(site: Site) -> None:
    async with site.conductor():
        node = await available(site)
        await site.to_active(node)
        bond = Neighbour(NIC[0], NIC[0], system_name="node-1")
        await show(site, "leaf-1", p1=[bond])
        await show(site, "leaf-2", p1=[bond])
        assert [one.judgement.verdict for one in await judged(site, node)] == [Verdict.AGREES, Verdict.AGREES]


async def test_only_what_changed_is_written(site: Site) -> None:
    async def rows() -> list[Any]:
        return await site.store.read(lambda tx: [tuple(r) for r in tx.all(sa.select(lldp_shown))])

    mine = Neighbour(NIC[0], NIC[0])
    await show(site, "leaf-1", p1=[mine], p2=[Neighbour("aa:aa:aa:aa:aa:aa")], p9=[mine])
    first = await rows()
    assert [row[1] for row in first] == ["p1", "p2"], "p9 was not asked about"
    await show(site, "leaf-1", p1=[mine], p2=[Neighbour("aa:aa:aa:aa:aa:aa")])
    assert await rows() == first
    await show(site, "leaf-1", p2=[Neighbour("bb:aa:aa:aa:aa:aa")])
    second = await rows()
    assert [row[1] for row in second] == ["p2"]
    assert second[0][3] > first[1][3]
    await site.store.write(lambda tx: switches.delete(tx, "leaf-1"))
    assert await rows() == []


async def test_the_node_s_own_policy_is_checked(site: Site) -> None:
    node = await site.node(1)
    with pytest.raises(Invalid, match=r"driver_info\.cabling_check"):
        cabling.policy_of(replace(node, driver_info={"cabling_check": 7}), POLICY)


async def test_another_nic_in_a_port_s_place_has_heard_nothing(site: Site) -> None:
    async with site.conductor():
        node = await available(site, lldp("leaf-1", "p1"), lldp("leaf-2", "p4"))
        nic = (await judged(site, node))[1].nic
        await site.store.write(lambda tx: baremetal_ports.update(tx, nic.id, {"address": NIC[1], "name": "eth1"}))
        assert (await judged(site, node))[1].judgement.verdict is Verdict.CONTRADICTS, "it is the same one still"
        await site.store.write(lambda tx: baremetal_ports.update(tx, nic.id, {"address": "52:54:00:01:00:99"}))
        assert (await judged(site, node))[1].judgement.verdict is Verdict.UNSEEN


async def test_everything_goes_with_its_node(site: Site) -> None:
    async with site.conductor():
        node = await site.node(1)
        await site.ask(node, "manage")
        await site.until_state(node, "manageable")
        await inspected(site, node, (lldp("leaf-1", "p1"), lldp("leaf-2", "p1")))
    await site.store.write(lambda tx: baremetal_ports.delete(tx, baremetal_ports.find(tx, address=NIC[0])[0].id))
    await site.store.write(lambda tx: nodes.delete(tx, node.id))
    assert await site.store.read(lambda tx: tx.all(sa.select(lldp_heard))) == []
