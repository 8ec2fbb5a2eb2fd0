"""What one `ironlane serve` process takes, as the kernel tells it, and how far it is, as its database tells it.

The database is read beside the service, so that watching costs the service nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.fabric.service import FABRIC, PATIENCE, Service
from bench.scale.fleet import Fleet, enrol

_MIB = 1024


class Rows:
    """The service's `switches`, read from its file."""

    def __init__(self, service: Service) -> None:
        self._path = service.log.parent / "ironlane.sqlite"

    def count(self, where: str) -> int:
        with sqlite3.connect(f"file:{self._path}?mode=ro", uri=True) as connection:
            return int(connection.execute(f"SELECT count(*) FROM switches WHERE {where}").fetchone()[0])  # noqa: S608

    async def until(self, done: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {PATIENCE:.0f} s: {what}")
            await asyncio.sleep(0.1)


@dataclass
class Scale:
    """One line of the table. Seconds and shares of one core; memory in MiB."""

    kind: str
    switches: int
    ports: int
    enrolled: int
    """How many of the switches were enrolled in this step, …"""
    enrol_seconds: float
    enrol_cpu: float
    window: float
    """How long it was then left alone, …"""
    window_cpu: float
    window_audits: int
    """… and how many switches were read in that time because their turn came."""
    audit_seconds: float
    audit_cpu: float
    memory: float
    files: int

    @property
    def audit_each(self) -> float:
        """CPU seconds for looking at one switch."""
        return self.audit_cpu / self.switches

    def idle(self, interval: float) -> float:
        """Share of a core when nothing happens: what the window showed without its audits, and all audits spread over
        their interval."""
        standing = max(0.0, self.window_cpu - self.window_audits * self.audit_each) / self.window
        return standing + self.audit_cpu / interval

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "idle": self.idle(300.0), "standing": self.idle(float("inf"))}


async def step(service: Service, fleet: Fleet, first: int, last: int, window: float) -> Scale:
    """Enrol more switches until there are `last`, wait until all are as they should be; leave the service alone for a
    window; have it look at all of them."""
    rows = Rows(service)
    begun, cpu = time.monotonic(), service.cpu()
    await enrol(service.client, fleet, first, last)
    await rows.until(lambda: rows.count("state = 'ok'") == last, f"{last} switches are as they should be")
    enrol_seconds, enrol_cpu = time.monotonic() - begun, service.cpu() - cpu
    await asyncio.sleep(2)  # what the last of them left to do
    read = rows.count
    begun, cpu, since = time.monotonic(), service.cpu(), _now()
    await asyncio.sleep(window)
    length, window_cpu, audits = time.monotonic() - begun, service.cpu() - cpu, read(f"observed_at > '{since}'")
    begun, cpu, since = time.monotonic(), service.cpu(), _now()
    await service.client.request("POST", f"{FABRIC}/audit")
    await rows.until(lambda: read(f"observed_at > '{since}' AND NOT audit_due") == last, "all switches were read")
    return Scale(
        kind=fleet.kind,
        switches=last,
        ports=fleet.ports,
        enrolled=last - first,
        enrol_seconds=enrol_seconds,
        enrol_cpu=enrol_cpu,
        window=length,
        window_cpu=window_cpu,
        window_audits=audits,
        audit_seconds=time.monotonic() - begun,
        audit_cpu=service.cpu() - cpu,
        memory=memory(service.pid),
        files=len(list(Path(f"/proc/{service.pid}/fd").iterdir())),
    )


def memory(pid: int) -> float:
    """The largest resident set so far, in MiB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / _MIB


def _now() -> str:
    """As the service's rows tell moments."""
    from datetime import UTC, datetime

    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
