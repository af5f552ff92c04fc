"""Note which jobs are tidied: those of before are looked at once more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this change."""
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("tidied", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.create_index("jobs_by_tidied", ["tidied", "state"], unique=False)


def downgrade() -> None:
    """Undo this change."""
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_index("jobs_by_tidied")
        batch_op.drop_column("tidied")
