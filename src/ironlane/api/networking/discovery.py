"""What clients ask first: which versions there are, which collections, which extensions.

The extensions are those that this API really keeps; a client that looks for another one is told that it is not there.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse

from ironlane.model.errors import NotFound

_EXTENSIONS = {
    "binding": ("Port Binding", "The binding:* attributes of ports, for bare-metal servers."),
    "extra_dhcp_opt": ("Extra DHCP options", "The extra_dhcp_opts of ports: what a server boots with."),
    "provider": ("Provider Network", "The provider:* attributes of networks: vlan and flat."),
    "multi-bulk": ("Bulk creation", "Several objects in one POST: all of them or none."),
    "external-net": ("External network", "The attribute router:external, kept for clients; there are no routers."),
    "net-mtu": ("Network MTU", "The MTU of a network is shown."),
    "net-mtu-writable": ("Network MTU (writable)", "The MTU of a network can be set."),
    "trunk": ("Trunk Extension", "Trunks: an untagged parent port and tagged sub-ports on the same switch ports."),
    "trunk-details": ("Trunk port details", "The trunk_details of a trunk's parent port."),
    "port-security": ("Port Security", "port_security_enabled is kept for clients; switch ports are not filtered."),
    "port-mac-address-regenerate": ("MAC address regenerate", "A mac_address of null makes a new one."),
    "ip_allocation": ("IP allocation", "ip_allocation says when a port is given its addresses."),
    "standard-attr-description": ("Descriptions", "The description of networks, subnets, ports and trunks."),
    "standard-attr-timestamp": ("Timestamps", "created_at and updated_at, and changed_since for lists."),
    "standard-attr-revisions": ("Revisions", "revision_number counts the changes of an object."),
    "revision-if-match": ("If-Match on revisions", "If-Match: revision_number=N makes a change conditional."),
    "standard-attr-tag": ("Tags", "Tags of networks, subnets, ports and trunks."),
    "tag-ports-during-bulk-creation": ("Tags on creation", "Ports can be created with tags."),
    "project-id": ("project_id", "project_id beside tenant_id."),
    "sorting": ("Sorting", "sort_key and sort_dir in lists."),
    "pagination": ("Pagination", "limit, marker and page_reverse in lists."),
    "filter-validation": ("Filter validation", "A list with an unknown filter is refused."),
    "empty-string-filtering": ("Empty string filtering", "An empty value in a filter means the empty value."),
    "ip-substring-filtering": ("IP address substring filtering", "fixed_ips=ip_address_substr= in lists of ports."),
}
_UPDATED = "2026-11-22T00:00:00-00:00"


async def versions(request: Request) -> JSONResponse:
    """The versions of the API; clients go on from the self link, so it says where this request came in."""
    return JSONResponse({"versions": [_version(request)]})


async def version(request: Request) -> JSONResponse:
    """The collections of version 2.0."""
    base = f"{_base(request)}/v2.0"
    names = {"network": "networks", "subnet": "subnets", "port": "ports", "trunk": "trunks", "extension": "extensions"}
    resources = [
        {"name": name, "collection": plural, "links": [{"rel": "self", "href": f"{base}/{plural}"}]}
        for name, plural in names.items()
    ]
    return JSONResponse({"resources": resources})


async def extensions() -> JSONResponse:
    """All extensions."""
    return JSONResponse({"extensions": [_extension(alias) for alias in _EXTENSIONS]})


async def extension(alias: str) -> JSONResponse:
    """One extension.

    Raises:
        NotFound: this API does not keep it.
    """
    if alias not in _EXTENSIONS:
        raise NotFound("extension", alias[:255])
    return JSONResponse({"extension": _extension(alias)})


def _version(request: Request) -> dict[str, Any]:
    return {"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{_base(request)}/v2.0/"}]}


def _base(request: Request) -> str:
    # Not `request.base_url`: below a mount that is the address of the outer application.
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '').rstrip('/')}"


def _extension(alias: str) -> dict[str, Any]:
    name, description = _EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": description, "updated": _UPDATED, "links": []}
