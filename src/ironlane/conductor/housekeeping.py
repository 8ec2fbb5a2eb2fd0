"""What has to be done now and then, whoever does it: old entries of the nodes' history go, and plans done long ago.

Every process does it, each at its own time. It is no work at all where another has just done it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from ironlane.model.errors import IronlaneError
from ironlane.store import history, plans
from ironlane.store.database import Store

log = structlog.get_logger(__name__)

INTERVAL = 3600.0
"""Seconds."""


class Housekeeping:
    """`plan_retention`: how long plans that are done stay; 0: for ever."""

    def __init__(self, store: Store, plan_retention: timedelta = timedelta(0), interval: float = INTERVAL) -> None:
        self._store = store
        self._plan_retention = plan_retention
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
                await self._prune_plans()
            except IronlaneError as error:
                log.warning("old entries stay for now", error=error.message)

    async def _prune_plans(self) -> None:
        if not self._plan_retention:
            return
        before = self._store.now() - self._plan_retention
        while await self._store.write(lambda tx: plans.prune(tx, before)):
            pass
