"""The fabric loop: all or nothing across switches, refusals isolated, quarantine, drift, history."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Temporary
from ironlane.model.fabric import PortConfig, SwitchId, Vlan
from ironlane.model.node import Node
from ironlane.model.plan import Plan
from ironlane.store import baremetal_ports, drifts, holdings, ports, switches
from ironlane.store.attachments import of_host, of_network_port
from ironlane.store.database import Store
from ironlane.store.tables import lag_claims, switch_ports
from ironlane.store.tables import switches as switch_rows
from tests.conductor.site import MACS, MemorySwitch, Site


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


async def bind(site: Site, number: int, network: str) -> tuple[Node, str]:
    """A server's portgroup over both leaves on a tenant network, bound as any client may bind it."""
    node = await site.node(number)
    port = await site.tenant_port(network)
    links = [{"switch_id": MACS[leaf], "port_id": f"p{number}", "switch_info": leaf} for leaf in MACS]
    profile = {
        "local_link_information": links,
        "local_group_information": {"id": f"g{number}", "bond_mode": "802.3ad"},
    }
    change = {"vnic_type": "baremetal", "host_id": node.id, "profile": profile}
    await site.store.write(lambda tx: ports.update(tx, port, change))
    return node, port


async def until_status(site: Site, port: str, status: str, reason: str = "") -> None:
    def reached(tx):  # type: ignore[no-untyped-def]
        row = ports.get(tx, port)
        return row.status == status and reason in row.status_reason

    await site.until(reached, f"{port} {status} {reason}")


async def settled(site: Site) -> None:
    await site.until(
        lambda tx: all(row.generation == row.applied_generation for row in tx.all(sa.select(switch_rows))),
        "all switches converged",
    )


async def test_a_bond_that_one_switch_refuses_is_on_neither(site: Site) -> None:
    site.leaves["leaf-2"].refuse = lambda change: change.after.lag is not None
    async with site.conductor():
        await settled(site)
        _, port = await bind(site, 1, "red")
        await until_status(site, port, "DOWN", "leaf-2 refuses")
        await site.until(lambda _tx: site.carried() == {"leaf-1": {}, "leaf-2": {}}, "neither carries it")
        before = site.leaves["leaf-1"].commits
        await asyncio.sleep(0.3)
        assert site.leaves["leaf-1"].commits == before, "the switch that took its part is not made to flap"
        site.leaves["leaf-2"].refuse = lambda _change: False
        await until_status(site, port, "ACTIVE")
        vlan = Vlan(await site.vlan(port))
        assert {leaf: carried["p1"].untagged for leaf, carried in site.carried().items()} == dict.fromkeys(MACS, vlan)


async def test_a_bond_with_an_unreachable_switch_is_on_neither(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        site.leaves["leaf-2"].unreachable = True
        _, port = await bind(site, 1, "red")
        await until_status(site, port, "DOWN", "leaf-2 does not answer")
        await site.until(lambda _tx: site.carried() == {"leaf-1": {}, "leaf-2": {}}, "neither carries it")
        _, second = await bind(site, 2, "blue")
        await until_status(site, second, "DOWN", "leaf-2 does not answer")
        assert site.carried()["leaf-1"] == {}, "known to be impossible, it is not even begun"
        site.leaves["leaf-2"].unreachable = False
        await until_status(site, port, "ACTIVE")
        await until_status(site, second, "ACTIVE")


async def test_unbinding_what_is_withheld_leaves_nothing(site: Site) -> None:
    site.leaves["leaf-2"].refuse = lambda change: change.after.lag is not None
    async with site.conductor():
        node, port = await bind(site, 1, "red")
        await until_status(site, port, "DOWN", "leaf-2 refuses")
        await site.store.write(lambda tx: ports.update(tx, port, {"host_id": "", "profile": {}}))
        await site.until(lambda tx: not of_host(tx, node.id), "nothing on record")
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}
        assert await site.store.read(lambda tx: tx.all(sa.select(lag_claims))) == []


