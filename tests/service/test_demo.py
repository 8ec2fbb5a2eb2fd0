"""`ironlane demo` judges rightly: 0 when the invariants held, 1 when one was broken."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

from rich.console import Console

from ironlane.cli.client import Client
from ironlane.cli.demo.command import _Demo
from ironlane.cli.demo.reaching import Sampler, Tenancy
from ironlane.cli.demo.site_text import PROVIDER_VLANS, demo_racks
from ironlane.cli.virtual import virtual_rack
from ironlane.lab.forwarding import PortForwarding
from ironlane.lab.rack import VirtualRack
from ironlane.lab.reach import InvariantWatch, Reach

NOWHERE = "http://127.0.0.1:1"
TENANCY = Tenancy({"red": ("server-1-1",), "blue": ("server-1-2",)}, {"services.100": "conductor"})


async def test_the_demo_runs_and_prints_who_reaches_whom(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ironlane", "demo", "--racks", "1", "--servers", "3"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output = (await asyncio.wait_for(process.communicate(), 100))[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output
    assert output.count("who reaches whom") == 4
    assert "invariants held (0 violations" in output


def _demo(rack: VirtualRack) -> tuple[_Demo, io.StringIO]:
    output = io.StringIO()
    return _Demo(Console(file=output, width=120), Client(NOWHERE), rack, Path("none"), {}), output


def _watch(rack: VirtualRack) -> InvariantWatch:
    return rack.watch(PROVIDER_VLANS, {200: "red", 201: "blue"}.get)


async def test_a_server_on_both_sides_of_the_wall_breaks_the_verdict() -> None:
    async with virtual_rack(demo_racks(1, 2), NOWHERE) as rack:
        demo, output = _demo(rack)
        watch = _watch(rack)
        assert demo._verdict(watch, 1.0)
        rack.switches["leaf-1a"].load({"Ethernet1": PortForwarding(True, 100)})
        assert demo._verdict(watch, 1.0)
        rack.switches["leaf-1b"].load({"Ethernet1": PortForwarding(True, 200)})
        rack.switches["leaf-1b"].load({})
        assert not demo._verdict(watch, 1.0), "though it was for a moment only"
    assert "invariants broken" in output.getvalue()
    assert "I1 after commit 2 on leaf-1b: server-1-1 is on provider VLAN [100]" in output.getvalue()


async def test_a_phase_that_ends_with_strangers_together_breaks_the_verdict() -> None:
    async with virtual_rack(demo_racks(1, 2), NOWHERE) as rack:
        demo, output = _demo(rack)

        async def work() -> None:
            for server in rack.servers.values():
                server.set_boot_device("pxe")
                await server.power_on()
            both = {port: PortForwarding(True, 200) for port in ("Ethernet1", "Ethernet2")}
            rack.switches["leaf-1a"].load(both)
            await asyncio.sleep(0.1)

        await demo._phase("mixed", TENANCY, work)
        assert not demo._verdict(_watch(rack), 1.0)
    assert "server-1-1 reaches server-1-2" in output.getvalue()
    assert any(text.startswith("mixed: I3: server-1-1 of red reached") for text in demo.violations), demo.violations


def test_the_sampler_knows_both_walls() -> None:
    def violations(*pairs: tuple[str, str]) -> list[str]:
        sampler = Sampler(TENANCY)
        sampler.take(Reach({a: frozenset({b}) for a, b in pairs}, {}))
        return [text[:2] for text in sampler.violations]

    assert violations(("services.100", "server-1-1")) == []
    assert violations(("server-1-1", "server-1-2")) == ["I3"]
    assert violations(("services.100", "server-1-1"), ("server-1-1", "server-1-2")) == ["I1"]
    assert violations(("services.100", "server-1-1"), ("server-1-2", "server-1-1")) == ["I1"]
