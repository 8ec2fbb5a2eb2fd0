"""Which rule of `ironlane.model.policy` each request to the Baremetal API goes by.

A request that has no line here is for admins. Requests in `routes.PUBLIC` ask for no caller, and so for no rule.
"""

from __future__ import annotations

from collections.abc import Mapping

NODE = "/v1/nodes/{node}"

_READ: Mapping[str, str] = {
    "/v1/nodes": "baremetal:node:list",
    "/v1/nodes/detail": "baremetal:node:list",
    NODE: "baremetal:node:get",
    f"{NODE}/validate": "baremetal:node:validate",
    f"{NODE}/states": "baremetal:node:get_states",
    f"{NODE}/states/console": "baremetal:node:get_console",
    f"{NODE}/management/boot_device": "baremetal:node:get_boot_device",
    f"{NODE}/management/boot_device/supported": "baremetal:node:get_boot_device",
    f"{NODE}/ports": "baremetal:port:list",
    f"{NODE}/ports/detail": "baremetal:port:list",
    f"{NODE}/portgroups": "baremetal:portgroup:list",
    f"{NODE}/portgroups/detail": "baremetal:portgroup:list",
    f"{NODE}/inventory": "baremetal:node:inventory:get",
    f"{NODE}/vifs": "baremetal:node:vif:list",
    f"{NODE}/traits": "baremetal:node:traits:list",
    f"{NODE}/volume": "baremetal:volume:list",
    f"{NODE}/volume/connectors": "baremetal:volume:list",
    f"{NODE}/volume/targets": "baremetal:volume:list",
    "/v1/ports": "baremetal:port:list",
    "/v1/ports/detail": "baremetal:port:list",
    "/v1/ports/{port}": "baremetal:port:get",
    "/v1/portgroups": "baremetal:portgroup:list",
    "/v1/portgroups/detail": "baremetal:portgroup:list",
    "/v1/portgroups/{portgroup}": "baremetal:portgroup:get",
    "/v1/portgroups/{portgroup}/ports": "baremetal:port:list",
    "/v1/portgroups/{portgroup}/ports/detail": "baremetal:port:list",
    "/v1/conductors": "baremetal:conductor:get",
    "/v1/conductors/{hostname}": "baremetal:conductor:get",
    "/v1/drivers": "baremetal:driver:get",
    "/v1/drivers/{driver}": "baremetal:driver:get",
    "/v1/drivers/{driver}/properties": "baremetal:driver:get",
    "/v1/volume": "baremetal:volume:list",
    "/v1/volume/connectors": "baremetal:volume:list",
    "/v1/volume/targets": "baremetal:volume:list",
}

_CHANGE: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/nodes"): "baremetal:node:create",
    ("PATCH", NODE): "baremetal:node:update",
    ("DELETE", NODE): "baremetal:node:delete",
    ("PUT", f"{NODE}/maintenance"): "baremetal:node:set_maintenance",
    ("DELETE", f"{NODE}/maintenance"): "baremetal:node:clear_maintenance",
    ("PUT", f"{NODE}/states/provision"): "baremetal:node:set_provision_state",
    ("PUT", f"{NODE}/states/power"): "baremetal:node:set_power_state",
    ("PUT", f"{NODE}/management/boot_device"): "baremetal:node:set_boot_device",
    ("POST", f"{NODE}/vifs"): "baremetal:node:vif:attach",
    ("DELETE", f"{NODE}/vifs/{{vif}}"): "baremetal:node:vif:detach",
    ("PUT", f"{NODE}/traits"): "baremetal:node:traits:set",
    ("PUT", f"{NODE}/traits/{{trait}}"): "baremetal:node:traits:set",
    ("DELETE", f"{NODE}/traits"): "baremetal:node:traits:delete",
    ("DELETE", f"{NODE}/traits/{{trait}}"): "baremetal:node:traits:delete",
    ("POST", "/v1/ports"): "baremetal:port:create",
    ("PATCH", "/v1/ports/{port}"): "baremetal:port:update",
    ("DELETE", "/v1/ports/{port}"): "baremetal:port:delete",
    ("POST", "/v1/portgroups"): "baremetal:portgroup:create",
    ("PATCH", "/v1/portgroups/{portgroup}"): "baremetal:portgroup:update",
    ("DELETE", "/v1/portgroups/{portgroup}"): "baremetal:portgroup:delete",
}

RULES: Mapping[tuple[str, str], str] = {**{("GET", path): rule for path, rule in _READ.items()}, **_CHANGE}
"""Method and path, as in `routes.ROUTES`, to the name of the rule."""

ADMINS_ONLY = "baremetal:admin"
"""The rule of everything else; it has no line in the policy, so that nobody but an admin is let through."""
