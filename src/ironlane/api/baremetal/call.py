"""One request to the Baremetal API, as its handlers see it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from ironlane.api.baremetal import microversions
from ironlane.api.plain_json import require_plain
from ironlane.model.cabling import CablingPolicy
from ironlane.model.errors import Invalid
from ironlane.store.database import Store

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose."""

    heartbeat_timeout: int = 300
    """Seconds: told to a ramdisk, which sends heartbeats several times in this span."""
    conductor_timeout: float = 60.0
    """Seconds after which a conductor that was not heard of counts as dead."""
    max_limit: int = 1000
    """Items of a page at the most."""
    cabling: CablingPolicy = field(default_factory=CablingPolicy)
    automated_clean: bool = True
    """What new nodes have as their `automated_clean`."""
    agent_tls: bool = False
    """Agents that do not serve their commands over HTTPS are refused."""
    image_service: bool = False
    """Conductors look images up that are named by their id."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request: `version` is the microversion it speaks, `base` the address that links start with."""

    request: Request
    store: Store
    settings: Settings
    version: int
    base: str

    def path(self, name: str) -> str:
        """A part of the path, as the route names it."""
        return str(self.request.path_params[name])

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters; of several with one name, the last.

        Raises:
            Invalid: one contains NUL.
        """
        for key, value in self.request.query_params.multi_items():
            if "\0" in key or "\0" in value:
                raise Invalid("must not contain NUL", field=key.replace("\0", ""))
        return self.request.query_params

    async def body(self) -> Any:
        """The request body, parsed; None when there is none.

        Raises:
            Invalid: not JSON, or JSON that no database takes (NUL, lone surrogates, infinity).
        """
        raw = await self.request.body()
        if not raw.strip():
            return None
        try:
            value = json.loads(raw)
            require_plain(value)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"the request body is not valid JSON: {_reason(error)}", field="body") from None
        return value

    async def fields(self, allowed: Mapping[str, int], *, required: tuple[str, ...] = ()) -> Json:
        """The request body as an object; `allowed` maps its keys to the versions that introduced them.

        Raises:
            Invalid: no object, an unknown key, or a required one is missing.
            NotAcceptable: a key is newer than the request's version.
        """
        value = await self.body()
        value = {} if value is None else value
        if not isinstance(value, dict):
            raise Invalid("must be a JSON object", field="body")
        for key in value:
            if key not in allowed:
                raise Invalid(f"{key}: unknown; known are {', '.join(sorted(allowed))}", field=key)
            microversions.require(self.version, allowed[key], key)
        for key in required:
            if value.get(key) is None:
                raise Invalid(f"{key}: is missing", field=key)
        return value

    def links(self, *path: str) -> list[Json]:
        """`links` of a resource: its own address, and the same without the version."""
        tail = "/".join(path)
        return [
            {"href": f"{self.base}/v1/{tail}", "rel": "self"},
            {"href": f"{self.base}/{tail}", "rel": "bookmark"},
        ]


Handler = Callable[[Call], Awaitable[Response]]


def ok(body: Any, status: int = 200) -> Response:
    """An answer with a JSON body."""
    return JSONResponse(body, status)


def created(call: Call, body: Json, *path: str) -> Response:
    """201, with the address of what was made."""
    return JSONResponse(body, 201, headers={"Location": f"{call.base}/v1/{'/'.join(path)}"})


def accepted() -> Response:
    """202 without a body: the loops do the rest."""
    return Response(status_code=202)


def done() -> Response:
    """204."""
    return Response(status_code=204)


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
