"""Switches, what is on their ports and who may have it, and the plans that changed it."""

from __future__ import annotations

import sqlalchemy as sa

from ironlane.store.tables.columns import UtcDateTime, flag, json, metadata, text, times, uuid

switches = sa.Table(
    "switches",
    metadata,
    text("id", 64, primary_key=True),
    text("kind", 32),
    sa.Column("mac", sa.String(17), unique=True),
    sa.Column("datapath_id", sa.String(16), unique=True),
    text("address"),
    sa.Column("port", sa.Integer),
    text("username"),
    text("secret_ref", 128),  # the name of the secret, never the secret itself
    json("options"),
    text("physical_network", 64),
    text("rack", 64),
    sa.Column("mlag_peer", sa.String(64)),
    sa.Column("lags", sa.JSON(none_as_null=True)),  # what it can do for LAGs, and ids of others; None: never looked
    text("policy", 16, default="repair"),  # of drift: repair or report
    flag("audit_due"),  # look at the switch itself at the next round, whatever was read back lately
    sa.Column("idle_vlan", sa.Integer),
    sa.Column("generation", sa.Integer, nullable=False, default=1),
    sa.Column("applied_generation", sa.Integer, nullable=False, default=0),
    sa.Column("due_at", UtcDateTime, index=True),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    text("state", 16, default="unknown"),
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sa.Column("observed_at", UtcDateTime),
    sa.Column("conductor", sa.String(255)),
    sa.Column("conductor_epoch", sa.Integer),
    *times(),
)

foreign_bindings = sa.Table(
    # Wishes of network ports that live in somebody else's Neutron. A row stays for a while after its wish was taken
    # back (`withdrawn_at`), so that a late repetition of it is known for what it is.
    "foreign_bindings",
    metadata,
    uuid("id", primary_key=True),  # the network port's
    sa.Column("revision", sa.BigInteger, nullable=False),  # the network port's, there
    uuid("network_id", nullable=False, index=True),
    text("physical_network", 64),
    sa.Column("vlan", sa.Integer),
    text("side", 16, default="tenant"),
    text("host_id"),
    json("profile"),
    uuid("parent_id", index=True),  # of a trunk's sub-port: the trunk's parent port
    text("status", 16, default="DOWN"),
    sa.Column("status_reason", sa.Text, nullable=False, default=""),
    sa.Column("change", sa.BigInteger, nullable=False, index=True),  # the number of its latest change: see below
    sa.Column("withdrawn_at", UtcDateTime, index=True),
    *times(),
)

foreign_changes = sa.Table(
    # One row: how many changes of `foreign_bindings` there were, for those who follow them. `stream` is drawn anew with
    # the database, so that nobody goes on counting in another one.
    "foreign_changes",
    metadata,
    text("stream", 36, primary_key=True),
    sa.Column("change", sa.BigInteger, nullable=False),
)

switch_ports = sa.Table(
    # The ports that Ironlane owns. A port that has no row here is never written (invariant I6).
    "switch_ports",
    metadata,
    text("switch_id", 64, primary_key=True),
    text("name", 64, primary_key=True),
    sa.Column("observed", sa.JSON(none_as_null=True)),
    sa.Column("observed_at", UtcDateTime),
    sa.Column("verified", sa.JSON(none_as_null=True)),  # what we last brought about and read back; else is drift
    sa.Column("quarantine", sa.Text, nullable=False, default=""),  # why the port is shut although it should not be
    sa.ForeignKeyConstraint(["switch_id"], ["switches.id"]),
)

attachments = sa.Table(
    # No foreign key to `ports`: an attachment outlives its network port until the switch is seen to be clean.
    "attachments",
    metadata,
    uuid("id", primary_key=True),
    text("switch_id", 64),
    text("port_name", 64),
    uuid("network_port_id", nullable=False, index=True),
    uuid("network_id", nullable=False, index=True),
    text("host_id", index=True),
    sa.Column("vlan", sa.Integer, nullable=False),
    text("side", 16),
    text("state", 16),
    sa.Column("lag", sa.JSON(none_as_null=True)),
    flag("tagged"),
    flag("applied"),
    flag("established"),  # all links of the network port were carried at once
    sa.Column("withheld_by", sa.String(64)),  # the switch that did not take one of the network port's links
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sa.Column("retry_at", UtcDateTime),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    text("request_id", 64),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.ForeignKeyConstraint(["switch_id"], ["switches.id"]),
    sa.Index("ix_attachments_switch_id_port_name", "switch_id", "port_name"),
)

holdings = sa.Table(
    # Append-only: who held which VLAN on which port, from when to when, at whose request. `to_at` is set when the
    # read-back shows that it is gone.
    "holdings",
    metadata,
    uuid("id", primary_key=True),
    uuid("attachment_id", nullable=False, index=True),
    text("switch_id", 64, index=True),
    text("port_name", 64),
    sa.Column("vlan", sa.Integer, nullable=False),
    flag("tagged"),
    sa.Column("lag", sa.JSON(none_as_null=True)),
    uuid("network_port_id", nullable=False, index=True),
    uuid("network_id", nullable=False, index=True),
    text("host_id", index=True),
    text("request_id", 64),
    sa.Column("from_at", UtcDateTime, nullable=False, index=True),
    sa.Column("to_at", UtcDateTime, index=True),
)

drifts = sa.Table(
    # Append-only: what somebody else changed on our ports.
    "drifts",
    metadata,
    uuid("id", primary_key=True),
    text("switch_id", 64, index=True),
    text("port_name", 64),
    sa.Column("expected", sa.JSON, nullable=False),
    sa.Column("found", sa.JSON, nullable=False),
    sa.Column("found_at", UtcDateTime, nullable=False),
    sa.Column("resolved_at", UtcDateTime, index=True),
    text("resolution", 32),
)

lag_claims = sa.Table(
    "lag_claims",
    metadata,
    text("switch_id", 64, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    uuid("network_port_id", nullable=False, index=True),
    sa.ForeignKeyConstraint(["switch_id"], ["switches.id"]),
)

plans = sa.Table(
    # Saved before a switch is touched, and its outcome after the read-back; deleted when it is old (`store/plans.py`).
    "plans",
    metadata,
    uuid("id", primary_key=True),
    text("switch_id", 64, index=True),
    sa.Column("generation", sa.Integer, nullable=False),
    json("changes", list),
    json("rendered", list),
    text("outcome", 16, default="saved"),
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
)

previews = sa.Table(
    # What would be sent, asked of the conductor that talks to the switch. `wishes` are the attachments of one
    # generation after the other. Rows are deleted after an hour.
    "previews",
    metadata,
    uuid("id", primary_key=True),
    text("switch_id", 64, index=True),
    json("wishes", list),
    text("state", 16, default="asked"),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("finished_at", UtcDateTime),
)
