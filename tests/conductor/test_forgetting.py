"""A switch that is gone for good: forgotten by force, and everybody else goes on."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Conflict, NotFound
from ironlane.store import forgetting, holdings, networks, plans, ports, switches
from ironlane.store.attachments import of_host, of_network_port
from ironlane.store.database import Store, Tx
from ironlane.store.networks import NewNetwork
from ironlane.store.tables import networks as network_rows
from tests.conductor.site import MACS, Site
from tests.conductor.test_fabric import settled, until_status
from tests.conductor.test_withholding import bind, carriers

BOTH = tuple(MACS)
CLEANING = sa.select(network_rows.c.id).where(network_rows.c.name == "cleaning")


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


async def test_what_was_on_it_counts_as_gone_and_is_on_record(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        port = await site.tenant_port("red")
        await bind(site, port, "leaf-2")
        await until_status(site, port, "ACTIVE")
        vlan = await site.vlan(port)
        site.leaves["leaf-2"].unreachable = True
        await site.store.write(lambda tx: ports.delete(tx, port))
        with pytest.raises(Conflict, match="wait until they have left"):
            await site.store.write(lambda tx: switches.delete(tx, "leaf-2"))
        done = await site.store.write(lambda tx: forgetting.forget(tx, "leaf-2", "burnt down"))
        assert done.network_ports == (port,)

        def read(tx: Tx) -> None:
            assert of_host(tx, "h-p1") == []
            assert not switches.exists(tx, "leaf-2")
            (period,) = holdings.find(tx, switch="leaf-2")
            assert period.to_at is not None
            plan = plans.latest(tx, "leaf-2")[0]
            assert (plan.id, plan.outcome) == (done.plan, plans.Outcome.FAILED)
            assert "forgotten by force" in plan.reason
            assert plan.reason.endswith("burnt down")
            (change,) = [change for change in plan.plan.changes if change.port == "p1"]
            assert (change.before.untagged, change.network_ports) == (vlan, (port,))

        await site.store.read(read)


async def test_a_bond_goes_on_with_the_links_that_are_left(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        port = await site.tenant_port("red")
        await bind(site, port, *BOTH, bundled=True)
        await until_status(site, port, "ACTIVE")
        site.leaves["leaf-2"].unreachable = True
        commits = site.leaves["leaf-1"].commits
        await site.store.write(lambda tx: forgetting.forget(tx, "leaf-2", "burnt down"))
        await until_status(site, port, "ACTIVE")
        await settled(site)
        assert [a.switch for a in await site.store.read(lambda tx: of_network_port(tx, port))] == ["leaf-1"]
        assert site.carried()["leaf-1"]["p1"].lag is not None
        assert site.leaves["leaf-1"].commits == commits


async def test_what_waited_for_it_waits_no_more(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        site.leaves["leaf-2"].refuse = lambda change: bool(change.after.vlans)
        port = await site.tenant_port("red")
        await bind(site, port, *BOTH, bundled=True)
        await until_status(site, port, "DOWN", "leaf-2 refuses")
        await carriers(site)
        await site.store.write(lambda tx: forgetting.forget(tx, "leaf-2", "burnt down"))
        await until_status(site, port, "ACTIVE")


async def test_a_server_moves_on_and_its_vlan_is_given_to_others(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        port = await site.tenant_port("red")
        await bind(site, port, "leaf-2")
        await until_status(site, port, "ACTIVE")
        vlan = await site.vlan(port)
        network = await site.store.read(lambda tx: ports.get(tx, port).network_id)
        cleaning_network = await site.store.read(lambda tx: tx.execute(CLEANING).scalar_one())
        site.leaves["leaf-2"].unreachable = True

        def clean(tx: Tx) -> str:
            ports.delete(tx, port)
            networks.delete(tx, network)
            return ports.create(tx, ports.NewPort(cleaning_network)).id

        cleaning = await site.store.write(clean)
        await bind(site, cleaning, "leaf-1")
        await until_status(site, cleaning, "DOWN", "waiting until leaf-2/p1")

        def new_vlan(tx: Tx) -> int | None:
            return networks.create(tx, NewNetwork(name="other", project_id="other")).vlan

        assert await site.store.write(new_vlan) != vlan
        await site.store.write(lambda tx: forgetting.forget(tx, "leaf-2", "burnt down"))
        await until_status(site, cleaning, "ACTIVE")
        assert await site.store.write(new_vlan) == vlan


async def test_of_a_switch_that_is_not_there(site: Site) -> None:
    with pytest.raises(NotFound):
        await site.store.write(lambda tx: forgetting.forget(tx, "leaf-9", "burnt down"))
