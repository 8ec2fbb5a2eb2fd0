"""The migrations make exactly the tables that the code works with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ironlane.store.database import Store, Tx, open_store
from ironlane.store.schema import migrate
from ironlane.store.tables import metadata
from tests.conftest import _new_database as new_database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
async def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open database without any table."""
    if request.param == "sqlite":
        store = open_store(f"sqlite:///{tmp_path}/empty.sqlite")
    else:
        store = open_store(new_database(request.getfixturevalue("postgresql")))
    yield store
    await store.close()


def differences(tx: Tx) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(tx.connection, opts={"compare_type": True}), metadata))


async def test_migrations_make_the_tables_of_this_release(empty_store: Store) -> None:
    assert await empty_store.read(differences), "an empty database differs: this test can tell"
    await migrate(empty_store)
    assert await empty_store.read(differences) == [], "write a new version: scripts/new-migration"


async def test_migrating_again_changes_nothing(empty_store: Store) -> None:
    for _ in range(2):
        await migrate(empty_store)
    assert await empty_store.read(differences) == []
