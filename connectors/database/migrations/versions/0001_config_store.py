"""The config store: instruments, accounts, strategies and the outbox.

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _configured() -> list[sa.Column]:
    return [
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "instruments",
        sa.Column("instrument_token", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tradingsymbol", sa.String(64), nullable=False),
        sa.Column("exchange", sa.String(8), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("tick_size", sa.Text(), nullable=False),
        sa.Column("lot_size", sa.Integer(), nullable=False),
        sa.Column("closing_auction", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        *_configured(),
        sa.PrimaryKeyConstraint("instrument_token", name="pk_instruments"),
        sa.UniqueConstraint("exchange", "tradingsymbol", name="uq_instruments_exchange"),
    )
    op.create_table(
        "accounts",
        sa.Column("account", sa.String(40), nullable=False),
        sa.Column("broker", sa.String(20), nullable=False),
        sa.Column("capital", sa.Text(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("venue", sa.JSON(), nullable=False),
        sa.Column("killed", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        *_configured(),
        sa.PrimaryKeyConstraint("account", name="pk_accounts"),
    )
    op.create_table(
        "strategies",
        sa.Column("strategy", sa.String(40), nullable=False),
        sa.Column("implementation", sa.String(200), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("product", sa.String(8), nullable=False),
        sa.Column("sizing", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("zerodha_trading_enabled", sa.Boolean(), nullable=False),
        *_configured(),
        sa.PrimaryKeyConstraint("strategy", name="pk_strategies"),
    )
    _create_links()
    _create_outbox()


def _create_links() -> None:
    for table, column, kind, target in (
        ("strategy_instruments", "instrument_token", sa.BigInteger(), "instruments"),
        ("strategy_accounts", "account", sa.String(40), "accounts"),
    ):
        op.create_table(
            table,
            sa.Column("strategy", sa.String(40), nullable=False),
            sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column(column, kind, nullable=False),
            sa.PrimaryKeyConstraint("strategy", "position", name=f"pk_{table}"),
            sa.ForeignKeyConstraint(
                ["strategy"], ["strategies.strategy"], name=f"fk_{table}_strategy", ondelete="CASCADE"
            ),
            sa.ForeignKeyConstraint([column], [f"{target}.{column}"], name=f"fk_{table}_{column}"),
        )
        op.create_index(f"ix_{table}_{column}", table, [column])


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("topic", sa.String(100), nullable=False),
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("event_type", sa.String(40), nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_published_at_id", "outbox", ["published_at", "id"])
    op.create_index("ix_outbox_topic_key_id", "outbox", ["topic", "key", "id"])


def downgrade() -> None:
    for table in ("outbox", "strategy_accounts", "strategy_instruments", "strategies", "accounts", "instruments"):
        op.drop_table(table)
