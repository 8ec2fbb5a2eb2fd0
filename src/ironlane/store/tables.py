"""All tables. One place, so that a newcomer sees the whole state of the system on one page.

Times are UTC. Ids of API objects are UUIDs as text; switches are known by the operator's name. JSON columns hold what
clients own the shape of (`extra`, `driver_info`, `binding:profile`), and small value objects of ours.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment with time zone in Python, naive UTC with microseconds in the database."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _uuid(name: str, *args: Any, **kwargs: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(36), *args, **kwargs)


def _text(name: str, length: int = 255, **kwargs: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), **{"nullable": False, "default": "", **kwargs})


def _json(name: str, default: type = dict) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON, nullable=False, default=default)


def _flag(name: str, default: bool = False) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, default=default)


def _times() -> list[sa.Column[Any]]:
    return [
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime),
    ]


# --- Networking ------------------------------------------------------------------------------------------------

physical_networks = sa.Table(
    "physical_networks",
    metadata,
    _text("name", 64, primary_key=True),
    _json("tenant_vlans", list),  # [[first, last], …]: the range that tenant networks are given VLANs from
    sa.Column("mtu", sa.Integer, nullable=False, default=1500),
    sa.Column("position", sa.Integer, nullable=False, default=0),  # order of the site file; the first is the default
)

networks = sa.Table(
    "networks",
    metadata,
    _uuid("id", primary_key=True),
    _text("project_id"),
    _text("name", index=True),
    _text("description"),
    _flag("admin_state_up", True),
    _flag("shared"),
    _flag("router_external"),
    _flag("port_security_enabled", True),
    sa.Column("mtu", sa.Integer, nullable=False, default=1500),
    _text("network_type", 16, default="vlan"),
    _text("physical_network", 64),
    sa.Column("segmentation_id", sa.Integer),
    _flag("provider_segment"),  # the administrator named the segment; it was not drawn from the tenants' range
    _text("side", 16, default="tenant"),
    _json("tags", list),
    sa.Column("revision_number", sa.Integer, nullable=False, default=1),
    *_times(),
)

segments = sa.Table(
    # A row exists from the moment a VLAN is given to a network until no switch carries it any more (invariant I3),
    # which may be long after the network was deleted.
    "segments",
    metadata,
    _text("physical_network", 64, primary_key=True),
    sa.Column("vlan", sa.Integer, primary_key=True, autoincrement=False),
    _uuid("network_id", nullable=False, index=True),
    _flag("released"),
)

subnets = sa.Table(
    "subnets",
    metadata,
    _uuid("id", primary_key=True),
    _uuid("network_id", sa.ForeignKey("networks.id"), nullable=False, index=True),
    _text("project_id"),
    _text("name"),
    _text("description"),
    sa.Column("ip_version", sa.Integer, nullable=False),
    _text("cidr", 64),
    sa.Column("gateway_ip", sa.String(45)),
    _flag("enable_dhcp", True),
    _json("allocation_pools", list),
    _json("dns_nameservers", list),
    _json("host_routes", list),
    sa.Column("ipv6_ra_mode", sa.String(20)),
    sa.Column("ipv6_address_mode", sa.String(20)),
    _json("tags", list),
    sa.Column("revision_number", sa.Integer, nullable=False, default=1),
    *_times(),
)

ports = sa.Table(
    "ports",
    metadata,
    _uuid("id", primary_key=True),
    _uuid("network_id", sa.ForeignKey("networks.id"), nullable=False, index=True),
    _text("project_id"),
    _text("name"),
    _text("description"),
    _text("mac_address", 17, index=True),
    _flag("admin_state_up", True),
    _text("device_id", index=True),
    _text("device_owner"),
    _text("status", 16, default="DOWN"),
    sa.Column("status_reason", sa.Text, nullable=False, default=""),
    _text("vnic_type", 32, default="normal"),
    _text("host_id", index=True),
    _text("vif_type", 32, default="unbound"),
    _json("profile"),
    _json("extra_dhcp_opts", list),
    _text("ip_allocation", 16, default="immediate"),
    _flag("port_security_enabled", True),
    _uuid("trunk_id"),  # the trunk whose parent or sub-port it is; the rows of `trunks` decide, this saves a look
    _json("tags", list),
    sa.Column("revision_number", sa.Integer, nullable=False, default=1),
    *_times(),
    sa.UniqueConstraint("network_id", "mac_address"),
)

ip_allocations = sa.Table(
    "ip_allocations",
    metadata,
    _uuid("subnet_id", sa.ForeignKey("subnets.id"), primary_key=True),
    _text("ip_address", 45, primary_key=True),
    _uuid("port_id", sa.ForeignKey("ports.id"), nullable=False, index=True),
)

trunks = sa.Table(
    # `status` is not kept: it follows from the attachments, see `store.trunks`.
    "trunks",
    metadata,
    _uuid("id", primary_key=True),
    _text("project_id"),
    _text("name", index=True),
    _text("description"),
    _flag("admin_state_up", True),
    _uuid("port_id", sa.ForeignKey("ports.id"), nullable=False, unique=True),  # the parent port
    _json("tags", list),
    sa.Column("revision_number", sa.Integer, nullable=False, default=1),
    *_times(),
)

trunk_subports = sa.Table(
    "trunk_subports",
    metadata,
    _uuid("port_id", sa.ForeignKey("ports.id"), primary_key=True),
    _uuid("trunk_id", sa.ForeignKey("trunks.id"), nullable=False),
    _text("segmentation_type", 16, default="vlan"),
    sa.Column("segmentation_id", sa.Integer, nullable=False),
    sa.UniqueConstraint("trunk_id", "segmentation_id"),
)

# --- Fabric ----------------------------------------------------------------------------------------------------

switches = sa.Table(
    "switches",
    metadata,
    _text("id", 64, primary_key=True),
    _text("kind", 32),
    sa.Column("mac", sa.String(17), unique=True),
    sa.Column("datapath_id", sa.String(16), unique=True),
    _text("address"),
    sa.Column("port", sa.Integer),
    _text("username"),
    _text("secret_ref", 128),  # the name of the secret, never the secret itself
    _json("options"),
    _text("physical_network", 64),
    _text("rack", 64),
    sa.Column("mlag_peer", sa.String(64)),
    sa.Column("lags", sa.JSON(none_as_null=True)),  # what it can do for LAGs, and ids of others; None: never looked
    _text("policy", 16, default="repair"),  # of drift: repair or report
    _flag("audit_due"),  # look at the switch itself at the next round, whatever was read back lately
    sa.Column("idle_vlan", sa.Integer),
    sa.Column("generation", sa.Integer, nullable=False, default=1),
    sa.Column("applied_generation", sa.Integer, nullable=False, default=0),
    sa.Column("due_at", UtcDateTime, index=True),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    _text("state", 16, default="unknown"),
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sa.Column("observed_at", UtcDateTime),
    sa.Column("conductor", sa.String(255)),
    sa.Column("conductor_epoch", sa.Integer),
    *_times(),
)

foreign_bindings = sa.Table(
    # Wishes of network ports that live in somebody else's Neutron. A row stays for a while after its wish was taken
    # back (`withdrawn_at`), so that a late repetition of it is known for what it is.
    "foreign_bindings",
    metadata,
    _uuid("id", primary_key=True),  # the network port's
    sa.Column("revision", sa.BigInteger, nullable=False),  # the network port's, there
    _uuid("network_id", nullable=False, index=True),
    _text("physical_network", 64),
    sa.Column("vlan", sa.Integer),
    _text("side", 16, default="tenant"),
    _text("host_id"),
    _json("profile"),
    _uuid("parent_id", index=True),  # of a trunk's sub-port: the trunk's parent port
    _text("status", 16, default="DOWN"),
    sa.Column("status_reason", sa.Text, nullable=False, default=""),
    sa.Column("change", sa.BigInteger, nullable=False, index=True),  # the number of its latest change: see below
    sa.Column("withdrawn_at", UtcDateTime, index=True),
    *_times(),
)

foreign_changes = sa.Table(
    # One row: how many changes of `foreign_bindings` there were, for those who follow them. `stream` is drawn anew with
    # the database, so that nobody goes on counting in another one.
    "foreign_changes",
    metadata,
    _text("stream", 36, primary_key=True),
    sa.Column("change", sa.BigInteger, nullable=False),
)

switch_ports = sa.Table(
    # The ports that Ironlane owns. A port that has no row here is never written (invariant I6).
    "switch_ports",
    metadata,
    _text("switch_id", 64, primary_key=True),
    _text("name", 64, primary_key=True),
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
    _uuid("id", primary_key=True),
    _text("switch_id", 64, index=True),
    _text("port_name", 64),
    _uuid("network_port_id", nullable=False, index=True),
    _uuid("network_id", nullable=False, index=True),
    _text("host_id", index=True),
    sa.Column("vlan", sa.Integer, nullable=False),
    _text("side", 16),
    _text("state", 16),
    sa.Column("lag", sa.JSON(none_as_null=True)),
    _flag("tagged"),
    _flag("applied"),
    sa.Column("withheld_by", sa.String(64)),  # the switch that did not take one of the network port's links
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sa.Column("retry_at", UtcDateTime),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    _text("request_id", 64),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.ForeignKeyConstraint(["switch_id"], ["switches.id"]),
)

holdings = sa.Table(
    # Append-only: who held which VLAN on which port, from when to when, at whose request. `to_at` is set when the
    # read-back shows that it is gone.
    "holdings",
    metadata,
    _uuid("id", primary_key=True),
    _uuid("attachment_id", nullable=False, index=True),
    _text("switch_id", 64, index=True),
    _text("port_name", 64),
    sa.Column("vlan", sa.Integer, nullable=False),
    _flag("tagged"),
    sa.Column("lag", sa.JSON(none_as_null=True)),
    _uuid("network_port_id", nullable=False, index=True),
    _uuid("network_id", nullable=False, index=True),
    _text("host_id", index=True),
    _text("request_id", 64),
    sa.Column("from_at", UtcDateTime, nullable=False, index=True),
    sa.Column("to_at", UtcDateTime, index=True),
)

drifts = sa.Table(
    # Append-only: what somebody else changed on our ports.
    "drifts",
    metadata,
    _uuid("id", primary_key=True),
    _text("switch_id", 64, index=True),
    _text("port_name", 64),
    sa.Column("expected", sa.JSON, nullable=False),
    sa.Column("found", sa.JSON, nullable=False),
    sa.Column("found_at", UtcDateTime, nullable=False),
    sa.Column("resolved_at", UtcDateTime, index=True),
    _text("resolution", 32),
)

lag_claims = sa.Table(
    "lag_claims",
    metadata,
    _text("switch_id", 64, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    _uuid("network_port_id", nullable=False, index=True),
    sa.ForeignKeyConstraint(["switch_id"], ["switches.id"]),
)

plans = sa.Table(
    # Append-only: saved before a switch is touched, and its outcome after the read-back.
    "plans",
    metadata,
    _uuid("id", primary_key=True),
    _text("switch_id", 64, index=True),
    sa.Column("generation", sa.Integer, nullable=False),
    _json("changes", list),
    _json("rendered", list),
    _text("outcome", 16, default="saved"),
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
)

previews = sa.Table(
    # What would be sent, asked of the conductor that talks to the switch. `wishes` are the attachments of one
    # generation after the other. Rows are deleted after an hour.
    "previews",
    metadata,
    _uuid("id", primary_key=True),
    _text("switch_id", 64, index=True),
    _json("wishes", list),
    _text("state", 16, default="asked"),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("finished_at", UtcDateTime),
)

# --- Conductors ------------------------------------------------------------------------------------------------

conductors = sa.Table(
    "conductors",
    metadata,
    _text("hostname", primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False, default=1),
    _text("conductor_group"),
    _json("drivers", list),
    _text("cleaning_network"),
    _text("provisioning_network"),
    _flag("online", True),
    sa.Column("heartbeat_at", UtcDateTime, nullable=False),
    *_times(),
)

# --- Baremetal -------------------------------------------------------------------------------------------------

nodes = sa.Table(
    "nodes",
    metadata,
    _uuid("id", primary_key=True),
    sa.Column("name", sa.String(255), unique=True),
    _text("driver", 64),
    _json("driver_info"),
    _json("properties"),
    _json("extra"),
    _json("instance_info"),
    _json("interfaces"),  # deploy_interface, boot_interface, … as the client set them
    _json("traits", list),
    sa.Column("instance_uuid", sa.String(36), unique=True),
    sa.Column("resource_class", sa.String(80)),
    _text("conductor_group"),
    sa.Column("chassis_uuid", sa.String(36)),
    sa.Column("owner", sa.String(255)),
    sa.Column("lessee", sa.String(255)),
    sa.Column("description", sa.Text),
    _text("provision_state", 32, default="enroll", index=True),
    sa.Column("target_provision_state", sa.String(32)),
    sa.Column("provision_updated_at", UtcDateTime),
    sa.Column("power_state", sa.String(32)),
    sa.Column("target_power_state", sa.String(32)),
    sa.Column("boot_device", sa.String(32)),
    _flag("boot_device_persistent"),
    _flag("boot_device_due"),  # the BMC has not been told yet
    sa.Column("last_error", sa.Text),
    _flag("maintenance"),
    sa.Column("maintenance_reason", sa.Text),
    sa.Column("fault", sa.String(255)),
    _flag("protected"),
    sa.Column("protected_reason", sa.Text),
    _flag("retired"),
    sa.Column("retired_reason", sa.Text),
    _flag("automated_clean", True),
    _json("driver_internal_info"),
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
    *_times(),
)

portgroups = sa.Table(
    "portgroups",
    metadata,
    _uuid("id", primary_key=True),
    _uuid("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    sa.Column("name", sa.String(255), unique=True),
    sa.Column("address", sa.String(17), unique=True),
    _text("mode", 32, default="active-backup"),
    _json("properties"),
    _json("extra"),
    _json("internal_info"),
    _flag("standalone_ports_supported", True),
    *_times(),
)

baremetal_ports = sa.Table(
    "baremetal_ports",
    metadata,
    _uuid("id", primary_key=True),
    _uuid("node_id", sa.ForeignKey("nodes.id"), nullable=False, index=True),
    _uuid("portgroup_id", sa.ForeignKey("portgroups.id"), index=True),
    sa.Column("name", sa.String(255), unique=True),
    _text("address", 17, unique=True),
    _json("local_link_connection"),
    _flag("pxe_enabled", True),
    sa.Column("physical_network", sa.String(64)),
    _flag("is_smartnic"),
    _json("extra"),
    _json("internal_info"),
    sa.Column("category", sa.String(80)),
    sa.Column("vendor", sa.String(32)),
    sa.Column("description", sa.String(255)),
    *_times(),
)

inventories = sa.Table(
    # What the ramdisk of a node's latest inspection sent.
    "inventories",
    metadata,
    _uuid("node_id", sa.ForeignKey("nodes.id"), primary_key=True),
    _json("inventory"),
    _json("plugin_data"),
    _flag("fresh"),  # it came since the server was last booted for its inspection
    sa.Column("received_at", UtcDateTime, nullable=False),
)

# --- Cabling ---------------------------------------------------------------------------------------------------

lldp_heard = sa.Table(
    # What a server's NIC heard of its switch, when it was last inspected and heard anything.
    "lldp_heard",
    metadata,
    _uuid("baremetal_port_id", sa.ForeignKey("baremetal_ports.id"), primary_key=True),
    _json("neighbour"),
    sa.Column("problems", sa.Text, nullable=False, default=""),  # what could not be read of it
    sa.Column("heard_at", UtcDateTime, nullable=False),
)

lldp_shown = sa.Table(
    # Whom a switch showed on a port of ours when it was last read; written only when that changes.
    "lldp_shown",
    metadata,
    _text("switch_id", 64, primary_key=True),
    _text("port_name", 64, primary_key=True),
    _json("neighbours", list),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.ForeignKeyConstraint(["switch_id"], ["switches.id"]),
)
