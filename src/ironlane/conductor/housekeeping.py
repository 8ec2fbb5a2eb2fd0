"""What has to be done now and then, whoever does it: old entries of the nodes' history go.

Every process does it, each at its own time. It is no work at all where another has just done it.
"""

from __future__ import annotations

import asyncio

import structlog

from ironlane.model.errors import IronlaneError
from ironlane.store import history
from ironlane.store.database import Store

log = structlog.get_logger(__name__)

INTERVAL = 3600.0
"""Seconds."""


class Housekeeping:
    def __init__(self, store: Store, interval: float = INTERVAL) -> None:
        self._store = store
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="housekeeping")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                while await self._store.write(history.prune):
                    pass
            except IronlaneError as error:
                log.warning("old entries of nodes' histories stay for now", error=error.message)
