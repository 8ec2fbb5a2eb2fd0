"""what operators say of conductors

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("conductors", sa.Column("description", sa.String(length=255), server_default="", nullable=False))
