"""Opening the database, and running transactions on it.

A transaction is a synchronous function of a `Tx`. It runs whole or not at all, serializably, and may run again after a
conflict, so it must have no other effects. On SQLite one writer thread runs them, all that wait under one commit (group
commit, one fsync); on PostgreSQL and MariaDB each runs on its own connection and is repeated when the database reports
a conflict. ADR 2 has the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import queue
import random
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, cast

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ironlane.model.caller import INTERNAL, Caller
from ironlane.model.errors import IronlaneError, Permanent, Temporary
from ironlane.store import mariadb
from ironlane.store.prepared import Prepared
from ironlane.store.vault import Vault

T = TypeVar("T")

log = structlog.get_logger(__name__)

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The API request on whose behalf the current task works (`req-…`); empty for the loops' own work."""

_BATCH = 256
"""Transactions under one SQLite commit at the most, so that the first of them is not kept waiting for long."""

_ATTEMPTS = 20
"""How often a transaction is repeated after serialization conflicts before the client is told to try again."""


HintKind = Literal["switch", "node", "dhcp", "binding", "allocation"]
"""`binding`: nobody has to act; who follows the changes of foreign bindings has something to read."""


class Hint(NamedTuple):
    """Something is due: an id, never data. Losing one costs a delay and never an outcome."""

    kind: HintKind
    id: str


class Clock(Protocol):
    def __call__(self) -> datetime: ...


def utc_now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)


class Tx:
    """One transaction: SQL goes through `execute`; `now` is its single moment; hints go out after its commit.

    `vault` seals the secrets that are written. `caller` is on whose behalf it runs, `rule` what that one wants.
    """

    vault: Vault
    caller: Caller = INTERNAL
    rule: str = ""
    _elevated: Caller | None = None
    """On whose behalf it runs, while it may do more."""

    def __init__(self, connection: sa.Connection, now: datetime, request_id: str = "") -> None:
        self.connection = connection
        self.now = now
        self.request_id = request_id
        self.hints: set[Hint] = set()

    def execute(
        self, statement: sa.Executable | Prepared, parameters: Sequence[dict[str, Any]] | dict[str, Any] | None = None
    ) -> sa.CursorResult[Any]:
        if isinstance(statement, Prepared):
            return cast("sa.CursorResult[Any]", statement.run(self.connection, parameters or {}))
        return self.connection.execute(statement, parameters)

    def one(self, statement: sa.Executable) -> sa.Row[Any] | None:
        """The only row, or None when there is none."""
        return self.execute(statement).one_or_none()

    def all(self, statement: sa.Executable) -> Sequence[sa.Row[Any]]:
        return self.execute(statement).all()

    @contextlib.contextmanager
    def elevated(self) -> Iterator[None]:
        """Within this, the transaction sees and does what it has to, whatever its caller may: ask the rules before."""
        before, elevated = self.caller, self._elevated
        self.caller, self._elevated = INTERNAL, self.told
        try:
            yield
        finally:
            self.caller, self._elevated = before, elevated

    @property
    def told(self) -> Caller:
        """Who is told why it was refused: its caller, also while it is elevated."""
        return self._elevated or self.caller

    def hint(self, kind: HintKind, ident: str) -> None:
        self.hints.add(Hint(kind, ident))


Transaction = Callable[[Tx], T]


