"""The contract of DHCP engines: they are told all that is to be answered, and answer it.

Level-based, like everything that acts on the world: `apply` takes the whole of what should be, finds out what differs
from what is served, and returns when the daemon answers by it.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from ironlane.model.dhcp import Answers


class DhcpEngine(Protocol):
    """A daemon, or several, that answer DHCP."""

    async def start(self) -> None:
        """Get ready; nothing is answered before the first `apply`."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Held by whoever reads the rows and applies them, so that an older reading is never applied after a newer
        one: within this process, and among all processes that write to the same engine."""

    async def apply(self, answers: Answers) -> None:
        """Have exactly `answers` answered.

        Raises:
            Temporary: it could not be brought about. Then nothing is answered that is not in `answers`: rather nothing
                at all. The caller tries again.
        """

    async def broken(self) -> str:
        """Return why, once what was applied is not answered any more: a daemon died. It is to be applied again."""

    def state(self) -> dict[str, Any]:
        """For `/healthz`: `engine`, `state` (ok, starting, failing), `reason`, and figures."""

    async def close(self) -> None:
        """Stop answering."""
