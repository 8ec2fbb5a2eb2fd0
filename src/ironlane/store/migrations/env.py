"""Alembic's entry point: runs the migrations on the connection that `ironlane.store.schema` hands over."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from ironlane.store.tables import UtcDateTime, metadata


def _render(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    """Our own column type is written as what it is in the database, so that old versions stay what they were."""
    if kind != "type" or not isinstance(item, UtcDateTime):
        return False
    autogenerate.imports.add("from sqlalchemy.dialects import mysql")
    return 'sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")'


connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False, render_item=_render)
context.run_migrations()
