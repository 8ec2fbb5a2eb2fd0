"""The Open vSwitch Database protocol (OVSDB, RFC 7047): JSON-RPC 1.0 over a unix socket, TCP or TLS.

Only what a switch driver needs: transactions, liveness in both directions, and the notations of section 5.1. Messages
follow each other on the stream without a delimiter (section 4), so `Framer` finds their ends.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ironlane.model.errors import Permanent, Temporary

Operation = Mapping[str, Any]
"""One database operation (RFC 7047, section 5.2): `{"op": "select", "table": …}`."""

MESSAGE_LIMIT = 64 * 1024 * 1024
"""Octets of the largest message accepted; a whole Open vSwitch database with 5000 ports stays under 10 MB."""

PROBE_INTERVAL = 5.0
"""Seconds of silence after which the peer is probed with an echo; after as long again it counts as gone."""

_TEMPORARY = frozenset({"timed out", "resources exhausted", "I/O error", "not owner", "canceled", "aborted"})
"""Errors that may pass (RFC 7047, sections 3.1 and 5.2.6): a wait whose condition did not come true, a full disk, …"""


# --- notations (RFC 7047, section 5.1) -------------------------------------------------------------------------------


def uuid_of(row: str) -> list[str]:
    """`<uuid>`: a row that exists."""
    return ["uuid", row]


def named(name: str) -> list[str]:
    """`<named-uuid>`: a row that this transaction inserts with `uuid-name`."""
    return ["named-uuid", name]


def to_set(atoms: Iterable[object]) -> list[object]:
    """`<set>`, always in its long form."""
    return ["set", list(atoms)]


def to_map(pairs: Mapping[str, str]) -> list[object]:
    """`<map>` of strings, keys in order."""
    return ["map", [[key, pairs[key]] for key in sorted(pairs)]]


def atoms(value: Any) -> list[Any]:
    """The members of a `<set>` column as it was received: a bare atom stands for a set of one. UUIDs become strings."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return [_atom(member) for member in value[1]]
    return [_atom(value)]


def pairs(value: Any) -> dict[str, str]:
    """A `<map>` column of strings as it was received."""
    return {str(key): str(member) for key, member in value[1]}


def _atom(value: Any) -> Any:
    return value[1] if isinstance(value, list) and len(value) == 2 and value[0] == "uuid" else value


# --- messages --------------------------------------------------------------------------------------------------------


def encode(message: Mapping[str, Any]) -> str:
    """A JSON-RPC message as it goes on the wire, without optional white space."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def transact_message(database: str, operations: Sequence[Operation], request_id: str | int) -> str:
    """The exact text of a `transact` request (RFC 7047, section 4.1.3)."""
    return encode({"method": "transact", "params": [database, *operations], "id": request_id})


class Framer:
    """Cuts a stream of octets into JSON objects.

    Only braces outside strings count. What is incomplete waits for the next `feed`.
    """

    _TO_BRACE = re.compile(rb'(?:[^{}"]++|"(?:[^"\\]|\\.)*+")*+([{}])', re.DOTALL)
    """Everything up to the next brace outside strings; no match while a string's end has not arrived."""

    def __init__(self, limit: int = MESSAGE_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0
        self._depth = 0

    def feed(self, octets: bytes) -> list[bytes]:
        """The messages that are complete now, in order.

        Raises:
            Temporary: a message is longer than the limit, or the stream is not made of objects.
        """
        self._buffer += octets
        messages = []
        while (end := self._next_end()) is not None:
            messages.append(bytes(self._buffer[:end]))
            del self._buffer[:end]
            self._scanned = 0
        if len(self._buffer) > self._limit:
            raise Temporary(f"OVSDB server sends a message of more than {self._limit} octets")
        return messages

    def _next_end(self) -> int | None:
        while found := self._TO_BRACE.match(self._buffer, self._scanned):
            self._scanned = found.end()
            self._depth += 1 if found[1] == b"{" else -1
            if self._depth < 0:
                raise Temporary("OVSDB server sends something that is not a JSON object")
            if self._depth == 0:
                return self._scanned
        return None


# --- the session -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an OVSDB server listens: `path` of a unix socket, or `host` and `port` with or without TLS."""

    path: str | None = None
    host: str = ""
    port: int = 6640
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    """The name that the server's certificate must carry, where it is not `host`."""

    def __str__(self) -> str:
        scheme = "ssl" if self.tls else "tcp"
        return f"unix:{self.path}" if self.path else f"{scheme}:{self.host}:{self.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection. Raises: OSError, ssl.SSLError."""
        if self.path:
            return await asyncio.open_unix_connection(self.path)
        name = (self.server_name or self.host) if self.tls else None
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls, server_hostname=name)


