"""This conductor's membership: its lease, renewed by heartbeat, and the ring of all live conductors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from ironlane.conductor.ring import Ring
from ironlane.model.errors import IronlaneError, Temporary
from ironlane.store import leases
from ironlane.store.database import Store
from ironlane.store.leases import Lease, Membership

log = structlog.get_logger(__name__)


class Members:
    """Joins, keeps the lease alive, and knows who else is there.

    Args:
        store: the database that all conductors share.
        me: what this conductor tells about itself.
        ttl: how long a lease lives without a heartbeat; three are sent in that time.
        on_change: called when the set of live conductors has changed.
    """

    def __init__(
        self,
        store: Store,
        me: Membership,
        *,
        ttl: timedelta = timedelta(seconds=30),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._me = me
        self._on_change = on_change
        self._lease: Lease | None = None
        self._renewed_at = 0.0
        self._hostnames: tuple[str, ...] = ()
        self._heartbeat: asyncio.Task[None] | None = None
        self._limits: set[asyncio.Timeout] = set()
        self.ttl = ttl
        self.ring = Ring([])

    @property
    def lease(self) -> Lease:
        """The lease to act under.

        Raises:
            Temporary: it ran out, by this process's own monotonic clock: nothing may be written to hardware.
        """
        age = asyncio.get_running_loop().time() - self._renewed_at
        if self._lease is None or age > self.ttl.total_seconds():
            raise Temporary(f"conductor {self._me.hostname} holds no lease: its heartbeat did not reach the database")
        return self._lease

    @asynccontextmanager
    async def under_lease(self) -> AsyncIterator[None]:
        """What is done inside ends with the lease: it is cancelled at whatever it awaits.

        Also when this process slept through the end of its lease: what it was about to send when it fell asleep may be
        wrong by now, because another conductor may have the switch.

        Raises:
            Temporary: the lease ran out.
        """
        self.lease  # noqa: B018 - raises if there is none
        limit = asyncio.timeout_at(self._ends())
        self._limits.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError:
            raise Temporary(f"conductor {self._me.hostname} lost its lease in the middle of its work") from None
        finally:
            self._limits.discard(limit)

    def _ends(self) -> float:
        """When the lease runs out, by the event loop's clock."""
        return self._renewed_at + self.ttl.total_seconds()

    async def start(self) -> None:
        await self._join()
        self._heartbeat = asyncio.create_task(self._beat(), name="conductor-heartbeat")

    async def stop(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            await asyncio.gather(self._heartbeat, return_exceptions=True)
        lease, self._lease = self._lease, None
        if lease is not None:
            with contextlib.suppress(IronlaneError):  # it runs out by itself
                await self._store.write(lambda tx: leases.leave(tx, lease))

    async def _join(self) -> None:
        asked_at = asyncio.get_running_loop().time()
        self._lease = await self._store.write(lambda tx: leases.join(tx, self._me))
        self._renewed_at = asked_at
        log.info("conductor joined", conductor=self._me.hostname, epoch=self._lease.epoch)
        await self._look_around()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.ttl.total_seconds() / 3)
            try:
                await self._renew()
            except IronlaneError as error:
                log.warning("heartbeat failed", conductor=self._me.hostname, error=error.message)
            except Exception:  # whatever it was: a heart that has stopped once would never beat again
                log.exception("heartbeat failed unexpectedly", conductor=self._me.hostname)

    async def _renew(self) -> None:
        lease = self._lease
        asked_at = asyncio.get_running_loop().time()
        if lease is None or not await self._store.write(lambda tx: leases.renew(tx, lease)):
            log.error("another conductor has taken this one's name", conductor=self._me.hostname)
            self._lease = None
            return
        self._renewed_at = asked_at
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(self._ends())
        await self._look_around()

    async def _look_around(self) -> None:
        members = await self._store.read(lambda tx: leases.live(tx, self.ttl))
        hostnames = tuple(m.hostname for m in members)
        self.ring = Ring(members)
        if hostnames != self._hostnames:
            self._hostnames = hostnames
            self._on_change()
