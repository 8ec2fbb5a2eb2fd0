"""Who may do what: one table, on one page. docs/policy.md is made of it, and a test keeps the two equal.

The names are those of Neutron's and Ironic's own policies (oslo.policy), and so are the defaults, reduced to what is
needed here. A name with an attribute or a verb behind it (`create_network:shared`) is asked besides the name before
it, and only when that attribute is set, or that verb is used; `:*` stands for those that have no line of their own.
What has no line at all is for admins.

What somebody does not see (no `get` rule holds) is not there for them: 404. What they see and may not do is a 403.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from ironlane.model.caller import Caller
from ironlane.model.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule is asked about: whose it is. An empty project is nobody's."""

    project: str = ""
    """Of the thing itself."""
    network_project: str = ""
    """Of the network that it is on."""
    shared: bool = False
    """The network is for the caller's project too: it is shared with it, or external."""
    owner: str = ""
    """Of the node."""
    lessee: str = ""
    """Of the node."""


NOTHING = Target()


class Grant(Enum):
    """Whom a rule lets through. A member is a reader too, and an admin is let through everywhere."""

    ADMIN = "admin"
    SERVICE = "service"
    SYSTEM_READER = "reader in system scope"
    MEMBER = "member of a project"
    READER = "reader of a project"
    PROJECT_MEMBER = "member of its project"
    PROJECT_READER = "reader of its project"
    NETWORK_MEMBER = "member of its network's project"
    NETWORK_READER = "reader of its network's project"
    SHARED_READER = "reader of a project that the network is shared with"
    OWNER_MEMBER = "member of the node's owner"
    OWNER_READER = "reader of the node's owner"
    LESSEE_MEMBER = "member of the node's lessee"
    LESSEE_READER = "reader of the node's lessee"


def _is(caller: Caller, role: str, project: str) -> bool:
    return role in caller.roles and project != "" and caller.project_id == project


_HOLDS: Mapping[Grant, Callable[[Caller, Target], bool]] = {
    Grant.ADMIN: lambda caller, _: caller.is_admin,
    Grant.SERVICE: lambda caller, _: "service" in caller.roles,
    Grant.SYSTEM_READER: lambda caller, _: caller.is_system and "reader" in caller.roles,
    Grant.MEMBER: lambda caller, _: _is(caller, "member", caller.project_id),
    Grant.READER: lambda caller, _: _is(caller, "reader", caller.project_id),
    Grant.PROJECT_MEMBER: lambda caller, target: _is(caller, "member", target.project),
    Grant.PROJECT_READER: lambda caller, target: _is(caller, "reader", target.project),
    Grant.NETWORK_MEMBER: lambda caller, target: _is(caller, "member", target.network_project),
    Grant.NETWORK_READER: lambda caller, target: _is(caller, "reader", target.network_project),
    Grant.SHARED_READER: lambda caller, target: target.shared and _is(caller, "reader", caller.project_id),
    Grant.OWNER_MEMBER: lambda caller, target: _is(caller, "member", target.owner),
    Grant.OWNER_READER: lambda caller, target: _is(caller, "reader", target.owner),
    Grant.LESSEE_MEMBER: lambda caller, target: _is(caller, "member", target.lessee),
    Grant.LESSEE_READER: lambda caller, target: _is(caller, "reader", target.lessee),
}

# The usual sets. ADMIN is in all of them.
_ADMIN = (Grant.ADMIN,)
_CLOUD = (Grant.ADMIN, Grant.SERVICE)
_CLOUD_SEES = (*_CLOUD, Grant.SYSTEM_READER)
_PROJECT = (Grant.ADMIN, Grant.PROJECT_MEMBER)
_NETWORK = (Grant.ADMIN, Grant.PROJECT_MEMBER, Grant.NETWORK_MEMBER)
_NODE_READERS = (*_CLOUD_SEES, Grant.OWNER_READER, Grant.LESSEE_READER)
_NODE_OWNER_SEES = (*_CLOUD_SEES, Grant.OWNER_READER)
_NODE_USERS = (*_CLOUD, Grant.OWNER_MEMBER, Grant.LESSEE_MEMBER)
_NODE_OWNER = (*_CLOUD, Grant.OWNER_MEMBER)

