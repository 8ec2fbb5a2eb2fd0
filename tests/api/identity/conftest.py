"""Fixtures of the identity tests."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ironlane.store.database import open_store
from ironlane.store.tables import metadata
from tests.api.identity.passwords import hashed
from tests.api.identity.world import Ids, World, build


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Ids]]:
    """A database with two projects in it, and their ids."""
    path = tmp_path_factory.mktemp("world") / "world.sqlite"

    async def furnish() -> dict[str, Ids]:
        store = open_store(f"sqlite:///{path}")
        await store.write(lambda tx: metadata.create_all(tx.connection))
        ids = await build(store)
        await store.close()
        return ids

    return path, asyncio.run(furnish())


@pytest.fixture
async def world(furnished: tuple[Path, dict[str, Ids]], tmp_path: Path) -> AsyncIterator[World]:
    """The two projects, as nobody has left them yet."""
    path, ids = furnished
    shutil.copy(path, tmp_path / "world.sqlite")
    store = open_store(f"sqlite:///{tmp_path}/world.sqlite")
    yield World(store, ids)
    await store.close()


@pytest.fixture
def htpasswd(tmp_path: Path) -> Path:
    """root is an admin, as in Ironic; alice a member and rita a reader of project red."""
    path = tmp_path / "htpasswd"
    # The second as htpasswd makes it: $2y$ is the same algorithm under another name.
    path.write_text(
        "# who may come in\n\n"
        f"root:{hashed('for root')}\n"
        f"alice:{hashed('for alice').replace('$2b$', '$2y$')}:red:member\n"
        f"rita:{hashed('for rita')}:red:reader\n"
    )
    return path
