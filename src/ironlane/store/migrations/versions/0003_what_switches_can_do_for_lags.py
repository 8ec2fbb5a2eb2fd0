"""what switches can do for LAGs

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("switches", sa.Column("lags", sa.JSON(none_as_null=True), nullable=True))
