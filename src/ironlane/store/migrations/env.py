"""Alembic's entry point: runs the migrations on the connection that `ironlane.store.schema` hands over."""

from alembic import context

from ironlane.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
context.run_migrations()
