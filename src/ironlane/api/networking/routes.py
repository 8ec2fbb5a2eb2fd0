"""The whole URL map of the Networking API on one page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, get_type_hints

from fastapi import FastAPI

from ironlane.api.networking import (
    agents,
    availability_zones,
    discovery,
    extensions,
    ip_availability,
    networks,
    ports,
    quotas,
    rbac_policies,
    subnets,
    tags,
    trunks,
)
from ironlane.api.networking.openapi import described


class Route(NamedTuple):
    """One request that is served: a method, a path, what serves it, and its usual status."""

    method: str
    path: str
    handler: Callable[..., Any]
    status: int = 200


ROUTES = (
    # Looked through from the top: the busiest first.
    Route("GET", "/v2.0/ports", ports.list_),
    Route("POST", "/v2.0/ports", ports.create, 201),
    Route("GET", "/v2.0/ports/{ident}", ports.show),
    Route("PUT", "/v2.0/ports/{ident}", ports.update),
    Route("DELETE", "/v2.0/ports/{ident}", ports.delete, 204),
    Route("GET", "/", discovery.versions),
    Route("GET", "/v2.0", discovery.version),
    Route("GET", "/v2.0/", discovery.version),
    Route("GET", "/v2.0/extensions", extensions.list_),
    Route("GET", "/v2.0/extensions/{alias}", extensions.show),
    Route("GET", "/v2.0/availability_zones", availability_zones.list_),
    Route("GET", "/v2.0/networks", networks.list_),
    Route("POST", "/v2.0/networks", networks.create, 201),
    Route("GET", "/v2.0/networks/{ident}", networks.show),
    Route("PUT", "/v2.0/networks/{ident}", networks.update),
    Route("DELETE", "/v2.0/networks/{ident}", networks.delete, 204),
    Route("GET", "/v2.0/subnets", subnets.list_),
    Route("POST", "/v2.0/subnets", subnets.create, 201),
    Route("GET", "/v2.0/subnets/{ident}", subnets.show),
    Route("PUT", "/v2.0/subnets/{ident}", subnets.update),
    Route("DELETE", "/v2.0/subnets/{ident}", subnets.delete, 204),
    Route("GET", "/v2.0/trunks", trunks.list_),
    Route("POST", "/v2.0/trunks", trunks.create, 201),
    Route("GET", "/v2.0/trunks/{ident}", trunks.show),
    Route("PUT", "/v2.0/trunks/{ident}", trunks.update),
    Route("DELETE", "/v2.0/trunks/{ident}", trunks.delete, 204),
    Route("GET", "/v2.0/trunks/{ident}/get_subports", trunks.get_subports),
    Route("PUT", "/v2.0/trunks/{ident}/add_subports", trunks.add_subports),
    Route("PUT", "/v2.0/trunks/{ident}/remove_subports", trunks.remove_subports),
    Route("GET", "/v2.0/quotas", quotas.list_),
    Route("GET", "/v2.0/quotas/project", quotas.project),
    Route("GET", "/v2.0/quotas/tenant", quotas.tenant),
    Route("GET", "/v2.0/quotas/{project_id}", quotas.show),
    Route("PUT", "/v2.0/quotas/{project_id}", quotas.update),
    Route("DELETE", "/v2.0/quotas/{project_id}", quotas.delete, 204),
    Route("GET", "/v2.0/quotas/{project_id}/default", quotas.default),
    Route("GET", "/v2.0/quotas/{project_id}/details", quotas.details),
    Route("GET", "/v2.0/quotas/{project_id}/details.json", quotas.details_json),
    Route("GET", "/v2.0/agents", agents.list_),
    Route("GET", "/v2.0/agents/{ident}", agents.show),
    Route("PUT", "/v2.0/agents/{ident}", agents.update),
    Route("GET", "/v2.0/network-ip-availabilities", ip_availability.list_),
    Route("GET", "/v2.0/network-ip-availabilities/{ident}", ip_availability.show),
    Route("GET", "/v2.0/rbac-policies", rbac_policies.list_),
    Route("POST", "/v2.0/rbac-policies", rbac_policies.create, 201),
    Route("GET", "/v2.0/rbac-policies/{ident}", rbac_policies.show),
    Route("PUT", "/v2.0/rbac-policies/{ident}", rbac_policies.update),
    Route("DELETE", "/v2.0/rbac-policies/{ident}", rbac_policies.delete, 204),
    Route("GET", "/v2.0/{collection}/{ident}/tags", tags.list_),
    Route("POST", "/v2.0/{collection}/{ident}/tags", tags.create, 201),
    Route("PUT", "/v2.0/{collection}/{ident}/tags", tags.replace),
    Route("DELETE", "/v2.0/{collection}/{ident}/tags", tags.clear, 204),
    Route("GET", "/v2.0/{collection}/{ident}/tags/{tag}", tags.show, 204),
    Route("PUT", "/v2.0/{collection}/{ident}/tags/{tag}", tags.add, 201),
    Route("DELETE", "/v2.0/{collection}/{ident}/tags/{tag}", tags.remove, 204),
)


def install(app: FastAPI) -> None:
    """Have `app` serve the map."""
    for route in ROUTES:
        noun = route.handler.__module__.rpartition(".")[2]
        verb = route.handler.__name__.rstrip("_")
        app.add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            status_code=route.status,
            response_model=None,
            response_class=get_type_hints(route.handler)["return"],
            tags=[noun],
            name=f"{verb} {noun}",
            operation_id=f"{noun}.{verb}",
            include_in_schema=route.path != "/v2.0",
            **described(route.handler),
        )
