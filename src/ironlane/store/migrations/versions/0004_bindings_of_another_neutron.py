"""bindings of another Neutron

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "foreign_bindings",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("physical_network", sa.String(length=64), nullable=False),
        sa.Column("vlan", sa.Integer(), nullable=True),
        sa.Column("side", sa.String(length=16), nullable=False),
        sa.Column("host_id", sa.String(length=255), nullable=False),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"), nullable=True),
        sa.Column("created_at", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"), nullable=False),
        sa.Column("updated_at", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_foreign_bindings")),
    )
    op.create_index(op.f("ix_foreign_bindings_change"), "foreign_bindings", ["change"], unique=False)
    op.create_index(op.f("ix_foreign_bindings_network_id"), "foreign_bindings", ["network_id"], unique=False)
    op.create_index(op.f("ix_foreign_bindings_parent_id"), "foreign_bindings", ["parent_id"], unique=False)
    op.create_index(op.f("ix_foreign_bindings_withdrawn_at"), "foreign_bindings", ["withdrawn_at"], unique=False)
    op.create_table(
        "foreign_changes",
        sa.Column("stream", sa.String(length=36), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream", name=op.f("pk_foreign_changes")),
    )
