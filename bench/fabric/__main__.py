"""`python -m bench.fabric`: run the benchmark, and write docs/performance.md with what was measured."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.fabric import move, peer, report, single
from bench.fabric.rack import rack
from bench.fabric.shape import Shape
from ironlane.model.errors import IronlaneError

FLEET = (50, 40)
"""1000 servers with two NICs each."""
QUICK = {
    "shapes": (Shape("cli", 4, 10), Shape("netconf", 4, 10), Shape("netconf", 4, 10, 0.05)),
    "peer": Shape("cli", 4, 10),
    "delays": (0.0,),
    "single": (Shape("netconf", 2, 10, 0.05),),
}
FULL = {
    "shapes": (
        *(Shape("cli", *FLEET, delay) for delay in (0.0, 0.05)),
        *(Shape("netconf", *FLEET, delay) for delay in (0.0, 0.05, 0.2)),
        *(Shape("netconf", 1, ports) for ports in (1, 10, 100, 1000)),
        *(Shape("netconf", switches, 10) for switches in (2, 10, 50, 200, 500)),
        *(Shape("netconf", switches, 1) for switches in (500,)),
        Shape("netconf", 2, 1000),
    ),
    "peer": Shape("cli", *FLEET),
    "delays": (0.0, 0.05),
    "single": (Shape("cli", 2, 10), Shape("cli", 2, 10, 0.05), Shape("netconf", 2, 10), Shape("netconf", 2, 10, 0.05)),
}
RUN = report.run_name()
"""Names this run: figures of different runs are never divided by one another."""
LIMIT = 900.0
"""Seconds that one measurement may take."""


async def run(plan: dict[str, Any], results: Path, *, quick: bool, with_peer: bool, match: str) -> None:
    """The measurements of a plan whose title contains `match`, one after the other, each written down at once.

    One that fails is told and left out. With `match`, the other figures on file are kept.
    """
    found: dict[str, Any] = {"moves": [], "singles": [], "peers": [], "problems": []}
    if match and results.exists():
        found = json.loads(results.read_text())
        found["problems"] = []
    peers = [Shape(plan["peer"].kind, plan["peer"].switches, plan["peer"].ports, delay) for delay in plan["delays"]]
    work = [("peers", shape, _peer_quick if quick else _peer) for shape in peers if with_peer]
    work += [("singles", shape, _single) for shape in plan["single"]] + [("moves", s, _move) for s in plan["shapes"]]
    for group, shape, measure in work:
        if match in f"{group}, {shape.title}":
            await _measured(found, group, shape, measure)
            results.write_text(json.dumps({**found, "machine": report.machine()}, indent=1) + "\n")


async def _measured(found: dict[str, Any], group: str, shape: Shape, measure: Any) -> None:
    begun = time.monotonic()
    try:
        async with asyncio.timeout(LIMIT):
            result = await measure(shape)
    except (peer.Unavailable, IronlaneError, TimeoutError, RuntimeError, OSError) as error:
        found["problems"].append(f"{group}, {shape.title}: {type(error).__name__}: {error}"[:600])
        print(f"{group:<8}{shape.title:<32} not measured: {error}", file=sys.stderr)
        return
    own = asdict(shape)
    found[group] = [r for r in found[group] if any(r[name] != value for name, value in own.items())]
    found[group].append({**own, **result, "run": RUN})
    figures = ", ".join(f"{name} {value:.3g}" for name, value in result.items() if isinstance(value, float))
    print(f"{group:<8}{shape.title:<32} {figures}  ({time.monotonic() - begun:.0f} s)", flush=True)


async def _move(shape: Shape) -> dict[str, Any]:
    async with rack(shape) as running:
        moved = await move.measure_alone(running)
    return {**moved.record(), "rate": moved.rate, "ratio": moved.ratio}


async def _single(shape: Shape) -> dict[str, Any]:
    async with rack(shape) as running:
        taken = await single.measure(running)
    return {**asdict(taken), "ratio": taken.ratio}


async def _peer(shape: Shape, servers: int = 16, processes: int = peer.PROCESSES) -> dict[str, Any]:
    async with rack(shape) as running:
        moved = await peer.measure(running, servers, processes, processes=processes)
    return {**asdict(moved), "rate": moved.rate}


async def _peer_quick(shape: Shape) -> dict[str, Any]:
    return await _peer(shape, servers=4, processes=2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fabric", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few small shapes, in a minute or two")
    parser.add_argument("--no-peer", action="store_true", help="leave Neutron out")
    parser.add_argument("--match", default="", help='only what contains this, such as "moves, cli, 50" or "peers"')
    parser.add_argument("--results", type=Path, default=Path("bench/results.json"), help="where the figures go")
    parser.add_argument("--docs", type=Path, help="directory to write performance.md and its plot to")
    parser.add_argument("--only", choices=("report",), help="report: write the documents from the figures on file")
    asked = parser.parse_args(arguments)
    if asked.only is None:
        plan = QUICK if asked.quick else FULL
        asyncio.run(run(plan, asked.results, quick=asked.quick, with_peer=not asked.no_peer, match=asked.match))
    found = json.loads(asked.results.read_text())
    print(report.table(found))
    if asked.docs is not None:
        report.write(found, asked.docs)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
