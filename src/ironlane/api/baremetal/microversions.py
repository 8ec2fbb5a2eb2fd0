"""Microversions of the Baremetal API: which one a request speaks, and what the answer says of it.

A version is written `1.N` on the wire and N here. A client names one in `X-OpenStack-Ironic-API-Version: 1.N` or in
`OpenStack-API-Version: baremetal 1.N`; `latest` is the newest; none named is the oldest. Source: Ironic's REST API
version history.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders

from ironlane.model.errors import Rejected

OLDEST = 1
NEWEST = 109
"""The health of a node. Fields are shown and taken from the version on that introduced them. Whole resources that
Ironlane does not have (deploy templates, runbooks, inspection rules) answer 404 in every version."""

REQUEST_HEADER = "X-OpenStack-Ironic-API-Version"
SERVICE_HEADER = "OpenStack-API-Version"
_SERVICE = re.compile(r"(?:^|,)\s*baremetal\s+([^\s,]+)")
_NUMBER = re.compile(r"1\.(0|[1-9][0-9]{0,3})")


class NotAcceptable(Rejected):
    """406: the service has no such version, or what is asked for is newer than the version that asks for it."""


def number(version: int) -> str:
    """As it is written on the wire."""
    return f"1.{version}"


def negotiate(headers: Headers) -> int:
    """The version that a request speaks.

    Raises:
        NotAcceptable: malformed, or outside of what the service has.
    """
    asked = headers.get(REQUEST_HEADER)
    if asked is None:
        service = _SERVICE.search(headers.get(SERVICE_HEADER, "").lower())
        asked = service[1] if service else None
    if asked is None:
        return OLDEST
    if asked.strip().lower() == "latest":
        return NEWEST
    match = _NUMBER.fullmatch(asked.strip())
    if match is None or not OLDEST <= int(match[1]) <= NEWEST:
        raise NotAcceptable(
            f"Version {asked[:64]} was requested but is not supported by this service. The supported version range is:"
            f" [{number(OLDEST)}, {number(NEWEST)}].",
            field=REQUEST_HEADER,
        )
    return int(match[1])


def announce(headers: MutableHeaders, version: int | None = None) -> None:
    """Say in an answer's headers which versions there are, and which one it is written in."""
    headers["X-OpenStack-Ironic-API-Minimum-Version"] = number(OLDEST)
    headers["X-OpenStack-Ironic-API-Maximum-Version"] = number(NEWEST)
    headers.setdefault("Vary", f"{REQUEST_HEADER}, {SERVICE_HEADER}")
    if version is not None:
        headers[REQUEST_HEADER] = number(version)
        headers[SERVICE_HEADER] = f"baremetal {number(version)}"


def require(version: int, since: int, what: str) -> None:
    """Refuse what is newer than the version that asks for it.

    Raises:
        NotAcceptable: `since` is above `version`.
    """
    if version < since:
        raise NotAcceptable(
            f"Request not acceptable: {what} needs API version {number(since)}, the request speaks {number(version)}",
            field=what,
        )
