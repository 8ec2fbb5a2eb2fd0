"""sharing of networks

What is shared with everybody so far is from now on so by a policy.

Revision: 0006
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    policies = op.create_table(
        "rbac_policies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("object_type", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=36), nullable=False),
        sa.Column("target_project", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["object_id"], ["networks.id"], name=op.f("fk_rbac_policies_object_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rbac_policies")),
        sa.UniqueConstraint(
            "object_id", "target_project", "action", name=op.f("uq_rbac_policies_object_id_target_project_action")
        ),
    )
    op.create_index(op.f("ix_rbac_policies_project_id"), "rbac_policies", ["project_id"], unique=False)
    op.create_index(op.f("ix_rbac_policies_target_project"), "rbac_policies", ["target_project"], unique=False)
    networks = sa.table("networks", sa.column("id"), sa.column("project_id"), sa.column("shared", sa.Boolean))
    shared = op.get_bind().execute(sa.select(networks).where(networks.c.shared.is_(sa.true()))).all()
    op.bulk_insert(
        policies,
        [
            {
                "id": str(uuid.uuid4()),
                "project_id": network.project_id,
                "object_type": "network",
                "object_id": network.id,
                "target_project": "*",
                "action": "access_as_shared",
            }
            for network in shared
        ],
    )
