"""`python -m bench.scale`: measure one process with many switches, and write docs/performance.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fabric.report import machine, run_name
from bench.fabric.service import service
from bench.scale import measure, report
from bench.scale.fleet import fleet
from ironlane.model.errors import IronlaneError


@dataclass(frozen=True)
class Climb:
    """One service, and more and more switches in it. `windows` is how long it is left alone at each size, in seconds."""

    kind: str
    ports: int
    sizes: tuple[int, ...]
    windows: tuple[float, ...]
    filled: bool = False
    """The switches are as they should be before they are enrolled, so that their enrolment needs no commit."""


FULL = (
    Climb("netconf", 48, (100, 500, 1000, 2000), (60, 30, 30, 60)),
    Climb("netconf", 12, (2000,), (10,), filled=True),
    Climb("netconf", 24, (2000,), (10,), filled=True),
    Climb("netconf", 96, (2000,), (10,), filled=True),
    Climb("cli", 48, (200,), (60,)),
)
QUICK = (Climb("netconf", 48, (20, 100), (5, 5)), Climb("cli", 48, (20,), (5,)))
LIMIT = 600.0
"""Seconds that one climb may take."""


async def run(climbs: Sequence[Climb], results: Path) -> dict[str, Any]:
    """Each climb in a fresh service; one that fails is told and left out."""
    found: dict[str, Any] = {"run": run_name(), "steps": [], "problems": []}
    for climb in climbs:
        try:
            async with asyncio.timeout(LIMIT):
                await _measured(climb, found["steps"])
        except (IronlaneError, TimeoutError, RuntimeError, OSError) as error:
            found["problems"].append(
                f"{climb.kind}, {climb.sizes} × {climb.ports}: {type(error).__name__}: {error}"[:600]
            )
            print(found["problems"][-1], file=sys.stderr)
        results.write_text(json.dumps({**found, "machine": machine()}, indent=1) + "\n")
    return {**found, "machine": machine()}


async def _measured(climb: Climb, steps: list[dict[str, Any]]) -> None:
    begun = time.monotonic()
    async with fleet(climb.kind, climb.sizes[-1], climb.ports, filled=climb.filled) as switches, service() as running:
        first = 0
        print(f"{climb.kind}: {climb.sizes[-1]} switches × {climb.ports}, service is process {running.pid}", flush=True)
        for last, window in zip(climb.sizes, climb.windows, strict=True):
            taken = await measure.step(running, switches, first, last, window)
            steps.append({**taken.record(), "filled": climb.filled})
            print(f"{last:>6}  {taken}  idle {taken.idle(300.0):.1%}  {time.monotonic() - begun:.0f} s", flush=True)
            first = last


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundred switches, in a minute")
    parser.add_argument("--climb", metavar="KIND,PORTS,SWITCHES,WINDOW", help="only this, such as netconf,48,2000,330")
    parser.add_argument("--results", type=Path, default=Path("bench/scale.json"), help="where the figures go")
    parser.add_argument("--docs", type=Path, help="directory whose performance.md gets the table")
    asked = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the switches' processes inherit it
    climbs: Sequence[Climb] = QUICK if asked.quick else FULL
    if asked.climb:
        kind, ports, size, window = asked.climb.split(",")
        climbs = (Climb(kind, int(ports), (int(size),), (float(window),)),)
    found = asyncio.run(run(climbs, asked.results))
    print(report.table(found))
    if asked.docs is not None:
        report.write(found, asked.docs)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
