"""attachments by switch port

Revision: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # The new one first: MariaDB does not let go of the last index that serves a foreign key.
    op.create_index("ix_attachments_switch_id_port_name", "attachments", ["switch_id", "port_name"])
    op.drop_index("ix_attachments_switch_id", "attachments")