class _Rehearsed(Exception):
    """Ends a rehearsal, so that the backend takes everything back."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class Backend(Protocol):
    """Runs transactions on one kind of database."""

    @property
    def engine(self) -> sa.Engine | AsyncEngine: ...

    async def run(self, transaction: Transaction[T], *, write: bool, now: Clock) -> tuple[T, set[Hint]]: ...

    async def close(self) -> None: ...


class Store:
    """An open database.

    Args:
        backend: see `open_store`.
        now: the clock; tests pass their own.
        vault: keeps the secrets in the rows; without one they are lost with this process.
    """

    def __init__(self, backend: Backend, now: Clock = utc_now, vault: Vault | None = None) -> None:
        self._backend = backend
        self._listeners: list[Callable[[Hint], None]] = []
        self._dhcp: Callable[[set[str]], Awaitable[None]] | None = None
        self.now = now
        self.vault = vault or Vault.for_this_process()
        self.caller = INTERNAL
        self.rule = ""

    def on_behalf_of(self, caller: Caller, rule: str = "") -> Store:
        """The same database, for a caller who may not see and do everything; `rule` is what it is about to do."""
        if caller.is_admin:
            return self
        narrowed = copy.copy(self)
        narrowed.caller, narrowed.rule = caller, rule
        return narrowed

    async def write(self, transaction: Transaction[T]) -> T:
        """Run a transaction and return its result once it is durable, and DHCP in this process answers by it.

        Raises:
            Rejected: as the transaction raised it; nothing was stored.
            Temporary: the database does not answer, or is too contended.
        """
        result, hints = await self._backend.run(self._with_vault(transaction), write=True, now=self.now)
        changed = {hint.id for hint in hints if hint.kind == "dhcp"}
        for hint in hints:
            if hint.kind != "dhcp":
                self.publish(hint)
        if changed and self._dhcp is not None:
            await self._dhcp(changed)
        return result

    def answer_with(self, taken_in: Callable[[set[str]], Awaitable[None]]) -> None:
        """Have `write` wait for `taken_in` with the ids of what DHCP has to answer differently from now on.

        So a network port's options are answered from the moment that its change is acknowledged, and not a moment
        longer than the port is there.
        """
        self._dhcp = taken_in

    async def rehearse(self, transaction: Transaction[T]) -> T:
        """Run a transaction as `write` does, return its result, and take back all that it wrote; no hint goes out.

        So what a change would lead to is found out by making it, and not by a second reading of the rules.

        Raises:
            Rejected: as the transaction raised it.
            Temporary: the database does not answer, or is too contended.
        """

        def rehearsal(tx: Tx) -> T:
            raise _Rehearsed(transaction(tx))

        try:
            return await self.write(rehearsal)
        except _Rehearsed as rehearsed:
            result: T = rehearsed.result
            return result

    async def read(self, query: Transaction[T]) -> T:
        """Run a function that only reads, on a consistent snapshot."""
        result, _ = await self._backend.run(self._with_vault(query), write=False, now=self.now)
        return result

    def _with_vault(self, transaction: Transaction[T]) -> Transaction[T]:
        def run(tx: Tx) -> T:
            tx.vault = self.vault
            tx.caller, tx.rule = self.caller, self.rule
            return transaction(tx)

        return run

    def publish(self, hint: Hint) -> None:
        """Tell the listeners in this process that something is due."""
        for listener in self._listeners:
            listener(hint)

    def listen(self, listener: Callable[[Hint], None]) -> Callable[[], None]:
        """Call `listener` for each hint, on the event loop, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        await self._backend.close()


_KINDS = ("sqlite", "postgresql+asyncpg", "mariadb+asyncmy")


def open_store(url: str, now: Clock = utc_now, vault: Vault | None = None) -> Store:
    """Open the database at a SQLAlchemy URL: `sqlite:///FILE`, `postgresql+asyncpg://…`, `mariadb+asyncmy://…`.

    Raises:
        Permanent: not such a URL, or the driver that it names is not installed.
    """
    # No error here tells the URL, which may have a password in it.
    try:
        parsed = sa.make_url(url)
        if parsed.drivername not in _KINDS:
            raise Permanent(f"a database of {parsed.drivername} is none of {', '.join(_KINDS)}")
        backend: Backend = SqliteBackend(url) if parsed.drivername == "sqlite" else ServerBackend(parsed)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise Permanent(f"the database cannot be opened: {error}") from error
    return Store(backend, now, vault)


class _Job(NamedTuple):
    transaction: Transaction[Any]
    now: datetime
    request_id: str
    future: Future[Any]


