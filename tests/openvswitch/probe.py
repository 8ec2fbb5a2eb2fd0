"""Continuous probing: who reached whom, and when.

A `Probe` sends a broadcast frame every few milliseconds on every NIC it was given, past the server's own network stack
and bond, and records each arrival on every NIC. That turns "nobody is where they do not belong, not even for a moment"
into something that a test can count.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_AGENT = Path(__file__).with_name("probe_agent.py")


@dataclass(frozen=True, slots=True)
class Listener:
    """One NIC that sends and receives probes. `mac` is the source address of what it sends."""

    server: str
    namespace: str
    nic: str
    mac: str

    @property
    def source(self) -> str:
        """The source address of its probes: not the NIC's own, so that probing teaches the switches nothing wrong."""
        return f"06{self.mac[2:]}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One probe that got through. Times are seconds of `time.monotonic()`; a tag of 0 is no tag.

    `received` is when the kernel got it from the switch, so arrivals can be put in order to the microsecond. A frame
    may wait before the switch after `sent`, in one queue per switch port.
    """

    sender: str
    sender_nic: str
    receiver: str
    receiver_nic: str
    tag_sent: int
    tag_received: int
    sent: float
    received: float


@dataclass(frozen=True, slots=True)
class Violation:
    """One server that was on both sides of the wall within one window."""

    server: str
    left: Arrival
    right: Arrival


class Probe:
    """Sends and records while it is entered (`async with`); the record stays readable afterwards."""

    def __init__(self, listeners: Sequence[Listener], *, interval: float, tags: Sequence[int | None] = (None,)) -> None:
        self.listeners = list(listeners)
        self.interval = interval
        self.tags = list(tags)
        self.arrivals: list[Arrival] = []
        self.sent = 0
        """How many frames were sent; known once it has stopped."""
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop sending, wait for what is still on its way, and end the probing process."""
        await asyncio.to_thread(self._stop)

    def reached(self, sender: str, receiver: str, *, since: float = 0.0, until: float = float("inf")) -> list[Arrival]:
        """The probes of one server that another one received, by the time they were sent."""
        return [
            a for a in list(self.arrivals) if a.sender == sender and a.receiver == receiver and since <= a.sent <= until
        ]

    async def wait_for(self, sender: str, receiver: str, *, since: float | None = None, timeout: float = 5.0) -> bool:
        """Whether a probe sent from now on (or since a time) gets from one server to another in time."""
        start = time.monotonic() if since is None else since
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if self.reached(sender, receiver, since=start):
                return True
            await asyncio.sleep(0.01)
        return False

    def violations(
        self, server: str, left: Collection[str], right: Collection[str], *, window: float = 0.05
    ) -> list[Violation]:
        """Where probes to or from a server met witnesses of both sides within `window` seconds of arrival.

        `left` and `right` name servers that stand for good on one network each, such as the provisioning network and
        a tenant network. One violation is counted per arrival on the left.
        """
        sides: tuple[list[Arrival], list[Arrival]] = ([], [])
        for arrival in list(self.arrivals):
            if server not in (arrival.sender, arrival.receiver):
                continue
            peer = arrival.receiver if arrival.sender == server else arrival.sender
            for side, names in zip(sides, (left, right), strict=True):
                if peer in names:
                    side.append(arrival)
        lefts, rights = (sorted(side, key=lambda a: a.received) for side in sides)
        found, at = [], 0
        for arrival in lefts:
            while at < len(rights) and rights[at].received < arrival.received - window:
                at += 1
            if at < len(rights) and abs(rights[at].received - arrival.received) <= window:
                found.append(Violation(server, arrival, rights[at]))
        return found

    def _start(self) -> None:
        order = {
            "interval": self.interval,
            "tags": self.tags,
            "listeners": [
                {"namespace": item.namespace, "nic": item.nic, "mac": item.source} for item in self.listeners
            ],
        }
        self._process = subprocess.Popen(
            [sys.executable, str(_AGENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline().strip() != "ready":
            self._stop()
            raise RuntimeError("the probing process did not start; its error is on stderr")
        self._reader = threading.Thread(target=self._read, name="probe", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        for line in self._process.stdout:
            numbers = [int(word) for word in line.split()]
            if len(numbers) == 1:
                (self.sent,) = numbers
                continue
            receiver, sender, tag_sent, tag_received, sent, received = numbers
            to, by = self.listeners[receiver], self.listeners[sender]
            self.arrivals.append(
                Arrival(by.server, by.nic, to.server, to.nic, tag_sent, tag_received, sent / 1e9, received / 1e9)
            )

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(3)
        if self._reader:
            self._reader.join(3)
        process.stdout.close()
