"""Fixtures of the API tests: an empty database on SQLite."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from ironlane.store.database import Store, open_store
from ironlane.store.tables import metadata


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/api.sqlite")
    await opened.write(lambda tx: metadata.create_all(tx.connection))
    yield opened
    await opened.close()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Without a line in the log for each of many requests."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.reset_defaults()


@pytest.fixture
def open_database(tmp_path: Path) -> Iterator[Store]:
    """The same for tests that are no coroutines."""
    opened = open_store(f"sqlite:///{tmp_path}/api.sqlite")
    asyncio.run(opened.write(lambda tx: metadata.create_all(tx.connection)))
    yield opened
    asyncio.run(opened.close())
