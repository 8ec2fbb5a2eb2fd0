"""The OpenAPI document tells what is so: requests made up from it are served, and the answers are as it says."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa

from ironlane.api.fabric.app import create
from ironlane.store.database import Store, Tx
from ironlane.store.tables import metadata
from tests.api.asgi import Client
from tests.api.described import Described, Known
from tests.api.fabric.test_bindings import PORT, RED, body
from tests.api.fabric.test_fabric import LEAF


def clear(tx: Tx) -> None:
    for table in reversed(metadata.sorted_tables):
        tx.execute(sa.delete(table))


@pytest.mark.usefixtures("quiet")
def test_requests_that_the_document_allows(open_database: Store) -> None:
    app = create(open_database, patience=0.0)

    async def furnish() -> Known:
        """A switch, somebody's binding on it."""
        await open_database.write(clear)
        api = Client(app, "/fabric")
        await api.put("/v1/physical-networks/physnet1", {"tenant_vlans": [[200, 250]]})
        assert (await api.put("/v1/switches/leaf-1", LEAF)).status == 201
        assert (await api.put(f"/v1/bindings/{PORT}", body())).status == 201
        return {
            "/v1/switches/{name}": ["leaf-1"],
            "/v1/physical-networks/{name}": ["physnet1"],
            "/v1/bindings/{ident}": [PORT],
            "uuid": [PORT, RED, str(uuid.UUID(int=0))],
        }

    assert "\n\n".join(Described(app, furnish, query={"wait": 0}).faults()) == ""
