"""The DHCP loop: what the rows say is to be answered goes to the DHCP engine, and who changed the rows hears of it.

Level-based like the other loops. A change in this process is taken in before `Store.write` returns (`settled`); one by
another process is found by looking, every `interval`. Changes that come together are applied together.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from ironlane.boot.dhcp import DhcpEngine
from ironlane.model.dhcp import Answers
from ironlane.model.errors import IronlaneError
from ironlane.store import dhcp
from ironlane.store.database import Store, Tx

log = structlog.get_logger(__name__)

_FIRST_RETRY, _LAST_RETRY = 0.1, 10.0
_WELL = 20.0
"""Seconds of working order after which a failure counts as the first one again."""


class DhcpLoop:
    """Args:
    store: the database.
    engine: what answers.
    interval: seconds between two looks for what another process has changed.
    """

    def __init__(self, store: Store, engine: DhcpEngine, *, interval: float = 1.0) -> None:
        self._store = store
        self._engine = engine
        self._interval = interval
        self._failures = 0
        self._well_since = 0.0
        self._answers: Answers | None = None
        self._seen: tuple[Any, ...] = ()
        self._due: set[str] = set()
        self._round: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reason = "starting"

    async def start(self) -> None:
        """Serve what the rows say, before anything else is begun."""
        await self._engine.start()
        await self._converge({dhcp.EVERYTHING})
        self._store.answer_with(self.settled)
        self._task = asyncio.create_task(self._run(), name="dhcp")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._round is not None and not self._round.done():
            self._round.set_result(None)
        await self._engine.close()

    async def settled(self, ids: set[str]) -> None:
        """Return when the engine answers what the rows say of these ids: at least as of now.

        Returns also when the engine failed: then nothing is answered that the rows do not say, and `state` tells why.
        """
        if self._task is None or self._task.done():
            return
        self._due |= ids
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
        self._wake.set()
        await asyncio.shield(self._round)

    def state(self) -> dict[str, Any]:
        """For `/healthz`."""
        told = self._engine.state()
        if self._reason:
            told |= {"state": "failing", "reason": self._reason}
        unserved = {} if self._answers is None else self._answers.unserved
        if unserved:
            told["unserved"] = sorted(unserved.values())[:20]
        return told

    async def _run(self) -> None:
        while True:
            try:
                if not self._wake.is_set():
                    await self._look()
            except Exception as error:  # this loop must not end: who changes a port waits for it
                log.exception("looking for what DHCP has to answer failed")
                self._tell(f"unexpected {type(error).__name__}; the log of the service has more")
            self._wake.clear()
            ids, self._due = self._due, set()
            waiting, self._round = self._round, None
            try:
                while ids:
                    if await self._converge(ids):
                        break
                    await asyncio.sleep(self._delay)
            finally:
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)

    async def _look(self) -> None:
        """Wait for a hint; look now and then at what others may have changed, and at what is to be tried again."""
        hinted = asyncio.create_task(self._wake.wait())
        broken = asyncio.create_task(self._engine.broken())
        waits = [hinted] if self._reason else [hinted, broken]
        try:
            await asyncio.wait(
                waits, timeout=self._delay if self._reason else self._interval, return_when=asyncio.FIRST_COMPLETED
            )
            if broken.done() and not self._reason:
                self._tell(broken.result())
                return
        finally:
            hinted.cancel()
            broken.cancel()
        if self._wake.is_set():
            return
        try:
            if self._reason or await self._store.read(dhcp.fingerprint) != self._seen:
                self._due.add(dhcp.EVERYTHING)
        except IronlaneError as error:
            log.warning("cannot look for what DHCP has to answer", error=error.message)

    @property
    def _delay(self) -> float:
        """Until what failed is tried again."""
        return min(_FIRST_RETRY * 2.0 ** min(self._failures - 1, 16), _LAST_RETRY)

    async def _converge(self, ids: set[str]) -> bool:
        """False when not even the rows could be read: whoever waits has to wait on."""
        before, read_rows = self._answers, True

        def read(tx: Tx) -> tuple[Answers, tuple[Any, ...]]:
            whole = before is None or dhcp.EVERYTHING in ids
            found = dhcp.answers(tx) if whole or before is None else dhcp.changed(tx, before, ids)
            return found, dhcp.fingerprint(tx) if whole else self._seen

        try:
            async with self._engine.turn():
                read_rows = False
                answers, self._seen = await self._store.read(read)
                self._answers, read_rows = answers, True
                _tell_unserved(before, answers)
                await self._engine.apply(answers)
            self._tell("")
        except IronlaneError as error:
            self._tell(error.message)
        except Exception as error:
            log.exception("DHCP engine failed unexpectedly")
            self._tell(f"unexpected {type(error).__name__}; the log of the service has more")
        return read_rows

    def _tell(self, reason: str) -> None:
        now = time.monotonic()
        if reason:
            if not self._reason and now - self._well_since > _WELL:
                self._failures = 0
            self._failures += 1
            if reason != self._reason:
                log.error("DHCP is not as it should be", reason=reason, again_in=self._delay)
        elif self._reason:
            self._well_since = now
            log.info("DHCP answers", **self._engine.state())
        self._reason = reason


def _tell_unserved(before: Answers | None, now: Answers) -> None:
    """Each once: nobody else learns that servers there get no answer."""
    for key in now.unserved.keys() - (before.unserved.keys() if before is not None else ()):
        log.warning("DHCP leaves out", reason=now.unserved[key])
