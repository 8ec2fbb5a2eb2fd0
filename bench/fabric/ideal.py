"""The bare script that nothing can beat: the same lines or RPCs, in the same commits, on open sessions, to all switches
at once. It reads nothing back, keeps nothing, and believes every answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import asyncssh

from bench.fabric.rack import Rack
from bench.fabric.shape import PASSWORD

READ = {
    "cli": "show running-config",
    "netconf": "<get-config><source><running/></source></get-config>",
}
"""What is sent to see a whole switch."""

_EFFECTIVE = 2
"""The last lines of a commit on the command line: the commit itself, and saving it."""
_LOCK, _CONFIRM = 1, 2
"""The first RPC of a commit over NETCONF is waited for alone, and the last two, which confirm and unlock, are sent
together; so are those before the commit itself, as Ironlane does."""
_AHEAD = 2000
"""Characters that are typed ahead of their answers."""
_BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
_END = b"]]>]]>"
_HELLO = (
    f'<hello xmlns="{_BASE}"><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability></capabilities>'
    "</hello>"
).encode()


class Wire:
    """An open session with one switch: `ask` sends a line or an RPC and waits for the end of its answer."""

    def __init__(self, kind: str, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self._netconf = kind == "netconf"
        self._process = process

    async def ask(self, text: str) -> None:
        if self._netconf:
            await self._ask_all([text])
        else:
            self._process.stdin.write(text.encode() + b"\n")
            await self.answered()

    async def _ask_all(self, bodies: Sequence[str]) -> None:
        """Send RPCs at once and wait for all replies."""
        head = f'<rpc xmlns="{_BASE}" message-id="1">'
        self._process.stdin.write(b"".join(f"{head}{body}</rpc>".encode() + _END for body in bodies))
        left, tail = len(bodies), b""
        while left:
            data = await self._process.stdout.read(65536)
            if not data:
                raise RuntimeError("the switch hung up")
            tail += data
            left -= tail.count(_END)
            tail = tail.rpartition(_END)[2]

    async def commit(self, lines: Sequence[str]) -> None:
        """Everything that one commit takes. What is only staged is sent ahead of its answers, as Ironlane does."""
        if self._netconf:
            end = len(lines) - _CONFIRM
            for group in (lines[:_LOCK], lines[_LOCK : end - 1], lines[end - 1 : end], lines[end:]):
                await self._ask_all(group)
            return
        staged = len(lines) - _EFFECTIVE
        await self._type_ahead([line.encode() + b"\n" for line in lines[:staged]])
        for line in lines[staged:]:
            await self.ask(line)

    async def _type_ahead(self, lines: Sequence[bytes]) -> None:
        sent = answered = flying = 0
        while answered < len(lines):
            text = b""
            while sent < len(lines) and (not flying or flying + len(lines[sent]) <= _AHEAD):
                text += lines[sent]
                flying += len(lines[sent])
                sent += 1
            if text:
                self._process.stdin.write(text)
            data = await self._process.stdout.read(65536)
            if not data:
                raise RuntimeError("the switch hung up")
            # Each answer ends with a prompt, and nothing else of what is said here has such a character in it.
            for _ in range(data.count(b"#")):
                flying -= len(lines[answered])
                answered += 1

    async def answered(self) -> None:
        """Until a message has ended, or a prompt stands there."""
        ends = _END if self._netconf else (b"#", b">")
        tail = b""
        while not tail.endswith(ends):
            data = await self._process.stdout.read(65536)
            if not data:
                raise RuntimeError("the switch hung up")
            tail = (tail + data)[-8:]

    async def begin(self) -> None:
        await self.answered()
        if self._netconf:
            self._process.stdin.write(_HELLO + _END)
        else:
            await self.ask("terminal length 0")


async def connect(rack: Rack, index: int) -> Wire:
    connection = await asyncssh.connect(
        "127.0.0.1",
        rack.ports[index],
        username="admin",
        password=PASSWORD,
        known_hosts=None,
        client_keys=None,
        agent_path=None,
        config=None,
        encryption_algs=["aes128-gcm@openssh.com"],
        kex_algs=["curve25519-sha256"],
        compression_algs=["none"],
    )
    kind = rack.shape.kind
    if kind == "netconf":
        process = await connection.create_process(subsystem="netconf", encoding=None)
    else:
        process = await connection.create_process(term_type="vt100", encoding=None)
    wire = Wire(kind, process)
    await wire.begin()
    return wire


async def ideal(rack: Rack, commits: Sequence[Sequence[Sequence[str]]]) -> float:
    """Seconds for `commits[switch][commit][line]`, the commits of a switch one after the other, all switches at
    once."""
    wires = [await connect(rack, index) for index in range(len(commits))]

    async def one(wire: Wire, own: Sequence[Sequence[str]]) -> None:
        for commit in own:
            await wire.commit(commit)

    begun = time.perf_counter()
    await asyncio.gather(*(one(wire, own) for wire, own in zip(wires, commits, strict=True)))
    return time.perf_counter() - begun
