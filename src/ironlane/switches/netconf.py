"""A NETCONF client session: RFC 6241 (protocol) and RFC 6242 (over SSH), on asyncssh and lxml.

The session knows the protocol and no data model. Several RPCs may be under way: they are answered in the order in which
they were sent (RFC 6241 section 4.5). It keeps its connection until it is closed or fails; after a failure (`is_open`
False) the owner opens a new one.

What goes wrong is said in Ironlane's terms: `Temporary` for a switch that cannot be reached, is locked by somebody
else or answers too late, `Permanent` for what it refuses and for a login or host key that is not accepted. Passwords
and passphrases appear in neither.

Options of `Access.options` that concern the session: those of `ironlane.switches.ssh`, and `max_message`, the longest
message accepted from the switch, in bytes (default 16 MiB).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncssh
from lxml import etree

from ironlane.model.errors import Permanent, Temporary
from ironlane.switches import ssh
from ironlane.switches.base import Access

BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
"""The namespace of all protocol elements, in both versions of the protocol (RFC 6241 section 3.1)."""

PORT = 830
OPTIONS = ssh.OPTIONS | {"max_message"}

_CAPABILITY = "urn:ietf:params:netconf:capability:"
_BASE_1_0 = "urn:ietf:params:netconf:base:1.0"
_BASE_1_1 = "urn:ietf:params:netconf:base:1.1"
_HELLO = (
    f'<hello xmlns="{BASE}"><capabilities>'
    f"<capability>{_BASE_1_0}</capability><capability>{_BASE_1_1}</capability>"
    "</capabilities></hello>"
).encode()
_MAX_MESSAGE = 16 * 1024 * 1024

_BUSY = frozenset({"lock-denied", "in-use", "resource-denied"})
"""Error tags (RFC 6241 appendix A) that pass by themselves."""


class MessageTooLong(Exception):
    """The peer's message is longer than we are willing to hold."""


class Framing:
    """Where messages begin and end on the SSH channel (RFC 6242 section 4). Pure: bytes in, messages out.

    A session starts with end-of-message framing and goes over to chunks (`chunked = True`) after the hellos if both
    sides speak base:1.1.
    """

    _END = b"]]>]]>"

    def __init__(self, limit: int = _MAX_MESSAGE) -> None:
        self.chunked = False
        self._limit = limit
        self._buffer = bytearray()
        self._chunks = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive."""
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next whole message, or None until more bytes have arrived.

        Raises:
            MessageTooLong: it exceeds the limit.
            ValueError: the bytes are not valid chunks.
        """
        return self._next_chunked() if self.chunked else self._next_delimited()

    def encode(self, message: bytes) -> bytes:
        """A message as it goes onto the wire."""
        if self.chunked:
            return b"\n#%d\n%b\n##\n" % (len(message), message)
        return message + self._END

    def _next_delimited(self) -> bytes | None:
        end = self._buffer.find(self._END, self._searched)
        if max(end, len(self._buffer) if end < 0 else 0) > self._limit:
            raise MessageTooLong
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(self._END))
            return None
        message = bytes(self._buffer[:end])
        del self._buffer[: end + len(self._END)]
        self._searched = 0
        return message

    def _next_chunked(self) -> bytes | None:
        while True:
            head = self._buffer.find(b"\n", 2)
            if head < 0:
                if len(self._buffer) > 13:  # "\n#" and a ten-digit size
                    raise ValueError("chunk header without an end")
                return None
            if self._buffer[:2] != b"\n#":
                raise ValueError("chunk does not begin with LF HASH")
            size_text = bytes(self._buffer[2:head])
            if size_text == b"#":
                message = bytes(self._chunks)
                self._chunks.clear()
                del self._buffer[: head + 1]
                return message
            if not size_text.isdigit() or size_text.startswith(b"0"):
                raise ValueError("chunk size is not a positive number")
            size = int(size_text)
            if len(self._chunks) + size > self._limit:
                raise MessageTooLong
            if len(self._buffer) < head + 1 + size:
                return None
            self._chunks += self._buffer[head + 1 : head + 1 + size]
            del self._buffer[: head + 1 + size]


@dataclass(frozen=True, slots=True)
class RpcError:
    """One <rpc-error> of severity "error" (RFC 6241 section 4.3)."""

    tag: str
    message: str = ""
    path: str = ""
    app_tag: str = ""
    session: str = ""
    """Of lock-denied: who holds the lock; "0" when it is no NETCONF session."""

    def __str__(self) -> str:
        parts = [self.message or "no message", f"error-tag {self.tag}"]
        if self.app_tag:
            parts.append(f"error-app-tag {self.app_tag}")
        if self.path:
            parts.append(f"at {self.path}")
        if self.session:
            parts.append(f"held by session {self.session}")
        return ", ".join(parts)


