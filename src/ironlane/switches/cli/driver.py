"""The driver: a switch's command line over SSH, after a platform file.

One plan is one transaction. Where the platform stages configuration, a refused line or a lost session leaves nothing
behind. Where every line counts at once (`capabilities.atomic_commit` False), what was done before the failure is undone
at once: the switch is looked at, in a new session if need be, and those ports of the plan that carry something else by
now are given back what they carried. If the switch cannot be reached, or refuses that too, part of the plan is left;
what is observed next tells which. Nothing but the plan's ports is written (invariant I6): a checkpoint, which takes
back whatever anybody has changed since, is used only where the operator says so.

VLANs are defined when ports are put on them, and never deleted: one without ports carries nothing.

Options of `Access.options`, besides those of `ironlane.switches.ssh`:

======================  ===============================================================================================
`platform`              the platform's name, such as ``arista-eos``; this or `platform_file` is required
`platform_file`         path of a platform file of your own
`create_vlans`          define the VLANs that ports are put on (default true)
`save`                  make the running configuration survive a reboot after each plan (default true). Without it, a
                        switch that reboots lets ports carry what they carried when it was last saved
`confirm_timeout`       seconds until the switch undoes a commit that was not confirmed, where it can do that
                        (default 0: commit outright; a confirmed commit takes twice the time)
`commit_timeout`        seconds that a commit, or saving, may take (default 120)
`checkpoint`            undo with a checkpoint of the whole configuration, where the platform has them (default
                        false). It takes back what others have changed meanwhile: for switches that are ours alone
`type_ahead`            how many characters are sent ahead of their answers, where lines are only staged (default 2000;
                        0: one line at a time). A terminal's buffer takes 4095
`max_answer`            longest answer accepted from the switch, in characters (default 16 Mi)
======================  ===============================================================================================
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ironlane.model.errors import Invalid, Permanent, Temporary
from ironlane.model.fabric import LagMode, Mlag, PortConfig
from ironlane.model.lldp import Neighbour
from ironlane.model.plan import Plan
from ironlane.switches import ssh
from ironlane.switches.base import Access, Capabilities
from ironlane.switches.cli import platform as platforms
from ironlane.switches.cli import read, write
from ironlane.switches.cli.neighbours import neighbours
from ironlane.switches.cli.platform import Platform
from ironlane.switches.cli.session import MAX_ANSWER, CliSession

_OPTIONS: Mapping[str, Any] = {
    "platform": "",
    "platform_file": "",
    "create_vlans": True,
    "save": True,
    "confirm_timeout": 0,
    "commit_timeout": 120,
    "checkpoint": False,
    "type_ahead": 2000,
    "max_answer": MAX_ANSWER,
}


def capabilities(platform: Platform, *, confirmed: bool = False) -> Capabilities:
    """What switches of a platform can do."""
    return Capabilities(
        atomic_commit=platform.transaction.atomic,
        confirmed_commit=confirmed and platform.transaction.confirmed is not None,
        static_lag=platform.lag.static,
        min_links=frozenset(LagMode(mode) for mode in platform.lag.min_links),
        fallback=platform.lag.fallback,
        mlag=Mlag.NONE if platform.lag.mlag is None else Mlag.ID,
        lag_numbers=range(platform.lag.numbers[0], platform.lag.numbers[1] + 1),
    )


class _Answer(NamedTuple):
    """The last answers to what the switch carries, by their digest, and what they mean for the ports asked for."""

    digest: bytes
    wanted: frozenset[str]
    meaning: read.Observation


class _Written(NamedTuple):
    """The lines that were written last, and all that they were written for."""

    plan: Plan
    known: write.Known
    lines: Sequence[str]


class CliDriver:
    """`ironlane.switches.base.SwitchDriver` for command lines.

    Raises:
        Invalid: an option is unknown or malformed, or the platform file is.
    """

    def __init__(self, access: Access) -> None:
        options = _options(access.options)
        self._platform = (
            platforms.load_file(options["platform_file"])
            if options["platform_file"]
            else platforms.load(options["platform"])
        )
        self._define_vlans: bool = options["create_vlans"]
        self._save: bool = options["save"]
        self._commit_timeout: float = options["commit_timeout"]
        self._confirm_timeout: int = options["confirm_timeout"]
        self._type_ahead: int = options["type_ahead"]
        self._checkpoint = self._platform.transaction.checkpoint if options["checkpoint"] else None
        if options["checkpoint"] and self._checkpoint is None:
            raise Invalid(f"{self._platform.title} has no use for checkpoints", field="options.checkpoint")
        if self._platform.transaction.confirmed is None and self._confirm_timeout:
            raise Invalid(f"{self._platform.title} has no confirmed commit", field="options.confirm_timeout")
        self.capabilities = capabilities(self._platform, confirmed=self._confirm_timeout > 0)
        self._access = access
        self._session: CliSession | None = None
        self._listener: CliSession | None = None
        """A session in which nothing but neighbours is asked for."""
        self._known: write.Known | None = None
        """What the last look told; None when the switch has to be looked at first."""
        self._ours: frozenset[str] | None = None
        """The ports that were asked for last: those that are managed here."""
        self._foreign: frozenset[int] = frozenset()
        self._last: _Answer | None = None
        self._written: _Written | None = None

    async def observe(self, ports: Collection[str]) -> Mapping[str, PortConfig]:
        """See `SwitchDriver.observe`. As many commands as the platform has questions, whatever the number of ports."""
        self._ours = frozenset(ports)
        return (await self._read(await self._connected(), ports)).ports

    def foreign_lags(self) -> Collection[int]:
        """See `switches.base.Considerate`."""
        return self._foreign

    async def neighbours(self, ports: Collection[str]) -> Mapping[str, Sequence[Neighbour]]:
        """See `switches.base.NeighbourAware`.

        In a session of its own, which is kept: what neighbours say of themselves may look like a prompt, and must not
        be taken for the end of an answer in the session that configures. Whatever goes wrong there ends it.
        """
        form = self._platform.neighbours
        if form is None:
            raise Permanent(f"switch {self._access.switch}: its platform file does not say how to ask for neighbours")
        session = self._listener
        if session is None or not await session.is_quiet():
            session = self._listener = await CliSession.open(self._access, self._platform.session)
        try:
            return neighbours(await session.show(form.command), ports, form)
        except BaseException:
            session.abort()
            raise

    def render(self, plan: Plan) -> tuple[str, ...]:
        """See `SwitchDriver.render`.

        Which VLANs are defined, which ports are in the LAGs, and what ports really carry before, is taken from the last
        `observe`. Without one (`apply` makes up for it) no VLAN is defined, and the plan's ports are all there are.
        """
        if not plan:
            return ()
        form = self._platform.transaction
        body = self._lines(plan, self._known or write.Known())
        before, after = ((), ()) if self._checkpoint is None else (self._checkpoint.take, self._checkpoint.drop)
        drop = after if before else ()
        return (*drop, *before, *form.reset, *form.begin, *body, *self._commit_lines(), *after, *self._save_lines())

    async def apply(self, plan: Plan) -> None:
        """See `SwitchDriver.apply`. After a refusal the rest is not sent; what is staged is discarded, what is done is
        undone."""
        if not plan:
            return
        session = await self._connected()
        if self._known is None:
            await self._look_again(session, plan)
        known, self._known = self._known or write.Known(), None
        body = self._lines(plan, known)
        await self._take_checkpoint(session)
        for line in self._platform.transaction.reset:
            await session.ask(line)
        begin, atomic = self._platform.transaction.begin, self._platform.transaction.atomic
        counts = False
        """Lines that count may have been sent."""
        try:
            if not atomic:
                await self._stage(session, begin)
                counts = True
            await self._stage(session, (*begin, *body) if atomic else body)
            for line in self._commit_lines():
                await session.send(line, self._patience)
        except BaseException as error:
            await self._abort(session)
            if counts and isinstance(error, Temporary | Permanent):
                raise type(error)(f"{error.message}; {await self._undo(known.corrected(plan))}") from error
            raise
        await self._drop_checkpoint(session)
        for line in self._save_lines():
            await session.send(line, self._patience)
        self._known = known.after(plan)

    async def _undo(self, plan: Plan) -> str:
        """Put back what a plan has done that was carried out in part. Tells what came of it."""
        changes = {change.port: change for change in plan.changes}
        try:
            session = await self._connected()
            if self._checkpoint is not None:
                for line in self._checkpoint.restore:
                    await session.send(line, self._patience)
                await self._drop_checkpoint(session)
            seen = (await self._look_again(session, plan)).ports
            if all(seen.get(port) == change.after for port, change in changes.items()):
                return "all of it had been done by then"
            back = [
                replace(change, before=seen[port], after=change.before)
                for port, change in changes.items()
                if port in seen and seen[port] != change.before and read.understood(change.before)
            ]
            back = [change for change in back if write.expressible(change, self._platform)]
            if back:
                known = self._known or write.Known()
                lines = write.lines(replace(plan, changes=tuple(back)), known, self._platform, define_vlans=False)
                form = self._platform.transaction
                self._known = None
                for line in (*form.begin, *lines, *form.commit):
                    await session.send(line, self._patience)
                seen = (await self._look_again(session, plan)).ports
        except (Temporary, Permanent) as failure:
            if self._session is not None:
                self._session.abort()  # it may be in the midst of configuring, where nothing can be read
            return f"what had been done by then could not be undone: {failure.message}"
        left = sorted(port for port, change in changes.items() if seen.get(port) != change.before)
        return f"not as before: {', '.join(left)}" if left else "what had been done by then was undone"

    async def _take_checkpoint(self, session: CliSession) -> None:
        if self._checkpoint is not None:
            await self._drop_checkpoint(session)
            for line in self._checkpoint.take:
                await session.send(line, self._patience)

    async def _drop_checkpoint(self, session: CliSession) -> None:
        if self._checkpoint is not None:
            for line in self._checkpoint.drop:
                await session.ask(line)

    @property
    def _patience(self) -> float:
        """Seconds for lines that take their time."""
        return max(self._commit_timeout, self._access.timeout)

    async def _stage(self, session: CliSession, lines: Sequence[str]) -> None:
        if not (self._type_ahead and self._platform.transaction.atomic):
            for line in lines:
                await session.send(line)
            return
        try:
            await session.send_all(lines, self._type_ahead)
        except Temporary:
            # Perhaps it is lines ahead of their prompts that this command line does not take: not again.
            self._type_ahead = 0
            raise

    async def save(self) -> None:
        """See `switches.base.Saving`."""
        if self._save_lines():
            session = await self._connected()
            for line in self._save_lines():
                await session.send(line, self._patience)

    async def close(self) -> None:
        """See `SwitchDriver.close`."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()
        await self._hang_up()

    async def _hang_up(self) -> None:
        session, self._session, self._known = self._session, None, None
        if session is not None:
            await session.close()

    def _lines(self, plan: Plan, known: write.Known) -> Sequence[str]:
        """The lines for a plan. A plan is rendered to be saved and then applied: that is written once."""
        last = self._written
        if last is None or last.plan is not plan or last.known is not known:
            lines = write.lines(plan, known, self._platform, define_vlans=self._define_vlans)
            last = self._written = _Written(plan, known, lines)
        return last.lines

    def _commit_lines(self) -> tuple[str, ...]:
        form = self._platform.transaction
        commit = form.commit
        if form.confirmed is not None and self._confirm_timeout:
            seconds = self._confirm_timeout
            clock = f"{seconds // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
            limits = {"clock": clock, "minutes": -(-seconds // 60)}
            commit = (*write.expand(form.confirmed.commit, limits), *write.expand(form.confirmed.confirm, limits))
        return tuple(commit)

    def _save_lines(self) -> tuple[str, ...]:
        return self._platform.transaction.save if self._save else ()

    async def _read(self, session: CliSession, ports: Collection[str]) -> read.Observation:
        """What the switch shows. Answers that are the last ones once more mean the same, and are not read again."""
        answers = [await session.show(question.command) for question in self._platform.read]
        digest = hashlib.blake2b("\0".join(answers).encode(errors="surrogatepass"), digest_size=16).digest()
        last, wanted = self._last, frozenset(ports)
        if last is None or (last.digest, last.wanted) != (digest, wanted):
            last = self._last = _Answer(digest, wanted, read.observation(answers, ports, self._platform))
        self._known, self._foreign = last.meaning.known, last.meaning.foreign
        return last.meaning

    async def _look_again(self, session: CliSession, plan: Plan) -> read.Observation:
        """At the ports that are managed here; where nobody has said which those are, no port counts as a stranger."""
        seen = await self._read(session, {change.port for change in plan.changes} | (self._ours or frozenset()))
        if self._ours is None:
            self._known = replace(seen.known, foreign={})
        return seen

    async def _connected(self) -> CliSession:
        if self._session is not None and self._session.is_open:
            return self._session
        await self._hang_up()
        session = await CliSession.open(self._access, self._platform.session)
        confirmed = self._platform.transaction.confirmed
        if confirmed is not None and self._confirm_timeout:
            try:
                if confirmed.waits.search(await session.ask(confirmed.pending)):
                    # What the switch shows now would be undone behind our back.
                    raise Temporary(f"switch {self._access.switch}: a commit waits to be confirmed")
            except BaseException:
                session.abort()
                raise
        self._session = session
        return session

    async def _abort(self, session: CliSession) -> None:
        """Leave nothing staged. If the switch does not let us, hanging up ends the configuration mode."""
        with contextlib.suppress(Temporary, Permanent):
            for line in self._platform.transaction.abort:
                if session.is_open:
                    await session.ask(line)


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(_OPTIONS)
    for name, value in given.items():
        if name in ssh.OPTIONS:
            continue
        if name not in _OPTIONS:
            raise Invalid("no such option of the cli driver", field=f"options.{name}")
        if type(value) is not type(_OPTIONS[name]):
            raise Invalid(f"{value!r} is not of type {type(_OPTIONS[name]).__name__}", field=f"options.{name}")
        if type(value) is int and value < 0:
            raise Invalid(f"{value} is negative", field=f"options.{name}")
        options[name] = value
    if bool(options["platform"]) is bool(options["platform_file"]):
        raise Invalid("either `platform` or `platform_file` is required", field="options.platform")
    return options
