"""A BMC that speaks IPMI 2.0 over LAN (RMCP+) for one virtual server; `ipmitool` drives it like any other.

It runs on the event loop, on a UDP port of 127.0.0.1, and closes without a trace. pyghmi's `Bmc` class was tried first:
its sockets and its thread are globals that nothing closes, it has only SHA-1, it says nothing to an unknown user, and
it forgets whether a boot device is persistent.

Source: IPMI 2.0 rev. 1.1: 13.6–13.8 (packets), 13.17–13.24 (open session, RAKP), 13.28–13.32 (keys, algorithms),
22.13 and 22.15 (channel capabilities), 28 (chassis commands).
"""

from __future__ import annotations

import asyncio
import hmac
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ironlane.lab.machine import Machine

Address = tuple[str, int]

_RMCP = b"\x06\x00\xff\x07"  # version 1.0, no acknowledgement, class IPMI
_RMCP_PLUS = 0x06  # authentication type that announces the format of IPMI 2.0
_IPMI, _OPEN_REQUEST, _OPEN_RESPONSE, _RAKP1, _RAKP2, _RAKP3, _RAKP4 = 0x00, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15
_ENCRYPTED, _AUTHENTICATED = 0x80, 0x40
_ADMINISTRATOR, _OPERATOR = 4, 3
_MOST_SESSIONS = 16

_APPLICATION, _CHASSIS = 0x06, 0x00
_OK, _BAD_LENGTH, _UNKNOWN_PARAMETER, _UNKNOWN_COMMAND, _BAD_DATA, _NO_PRIVILEGE = 0x00, 0xC7, 0x80, 0xC1, 0xCC, 0xD4
_PRIVILEGE_EXCEEDED = 0x81
_BOOT_FLAGS = 5
_PXE, _DISK = 1, 2

# Status codes of RMCP+ and RAKP messages (table 13-15).
_INVALID_SESSION, _NO_CIPHER_SUITE, _UNKNOWN_NAME, _BAD_INTEGRITY = 0x02, 0x11, 0x0D, 0x0F


@dataclass(frozen=True)
class _Suite:
    """A cipher suite: RAKP-HMAC, integrity, and AES-CBC-128 (tables 13-17 to 13-19 and 22-20)."""

    ident: int
    authentication: int
    integrity: int
    digest: str
    code_length: int

    @property
    def record(self) -> bytes:
        return bytes([0xC0, self.ident, self.authentication, 0x40 | self.integrity, 0x80 | 0x01])

    def mac(self, key: bytes, data: bytes) -> bytes:
        return hmac.new(key, data, self.digest).digest()

    def code(self, key: bytes, data: bytes) -> bytes:
        return self.mac(key, data)[: self.code_length]


_SUITES = {1: _Suite(3, 1, 1, "sha1", 12), 3: _Suite(17, 3, 4, "sha256", 16)}
"""By authentication algorithm."""


@dataclass
class _Session:
    suite: _Suite
    console: bytes
    """The client's session ID: what we put into packets to it."""
    managed: bytes
    """Our session ID: what the client puts into packets to us."""
    most_privilege: int
    privilege: int = 2
    random_console: bytes = b""
    random_managed: bytes = b""
    role_and_name: bytes = b""
    password: bytes = b""
    integrity_key: bytes = b""
    k1: bytes = b""
    aes_key: bytes = b""
    active: bool = False
    sequence: int = 0
    answered: dict[bytes, bytes | None] = field(default_factory=dict)
    """The last request's header and what was answered: a repeated request is not carried out twice."""