async def test_one_bad_port_does_not_hold_up_the_others(site: Site) -> None:
    site.leaves["leaf-1"].unreachable = True
    bound = [await bind(site, number, f"net-{number}") for number in range(1, 7)]
    bad = bound[3][1]
    site.leaves["leaf-1"].refuse = lambda change: change.port == "p4" and bool(change.after.vlans)
    site.leaves["leaf-1"].unreachable = False
    async with site.conductor():
        for _, port in bound:
            if port != bad:
                await until_status(site, port, "ACTIVE")
        await until_status(site, bad, "DOWN", "leaf-1 refuses")
        await site.until(lambda _tx: "p4" not in site.carried()["leaf-2"], "taken back")


async def test_a_port_that_cannot_be_freed_is_shut_and_told(site: Site) -> None:
    async with site.conductor():
        node, port = await bind(site, 1, "red")
        await until_status(site, port, "ACTIVE")
        # The switch takes no change of this port but to shut it as it is.
        site.leaves["leaf-1"].refuse = lambda c: c.port == "p1" and c.after != replace(c.before, enabled=False)
        await site.store.write(lambda tx: ports.delete(tx, port))
        await site.until(lambda _tx: not site.leaves["leaf-1"].carried["p1"].enabled, "shut")

        def quarantined(tx):  # type: ignore[no-untyped-def]
            row = tx.one(sa.select(switch_ports).where(switch_ports.c.quarantine != ""))
            return row is not None and (row.switch_id, row.name) == ("leaf-1", "p1")

        await site.until(quarantined, "told")
        await site.until(lambda tx: not of_host(tx, node.id), "off the wire, so off the record")
        site.leaves["leaf-1"].refuse = lambda _change: False
        await site.until(lambda tx: not quarantined(tx), "freed")


def sabotage(site: Site, vlan: int = 666) -> PortConfig:
    """Somebody configures a port of ours by hand."""
    config = PortConfig(untagged=Vlan(vlan), description="by hand")
    site.leaves["leaf-1"].carried["p5"] = config
    return config


async def test_drift_is_found_named_and_repaired(site: Site) -> None:
    site.audit = timedelta(milliseconds=100)
    async with site.conductor():
        await settled(site)
        found = sabotage(site)
        await site.until(lambda tx: bool(drifts.find(tx)), "found")
        await site.until(lambda tx: not drifts.find(tx, open_only=True), "repaired")
        (drift,) = await site.store.read(drifts.find)
        assert (drift.switch, drift.port, drift.found, drift.resolution) == ("leaf-1", "p5", found, "repaired")
        assert not drift.expected.enabled
        assert site.carried() == {"leaf-1": {}, "leaf-2": {}}


async def test_drift_is_only_reported_where_the_policy_says_so(site: Site) -> None:
    site.audit = timedelta(milliseconds=100)

    def report(tx):  # type: ignore[no-untyped-def]
        tx.execute(sa.update(switch_rows).values(policy="report"))

    await site.store.write(report)
    async with site.conductor():
        await settled(site)
        sabotage(site)
        await site.until(lambda tx: bool(drifts.find(tx, open_only=True)), "found")
        await asyncio.sleep(0.3)
        assert site.leaves["leaf-1"].carried["p5"].untagged == 666, "left as it is"
        assert len(await site.store.read(drifts.find)) == 1, "told once"
        state = await site.store.read(lambda tx: switches.get(tx, "leaf-1"))
        assert "p5" in state.reason
        _, port = await bind(site, 5, "red")
        await until_status(site, port, "ACTIVE")
        assert site.leaves["leaf-1"].carried["p5"].untagged == await site.vlan(port), "a wish overrides it"


