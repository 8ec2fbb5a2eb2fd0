"""Runs one piece of work per id that is due: one at a time for each id, many ids at once.

Ids become due by a hint (at once) or by their row's due time (found by a periodic look at the table, which also finds
what a lost hint would have told). While an id is being worked on, further hints for it are gathered into one more run:
that is the group commit. Under load the next run waits a little for more to join it, see `_gather`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import timedelta

import structlog

from ironlane.model.errors import IronlaneError

log = structlog.get_logger(__name__)

_QUIET = (0.02, 0.25)
"""Least and most seconds without a hint after which nothing more is waited for: half of what the last run took."""
_GATHER = 8.0
"""The next run waits up to so many times as long as the last one took, while hints keep coming."""
_GATHER_MOST = 2.0
"""Seconds that it waits at the most."""
_WORKING: ContextVar[Worker | None] = ContextVar("working", default=None)
"""The worker whose run the current task is: its hints are what that run leads to."""


class Worker:
    """Args:
    kind: what the ids name, for the log ("switch", "node").
    work: does what is due for an id, and returns after how long to look again (None: only when something is due).
    scan: the ids whose rows are due; with True also those that are waiting, which is asked once at the start.
    limit: how many ids are worked on at once.
    interval: seconds between two looks at the table.
    """

    def __init__(
        self,
        kind: str,
        work: Callable[[str], Awaitable[timedelta | None]],
        scan: Callable[[bool], Awaitable[list[str]]],
        *,
        limit: int = 256,
        interval: float = 1.0,
    ) -> None:
        self._kind = kind
        self._work = work
        self._scan = scan
        self._slots = asyncio.Semaphore(limit)
        self._interval = interval
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, float] = {}
        """Ids that are to be worked on once more, and when the last hint for each came."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._scanner: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._asked_at = 0.0
        """When the last hint came that is nobody's of this worker: somebody asks for something."""

    def start(self) -> None:
        self._scanner = asyncio.create_task(self._scan_loop(), name=f"{self._kind}-scan")

    def poke(self, ident: str) -> None:
        """The id is due now."""
        if self._stopping.is_set():
            return
        now = asyncio.get_running_loop().time()
        if _WORKING.get() is not self:
            self._asked_at = now
        timer = self._timers.pop(ident, None)
        if timer is not None:
            timer.cancel()
        if ident in self._running:
            self._again[ident] = now
            return
        task = asyncio.create_task(self._run(ident), name=f"{self._kind}-{ident}")
        self._running[ident] = task

    async def stop(self) -> None:
        """Take no new work; what is under way is finished first, so that no device is left half-spoken-to."""
        self._stopping.set()
        if self._scanner is not None:
            self._scanner.cancel()
            await asyncio.gather(self._scanner, return_exceptions=True)
        for timer in self._timers.values():
            timer.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _scan_loop(self) -> None:
        waiting = True
        while True:
            try:
                for ident in await self._scan(waiting):
                    if ident not in self._running:
                        self.poke(ident)
                waiting = False
            except IronlaneError as error:
                log.warning("cannot look for due work", kind=self._kind, error=error.message)
            except Exception:
                log.exception("looking for due work failed", kind=self._kind)
            await asyncio.sleep(self._interval)

    async def _run(self, ident: str) -> None:
        delay: timedelta | None = None
        loop = asyncio.get_running_loop()
        _WORKING.set(self)
        try:
            while True:
                self._again.pop(ident, None)
                async with self._slots:
                    began = loop.time()
                    delay = await self._work(ident)
                if ident not in self._again or self._stopping.is_set():
                    break
                await self._gather(ident, loop.time() - began)
        except IronlaneError as error:
            # Typically the database: nothing could be recorded, so the row is still due and the scan finds it again.
            log.warning("work failed and is tried again", kind=self._kind, id=ident, error=error.message)
        except Exception:
            log.exception("work failed unexpectedly and is tried again", kind=self._kind, id=ident)
        finally:
            del self._running[ident]
        if delay is not None and not self._stopping.is_set():
            loop = asyncio.get_running_loop()
            self._timers[ident] = loop.call_later(max(delay.total_seconds(), 0.0), self.poke, ident)

    async def _gather(self, ident: str, took: float) -> None:
        """Let those join the next run who would otherwise wait for the run after it.

        A run costs a switch much, and one more port in it little. So while hints for the id keep coming, and while
        somebody keeps asking for something (for any id: a fleet that moves is spread over all of them), the next run
        waits; in proportion to the last one, so that a quick switch is not kept from its work for long.
        What other ids' runs lead to is not waited for: one switch's second generation need not see all the others'
        first.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + min(_GATHER * took, _GATHER_MOST)
        quiet = min(max(took / 2, _QUIET[0]), _QUIET[1])
        while not self._stopping.is_set():
            hinted_at = max(self._asked_at, self._again.get(ident, 0.0))
            left = min(end, hinted_at + quiet) - loop.time()
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), left)
