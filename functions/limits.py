"""Risk limits by their names: set from text, the loosest of all, and which of them kept a strategy from trading."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import asdict, replace

from functions.configuration import (
    DAY_MS,
    MAX_CAPITAL,
    MAX_GROSS_EXPOSURE,
    MAX_OPEN_ORDERS,
    MAX_ORDER_VALUE,
    MAX_QUANTITY,
)
from functions.events import RiskLimits
from functions.money import rupees
from functions.risk import BIT
from functions.ticks import Rows

LIMIT_OF: Final = {
    "max_quantity": "max_quantity", "max_order_value": "max_order_value", "price_deviation": "max_price_deviation_bps",
    "stale_price": "max_price_age_ms", "position_limit": "max_position", "gross_exposure": "max_gross_exposure",
    "cash": "margin_bps", "orders_per_second": "max_orders_per_second", "orders_per_day": "max_orders_per_day",
    "duplicate_signal": "duplicate_window_ms", "daily_loss": "max_daily_loss", "drawdown": "max_drawdown",
    "max_open_orders": "max_open_orders",
}  # fmt: skip  # by the rule that holds it; the other rules have no limit that one could set
_ANY: Final = sum(BIT[rule] for rule in LIMIT_OF)

LOOSEST: Final = RiskLimits(
    max_quantity=MAX_QUANTITY,
    max_order_value=rupees(MAX_ORDER_VALUE),
    max_price_deviation_bps=10_000,
    max_price_age_ms=DAY_MS,
    max_position=MAX_QUANTITY,
    max_gross_exposure=rupees(MAX_GROSS_EXPOSURE),
    max_orders_per_second=1_000_000,
    max_orders_per_day=1_000_000_000,
    duplicate_window_ms=0,
    max_daily_loss=rupees(MAX_CAPITAL),
    max_drawdown=rupees(MAX_CAPITAL),
    max_open_orders=MAX_OPEN_ORDERS,
)  # as far as the engine can count; the margin stays: nobody trades with money that he does not have


def with_limits(limits: RiskLimits, texts: Mapping[str, str]) -> RiskLimits:
    """Limits, some of them as their text says. Raises: `ValueError` for an unknown name or what is no whole number.

    An amount stays text: `validate_limits` reads it, and knows the bounds of all.

    >>> with_limits(RiskLimits(), {"max_position": "5", "max_daily_loss": "750.50"}).max_position
    5
    """
    known = asdict(limits)
    given: dict[str, int | str] = {}
    for name, text in texts.items():
        if name not in known:
            raise ValueError(f"no limit is named {name!r}; there is {', '.join(known)}")
        if isinstance(known[name], str):
            given[name] = text
        elif text.isascii() and text.removeprefix("-").isdigit() and len(text) < 100:
            given[name] = int(text)
        else:
            raise ValueError(f"limit {name} takes a whole number, was {text!r}")
    return replace(limits, **given)


class LimitedBy(NamedTuple):
    """The limit that refused most signals."""

    limit: str
    since: int  # event time of its first refusal, ns
    refused: int  # signals, those that other rules refused too included


def limited_by(masks: Rows, times: Rows, signals: int) -> LimitedBy | None:
    """Which limit kept a strategy from trading: the busiest, where limits refused more than half of all signals.

    Shape: `masks` (rules that refused, as bits) and `times` (ns) are ``(n,)``, one entry a refusal, in order of time.
    """
    if 2 * np.count_nonzero(masks & _ANY) <= signals:
        return None
    counts = {rule: int(np.count_nonzero(masks & BIT[rule])) for rule in LIMIT_OF}
    busiest = max(counts, key=counts.__getitem__)
    first = int(np.flatnonzero(masks & BIT[busiest])[0])
    return LimitedBy(LIMIT_OF[busiest], int(times[first]), counts[busiest])
