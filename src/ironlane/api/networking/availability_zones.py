"""`/v2.0/availability_zones`: zones that networks are scheduled to. A fabric schedules nothing, so there are none."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import JSONResponse

from ironlane.api.listing import Attribute
from ironlane.api.networking.requests import collected, listed

PLURAL = "availability_zones"

ATTRIBUTES = {name: Attribute(name) for name in ("name", "resource", "state")}


async def list_(request: Request) -> JSONResponse:
    return listed(request, PLURAL, collected(request, ATTRIBUTES, standard=False), [], more=False)
