"""What the Baremetal API keeps beside nodes: allocations, chassis, volumes, and what happened to each node."""

from __future__ import annotations

import sqlalchemy as sa

from ironlane.store.tables.columns import UtcDateTime, json, metadata, text, times, uuid

allocations = sa.Table(
    # A wish for a node. Which node it was given is in `nodes.allocation_uuid`, and nowhere else.
    "allocations",
    metadata,
    uuid("id", primary_key=True),
    sa.Column("name", sa.String(255), unique=True),
    sa.Column("resource_class", sa.String(80)),
    text("state", 16, default="allocating", index=True),  # allocating | active | error
    sa.Column("last_error", sa.Text),
    json("traits", list),
    json("candidate_nodes", list),
    json("extra"),
    sa.Column("owner", sa.String(255)),
    *times(),
)

chassis = sa.Table(
    "chassis",
    metadata,
    uuid("id", primary_key=True),
    sa.Column("description", sa.String(255)),
    json("extra"),
    *times(),
)

volume_connectors = sa.Table(
    # How a server is known to storage: an initiator's name or address.
    "volume_connectors",
    metadata,
    uuid("id", primary_key=True),
    uuid("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    text("type", 32),
    text("connector_id"),
    json("extra"),
    *times(),
    sa.UniqueConstraint("type", "connector_id"),
)

volume_targets = sa.Table(
    # A volume that a server is to have.
    "volume_targets",
    metadata,
    uuid("id", primary_key=True),
    uuid("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    text("volume_type", 64),
    sa.Column("boot_index", sa.Integer, nullable=False),
    text("volume_id"),
    json("properties"),
    json("extra"),
    *times(),
    sa.UniqueConstraint("node_id", "boot_index"),
)

node_history = sa.Table(
    # What happened to a node, the newest few hundred entries of each.
    "node_history",
    metadata,
    uuid("id", primary_key=True),
    uuid("node_id", sa.ForeignKey("nodes.id"), nullable=False),
    text("severity", 16),  # INFO | ERROR
    text("event_type", 32),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("conductor", sa.String(255)),
    sa.Column("user", sa.String(255)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index("ix_node_history_node_id_created_at", "node_id", "created_at"),
)
