"""Fixtures that all tests share: open databases, on SQLite and on a PostgreSQL and a MariaDB of the tests' own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from ironlane.store.database import Store, Tx, open_store
from ironlane.store.tables import metadata
from tests import mariadb as servers_of_mariadb
from tests.mariadb import MariaDb


def _postgresql_programs() -> Path | None:
    """Directory of the newest PostgreSQL server installed, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """SQLAlchemy URL of an empty PostgreSQL server on a private unix socket; `{}` in it is the database's name."""
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (package postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="ironlane-pg-"))
    account: dict[str, object] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("running as root, and there is no user postgres to start PostgreSQL as")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "ironlane", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
        **account,  # type: ignore[call-overload]
    )
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        **account,  # type: ignore[call-overload]
    )
    try:
        _until_ready(programs, folder, server)
        yield f"postgresql+asyncpg://ironlane@/{{}}?host={folder}"
    finally:
        server.terminate()
        server.wait(timeout=20)
        shutil.rmtree(folder, ignore_errors=True)


def _until_ready(programs: Path, folder: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("PostgreSQL did not start")
        time.sleep(0.05)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """An empty MariaDB server."""
    if missing := servers_of_mariadb.missing():
        pytest.skip(f"MariaDB is not installed (package mariadb-server): there is no {missing}")
    with servers_of_mariadb.running() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_with_tables(mariadb: MariaDb) -> str:
    """URL of a database for one test after the other: to make our tables takes a quarter of a second."""
    return mariadb.new_database()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty SQLite database with our tables."""
    async with _opened(f"sqlite:///{tmp_path}/test.sqlite") as opened:
        yield opened


SERVERS = [
    pytest.param("postgresql", marks=pytest.mark.postgresql),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]
"""The kinds of databases that several processes on several hosts may share, as parameters of a test or fixture."""

DATABASES = ["sqlite", *SERVERS]
"""All kinds of databases, likewise."""


def database_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """A new and empty database of this kind."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/test.sqlite"
    if kind == "mariadb":
        server: MariaDb = request.getfixturevalue("mariadb")
        return server.new_database()
    return _new_database(request.getfixturevalue("postgresql"))


@pytest.fixture(params=DATABASES)
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty database with our tables, once on each kind of database."""
    if request.param == "mariadb":
        url = request.getfixturevalue("mariadb_with_tables")
    else:
        url = database_url(request.param, request, tmp_path)
    async with _opened(url) as opened:
        yield opened


def _new_database(server: str) -> str:
    name = "test_" + os.urandom(6).hex()
    programs = _postgresql_programs()
    assert programs is not None
    folder = server.rsplit("=", 1)[1]
    subprocess.run([programs / "createdb", "-h", folder, "-U", "ironlane", name], check=True)
    return server.format(name)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    opened = open_store(url)
    try:
        await opened.write(_make_tables)
        yield opened
    finally:
        await opened.close()


def _make_tables(tx: Tx) -> None:
    metadata.create_all(tx.connection)
    if tx.connection.dialect.name == "mariadb":  # what the test before has left
        for table in reversed(metadata.sorted_tables):
            tx.execute(sa.delete(table))
