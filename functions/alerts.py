"""Alerts: rows for a human, and the steps of an order, of which an illegal one is an alert."""

from typing import Final

import numpy as np

from functions.kernel import kernel
from functions.orders import advance
from functions.portfolio import NOBODY

(
    ILLEGAL_TRANSITION, DAILY_LOSS_HALT, SQUARE_OFF_AT_MARKET, SQUARE_OFF_AT_LAST_PRICE, INTRADAY_STILL_HELD,
) = (np.int64(n) for n in range(5))  # fmt: skip
ALERTS: Final = (
    "illegal_transition", "daily_loss_halt", "square_off_at_market", "square_off_at_last_price", "intraday_still_held",
)  # fmt: skip
ALERT: Final = np.dtype(
    [("time", "i8"), ("ordinal", "i8"), ("observed", "i8"), ("limit", "i8"), ("code", "i4"), ("account", "i4")],
    align=True,
)


@kernel
def next_ordinal(shard):
    shard.ordinal += 1
    return shard.ordinal


@kernel
def alert(shard, alerts, code, account, observed, limit):
    """A row for a human; beyond the room left nothing is lost but the repetition."""
    if shard.alerts_told < alerts.shape[0]:
        row = alerts[shard.alerts_told]
        shard.alerts_told += 1
        row.time = shard.now
        row.ordinal = next_ordinal(shard)
        row.code = code
        row.account = account
        row.observed = observed
        row.limit = limit


@kernel
def move(shard, alerts, order, event):
    """The order's next state; an illegal step is an alert and no step."""
    if not advance(order, event):
        alert(shard, alerts, ILLEGAL_TRANSITION, NOBODY, order.number, event)
