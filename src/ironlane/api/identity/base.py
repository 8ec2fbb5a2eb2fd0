"""The contract of a strategy, and the one that asks nobody for anything."""

from __future__ import annotations

from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import Scope

from ironlane.model.caller import ADMIN, INTERNAL, Caller

SCOPE = "ironlane.caller"
"""Where the ASGI scope holds the caller of a request."""


class Authenticator(Protocol):
    """One way of finding out who makes a request."""

    @property
    def challenge(self) -> str:
        """`WWW-Authenticate` of a 401: how a client is to prove who it is."""

    async def authenticate(self, scope: Scope) -> Caller:
        """Who makes this request.

        Raises:
            Unauthorized: no credentials, or wrong ones.
            Temporary: it cannot be found out now; Busy, when too many ask.
        """

    async def close(self) -> None: ...


class NoAuthentication:
    """Everybody is an admin. What is made belongs to the project in the `X-Project-Id` header, else to nobody."""

    challenge = ""

    async def authenticate(self, scope: Scope) -> Caller:
        project = next((value for name, value in scope["headers"] if name == b"x-project-id"), b"")
        return Caller(project_id=project.decode("latin-1")[:255], roles=ADMIN, is_system=True) if project else INTERNAL

    async def close(self) -> None:
        pass


def caller_of(scope: Scope) -> Caller:
    """Who makes a request; there is somebody in every request that passed `api.http`."""
    caller: Caller = scope[SCOPE]
    return caller


def header(scope: Scope, name: str) -> str:
    """A header that occurs once; empty when it is not there.

    Two of a kind are as good as none: a proxy in between may have looked at the other one.
    """
    found = Headers(scope=scope).getlist(name)
    return found[0] if len(found) == 1 else ""
