"""One conversation with one switch: OpenFlow 1.4 over a unix socket, TCP or TLS, the switch being the one that listens.

Only what a switch driver needs: the handshake, liveness in both directions, multipart requests, and bundles.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from ironlane.model.errors import IronlaneError, Permanent, Temporary
from ironlane.switches.openflow import wire
from ironlane.switches.openflow.wire import Bundle, Message, Multipart, Type
from ironlane.switches.ovsdb import Endpoint

PROBE_INTERVAL = 5.0
"""Seconds of silence after which the switch is probed with an echo; after as long again it counts as gone."""

TABLES = 2
"""How many tables a switch must have at least."""

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Awaited:
    """A request that waits for its answer: what has come of it, and the future of the whole."""

    future: asyncio.Future[list[bytes]]
    parts: list[bytes] = field(default_factory=list)


class Session:
    """Connects on first use and again after a failure.

    What was under way when the connection broke is not repeated: it may have been done.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        datapath_id: int | None = None,
        timeout: float = 30.0,
        probe_interval: float = PROBE_INTERVAL,
    ) -> None:
        """Connects nowhere yet. `timeout` is in seconds per exchange, connecting included."""
        self.endpoint = endpoint
        self.timeout = timeout
        self._datapath_id = datapath_id
        self._probe_interval = probe_interval
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._awaited: dict[int, _Awaited] = {}
        self._refused: dict[int, tuple[bool, str]] = {}
        """Errors about messages that have no answer, by transaction id."""
        self._ids = count(1)

    async def read(self, *kinds: Multipart) -> list[list[bytes]]:
        """Everything of these kinds, each in as many parts as the switch made of it.

        Raises:
            Temporary: no answer.
            Permanent: it is not the switch that it should be, or does not speak as it should.
        """

        async def ask() -> list[list[bytes]]:
            return [await answer for answer in [self._ask(Type.MULTIPART_REQUEST, wire.multipart(k)) for k in kinds]]

        return await self._exchange(ask)

    async def commit(self, messages: Sequence[Message]) -> None:
        """Make all changes in one bundle: all of them or none.

        Raises:
            Temporary: no answer (they may be made already), or the table is not as it was.
            Permanent: the switch refuses one of them; none is made.
        """
        await self._exchange(lambda: self._bundle(messages))

    async def tell(self, messages: Sequence[Message]) -> None:
        """Make changes that no bundle can hold, one by one.

        Raises:
            Temporary, Permanent: as `commit`; the ones before and after may be made.
        """

        async def send() -> None:
            sent = {self._send(message.type, message.body): message for message in messages}
            await self._ask(Type.BARRIER_REQUEST)
            self._raise_refused(sent)

        await self._exchange(send)

    async def close(self) -> None:
        """End the conversation; the session may be used again afterwards."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _bundle(self, messages: Sequence[Message]) -> None:
        ident = next(self._ids)
        opened = self._ask(Type.BUNDLE_CONTROL, wire.bundle_control(ident, Bundle.OPEN))
        sent: dict[int, Message] = {}
        for message in messages:
            xid = next(self._ids)
            self._send(Type.BUNDLE_ADD, wire.bundle_add(ident, xid, message.type, message.body), xid)
            sent[xid] = message
        # A switch leaves out what it refuses, and would commit the rest: so what it says comes first (section 6.2).
        barrier = self._ask(Type.BARRIER_REQUEST)
        await self._drain()
        try:
            await opened
            await barrier
            self._raise_refused(sent)
        except IronlaneError:
            self._send(Type.BUNDLE_CONTROL, wire.bundle_control(ident, Bundle.DISCARD))
            raise
        try:
            await self._ask(Type.BUNDLE_CONTROL, wire.bundle_control(ident, Bundle.COMMIT))
        except IronlaneError:
            self._raise_refused(sent)  # says more than that a message failed
            raise

    def _raise_refused(self, sent: dict[int, Message]) -> None:
        for xid, message in sent.items():
            if xid in self._refused:
                passing, reason = self._refused[xid]
                failure = Temporary if passing else Permanent
                raise failure(f"{self.endpoint} refuses `{message.text[:300]}`: {reason}")

    def _ask(self, kind: Type, body: bytes = b"") -> asyncio.Future[list[bytes]]:
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        xid = next(self._ids)
        self._awaited[xid] = _Awaited(future)
        self._send(kind, body, xid)
        return future

    def _send(self, kind: Type, body: bytes, xid: int | None = None) -> int:
        if self._writer is None or self._writer.is_closing():
            raise Temporary(f"{self.endpoint}: the switch closed the connection")
        xid = next(self._ids) if xid is None else xid
        self._writer.write(wire.message(kind, xid, body))
        return xid

    async def _drain(self) -> None:
        if self._writer is not None:
            await self._writer.drain()

    async def _exchange(self, act: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            async with asyncio.timeout(self.timeout):
                await self._connected()
                return await act()
        except asyncio.CancelledError:
            # Half an exchange, such as an open bundle, must not meet the next one.
            if self._writer is not None:
                self._writer.transport.abort()
            raise
        except TimeoutError as error:
            await self.close()
            raise Temporary(f"{self.endpoint}: no answer within {self.timeout:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise Permanent(f"{self.endpoint}: the switch's certificate is not trusted: {error}") from error
        except (OSError, EOFError, struct.error) as error:
            await self.close()
            raise Temporary(f"{self.endpoint}: {error}") from error
        finally:
            self._forget()

    def _forget(self) -> None:
        for awaited in self._awaited.values():
            if awaited.future.done() and not awaited.future.cancelled():
                awaited.future.exception()  # several may have failed of one cause; one of them was told
            awaited.future.cancel()
        self._awaited.clear()
        self._refused.clear()

    async def _connected(self) -> None:
        alive = self._reading is not None and not self._reading.done()
        if alive and self._writer is not None and not self._writer.is_closing():
            return
        await self.close()
        reader, writer = await self.endpoint.connect()
        self._writer = writer
        try:
            await self._greet(reader)
            self._reading = asyncio.create_task(self._read(reader, writer), name=f"openflow {self.endpoint}")
            self._check(wire.parse_features((await self._ask(Type.FEATURES_REQUEST))[0]))
        except BaseException:
            await self.close()
            raise

    async def _greet(self, reader: asyncio.StreamReader) -> None:
        """Sections 6.3.1 and 7.5.1: both sides say which versions they speak."""
        self._send(Type.HELLO, wire.hello())
        version, kind, length, _ = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
        body = await reader.readexactly(max(length - wire.HEADER.size, 0))
        if kind == Type.ERROR or kind != Type.HELLO or not wire.parse_hello(version, body):
            reason = wire.parse_error(body)[1] if kind == Type.ERROR else f"it speaks version {version:#04x}"
            raise Permanent(
                f"{self.endpoint} does not speak OpenFlow 1.4 ({reason});"
                " on Open vSwitch, see the bridge's column `protocols`"
            )

    def _check(self, features: tuple[int, int]) -> None:
        datapath_id, tables = features
        if self._datapath_id not in {None, datapath_id}:
            raise Permanent(
                f"{self.endpoint} is the switch with datapath id {datapath_id:016x}, not {self._datapath_id:016x}:"
                " correct its address or its option `datapath_id`"
            )
        if tables < TABLES:
            raise Permanent(f"{self.endpoint} has {tables} flow tables; {TABLES} are needed")

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        probing, reason, buffer = False, "the switch closed the connection", bytearray()
        try:
            while True:
                try:
                    octets = await asyncio.wait_for(reader.read(256 * 1024), self._probe_interval)
                except TimeoutError:
                    if probing:
                        reason = f"no sign of life for {2 * self._probe_interval:g} s"
                        break
                    writer.write(wire.message(Type.ECHO_REQUEST, 0))
                    probing = True
                    continue
                if not octets:
                    break
                probing = False
                buffer += octets
                for kind, xid, body in _cut(buffer):
                    if kind == Type.ECHO_REQUEST:
                        writer.write(wire.message(Type.ECHO_REPLY, xid, body))
                    else:
                        self._handle(kind, xid, body)
        except (OSError, Temporary, struct.error) as error:
            reason = str(error)
        finally:
            for awaited in self._awaited.values():
                if not awaited.future.done():
                    awaited.future.set_exception(Temporary(f"{self.endpoint}: {reason}"))
            writer.close()

    def _handle(self, kind: int, xid: int, body: bytes) -> None:
        awaited = self._awaited.get(xid)
        if kind == Type.ERROR:
            passing, reason = self._refused[xid] = wire.parse_error(body)
            if awaited is not None and not awaited.future.done():
                failure = Temporary if passing else Permanent
                awaited.future.set_exception(failure(f"{self.endpoint} refuses: {reason}"))
        elif awaited is not None:
            if kind != Type.MULTIPART_REPLY:
                awaited.parts.append(body)
            else:
                awaited.parts.append(body[8:])
                if struct.unpack_from("!H", body, 2)[0] & 1:  # more to come (section 7.3.5)
                    return
            if not awaited.future.done():
                awaited.future.set_result(awaited.parts)


def _cut(buffer: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Type, transaction id and body of each whole message at the buffer's beginning; takes them out of it.

    Raises:
        Temporary: what comes is not OpenFlow.
    """
    at = 0
    while len(buffer) - at >= wire.HEADER.size:
        _version, kind, length, xid = wire.HEADER.unpack_from(buffer, at)
        if length < wire.HEADER.size:
            raise Temporary("the switch sends something that is not OpenFlow")
        if len(buffer) - at < length:
            break
        yield kind, xid, bytes(buffer[at + wire.HEADER.size : at + length])
        at += length
    del buffer[:at]
