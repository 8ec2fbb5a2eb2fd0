"""Keeping Ironlane and Neutron in line: wishes one way, statuses the other, and everything after one was away.

A process of Neutron's has one thread for this. It waits for Ironlane to tell of changes; nothing is asked again and
again. What a request could not hand over is handed over here, and what a process forgot when it died is found by
comparing everything when the next one begins.

Nothing of Neutron is imported here: what is needed of it is `Neutron`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from neutron_ironlane.client import Client, Refused, Unreachable
from neutron_ironlane.wish import same

LOG = logging.getLogger(__name__)

_WAIT = 5.0
"""How long a call for events waits, seconds; it ends at once when there is one. What a request could not hand over
waits no longer than this, once Ironlane answers again."""

_SOON, _LATER = 2.0, 60.0
"""When what was refused is tried again, seconds: where something may be in its way only for now, and where it is the
operator who has to do something, such as to enrol a switch."""

_PAUSES = (0.5, 1.0, 2.0, 5.0)
"""How long to wait after failures in a row, seconds."""


class Neutron(Protocol):
    """Neutron's side: what its database says, and the status of its ports."""

    def wishes(self, port_ids: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """What should be bound, of these ports or of all."""

    def revision(self, port_id: str) -> int | None:
        """The port's revision, None if the port is gone."""

    def renew(self, port_id: str, revision: int) -> None:
        """Give the port that revision, unless it has a later one."""

    def statuses(self, port_ids: Collection[str]) -> dict[str, str]:
        """The statuses of these ports."""

    def bound(self) -> set[str]:
        """The ports that are bound by us, also those that are to be nowhere for now."""

    def settle(self, port_id: str, binding: dict[str, Any] | None, latest: bool) -> object | None:
        """Make the status of a bound port what its binding says, if it is of what is wished for now; else DOWN.

        Returns None if it is that already, else what it was derived from. Only the latest is acted upon.
        """

    def refuse(self, port_id: str, wish: dict[str, Any]) -> None:
        """The port is in error until a wish of it is accepted, if this is still its wish."""

    def follow_trunks(self) -> None:
        """Have every sub-port bound where its parent port is."""

    def subports(self, port_id: str) -> list[str]:
        """The sub-ports of a parent port; they are ACTIVE only while it is as it should be."""


@dataclass(frozen=True)
class _Due:
    """A port that is to be handed over, at that time; its revision, should it be gone by then."""

    revision: int
    at: float


class Sync:
    """One per process; `start` may be called again at any time, also after a fork."""

    def __init__(self, client: Client, neutron: Neutron) -> None:
        self._client = client
        self._neutron = neutron
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._due: dict[str, _Due] = {}
        self._stream: str | None = None
        self._change = 0
        self._reached = True
        self._compare_at = math.inf

    def start(self) -> None:
        """Have the thread run in this process."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._forget()
        threading.Thread(target=self._run, name="ironlane-sync", daemon=True).start()

    def stop(self) -> None:
        """Have the thread end, after the call that it is in."""
        self._pid = None

    def compare(self) -> None:
        """Compare everything at the next opportunity."""
        self.start()
        self._stream = None

    def look_again(self, port_id: str, revision: int) -> None:
        """Hand a port over later, should nobody do that before."""
        self.start()
        self._postpone(port_id, revision, _SOON)

    def hand_over(self, port_id: str, revision: int) -> None:
        """Tell Ironlane what is wished for a port now: at once if it answers, else later.

        `revision` is the port's, should it be gone.
        """
        self.start()
        if not self._reached:
            self._postpone(port_id, revision)
            return
        try:
            self._tell(port_id, revision)
        except Unreachable as error:
            LOG.warning("port %s is handed over later: %s", port_id, error)
            self._reached = False
            self._postpone(port_id, revision)
        except Exception:  # such as the database's: ML2 swallows it, and nobody would come back to the port
            LOG.exception("port %s is handed over later", port_id)
            self._postpone(port_id, revision)

    def _forget(self) -> None:
        self._due = {}
        self._stream, self._change = None, 0
        self._reached = True

    def _postpone(self, port_id: str, revision: int, seconds: float = 0.0) -> None:
        self._due[port_id] = _Due(revision, time.monotonic() + seconds)

    def _run(self) -> None:
        failures = 0
        pause = threading.Event()
        while self._pid == os.getpid():
            try:
                self._round()
                failures = 0
            except Exception as error:  # the thread has to outlive whatever the database or Ironlane may do
                self._reached, self._stream = False, None
                if failures == 0:
                    LOG.warning("Ironlane and Neutron are not in line: %s", error, exc_info=not _foreseen(error))
                pause.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1

    def _round(self) -> None:
        stream = self._stream
        if stream is None or time.monotonic() >= self._compare_at:
            stream = self._compare()
        self._hand_over_due()
        told = self._client.events(stream, self._change, self._wait())
        self._reached = True
        if not stream == self._stream == told["stream"] or told["change"] < self._change:
            self._stream = None  # another database, or an older one; or somebody wants a comparison
            return
        for binding in told["bindings"]:
            self._by_itself(self._take_status, binding["id"], binding)
        self._change = told["change"]

    def _wait(self) -> float:
        moments = [due.at for due in list(self._due.values())]
        return max(0.1, min([_WAIT, *(at - time.monotonic() for at in moments)]))

    def _compare(self) -> str:
        """Neutron's truth against Ironlane's record. That is read first: what is on it was in Neutron before.

        Returns the stream from which to follow changes.
        """
        told = self._client.list()
        known = {binding["id"]: binding for binding in told["bindings"]}
        stream = str(told["stream"])
        self._reached, self._stream, self._change = True, stream, int(told["change"])
        self._follow_trunks()
        wished = self._neutron.wishes()
        missing = [port for port, wish in wished.items() if port not in known or not same(known[port], wish)]
        surplus = [port for port in known if port not in wished]
        if missing or surplus:
            LOG.warning("Ironlane lacks the wishes of ports %s and still has those of %s", missing, surplus)
        for port in surplus:  # first: they are in the way of the others
            self._by_itself(self._tell, port, known[port]["revision"])
        for port in missing:
            self._by_itself(self._tell, port, 0)
        statuses = self._neutron.statuses(wished.keys() & known.keys())
        for port, status in statuses.items():
            if status != known[port]["status"]:
                self._by_itself(self._take_status, port, known[port])
        for port in self._neutron.bound() - wished.keys():
            self._by_itself(self._take_status, port, None)
        return stream

    def _hand_over_due(self) -> None:
        now = time.monotonic()
        for port_id, due in list(self._due.items()):
            if due.at > now:
                continue
            self._due.pop(port_id, None)
            try:
                self._by_itself(self._tell, port_id, due.revision)
            except Unreachable:
                self._due.setdefault(port_id, due)
                raise

    def _by_itself(self, step: Callable[[str, Any], None], port_id: str, given: Any) -> None:
        """What goes wrong with one port holds up no other."""
        try:
            step(port_id, given)
        except Unreachable:
            raise
        except Exception:
            LOG.exception("port %s is looked at again later", port_id)
            self._postpone(port_id, given if isinstance(given, int) else 0, _SOON)

    def _tell(self, port_id: str, revision: int) -> None:
        """Make Ironlane's record what Neutron's database says of a port now. Repeating it is harmless.

        Several threads and processes do this at once, each with what it read some time ago. So the database is asked
        again afterwards: the last one to change the record has seen the last of what is wished for.
        """
        wish = self._wish(port_id)
        while True:
            told, binding = wish, None
            try:
                if told is None:
                    self._withdraw(port_id, revision)
                else:
                    binding = self._put(port_id, told)
            except Refused as refused:
                self._take_refusal(port_id, revision, told, refused)
            wish = self._wish(port_id)
            if wish == told or (wish is not None and told is not None and same(told, wish)):
                break
        self._take_status(port_id, binding)

    def _wish(self, port_id: str) -> dict[str, Any] | None:
        return self._neutron.wishes([port_id]).get(port_id)

    def _put(self, port_id: str, wish: dict[str, Any]) -> dict[str, Any] | None:
        """What Ironlane has of a port's wish; None if it is another one by now.

        A newer revision may be on record: of what somebody else read meanwhile, or of what is no more, because a wish
        was taken back without a change of the port (its network was down) or because Neutron has an older database
        again. Neutron is read after the record here, so it is right, and gets a newer revision.
        """
        step = 1
        while True:
            try:
                return self._client.put(port_id, wish)
            except Refused as refused:
                if refused.code != "StaleRevision":
                    raise
                LOG.debug("port %s: %s", port_id, refused)
            record, now = self._client.get(port_id), self._wish(port_id)
            if now is None or not same(now, wish):
                return None
            if record is not None and same(record, now):
                return record
            if now["revision"] == wish["revision"]:
                # How new a wish was that is withdrawn is not told.
                self._neutron.renew(port_id, (now if record is None else record)["revision"] + step)
                step *= 2
                now = self._wish(port_id) or now
            wish = now

    def _withdraw(self, port_id: str, revision: int) -> None:
        """Take back what is on record of a port that has no wish; `revision` is the port's, should it be gone."""
        now = self._neutron.revision(port_id)
        latest = revision if now is None else now
        while True:
            try:
                self._client.delete(port_id, latest)
                return
            except Refused as refused:
                if refused.code != "StaleRevision":
                    raise
                LOG.debug("port %s: %s", port_id, refused)
            record = self._client.get(port_id)
            if record is None or self._wish(port_id) is not None:
                return
            latest = record["revision"]  # Neutron was read after it: that is of the past, whatever its number

    def _take_refusal(self, port_id: str, revision: int, wish: dict[str, Any] | None, refused: Refused) -> None:
        LOG.error("port %s cannot be %s: %s", port_id, "unbound" if wish is None else "bound", refused)
        self._postpone(port_id, revision, _SOON if refused.may_change else _LATER)
        if wish is None:
            return
        if not refused.may_change:
            self._neutron.refuse(port_id, wish)
        record, now = self._client.get(port_id), self._wish(port_id)
        if record is not None and now is not None and not same(record, now):
            # Where the port was before it has to leave in any case. What is wished for has a later revision than that.
            with contextlib.suppress(Refused):
                self._client.delete(port_id, record["revision"])

    def _follow_trunks(self) -> None:
        """What hinders one sub-port is no reason to leave everything else as it is."""
        self._compare_at = math.inf
        try:
            self._neutron.follow_trunks()
        except Exception:
            LOG.exception("not all sub-ports are bound where their parent ports are")
            self._compare_at = time.monotonic() + _LATER

    def _take_status(self, port_id: str, binding: dict[str, Any] | None) -> None:
        """What Ironlane read back becomes the port's status.

        Several threads and processes do this at once, each with what it was told some time ago. So Ironlane is asked
        before a status is changed, and again after: the last one to write it has seen the last of what Ironlane says.
        """
        seen = self._neutron.settle(port_id, binding, latest=False)
        if seen is None:
            return
        before: object = None
        while seen is not None and seen != before:
            latest = self._client.get(port_id)
            before, seen = seen, self._neutron.settle(port_id, latest, latest=True)
        for subport in self._neutron.subports(port_id):
            self._postpone(subport, 0)


def _foreseen(error: Exception) -> bool:
    return isinstance(error, Unreachable | Refused)