RULES: Mapping[str, tuple[Grant, ...]] = {
    # --- Networking API ---
    "get_network": (*_CLOUD_SEES, Grant.PROJECT_READER, Grant.SHARED_READER),
    "get_network:provider:network_type": _CLOUD_SEES,
    "get_network:provider:physical_network": _CLOUD_SEES,
    "get_network:provider:segmentation_id": _CLOUD_SEES,
    "create_network": _PROJECT,
    "create_network:project_id": _ADMIN,
    "create_network:shared": _ADMIN,
    "create_network:router:external": _ADMIN,
    "create_network:provider:network_type": _ADMIN,
    "create_network:provider:physical_network": _ADMIN,
    "create_network:provider:segmentation_id": _ADMIN,
    "update_network": _PROJECT,
    "update_network:shared": _ADMIN,
    "update_network:router:external": _ADMIN,
    "delete_network": _PROJECT,
    "get_subnet": (*_CLOUD_SEES, Grant.PROJECT_READER, Grant.NETWORK_READER, Grant.SHARED_READER),
    "create_subnet": (Grant.ADMIN, Grant.NETWORK_MEMBER),
    "create_subnet:project_id": _ADMIN,
    "update_subnet": _NETWORK,
    "delete_subnet": _NETWORK,
    "get_port": (*_CLOUD_SEES, Grant.PROJECT_READER, Grant.NETWORK_READER),
    "get_port:binding:host_id": _CLOUD_SEES,
    "get_port:binding:profile": _CLOUD_SEES,
    "get_port:binding:vif_type": _CLOUD_SEES,
    "get_port:binding:vif_details": _CLOUD_SEES,
    "create_port": (*_CLOUD, Grant.PROJECT_MEMBER),
    "create_port:project_id": _CLOUD,
    "create_port:device_owner:network": (*_CLOUD, Grant.NETWORK_MEMBER),
    "create_port:mac_address": (*_CLOUD, Grant.NETWORK_MEMBER),
    "create_port:fixed_ips:ip_address": (*_CLOUD, Grant.NETWORK_MEMBER),
    "create_port:fixed_ips:subnet_id": (*_CLOUD, Grant.NETWORK_MEMBER, Grant.SHARED_READER),
    "create_port:port_security_enabled": (*_CLOUD, Grant.NETWORK_MEMBER),
    "create_port:binding:host_id": _CLOUD,
    "create_port:binding:profile": _CLOUD,
    "update_port": (*_CLOUD, Grant.PROJECT_MEMBER),
    "update_port:device_owner:network": (*_CLOUD, Grant.NETWORK_MEMBER),
    "update_port:mac_address": _CLOUD,
    "update_port:fixed_ips": (*_CLOUD, Grant.NETWORK_MEMBER),
    "update_port:port_security_enabled": (*_CLOUD, Grant.NETWORK_MEMBER),
    "update_port:binding:host_id": _CLOUD,
    "update_port:binding:profile": _CLOUD,
    "delete_port": (*_CLOUD, Grant.PROJECT_MEMBER, Grant.NETWORK_MEMBER),
    "get_trunk": (*_CLOUD_SEES, Grant.PROJECT_READER),
    "create_trunk": _PROJECT,
    "create_trunk:project_id": _ADMIN,
    "update_trunk": _PROJECT,
    "delete_trunk": _PROJECT,
    "add_subports": _PROJECT,
    "remove_subports": _PROJECT,
    "get_rbac_policy": (*_CLOUD_SEES, Grant.PROJECT_READER),
    "create_rbac_policy": _PROJECT,
    "create_rbac_policy:project_id": _ADMIN,
    "create_rbac_policy:target_tenant:*": _ADMIN,
    "update_rbac_policy": _PROJECT,
    "update_rbac_policy:target_tenant:*": _ADMIN,
    "delete_rbac_policy": _PROJECT,
    "get_quota": (*_CLOUD_SEES, Grant.PROJECT_READER),
    "update_quota": _ADMIN,
    "delete_quota": _ADMIN,
    "get_network_ip_availability": (*_CLOUD_SEES, Grant.PROJECT_READER),
    "get_agent": _CLOUD_SEES,
    "update_agent": _ADMIN,
    # --- Baremetal API ---
    "baremetal:node:list": (*_CLOUD_SEES, Grant.READER),
    "baremetal:node:get": _NODE_READERS,
    "baremetal:node:get:driver_info": _NODE_OWNER_SEES,
    "baremetal:node:get:driver_internal_info": _NODE_OWNER_SEES,
    "baremetal:node:get:last_error": _NODE_OWNER_SEES,
    "baremetal:node:create": _ADMIN,
    "baremetal:node:update": _NODE_USERS,
    "baremetal:node:update:extra": _NODE_USERS,
    "baremetal:node:update:instance_info": _NODE_USERS,
    "baremetal:node:update:description": _NODE_OWNER,
    "baremetal:node:update:properties": _NODE_OWNER,
    "baremetal:node:update:lessee": _NODE_OWNER,
    "baremetal:node:update:maintenance": _NODE_OWNER,
    "baremetal:node:update:maintenance_reason": _NODE_OWNER,
    "baremetal:node:update:protected": _NODE_OWNER,
    "baremetal:node:update:protected_reason": _NODE_OWNER,
    "baremetal:node:update:retired": _NODE_OWNER,
    "baremetal:node:update:retired_reason": _NODE_OWNER,
    "baremetal:node:update:*": _CLOUD,
    "baremetal:node:delete": _ADMIN,
    "baremetal:node:validate": _NODE_USERS,
    "baremetal:node:set_maintenance": _NODE_OWNER,
    "baremetal:node:clear_maintenance": _NODE_OWNER,
    "baremetal:node:get_states": _NODE_READERS,
    "baremetal:node:set_power_state": _NODE_USERS,
    "baremetal:node:set_provision_state": _NODE_USERS,
    "baremetal:node:set_provision_state:active": _NODE_USERS,
    "baremetal:node:set_provision_state:rebuild": _NODE_USERS,
    "baremetal:node:set_provision_state:deleted": _NODE_USERS,
    "baremetal:node:set_provision_state:rescue": _NODE_USERS,
    "baremetal:node:set_provision_state:unrescue": _NODE_USERS,
    "baremetal:node:set_provision_state:*": _NODE_OWNER,
    "baremetal:node:get_boot_device": _NODE_READERS,
    "baremetal:node:set_boot_device": _NODE_OWNER,
    "baremetal:node:get_console": _NODE_USERS,
    "baremetal:node:set_console_state": _NODE_OWNER,
    "baremetal:node:set_raid_state": _NODE_OWNER,
    "baremetal:node:set_boot_mode": _NODE_OWNER,
    "baremetal:node:set_secure_boot": _NODE_OWNER,
    "baremetal:node:inject_nmi": _NODE_OWNER,
    "baremetal:node:get_indicator_state": _NODE_READERS,
    "baremetal:node:bios:get": _NODE_READERS,
    "baremetal:node:firmware:get": _NODE_READERS,
    "baremetal:node:vmedia:attach": _NODE_OWNER,
    "baremetal:node:vmedia:detach": _NODE_OWNER,
    "baremetal:node:vmedia:get": _NODE_READERS,
    "baremetal:node:vendor_passthru": _ADMIN,
    "baremetal:node:get_children": _CLOUD_SEES,
    "baremetal:node:history:get": _NODE_OWNER_SEES,
    "baremetal:node:vif:list": _NODE_READERS,
    "baremetal:node:vif:attach": _NODE_USERS,
    "baremetal:node:vif:detach": _NODE_USERS,
    "baremetal:node:traits:list": _NODE_READERS,
    "baremetal:node:traits:set": _NODE_OWNER,
    "baremetal:node:traits:delete": _NODE_OWNER,
    "baremetal:node:inventory:get": _NODE_OWNER_SEES,
    "baremetal:port:list": (*_CLOUD_SEES, Grant.READER),
    "baremetal:port:get": _NODE_READERS,
    "baremetal:port:create": _ADMIN,
    "baremetal:port:update": _ADMIN,
    "baremetal:port:delete": _ADMIN,
    "baremetal:portgroup:list": (*_CLOUD_SEES, Grant.READER),
    "baremetal:portgroup:get": _NODE_READERS,
    "baremetal:portgroup:create": _ADMIN,
    "baremetal:portgroup:update": _ADMIN,
    "baremetal:portgroup:delete": _ADMIN,
    "baremetal:conductor:get": _CLOUD_SEES,
    "baremetal:driver:get": _CLOUD_SEES,
    "baremetal:chassis:get": _CLOUD_SEES,
    "baremetal:chassis:create": _ADMIN,
    "baremetal:chassis:update": _ADMIN,
    "baremetal:chassis:delete": _ADMIN,
    "baremetal:shards:get": _CLOUD_SEES,
    "baremetal:allocation:list": (*_CLOUD_SEES, Grant.READER),
    "baremetal:allocation:get": _NODE_READERS,
    "baremetal:allocation:create": _CLOUD,
    "baremetal:allocation:update": _CLOUD,
    "baremetal:allocation:delete": _CLOUD,
    "baremetal:volume:list": (*_CLOUD_SEES, Grant.READER),
    "baremetal:volume:get": _NODE_READERS,
    "baremetal:volume:create": _CLOUD,
    "baremetal:volume:update": _CLOUD,
    "baremetal:volume:delete": _CLOUD,
    # --- Fabric API ---
    "fabric:get": (Grant.ADMIN, Grant.SYSTEM_READER),
    "fabric:change": _ADMIN,
    "fabric:bindings:get": _CLOUD_SEES,
    "fabric:bindings:change": _CLOUD,
}


