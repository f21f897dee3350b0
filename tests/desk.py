"""A trading desk in a few words: makers for specs, and one shard that folds them.

Times are seconds after 10:00 IST on Wednesday 2026-05-06, prices rupees, money in assertions micro-rupees or text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from functions.events import (
    AccountConfig,
    InstrumentConfig,
    PaperVenue,
    RiskLimits,
    Sizing,
    StrategyConfig,
)
from functions.orders import KINDS, PRODUCTS
from functions.risk import rules_of
from functions.shard import Decisions, Shard
from functions.signals import SIGNAL
from functions.ticks import CLOCK, CLOSING, DEPTH, NO_DEPTH, NO_RANGES, OPENING, RANGE, TICK, UNTRADED
from tests.tables import TABLES

SECOND = 1_000_000_000
TEN = int(datetime(2026, 5, 6, 4, 30, tzinfo=UTC).timestamp()) * SECOND
RUPEE = 1_000_000

LAX = RiskLimits(
    max_quantity=1_000_000, max_order_value="100000000", max_price_deviation_bps=10_000, max_price_age_ms=10_000_000,
    max_position=1_000_000, max_gross_exposure="10000000000", margin_bps=0, max_orders_per_second=1_000_000,
    max_orders_per_day=10_000_000, duplicate_window_ms=0, max_daily_loss="100000000", max_drawdown="100000000",
    max_open_orders=100,
)  # fmt: skip
FREE = PaperVenue(price="last", charges=False)


def lax(**changes: Any) -> RiskLimits:
    """Limits that refuse nothing, but for these."""
    return RiskLimits(**{f: getattr(LAX, f) for f in LAX.__struct_fields__} | changes)


def instrument(token: int = 1, kind: str = "EQ", exchange: str = "NSE", tick: str = "0.05", lot: int = 1, **more: Any):
    return InstrumentConfig(token, f"S{token}", exchange, kind, tick, lot, **more)


def account(name: str = "a", capital: str = "1000000", limits: RiskLimits = LAX, venue: PaperVenue = FREE, **more: Any):
    return AccountConfig(name, "paper", capital, limits, venue, **more)


def strategy(name: str = "s", instruments: Sequence[int] = (1,), accounts: Sequence[str] = ("a",), **more: Any):
    return StrategyConfig(
        name,
        more.pop("implementation", "momentum"),
        more.pop("parameters", {}),
        list(instruments),
        list(accounts),
        **more,
    )


def units(amount: str = "1") -> Sizing:
    return Sizing("units", amount)


@dataclass
class Tick:
    """One tick and the signals that strategies have for it."""

    price: float
    at: float = 0.0  # seconds after ten
    instrument: int = 0
    bid: float = 0.0
    ask: float = 0.0
    bid_quantity: int = 0
    ask_quantity: int = 0
    signals: list[dict[str, Any]] = field(default_factory=list)
    levels: tuple[list[tuple[float, int]], list[tuple[float, int]]] | None = None  # (bids, asks)
    quality: int = 0
    extent: tuple[float, float, float] | None = None  # of the bar that ends here: its start, high and low

    def buy(self, quantity: int, **more: Any) -> "Tick":
        self.signals.append({"side": 1, "quantity": quantity, **more})
        return self

    def sell(self, quantity: int, **more: Any) -> "Tick":
        self.signals.append({"side": -1, "quantity": quantity, **more})
        return self


def tick(price: float, at: float = 0.0, **more: Any) -> Tick:
    return Tick(price, at, **more)


def bar(at: float, prices: str, *, seconds: float = 60, traded: bool = True, instrument: int = 0) -> tuple[Tick, Tick]:
    """The opening and the closing print of a bar that begins `at`; `prices` are open, high, low and close."""
    open_, high, low, close = map(float, prices.split())
    rest = 0 if traded else int(UNTRADED)
    return (
        Tick(open_, at, instrument, quality=int(OPENING) | rest),
        Tick(close, at + seconds - 1e-6, instrument, quality=int(CLOSING) | rest, extent=(at, high, low)),
    )


def clock(at: float) -> Tick:
    return Tick(0.0, at, instrument=int(CLOCK))


def tick_rows(ticks: Sequence[Tick]) -> np.ndarray:
    rows = np.zeros(len(ticks), TICK)
    for row, t in zip(rows, ticks, strict=True):
        row["time"] = TEN + round(t.at * 1e9)
        for name in ("price", "bid", "ask", "bid_quantity", "ask_quantity", "instrument", "quality"):
            row[name] = getattr(t, name)
    return rows


def signal_rows(ticks: Sequence[Tick]) -> np.ndarray:
    rows = []
    for n, t in enumerate(ticks):
        for order, s in enumerate(sorted(t.signals, key=lambda s: s.get("strategy", 0))):
            product = PRODUCTS.index(s["product"]) if "product" in s else -1
            rows.append(
                (
                    n, s["quantity"], round(1e6 * s.get("limit", 0.0)), round(1e6 * s.get("trigger", 0.0)), 0,
                    s.get("strategy", 0), s.get("instrument", t.instrument), s["side"], KINDS.index(s.get("kind", "MARKET")),
                    product, order, s.get("follower", 0), 0,
                )
            )  # fmt: skip
    return np.array(rows, SIGNAL)


def depth_rows(ticks: Sequence[Tick]) -> np.ndarray:
    if all(t.levels is None for t in ticks):
        return NO_DEPTH
    rows = np.zeros(len(ticks), DEPTH)
    for row, t in zip(rows, ticks, strict=True):
        for side, name in ((0, "bid"), (1, "ask")):
            for n, (price, quantity) in enumerate(t.levels[side] if t.levels else []):
                row[name][n] = round(1e6 * price)
                row[f"{name}_quantity"][n] = quantity
    return rows


def range_rows(ticks: Sequence[Tick]) -> np.ndarray:
    if all(t.extent is None for t in ticks):
        return NO_RANGES
    rows = np.zeros(len(ticks), RANGE)
    for row, t in zip(rows, ticks, strict=True):
        if t.extent is not None:
            start, high, low = t.extent
            row["start"], row["high"], row["low"] = TEN + round(start * 1e9), round(1e6 * high), round(1e6 * low)
    return rows


class Desk:
    """One shard; by default one instrument, one account without limits, one strategy, last-price fills, no charges."""

    def __init__(self, instruments=None, accounts=None, strategies=None, *, limits=None, venue=None, capital="1000000"):
        instruments = instruments or [instrument()]
        accounts = accounts or [account(limits=limits or LAX, venue=venue or FREE, capital=capital)]
        strategies = strategies or [strategy(instruments=[i.instrument_token for i in instruments])]
        self.shard = Shard(instruments, accounts, strategies, TABLES, buffer=64)
        self.told: list[Decisions] = []

    def run(self, *ticks: Tick) -> "Desk":
        """Folds ticks as one batch."""
        self.told.append(self.shard.run(tick_rows(ticks), signal_rows(ticks), depth_rows(ticks), range_rows(ticks)))
        return self

    def rows(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(told, name) for told in self.told])

    @property
    def fills(self) -> list[tuple[int, float]]:
        """(signed quantity, price in rupees) of every fill."""
        return [(int(f["side"] * f["quantity"]), f["price"] / RUPEE) for f in self.rows("fills")]

    @property
    def refused(self) -> list[list[str]]:
        """The rules that refused, of every refusal."""
        return [list(rules_of(int(r["mask"]))) for r in self.rows("refusals")]

    def account(self, field: str, a: int = 0) -> int:
        return int(self.shard.accounts[a][field])

    def book(self, field: str, s: int = 0, i: int = 0) -> int:
        b = self.shard.book_index[s, i]
        return int(self.shard.books[b][field]) if b >= 0 else 0


def tick_name(row: int) -> str:
    """An id for the tick of a row, in the shape of all ids."""
    return f"{row:08d}-0000-7000-a000-000000000000"
