"""An SSH server with one account: what the lab's command lines and NETCONF servers are built on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncssh

_FORM: dict[str, Any] = {
    "kex_algs": ["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"],
    "encryption_algs": ["aes128-gcm@openssh.com", "aes128-ctr", "aes256-ctr"],
    "compression_algs": ["none"],
}
"""What is quick to agree on: many switches share a processor."""


class SshServer:
    """Listens on 127.0.0.1. What is spoken there is its heirs': they say when a session began and when it ended."""

    def __init__(self, port: int, username: str, password: str, host_key: asyncssh.SSHKey | None) -> None:
        self.port = port
        """Once it listens: the port number, also for later starts."""
        self._credentials = (username, password)
        self._key = host_key or asyncssh.generate_private_key("ssh-ed25519")
        self._listener: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._open = 0
        self._no_sessions = asyncio.Event()
        self._no_sessions.set()

    @property
    def host_key(self) -> str:
        """The server's public key, in OpenSSH form."""
        return str(self._key.export_public_key().decode().strip())

    def drop(self) -> None:
        """Break all connections."""
        for connection in list(self._connections):
            connection.abort()

    async def sessions_ended(self) -> None:
        """Wait until no session is left, and what sessions leave behind is cleared away."""
        await self._no_sessions.wait()

    async def _listen(self, accepts_logins: Callable[[], bool], **form: Any) -> None:
        """`form` are options of `asyncssh.create_server`: what is done in a session, and how its text is coded."""
        self._listener = await asyncssh.create_server(
            lambda: _Login(self._credentials, self._connections, accepts_logins),
            "127.0.0.1",
            self.port,
            server_host_keys=[self._key],
            **form,
            **_FORM,
        )
        self.port = self._listener.get_port()

    async def _go_silent(self) -> None:
        """As a switch that loses power: nobody listens, and connections break."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
            self._listener = None
        self.drop()
        for connection in list(self._connections):
            await connection.wait_closed()
        await self.sessions_ended()

    def _session_began(self) -> None:
        self._open += 1
        self._no_sessions.clear()

    def _session_ended(self) -> None:
        self._open -= 1
        if not self._open:
            self._no_sessions.set()


class _Login(asyncssh.SSHServer):
    """Password authentication against one account."""

    def __init__(
        self,
        credentials: tuple[str, str],
        connections: set[asyncssh.SSHServerConnection],
        accepts_logins: Callable[[], bool],
    ) -> None:
        self._credentials = credentials
        self._accepts_logins = accepts_logins
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._connection is not None:
            self._connections.discard(self._connection)

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return self._accepts_logins() and (username, password) == self._credentials
