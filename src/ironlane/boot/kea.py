"""DHCP by Kea with its PostgreSQL hosts database, for many conductors: each runs a Kea, and all share the rows.

A reservation is a row, looked up at each request, so what is written is answered by every Kea from the commit on. A
change of subnets, or of options with conditions, is a new configuration, which this conductor's Kea is given over its
control socket; the others' conductors find it by looking. Rows that are not ours are never touched: ours name their
port in `user_context`. Without its database this Kea is stopped: it is not known what it would answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from ironlane.boot.daemon import Daemon, death
from ironlane.boot.kea_config import HostRow, KeaSettings, configuration, host_rows, rendered, unserved
from ironlane.model.dhcp import Answers
from ironlane.model.errors import IronlaneError, Permanent, Temporary

log = structlog.get_logger(__name__)

_LOCK = 0x69726F6E
"""Of PostgreSQL's advisory locks, the one of all that write reservations."""
_OURS = "ironlane-port"
_HOST_SCOPE = 3


class KeaEngine:
    """A `DhcpEngine`."""

    def __init__(self, settings: KeaSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._database: Any = None
        self._daemon: Daemon | None = None
        self._changed = asyncio.Event()
        self._configured = ""
        self._reason = "starting"
        self._rows = self._subnets = 0
        self._restarts = -1

    async def start(self) -> None:
        self._settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with self._lock:
            try:
                connection = await self._connected()
                await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
            except IronlaneError as error:
                self._reason = error.message
                raise
            except Exception as error:
                raise await self._lost(error) from error
            try:
                yield
            finally:
                with contextlib.suppress(Exception):
                    await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)

    async def apply(self, answers: Answers) -> None:
        """See `DhcpEngine`; to be called within `turn`. What must not be answered any more goes first, what is new
        comes last, when the configuration that it refers to is there."""
        wanted = host_rows(answers)
        try:
            present = await self._present()
            await self._remove(present, wanted)
            await self._configure(answers)
            await self._add({key: row for key, row in wanted.items() if present.get(key) != row.digest})
        except IronlaneError as error:
            self._reason = error.message
            raise
        except Exception as error:
            raise await self._lost(error) from error
        self._rows, self._subnets = len(wanted), len(answers.subnets)
        self._reason = "; ".join(unserved(answers)[:3])

    async def broken(self) -> str:
        self._reason = await death(lambda: self._daemon, self._changed)
        return self._reason

    def state(self) -> dict[str, Any]:
        status = "failing" if self._reason else "ok"
        figures = {"subnets": self._subnets, "reservations": self._rows, "restarts": max(self._restarts, 0)}
        return {"engine": "kea", "state": status, "reason": self._reason, **figures}

    async def close(self) -> None:
        if self._daemon is not None:
            await self._daemon.stop()
        if self._database is not None:
            await self._database.close()

    # --- rows ----------------------------------------------------------------------------------------------------

    async def _connected(self) -> Any:
        if self._database is not None and not self._database.is_closed():
            return self._database
        try:
            import asyncpg
        except ImportError as error:
            raise Permanent("Kea's database needs the extra `postgresql` (asyncpg)") from error
        self._database = await asyncpg.connect(self._settings.database, timeout=self._settings.timeout)
        return self._database

    async def _lost(self, error: Exception) -> Temporary:
        if self._database is not None:
            with contextlib.suppress(Exception):
                await self._database.close(timeout=1)
        self._database = None
        if self._daemon is not None:
            await self._daemon.stop()
        self._reason = f"Kea's database does not take the change: {type(error).__name__}: {error}"
        return Temporary(self._reason)

    async def _present(self) -> dict[str, str]:
        """Our rows: by port and subnet, the digest of what is in each."""
        rows = await self._database.fetch("SELECT user_context FROM hosts WHERE user_context LIKE $1", f'%"{_OURS}"%')
        found = [json.loads(row["user_context"]) for row in rows]
        return {entry[_OURS]: entry["digest"] for entry in found}

    async def _remove(self, present: Mapping[str, str], wanted: Mapping[str, HostRow]) -> None:
        """Also the leases: one that runs on would keep an address from whoever has it now."""
        gone = [key for key, digest in present.items() if key not in wanted or wanted[key].digest != digest]
        if not gone:
            return
        contexts = [_context(key, present[key]) for key in gone]
        async with self._database.transaction():
            rows = await self._database.fetch(
                "DELETE FROM hosts WHERE user_context = ANY($1) RETURNING ipv4_address, dhcp_identifier", contexts
            )
            kept = {(row.address, row.identifier) for row in wanted.values()}
            freed = [row["ipv4_address"] for row in rows if (row["ipv4_address"], row["dhcp_identifier"]) not in kept]
            await self._database.execute("DELETE FROM lease4 WHERE address = ANY($1::bigint[])", freed)

    async def _add(self, rows: Mapping[str, HostRow]) -> None:
        if not rows:
            return
        async with self._database.transaction():
            for key, row in rows.items():
                host = await self._database.fetchval(
                    "INSERT INTO hosts (dhcp_identifier, dhcp_identifier_type, dhcp4_subnet_id, ipv4_address,"
                    " dhcp4_client_classes, dhcp4_next_server, dhcp4_server_hostname, dhcp4_boot_file_name,"
                    " user_context) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING host_id",
                    *(row.identifier, row.identifier_type, row.subnet_id, row.address, row.classes),
                    *(row.next_server, row.server_name, row.boot_file, _context(key, row.digest)),
                )
                # `dhcp4_subnet_id` of an option stays NULL: with it, Kea takes the option for the subnet's.
                await self._database.executemany(
                    "INSERT INTO dhcp4_options (code, value, space, persistent, host_id, scope_id)"
                    " VALUES ($1, $2, 'dhcp4', false, $3, $4)",
                    [(number, value, host, _HOST_SCOPE) for number, value in row.options],
                )

    # --- the daemon ----------------------------------------------------------------------------------------------

    async def _configure(self, answers: Answers) -> None:
        config = configuration(self._settings, answers)
        text = rendered(config)
        if self._daemon is not None and self._daemon.running:
            if text == self._configured:
                return
            self._configured = ""
            await self._set(config)
        else:
            await self._run(text)
        self._configured = text

    async def _run(self, text: str) -> None:
        directory = self._settings.directory
        path = directory / "kea-dhcp4.json"
        path.touch(mode=0o600)
        path.write_text(text)
        started = asyncio.Event()

        def heard(line: str) -> None:
            if "DHCP4_STARTED" in line:
                started.set()
            elif " ERROR " in line or " FATAL " in line:
                log.error("kea said", line=line)

        self._daemon = Daemon(
            "Kea",
            [*self._settings.command, "-c", str(path)],
            heard=heard,
            environment={"KEA_LOCKFILE_DIR": str(directory), "KEA_PIDFILE_DIR": str(directory)},
        )
        try:
            await self._daemon.start()
            await self._daemon.until(started, self._settings.timeout)
        except IronlaneError:
            await self._daemon.stop()
            raise
        self._restarts += 1
        self._changed.set()

    async def _set(self, config: Mapping[str, Any]) -> None:
        """Raises `Temporary` when Kea does not take it; it is then stopped, and started anew with the next attempt."""
        try:
            answer = await asyncio.wait_for(self._command("config-set", config), self._settings.timeout)
            if answer.get("result") == 0:
                return
            reason = str(answer.get("text"))
        except (OSError, ValueError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        if self._daemon is not None:
            await self._daemon.stop()
        raise Temporary(f"Kea does not take its configuration: {reason}")

    async def _command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(str(self._settings.directory / "control"))
        try:
            writer.write(json.dumps({"command": name, "arguments": arguments}).encode())
            await writer.drain()
            answer: dict[str, Any] = json.loads(await reader.read())
            return answer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _context(key: str, digest: str) -> str:
    return json.dumps({_OURS: key, "digest": digest})
