"""Networks, subnets, ports and trunks: what tenants ask for, and how much of it they may have."""

from __future__ import annotations

import sqlalchemy as sa

from ironlane.store.tables.columns import flag, json, metadata, text, times, uuid

physical_networks = sa.Table(
    "physical_networks",
    metadata,
    text("name", 64, primary_key=True),
    json("tenant_vlans", list),  # [[first, last], …]: the range that tenant networks are given VLANs from
    sa.Column("mtu", sa.Integer, nullable=False, default=1500),
    sa.Column("position", sa.Integer, nullable=False, default=0),  # order of the site file; the first is the default
)

networks = sa.Table(
    "networks",
    metadata,
    uuid("id", primary_key=True),
    text("project_id", index=True),
    text("name", index=True),
    text("description"),
    flag("admin_state_up", True),
    flag("shared"),  # there is a row in `rbac_policies` for every project
    flag("router_external"),
    flag("port_security_enabled", True),
    sa.Column("mtu", sa.Integer, nullable=False, default=1500),
    text("network_type", 16, default="vlan"),
    text("physical_network", 64),
    sa.Column("segmentation_id", sa.Integer),
    flag("provider_segment"),  # the administrator named the segment; it was not drawn from the tenants' range
    text("side", 16, default="tenant"),
    json("tags", list),
    sa.Column("revision_number", sa.Integer, nullable=False, default=1),
    *times(),
)

segments = sa.Table(
    # A row exists from the moment a VLAN is given to a network until no switch carries it any more (invariant I3),
    # which may be long after the network was deleted.
    "segments",
    metadata,
    text("physical_network", 64, primary_key=True),
    sa.Column("vlan", sa.Integer, primary_key=True, autoincrement=False),
    uuid("network_id", nullable=False, index=True),
    flag("released"),
)

subnets = sa.Table(
    "subnets",
    metadata,
    uuid("id", primary_key=True),
    uuid("network_id", sa.ForeignKey("networks.id"), nullable=False, index=True),
    text("project_id", index=True),
    text("name"),
    text("description"),
    sa.Column("ip_version", sa.Integer, nullable=False),
    text("cidr", 64),
    sa.Column("gateway_ip", sa.String(45)),
    flag("enable_dhcp", True),
    json("allocation_pools", list),
    json("dns_nameservers", list),
    json("host_routes", list),
    sa.Column("ipv6_ra_mode", sa.String(20)),
    sa.Column("ipv6_address_mode", sa.String(20)),
    json("tags", list),
    sa.Column("revision_number", sa.Integer, nullable=False, default=1),
    *times(),
)

ports = sa.Table(
    "ports",
    metadata,
    uuid("id", primary_key=True),
    uuid("network_id", sa.ForeignKey("networks.id"), nullable=False, index=True),
    text("project_id", index=True),
    text("name"),
    text("description"),
    text("mac_address", 17, index=True),
    flag("admin_state_up", True),
    text("device_id", index=True),
    text("device_owner"),
    text("status", 16, default="DOWN"),
    sa.Column("status_reason", sa.Text, nullable=False, default=""),
    text("vnic_type", 32, default="normal"),
    text("host_id", index=True),
    text("vif_type", 32, default="unbound"),
    json("profile"),
    json("extra_dhcp_opts", list),
    text("ip_allocation", 16, default="immediate"),
    flag("port_security_enabled", True),
    uuid("trunk_id"),  # the trunk whose parent or sub-port it is; the rows of `trunks` decide, this saves a look
    json("tags", list),
    sa.Column("revision_number", sa.Integer, nullable=False, default=1),
    *times(),
    sa.UniqueConstraint("network_id", "mac_address"),
)

ip_allocations = sa.Table(
    "ip_allocations",
    metadata,
    uuid("subnet_id", sa.ForeignKey("subnets.id"), primary_key=True),
    text("ip_address", 45, primary_key=True),
    uuid("port_id", sa.ForeignKey("ports.id"), nullable=False, index=True),
)

trunks = sa.Table(
    # `status` is not kept: it follows from the attachments, see `store.trunks`.
    "trunks",
    metadata,
    uuid("id", primary_key=True),
    text("project_id", index=True),
    text("name", index=True),
    text("description"),
    flag("admin_state_up", True),
    uuid("port_id", sa.ForeignKey("ports.id"), nullable=False, unique=True),  # the parent port
    json("tags", list),
    sa.Column("revision_number", sa.Integer, nullable=False, default=1),
    *times(),
)

trunk_subports = sa.Table(
    "trunk_subports",
    metadata,
    uuid("port_id", sa.ForeignKey("ports.id"), primary_key=True),
    uuid("trunk_id", sa.ForeignKey("trunks.id"), nullable=False),
    text("segmentation_type", 16, default="vlan"),
    sa.Column("segmentation_id", sa.Integer, nullable=False),
    sa.UniqueConstraint("trunk_id", "segmentation_id"),
)

rbac_policies = sa.Table(
    # Who may use a network that is another project's; its own project needs none.
    "rbac_policies",
    metadata,
    uuid("id", primary_key=True),
    text("project_id", index=True),
    text("object_type", 32, default="network"),
    uuid("object_id", sa.ForeignKey("networks.id"), nullable=False),
    text("target_project", index=True),  # "*": every project
    text("action", 32, default="access_as_shared"),
    sa.UniqueConstraint("object_id", "target_project", "action"),
)

quotas = sa.Table(
    # Only what an administrator set for a project; all others have what the settings say.
    "quotas",
    metadata,
    text("project_id", primary_key=True),
    text("resource", 32, primary_key=True),  # "network", "port", …: see `model.quota`
    sa.Column("limit", sa.Integer, nullable=False),
)
