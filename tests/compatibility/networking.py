"""openstacksdk's tests of the Networking API: what they need, and why some of them cannot pass."""

from __future__ import annotations

from tests.compatibility.openstacksdk import Suite
from tests.compatibility.outcomes import Reason

_ROUTERS = "there are no routers: a fabric of switches ends at layer 2, so `/v2.0/routers` is 404"
_GROUPS = "there are no security groups: switch ports are not filtered, so `/v2.0/security-groups` is 404"
_POOLS = "there are no subnet pools and address scopes: a subnet's CIDR is named by who makes it"

REASONS = (
    Reason("v2.test_address_scope.*", _POOLS),
    Reason("v2.test_subnet_pool.*", _POOLS),
    Reason("v2.test_subnet_from_subnet_pool.*", _POOLS),
    Reason("v2.test_floating_ip.*", _ROUTERS),
    Reason("v2.test_router.*", _ROUTERS),
    Reason("v2.test_router_add_remove_interface.*", _ROUTERS),
    Reason("v2.test_security_group.*", _GROUPS),
    Reason("v2.test_security_group_rule.*", _GROUPS),
    Reason("v2.test_service_provider.*", "there are no pluggable services (routers, VPN, …) that somebody provides"),
    Reason("v2.test_agent_add_remove_network.*", "it needs a DHCP agent; DHCP is the conductors' and is not scheduled"),
    Reason("v2.test_agent_add_remove_router.*", _ROUTERS),
    Reason(
        "v2.test_trunk.TestTrunk.test_subports",
        "it tags a sub-port with a VLAN id of its own choosing; a switch port carries a network by its own VLAN"
        " ([ADR 6](adr/0006-trunk-tags.md)), so another `segmentation_id` is refused",
    ),
)


SUITE = Suite("network", reasons=REASONS, keystone=True)
