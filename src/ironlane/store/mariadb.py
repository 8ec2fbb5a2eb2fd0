"""What MariaDB has to be told, so that it keeps what PostgreSQL and SQLite keep by themselves (ADR 25).

Text is compared by code point, case and trailing blanks included, whatever the database's default collation is; what
does not fit is refused, not cut off; and those who write take turns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles

from ironlane.model.errors import Temporary
from ironlane.store.tables import write_turn

# The driver would tell of each remark of the server's, such as that it does not name primary keys.
logging.getLogger("asyncmy").setLevel(logging.ERROR)

_CHARACTERS = "utf8mb4"
_COLLATION = "utf8mb4_nopad_bin"

_NO_SUCH_TABLE = 1146
_MIGRATION_WAIT = 300
"""Seconds that a process waits for another one which upgrades the tables."""

_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ENGINE_SUBSTITUTION'"
    # Whoever stops in the middle of a transaction (a host that is cut off) keeps all others from writing. Its
    # connection is ended after 5 s; 10 s are enough to wait for a turn.
    ", SESSION idle_transaction_timeout = 5, SESSION innodb_lock_wait_timeout = 10"
)


def engine(url: sa.URL, **options: Any) -> AsyncEngine:
    """An engine for it."""
    made = create_async_engine(
        url,
        # Nobody else writes meanwhile, so a snapshot is all that a transaction needs to be serializable.
        isolation_level="REPEATABLE READ",
        connect_args={"init_command": _SESSION, "connect_timeout": 10},
        **options,
    )
    sa.event.listen(made.sync_engine, "connect", _prepare)
    return made


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # Of what is no column, too: a LIKE on a text that was cast. SQLAlchemy has just set it to the driver's default.
    cursor.execute(f"SET NAMES {_CHARACTERS} COLLATE {_COLLATION}")
    cursor.execute("SHOW VARIABLES LIKE 'wsrep_on'")
    if cursor.fetchall() == [("wsrep_on", "ON")]:
        # A node of a Galera cluster: it is to wait for what others have acknowledged, before it reads or writes.
        cursor.execute("SET SESSION wsrep_sync_wait = 7")
    cursor.close()


LOCK_WAIT_TIMEOUT = 1205
"""Error number: another transaction kept a lock for too long. (A deadlock is known by its SQLSTATE.)"""

_TAKE_TURN = mysql.insert(write_turn).values(id=1, number=1)
_TAKE_TURN = _TAKE_TURN.on_duplicate_key_update(number=write_turn.c.number + 1)


def take_turn(connection: sa.Connection) -> None:
    """Begin a transaction that writes: wait until no other one does, up to its commit.

    The row is changed, not only locked, so that of two nodes of a Galera cluster only one can commit. No snapshot is
    taken before the row is ours, so the transaction sees all that was committed.
    """
    try:
        connection.execute(_TAKE_TURN)
    except sa.exc.ProgrammingError as error:
        if error.orig is None or error.orig.args[0] != _NO_SUCH_TABLE:
            raise
        connection.rollback()  # nothing is there yet that two could change: see `migrating`


@contextmanager
def migrating(connection: sa.Connection) -> Iterator[None]:
    """Of all processes that begin at once, let one upgrade the tables. A turn would end with each change of a table.

    Raises:
        Temporary: another one has been at it for minutes.
    """
    if connection.dialect.name != "mariadb":
        yield
        return
    connection.rollback()  # the turn: others may write while this one waits
    name = sa.func.concat("ironlane ", sa.func.database())
    if connection.scalar(sa.select(sa.func.get_lock(name, _MIGRATION_WAIT))) != 1:
        raise Temporary("another process is upgrading the database's tables; try again")
    try:
        yield
    finally:
        connection.scalar(sa.select(sa.func.release_lock(name)))


@sa.event.listens_for(sa.Table, "before_create")
def _compare_by_code_point(table: sa.Table, connection: sa.Connection, **_: Any) -> None:
    if connection.dialect.name == "mariadb":
        options = {"engine": "InnoDB", "charset": _CHARACTERS, "collate": _COLLATION, "row_format": "DYNAMIC"}
        table.dialect_options["mariadb"].update(options)


@compiles(sa.Text, "mariadb")
def _text(_type: sa.Text, _compiler: Any, **_: Any) -> str:
    return "MEDIUMTEXT"  # TEXT ends at 64 KiB, which what a switch says may exceed


@compiles(sa.JSON, "mariadb")
def _json(_type: sa.JSON, _compiler: Any, **_: Any) -> str:
    return "LONGTEXT"  # JSON is the same with a check, which refuses more than 32 levels
