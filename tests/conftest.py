"""Fixtures that all tests share: open databases, on SQLite and on a PostgreSQL of the tests' own."""

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

from ironlane.store.database import Store, open_store
from ironlane.store.tables import metadata


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


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty SQLite database with our tables."""
    async with _opened(f"sqlite:///{tmp_path}/test.sqlite") as opened:
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty database with our tables, once on each kind of database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/test.sqlite"
    else:
        url = _new_database(request.getfixturevalue("postgresql"))
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
    await opened.write(lambda tx: metadata.create_all(tx.connection))
    yield opened
    await opened.close()
