"""The one table from our error tree to HTTP statuses; each API adds its own body shape."""

from __future__ import annotations

from ironlane.model.errors import (
    Conflict,
    Forbidden,
    Invalid,
    IronlaneError,
    NotFound,
    Permanent,
    Rejected,
    Temporary,
    Unauthorized,
)

STATUS: dict[type[IronlaneError], int] = {
    Invalid: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Rejected: 400,
    Temporary: 503,
    Permanent: 500,
    IronlaneError: 500,
}


def status_of(error: IronlaneError) -> int:
    """HTTP status for an error of ours: that of the nearest class in the tree."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
