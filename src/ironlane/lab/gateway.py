"""The way from this machine into the virtual network: an HTTP proxy to the agents, and a web server with images.

A conductor that is on the provisioning network reaches an agent at its address. Here that network exists in frames
only; so the service is given this proxy (`IRONLANE_AGENT_PROXY`), which lets it through to an agent exactly when the
agent's address answers ARP on the wire.

Source: RFC 9110, section 9.3.6 (CONNECT).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address

IMAGE = "disk.img"
"""Name of the image that every gateway has."""
_CONTENT = b"an operating system" * 64

FindAgent = Callable[[IPv4Address], int | None]
"""TCP port on loopback of the agent that has an address on the wire now; None if there is none."""


class Gateway:
    """Start it before the service, which has to know its address; `find_agent` may come later, with the rack."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = {IMAGE: _CONTENT, **(files or {})}
        self.find_agent: FindAgent = lambda _address: None
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._talking:
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)

    @property
    def url(self) -> str:
        """Its address, for `IRONLANE_AGENT_PROXY`; files are below it."""
        assert self._server is not None  # noqa: S101 - it has been started
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def instance_info(self) -> dict[str, str]:
        """What a node needs to be deployed with the image."""
        checksum = hashlib.sha256(self.files[IMAGE]).hexdigest()
        return {"image_source": f"{self.url}/{IMAGE}", "image_checksum": checksum}

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine of one
        self._talking.add(task)
        try:
            # Python's streams take a task that was cancelled, by `stop`, for a fault of theirs.
            ended = (asyncio.CancelledError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
            with contextlib.suppress(OSError, ValueError, *ended):
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
                if method == "CONNECT":
                    await self._tunnel(target, reader, writer)
                else:
                    await self._serve(target, writer)
        finally:
            self._talking.discard(task)
            writer.close()

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = IPv4Address(target.rpartition(":")[0])
        port = self.find_agent(address)
        if port is None:
            writer.write(b"HTTP/1.1 504 No Such Host On The Wire\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")

            def still() -> bool:
                return self.find_agent(address) == port

            await asyncio.gather(_copy(reader, inner_writer, still), _copy(inner_reader, writer, still))
        finally:
            inner_writer.close()

    async def _serve(self, target: str, writer: asyncio.StreamWriter) -> None:
        content = self.files.get(target.removeprefix("/"))
        status = "404 Not Found" if content is None else "200 OK"
        body = content or b""
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, still: Callable[[], bool]) -> None:
    """Pass on what comes, as long as the agent is `still` there on the wire."""
    with contextlib.suppress(OSError):
        while (data := await source.read(65536)) and still():
            sink.write(data)
            await sink.drain()
    with contextlib.suppress(OSError, RuntimeError):
        sink.close()