def allowed(caller: Caller, rule: str, target: Target = NOTHING) -> bool:
    """Whether a rule lets a caller through."""
    return caller.is_admin or any(_HOLDS[grant](caller, target) for grant in RULES.get(rule, _ADMIN))


def require(caller: Caller, rule: str, target: Target = NOTHING, attributes: Collection[str] = ()) -> None:
    """Refuse what a rule, or the rule of one of the attributes that are set, does not allow.

    Raises:
        Forbidden: with the name of the rule.
    """
    if caller.is_admin:
        return
    for name in (rule, *(found for attribute in attributes if (found := _rule_of(rule, attribute)) is not None)):
        if not allowed(caller, name, target):
            raise Forbidden(f"rule:{name} is disallowed by policy", code="PolicyNotAuthorized")


def possible(caller: Caller, rule: str) -> bool:
    """Whether there could be anything that a rule allows a caller to do.

    For requests that name no target yet; what they come to name is asked about by `allowed`.
    """
    own = caller.project_id
    return allowed(caller, rule, Target(own, own, bool(own), own, own))


def hidden(caller: Caller, rule: str) -> frozenset[str]:
    """The attributes of what `rule` (`get_port`) shows that a caller does not see, whoever's it is."""
    return _NONE if caller.is_admin else _hidden(caller, rule)


_NONE: frozenset[str] = frozenset()


@lru_cache(maxsize=256)
def _hidden(caller: Caller, rule: str) -> frozenset[str]:
    prefix = f"{rule}:"
    return frozenset(
        name.removeprefix(prefix) for name in RULES if name.startswith(prefix) and not possible(caller, name)
    )


def _rule_of(rule: str, attribute: str) -> str | None:
    return next((name for name in (f"{rule}:{attribute}", f"{rule}:*") if name in RULES), None)