class SqliteBackend:
    """SQLite in WAL mode: one writer thread with group commit, and a few reader threads."""

    def __init__(self, url: str, readers: int = 2) -> None:
        self.engine = sa.create_engine(
            url,
            poolclass=sa.NullPool,
            connect_args={"timeout": 30.0, "cached_statements": 512},
            hide_parameters=True,  # an error's text gets into logs
        )
        sa.event.listen(self.engine, "connect", _prepare_sqlite)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(readers, "ironlane-sqlite-read")
        self._idle_connections: queue.SimpleQueue[sa.Connection] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_loop, name="ironlane-sqlite-write", daemon=True)
        self._writer.start()

    async def run(self, transaction: Transaction[T], *, write: bool, now: Clock) -> tuple[T, set[Hint]]:
        if not write:
            return await asyncio.get_running_loop().run_in_executor(
                self._readers, self._read, transaction, now(), REQUEST_ID.get()
            )
        future: Future[tuple[T, set[Hint]]] = Future()
        self._jobs.put(_Job(transaction, now(), REQUEST_ID.get(), future))
        # A cancelled caller must not take an acknowledged row with it: the transaction runs, only nobody listens.
        return await asyncio.shield(asyncio.wrap_future(future))

    def _read(self, query: Transaction[T], now: datetime, request_id: str) -> tuple[T, set[Hint]]:
        try:
            connection = self._idle_connections.get_nowait()
        except queue.Empty:
            connection = self._connect()
        try:
            raw = _raw(connection)
            connection.begin()
            raw.execute("BEGIN")
            try:
                return query(Tx(connection, now, request_id)), set()
            finally:
                raw.rollback()
                connection.rollback()
        except (sa.exc.OperationalError, sqlite3.OperationalError) as error:
            raise Temporary(f"the database does not answer: {getattr(error, 'orig', None) or error}") from error
        finally:
            self._idle_connections.put(connection)

    def _connect(self) -> sa.Connection:
        try:
            return self.engine.connect()
        except sa.exc.DBAPIError as error:
            raise Temporary(f"the database {self.engine.url.database} cannot be opened: {error.orig}") from error

    def _write_loop(self) -> None:
        connection: sa.Connection | None = None
        try:
            while (job := self._jobs.get()) is not None:
                jobs = [job]
                while len(jobs) < _BATCH and not self._jobs.empty():
                    following = self._jobs.get()
                    if following is None:
                        self._jobs.put(None)
                        break
                    jobs.append(following)
                try:
                    connection = connection or self._connect()
                except Temporary as error:
                    for failed in jobs:
                        failed.future.set_exception(error)
                else:
                    try:
                        self._commit(connection, jobs)
                    except Exception as broken:  # not even a rollback worked: nobody may wait for this for ever
                        with contextlib.suppress(Exception):
                            connection.invalidate()
                            connection.close()
                        connection = None
                        for failed in jobs:
                            if not failed.future.done():
                                failed.future.set_exception(Temporary(f"the database does not answer: {broken}"))
                        log.exception("the connection to the database is given up")
        finally:
            if connection is not None:
                connection.close()

    def _commit(self, connection: sa.Connection, jobs: list[_Job]) -> None:
        outcomes: list[tuple[_Job, Any, BaseException | None]] = []
        raw = _raw(connection)
        try:
            connection.begin()  # for SQLAlchemy, and what uses it: there is a transaction, and it is not theirs to end
            raw.execute("BEGIN IMMEDIATE")
            for job in jobs:
                tx = Tx(connection, job.now, job.request_id)
                raw.execute("SAVEPOINT job")
                try:
                    outcomes.append((job, (job.transaction(tx), tx.hints), None))
                except Exception as error:
                    if not raw.in_transaction:  # SQLite itself rolled all of it back (disk full, I/O error)
                        raise
                    raw.execute("ROLLBACK TO job")
                    outcomes.append((job, None, _told(error)))
                raw.execute("RELEASE job")
            raw.execute("COMMIT")
        except Exception as error:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            outcomes = [(job, None, _not_taken(error)) for job in jobs]
        finally:
            connection.rollback()
        for job, result, failed in outcomes:
            if failed is not None:
                job.future.set_exception(failed)
            else:
                job.future.set_result(result)

    async def close(self) -> None:
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        while not self._idle_connections.empty():
            self._idle_connections.get().close()
        self.engine.dispose()


