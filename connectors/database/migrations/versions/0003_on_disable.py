"""A strategy says what becomes of its positions when it is disabled or deleted.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("strategies", sa.Column("on_disable", sa.String(8), nullable=False, server_default="hold"))


def downgrade() -> None:
    op.drop_column(
        "strategies", "on_disable"
    )  # in place: making the table anew would take the rows that refer to it along
