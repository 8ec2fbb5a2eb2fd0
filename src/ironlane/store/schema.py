"""Bringing a database to the schema of this release, with Alembic."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from ironlane.store.database import Store, Tx
from ironlane.store.mariadb import migrating


def alembic_config() -> Config:
    """Alembic's configuration; put the connection to work on into its `attributes`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _upgrade(connection: sa.Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def migrate(store: Store) -> None:
    """Upgrade the database to the newest schema; a no-op when it is there already."""

    def work(tx: Tx) -> None:
        with migrating(tx.connection):
            _upgrade(tx.connection)

    await store.write(work)
