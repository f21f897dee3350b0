"""Postgres: what Kafka Connect reads and writes. The outbox is published; fills and P&L have tables in a schema a broker.

Money stays the text of the event: a value that is no number would stop the connector that writes it, and with it every
row behind it. The views `fill_report` and `pnl_report` show it as NUMERIC(18,6), and NULL where the text is no number.
SQLite has none of this: there a flow reads the outbox, and the lake has the reports.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BROKERS = ("paper", "zerodha")
PUBLICATION = "panda_outbox"

FILL_TEXTS = ("order_id", "account", "strategy", "tradingsymbol", "side")
FILL_COUNTS = ("instrument_token", "quantity", "remaining", "position")
FILL_MONEY = ("price", "value", "charges", "realised_pnl", "average_price", "slippage")
PNL_TEXTS = ("account",)
PNL_MONEY = (
    "cash", "realised", "unrealised", "charges", "net_pnl", "equity", "gross_exposure", "peak_equity", "max_drawdown",
)  # fmt: skip

IS_MONEY = r"^[+-]?[0-9]{1,12}([.][0-9]{1,6})?$"  # what NUMERIC(18,6) can hold
IS_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z$"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE outbox WITH (publish = 'insert')")
    for broker in BROKERS:
        op.execute(f"CREATE SCHEMA IF NOT EXISTS {broker}")
        _report(broker, "fills", FILL_TEXTS, FILL_COUNTS, FILL_MONEY)
        _report(broker, "pnl_snapshots", PNL_TEXTS, (), PNL_MONEY)
        _view(broker, "fill_report", "fills", FILL_TEXTS + FILL_COUNTS, FILL_MONEY)
        _view(broker, "pnl_report", "pnl_snapshots", PNL_TEXTS, PNL_MONEY)


def _report(broker: str, table: str, texts: tuple[str, ...], counts: tuple[str, ...], money: tuple[str, ...]) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in texts),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counts),
        *(sa.Column(name, sa.Text(), nullable=False) for name in money),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        schema=broker,
    )
    op.create_index(f"ix_{table}_account_timestamp", table, ["account", "timestamp"], schema=broker)


def _view(broker: str, view: str, table: str, plain: tuple[str, ...], money: tuple[str, ...]) -> None:
    time = f"""CASE WHEN "timestamp" ~ '{IS_TIME}' THEN "timestamp"::timestamptz END AS "timestamp\""""
    amounts = [f"""CASE WHEN "{m}" ~ '{IS_MONEY}' THEN "{m}"::numeric(18, 6) END AS "{m}\"""" for m in money]
    columns = ", ".join(["id", time, *(f'"{name}"' for name in plain), *amounts])
    op.execute(f"CREATE VIEW {broker}.{view} AS SELECT {columns} FROM {broker}.{table}")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for broker in BROKERS:
        for view, table in (("fill_report", "fills"), ("pnl_report", "pnl_snapshots")):
            op.execute(f"DROP VIEW {broker}.{view}")
            op.drop_table(table, schema=broker)
    op.execute(f"DROP PUBLICATION {PUBLICATION}")
