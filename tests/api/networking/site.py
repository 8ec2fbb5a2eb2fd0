"""A small site for the tests: one physical network, two switches; and a fabric that always does as it is told."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ironlane.model.fabric import ManagedPorts, SwitchId
from ironlane.model.plan import project
from ironlane.store import attachments, physical_networks, settling
from ironlane.store.database import Store, Tx
from ironlane.store.tables import metadata, switch_ports, switches

SWITCHES = {"sw1": "00:11:22:33:44:01", "sw2": "00:11:22:33:44:02"}
PORTS = tuple(f"Ethernet1/{number}" for number in range(1, 9))
IDLE_VLAN = 4000


def seed(tx: Tx) -> None:
    physical_networks.put(tx, "physnet1", [[200, 299]], 1500, 0)
    physical_networks.put(tx, "physnet2", [[300, 301]], 9000, 1)
    for name, mac in SWITCHES.items():
        row = {"id": name, "kind": "none", "mac": mac, "physical_network": "physnet1", "created_at": tx.now}
        tx.execute(sa.insert(switches).values(**row, idle_vlan=IDLE_VLAN))
        tx.execute(sa.insert(switch_ports), [{"switch_id": name, "name": port} for port in PORTS])


def converge(tx: Tx) -> None:
    """What the fabric loops do in the end: every switch carries what its attachments ask for, and this is read back."""
    for name in SWITCHES:
        switch = SwitchId(name)
        for _ in range(2):  # what leaves makes room for what was held
            judged = attachments.of_switch(tx, switch)
            observed = project(judged, ManagedPorts(switch, frozenset(PORTS)))
            settling.settle(tx, switch, judged, observed)


def link(switch: str = "sw1", port: int = 2) -> dict[str, str]:
    return {"switch_id": SWITCHES[switch], "switch_info": switch, "port_id": f"Ethernet1/{port}"}


def profile(*links: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"local_link_information": list(links), "physical_network": "physnet1", **more}


_EVERYTHING = {table.name: sa.select(table).order_by(*table.primary_key.columns) for table in metadata.sorted_tables}


async def dump(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""

    def everything(tx: Tx) -> dict[str, list[tuple[Any, ...]]]:
        return {name: [tuple(row) for row in tx.all(query)] for name, query in _EVERYTHING.items()}

    return await store.read(everything)
