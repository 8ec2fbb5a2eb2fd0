"""All tables: the whole state of the system, by who it serves.

Times are UTC. Ids of API objects are UUIDs as text; switches are known by the operator's name. JSON columns hold what
clients own the shape of (`extra`, `driver_info`, `binding:profile`), and small value objects of ours.
"""

from ironlane.store.tables.baremetal import baremetal_ports, inventories, lldp_heard, lldp_shown, nodes, portgroups
from ironlane.store.tables.columns import UtcDateTime, metadata
from ironlane.store.tables.conductors import conductors, write_turn
from ironlane.store.tables.fabric import (
    attachments,
    drifts,
    foreign_bindings,
    foreign_changes,
    holdings,
    lag_claims,
    plans,
    previews,
    switch_ports,
    switches,
)
from ironlane.store.tables.networking import (
    ip_allocations,
    networks,
    physical_networks,
    ports,
    quotas,
    rbac_policies,
    segments,
    subnets,
    trunk_subports,
    trunks,
)
from ironlane.store.tables.resources import (
    allocations,
    chassis,
    node_history,
    volume_connectors,
    volume_targets,
)

__all__ = [
    "UtcDateTime",
    "allocations",
    "attachments",
    "baremetal_ports",
    "chassis",
    "conductors",
    "drifts",
    "foreign_bindings",
    "foreign_changes",
    "holdings",
    "inventories",
    "ip_allocations",
    "lag_claims",
    "lldp_heard",
    "lldp_shown",
    "metadata",
    "networks",
    "node_history",
    "nodes",
    "physical_networks",
    "plans",
    "portgroups",
    "ports",
    "previews",
    "quotas",
    "rbac_policies",
    "segments",
    "subnets",
    "switch_ports",
    "switches",
    "trunk_subports",
    "trunks",
    "volume_connectors",
    "volume_targets",
    "write_turn",
]
