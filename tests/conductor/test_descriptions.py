"""A switch that has no place for a port's description is not asked for one."""

from __future__ import annotations

from dataclasses import replace

from ironlane.store import ports
from ironlane.store.database import Store
from tests.conductor.site import MACS, MemorySwitch, Site


async def test_a_switch_without_descriptions_converges(store: Store) -> None:
    site = Site(store)
    await site.furnish()
    leaf = site.leaves["leaf-1"]
    leaf.capabilities = replace(MemorySwitch.capabilities, descriptions=False)
    node = await site.node(1)
    port = await site.tenant_port("red")
    profile = {"local_link_information": [{"switch_id": MACS["leaf-1"], "port_id": "p1", "switch_info": "leaf-1"}]}
    change = {"vnic_type": "baremetal", "host_id": node.id, "profile": profile}
    async with site.conductor():
        await store.write(lambda tx: ports.update(tx, port, change))
        await site.until(lambda tx: ports.get(tx, port).status == "ACTIVE", "the port is ACTIVE")
    assert leaf.carried["p1"].untagged is not None
    assert {config.description for config in leaf.carried.values()} == {""}
