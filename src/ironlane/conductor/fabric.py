"""The fabric loop, per switch: observe, diff, plan (saved), apply in one commit, observe again, record.

Whatever waits when the loop comes round goes into one commit. The function `converge` below is the only place in the
tree that changes a switch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from ironlane.model.errors import IronlaneError, Permanent, Temporary
from ironlane.model.fabric import PortConfig, SwitchId
from ironlane.model.plan import Plan, diff, project
from ironlane.store import reconcile
from ironlane.store.database import Store
from ironlane.store.leases import Lease
from ironlane.store.reconcile import SwitchView
from ironlane.switches.base import Access, SwitchDriver

log = structlog.get_logger(__name__)

DriverFactory = Callable[[str, Access], SwitchDriver]
"""`(kind, access) → driver`; raises Permanent for an unknown kind."""

SecretReader = Callable[[str], str]
"""`name → secret`; raises Permanent when there is none of that name."""


@dataclass(frozen=True, slots=True)
class FabricSettings:
    """How patient the loop is. `first_retry` doubles with each failure up to `last_retry`."""

    lease_ttl: timedelta = timedelta(seconds=30)
    first_retry: timedelta = timedelta(milliseconds=500)
    last_retry: timedelta = timedelta(minutes=1)
    timeout: float = 30.0
    trust: timedelta = timedelta(minutes=5)
    """How long a read-back stands for the state of a switch that nobody but us should change; then it is read anew."""


@dataclass(slots=True)
class _Session:
    """An open conversation with one switch, and what it showed last."""

    driver: SwitchDriver
    access: Access
    observed: Mapping[str, PortConfig] = field(default_factory=dict)
    observed_at: datetime | None = None


class FabricLoop:
    """Keeps every switch that this conductor owns as its rows say it should be."""

    def __init__(
        self,
        store: Store,
        lease: Callable[[], Lease],
        make_driver: DriverFactory,
        read_secret: SecretReader,
        settings: FabricSettings,
    ) -> None:
        self._store = store
        self._lease = lease
        self._make_driver = make_driver
        self._read_secret = read_secret
        self._settings = settings
        self._sessions: dict[SwitchId, _Session] = {}

    async def converge(self, ident: str) -> timedelta | None:
        """Bring one switch to what it should be, once. Returns when to try again after a failure."""
        switch, lease = SwitchId(ident), self._lease()
        seen = await self._store.write(lambda tx: reconcile.view(tx, switch, lease, self._settings.lease_ttl))
        if seen is None:
            await self._forget(switch)
            return None
        attempt = _Attempt()
        try:
            session = await self._session(seen)
            await self._bring(seen, session, lease, attempt)
        except IronlaneError as error:
            return await self._failed(seen, error, lease, attempt)
        await self._store.write(lambda tx: reconcile.record(tx, seen, session.observed, lease, attempt.plan_id))
        return None

    async def _bring(self, seen: SwitchView, session: _Session, lease: Lease, attempt: _Attempt) -> None:
        desired = project(seen.attachments, seen.ports)
        attempt.observed = await self._observe(seen, session)
        plan = diff(seen.id, desired, attempt.observed, seen.attachments)
        if not plan:
            return
        rendered = session.driver.render(plan)
        attempt.plan_id = await self._store.write(lambda tx: reconcile.save_plan(tx, seen, plan, rendered, lease))
        # From here on the switch may be anything between before and after, until it is read back.
        session.observed_at = attempt.observed = None
        await session.driver.apply(plan)
        attempt.observed = await self._observe(seen, session)
        _verify(seen, desired, attempt.observed)
        log.info("switch converged", switch=seen.id, plan=attempt.plan_id, changes=len(plan.changes))

    async def _observe(self, seen: SwitchView, session: _Session) -> Mapping[str, PortConfig]:
        """What the switch carries: read back not long ago by this very session, or read now."""
        now = self._store.now()
        fresh = session.observed_at is not None and now - session.observed_at < self._settings.trust
        if not fresh or not seen.ports.names <= session.observed.keys():
            session.observed = await session.driver.observe(seen.ports.names)
            session.observed_at = now
        return session.observed

    async def _failed(self, seen: SwitchView, error: IronlaneError, lease: Lease, attempt: _Attempt) -> timedelta:
        delay = min(self._settings.first_retry * (1 << min(seen.attempts, 16)), self._settings.last_retry)
        log.warning("switch not converged", switch=seen.id, error=error.message, attempts=seen.attempts + 1)
        session = self._sessions.get(seen.id)
        if session is not None and attempt.plan_id is not None and attempt.observed is None:
            # A failed commit may have done part of its work: what the rows say must be what the switch says.
            with contextlib.suppress(IronlaneError):
                attempt.observed = await self._observe(seen, session)
        if session is not None:
            session.observed_at = None
        retry_at = self._store.now() + delay
        await self._store.write(
            lambda tx: reconcile.record_failure(
                tx, seen, error, lease, plan_id=attempt.plan_id, observed=attempt.observed, retry_at=retry_at
            )
        )
        return delay

    async def _session(self, seen: SwitchView) -> _Session:
        access = Access(
            switch=seen.id,
            address=seen.address,
            port=seen.port,
            username=seen.username,
            secret=self._read_secret(seen.secret_ref) if seen.secret_ref else "",
            options=seen.options,
            timeout=self._settings.timeout,
        )
        session = self._sessions.get(seen.id)
        if session is not None and session.access == access:
            return session
        await self._forget(seen.id)
        session = self._sessions[seen.id] = _Session(self._make_driver(seen.kind, access), access)
        return session

    async def _forget(self, switch: SwitchId) -> None:
        session = self._sessions.pop(switch, None)
        if session is not None:
            await session.driver.close()

    async def close(self) -> None:
        """End all sessions with switches."""
        await asyncio.gather(*(self._forget(switch) for switch in list(self._sessions)))


@dataclass(slots=True)
class _Attempt:
    """How far one round came: what a failure has to be recorded with."""

    plan_id: str | None = None
    observed: Mapping[str, PortConfig] | None = None


def _verify(seen: SwitchView, desired: Mapping[str, PortConfig], observed: Mapping[str, PortConfig]) -> None:
    left: Plan = diff(seen.id, desired, observed)
    if left:
        names = ", ".join(change.port for change in left.changes[:5])
        raise Temporary(
            f"switch {seen.id} accepted the change, but reads back otherwise on {len(left.changes)} ports: {names}"
        )


def driver_factory(kinds: Mapping[str, Callable[[Access], SwitchDriver]]) -> DriverFactory:
    """A factory over the known kinds of switches."""

    def make(kind: str, access: Access) -> SwitchDriver:
        if kind not in kinds:
            raise Permanent(f"switch {access.switch} is of unknown kind {kind!r}; known are {', '.join(sorted(kinds))}")
        return kinds[kind](access)

    return make
