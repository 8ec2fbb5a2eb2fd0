"""The driver: OpenConfig over gNMI, one Set for a plan.

The switch has to speak JSON_IETF and to have openconfig-interfaces and openconfig-vlan, as its Capabilities tell.
Where it does not tell configuration from state (Get of type CONFIG), it is asked for all of it.

**Commits that are to be confirmed** are an extension (gNMI commit confirmed 0.1.0) that Capabilities do not tell of. A
new session asks for it in passing: it cancels a commit that never was. A switch that has the extension answers that
none waits (FAILED_PRECONDITION) or that another one does (INVALID_ARGUMENT); one that has not ignores it and answers
OK. While somebody's commit waits, nothing that the switch shows is believed: it may be undone behind our back. Our own
one that was left behind by a lost connection is cancelled first; after a crash it is undone by the switch itself, after
`confirm_timeout`. A switch that answers something else to an empty Set needs `confirmed_commit: false`.

**A Set whose answer was lost** may have been carried out; the switch is read again before anything else is sent.

gNMI has no locks: when two write to one switch, each Set counts as a whole and the last one stays.

Options of `Access.options`: the fields of `names.GnmiDialect`, and those of `ironlane.switches.gnmi.session`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence

import grpc

from ironlane.model.errors import Permanent, Temporary
from ironlane.model.fabric import PortConfig
from ironlane.model.lldp import Neighbour
from ironlane.model.plan import Plan
from ironlane.protobuf import gnmi_pb2 as pb
from ironlane.switches.base import Access, Capabilities
from ironlane.switches.gnmi import read, write
from ironlane.switches.gnmi.names import GnmiDialect
from ironlane.switches.gnmi.session import Failed, GnmiSession, Security, session_options
from ironlane.switches.openconfig.edit import leave_others_alone, members_after
from ironlane.switches.openconfig.meaning import Observation

_MODELS = ("openconfig-interfaces", "openconfig-vlan")
_NO_TYPES = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INVALID_ARGUMENT)


class GnmiDriver:
    """`ironlane.switches.base.SwitchDriver` for OpenConfig over gNMI.

    Raises:
        Invalid: an option is unknown or malformed.
    """

    capabilities = Capabilities(atomic_commit=True, confirmed_commit=True)

    def __init__(self, access: Access) -> None:
        self._dialect = GnmiDialect.from_options(session_options(access.options))
        Security.from_access(access)
        self._access = access
        self._session: GnmiSession | None = None
        self._members: Mapping[str, str] | None = None
        """Port → aggregate interface as last known, of all ports; None when it has to be read first."""
        self._ours: frozenset[str] | None = None
        """The ports that were asked for last: those that are managed here."""
        self._confirms = self._dialect.confirmed_commit
        """Commits are confirmed: until the switch was asked, what the option says."""
        self._unconfirmed = ""
        """Id of a commit of ours that may wait to be confirmed."""
        self._data_type = pb.GetRequest.CONFIG
        self._shown: tuple[frozenset[str], bytes] = (frozenset(), b"")
        """The ports last asked for, and the digest of the answer; `_seen` is what it meant (ADR 12)."""
        self._seen = Observation({}, {})

    async def observe(self, ports: Collection[str]) -> Mapping[str, PortConfig]:
        """See `SwitchDriver.observe`. One exchange, whatever the number of ports."""
        self._ours = frozenset(ports)
        return (await self._read(await self._connected())).ports

    def foreign_lags(self) -> Collection[int]:
        """See `switches.base.Considerate`."""
        return self._seen.foreign

    async def neighbours(self, ports: Collection[str]) -> Mapping[str, Sequence[Neighbour]]:
        """See `switches.base.NeighbourAware`."""
        session = await self._connected()
        if not session.supports("openconfig-lldp"):
            raise Permanent(f"switch {self._access.switch}: gNMI without openconfig-lldp")
        try:
            answer = await session.get(read.get_request([read.NEIGHBOURS], self._dialect, pb.GetRequest.ALL))
        except Failed as failed:
            if failed.status.code is grpc.StatusCode.NOT_FOUND:
                return {}
            raise session.refusal(failed.status) from None
        try:
            return read.neighbours(answer, ports)
        except (ValueError, TypeError, AttributeError) as error:
            raise Permanent(f"switch {self._access.switch}: its answer to Get is not understood: {error}") from error

    def render(self, plan: Plan) -> tuple[str, ...]:
        """See `SwitchDriver.render`: the SetRequests in protobuf's text format.

        Which LAGs have members besides those of the plan, and whether commits are confirmed, is taken from the last
        `observe`; without one the plan's ports are taken for all there are, and the option's word for the other.
        """
        return self.render_after(plan, ())

    def render_after(self, plan: Plan, earlier: Sequence[Plan]) -> tuple[str, ...]:
        """See `switches.base.Foresighted`."""
        if not plan:
            return ()
        members = self._members or {}
        for done in earlier:
            members = members_after(done, members, self._dialect)
        leave_others_alone(plan, members, self._ours, self._dialect)
        requests = write.requests(plan, members, self._dialect, confirm=self._confirms)
        return tuple(write.text(request) for request in requests)

    async def apply(self, plan: Plan) -> None:
        """See `SwitchDriver.apply`. All or nothing, as gNMI has it."""
        if not plan:
            return
        session = await self._connected()
        if self._members is None:
            await self._read(session)
        members = self._members or {}
        leave_others_alone(plan, members, self._ours, self._dialect)
        requests = write.requests(plan, members, self._dialect, confirm=self._confirms)
        self._members = None
        try:
            await self._send(session, requests)
        except Failed as failed:
            if failed.status.code is not grpc.StatusCode.FAILED_PRECONDITION or not self._confirms:
                raise session.refusal(failed.status) from None
            await self._send_again(session, requests)
        self._members = members_after(plan, members, self._dialect)

    async def close(self) -> None:
        """See `SwitchDriver.close`."""
        session, self._session, self._members = self._session, None, None
        if session is not None:
            if session.is_open and self._unconfirmed:
                await self._cancel(session)
            await session.close()

    async def _send(self, session: GnmiSession, requests: Sequence[pb.SetRequest]) -> None:
        """One Set, or a commit and its confirmation. Raises `Failed`."""
        commit, *confirm = requests
        if not confirm:
            await session.set(commit)
            return
        self._unconfirmed = commit.extension[0].commit.id
        try:
            await session.set(commit)
        except Failed as failed:
            if session.is_open and failed.status.code is not grpc.StatusCode.UNKNOWN:
                self._unconfirmed = ""  # refused: nothing waits
            raise
        try:
            await session.set(confirm[0])
        except Failed:
            if session.is_open:
                await self._cancel(session)
            raise
        self._unconfirmed = ""

    async def _send_again(self, session: GnmiSession, requests: Sequence[pb.SetRequest]) -> None:
        """FAILED_PRECONDITION may mean the request, or that somebody else's commit waited just then: not any more, if
        this gets so far."""
        await self._await_no_pending_commit(session)
        try:
            await self._send(session, requests)
        except Failed as failed:
            raise session.refusal(failed.status) from None

    async def _cancel(self, session: GnmiSession) -> None:
        """Have the switch undo our commit now rather than later. What cannot be done is done by its timer."""
        with contextlib.suppress(Failed):
            await session.set(write.cancel(self._unconfirmed, self._dialect))
            self._unconfirmed = ""

    async def _connected(self) -> GnmiSession:
        if self._session is not None and self._session.is_open:
            if self._unconfirmed:  # a cancelled `apply` left it behind
                await self._await_no_pending_commit(self._session)
            return self._session
        unconfirmed = self._unconfirmed
        await self.close()
        self._unconfirmed = unconfirmed
        session = await GnmiSession.open(self._access)
        try:
            self._check(session)
            if self._dialect.confirmed_commit:
                await self._await_no_pending_commit(session)
        except BaseException:
            await session.close()
            raise
        self._session = session
        return session

    def _check(self, session: GnmiSession) -> None:
        who = f"switch {self._access.switch}"
        if pb.JSON_IETF not in session.capabilities.supported_encodings:
            known = ", ".join(pb.Encoding.Name(code) for code in session.capabilities.supported_encodings)
            raise Permanent(f"{who}: gNMI without the encoding JSON_IETF, only {known or 'none'}")
        missing = [model for model in _MODELS if not session.supports(model)]
        if missing:
            raise Permanent(f"{who}: gNMI without {' and '.join(missing)}; enable the OpenConfig models there")

    async def _await_no_pending_commit(self, session: GnmiSession) -> None:
        """Cancel our own commit if one was left behind, and find out whether commits can be confirmed.

        Raises:
            Temporary: somebody else's commit waits to be confirmed.
        """
        ours = self._unconfirmed
        try:
            await session.set(write.cancel(ours or write.PROBE, self._dialect))
        except Failed as failed:
            if failed.status.code is grpc.StatusCode.INVALID_ARGUMENT:
                words = session.refusal(failed.status).message
                raise Temporary(f"{words}: a commit waits to be confirmed, or see confirmed_commit") from None
            if failed.status.code not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNIMPLEMENTED):
                raise session.refusal(failed.status) from None
            self._confirms = failed.status.code is grpc.StatusCode.FAILED_PRECONDITION
        else:
            self._confirms = bool(ours)
        self._unconfirmed = ""

    async def _read(self, session: GnmiSession) -> Observation:
        """Who is in which LAG, and what the ports carry that were asked for last."""
        ports = self._ours or frozenset()
        try:
            answers = await self._answers(session)
        except Failed as failed:
            raise session.refusal(failed.status) from None
        question = (ports, read.digest(answers))
        if question != self._shown:
            try:
                self._seen = read.observation(answers, ports, self._dialect)
            except (ValueError, TypeError, AttributeError) as error:
                raise Permanent(
                    f"switch {self._access.switch}: its answer to Get is not understood: {error}"
                ) from error
            self._shown = question
        self._members = self._seen.members
        return self._seen

    async def _answers(self, session: GnmiSession) -> list[pb.GetResponse]:
        paths = [read.INTERFACES]
        if session.supports("openconfig-lacp"):
            paths.append(read.LACP)
        if self._dialect.create_vlans and session.supports("openconfig-network-instance"):
            paths.append(read.vlans(self._dialect))
        try:
            return [await self._get(session, paths)]
        except Failed as failed:
            if failed.status.code is not grpc.StatusCode.NOT_FOUND or len(paths) < 2:
                raise
        answers = [await self._get(session, paths[:1])]
        for path in paths[1:]:
            try:
                answers.append(await self._get(session, [path]))
            except Failed as failed:  # of some switches, a path under which there is nothing is not found
                if failed.status.code is not grpc.StatusCode.NOT_FOUND:
                    raise
        return answers

    async def _get(self, session: GnmiSession, paths: Sequence[write.Elements]) -> pb.GetResponse:
        try:
            return await session.get(read.get_request(paths, self._dialect, self._data_type))
        except Failed as failed:
            if self._data_type == pb.GetRequest.ALL or failed.status.code not in _NO_TYPES:
                raise
        answer = await session.get(read.get_request(paths, self._dialect, pb.GetRequest.ALL))
        self._data_type = pb.GetRequest.ALL
        return answer
