"""The fabric loop, per switch: observe, diff, plan (saved), apply in one commit, observe again, record.

Whatever waits when the loop comes round goes into one commit. The function `converge` below is the only place in the
tree that changes a switch.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from ironlane.conductor import switch_files
from ironlane.conductor.foresight import aim, foresee, told
from ironlane.conductor.members import Members
from ironlane.model.errors import IronlaneError, Permanent, Temporary
from ironlane.model.fabric import AttachmentState, DriftPolicy, LagSupport, PortConfig, SwitchId
from ironlane.model.lldp import Neighbour
from ironlane.model.plan import Plan, diff, drift
from ironlane.store import auditing, previews, reconcile, withholding
from ironlane.store.database import Store, Tx
from ironlane.store.leases import Lease
from ironlane.store.reconcile import Outcome, SwitchView
from ironlane.switches.base import Access, Considerate, NeighbourAware, ReadingBack, Saving, SwitchDriver

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
    audit: timedelta = timedelta(minutes=5)
    """How often a switch is read although nobody asked for a change, to find what somebody else changed."""
    files: Path | None = None
    """Where the files are that switches' options name."""


@dataclass(slots=True)
class _Session:
    """An open conversation with one switch, and what it showed last."""

    driver: SwitchDriver
    kind: str
    access: Access
    observed: Mapping[str, PortConfig] = field(default_factory=dict)
    observed_at: datetime | None = None
    missing: frozenset[str] = frozenset()
    """Ports that it was asked for and does not have."""
    neighbours: Mapping[str, Sequence[Neighbour]] | None = None
    settled: int | None = None
    """The generation since which rows and switch agree in everything, so that a look that shows `observed` once more,
    the same neighbours, and no other LAGs in use, has nothing to tell; None: the long way has to be gone."""


