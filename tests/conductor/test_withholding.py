"""All or nothing across switches (ADR 7): what one switch does not take is on none, and nothing waits for ever."""

from __future__ import annotations

import pytest

from ironlane.store import ports
from ironlane.store.database import Store
from tests.conductor.site import MACS, Site
from tests.conductor.test_fabric import settled, until_status

BOTH = tuple(MACS)


@pytest.fixture
async def site(store: Store) -> Site:
    made = Site(store)
    await made.furnish()
    return made


async def bind(site: Site, port: str, *leaves: str) -> None:
    """Port p1 of these leaves, for one host, each link by itself."""
    links = [{"switch_info": leaf, "port_id": "p1"} for leaf in leaves]
    change = {"vnic_type": "baremetal", "host_id": "h1", "profile": {"local_link_information": links}}
    await site.store.write(lambda tx: ports.update(tx, port, change))


async def carriers(site: Site, *leaves: str) -> None:
    await site.until(lambda _tx: [leaf for leaf, on in site.carried().items() if "p1" in on] == list(leaves), "carried")


async def test_what_waited_for_a_switch_that_is_not_asked_any_more_goes_on(site: Site) -> None:
    async with site.conductor():
        await settled(site)
        site.leaves["leaf-2"].refuse = lambda change: bool(change.after.vlans)
        port = await site.tenant_port("red")
        await bind(site, port, *BOTH)
        await until_status(site, port, "DOWN", "leaf-2 refuses")
        await carriers(site)
        await bind(site, port, "leaf-1")
        await until_status(site, port, "ACTIVE")
        await carriers(site, "leaf-1")


async def test_a_link_is_added_beside_one_whose_switch_fails_since(site: Site) -> None:
    """The failing switch carries its part already: there is nothing of it to be waited for."""
    async with site.conductor():
        await settled(site)
        port = await site.tenant_port("red")
        await bind(site, port, "leaf-2")
        await until_status(site, port, "ACTIVE")
        site.leaves["leaf-2"].refuse = lambda change: bool(change.after.vlans)
        other = await site.tenant_port("blue")
        links = {"local_link_information": [{"switch_info": "leaf-2", "port_id": "p2"}]}
        change = {"vnic_type": "baremetal", "host_id": "h2", "profile": links}
        await site.store.write(lambda tx: ports.update(tx, other, change))
        await until_status(site, other, "DOWN", "leaf-2 refuses")
        await bind(site, port, *BOTH)
        await until_status(site, port, "ACTIVE")
        await carriers(site, *BOTH)