async def test_what_a_dead_conductor_left_half_done_is_no_drift(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        site.leaves["leaf-1"].fail_applies, site.leaves["leaf-1"].half = 1, True
        _, port = await bind(site, 1, "red")
        await until_status(site, port, "ACTIVE")
    assert await site.store.read(drifts.find) == []


async def test_a_port_that_the_switch_does_not_have_holds_up_nobody_else(site: Site) -> None:
    del site.leaves["leaf-1"].carried["p2"]
    async with site.conductor():
        _, first = await bind(site, 1, "red")
        _, second = await bind(site, 2, "blue")
        await until_status(site, first, "ACTIVE")
        await until_status(site, second, "DOWN", "no port p2")
        assert "p2" not in site.carried()["leaf-2"]


async def test_history_says_who_held_what_from_when_to_when(site: Site) -> None:
    async with site.conductor():
        node, port = await bind(site, 1, "red")
        await until_status(site, port, "ACTIVE")
        vlan = await site.vlan(port)
        during = site.store.now()
        await site.store.write(lambda tx: ports.delete(tx, port))
        await site.until(lambda tx: not of_host(tx, node.id), "gone")
    held = await site.store.read(lambda tx: holdings.find(tx, host=node.id))
    assert {(h.switch, h.port, h.vlan, h.network_port) for h in held} == {
        (SwitchId(leaf), "p1", Vlan(vlan), port) for leaf in MACS
    }
    assert all(h.to_at is not None and h.from_at <= during < h.to_at for h in held)
    assert len(await site.store.read(lambda tx: holdings.find(tx, at=during))) == 2
    assert await site.store.read(lambda tx: holdings.find(tx, at=site.store.now())) == []


async def test_a_portgroup_that_is_recabled_moves_as_a_whole(site: Site) -> None:
    async with site.conductor():
        node, port = await bind(site, 1, "red")
        await until_status(site, port, "ACTIVE")
        profile = {"local_link_information": [{"switch_id": MACS["leaf-1"], "port_id": "p6"}]}
        await site.store.write(lambda tx: ports.update(tx, port, {"profile": profile}))
        await until_status(site, port, "ACTIVE")
        await site.until(lambda tx: len(of_network_port(tx, port)) == 1, "what it had before is gone")
        assert {leaf: sorted(carried) for leaf, carried in site.carried().items()} == {"leaf-1": ["p6"], "leaf-2": []}
        assert await site.store.read(lambda tx: len(baremetal_ports.of_node(tx, node.id))) == 2


class ForgetfulSwitch(MemorySwitch):
    """Loses the session when a commit has taken effect, before it is saved; `saved` is what a reboot would bring."""

    saved: dict[str, PortConfig]
    lose = True

    async def apply(self, plan: Plan) -> None:
        await super().apply(plan)
        if self.lose:
            raise Temporary("session lost before the commit was saved")
        await self.save()

    async def save(self) -> None:
        self.saved = dict(self.carried)


async def test_a_commit_that_came_through_unsaved_is_saved(site: Site) -> None:
    site.leaves["leaf-1"] = leaf = ForgetfulSwitch("leaf-1")
    async with site.conductor():
        await settled(site)
        assert leaf.saved == leaf.carried, "idle configuration came through, and its session was lost"
        _, port = await bind(site, 1, "red")
        await until_status(site, port, "ACTIVE")
        await settled(site)
        await site.until(lambda _: leaf.saved == leaf.carried, "saved")


async def test_a_port_that_the_switch_does_not_forward_on_is_not_active(site: Site) -> None:
    async with site.conductor():
        _, port = await bind(site, 1, "red")
        await until_status(site, port, "ACTIVE")
        leaf = site.leaves["leaf-1"]
        leaf.refuse = lambda change: change.port == "p1"
        leaf.carried["p1"] = replace(leaf.carried["p1"], inactive="not defined: VLAN 200")
        await site.store.write(lambda tx: switches.make_audit_due(tx, "leaf-1"))
        await until_status(site, port, "DOWN")
        leaf.refuse = lambda _change: False
        await until_status(site, port, "ACTIVE")
        assert not leaf.carried["p1"].inactive
