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
    f"{NODE}/allocation": "baremetal:allocation:get",
    f"{NODE}/history": "baremetal:node:history:get",
    f"{NODE}/history/{{entry}}": "baremetal:node:history:get",
    f"{NODE}/children": "baremetal:node:get_children",
    f"{NODE}/management/indicators": "baremetal:node:get_indicator_state",
    f"{NODE}/bios": "baremetal:node:bios:get",
    f"{NODE}/bios/{{setting}}": "baremetal:node:bios:get",
    f"{NODE}/firmware": "baremetal:node:firmware:get",
    f"{NODE}/vmedia": "baremetal:node:vmedia:get",
    f"{NODE}/vendor_passthru": "baremetal:node:vendor_passthru",
    f"{NODE}/vendor_passthru/methods": "baremetal:node:vendor_passthru",
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
    "/v1/drivers/{driver}/raid/logical_disk_properties": "baremetal:driver:get",
    "/v1/drivers/{driver}/vendor_passthru/methods": "baremetal:driver:get",
    "/v1/shards": "baremetal:shards:get",
    "/v1/allocations": "baremetal:allocation:list",
    "/v1/allocations/{allocation}": "baremetal:allocation:get",
    "/v1/chassis": "baremetal:chassis:get",
    "/v1/chassis/detail": "baremetal:chassis:get",
    "/v1/chassis/{chassis}": "baremetal:chassis:get",
    "/v1/chassis/{chassis}/nodes": "baremetal:chassis:get",
    "/v1/chassis/{chassis}/nodes/detail": "baremetal:chassis:get",
    "/v1/volume": "baremetal:volume:list",
    "/v1/volume/connectors": "baremetal:volume:list",
    "/v1/volume/connectors/{ident}": "baremetal:volume:get",
    "/v1/volume/targets": "baremetal:volume:list",
    "/v1/volume/targets/{ident}": "baremetal:volume:get",
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
    ("PUT", f"{NODE}/states/console"): "baremetal:node:set_console_state",
    ("PUT", f"{NODE}/states/raid"): "baremetal:node:set_raid_state",
    ("PUT", f"{NODE}/states/boot_mode"): "baremetal:node:set_boot_mode",
    ("PUT", f"{NODE}/states/secure_boot"): "baremetal:node:set_secure_boot",
    ("PUT", f"{NODE}/management/inject_nmi"): "baremetal:node:inject_nmi",
    ("POST", f"{NODE}/vmedia"): "baremetal:node:vmedia:attach",
    ("DELETE", f"{NODE}/vmedia"): "baremetal:node:vmedia:detach",
    **{
        (method, f"{NODE}/vendor_passthru"): "baremetal:node:vendor_passthru"
        for method in ("POST", "PUT", "PATCH", "DELETE")
    },
    ("DELETE", f"{NODE}/allocation"): "baremetal:allocation:delete",
    ("POST", "/v1/allocations"): "baremetal:allocation:create",
    ("PATCH", "/v1/allocations/{allocation}"): "baremetal:allocation:update",
    ("DELETE", "/v1/allocations/{allocation}"): "baremetal:allocation:delete",
    ("POST", "/v1/chassis"): "baremetal:chassis:create",
    ("PATCH", "/v1/chassis/{chassis}"): "baremetal:chassis:update",
    ("DELETE", "/v1/chassis/{chassis}"): "baremetal:chassis:delete",
    **{("POST", f"/v1/volume/{kind}"): "baremetal:volume:create" for kind in ("connectors", "targets")},
    **{("PATCH", f"/v1/volume/{kind}/{{ident}}"): "baremetal:volume:update" for kind in ("connectors", "targets")},
    **{("DELETE", f"/v1/volume/{kind}/{{ident}}"): "baremetal:volume:delete" for kind in ("connectors", "targets")},
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