def _told(error: Exception) -> Exception:
    """What the caller of a transaction is told: its own error, or that the database failed."""
    return _not_taken(error) if isinstance(error, sa.exc.OperationalError) else error


def _not_taken(error: Exception) -> Temporary:
    failure = Temporary(f"the database did not take the change: {getattr(error, 'orig', None) or error}")
    failure.__cause__ = error
    return failure


def _raw(connection: sa.Connection) -> sqlite3.Connection:
    """The driver's own connection: transactions are ours (`_prepare_sqlite`), and a SAVEPOINT through SQLAlchemy takes
    five times as long."""
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are ours: BEGIN, SAVEPOINT, COMMIT are sent as written
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA case_sensitive_like=ON")  # as on the other databases; only ASCII would be without


class ServerBackend:
    """PostgreSQL or MariaDB: a pool of connections, serializable transactions, repeated on conflict.

    On PostgreSQL transactions run side by side, and the database tells those that may not. On MariaDB those that write
    take turns, also with other processes; those that read have a snapshot each (ADR 25).
    """

    def __init__(self, url: sa.URL, pool: int = 10) -> None:
        self._turns = url.get_backend_name() == "mariadb"
        options: dict[str, Any] = {"pool_size": pool, "pool_pre_ping": True, "hide_parameters": True}
        if self._turns:
            self.engine = mariadb.engine(url, **options)
        else:
            self.engine = create_async_engine(url, isolation_level="SERIALIZABLE", **options)
        # Those who wait for their turn leave connections to those who only read.
        self._writers = asyncio.Semaphore(pool // 2) if self._turns else contextlib.nullcontext()

    async def run(self, transaction: Transaction[T], *, write: bool, now: Clock) -> tuple[T, set[Hint]]:
        async with self._writers if write else contextlib.nullcontext():
            return await self._repeated(transaction, write, now)

    async def _repeated(self, transaction: Transaction[T], write: bool, now: Clock) -> tuple[T, set[Hint]]:
        request_id = REQUEST_ID.get()

        def work(connection: sa.Connection) -> tuple[T, set[Hint]]:
            if write and self._turns:
                mariadb.take_turn(connection)
            tx = Tx(connection, now(), request_id)
            return transaction(tx), tx.hints

        cut = False
        for attempt in range(1, _ATTEMPTS + 1):
            committing = False
            try:
                async with self.engine.connect() as connection:
                    outcome = await connection.run_sync(work)
                    committing = write
                    if write:
                        await connection.commit()
                    return outcome
            except IronlaneError:
                raise
            except (sa.exc.DBAPIError, sa.exc.TimeoutError, OSError) as error:  # TimeoutError: no connection was free
                # A connection that was cut before the commit took nothing with it; after that, who knows.
                again = not cut and not committing and getattr(error, "connection_invalidated", False)
                cut = cut or again
                if not (again or _is_conflict(error)):
                    if isinstance(error, sa.exc.IntegrityError | sa.exc.ProgrammingError | sa.exc.DataError):
                        raise
                    raise Temporary(f"the database does not answer: {error}") from error
                log.debug("transaction repeated after a conflict", attempt=attempt)
                # Random, so that those who met do not meet again.
                await asyncio.sleep(random.uniform(0, min(0.002 * 2**attempt, 0.2)))  # noqa: S311
        raise Temporary("the database is too contended; try again")

    async def close(self) -> None:
        await self.engine.dispose()


def _is_conflict(error: Exception) -> bool:
    """Serialization failures and deadlocks: SQLSTATE 40001 and 40P01; and on MariaDB, a lock not had in time."""
    original = getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    number = original.args[0] if original is not None and original.args else None
    return state in {"40001", "40P01"} or number == mariadb.LOCK_WAIT_TIMEOUT
