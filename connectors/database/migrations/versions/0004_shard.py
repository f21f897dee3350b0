"""An account may be put into a shard of the operator's choice.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("shard", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("accounts", "shard")  # in place: making the table anew would take the rows that refer to it along
