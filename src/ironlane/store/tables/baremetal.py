"""Nodes, their ports and portgroups, and what their inspection found."""

from __future__ import annotations

import sqlalchemy as sa

from ironlane.store.tables.columns import UtcDateTime, flag, json, metadata, text, times, uuid

nodes = sa.Table(
    "nodes",
    metadata,
    uuid("id", primary_key=True),
    sa.Column("name", sa.String(255), unique=True),
    text("driver", 64),
    json("driver_info"),
    json("properties"),
    json("extra"),
    json("instance_info"),
    json("interfaces"),  # deploy_interface, boot_interface, … as the client set them
    json("traits", list),
    sa.Column("instance_uuid", sa.String(36), unique=True),
    sa.Column("instance_name", sa.String(255)),
    sa.Column("resource_class", sa.String(80)),
    text("conductor_group"),
    sa.Column("chassis_uuid", sa.String(36)),
    sa.Column("allocation_uuid", sa.String(36), index=True, unique=True),
    sa.Column("shard", sa.String(255), index=True),
    sa.Column("parent_node", sa.String(36), index=True),
    sa.Column("owner", sa.String(255)),
    sa.Column("lessee", sa.String(255)),
    sa.Column("description", sa.Text),
    text("provision_state", 32, default="enroll", index=True),
    sa.Column("target_provision_state", sa.String(32)),
    sa.Column("provision_updated_at", UtcDateTime),
    sa.Column("power_state", sa.String(32)),
    sa.Column("target_power_state", sa.String(32)),
    sa.Column("boot_device", sa.String(32)),
    flag("boot_device_persistent"),
    flag("boot_device_due"),  # the BMC has not been told yet
    sa.Column("last_error", sa.Text),
    flag("maintenance"),
    sa.Column("maintenance_reason", sa.Text),
    sa.Column("fault", sa.String(255)),
    flag("protected"),
    sa.Column("protected_reason", sa.Text),
    flag("retired"),
    sa.Column("retired_reason", sa.Text),
    flag("automated_clean", True),
    json("driver_internal_info"),
    sa.Column("step", sa.String(64)),  # how far the handler of the present state has come
    sa.Column("agent_token_hash", sa.String(64)),
    sa.Column("agent_report", sa.String(16)),  # start | end | error, of the present boot
    sa.Column("agent_message", sa.Text),
    sa.Column("agent_seen_at", UtcDateTime),
    sa.Column("inspection_started_at", UtcDateTime),
    sa.Column("inspection_finished_at", UtcDateTime),
    sa.Column("generation", sa.Integer, nullable=False, default=1),
    sa.Column("due_at", UtcDateTime, index=True),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("conductor", sa.String(255), index=True),
    sa.Column("conductor_epoch", sa.Integer),
    *times(),
)

portgroups = sa.Table(
    "portgroups",
    metadata,
    uuid("id", primary_key=True),
    uuid("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    sa.Column("name", sa.String(255), unique=True),
    sa.Column("address", sa.String(17), unique=True),
    text("mode", 32, default="active-backup"),
    json("properties"),
    json("extra"),
    json("internal_info"),
    flag("standalone_ports_supported", True),
    sa.Column("physical_network", sa.String(64)),
    sa.Column("category", sa.String(80)),
    *times(),
)

baremetal_ports = sa.Table(
    "baremetal_ports",
    metadata,
    uuid("id", primary_key=True),
    uuid("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    uuid("portgroup_id", sa.ForeignKey("portgroups.id"), index=True),
    sa.Column("name", sa.String(255), unique=True),
    text("address", 17, unique=True),
    json("local_link_connection"),
    flag("pxe_enabled", True),
    sa.Column("physical_network", sa.String(64)),
    flag("is_smartnic"),
    json("extra"),
    json("internal_info"),
    sa.Column("category", sa.String(80)),
    sa.Column("vendor", sa.String(32)),
    sa.Column("description", sa.String(255)),
    *times(),
)

inventories = sa.Table(
    # What the ramdisk of a node's latest inspection sent.
    "inventories",
    metadata,
    uuid("node_id", sa.ForeignKey("nodes.id"), primary_key=True),
    json("inventory"),
    json("plugin_data"),
    flag("fresh"),  # it came since the server was last booted for its inspection
    sa.Column("received_at", UtcDateTime, nullable=False),
)

lldp_heard = sa.Table(
    # What a server's NIC heard of its switch, when it was last inspected and heard anything.
    "lldp_heard",
    metadata,
    uuid("baremetal_port_id", sa.ForeignKey("baremetal_ports.id"), primary_key=True),
    json("neighbour"),
    sa.Column("problems", sa.Text, nullable=False, default=""),  # what could not be read of it
    sa.Column("heard_at", UtcDateTime, nullable=False),
)

lldp_shown = sa.Table(
    # Whom a switch showed on a port of ours when it was last read; written only when that changes.
    "lldp_shown",
    metadata,
    text("switch_id", 64, primary_key=True),
    text("port_name", 64, primary_key=True),
    json("neighbours", list),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.ForeignKeyConstraint(["switch_id"], ["switches.id"]),
)
