"""Fixtures of the store tests: an empty database on SQLite. `any_store` is the same on every kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ironlane.store.database import Store, open_store
from ironlane.store.tables import metadata


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/store.sqlite")
    await opened.write(lambda tx: metadata.create_all(tx.connection))
    yield opened
    await opened.close()
