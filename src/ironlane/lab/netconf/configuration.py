"""The datastores of one switch, with their locks and commits (RFC 6241 sections 5, 7.5, 8.3 and 8.4).

Synchronous, and without a network: sessions are numbers.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from ironlane.lab.forwarding import PortForwarding
from ironlane.lab.netconf import datastore, openconfig
from ironlane.lab.netconf.datastore import RpcFault

OnRunning = Callable[[Mapping[str, PortForwarding]], None]


@dataclass
class _Pending:
    """A commit that waits to be confirmed."""

    session: int
    persist: str
    before: etree._Element
    timer: asyncio.TimerHandle


class Configuration:
    """Running and candidate configuration of a switch with the named ports.

    `on_running` is called whenever the running configuration has changed. `commits` counts commits that brought a
    candidate into force (not those that merely confirm), `edits` accepted edits. `forgets`: only what was saved is
    there after a reboot.
    """

    def __init__(self, ports: Sequence[str], on_running: OnRunning, *, forgets: bool = False) -> None:
        self.forgets = forgets
        self.commits = 0
        self.edits = 0
        self.deaf = False
        """Commits are accepted, and nothing of them is done."""
        self._ports = tuple(ports)
        self._on_running = on_running
        self._running = etree.Element("data")
        openconfig.complete(self._running, self._ports)
        self._candidate = copy.deepcopy(self._running)
        self._startup = copy.deepcopy(self._running)
        self._modified = False
        self._locks: dict[str, int] = {}
        self._pending: _Pending | None = None

    def start(self) -> None:
        """Tell the forwarding plane the running configuration; the candidate begins anew."""
        self._revert()
        self._tell()

    def stop(self) -> None:
        """As a switch that goes down: an unconfirmed commit is lost, locks too."""
        if self._pending is not None:
            self._roll_back()
        self._locks.clear()

    def erase(self) -> None:
        """As a switch that lost its configuration: what it starts with out of the box. Takes effect with `start`."""
        self.stop()
        self._running = etree.Element("data")
        openconfig.complete(self._running, self._ports)
        self.save()

    def save(self) -> None:
        """What runs is what the switch starts with from now on."""
        self._startup = copy.deepcopy(self._running)

    def reboot(self) -> None:
        """What it starts with runs. Takes effect with `start`."""
        self.stop()
        if self.forgets:
            self._running = copy.deepcopy(self._startup)

    @property
    def in_use(self) -> bool:
        """Whether somebody has locked a datastore, edited the candidate, or has a commit to confirm."""
        return bool(self._locks) or self._modified or self._pending is not None

    def read(self, source: str) -> etree._Element:
        """The tree of `running` or `candidate`; not to be changed."""
        return {"running": self._running, "candidate": self._candidate}[source]

    @property
    def waiting(self) -> str | None:
        """The <persist> of the commit that waits to be confirmed; None when none does."""
        return None if self._pending is None else self._pending.persist

    def lock(self, target: str, session: int) -> None:
        """RFC 6241 section 7.5: also denied on a modified candidate, and on running during a confirmed commit."""
        holder = self._locks.get(target)
        if holder is None and target == "candidate" and self._modified:
            holder = 0
        if holder is None and target == "running" and self._pending is not None:
            holder = self._pending.session if self._pending.session != session else None
        if holder is not None:
            raise RpcFault(
                "lock-denied", f"{target} is locked or in use", kind="protocol", info={"session-id": str(holder)}
            )
        self._locks[target] = session

    def unlock(self, target: str, session: int) -> None:
        if self._locks.get(target) != session:
            raise RpcFault("operation-failed", f"{target} is not locked by this session", kind="protocol")
        self._release(target)

    def edit(self, session: int, config: etree._Element, default: str) -> None:
        """Change the candidate; as a whole or not at all, whatever error-option asks for."""
        if default not in ("merge", "replace", "none"):
            raise RpcFault("invalid-value", f"no default-operation {default!r}", kind="protocol")
        self.edit_with(session, lambda tree: datastore.edit(tree, config, default))

    def edit_with(self, session: int, edit: Callable[[etree._Element], None]) -> None:
        """Change the candidate with a function of its tree; when that raises, nothing has changed."""
        self._check_free("candidate", session)
        changed = copy.deepcopy(self._candidate)
        edit(changed)
        openconfig.complete(changed, self._ports)
        self._candidate, self._modified = changed, True
        self.edits += 1

    def validate(self, source: str) -> None:
        openconfig.validate(self.read(source), self._ports)

    def discard(self, session: int) -> None:
        self._check_free("candidate", session)
        self._revert()

    def commit(self, session: int, persist_id: str = "") -> None:
        """Bring the candidate into force for good, and confirm a pending commit with it."""
        self._check_commit(session, persist_id)
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.timer.cancel()
        if pending is None or self._modified:
            self._put_into_force()

    def commit_confirmed(self, session: int, timeout: float, persist: str = "", persist_id: str = "") -> None:
        """Bring the candidate into force for `timeout` seconds; without `persist`, no longer than the session."""
        self._check_commit(session, persist_id)
        before = self._running
        if self._pending is not None:
            self._pending.timer.cancel()
            before = self._pending.before
        self._put_into_force()
        timer = asyncio.get_running_loop().call_later(timeout, self._roll_back)
        self._pending = _Pending(session, persist, before, timer)

    def cancel_commit(self, session: int, persist_id: str = "") -> None:
        if self._pending is None:
            raise RpcFault("operation-failed", "no commit waits to be confirmed", kind="protocol")
        self._check_owner(self._pending, session, persist_id)
        self._roll_back()

    def end_session(self, session: int) -> None:
        """However it ended: its locks are freed, its unconfirmed commit is undone."""
        for target in [target for target, holder in self._locks.items() if holder == session]:
            self._release(target)
        if self._pending is not None and self._pending.session == session and not self._pending.persist:
            self._roll_back()

    def _check_commit(self, session: int, persist_id: str) -> None:
        for target in ("candidate", "running"):
            self._check_free(target, session)
        if self._pending is not None:
            self._check_owner(self._pending, session, persist_id)
        elif persist_id:
            raise RpcFault("invalid-value", "no commit waits under that persist-id", kind="protocol")
        self.validate("candidate")

    def _check_owner(self, pending: _Pending, session: int, persist_id: str) -> None:
        if pending.persist and pending.persist != persist_id:
            raise RpcFault("invalid-value", "the pending commit has another persist-id", kind="protocol")
        if not pending.persist and pending.session != session:
            raise RpcFault("in-use", f"session {pending.session} has an unconfirmed commit", kind="protocol")

    def _check_free(self, target: str, session: int) -> None:
        holder = self._locks.get(target, session)
        if holder != session:
            raise RpcFault("in-use", f"{target} is locked by session {holder}", kind="protocol")

    def _put_into_force(self) -> None:
        self.commits += 1
        if self.deaf:
            self._revert()
            return
        self._running = copy.deepcopy(self._candidate)
        self._modified = False
        self._tell()

    def _roll_back(self) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        pending.timer.cancel()
        self._running = pending.before
        if not self._modified:
            self._revert()
        self._tell()

    def _release(self, target: str) -> None:
        del self._locks[target]
        if target == "candidate":
            self._revert()

    def _revert(self) -> None:
        self._candidate, self._modified = copy.deepcopy(self._running), False

    def _tell(self) -> None:
        self._on_running(openconfig.forwarding(self._running, self._ports))
