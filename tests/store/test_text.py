"""What is written is read again, and compared, the same on every kind of database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from ironlane.store.database import Store, Tx
from ironlane.store.prepared import Prepared
from ironlane.store.tables import conductors, physical_networks, switches

DIFFERENT = ["leaf", "Leaf", "leaf ", "léaf", "ｌeaf", "leaf\t", "", " "]
"""MariaDB finds most of these equal, unless it is told otherwise."""

PLAIN = sa.select(physical_networks.c.name).where(physical_networks.c.name == sa.bindparam("name"))
EXACT = Prepared(PLAIN)


async def test_names_are_compared_by_what_they_are(any_store: Store) -> None:
    def put(tx: Tx) -> None:
        tx.execute(sa.insert(physical_networks), [{"name": name, "tenant_vlans": []} for name in DIFFERENT])

    def found(tx: Tx) -> list[list[str]]:
        prepared = [[row.name for row in tx.execute(EXACT, {"name": name})] for name in DIFFERENT]
        assert prepared == [[row.name for row in tx.execute(PLAIN, {"name": name})] for name in DIFFERENT]
        return prepared

    await any_store.write(put)
    assert await any_store.read(found) == [[name] for name in DIFFERENT]
    ordered = sa.select(physical_networks.c.name).order_by(physical_networks.c.name)
    assert await any_store.read(lambda tx: [row.name for row in tx.all(ordered)]) == sorted(DIFFERENT)


@pytest.mark.parametrize(
    "value",
    [
        "quotes ' \" ` backslash \\ \\' percent %s %(name)s %% question ? :name and \x1a \x08 \r\n",
        "☎ 😀 \U0010ffff",
        "x" * 70_000 + "é" * 70_000,
    ],
    ids=["syntax", "unicode", "long"],
)
async def test_text_and_json_of_any_kind(any_store: Store, value: str) -> None:
    nested: Any = value
    for _ in range(60):
        nested = [nested]

    def put(tx: Tx) -> None:
        row = {"id": value[:64], "reason": value, "options": nested, "created_at": tx.now}
        tx.execute(sa.insert(switches).values(**row))

    await any_store.write(put)
    found = await any_store.read(lambda tx: tx.one(sa.select(switches).where(switches.c.reason == value)))
    assert found is not None
    assert (found.id, found.reason, found.options) == (value[:64], value, nested)


async def test_moments_to_the_microsecond_wherever_the_server_stands(any_store: Store) -> None:
    moments = [
        datetime(2026, 11, 26, 7, 8, 9, 123456, UTC),
        datetime(2026, 3, 29, 2, 30, 0, 1, timezone(timedelta(hours=1))),  # an hour that some zones leave out
        datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    ]

    def put(tx: Tx) -> None:
        for number, moment in enumerate(moments):
            row = {"hostname": f"c{number}", "heartbeat_at": moment, "created_at": moment}
            tx.execute(sa.insert(conductors).values(**row))

    await any_store.write(put)
    ordered = sa.select(conductors.c.heartbeat_at).order_by(conductors.c.hostname)
    assert await any_store.read(lambda tx: [row.heartbeat_at for row in tx.all(ordered)]) == moments
    later = sa.select(conductors.c.hostname).where(conductors.c.heartbeat_at > moments[0] - timedelta(microseconds=1))
    assert await any_store.read(lambda tx: {row.hostname for row in tx.all(later)}) == {"c0", "c2"}
