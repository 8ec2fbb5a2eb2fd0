"""links that outlive a switch that fails

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("attachments", sa.Column("established", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE attachments SET established = applied")