class Reply(NamedTuple):
    """What came back for one RPC: errors, or the <rpc-reply> element."""

    errors: tuple[RpcError, ...]
    element: etree._Element


def parse_xml(message: bytes) -> etree._Element:
    """A message of the peer as XML: no DTD, no entities, no network, no huge trees.

    Raises:
        ValueError: not well-formed, or it has a document type.
    """
    if b"<!DOCTYPE" in message:
        raise ValueError("a document type is not allowed in NETCONF (RFC 6241 section 3)")
    parser = etree.XMLParser(
        encoding="utf-8",  # the only encoding of NETCONF
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(message.strip(), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"malformed XML: {error}") from None


def parse_reply(root: etree._Element) -> Reply:
    """Sort out the errors of an <rpc-reply>; warnings are no errors."""
    errors = []
    for element in root.iterfind(f"{{{BASE}}}rpc-error"):
        if _text(element, "error-severity") == "warning":
            continue
        errors.append(
            RpcError(
                tag=_text(element, "error-tag") or "operation-failed",
                message=_text(element, "error-message"),
                path=_text(element, "error-path"),
                app_tag=_text(element, "error-app-tag"),
                session=_text(element, "error-info", "session-id"),
            )
        )
    return Reply(tuple(errors), root)


def _text(element: etree._Element, *path: str) -> str:
    found = element.findtext("/".join(f"{{{BASE}}}{name}" for name in path))
    return " ".join(found.split()) if found else ""


@dataclass(slots=True)
class Question:
    """An RPC that was sent, and what came back for it."""

    message_id: str
    answer: bytes | None = None


class NetconfSession:
    """One NETCONF session, opened with `open`, and used by one task at a time.

    `session_id` is the switch's number for the session, `capabilities` are the URIs of its hello.
    """

    def __init__(self, access: Access, connection: Any, stdin: Any, stdout: Any) -> None:
        self.session_id = ""
        self.capabilities: frozenset[str] = frozenset()
        self._who = f"switch {access.switch}"
        self._timeout = access.timeout
        self._connection = connection
        self._stdin = stdin
        self._stdout = stdout
        self._framing = Framing(int(access.options.get("max_message", _MAX_MESSAGE)))
        self._message_ids = itertools.count(1)
        self._unanswered: deque[Question] = deque()
        self._usable = True

    @classmethod
    async def open(cls, access: Access) -> NetconfSession:
        """Connect, log in, start the `netconf` subsystem and exchange hellos, within `access.timeout` seconds.

        Raises:
            Temporary: the switch cannot be reached, or does not answer in time.
            Permanent: host key or login are not accepted, or what answers does not speak NETCONF.
        """
        try:
            async with asyncio.timeout(access.timeout):
                connection = await ssh.connect(access, PORT)
                try:
                    stdin, stdout, _ = await connection.open_session(subsystem="netconf", encoding=None)
                    session = cls(access, connection, stdin, stdout)
                    await session._exchange_hellos()
                except BaseException:
                    connection.abort()
                    raise
        except TimeoutError:
            raise Temporary(f"switch {access.switch}: no NETCONF session within {access.timeout:g} s") from None
        except (asyncssh.Error, OSError) as error:
            raise Temporary(f"switch {access.switch}: no NETCONF over SSH: {error}") from error
        return session

    @property
    def is_open(self) -> bool:
        """No failure so far, and the switch has not hung up."""
        return self._usable and not self._stdout.at_eof()

    def supports(self, name: str, *versions: str) -> bool:
        """The switch advertised the capability, such as ``supports("validate", "1.0", "1.1")``."""
        return any(f"{_CAPABILITY}{name}:{version}" in self.capabilities for version in versions)

    def ask(self, *bodies: str) -> list[Question]:
        """Send operations (each the content of an <rpc>), all at once, without waiting for their replies.

        Raises:
            Temporary: the session is lost.
        """
        questions = [Question(str(next(self._message_ids))) for _ in bodies]
        envelopes = (
            f'<rpc xmlns="{BASE}" message-id="{question.message_id}">\n{body}\n</rpc>'
            for question, body in zip(questions, bodies, strict=True)
        )
        with self._ending_at_failure():
            self._stdin.write(b"".join(self._framing.encode(envelope.encode()) for envelope in envelopes))
        self._unanswered.extend(questions)
        return questions

    async def reply(self, question: Question) -> Reply:
        """Wait for the reply to an operation, errors included.

        Any failure to get a proper reply, and cancellation, ends the session: what the switch says later would be
        taken for the answer to another question.

        Raises:
            Temporary: the session is lost, or there is no answer within the timeout.
            Permanent: the answer is longer than `max_message`.
        """
        return parse_reply(self._understood(question, await self._answer(question)))

    async def reply_unless_same(self, question: Question, known: bytes) -> tuple[bytes, etree._Element | None]:
        """Wait for a reply that is long and seldom new: returns its digest, and the <rpc-reply> unless that is the
        `known` digest. Parsing a switch's configuration costs much more than comparing it.

        Raises:
            Temporary, Permanent: see `rpc`.
        """
        answer = await self._answer(question)
        # All but the message-id, which has to be the one that was asked with.
        before, own, after = answer.partition(b'message-id="%b"' % question.message_id.encode())
        digest = hashlib.blake2b(before + b"\0" + after, digest_size=16).digest() if own else b""
        if own and digest == known:
            return digest, None
        reply = parse_reply(self._understood(question, answer))
        if reply.errors:
            raise self.refusal(reply.errors)
        return digest, reply.element

    async def call(self, body: str) -> Reply:
        """Send one operation and wait for its reply, errors included; see `reply`."""
        (question,) = self.ask(body)
        return await self.reply(question)

    async def _answer(self, question: Question) -> bytes:
        """What came back for a question; answers to those before it are kept for whoever waits for them."""
        with self._ending_at_failure():
            async with asyncio.timeout(self._timeout):
                while question.answer is None:
                    message = await self._read_message()
                    self._unanswered.popleft().answer = message
        return question.answer

    def _understood(self, question: Question, answer: bytes) -> etree._Element:
        """What came back, as the <rpc-reply> to that question."""
        with self._ending_at_failure():
            root = parse_xml(answer)
            if root.tag != f"{{{BASE}}}rpc-reply" or root.get("message-id") != question.message_id:
                raise ValueError(f"expected the reply to message {question.message_id}, got {root.tag} of another")
        return root

    @contextlib.contextmanager
    def _ending_at_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.abort()
            if isinstance(error, TimeoutError):
                raise Temporary(f"{self._who}: no answer within {self._timeout:g} s") from None
            if isinstance(error, MessageTooLong):
                raise Permanent(f"{self._who}: its answer is longer than `max_message` allows") from None
            if isinstance(error, asyncssh.Error | OSError | EOFError | ValueError):
                raise Temporary(f"{self._who}: NETCONF session lost: {error}") from error
            raise

    async def rpc(self, *bodies: str) -> None:
        """Send operations, all at once, that are to be carried out: whatever one of them says, those behind it are
        carried out as well. See `reply`.

        Raises:
            Temporary: also when what was asked for is locked or in use.
            Permanent: also when the switch refuses one of them: the first that it refuses.
        """
        replies = [await self.reply(question) for question in self.ask(*bodies)]
        for reply in replies:
            if reply.errors:
                raise self.refusal(reply.errors)

    def refusal(self, errors: tuple[RpcError, ...]) -> Temporary | Permanent:
        """The exception for errors of a reply: temporary only if all of them pass by themselves."""
        text = f"{self._who}: " + "; ".join(str(error) for error in errors)
        return Temporary(text) if all(error.tag in _BUSY for error in errors) else Permanent(text)

    async def close(self) -> None:
        """End the session politely (close-session), or at once if it is broken."""
        if self.is_open:
            with contextlib.suppress(Temporary, Permanent):  # if it is gone, that is what we want
                await self.call("<close-session/>")
        self._usable = False
        self._connection.close()
        try:
            async with asyncio.timeout(self._timeout):
                await self._connection.wait_closed()
        except TimeoutError:
            self._connection.abort()

    def abort(self) -> None:
        """Drop the connection at once. The switch then ends the session, frees its locks and undoes an unconfirmed
        commit (RFC 6241 sections 7.5 and 8.4)."""
        self._usable = False
        self._connection.abort()

    async def _exchange_hellos(self) -> None:
        self._stdin.write(self._framing.encode(_HELLO))
        try:
            root = parse_xml(await self._read_message())
        except EOFError as error:
            raise Temporary(f"{self._who}: the NETCONF subsystem ended: {error}") from error
        except (ValueError, MessageTooLong) as error:
            raise Permanent(f"{self._who}: what answers is not a NETCONF server: {error}") from error
        found = root.iterfind(f"{{{BASE}}}capabilities/{{{BASE}}}capability")
        self.capabilities = frozenset((element.text or "").strip() for element in found)
        self.session_id = _text(root, "session-id")
        if root.tag != f"{{{BASE}}}hello" or not self.session_id:
            raise Permanent(f"{self._who}: no proper NETCONF hello (RFC 6241 section 8.1)")
        if _BASE_1_1 in self.capabilities:
            self._framing.chunked = True
        elif _BASE_1_0 not in self.capabilities:
            raise Permanent(f"{self._who}: speaks neither base:1.0 nor base:1.1 of NETCONF")

    async def _read_message(self) -> bytes:
        while (message := self._framing.next_message()) is None:
            data = await self._stdout.read(65536)
            if not data:
                raise EOFError("the switch closed the channel")
            self._framing.feed(data)
        return message
