"""What clients ask first: which versions there are, and which collections."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse

_COLLECTIONS = {
    "network": "networks",
    "subnet": "subnets",
    "port": "ports",
    "trunk": "trunks",
    "quota": "quotas",
    "rbac-policy": "rbac-policies",
    "agent": "agents",
    "network-ip-availability": "network-ip-availabilities",
    "availability_zone": "availability_zones",
    "extension": "extensions",
}


async def versions(request: Request) -> JSONResponse:
    """The versions of the API; clients go on from the self link, so it says where this request came in."""
    return JSONResponse({"versions": [_version(request)]})


async def version(request: Request) -> JSONResponse:
    """The collections of version 2.0."""
    base = f"{_base(request)}/v2.0"
    resources = [
        {"name": name, "collection": plural, "links": [{"rel": "self", "href": f"{base}/{plural}"}]}
        for name, plural in _COLLECTIONS.items()
    ]
    return JSONResponse({"resources": resources})


def _version(request: Request) -> dict[str, Any]:
    return {"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{_base(request)}/v2.0/"}]}


def _base(request: Request) -> str:
    # Not `request.base_url`: below a mount that is the address of the outer application.
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '').rstrip('/')}"
