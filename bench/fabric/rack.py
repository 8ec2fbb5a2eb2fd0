"""The lab's switches in a process of their own, so that nobody who is measured pays for them.

`Rack` starts the process and talks to it; `python -m bench.fabric.rack` is the process: one JSON line in, one out.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
from lxml import etree

from bench.fabric.shape import IDLE_VLAN, PASSWORD, Shape, port_name, switch_name
from ironlane.model.fabric import PortConfig, SwitchId, Vlan
from ironlane.model.plan import Change, Plan, idle_config
from ironlane.switches.openconfig import write
from ironlane.switches.openconfig.names import NetconfDialect

_LIMIT = 64 * 1024 * 1024


class Rack:
    """Handle of a running rack. `ports` are the TCP ports of the switches, in order; `host_key` is shared by all."""

    def __init__(self, shape: Shape, process: asyncio.subprocess.Process) -> None:
        self.shape = shape
        self._process = process
        self.ports: list[int] = []
        self.host_key = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, question: str) -> Any:
        """`commits`, `lines`: one number for each switch. `snapshot`, `restore`: keep what runs, and go back to it.
        `fill`: put all ports on the idle VLAN (NETCONF only)."""
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018 - pipes
        self._process.stdin.write(question.encode() + b"\n")
        answer = await self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the virtual switches ended")
        return json.loads(answer)


@asynccontextmanager
async def rack(shape: Shape) -> AsyncIterator[Rack]:
    """Start switches of a shape; they end with the block."""
    arguments = (shape.kind, str(shape.switches), str(shape.ports), str(shape.delay))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.fabric.rack",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LIMIT,
    )
    running = Rack(shape, process)
    try:
        told = await running.ask("ports")
        running.ports, running.host_key = told["ports"], told["host_key"]
        yield running
    finally:
        process.kill()
        await process.wait()


# --- the process ------------------------------------------------------------------------------------------------------


def _quiet(_: Mapping[str, Any]) -> None:
    """Nobody forwards frames here."""


class _CliRack:
    def __init__(self, shape: Shape, key: asyncssh.SSHKey) -> None:
        from bench.fabric.dialect import register
        from ironlane.lab.cli import CliSwitch

        names = [port_name(index) for index in range(shape.ports)]
        self.switches = [
            CliSwitch(
                register(),
                names,
                _quiet,
                hostname=switch_name(index),
                password=PASSWORD,
                host_key=key,
                delay=shape.delay,
            )
            for index in range(shape.switches)
        ]
        self._kept: list[Any] = []

    def lines(self) -> list[int]:
        return [switch.commands for switch in self.switches]

    def snapshot(self) -> None:
        self._kept = [copy.deepcopy(switch.device.running) for switch in self.switches]

    def restore(self) -> None:
        for switch, config in zip(self.switches, self._kept, strict=True):
            switch.device.running = copy.deepcopy(config)


class _NetconfRack:
    def __init__(self, shape: Shape, key: asyncssh.SSHKey) -> None:
        from ironlane.lab.netconf.server import NetconfServer

        self._names = names = [port_name(index) for index in range(shape.ports)]
        self.switches = [
            NetconfServer(names, _quiet, password=PASSWORD, host_key=key, rpc_delay=shape.delay)
            for _ in range(shape.switches)
        ]
        for switch in self.switches:
            switch.configuration._tell = lambda: None  # type: ignore[method-assign]  # there are no frames
        self._kept: list[Any] = []

    def lines(self) -> list[int]:
        return [switch.edits for switch in self.switches]

    def fill(self) -> None:
        idle = idle_config(Vlan(IDLE_VLAN))
        first = self.switches[0].configuration
        changes = tuple(Change(port, PortConfig(enabled=False), idle) for port in self._names)
        text = write.edit_config(Plan(SwitchId("any"), changes), {}, NetconfDialect())
        edit = etree.fromstring(text).find("{*}config")
        assert edit is not None
        first.edit(0, edit, "merge")
        first.commit(0)
        self._kept = [first.read("running")] * len(self.switches)
        self.restore()

    def snapshot(self) -> None:
        self._kept = [copy.deepcopy(switch.configuration.read("running")) for switch in self.switches]

    def restore(self) -> None:
        for switch, tree in zip(self.switches, self._kept, strict=True):
            for name in ("running", "candidate"):
                there = switch.configuration.read(name)
                there[:] = copy.deepcopy(tree)[:]


async def _serve(shape: Shape) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    switches: Any = (_CliRack if shape.kind == "cli" else _NetconfRack)(shape, key)
    for switch in switches.switches:
        await switch.start()
    answers: Mapping[str, Callable[[], Any]] = {
        "ports": lambda: {
            "ports": [switch.port for switch in switches.switches],
            "host_key": switches.switches[0].host_key,
        },
        "commits": lambda: [switch.commits for switch in switches.switches],
        "lines": switches.lines,
        "snapshot": switches.snapshot,
        "restore": switches.restore,
        "fill": getattr(switches, "fill", lambda: None),
    }
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(answers[line.decode().strip()]()), flush=True)


def main(arguments: list[str]) -> None:
    import uvloop

    kind, switches, ports, delay = arguments
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(Shape(kind, int(switches), int(ports), float(delay))))


if __name__ == "__main__":
    main(sys.argv[1:])
