"""Prepared statements: what SQLAlchemy would have made of them, on every database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.store.database import Store, Tx
from ironlane.store.prepared import Meaning, Prepared
from ironlane.store.tables import physical_networks, segments, switches

NOW = datetime(2026, 11, 25, 12, 0, 0, 5, UTC)
ADD = Prepared(sa.insert(segments))
FIND = Prepared(
    sa.select(segments)
    .where(segments.c.vlan.in_(sa.bindparam("vlans", expanding=True)), segments.c.physical_network.in_(["a", "b"]))
    .order_by(segments.c.vlan)
)
RELEASE = Prepared(
    sa.update(segments).where(segments.c.vlan == sa.bindparam("its_vlan")).values(released=sa.bindparam("gone"))
)
CHANGE = Prepared(sa.update(segments).where(segments.c.vlan == sa.bindparam("its_vlan")))
DROP = Prepared(sa.delete(segments).where(segments.c.vlan.in_(sa.bindparam("vlans", expanding=True))))


def row(vlan: int) -> dict[str, Any]:
    return {"physical_network": "a", "vlan": vlan, "network_id": f"network-{vlan}"}


@pytest.fixture
async def filled(any_store: Store) -> Store:
    await any_store.write(lambda tx: tx.execute(ADD, [row(vlan) for vlan in range(1, 8)]) and None)
    return any_store


async def test_lists_of_any_length(filled: Store) -> None:
    for wanted in ([], [3], [3, 5], [1, 2, 9], list(range(100))):
        rows = await filled.read(lambda tx, w=wanted: tx.execute(FIND, {"vlans": w}).all())  # type: ignore[misc]
        assert [r.vlan for r in rows] == [v for v in wanted if 1 <= v < 8]
        assert all(r.network_id == f"network-{r.vlan}" and r.released is False for r in rows)


async def test_changes_and_how_many_rows_they_found(filled: Store) -> None:
    def work(tx: Tx) -> tuple[int, int, int]:
        return (
            tx.execute(RELEASE, {"its_vlan": 4, "gone": True}).rowcount,
            tx.execute(CHANGE, {"its_vlan": 5, "network_id": "other"}).rowcount,
            tx.execute(DROP, {"vlans": [1, 2, 70]}).rowcount,
        )

    assert await filled.write(work) == (1, 1, 2)
    rows = await filled.read(lambda tx: tx.execute(FIND, {"vlans": range(10)}).all())
    assert {r.vlan: (r.released, r.network_id) for r in rows if r.vlan in {4, 5}} == {
        4: (True, "network-4"),
        5: (False, "other"),
    }
    assert len(rows) == 5


async def test_one_row_or_none(filled: Store) -> None:
    def work(tx: Tx) -> None:
        assert tx.execute(FIND, {"vlans": [3]}).one().vlan == 3
        assert tx.execute(FIND, {"vlans": [9]}).one_or_none() is None
        with pytest.raises(sa.exc.NoResultFound):
            tx.execute(FIND, {"vlans": [9]}).one()
        for one in ("one", "one_or_none", "scalar_one"):
            with pytest.raises(sa.exc.MultipleResultsFound):
                getattr(tx.execute(FIND, {"vlans": [3, 4]}), one)()
        count = Prepared(sa.select(sa.func.count()).select_from(segments))
        assert tx.execute(count, {}).scalar_one() == 7

    await filled.read(work)


async def test_types_are_converted_as_in_any_statement(any_store: Store) -> None:
    add = Prepared(sa.insert(physical_networks))
    at = Prepared(sa.insert(switches))
    when = Prepared(sa.select(switches.c.due_at, switches.c.options).where(switches.c.due_at == sa.bindparam("then")))

    def work(tx: Tx) -> None:
        tx.execute(add, {"name": "a", "tenant_vlans": [[1, 2]]})
        tx.execute(at, {"id": "leaf-1", "options": {"x": [1]}, "created_at": NOW, "due_at": NOW})
        (network,) = tx.all(sa.select(physical_networks))
        assert (network.tenant_vlans, network.mtu, network.position) == ([[1, 2]], 1500, 0), "defaults too"
        (found,) = tx.execute(when, {"then": NOW}).all()
        assert tuple(found) == (NOW, {"x": [1]})

    await any_store.write(work)


async def test_a_refused_row_is_told_as_sqlalchemy_tells_it(filled: Store) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        await filled.write(lambda tx: tx.execute(ADD, row(3)) and None)


async def test_rows_stand_for_what_is_made_of_them_as_long_as_they_are_the_same(filled: Store) -> None:
    made: list[int] = []

    def make(found: Any) -> tuple[int, bool]:
        made.append(found.vlan)
        return found.vlan, found.released

    meaning = Meaning(make)
    by_vlans = Prepared(FIND.statement, meaning)
    by_network = Prepared(sa.select(segments).where(segments.c.network_id == sa.bindparam("network")), meaning)

    def work(tx: Tx) -> None:
        once = tx.execute(by_vlans, {"vlans": [3, 4]}).all()
        assert once == [(3, False), (4, False)], "types are converted first"
        assert tx.execute(by_vlans, {"vlans": [3]}).one() == (3, False)
        assert tx.execute(by_network, {"network": "network-4"}).one() == (4, False)
        assert tx.execute(by_network, {"network": "nobody"}).one_or_none() is None
        tx.execute(RELEASE, {"its_vlan": 4, "gone": True})
        assert tx.execute(by_vlans, {"vlans": [3, 4]}).all() == [(3, False), (4, True)], "a changed row is another one"
        if tx.connection.dialect.name == "sqlite":
            assert made == [3, 4, 4], "also for another statement with the same columns"

    await filled.write(work)
