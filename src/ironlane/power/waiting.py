"""Waiting until a BMC reports the power state that it was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ironlane.model.errors import Temporary
from ironlane.power.base import PowerState


@dataclass(frozen=True)
class Patience:
    """How long a driver waits for a server to change its power state, in seconds.

    No BMC sends an event that every other BMC sends too, so the state is read again each `interval`.
    """

    interval: float = 2.0
    limit: float = 60.0

    def for_client(self, timeout: float | None) -> Patience:
        """With the limit that a client gave, if it did."""
        return self if timeout is None else Patience(min(self.interval, timeout), timeout)


async def until_reported(
    read: Callable[[], Awaitable[PowerState]], wanted: PowerState, patience: Patience, *, bmc: str, asked: str
) -> None:
    """Return when `read()` says `wanted`.

    Raises:
        Temporary: it still says something else after `patience.limit` seconds. `bmc` and `asked` name the device and
            what it was told to do.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience.limit
    while (reported := await read()) is not wanted:
        left = deadline - loop.time()
        if left <= 0:
            raise Temporary(
                f"{bmc} accepted {asked} but after {patience.limit:g} s it still reports '{reported}' instead of "
                f"'{wanted}'; look at the server or its BMC if this repeats"
            )
        await asyncio.sleep(min(patience.interval, left))
