"""A NETCONF server over SSH (RFC 6241, RFC 6242) for one virtual switch."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncssh
from lxml import etree

from ironlane.lab.frames import Lldp
from ironlane.lab.netconf import datastore, lldp
from ironlane.lab.netconf.configuration import Configuration, OnRunning
from ironlane.lab.netconf.datastore import RpcFault
from ironlane.lab.netconf.schema import MODULES, NAMESPACES, NETCONF, WITH_STATE
from ironlane.lab.ssh import SshServer

_CAPABILITIES = (
    "urn:ietf:params:netconf:base:1.0",
    "urn:ietf:params:netconf:base:1.1",
    "urn:ietf:params:netconf:capability:candidate:1.0",
    "urn:ietf:params:netconf:capability:confirmed-commit:1.1",
    "urn:ietf:params:netconf:capability:rollback-on-error:1.0",
    "urn:ietf:params:netconf:capability:validate:1.1",
    *MODULES,
)
_STARTUP = "urn:ietf:params:netconf:capability:startup:1.0"
_MAX_REQUEST = 64 * 1024 * 1024
_END = b"]]>]]>"


@dataclass
class Faults:
    """What shall go wrong, by operation: "lock", "edit-config", "commit", … A commit with a time limit is
    "confirmed-commit", the one that confirms it is "commit". Change the sets at any time.
    """

    refuse: set[str] = field(default_factory=set)
    """Answered with operation-failed; "lock" with lock-denied, as if another session had it."""
    hang: set[str] = field(default_factory=set)
    """Neither carried out nor answered."""
    drop_before: set[str] = field(default_factory=set)
    """The connection breaks before the operation is carried out."""
    drop_after: set[str] = field(default_factory=set)
    """The connection breaks when it has been carried out, before the answer."""
    logins: bool = False
    """No password is accepted."""


class NetconfServer(SshServer):
    """A virtual switch's NETCONF server on 127.0.0.1. It may be stopped and started again; what runs is kept.

    `on_running(config)` gets the forwarding of all `ports` at the start and whenever the running configuration changes,
    also when an unconfirmed commit is undone. `rpc_delay` and `commit_delay` (seconds) make it as slow as a real one.
    `neighbours` tells what the ports hear by LLDP. `host_key` may be shared by many servers; without one, each makes
    its own. With `startup` it has that datastore, and forgets at a reboot what was not copied there. `commits` counts
    commits that brought a candidate into force, `edits` accepted edits.
    """

    def __init__(
        self,
        ports: Sequence[str],
        on_running: OnRunning,
        *,
        port: int = 0,
        username: str = "admin",
        password: str = "admin",  # noqa: S107 - the lab's
        host_key: asyncssh.SSHKey | None = None,
        rpc_delay: float = 0.0,
        commit_delay: float = 0.0,
        capabilities: Sequence[str] = _CAPABILITIES,
        neighbours: Callable[[], Mapping[str, Lldp]] = dict,
        startup: bool = False,
    ) -> None:
        super().__init__(port, username, password, host_key)
        self.faults = Faults()
        self.rpc_delay = rpc_delay
        self.commit_delay = commit_delay
        self.capabilities = (*capabilities, _STARTUP) if startup else tuple(capabilities)
        self.neighbours = neighbours
        self.configuration = Configuration(ports, on_running, forgets=startup)
        self.sessions: dict[int, _Session] = {}
        self._session_ids = itertools.count(1)

    @property
    def commits(self) -> int:
        return self.configuration.commits

    @property
    def edits(self) -> int:
        return self.configuration.edits

    async def start(self) -> None:
        """Listen; `port` is then the port number, also for later starts."""
        self.configuration.start()
        await self._listen(lambda: not self.faults.logins, process_factory=self._serve, encoding=None)

    async def stop(self) -> None:
        """As a switch that loses power: connections break, locks and unconfirmed commits are gone."""
        await self._go_silent()
        self.configuration.stop()

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        if process.subsystem != "netconf":
            process.exit(1)
            return
        session = _Session(self, next(self._session_ids), process)
        self.sessions[session.id] = session
        self._session_began()
        try:
            await session.run()
        except (asyncssh.Error, OSError, asyncio.IncompleteReadError):
            pass  # the client hung up
        finally:
            self.configuration.end_session(session.id)
            del self.sessions[session.id]
            self._session_ended()
            process.exit(0)


class _Session:
    """One client: hellos, then one RPC after the other until the end of the channel."""

    def __init__(self, server: NetconfServer, number: int, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.id = number
        self._server = server
        self._process = process
        self._buffer = bytearray()
        self._chunked = False
        self._closing = False

    async def run(self) -> None:
        server_hello = _element("hello")
        capabilities = _sub(server_hello, "capabilities")
        for uri in self._server.capabilities:
            _sub(capabilities, "capability", uri)
        _sub(server_hello, "session-id", str(self.id))
        self._send(server_hello)
        hello = _parse(await self._until(_END))
        spoken = {(e.text or "").strip() for e in hello.iter(f"{{{NETCONF}}}capability")}
        if hello.tag != f"{{{NETCONF}}}hello" or hello.find(f"{{{NETCONF}}}session-id") is not None:
            return  # RFC 6241 section 8.1: end the session
        self._chunked = "urn:ietf:params:netconf:base:1.1" in spoken & set(self._server.capabilities)
        while not self._closing:
            message = await (self._chunks() if self._chunked else self._until(_END))
            reply = await self._answer(_parse(message))
            if reply is not None:
                self._send(reply)

    def drop(self) -> None:
        """Break the connection."""
        self._closing = True
        self._process.get_extra_info("connection").abort()

    async def _answer(self, rpc: etree._Element) -> etree._Element | None:
        """The <rpc-reply> to a message; None if there is to be none."""
        nsmap: Any = rpc.nsmap
        reply = etree.Element(f"{{{NETCONF}}}rpc-reply", nsmap=nsmap)
        for name, value in rpc.attrib.items():
            reply.set(name, value)
        try:
            if rpc.tag != f"{{{NETCONF}}}rpc" or len(rpc) != 1:
                raise RpcFault("malformed-message", "expected <rpc> with one operation", kind="rpc")
            if "message-id" not in rpc.attrib:
                info = {"bad-attribute": "message-id", "bad-element": "rpc"}
                raise RpcFault("missing-attribute", "message-id is missing", kind="rpc", info=info)
            operation = rpc[0]
            name = _operation_name(operation)
            if name in self._server.faults.hang:
                return None
            await self._delay(name)
            if name in self._server.faults.drop_before:
                self.drop()
                return None
            if name in self._server.faults.refuse:
                raise RpcFault("lock-denied" if name == "lock" else "operation-failed", f"{name} refused by the lab")
            content = self._carry_out(operation)
            if name in self._server.faults.drop_after:
                self.drop()
                return None
        except RpcFault as fault:
            reply.append(_rpc_error(fault))
        else:
            reply.append(content)
        return reply

    async def _delay(self, name: str) -> None:
        seconds = self._server.rpc_delay
        if name in ("commit", "confirmed-commit"):
            seconds += self._server.commit_delay
        if seconds:
            await asyncio.sleep(seconds)

    def _carry_out(self, operation: etree._Element) -> etree._Element:
        handlers: dict[str, Callable[[etree._Element], etree._Element | None]] = {
            "get": self._get_state,
            "get-config": self._get,
            "lock": lambda o: self._server.configuration.lock(_datastore(o, "target"), self.id),
            "unlock": lambda o: self._server.configuration.unlock(_datastore(o, "target"), self.id),
            "edit-config": self._edit,
            "validate": lambda o: self._server.configuration.validate(_datastore(o, "source")),
            "discard-changes": lambda _: self._server.configuration.discard(self.id),
            "commit": self._commit,
            "copy-config": self._copy,
            "cancel-commit": lambda o: self._server.configuration.cancel_commit(self.id, _text(o, "persist-id")),
            "close-session": self._close,
            "kill-session": self._kill,
        }
        name = etree.QName(operation)
        handler = handlers.get(name.localname) if name.namespace == NETCONF else None
        if handler is None:
            raise RpcFault("operation-not-supported", f"no operation {name.localname}", kind="protocol")
        content = handler(operation)
        return _element("ok") if content is None else content

    def _get(self, operation: etree._Element) -> etree._Element:
        source = _datastore(operation, "source") if _child(operation, "source") is not None else "running"
        data = _element("data")
        data.extend(datastore.select(self._server.configuration.read(source), _filter(operation)))
        return data

    def _get_state(self, operation: etree._Element) -> etree._Element:
        tree = _element("data")
        tree.extend(datastore.select(self._server.configuration.read("running"), None))
        tree.append(lldp.state(self._server.neighbours()))
        data = _element("data")
        data.extend(datastore.select(tree, _filter(operation), WITH_STATE))
        return data

    def _edit(self, operation: etree._Element) -> None:
        if _datastore(operation, "target") != "candidate":
            raise RpcFault("invalid-value", "only the candidate can be edited", kind="protocol")
        config = _child(operation, "config")
        if config is None:
            raise RpcFault("missing-element", "config is missing", kind="protocol", info={"bad-element": "config"})
        self._server.configuration.edit(self.id, config, _text(operation, "default-operation") or "merge")

    def _commit(self, operation: etree._Element) -> None:
        persist_id = _text(operation, "persist-id")
        if _child(operation, "confirmed") is None:
            self._server.configuration.commit(self.id, persist_id)
            return
        timeout = _text(operation, "confirm-timeout") or "600"
        if not timeout.isdecimal() or int(timeout) < 1:
            raise RpcFault("invalid-value", f"confirm-timeout {timeout!r}", kind="protocol")
        persist = _text(operation, "persist")
        self._server.configuration.commit_confirmed(self.id, int(timeout), persist, persist_id)

    def _copy(self, operation: etree._Element) -> None:
        if not self._server.configuration.forgets:
            raise RpcFault("operation-not-supported", "there is nothing to copy to", kind="protocol")
        if (_datastore(operation, "source"), _datastore(operation, "target", "startup")) != ("running", "startup"):
            raise RpcFault("invalid-value", "only running can be copied, and only to startup", kind="protocol")
        self._server.configuration.save()

    def _close(self, _: etree._Element) -> None:
        self._closing = True

    def _kill(self, operation: etree._Element) -> None:
        number = _text(operation, "session-id")
        victim = self._server.sessions.get(int(number)) if number.isdecimal() else None
        if victim is None or victim is self:
            raise RpcFault("invalid-value", f"no other session {number!r}", kind="protocol")
        victim.drop()

    def _send(self, message: etree._Element) -> None:
        text = etree.tostring(message, xml_declaration=True, encoding="UTF-8")
        self._process.stdout.write(b"\n#%d\n%b\n##\n" % (len(text), text) if self._chunked else text + _END)

    async def _until(self, end: bytes) -> bytes:
        while (found := self._buffer.find(end)) < 0:
            await self._more()
        data = bytes(self._buffer[:found])
        del self._buffer[: found + len(end)]
        return data

    async def _chunks(self) -> bytes:
        """One message in chunked framing (RFC 6242 section 4.2)."""
        message = b""
        while True:
            if await self._until(b"\n"):
                raise OSError("a chunk begins with a line feed")
            head = await self._until(b"\n")
            if head == b"##" and message:
                return message
            if not head.startswith(b"#") or not head[1:].isdigit() or int(head[1:]) == 0:
                raise OSError("not a chunk size")
            while len(self._buffer) < int(head[1:]):
                await self._more()
            message += self._buffer[: int(head[1:])]
            del self._buffer[: int(head[1:])]

    async def _more(self) -> None:
        data = await self._process.stdin.read(65536)
        if not data or len(self._buffer) > _MAX_REQUEST:
            raise OSError("end of session")
        self._buffer += data


def _filter(operation: etree._Element) -> etree._Element | None:
    subtree = _child(operation, "filter")
    if subtree is not None and subtree.get("type", "subtree") != "subtree":
        raise RpcFault("bad-attribute", "only subtree filters are supported", kind="protocol")
    return subtree


def _parse(message: bytes) -> etree._Element:
    """Raises OSError for what is no XML: without a message-id there is nobody to answer to."""
    try:
        return etree.fromstring(message.strip(), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise OSError(f"malformed message: {error}") from None


def _operation_name(operation: etree._Element) -> str:
    name = etree.QName(operation).localname
    return "confirmed-commit" if name == "commit" and _child(operation, "confirmed") is not None else name


def _datastore(operation: etree._Element, role: str, *more: str) -> str:
    """Which datastore an operation's <source> or <target> names."""
    holder = _child(operation, role)
    if holder is None or len(holder) != 1:
        raise RpcFault("missing-element", f"{role} is missing", kind="protocol", info={"bad-element": role})
    name = etree.QName(holder[0]).localname
    if name not in ("running", "candidate", *more):
        raise RpcFault("invalid-value", f"no datastore {name}", kind="protocol")
    return name


def _rpc_error(fault: RpcFault) -> etree._Element:
    error = _element("rpc-error")
    _sub(error, "error-type", fault.kind)
    _sub(error, "error-tag", fault.tag)
    _sub(error, "error-severity", "error")
    if fault.app_tag:
        _sub(error, "error-app-tag", fault.app_tag)
    if fault.path:
        path = etree.SubElement(error, f"{{{NETCONF}}}error-path", nsmap=dict(NAMESPACES))
        path.text = fault.path
    message = _sub(error, "error-message", fault.message)
    message.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    if fault.info:
        info = _sub(error, "error-info")
        for name, text in fault.info.items():
            _sub(info, name, text)
    return error


def _element(name: str) -> etree._Element:
    nsmap: Any = {None: NETCONF}
    return etree.Element(f"{{{NETCONF}}}{name}", nsmap=nsmap)


def _sub(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    element = etree.SubElement(parent, f"{{{NETCONF}}}{name}")
    element.text = text
    return element


def _child(element: etree._Element, name: str) -> etree._Element | None:
    return element.find(f"{{{NETCONF}}}{name}")


def _text(element: etree._Element, name: str) -> str:
    return (element.findtext(f"{{{NETCONF}}}{name}") or "").strip()
