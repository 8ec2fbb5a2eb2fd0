"""What there is: `GET /`, `GET /v1/`, `GET /v1/volume`."""

from __future__ import annotations

from starlette.responses import Response

from ironlane.api.baremetal.call import Call, Json, ok
from ironlane.api.baremetal.microversions import NEWEST, OLDEST, number
from ironlane.store import nodes

_RESOURCES = {
    "chassis": 1,
    "nodes": 1,
    "ports": 1,
    "drivers": 1,
    "lookup": 22,
    "heartbeat": 22,
    "portgroups": 23,
    "volume": 32,
    "conductors": 49,
    "allocations": 52,
    "shards": 82,
}


async def root(call: Call) -> Response:
    """The versions of the API: one, with its microversions."""
    version = _version(call)
    return ok(
        {
            "name": "OpenStack Ironic API",
            "description": "Puts physical servers on networks; speaks the Baremetal API that Ironic defined.",
            "default_version": version,
            "versions": [version],
        }
    )


async def v1(call: Call) -> Response:
    """Version 1, with the addresses of its resources."""
    body: Json = {
        "id": "v1",
        "links": [{"href": f"{call.base}/v1/", "rel": "self"}],
        "media_types": [{"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"}],
        "version": _version(call),
    }
    for name, since in _RESOURCES.items():
        if call.version >= since:
            links = call.links(name, "")
            body[name] = links
    return ok(body)


async def volume(call: Call) -> Response:
    """The kinds of volume resources."""
    at = ("nodes", call.path("node"), "volume") if "node" in call.request.path_params else ("volume",)
    if "node" in call.request.path_params:
        await _require_node(call)
    return ok(
        {
            "connectors": call.links(*at, "connectors"),
            "targets": call.links(*at, "targets"),
            "links": call.links(*at, ""),
        }
    )


async def _require_node(call: Call) -> None:
    ident = call.request.path_params.get("node")
    if ident is not None:
        await call.store.read(lambda tx: nodes.get(tx, ident))


def _version(call: Call) -> Json:
    return {
        "id": "v1",
        "links": [{"href": f"{call.base}/v1/", "rel": "self"}],
        "status": "CURRENT",
        "min_version": number(OLDEST),
        "version": number(NEWEST),
    }
