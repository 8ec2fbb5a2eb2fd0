"""The whole URL map of the Baremetal API: method, path, since which version (older ones answer 404), handler."""

from __future__ import annotations

from typing import NamedTuple

from ironlane.api.baremetal import (
    agent,
    allocations,
    chassis,
    conductors,
    discovery,
    history,
    inspection,
    nodes,
    portgroups,
    ports,
    states,
    unsupported,
    validation,
    vifs,
    volumes,
)
from ironlane.api.baremetal.call import Handler


class Route(NamedTuple):
    method: str
    path: str
    since: int
    handler: Handler


# Literal paths stand before those with a name in the same place.
ROUTES = (
    Route("GET", "/", 1, discovery.root),
    Route("GET", "/v1", 1, discovery.v1),
    # nodes
    Route("GET", "/v1/nodes", 1, nodes.index),
    Route("POST", "/v1/nodes", 1, nodes.create),
    Route("GET", "/v1/nodes/detail", 1, nodes.detail),
    Route("GET", "/v1/nodes/{node}", 1, nodes.show),
    Route("PATCH", "/v1/nodes/{node}", 1, nodes.update),
    Route("DELETE", "/v1/nodes/{node}", 1, nodes.delete),
    Route("GET", "/v1/nodes/{node}/validate", 1, validation.validate),
    Route("PUT", "/v1/nodes/{node}/maintenance", 1, states.set_maintenance),
    Route("DELETE", "/v1/nodes/{node}/maintenance", 1, states.clear_maintenance),
    Route("GET", "/v1/nodes/{node}/states", 1, states.show),
    Route("PUT", "/v1/nodes/{node}/states/provision", 1, states.provision),
    Route("PUT", "/v1/nodes/{node}/states/power", 1, states.power),
    Route("GET", "/v1/nodes/{node}/states/console", 1, states.console),
    Route("GET", "/v1/nodes/{node}/management/boot_device", 1, states.boot_device),
    Route("PUT", "/v1/nodes/{node}/management/boot_device", 1, states.set_boot_device),
    Route("GET", "/v1/nodes/{node}/management/boot_device/supported", 1, states.supported_boot_devices),
    Route("GET", "/v1/nodes/{node}/ports", 1, ports.of_node),
    Route("GET", "/v1/nodes/{node}/ports/detail", 1, ports.of_node_detail),
    Route("GET", "/v1/nodes/{node}/portgroups", 24, portgroups.of_node),
    Route("GET", "/v1/nodes/{node}/portgroups/detail", 24, portgroups.of_node_detail),
    Route("GET", "/v1/nodes/{node}/inventory", 81, inspection.inventory),
    Route("GET", "/v1/nodes/{node}/vifs", 28, vifs.listed),
    Route("POST", "/v1/nodes/{node}/vifs", 28, vifs.attach),
    Route("DELETE", "/v1/nodes/{node}/vifs/{vif}", 28, vifs.detach),
    Route("GET", "/v1/nodes/{node}/traits", 37, vifs.traits),
    Route("PUT", "/v1/nodes/{node}/traits", 37, vifs.set_traits),
    Route("DELETE", "/v1/nodes/{node}/traits", 37, vifs.remove_traits),
    Route("PUT", "/v1/nodes/{node}/traits/{trait}", 37, vifs.add_trait),
    Route("DELETE", "/v1/nodes/{node}/traits/{trait}", 37, vifs.remove_trait),
    Route("GET", "/v1/nodes/{node}/volume", 32, discovery.volume),
    Route("GET", "/v1/nodes/{node}/volume/connectors", 32, volumes.connectors.of_node),
    Route("GET", "/v1/nodes/{node}/volume/targets", 32, volumes.targets.of_node),
    Route("GET", "/v1/nodes/{node}/allocation", 52, allocations.of_node),
    Route("DELETE", "/v1/nodes/{node}/allocation", 52, allocations.delete_of_node),
    Route("GET", "/v1/nodes/{node}/history", 78, history.index),
    Route("GET", "/v1/nodes/{node}/history/{entry}", 78, history.show),
    Route("GET", "/v1/nodes/{node}/children", 83, nodes.children),
    Route("GET", "/v1/shards", 82, nodes.shards),
    # what hardware may have, and Ironlane's drivers have not
    Route("PUT", "/v1/nodes/{node}/states/console", 1, unsupported.console),
    Route("PUT", "/v1/nodes/{node}/states/raid", 12, unsupported.raid),
    Route("PUT", "/v1/nodes/{node}/states/boot_mode", 76, unsupported.boot_mode),
    Route("PUT", "/v1/nodes/{node}/states/secure_boot", 76, unsupported.secure_boot),
    Route("PUT", "/v1/nodes/{node}/management/inject_nmi", 29, unsupported.inject_nmi),
    Route("GET", "/v1/nodes/{node}/management/indicators", 63, unsupported.indicators),
    Route("POST", "/v1/nodes/{node}/vmedia", 89, unsupported.virtual_media),
    Route("DELETE", "/v1/nodes/{node}/vmedia", 89, unsupported.virtual_media),
    Route("GET", "/v1/nodes/{node}/vmedia", 93, unsupported.virtual_media),
    Route("GET", "/v1/nodes/{node}/bios", 40, unsupported.bios),
    Route("GET", "/v1/nodes/{node}/bios/{setting}", 40, unsupported.bios_setting),
    Route("GET", "/v1/nodes/{node}/firmware", 86, unsupported.firmware),
    Route("GET", "/v1/nodes/{node}/vendor_passthru/methods", 1, unsupported.vendor_methods),
    Route("GET", "/v1/nodes/{node}/vendor_passthru", 1, unsupported.vendor_passthru),
    Route("POST", "/v1/nodes/{node}/vendor_passthru", 1, unsupported.vendor_passthru),
    Route("PUT", "/v1/nodes/{node}/vendor_passthru", 1, unsupported.vendor_passthru),
    Route("PATCH", "/v1/nodes/{node}/vendor_passthru", 1, unsupported.vendor_passthru),
    Route("DELETE", "/v1/nodes/{node}/vendor_passthru", 1, unsupported.vendor_passthru),
    # ports
    Route("GET", "/v1/ports", 1, ports.index),
    Route("POST", "/v1/ports", 1, ports.create),
    Route("GET", "/v1/ports/detail", 1, ports.detail),
    Route("GET", "/v1/ports/{port}", 1, ports.show),
    Route("PATCH", "/v1/ports/{port}", 1, ports.update),
    Route("DELETE", "/v1/ports/{port}", 1, ports.delete),
    # portgroups
    Route("GET", "/v1/portgroups", 23, portgroups.index),
    Route("POST", "/v1/portgroups", 23, portgroups.create),
    Route("GET", "/v1/portgroups/detail", 23, portgroups.detail),
    Route("GET", "/v1/portgroups/{portgroup}", 23, portgroups.show),
    Route("PATCH", "/v1/portgroups/{portgroup}", 23, portgroups.update),
    Route("DELETE", "/v1/portgroups/{portgroup}", 23, portgroups.delete),
    Route("GET", "/v1/portgroups/{portgroup}/ports", 24, ports.of_portgroup),
    Route("GET", "/v1/portgroups/{portgroup}/ports/detail", 24, ports.of_portgroup_detail),
    # conductors and drivers
    Route("GET", "/v1/conductors", 49, conductors.index),
    Route("GET", "/v1/conductors/{hostname}", 49, conductors.show),
    Route("GET", "/v1/drivers", 1, conductors.drivers),
    Route("GET", "/v1/drivers/{driver}", 1, conductors.driver),
    Route("GET", "/v1/drivers/{driver}/properties", 1, conductors.driver_properties),
    Route("GET", "/v1/drivers/{driver}/raid/logical_disk_properties", 12, unsupported.logical_disks),
    Route("GET", "/v1/drivers/{driver}/vendor_passthru/methods", 1, unsupported.driver_vendor_methods),
    # the ramdisk on a node; without authentication
    Route("GET", "/v1/lookup", 22, agent.lookup),
    Route("POST", "/v1/heartbeat/{node}", 22, agent.heartbeat),
    Route("POST", "/v1/continue_inspection", 1, inspection.continue_inspection),
    # allocations
    Route("GET", "/v1/allocations", 52, allocations.index),
    Route("POST", "/v1/allocations", 52, allocations.create),
    Route("GET", "/v1/allocations/{allocation}", 52, allocations.show),
    Route("PATCH", "/v1/allocations/{allocation}", 57, allocations.update),
    Route("DELETE", "/v1/allocations/{allocation}", 52, allocations.delete),
    # chassis
    Route("GET", "/v1/chassis", 1, chassis.index),
    Route("POST", "/v1/chassis", 1, chassis.create),
    Route("GET", "/v1/chassis/detail", 1, chassis.detail),
    Route("GET", "/v1/chassis/{chassis}", 1, chassis.show),
    Route("PATCH", "/v1/chassis/{chassis}", 1, chassis.update),
    Route("DELETE", "/v1/chassis/{chassis}", 1, chassis.delete),
    Route("GET", "/v1/chassis/{chassis}/nodes", 1, chassis.nodes_of),
    Route("GET", "/v1/chassis/{chassis}/nodes/detail", 1, chassis.nodes_of_detail),
    # volumes
    Route("GET", "/v1/volume", 32, discovery.volume),
    *(
        route
        for name, handlers in (("connectors", volumes.connectors), ("targets", volumes.targets))
        for route in (
            Route("GET", f"/v1/volume/{name}", 32, handlers.index),
            Route("POST", f"/v1/volume/{name}", 32, handlers.create),
            Route("GET", f"/v1/volume/{name}/{{ident}}", 32, handlers.show),
            Route("PATCH", f"/v1/volume/{name}/{{ident}}", 32, handlers.update),
            Route("DELETE", f"/v1/volume/{name}/{{ident}}", 32, handlers.delete),
        )
    ),
)

PUBLIC = (
    ("GET", "/"),
    ("GET", "/v1"),
    ("GET", "/v1/lookup"),
    ("POST", "/v1/heartbeat/{node}"),
    ("POST", "/v1/continue_inspection"),
)
"""What needs no credentials, as in Ironic: clients look before they have any, and ramdisks have none."""
