"""Transactions: whole or not at all, serializable, durable when acknowledged, on every kind of database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Conflict, Temporary
from ironlane.store.database import Hint, Store, Tx, open_store
from ironlane.store.tables import metadata, segments
from tests.conftest import _new_database as new_database


def take_lowest_vlan(tx: Tx) -> int:
    """Reads, decides, writes: what goes wrong when two do it at once."""
    used = set(tx.execute(sa.select(segments.c.vlan)).scalars())
    vlan = next(v for v in range(200, 4000) if v not in used)
    tx.execute(sa.insert(segments).values(physical_network="p", vlan=vlan, network_id="n"))
    return vlan


async def count(store: Store) -> int:
    return await store.read(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(segments)).scalar_one())


async def test_concurrent_transactions_do_not_see_each_others_middle(any_store: Store) -> None:
    vlans = await asyncio.gather(*(any_store.write(take_lowest_vlan) for _ in range(30)))
    assert sorted(vlans) == list(range(200, 230))


@pytest.fixture
async def two_conductors(any_store: Store) -> AsyncIterator[list[Store]]:
    """Two connections of one database with others, as two processes have them."""
    backend = any_store._backend
    other = open_store(backend.engine.url.render_as_string(hide_password=False))
    yield [any_store, other]
    await other.close()


async def test_of_several_processes_too(two_conductors: list[Store]) -> None:
    vlans = await asyncio.gather(*(store.write(take_lowest_vlan) for _ in range(20) for store in two_conductors))
    assert sorted(vlans) == list(range(200, 240))


async def test_no_update_is_lost(two_conductors: list[Store]) -> None:
    """Reads a row, and writes what follows from it into the same row."""
    await two_conductors[0].write(take_lowest_vlan)

    def one_more(tx: Tx) -> None:
        number = int(tx.execute(sa.select(segments.c.network_id)).scalar_one().strip("n") or 0)
        tx.execute(sa.update(segments).values(network_id=str(number + 1)))

    await asyncio.gather(*(store.write(one_more) for _ in range(15) for store in two_conductors))
    assert await two_conductors[0].read(lambda tx: tx.execute(sa.select(segments.c.network_id)).scalar_one()) == "30"


async def test_a_rule_over_several_rows_holds(two_conductors: list[Store]) -> None:
    """Write skew: each reads what the other writes, and neither writes what the other does."""
    for _ in range(20):
        await two_conductors[0].write(take_lowest_vlan)

    def release_unless_the_last(vlan: int) -> Callable[[Tx], None]:
        def work(tx: Tx) -> None:
            kept = set(tx.execute(sa.select(segments.c.vlan).where(segments.c.released.is_(sa.false()))).scalars())
            if kept != {vlan}:
                tx.execute(sa.update(segments).where(segments.c.vlan == vlan).values(released=True))

        return work

    vlans = range(200, 220)
    await asyncio.gather(*(two_conductors[v % 2].write(release_unless_the_last(v)) for v in vlans))
    left = sa.select(sa.func.count()).where(segments.c.released.is_(sa.false()))
    assert await two_conductors[0].read(lambda tx: tx.execute(left).scalar_one()) == 1


async def test_what_is_acknowledged_is_seen_by_whoever_reads_after(two_conductors: list[Store]) -> None:
    one, other = two_conductors
    for number in range(10):
        await one.write(take_lowest_vlan)
        assert await count(other) == number + 1


async def test_a_read_sees_one_moment(two_conductors: list[Store]) -> None:
    """Two segments come and go together; nobody finds one of them."""

    def both(tx: Tx) -> None:
        if not tx.execute(sa.delete(segments)).rowcount:
            for vlan in (200, 201):
                tx.execute(sa.insert(segments).values(physical_network="p", vlan=vlan, network_id="n"))

    def seen(tx: Tx) -> set[int]:
        one_by_one = (tx.one(sa.select(segments.c.vlan).where(segments.c.vlan == vlan)) for vlan in (200, 201))
        return {row.vlan for row in one_by_one if row is not None}

    async def change() -> None:
        for _ in range(30):
            await two_conductors[0].write(both)

    async def look() -> None:
        for _ in range(30):
            assert await two_conductors[1].read(seen) in ({200, 201}, set())

    await asyncio.gather(change(), look())


async def test_a_refused_transaction_leaves_nothing_and_its_neighbours_alone(any_store: Store) -> None:
    def refuse(tx: Tx) -> None:
        take_lowest_vlan(tx)
        raise Conflict("no")

    outcomes = await asyncio.gather(
        any_store.write(take_lowest_vlan),
        any_store.write(refuse),
        any_store.write(take_lowest_vlan),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], Conflict)
    assert await count(any_store) == 2


async def test_hints_go_out_after_the_commit_and_only_then(any_store: Store) -> None:
    heard: list[Hint] = []
    any_store.listen(heard.append)

    def refuse(tx: Tx) -> None:
        tx.hint("switch", "never")
        raise Conflict("no")

    with pytest.raises(Conflict):
        await any_store.write(refuse)
    await any_store.write(lambda tx: tx.hint("switch", "leaf-1"))
    assert heard == [Hint("switch", "leaf-1")]


async def test_a_cancelled_caller_does_not_undo_its_transaction(any_store: Store) -> None:
    task = asyncio.ensure_future(any_store.write(take_lowest_vlan))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await any_store.write(lambda _tx: None)
    assert await count(any_store) in {0, 1}


async def test_reads_do_not_write(any_store: Store) -> None:
    await any_store.read(take_lowest_vlan)
    assert await count(any_store) == 0


async def test_sqlite_that_cannot_commit_says_temporary_and_recovers(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/x.sqlite")
    await store.write(lambda tx: metadata.create_all(tx.connection))
    blocker = sqlite3.connect(tmp_path / "x.sqlite", timeout=0.1, isolation_level=None)
    await store.write(lambda tx: tx.connection.exec_driver_sql("PRAGMA busy_timeout=50"))
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Temporary, match="database"):
        await store.write(take_lowest_vlan)
    blocker.execute("ROLLBACK")
    blocker.close()
    assert await store.write(take_lowest_vlan) == 200
    await store.close()


async def test_a_statement_that_the_database_refuses_leaves_its_neighbours_alone(store: Store) -> None:
    outcomes = await asyncio.gather(
        store.write(take_lowest_vlan),
        store.write(lambda tx: tx.connection.exec_driver_sql("SELECT * FROM no_such_table")),
        store.write(take_lowest_vlan),
        return_exceptions=True,
    )
    assert [outcomes[0], outcomes[2]] == [200, 201]
    assert isinstance(outcomes[1], Temporary)


async def test_a_connection_that_breaks_in_the_middle_is_replaced(store: Store) -> None:
    def cut(tx: Tx) -> None:
        take_lowest_vlan(tx)
        tx.connection.connection.dbapi_connection.close()  # type: ignore[union-attr]

    async with asyncio.timeout(60):  # a traceback is written meanwhile, which takes its time on a busy machine
        with pytest.raises(Temporary):
            await store.write(cut)
        assert await store.write(take_lowest_vlan) == 200


async def test_a_rehearsal_leaves_nothing_behind(any_store: Store) -> None:
    hints: list[Hint] = []
    any_store.listen(hints.append)

    def work(tx: Tx) -> tuple[int, int]:
        tx.hint("switch", "leaf-1")
        return take_lowest_vlan(tx), take_lowest_vlan(tx)

    assert await any_store.rehearse(work) == (200, 201)
    assert (await count(any_store), hints) == (0, [])
    assert await any_store.write(work) == (200, 201)
    found = await asyncio.gather(*(any_store.rehearse(take_lowest_vlan) for _ in range(5)))
    assert (found, await count(any_store)) == ([202] * 5, 2)


async def test_a_rehearsal_tells_what_it_is_refused(any_store: Store) -> None:
    def work(_tx: Tx) -> None:
        raise Conflict("no")

    with pytest.raises(Conflict, match="no"):
        await any_store.rehearse(work)


@pytest.mark.postgresql
async def test_what_is_cut_off_before_its_commit_is_repeated_once(postgresql: str) -> None:
    """MariaDB's is in `test_mariadb.py`."""
    attempts = 0

    def work(tx: Tx, times: int) -> None:
        nonlocal attempts
        attempts += 1
        take_lowest_vlan(tx)
        if attempts <= times:
            tx.connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    store = open_store(new_database(postgresql))
    try:
        await store.write(lambda tx: metadata.create_all(tx.connection))
        await store.write(lambda tx: work(tx, 1))
        assert (attempts, await count(store)) == (2, 1)
        with pytest.raises(Temporary, match="does not answer"):
            await store.write(lambda tx: work(tx, 9))
        assert (attempts, await count(store)) == (4, 1)
    finally:
        await store.close()
