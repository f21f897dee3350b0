"""Reports show money with every digit of the event's text. `numeric(18, 6)` had no room for a million million rupees: NULL.

A view's column gets another type only where the view is made anew: rights on the four that others were given go.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BROKERS = ("paper", "zerodha")
VIEWS = {
    "fill_report": (
        "fills",
        ("order_id", "account", "strategy", "tradingsymbol", "side", "instrument_token", "quantity", "remaining", "position"),
        ("price", "value", "charges", "realised_pnl", "average_price", "slippage"),
    ),
    "pnl_report": (
        "pnl_snapshots",
        ("account",),
        ("cash", "realised", "unrealised", "charges", "net_pnl", "equity", "gross_exposure", "peak_equity", "max_drawdown"),
    ),
}  # fmt: skip

IS_MONEY = r"^[+-]?[0-9]{1,100}([.][0-9]{1,100})?$"
WAS_MONEY = r"^[+-]?[0-9]{1,12}([.][0-9]{1,6})?$"
IS_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z$"


def upgrade() -> None:
    _views(IS_MONEY, "numeric")


def downgrade() -> None:
    _views(WAS_MONEY, "numeric(18, 6)")


def _views(is_money: str, kind: str) -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    time = f"""CASE WHEN "timestamp" ~ '{IS_TIME}' THEN "timestamp"::timestamptz END AS "timestamp\""""
    for broker in BROKERS:
        for view, (table, plain, money) in VIEWS.items():
            amounts = [f"""CASE WHEN "{m}" ~ '{is_money}' THEN "{m}"::{kind} END AS "{m}\"""" for m in money]
            columns = ", ".join(["id", time, *(f'"{name}"' for name in plain), *amounts])
            op.execute(f"DROP VIEW {broker}.{view}")
            op.execute(f"CREATE VIEW {broker}.{view} AS SELECT {columns} FROM {broker}.{table}")