class FabricLoop:
    """Keeps every switch that this conductor owns as its rows say it should be."""

    def __init__(
        self,
        store: Store,
        members: Members,
        make_driver: DriverFactory,
        read_secret: SecretReader,
        settings: FabricSettings,
    ) -> None:
        self._store = store
        self._members = members
        self._make_driver = make_driver
        self._read_secret = read_secret
        self._settings = settings
        self._sessions: dict[SwitchId, _Session] = {}

    async def converge(self, ident: str) -> timedelta | None:
        """Bring one switch to what it should be, once. Returns when to look again."""
        switch, lease = SwitchId(ident), self._members.lease
        since = self._sessions[switch].settled if switch in self._sessions else None
        seen = await self._store.write(partial(self._view, switch=switch, lease=lease, since=since))
        if isinstance(seen, auditing.Rest):
            looked_again = await self._audit(switch, lease, seen)
            if looked_again is not None:
                return looked_again
            seen = await self._store.write(partial(self._view, switch=switch, lease=lease))
        if not isinstance(seen, SwitchView):
            await self._forget(switch)
            return None
        outcome, later = Outcome(), self._later(seen)
        try:
            session = await self._session(seen)
            session.settled = None
            seen = _as_told(seen, session.driver)
            await self._look(seen, session, outcome)
            await self._foresee(seen, session, outcome)
            if later is not None:
                if outcome.looked:
                    session.observed_at = None  # what it showed is not on record: its own turn looks again
                return later
            if withholding.due(seen.attachments, seen.id, self._store.now()):
                due = seen
                seen = await self._store.write(lambda tx: reconcile.retry_withheld(tx, due, lease))
                seen = _as_told(seen, session.driver)
            await self._bring(seen, session, lease, outcome)
        except Exception as unforeseen:
            error = _told(seen, unforeseen)
            if seen.questions:
                ids = [question.id for question in seen.questions]
                await self._store.write(partial(previews.fail, ids=ids, reason=error.message))
            return later or await self._failed(seen, error, lease, outcome)
        now, reached = self._store.now(), seen
        audit_at = now + self._settings.audit * _jitter(switch)
        try:
            due_at = await self._store.write(lambda tx: reconcile.record(tx, reached, outcome, lease, audit_at))
        except Temporary:
            session.observed_at = None
            if outcome.plan_id is not None:
                await self._store.write(partial(reconcile.doubt, switch=switch))
            raise
        if _agrees(reached, session, outcome):
            session.settled = reached.generation
        return max(due_at - now, timedelta(0))

    def _view(
        self, tx: Tx, *, switch: SwitchId, lease: Lease, since: int | None = None
    ) -> auditing.Rest | SwitchView | None:
        rest = None if since is None else auditing.at_rest(tx, switch, lease, since)
        return rest or reconcile.view(tx, switch, lease, self._settings.lease_ttl)

    async def _audit(self, switch: SwitchId, lease: Lease, rest: auditing.Rest) -> timedelta | None:
        """Look at a switch of which nothing is asked. None when it does not show what it showed last, or is not at rest
        any more: then it has to be looked at the long way."""
        session = self._sessions[switch]
        before, lags, names = session.observed, _lags(session), frozenset(session.observed)
        session.observed_at = session.settled = None
        try:
            session.observed = await session.driver.observe(names)
            heard = await _neighbours(switch, session.driver, names)
        except IronlaneError:
            return None  # the long way tells
        if (session.observed, _lags(session), heard) != (before, lags, session.neighbours):
            return None
        now = self._store.now()
        next_at = now + self._settings.audit * _jitter(switch)
        if not await self._store.write(lambda tx: auditing.seen(tx, switch, lease, rest, next_at)):
            return None
        session.observed_at, session.settled = now, rest.generation
        return next_at - now

    async def _look(self, seen: SwitchView, session: _Session, outcome: Outcome) -> None:
        """What the switch carries: as it was read back by this very session not long ago, or as read now."""
        now = self._store.now()
        fresh = session.observed_at is not None and now - session.observed_at < self._settings.audit * 0.8
        others = seen.policy is DriftPolicy.OBSERVE  # somebody else writes to it, at any time
        if (
            fresh
            and not others
            and not seen.audit_due
            and seen.ports.names <= session.observed.keys() | session.missing
        ):
            outcome.observed, outcome.missing = session.observed, session.missing
            outcome.drifted = drift(seen.verified, outcome.observed)  # on record, and still to be tolerated
            return
        outcome.observed = await self._read(seen, session, outcome)
        outcome.missing = session.missing
        outcome.looked = True
        outcome.neighbours = session.neighbours = await _neighbours(seen.id, session.driver, seen.ports.names)
        outcome.drifted = drift(seen.verified, outcome.observed)
        for port, config in outcome.drifted.items():
            log.warning(
                "drift", switch=seen.id, port=port, before=seen.verified[port], after=config, policy=seen.policy
            )

    def _later(self, seen: SwitchView) -> timedelta | None:
        """How long the switch's own turn is still off, when somebody only asks; None: it is its turn now."""
        now = self._store.now()
        if not seen.questions or seen.id not in self._sessions or seen.due_at is None or seen.due_at <= now:
            return None
        return seen.due_at - now

    async def _foresee(self, seen: SwitchView, session: _Session, outcome: Outcome) -> None:
        """Answer those who ask what would be sent. Whatever is wrong with a question, the switch goes on."""
        for question in seen.questions:
            try:
                found = foresee(seen, session.driver, outcome, question.wishes)
            except IronlaneError as error:
                await self._store.write(partial(previews.fail, ids=[question.id], reason=error.message))
            except Exception as error:
                log.exception("preview failed unexpectedly", switch=seen.id, preview=question.id)
                await self._store.write(partial(previews.fail, ids=[question.id], reason=repr(error)))
            else:
                await self._store.write(partial(previews.answer, ident=question.id, generations=found))

    async def _bring(self, seen: SwitchView, session: _Session, lease: Lease, outcome: Outcome) -> None:
        """One commit for all that waits, saved first and read back after."""
        desired, outcome.tolerated = aim(seen, session.driver, outcome, seen.attachments)
        outcome.desired = desired
        plan = diff(seen.id, desired, outcome.observed or {}, seen.attachments)
        if plan:
            await self._carry_out(seen, session, lease, plan, outcome)
            _verify(seen, desired, outcome.observed or {})
            log.info("switch converged", switch=seen.id, plan=outcome.plan_id, changes=len(plan.changes))
        elif seen.policy is DriftPolicy.OBSERVE:
            return
        elif isinstance(session.driver, Saving) and (outcome.observed or {}).keys() - seen.verified.keys():
            # A plan was sent and not read back: it came through, but whether it would survive a reboot is not known.
            await session.driver.save()

    async def _carry_out(self, seen: SwitchView, session: _Session, lease: Lease, plan: Plan, outcome: Outcome) -> None:
        rendered = session.driver.render(plan)
        outcome.plan = plan
        outcome.plan_id = await self._store.write(lambda tx: reconcile.save_plan(tx, seen, plan, rendered, lease))
        # From here on the switch may be anything between before and after, until it is read back.
        session.observed_at = outcome.observed = None
        if isinstance(session.driver, ReadingBack):
            async with self._members.under_lease():
                shown = await session.driver.apply_and_observe(plan, seen.ports.names)
            outcome.observed = self._shown(shown, seen, session, outcome)
            return
        async with self._members.under_lease():
            await session.driver.apply(plan)
        outcome.observed = await self._read(seen, session, outcome)

    async def _read(self, seen: SwitchView, session: _Session, outcome: Outcome) -> Mapping[str, PortConfig]:
        session.observed_at = None
        return self._shown(await session.driver.observe(seen.ports.names), seen, session, outcome)

    def _shown(
        self, observed: Mapping[str, PortConfig], seen: SwitchView, session: _Session, outcome: Outcome
    ) -> Mapping[str, PortConfig]:
        session.observed = observed
        outcome.lags = _lags(session)
        session.observed_at = self._store.now()
        session.missing = seen.ports.names - session.observed.keys()
        return session.observed

    async def _failed(self, seen: SwitchView, error: IronlaneError, lease: Lease, outcome: Outcome) -> timedelta:
        delay = min(self._settings.first_retry * (1 << min(seen.attempts, 16)), self._settings.last_retry)
        log.warning("switch not converged", switch=seen.id, error=error.message, attempts=seen.attempts + 1)
        session = self._sessions.get(seen.id)
        if session is not None:
            if outcome.plan_id is not None:
                # A failed commit may have done part of its work: what the rows say must be what the switch says.
                with contextlib.suppress(IronlaneError):
                    outcome.observed = await self._read(seen, session, outcome)
                if isinstance(error, Permanent) and outcome.observed is not None:
                    try:
                        await self._quarantine(seen, session, lease, outcome)
                    except IronlaneError:  # that may have done part of its work, too
                        with contextlib.suppress(IronlaneError):
                            outcome.observed = await self._read(seen, session, outcome)
            session.observed_at = None
        retry_at = self._store.now() + delay
        await self._store.write(
            lambda tx: reconcile.record_failure(tx, seen, error, lease, outcome=outcome, retry_at=retry_at)
        )
        return delay

    async def _quarantine(self, seen: SwitchView, session: _Session, lease: Lease, outcome: Outcome) -> None:
        """Shut the ports that the switch would not take a VLAN off, if that is all that was asked of it.

        A refused commit that was to put others on is tried again without them first.
        """
        if outcome.plan is None or withholding.pending(seen.attachments):
            return
        observed = outcome.observed or {}
        changes = tuple(
            replace(change, before=observed[change.port], after=replace(observed[change.port], enabled=False))
            for change in outcome.plan.changes
            if change.port in observed and observed[change.port].enabled and observed[change.port].vlans
        )
        if not changes:
            return
        refused = outcome.plan_id
        await self._carry_out(seen, session, lease, Plan(seen.id, changes), outcome)
        outcome.quarantined = [c.port for c in changes if not (outcome.observed or {})[c.port].enabled]
        log.error("ports shut, because the switch would not free them", switch=seen.id, ports=outcome.quarantined)
        if refused is not None:
            closed, outcome.plan_id = outcome.plan_id, refused
            await self._store.write(lambda tx: reconcile.close_plan(tx, seen, closed, lease))

    async def _session(self, seen: SwitchView) -> _Session:
        access = Access(
            switch=seen.id,
            address=seen.address,
            port=seen.port,
            username=seen.username,
            secret=self._read_secret(seen.secret_ref) if seen.secret_ref else "",
            options=switch_files.named(seen.options, self._settings.files),
            timeout=self._settings.timeout,
        )
        session = self._sessions.get(seen.id)
        if session is not None and (session.kind, session.access) == (seen.kind, access):
            return session
        await self._forget(seen.id)
        session = self._sessions[seen.id] = _Session(self._make_driver(seen.kind, access), seen.kind, access)
        return session

    async def _forget(self, switch: SwitchId) -> None:
        session = self._sessions.pop(switch, None)
        if session is not None:
            await session.driver.close()

    async def close(self) -> None:
        """End all sessions with switches."""
        await asyncio.gather(*(self._forget(switch) for switch in list(self._sessions)))


