"""links that outlive a switch that fails

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("attachments", sa.Column("established", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE attachments SET established = applied")