class IpmiBmc(asyncio.DatagramProtocol):
    """The BMC of one machine, for one user with administrator rights.

    Set `hang` to make it ignore everything, `ignore_power` to acknowledge power commands without carrying them out.
    """

    def __init__(self, machine: Machine, username: str, password: str, *, suites: tuple[int, ...] = (3, 17)) -> None:
        self.machine = machine
        self.username = username
        self.password = password
        self.hang = False
        self.ignore_power = False
        self.uefi = False
        """Whether the boot flags ask for UEFI."""
        self._suites = {algorithm: suite for algorithm, suite in _SUITES.items() if suite.ident in suites}
        self._guid = uuid.uuid4().bytes
        self._sessions: dict[bytes, _Session] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._closed: asyncio.Future[None] | None = None
        self._commands: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1 (never elsewhere: passwords of a lab are no secrets); 0 takes any free port."""
        loop = asyncio.get_running_loop()
        self._closed = loop.create_future()
        await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", port))

    async def stop(self) -> None:
        """Close the socket and forget the sessions."""
        for task in self._commands:
            task.cancel()
        await asyncio.gather(*self._commands, return_exceptions=True)
        self._sessions.clear()
        if self._transport is not None and self._closed is not None:
            self._transport.close()
            await self._closed
            self._transport = None

    @property
    def port(self) -> int:
        """The UDP port; only after `start`."""
        if self._transport is None:
            raise RuntimeError(f"the BMC of {self.machine.name} is not running")
        return cast(Address, self._transport.get_extra_info("sockname"))[1]

    # --- packets

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Whatever is malformed is dropped in silence, as the specification asks."""
        if self.hang or data[:4] != _RMCP or len(data) < 16:
            return
        try:
            if data[4] == _RMCP_PLUS:
                self._rmcp_plus(data, addr)
            else:
                self._sessionless(data[14 : 14 + data[13]], addr, b"\x00" * 9)
        except (IndexError, ValueError):
            return

    def _rmcp_plus(self, data: bytes, address: Address) -> None:
        kind, length = data[5], int.from_bytes(data[14:16], "little")
        payload = data[16 : 16 + length]
        handshake = {_OPEN_REQUEST: self._open, _RAKP1: self._rakp1, _RAKP3: self._rakp3}.get(kind)
        if handshake is not None:
            answer = handshake(payload)
            if answer is not None:
                self._send(_header(answer[0], b"\x00" * 8, len(answer[1])) + answer[1], address)
            return
        if kind == _IPMI:
            self._sessionless(payload, address, None)
            return
        session = self._sessions.get(data[6:10])
        if session is None or not session.active or kind != _IPMI | _ENCRYPTED | _AUTHENTICATED:
            return
        signed, code = data[4 : -session.suite.code_length], data[-session.suite.code_length :]
        if hmac.compare_digest(code, session.suite.code(session.k1, signed)):
            self._in_session(session, _decrypt(session.aes_key, payload), address)

    def _send(self, data: bytes, address: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(_RMCP + data, address)

    def _send_in_session(self, session: _Session, message: bytes, address: Address) -> None:
        session.sequence += 1
        encrypted = _encrypt(session.aes_key, message)
        packet = _header(
            _IPMI | _ENCRYPTED | _AUTHENTICATED,
            session.console + session.sequence.to_bytes(4, "little"),
            len(encrypted),
        )
        packet += encrypted
        padding = -(len(packet) + 2) % 4
        packet += b"\xff" * padding + bytes([padding, 0x07])
        self._send(packet + session.suite.code(session.k1, packet), address)

    # --- opening a session

    def _open(self, request: bytes) -> tuple[int, bytes]:
        tag, privilege, console = request[0], request[1] & 0x0F, request[4:8]
        suite = self._suites.get(request[12])
        if suite is None or request[20] != suite.integrity or request[28] != 1:
            return _OPEN_RESPONSE, bytes([tag, _NO_CIPHER_SUITE, 0, 0]) + console
        while len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = _Session(suite, console, os.urandom(4), privilege or _ADMINISTRATOR)
        self._sessions[session.managed] = session
        algorithms_taken = b"".join(
            bytes([kind, 0, 0, 8, algorithm, 0, 0, 0])
            for kind, algorithm in enumerate((suite.authentication, suite.integrity, 1))
        )
        head = bytes([tag, 0, session.most_privilege, 0])
        return _OPEN_RESPONSE, head + console + session.managed + algorithms_taken

    def _rakp1(self, request: bytes) -> tuple[int, bytes]:
        session = self._sessions.get(request[4:8])
        if session is None:
            return _RAKP2, bytes([request[0], _INVALID_SESSION, 0, 0]) + b"\x00" * 4
        role, name = request[24], request[28 : 28 + request[27]]
        if name != self.username.encode():
            return _RAKP2, bytes([request[0], _UNKNOWN_NAME, 0, 0]) + session.console
        session.random_console, session.random_managed = request[8:24], os.urandom(16)
        session.role_and_name = bytes([role, len(name)]) + name
        session.most_privilege = min(role & 0x0F, _ADMINISTRATOR)
        session.password = self.password.encode()
        code = session.suite.mac(
            session.password,
            session.console
            + session.managed
            + session.random_console
            + session.random_managed
            + self._guid
            + session.role_and_name,
        )
        head = bytes([request[0], 0, 0, 0]) + session.console
        return _RAKP2, head + session.random_managed + self._guid + code

    def _rakp3(self, request: bytes) -> tuple[int, bytes] | None:
        session = self._sessions.get(request[4:8])
        if session is None or not session.random_managed:
            return _RAKP4, bytes([request[0], _INVALID_SESSION, 0, 0]) + b"\x00" * 4
        if request[1]:  # the client did not like our RAKP 2
            del self._sessions[session.managed]
            return None
        suite = session.suite
        expected = suite.mac(session.password, session.random_managed + session.console + session.role_and_name)
        if not hmac.compare_digest(request[8:], expected):
            del self._sessions[session.managed]
            return _RAKP4, bytes([request[0], _BAD_INTEGRITY, 0, 0]) + session.console
        session.integrity_key = suite.mac(
            session.password, session.random_console + session.random_managed + session.role_and_name
        )
        session.k1 = suite.mac(session.integrity_key, b"\x01" * 20)
        session.aes_key = suite.mac(session.integrity_key, b"\x02" * 20)[:16]
        session.active = True
        code = suite.code(session.integrity_key, session.random_console + session.managed + self._guid)
        return _RAKP4, bytes([request[0], 0, 0, 0]) + session.console + code

    # --- messages

    def _sessionless(self, message: bytes, address: Address, old_header: bytes | None) -> None:
        """The two questions that a client asks before it opens a session, in the packet format in which it asked."""
        if message[1] >> 2 != _APPLICATION:
            return
        command, data = message[5], message[6:-1]
        if command == 0x38:  # Get Channel Authentication Capabilities: IPMI 2.0 only, named users only
            answer = _answer(message, _OK, bytes([1, 0x80, 0x04, 0x02, 0, 0, 0, 0]))
        elif command == 0x54:  # Get Channel Cipher Suites, 16 bytes at a time
            records = b"".join(suite.record for suite in self._suites.values())
            start = 16 * (data[2] & 0x3F)
            answer = _answer(message, _OK, b"\x01" + records[start : start + 16])
        else:
            return
        if old_header is None:
            self._send(_header(_IPMI, b"\x00" * 8, len(answer)) + answer, address)
        else:
            self._send(old_header + bytes([len(answer)]) + answer, address)

    def _in_session(self, session: _Session, message: bytes, address: Address) -> None:
        header = message[:6]
        if header in session.answered:
            repeated = session.answered[header]
            if repeated is not None:
                self._send_in_session(session, repeated, address)
            return
        session.answered = {header: None}
        task = asyncio.create_task(self._carry_out(session, message, address))
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    async def _carry_out(self, session: _Session, message: bytes, address: Address) -> None:
        function, command, data = message[1] >> 2, message[5], message[6:-1]
        try:
            if function == _CHASSIS:
                code, result = await self._chassis(session, command, data)
            elif function == _APPLICATION:
                code, result = self._application(session, command, data)
            else:
                code, result = _UNKNOWN_COMMAND, b""
        except IndexError:
            code, result = _BAD_LENGTH, b""
        answer = _answer(message, code, result)
        session.answered[message[:6]] = answer
        self._send_in_session(session, answer, address)

    def _application(self, session: _Session, command: int, data: bytes) -> tuple[int, bytes]:
        if command == 0x01:  # Get Device ID: IPMI 2.0, a chassis device
            return _OK, bytes([0x20, 0x01, 0x01, 0x00, 0x02, 0x80]) + b"\x00" * 5
        if command == 0x3B:  # Set Session Privilege Level
            if data[0] > session.most_privilege:
                return _PRIVILEGE_EXCEEDED, b""
            session.privilege = data[0] or session.privilege
            return _OK, bytes([session.privilege])
        if command == 0x3C:  # Close Session
            self._sessions.pop(session.managed, None)
            return _OK, b""
        return _UNKNOWN_COMMAND, b""

    async def _chassis(self, session: _Session, command: int, data: bytes) -> tuple[int, bytes]:
        if command == 0x01:  # Get Chassis Status
            return _OK, bytes([self.machine.power == "on", 0, 0])
        if command == 0x09:  # Get System Boot Options
            return self._boot_options(data)
        if command not in (0x02, 0x08):
            return _UNKNOWN_COMMAND, b""
        if session.privilege < _OPERATOR:
            return _NO_PRIVILEGE, b""
        if command == 0x08:
            return self._set_boot_options(data), b""
        return await self._control(data[0] & 0x0F), b""

    async def _control(self, action: int) -> int:
        """Chassis Control: 0 power down, 1 up, 2 cycle, 3 hard reset, 5 soft shutdown."""
        machine = self.machine
        actions: dict[int, Callable[[], object]] = {
            0: machine.power_off,
            1: machine.power_on,
            2: machine.reset,
            3: machine.reset,
            5: machine.power_off,
        }
        if action not in actions:
            return _BAD_DATA
        if action in (2, 3) and machine.power == "off":
            return 0xD5  # not in the present state
        if not self.ignore_power:
            await cast("asyncio.Future[None]", actions[action]())
        return _OK

    def _boot_options(self, data: bytes) -> tuple[int, bytes]:
        if data[0] & 0x7F != _BOOT_FLAGS:
            return _UNKNOWN_PARAMETER, b""
        flags = 0x80 | (0x40 if self.machine.boot_persistent else 0) | (0x20 if self.uefi else 0)
        device = _PXE if self.machine.boot_device == "pxe" else _DISK
        return _OK, bytes([1, _BOOT_FLAGS, flags, device << 2, 0, 0, 0])

    def _set_boot_options(self, data: bytes) -> int:
        parameter = data[0] & 0x7F
        if parameter in (0, 3, 4):  # set in progress, valid bit clearing, boot info acknowledge: nothing to do here
            return _OK
        if parameter != _BOOT_FLAGS:
            return _UNKNOWN_PARAMETER
        flags, device = data[1], data[2] >> 2 & 0x0F
        self.uefi = bool(flags & 0x20)
        if not flags & 0x80 or device == 0:  # no override: this machine's own order is the disk
            self.machine.set_boot_device("disk", persistent=True)
        elif device in (_PXE, _DISK):
            self.machine.set_boot_device("pxe" if device == _PXE else "disk", persistent=bool(flags & 0x40))
        else:
            return _BAD_DATA
        return _OK


def _header(kind: int, session_and_sequence: bytes, length: int) -> bytes:
    return bytes([_RMCP_PLUS, kind]) + session_and_sequence + length.to_bytes(2, "little")


def _answer(request: bytes, code: int, data: bytes) -> bytes:
    """An IPMI message back to the requester (13.8): addresses swapped, network function plus one."""
    head = bytes([request[3], (request[1] >> 2 | 1) << 2 | request[4] & 0x03])
    body = bytes([request[0], request[4] & 0xFC | request[1] & 0x03, request[5], code]) + data
    return head + _checksum(head) + body + _checksum(body)


def _checksum(data: bytes) -> bytes:
    return bytes([-sum(data) & 0xFF])


def _encrypt(key: bytes, data: bytes) -> bytes:
    """AES-CBC-128 with the initialization vector in front and IPMI's own padding (13.29): 1, 2, 3, …, its length."""
    padding = -(len(data) + 1) % 16
    vector = os.urandom(16)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    plain = data + bytes(range(1, padding + 1)) + bytes([padding])
    return vector + encryptor.update(plain) + encryptor.finalize()


def _decrypt(key: bytes, data: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(data[:16])).decryptor()
    plain = decryptor.update(data[16:]) + decryptor.finalize()
    return plain[: -plain[-1] - 1]