def _lags(session: _Session) -> LagSupport:
    """What the switch can do for LAGs, as it was last read."""
    foreign = session.driver.foreign_lags() if isinstance(session.driver, Considerate) else ()
    return session.driver.capabilities.lag_support(foreign)


def _agrees(seen: SwitchView, session: _Session, outcome: Outcome) -> bool:
    """Whether nothing is left to do or to tell after a round that was recorded."""
    if outcome.missing or outcome.tolerated or any(a.state is not AttachmentState.WANTED for a in seen.attachments):
        return False
    return outcome.observed is session.observed and all(
        session.observed.get(port) == config for port, config in outcome.desired.items()
    )


def _as_told(seen: SwitchView, driver: SwitchDriver) -> SwitchView:
    return replace(seen, attachments=told(seen.attachments, driver))


async def _neighbours(
    switch: SwitchId, driver: SwitchDriver, names: Collection[str]
) -> Mapping[str, Sequence[Neighbour]] | None:
    """Whom the switch hears on our ports; None: it does not tell. Nothing that the switch carries depends on it."""
    if not isinstance(driver, NeighbourAware):
        return None
    try:
        return await driver.neighbours(names)
    except IronlaneError as error:
        log.info("switch tells no neighbours", switch=switch, error=error.message)
        return None


def _told(seen: SwitchView, error: Exception) -> IronlaneError:
    """An error as the switch's row tells it. What nobody foresaw is a fault of ours: tried again, and told by its kind
    only, because its words may hold anything."""
    if isinstance(error, IronlaneError):
        return error
    log.error("switch not converged: unforeseen error", switch=seen.id, exc_info=error)
    return Temporary(f"unforeseen {type(error).__name__} at switch {seen.id}; the service's log has the details")


def _jitter(switch: SwitchId) -> float:
    """0.9 to 1.1, the same for a switch always: so that not all of them are read at one moment."""
    return 0.9 + 0.2 * (zlib.crc32(switch.encode()) % 1000) / 1000


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
