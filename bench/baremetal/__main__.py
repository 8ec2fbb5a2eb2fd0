"""`python -m bench.baremetal`: measure what power sync and heartbeats cost, and write docs/performance.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.baremetal.fleet import Fleet, fleet, furnish
from bench.fabric.report import machine, run_name
from ironlane.settings import Settings
from ironlane.store.database import open_store
from ironlane.store.schema import migrate
from ironlane.store.vault import Vault

BEGIN, END = "<!-- baremetal: written by `make bench-baremetal` -->", "<!-- end of baremetal -->"


@dataclass(frozen=True)
class Case:
    """`bmcs` servers whose power is asked for and `agents` others that report, each once in `interval` seconds."""

    driver: str
    bmcs: int
    agents: int
    interval: float = 60.0


FULL = (Case("redfish", 500, 500), Case("redfish", 500, 0), Case("ipmi", 500, 0))
QUICK = (Case("redfish", 50, 50, 6.0), Case("ipmi", 50, 0, 6.0))


@dataclass(frozen=True)
class Measured:
    """Processor seconds of the service and its children in one interval, and what was done in it."""

    driver: str
    bmcs: int
    agents: int
    interval: float
    seconds: float
    cpu: float
    heartbeats: int
    refused: int
    questions: int
    """Lists of commands that the agents were asked for."""
    powers: int
    """BMCs that were asked for the power state."""
    memory: float
    wrong: int
    """Nodes that are not as they should be."""


async def measure(case: Case) -> Measured:
    """One service with one fleet: an interval to warm up (log-ins, prepared statements), and one that counts."""
    with tempfile.TemporaryDirectory(prefix="ironlane-bench-") as place:
        async with fleet(case.driver, case.bmcs) as made:
            url = f"sqlite:///{place}/ironlane.sqlite"
            store = open_store(url, vault=Vault(Settings(database_url=url).encryption_keys()))
            await migrate(store)
            await furnish(store, case.driver, made, case.agents)
            await store.close()
            async with _service(place, url, case.interval) as (address, pid):
                beating = asyncio.create_task(made.heartbeats(address, case.interval)) if case.agents else None
                try:
                    await asyncio.sleep(case.interval + 5.0)
                    return await _window(case, made, address, pid)
                finally:
                    if beating is not None:
                        beating.cancel()
                        await asyncio.gather(beating, return_exceptions=True)


async def _window(case: Case, made: Fleet, address: str, pid: int) -> Measured:
    loop = asyncio.get_running_loop()
    began, cpu = loop.time(), _cpu(pid)
    before = made.accepted, made.refused, made.listed
    asked = [machine.asked for machine in made.machines]
    await asyncio.sleep(case.interval)
    if made.problem:
        print(f"heartbeat: {made.problem}", file=sys.stderr)
    seconds, cpu = loop.time() - began, _cpu(pid) - cpu
    counted = made.accepted - before[0], made.refused - before[1], made.listed - before[2]
    powers = sum(machine.asked > earlier for machine, earlier in zip(made.machines, asked, strict=True))
    return Measured(**asdict(case), seconds=seconds, cpu=cpu, heartbeats=counted[0], refused=counted[1],
                    questions=counted[2], powers=powers, memory=_memory(pid), wrong=await _wrong(address))  # fmt: skip


async def _wrong(address: str) -> int:
    """Nodes in maintenance, failed, or with another power state than their BMC's: there should be none."""
    from ironlane.cli.client import Client

    async with Client(address) as client:
        found = (await client.get("/baremetal/v1/nodes/detail", {"limit": "1000"}))["nodes"]
    well = {"active": "power on", "clean wait": None}
    return sum(node["maintenance"] or node["power_state"] != well.get(node["provision_state"], "") for node in found)


@asynccontextmanager
async def _service(place: str, database: str, interval: float) -> AsyncIterator[tuple[str, int]]:
    environment = {**os.environ, "IRONLANE_POWER_SYNC_INTERVAL": str(interval)}
    with Path(place, "serve.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ironlane", "serve", "--port", "0", "--log-level", "warning"),
            *("--database", database),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        if "://" not in line:
            raise RuntimeError(f"ironlane serve did not start: {Path(place, 'serve.log').read_text()[-2000:]}")
        yield line.split()[1].removesuffix("/networking"), process.pid
    finally:
        process.kill()
        await process.wait()


def _cpu(pid: int) -> float:
    """Of the process and of its children that have ended (ipmitool)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """Resident, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def table(found: Mapping[str, Any]) -> str:
    """All figures."""
    lines = [
        f"Run {found['run']}. Machine: {found['machine']}.",
        "",
        "| BMCs | kind | asked every | of them asked | agents | heartbeats | agents asked | CPU | of one core | memory |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {case['bmcs']} | {case['driver']} | {case['interval']:.0f} s | {case['powers']} | {case['agents']} | {case['heartbeats']}"
        f" | {case['questions']} | {case['cpu']:.1f} s in {case['seconds']:.0f} s | {case['cpu'] / case['seconds']:.0%}"
        f" | {case['memory']:.0f} MiB |"
        for case in found["cases"]
    ]
    wrong = sum(case["wrong"] + case["refused"] for case in found["cases"])
    return "\n".join([*lines, "", f"Nodes that were not as they should be, and heartbeats refused: {wrong}."])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.baremetal", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few servers, short intervals")
    parser.add_argument("--results", type=Path, help="file for the figures as JSON")
    parser.add_argument("--docs", type=Path, help="directory of performance.md, which is rewritten")
    chosen = parser.parse_args(arguments)
    cases = [asdict(asyncio.run(measure(case))) for case in (QUICK if chosen.quick else FULL)]
    found = {"run": run_name(), "machine": machine(), "cases": cases}
    if chosen.results is not None:
        chosen.results.write_text(json.dumps(found, indent=1) + "\n")
    if chosen.docs is not None:
        path = chosen.docs / "performance.md"
        before, _, rest = path.read_text().partition(BEGIN)
        path.write_text(f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{rest.partition(END)[2]}")
    print(table(found))


if __name__ == "__main__":
    main()
