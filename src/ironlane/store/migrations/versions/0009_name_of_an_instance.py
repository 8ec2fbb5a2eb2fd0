"""name of an instance

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("instance_name", sa.String(length=255), nullable=True))