class Session:
    """One conversation with one OVSDB server.

    Connects on first use and again after a failure; a request that was under way when the connection broke is not
    repeated, because it may have been done. Echo requests of the server are answered at any time.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        database: str = "Open_vSwitch",
        timeout: float = 30.0,
        probe_interval: float = PROBE_INTERVAL,
    ) -> None:
        """Connects nowhere yet. `timeout` is in seconds per request, connecting included."""
        self.endpoint = endpoint
        self.database = database
        self.timeout = timeout
        self._probe_interval = probe_interval
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._pending: dict[str | int, asyncio.Future[Mapping[str, Any]]] = {}
        self._last_id = 0
        self._connecting = asyncio.Lock()

    async def transact(
        self, operations: Sequence[Operation], *, request_id: str | None = None, timeout: float | None = None
    ) -> list[dict[str, Any]]:
        """Do the operations in one transaction: all of them or none (RFC 7047, section 4.1.3).

        `request_id` is the JSON-RPC id, where the caller has to know the exact message beforehand. Returns one result
        object per operation.

        Raises:
            Temporary: no connection, no answer within `timeout` seconds, or a condition that may pass.
            Permanent: the server refuses an operation (unknown column, broken constraint, …).
        """
        self._last_id += 1
        ident = self._last_id if request_id is None else request_id
        text = transact_message(self.database, operations, ident)
        reply = await self._request(ident, text, self.timeout if timeout is None else timeout)
        if reply.get("error") is not None:
            raise _failure(reply["error"], "", "transact")
        results = reply.get("result")
        if not isinstance(results, list):
            raise Temporary(f"{self.endpoint}: malformed answer to a transaction")
        for index, result in enumerate(results):
            if isinstance(result, dict) and "error" in result:
                # An extra result after those of the operations tells what the commit as a whole ran into.
                where = _describe(operations[index]) if index < len(operations) else "commit"
                raise _failure(result["error"], str(result.get("details", "")), where)
        if len(results) != len(operations) or not all(isinstance(result, dict) for result in results):
            raise Temporary(f"{self.endpoint}: an answer with {len(results)} results to {len(operations)} operations")
        return results

    async def close(self) -> None:
        """End the conversation; requests under way fail. The session may be used again afterwards."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
        await self._hang_up()

    async def _request(self, ident: str | int, text: str, timeout: float) -> Mapping[str, Any]:
        if ident in self._pending:
            raise Temporary(f"{self.endpoint}: request {ident!r} is still under way")
        try:
            async with asyncio.timeout(timeout):
                writer = await self._connected()
                future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
                self._pending[ident] = future
                writer.write(text.encode())
                await writer.drain()
                return await future
        except asyncio.CancelledError:
            if self._writer is not None:
                self._writer.transport.abort()
            raise
        except TimeoutError as error:
            # A late answer must not meet a later request, so the conversation starts afresh.
            await self.close()
            raise Temporary(f"{self.endpoint}: no answer within {timeout:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise Permanent(f"{self.endpoint}: the server's certificate is not trusted: {error}") from error
        except OSError as error:
            await self.close()
            raise Temporary(f"{self.endpoint}: {error}") from error
        finally:
            unread = self._pending.pop(ident, None)
            if unread is not None and unread.done() and not unread.cancelled():
                unread.exception()  # the write failed first, and told the same

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            alive = self._reading is not None and not self._reading.done()
            if alive and self._writer is not None and not self._writer.transport.is_closing():
                return self._writer
            await self.close()
            reader, self._writer = await self.endpoint.connect()
            self._reading = asyncio.create_task(self._read(reader, self._writer), name=f"ovsdb {self.endpoint}")
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer, probing, reason = Framer(), False, "the server closed the connection"
        try:
            while True:
                try:
                    octets = await asyncio.wait_for(reader.read(256 * 1024), self._probe_interval)
                except TimeoutError:
                    if probing:
                        reason = f"no sign of life for {2 * self._probe_interval:g} s"
                        break
                    writer.write(encode({"method": "echo", "params": [], "id": "echo"}).encode())
                    probing = True
                    continue
                if not octets:
                    break
                probing = False
                for message in framer.feed(octets):
                    self._handle(json.loads(message), writer)
        except (OSError, ValueError, Temporary) as error:
            reason = str(error)
        finally:
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(Temporary(f"{self.endpoint}: {reason}"))
            writer.close()

    def _handle(self, message: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        if message.get("method") == "echo":
            reply = {"result": message.get("params", []), "error": None, "id": message.get("id")}
            writer.write(encode(reply).encode())
        elif "method" not in message:
            ident = message.get("id")
            future = self._pending.get(ident) if isinstance(ident, str | int) else None
            if future is not None and not future.done():
                future.set_result(message)

    async def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _describe(operation: Operation) -> str:
    return " ".join(str(part) for part in (operation.get("op"), operation.get("table"), operation.get("where")) if part)


def _failure(error: object, details: str, where: str) -> Temporary | Permanent:
    """An error object of the server in our terms."""
    if isinstance(error, Mapping):
        details = details or str(error.get("details", ""))
        error = error.get("error", "unknown error")
    message = f"OVSDB {where}: {error}" + (f": {details}" if details else "")
    return Temporary(message) if error in _TEMPORARY else Permanent(message)


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """TLS as the driver's options ask for it; None for plain TCP.

    Options: `tls` (bool), `tls_ca` (file of trusted certificates; default: the system's), `tls_certificate` and
    `tls_key` (files, our own certificate), `tls_verify` (bool, default true; false accepts any server).

    Raises:
        Permanent: a file cannot be read or is not what it should be.
    """
    if not options.get("tls"):
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("tls_ca"))
        if certificate := options.get("tls_certificate"):
            context.load_cert_chain(certificate, options.get("tls_key"))
    except (OSError, ssl.SSLError) as error:
        raise Permanent(f"TLS files of the switch cannot be used: {error}") from error
    if options.get("tls_verify", True) is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
