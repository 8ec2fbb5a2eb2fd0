"""Every request that the Networking and the Baremetal API serve, with ids for its path and a body that makes sense.

`PATHS` says what a variable of a path stands for, `BODIES` what a request's body says. A route that needs one and has
none here makes `test_isolation` fail: so a new one cannot be forgotten. What is in `BODIES` is checked, too: an admin
who sends it succeeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import APIRoute

from ironlane.api.baremetal.routes import PUBLIC as BAREMETAL_PUBLIC
from ironlane.api.networking import agents
from ironlane.api.networking.app import PUBLIC as NETWORKING_PUBLIC
from tests.api.identity.world import CHASSIS, Ids

PUBLIC = {"networking": {*NETWORKING_PUBLIC, ("GET", "/v2.0/")}, "baremetal": set(BAREMETAL_PUBLIC)}

NOBODYS = {
    "networking": {
        ("GET", "/v2.0/extensions"),
        ("GET", "/v2.0/extensions/{alias}"),
        ("GET", "/v2.0/availability_zones"),
        ("GET", "/v2.0/quotas/project"),
        ("GET", "/v2.0/quotas/tenant"),
        ("GET", "/v2.0/quotas/{project_id}/default"),
    },
    "baremetal": {
        ("GET", "/v1/volume"),
    },
}
"""Requests whose answers are the same for everybody (or the caller's own), with nothing of anybody in them."""

TAGGED = {"networks": "network", "subnets": "subnet", "ports": "port", "trunks": "trunk"}
"""Collections whose items have tags."""

COLLECTIONS = {
    **TAGGED,
    "rbac-policies": "rbac_policy",
    "network-ip-availabilities": "network",
    "agents": "",
    "connectors": "connector",
    "targets": "target",
}
"""Collections to what of a project's things `{ident}` is in their paths; empty: it is no project's."""

PATHS: Mapping[str, tuple[str, ...]] = {
    "node": ("node", "let_node", "node_name"),
    "port": ("nic",),
    "portgroup": ("portgroup",),
    "vif": ("vif",),
    "trait": ("trait",),
    "tag": ("tag",),
    "project_id": ("project",),
    "allocation": ("allocation",),
    "entry": ("entry",),
    "chassis": (),
    "setting": (),
    "hostname": (),
    "driver": (),
}
"""Variables of paths to what of a project's things they may be. `ident` follows from the collection before it; those
with nothing are no project's."""

CONSTANTS = {
    "hostname": "c1",
    "ident": agents.agent_id("c1"),
    "driver": "fake-hardware",
    "alias": "quotas",
    "project_id": "any",
    "chassis": CHASSIS,
    "setting": "boot_order",
}

UNSUPPORTED = frozenset(
    {
        "/v1/nodes/{node}/states/console",
        "/v1/nodes/{node}/states/raid",
        "/v1/nodes/{node}/states/boot_mode",
        "/v1/nodes/{node}/states/secure_boot",
        "/v1/nodes/{node}/management/inject_nmi",
        "/v1/nodes/{node}/management/indicators",
        "/v1/nodes/{node}/vmedia",
        "/v1/nodes/{node}/vendor_passthru",
        "/v1/nodes/{node}/vendor_passthru/methods",
        "/v1/nodes/{node}/bios/{setting}",
        "/v1/drivers/{driver}/raid/logical_disk_properties",
    }
)
"""Paths of what no driver has: nobody is served there, not even an admin."""


class Case(NamedTuple):
    """A route, with one choice of what its variables stand for."""

    api: str
    method: str
    path: str
    variables: tuple[tuple[str, str], ...]
    """Variable to the name of an id; empty: it is no project's, and one of `CONSTANTS`."""

    @property
    def served(self) -> bool:
        """Whether an admin who sends this succeeds, or is told of a conflict."""
        first = all(name == PATHS[variable][0] for variable, name in self.variables if name and variable in PATHS)
        return first and self.path not in UNSUPPORTED

    @property
    def names(self) -> list[str]:
        """The ids of a project that the path has."""
        return [name for variable, name in self.variables if name and variable != "collection"]

    def url(self, ids: Ids) -> str:
        url = self.path
        for variable, name in self.variables:
            url = url.replace(f"{{{variable}}}", ids.get(name, name) if name else CONSTANTS[variable])
        return url

    def body(self, ids: Ids) -> Any:
        make = BODIES[self.api].get((self.method, self.path))
        return None if make is None else make(ids)

    def __str__(self) -> str:
        return f"{self.api} {self.method} {self.path} {dict(self.variables)}"


def cases(api: str, app: FastAPI) -> Iterator[Case]:
    """Every case of every route that is served and not public.

    Raises:
        KeyError: nothing is known here about a route.
    """
    for route in app.routes:
        if not isinstance(route, APIRoute):
            continue
        for method in route.methods:
            if (method, route.path) not in PUBLIC[api]:
                yield from _of(api, method, route.path)


def _of(api: str, method: str, path: str) -> Iterator[Case]:
    if method in {"POST", "PUT", "PATCH"} and (method, path) not in BODIES[api]:
        raise KeyError(f"{method} {path}: say in BODIES what its body may be")
    steps = path.split("/")
    before = steps[steps.index("{ident}") - 1] if "{ident}" in steps else ""
    collections = TAGGED if "{collection}" in steps else {before: ""}
    for collection in collections:
        concrete = [("collection", collection)] if "{collection}" in path else []
        choices: list[list[tuple[str, str]]] = [concrete]
        for step in steps:
            if not step.startswith("{") or step == "{collection}":
                continue
            variable = step[1:-1]
            names = (COLLECTIONS[collection],) if variable == "ident" else PATHS.get(variable)
            if names is None and (method, path) in NOBODYS[api]:
                names = ("",)
            if names is None:
                raise KeyError(f"{method} {path}: say in PATHS what {variable} may be")
            choices = [[*chosen, (variable, name)] for chosen in choices for name in names or ("",)]
        for chosen in choices:
            yield Case(api, method, path, tuple(chosen))


Make = Callable[[Ids], Any]


def _same(body: Any) -> Make:
    return lambda _ids: body


_UNSUPPORTED_BODIES: Mapping[tuple[str, str], Make | None] = {
    ("PUT", "/v1/nodes/{node}/states/console"): _same({"enabled": True}),
    ("PUT", "/v1/nodes/{node}/states/raid"): _same({"logical_disks": []}),
    ("PUT", "/v1/nodes/{node}/states/boot_mode"): _same({"target": "uefi"}),
    ("PUT", "/v1/nodes/{node}/states/secure_boot"): _same({"target": True}),
    ("PUT", "/v1/nodes/{node}/management/inject_nmi"): _same({}),
    ("POST", "/v1/nodes/{node}/vmedia"): _same({"device_type": "cdrom", "image_url": "http://192.0.2.1/x.iso"}),
    ("POST", "/v1/nodes/{node}/vendor_passthru"): _same({}),
    ("PUT", "/v1/nodes/{node}/vendor_passthru"): _same({}),
    ("PATCH", "/v1/nodes/{node}/vendor_passthru"): _same({}),
}

_EXTRA = [{"op": "replace", "path": "/extra", "value": {"a": 1}}]

BODIES: Mapping[str, Mapping[tuple[str, str], Make | None]] = {
    "networking": {
        ("POST", "/v2.0/networks"): lambda ids: {"network": {"project_id": ids["project"]}},
        ("PUT", "/v2.0/networks/{ident}"): _same({"network": {"name": "new"}}),
        ("POST", "/v2.0/subnets"): lambda ids: {
            "subnet": {"network_id": ids["network"], "cidr": "198.51.100.0/24", "ip_version": 4}
        },
        ("PUT", "/v2.0/subnets/{ident}"): _same({"subnet": {"name": "new"}}),
        ("POST", "/v2.0/ports"): lambda ids: {
            "port": {"network_id": ids["network"], "fixed_ips": [{"subnet_id": ids["subnet"]}]}
        },
        ("PUT", "/v2.0/ports/{ident}"): lambda ids: {"port": {"fixed_ips": [{"subnet_id": ids["subnet"]}]}},
        ("PUT", "/v2.0/agents/{ident}"): _same({"agent": {"description": "new"}}),
        ("POST", "/v2.0/trunks"): lambda ids: {
            "trunk": {
                "port_id": ids["free_port"],
                "sub_ports": [{"port_id": ids["free_subport"], "segmentation_type": "inherit"}],
            }
        },
        ("PUT", "/v2.0/trunks/{ident}"): _same({"trunk": {"name": "new"}}),
        ("PUT", "/v2.0/trunks/{ident}/add_subports"): lambda ids: {
            "sub_ports": [{"port_id": ids["free_subport"], "segmentation_type": "inherit"}]
        },
        ("PUT", "/v2.0/trunks/{ident}/remove_subports"): lambda ids: {"sub_ports": [{"port_id": ids["subport"]}]},
        ("POST", "/v2.0/rbac-policies"): lambda ids: {
            "rbac_policy": {
                "object_type": "network",
                "object_id": ids["network"],
                "target_tenant": "a third project",
                "action": "access_as_shared",
            }
        },
        ("PUT", "/v2.0/rbac-policies/{ident}"): _same({"rbac_policy": {"target_tenant": "a fourth"}}),
        ("PUT", "/v2.0/quotas/{project_id}"): _same({"quota": {"port": 400}}),
        ("POST", "/v2.0/{collection}/{ident}/tags"): _same({"tags": ["new"]}),
        ("PUT", "/v2.0/{collection}/{ident}/tags"): _same({"tags": ["new"]}),
        ("PUT", "/v2.0/{collection}/{ident}/tags/{tag}"): None,
    },
    "baremetal": {
        ("POST", "/v1/nodes"): lambda ids: {"driver": "fake-hardware", "owner": ids["project"]},
        ("PATCH", "/v1/nodes/{node}"): _same(_EXTRA),
        ("PUT", "/v1/nodes/{node}/maintenance"): _same({"reason": "because"}),
        ("PUT", "/v1/nodes/{node}/states/provision"): _same({"target": "manage"}),
        ("PUT", "/v1/nodes/{node}/states/power"): _same({"target": "power on"}),
        ("PUT", "/v1/nodes/{node}/management/boot_device"): _same({"boot_device": "pxe"}),
        ("POST", "/v1/nodes/{node}/vifs"): lambda ids: {"id": ids["free_port"], "port_uuid": ids["free_nic"]},
        ("PUT", "/v1/nodes/{node}/traits"): _same({"traits": ["CUSTOM_NEW"]}),
        ("PUT", "/v1/nodes/{node}/traits/{trait}"): None,
        ("POST", "/v1/ports"): lambda ids: {
            "node_uuid": ids["node"],
            "address": "52:54:00:00:00:99",
            "portgroup_uuid": ids["portgroup"],
        },
        ("PATCH", "/v1/ports/{port}"): _same(_EXTRA),
        ("POST", "/v1/portgroups"): lambda ids: {"node_uuid": ids["node"]},
        ("PATCH", "/v1/portgroups/{portgroup}"): _same(_EXTRA),
        ("POST", "/v1/allocations"): lambda ids: {
            "resource_class": "any",
            "candidate_nodes": [ids["node"]],
            "owner": ids["project"],
        },
        ("PATCH", "/v1/allocations/{allocation}"): _same(_EXTRA),
        ("POST", "/v1/chassis"): _same({"description": "a rack's"}),
        ("PATCH", "/v1/chassis/{chassis}"): _same(_EXTRA),
        ("POST", "/v1/volume/connectors"): lambda ids: {
            "node_uuid": ids["node"],
            "type": "iqn",
            "connector_id": "iqn.2026-11.example:new",
        },
        ("PATCH", "/v1/volume/connectors/{ident}"): _same(_EXTRA),
        ("POST", "/v1/volume/targets"): lambda ids: {
            "node_uuid": ids["node"],
            "volume_type": "iscsi",
            "boot_index": 9,
            "volume_id": "new",
        },
        ("PATCH", "/v1/volume/targets/{ident}"): _same(_EXTRA),
        **_UNSUPPORTED_BODIES,
    },
}
"""What a request may say, of a project's own things. None: it has no body."""
