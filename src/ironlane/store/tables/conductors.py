"""The processes that share the work."""

from __future__ import annotations

import sqlalchemy as sa

from ironlane.store.tables.columns import UtcDateTime, flag, json, metadata, text, times

conductors = sa.Table(
    "conductors",
    metadata,
    text("hostname", primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False, default=1),
    text("conductor_group"),
    json("drivers", list),
    text("cleaning_network"),
    text("provisioning_network"),
    text("description", server_default=""),  # whatever an operator wants to say of it
    flag("online", True),
    sa.Column("heartbeat_at", UtcDateTime, nullable=False),
    *times(),
)

write_turn = sa.Table(
    # On MariaDB, one row that every transaction which writes changes first: see `store/mariadb.py`.
    "write_turn",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)
