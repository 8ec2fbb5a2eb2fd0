"""The migrations make exactly the tables that the code works with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ironlane.store import rbac
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.listing import Listing
from ironlane.store.networks import page as networks_of
from ironlane.store.schema import alembic_config, migrate
from ironlane.store.tables import metadata, networks
from tests.conftest import DATABASES, database_url


@pytest.fixture(params=DATABASES)
async def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open database without any table."""
    store = open_store(database_url(request.param, request, tmp_path))
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


def version(tx: Tx, name: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = tx.connection
    command.upgrade(config, name)


async def test_what_was_shared_stays_shared(empty_store: Store) -> None:
    await empty_store.write(lambda tx: version(tx, "0005"))
    common = {"project_id": "p1", "created_at": datetime.now(UTC)}

    def before(tx: Tx) -> None:
        for name in ("mine", "everybodys"):
            row = {"id": f"{name:0<36}", "name": name, "shared": name == "everybodys", **common}
            tx.execute(sa.insert(networks), row)

    await empty_store.write(before)
    await migrate(empty_store)
    found = (await empty_store.read(lambda tx: rbac.page(tx, Listing())))[0]
    assert [(p.project_id, p.object_id[:10], p.target_project) for p in found] == [("p1", "everybodys", "*")]
    assert [n.shared for n in (await empty_store.read(lambda tx: networks_of(tx, Listing())))[0]] == [True, False]
