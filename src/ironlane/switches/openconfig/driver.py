"""The driver: OpenConfig over NETCONF, on the candidate datastore.

The switch has to offer `:candidate`. Where it offers `:validate` and `:confirmed-commit`, they are used; `render` shows
the operations for a switch that has both, and one that has not is sent the same without them.

**A session that dies.** The commit is confirmed without <persist>: when the session ends between commit and confirm,
the switch undoes the commit at once, or after `confirm_timeout` if it does not notice. What it shows in between would
be undone behind our back; so a fresh session takes and frees the lock on the running datastore before anything else,
which the switch denies while somebody's commit waits to be confirmed (RFC 6241 section 7.5).

**What is sent at once.** What only touches the locked candidate (discard, edit, validate) is sent together; and so is
the last word of a commit with what is asked behind it: the read-back, and the unlocking, which is answered while the
caller goes on. Behind a commit that is not confirmed nothing is sent before it is answered.

**A switch that forgets.** Where the running configuration does not survive a reboot by itself (`:startup`, RFC 6241
section 8.7), it is copied to the startup configuration after each commit.

**LACP fallback** is a leaf of openconfig-lacp since 2.1.0 (September 2024). It is sent only where it is wished for; an
older switch refuses it then, and says so.

Options of `Access.options`: the fields of `names.NetconfDialect`, and those of `ironlane.switches.netconf`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from lxml import etree

from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import PortConfig
from ironlane.model.lldp import Neighbour
from ironlane.model.plan import Plan
from ironlane.switches import netconf
from ironlane.switches.base import Access, Capabilities
from ironlane.switches.netconf import NetconfSession, Question
from ironlane.switches.openconfig import read, write
from ironlane.switches.openconfig.edit import leave_others_alone, members_after
from ironlane.switches.openconfig.meaning import Observation
from ironlane.switches.openconfig.names import NetconfDialect

T = TypeVar("T")

_LOCK = write.operation("lock", "target", "candidate")
_UNLOCK = write.operation("unlock", "target", "candidate")
_LOCK_RUNNING = write.operation("lock", "target", "running")
_UNLOCK_RUNNING = write.operation("unlock", "target", "running")
_DISCARD = write.operation("discard-changes")
_VALIDATE = write.operation("validate", "source", "candidate")
_COMMIT = write.operation("commit")
_SAVE = write.save()
_NEIGHBOURS = write.get_neighbours()


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    """An answer of the switch by its digest, and what it means for the ports asked for."""

    digest: bytes
    wanted: frozenset[str]
    meaning: T


class _Written(NamedTuple):
    """The edit that was written last, and all that it was written for."""

    plan: Plan
    members: Mapping[str, str]
    ours: frozenset[str] | None
    edit: str


class OpenConfigDriver:
    """`ironlane.switches.base.SwitchDriver` for OpenConfig over NETCONF.

    Raises:
        Invalid: an option is unknown or malformed.
    """

    capabilities = Capabilities(atomic_commit=True, confirmed_commit=True)

    def __init__(self, access: Access) -> None:
        own = {name: value for name, value in access.options.items() if name not in netconf.OPTIONS}
        self._dialect = NetconfDialect.from_options(own)
        self._access = access
        self._session: NetconfSession | None = None
        self._question = write.get_config(self._dialect)
        self._forgets = False
        """The switch has to be told to keep what runs, as its hello said."""
        self._members: Mapping[str, str] | None = None
        """Port → aggregate interface as last known, of all ports; None when it has to be read first."""
        self._ours: frozenset[str] | None = None
        """The ports that were asked for last: those that are managed here."""
        self._written: _Written | None = None
        self._unlocking: Question | None = None
        """The unlocking that is under way."""
        self._shown = _Answer(b"", frozenset(), Observation({}, {}))
        self._heard: _Answer[Mapping[str, Sequence[Neighbour]]] = _Answer(b"", frozenset(), {})

    async def observe(self, ports: Collection[str]) -> Mapping[str, PortConfig]:
        """See `SwitchDriver.observe`. One exchange, whatever the number of ports."""
        self._ours = frozenset(ports)
        return (await self._read(await self._connected())).ports

    def foreign_lags(self) -> Collection[int]:
        """See `switches.base.Considerate`."""
        return self._shown.meaning.foreign

    async def neighbours(self, ports: Collection[str]) -> Mapping[str, Sequence[Neighbour]]:
        """See `switches.base.NeighbourAware`."""
        session = await self._connected()
        (question,) = session.ask(_NEIGHBOURS)
        self._heard = await self._heard_out(session, question, ports, self._heard, read.neighbours)
        return self._heard.meaning

    def render(self, plan: Plan) -> tuple[str, ...]:
        """See `SwitchDriver.render`.

        A LAG is deleted when its last member leaves. Who else is in it is not in the plan; it is taken from the last
        `observe`, and without one (`apply` makes up for it) the ports of the plan are taken for all there are.
        """
        return self.render_after(plan, ())

    def render_after(self, plan: Plan, earlier: Sequence[Plan]) -> tuple[str, ...]:
        """See `switches.base.Foresighted`."""
        if not plan:
            return ()
        members = self._members or {}
        for done in earlier:
            members = members_after(done, members, self._dialect)
        edit = self._edit(plan, members)
        validate = [_VALIDATE] if self._dialect.validate else []
        commit = [_COMMIT]
        if self._dialect.confirmed_commit:
            commit = [write.confirmed_commit(self._dialect.confirm_timeout), _COMMIT]
        return (_LOCK, _DISCARD, edit, *validate, *commit, *self._saving(), _UNLOCK)

    async def apply(self, plan: Plan) -> None:
        """See `SwitchDriver.apply`. All or nothing: what fails is discarded, and the lock is freed."""
        if plan:
            session, _ = await self._carry_out(plan)
            await self._unlocked(session)

    async def apply_and_observe(self, plan: Plan, ports: Collection[str]) -> Mapping[str, PortConfig]:
        """See `switches.base.ReadingBack`. The lock is freed while the caller goes on."""
        session, (question,) = await self._carry_out(plan, self._question)
        self._ours = frozenset(ports)
        return (await self._seen(session, question)).ports

    async def _carry_out(self, plan: Plan, *then: str) -> tuple[NetconfSession, list[Question]]:
        """Commit a plan. What is asked `then` is sent right behind the commit, and the unlocking behind that."""
        session = await self._connected()
        if self._members is None:
            await self._read(session)
        members = self._members or {}
        edit = self._edit(plan, members)
        after = members_after(plan, members, self._dialect)
        self._members = None
        await self._lock(session)
        validates = self._dialect.validate and session.supports("validate", "1.0", "1.1")
        try:
            # At once: whatever becomes of one of them, the others only touch the candidate, which is locked.
            await session.rpc(_DISCARD, edit, *([_VALIDATE] if validates else []))
            questions = await self._commit(session, then)
        except BaseException:
            await self._clean_up(session)
            raise
        self._members = after
        return session, questions

    async def save(self) -> None:
        """See `switches.base.Saving`."""
        await self._keep(await self._connected())

    async def _keep(self, session: NetconfSession) -> None:
        for operation in self._saving():
            await session.rpc(operation)

    def _saving(self) -> tuple[str, ...]:
        return (_SAVE,) if self._forgets and self._dialect.save else ()

    async def close(self) -> None:
        """See `SwitchDriver.close`."""
        session, self._session, self._members, self._unlocking = self._session, None, None, None
        if session is not None:
            await session.close()

    def _edit(self, plan: Plan, members: Mapping[str, str]) -> str:
        """The edit for a plan. A plan is rendered to be saved and then applied: that is written once."""
        last = self._written
        if last is None or last.plan is not plan or last.members is not members or last.ours is not self._ours:
            leave_others_alone(plan, members, self._ours, self._dialect)
            edit = write.edit_config(plan, members, self._dialect)
            last = self._written = _Written(plan, members, self._ours, edit)
        return last.edit

    async def _read(self, session: NetconfSession) -> Observation:
        (question,) = session.ask(self._question)
        return await self._seen(session, question)

    async def _seen(self, session: NetconfSession, question: Question) -> Observation:
        """Who is in which LAG, and what the ports carry that were asked for last."""
        self._shown = await self._heard_out(session, question, self._ours or (), self._shown, self._understand)
        self._members = self._shown.meaning.members
        return self._shown.meaning

    def _understand(self, reply: etree._Element, ports: Collection[str]) -> Observation:
        return read.observation(reply, ports, self._dialect)

    async def _heard_out(
        self,
        session: NetconfSession,
        question: Question,
        ports: Collection[str],
        last: _Answer[T],
        understand: Callable[[etree._Element, Collection[str]], T],
    ) -> _Answer[T]:
        """The answer to a question. One that is the last one once more means the same, and is not read again."""
        wanted = frozenset(ports)
        digest, reply = await session.reply_unless_same(question, last.digest if last.wanted == wanted else b"")
        return last if reply is None else _Answer(digest, wanted, understand(reply, ports))

    async def _connected(self) -> NetconfSession:
        if self._session is not None:
            await self._unlocked(self._session)
            if self._session.is_open:
                return self._session
        await self.close()
        session = await NetconfSession.open(self._access)
        try:
            if not session.supports("candidate", "1.0"):
                raise Permanent(f"switch {self._access.switch}: NETCONF without a candidate datastore; enable it there")
            if self._confirms(session):
                await self._await_no_pending_commit(session)
        except BaseException:
            session.abort()
            raise
        self._session, self._forgets = session, session.supports("startup", "1.0")
        return session

    async def _await_no_pending_commit(self, session: NetconfSession) -> None:
        errors = (await session.call(_LOCK_RUNNING)).errors
        if not errors:
            await session.rpc(_UNLOCK_RUNNING)
        elif all(error.tag == "lock-denied" for error in errors):
            raise Temporary(
                f"switch {self._access.switch}: running configuration is locked, or a commit waits to be confirmed:"
                f" {errors[0]}"
            )

    async def _lock(self, session: NetconfSession) -> None:
        """Lock the candidate. Leftovers without a lock deny it in the name of session "0"; they are discarded."""
        errors = (await session.call(_LOCK)).errors
        if errors and errors[0].tag == "lock-denied" and errors[0].session == "0":
            await session.rpc(_DISCARD)
            errors = (await session.call(_LOCK)).errors
        if errors:
            raise session.refusal(errors)

    async def _commit(self, session: NetconfSession, then: Sequence[str]) -> list[Question]:
        """Commit, and save that where it has to be. What is asked `then`, and the unlocking, are sent behind its last
        word."""
        if self._confirms(session):
            await session.rpc(write.confirmed_commit(self._dialect.confirm_timeout))
            try:
                if not self._saving():
                    confirmed, *questions, self._unlocking = session.ask(_COMMIT, *then, _UNLOCK)
                    if errors := (await session.reply(confirmed)).errors:
                        raise session.refusal(errors)
                    return questions
                await session.rpc(_COMMIT)
            except BaseException:
                session.abort()  # whatever was wrong with it: the switch shall undo the commit now
                raise
        else:
            await session.rpc(_COMMIT)  # alone: if it is refused, the candidate is to be discarded under the lock
        await self._keep(session)  # only now: what might be undone is not to be saved
        *questions, self._unlocking = session.ask(*then, _UNLOCK)
        return questions

    async def _clean_up(self, session: NetconfSession) -> None:
        if session.is_open:
            with contextlib.suppress(Temporary, Permanent):
                await session.rpc(_DISCARD)
        if session.is_open:
            (self._unlocking,) = session.ask(_UNLOCK)
            await self._unlocked(session)

    async def _unlocked(self, session: NetconfSession) -> None:
        """Wait until the lock is free. If the switch keeps it, the session's end frees it (RFC 6241 section 7.5)."""
        question, self._unlocking = self._unlocking, None
        if question is not None and session.is_open:
            with contextlib.suppress(Temporary, Permanent):  # then the session is at its end
                if (await session.reply(question)).errors:
                    session.abort()

    def _confirms(self, session: NetconfSession) -> bool:
        return self._dialect.confirmed_commit and session.supports("confirmed-commit", "1.0", "1.1")
