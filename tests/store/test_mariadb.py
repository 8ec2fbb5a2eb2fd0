"""What is MariaDB's own: turns, conflicts, connections that end, tables, TLS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ironlane.lab.certificate import new_certificate
from ironlane.model.errors import Permanent, Temporary
from ironlane.store import mariadb as own
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.schema import migrate
from ironlane.store.tables import metadata, segments
from tests.mariadb import PASSWORD, MariaDb, running

pytestmark = pytest.mark.mariadb


@pytest.fixture
async def store(mariadb: MariaDb) -> AsyncIterator[Store]:
    opened = open_store(mariadb.new_database())
    await opened.write(lambda tx: metadata.create_all(tx.connection))
    await opened.write(lambda tx: tx.execute(sa.insert(segments), [row(1), row(2)]) and None)
    yield opened
    await opened.close()


def row(vlan: int, network: str = "n") -> dict[str, Any]:
    return {"physical_network": "p", "vlan": vlan, "network_id": network}


def give(vlan: int, network: str) -> sa.Update:
    its_row = (segments.c.physical_network == "p", segments.c.vlan == vlan)
    return sa.update(segments).where(*its_row).values(network_id=network)


async def holders(store: Store) -> dict[int, str]:
    return await store.read(lambda tx: {r.vlan: r.network_id for r in tx.all(sa.select(segments))})


@asynccontextmanager
async def somebody_else(store: Store) -> AsyncIterator[AsyncConnection]:
    """Another connection, with nothing of what we tell the server."""
    engine = store._backend.engine
    assert isinstance(engine, AsyncEngine)
    other = create_async_engine(engine.url)
    async with other.connect() as connection:
        yield connection
    await other.dispose()


class Attempts:
    """A transaction that counts how often it is run; it may tell that it is about to wait."""

    def __init__(self, work: Callable[[Tx], None]) -> None:
        self.number = 0
        self.waits = asyncio.Event()
        self._work = work

    def __call__(self, tx: Tx) -> None:
        self.number += 1
        self._work(tx)


# --- turns -----------------------------------------------------------------------------------------------------


async def test_who_stops_in_the_middle_keeps_others_waiting_for_seconds_and_readers_not_at_all(store: Store) -> None:
    engine = store._backend.engine
    assert isinstance(engine, AsyncEngine)
    async with engine.connect() as stopped:
        await stopped.run_sync(own.take_turn)
        await stopped.execute(give(1, "nobody"))
        began = time.monotonic()
        waiting = asyncio.create_task(store.write(lambda tx: tx.execute(give(2, "other")) and None))
        assert await holders(store) == {1: "n", 2: "n"}
        assert time.monotonic() - began < 3
        assert not waiting.done()
        await waiting
        assert 3 < time.monotonic() - began < 15
        assert await holders(store) == {1: "n", 2: "other"}
        await stopped.invalidate()


# --- what is repeated ------------------------------------------------------------------------------------------


async def test_a_deadlock_is_repeated(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.execute(give(1, "ours"))
        both.waits.set()
        tx.execute(give(2, "ours"))

    async with somebody_else(store) as other:
        await other.execute(sa.insert(segments), [row(vlan) for vlan in range(100, 400)])  # much to take back
        await other.execute(give(2, "other"))
        both = Attempts(work)
        waiting = asyncio.create_task(store.write(both))
        await both.waits.wait()
        await asyncio.sleep(0.2)  # until it does
        await other.execute(give(1, "other"))
        await other.commit()
        await waiting
    assert both.number > 1
    found = await holders(store)
    assert (found[1], found[2], len(found)) == ("ours", "ours", 302)


async def test_a_lock_that_is_waited_for_too_long_is_repeated(store: Store) -> None:
    def work(tx: Tx) -> None:
        tx.connection.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")
        tx.execute(give(1, "ours"))
        tx.execute(give(2, "ours"))

    async with somebody_else(store) as other:
        await other.execute(give(2, "other"))
        attempts = Attempts(work)
        waiting = asyncio.create_task(store.write(attempts))
        await asyncio.sleep(1.5)
        await other.rollback()
        await waiting
    assert attempts.number == 2
    assert await holders(store) == {1: "ours", 2: "ours"}


def end(server: MariaDb, tx: Tx) -> None:
    number = tx.connection.scalar(sa.select(sa.func.connection_id()))
    server.run(f"KILL {number}")


async def test_a_connection_that_ends_before_the_commit_is_repeated_once(store: Store, mariadb: MariaDb) -> None:
    def work(tx: Tx) -> None:
        tx.execute(give(1, f"ours {attempts.number}"))
        if attempts.number == 1:
            end(mariadb, tx)
        tx.execute(give(2, f"ours {attempts.number}"))

    attempts = Attempts(work)
    await store.write(attempts)
    assert attempts.number == 2
    assert await holders(store) == {1: "ours 2", 2: "ours 2"}

    def never(tx: Tx) -> None:
        end(mariadb, tx)
        tx.execute(give(1, "never"))

    always = Attempts(never)
    with pytest.raises(Temporary, match="does not answer"):
        await store.write(always)
    assert always.number == 2
    assert await holders(store) == {1: "ours 2", 2: "ours 2"}


async def test_a_connection_that_ends_at_the_commit_is_told(store: Store, mariadb: MariaDb) -> None:
    """Whether it was committed nobody knows, so it is not for us to do it again."""

    def work(tx: Tx) -> None:
        tx.execute(give(1, "perhaps"))
        end(mariadb, tx)

    attempts = Attempts(work)
    with pytest.raises(Temporary, match="does not answer"):
        await store.write(attempts)
    assert attempts.number == 1
    await store.write(lambda tx: tx.execute(give(1, "surely")) and None)
    assert (await holders(store))[1] == "surely"


async def test_connections_that_ended_meanwhile_are_replaced(store: Store, mariadb: MariaDb) -> None:
    numbers: list[int] = []

    def number(tx: Tx) -> None:
        numbers.append(tx.connection.scalar(sa.select(sa.func.connection_id())))

    await asyncio.gather(*(store.read(number) for _ in range(5)))
    mariadb.run(*(f"KILL {each}" for each in set(numbers)))
    await asyncio.gather(*(store.write(number) for _ in range(5)))
    assert not set(numbers[:5]) & set(numbers[5:])


# --- tables ----------------------------------------------------------------------------------------------------


async def test_text_that_does_not_fit_is_refused_and_not_cut_off(store: Store) -> None:
    with pytest.raises(sa.exc.DataError):
        await store.write(lambda tx: tx.execute(give(1, "x" * 37)) and None)
    assert await holders(store) == {1: "n", 2: "n"}


def strays(tx: Tx) -> list[Any]:
    """Columns with another collation, and tables without transactions."""
    columns = (
        "SELECT table_name, column_name, collation_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND collation_name != 'utf8mb4_nopad_bin'"
    )
    tables = (
        "SELECT table_name, engine FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND engine != 'InnoDB'"
    )
    return [tuple(r) for query in (columns, tables) for r in tx.connection.exec_driver_sql(query)]


async def test_several_processes_begin_at_once_on_an_empty_database(mariadb: MariaDb) -> None:
    url = mariadb.new_database()
    stores = [open_store(url) for _ in range(3)]
    try:
        await asyncio.gather(*(migrate(store) for store in stores))
        await asyncio.gather(*(migrate(store) for store in stores))
        assert await stores[0].read(strays) == []
    finally:
        await asyncio.gather(*(store.close() for store in stores))


# --- the connection --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("server", "other"):
        pem, key = new_certificate(IPv4Address("127.0.0.1"))
        (folder / f"{name}.pem").write_bytes(pem)
        (folder / f"{name}.key").write_bytes(key)
    return folder


@pytest.fixture(scope="module")
def with_tls(certificate: Path) -> Iterator[MariaDb]:
    with running(f"--ssl-cert={certificate}/server.pem", f"--ssl-key={certificate}/server.key") as server:
        allow(server)
        yield server


def allow(server: MariaDb) -> None:
    server.run(
        "CREATE DATABASE i",
        f"CREATE USER i@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
        "GRANT ALL ON i.* TO i@'127.0.0.1'",
    )


def over_tcp(server: MariaDb, authority: Path, host: str = "127.0.0.1", password: str = PASSWORD) -> str:
    return f"mariadb+asyncmy://i:{password}@{host}:{server.port}/i?ssl_ca={authority}"


async def outcome(url: str) -> str:
    store = open_store(url)
    try:
        cipher = "SHOW STATUS LIKE 'Ssl_cipher'"
        return await store.read(lambda tx: str(tx.connection.exec_driver_sql(cipher).one()[1]))
    finally:
        await store.close()


async def test_over_tls_with_the_authority_that_is_named(with_tls: MariaDb, certificate: Path) -> None:
    assert "_" in await outcome(over_tcp(with_tls, certificate / "server.pem"))


async def test_of_others_nothing_is_believed(with_tls: MariaDb, certificate: Path) -> None:
    with_tls.run("FLUSH STATUS")
    for url in (
        over_tcp(with_tls, certificate / "other.pem"),
        over_tcp(with_tls, certificate / "server.pem", host="localhost"),
    ):
        with pytest.raises(Temporary, match="certificate verify failed") as caught:
            await outcome(url)
        assert PASSWORD not in str(caught.value)


async def test_a_server_without_tls_is_no_server(certificate: Path) -> None:
    with running("--skip-ssl") as server:
        allow(server)
        with pytest.raises(Temporary) as caught:
            await outcome(over_tcp(server, certificate / "server.pem"))
    assert PASSWORD not in str(caught.value)


async def test_a_wrong_password_is_not_told(with_tls: MariaDb, certificate: Path) -> None:
    with pytest.raises(Temporary, match="Access denied") as caught:
        await outcome(over_tcp(with_tls, certificate / "server.pem", password="wrong-5j2x"))
    assert "wrong-5j2x" not in str(caught.value)


@pytest.mark.parametrize("kind", ["mysql+pymysql", "mysql+asyncmy", "mariadb", "sqlite+aiosqlite"])
def test_other_drivers_are_refused_with_those_that_there_are(kind: str) -> None:
    with pytest.raises(Permanent, match=r"mariadb\+asyncmy") as caught:
        open_store(f"{kind}://i:{PASSWORD}@h/i")
    assert PASSWORD not in str(caught.value)
