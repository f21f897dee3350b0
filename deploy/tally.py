"""The tally: what a run's log holds, counted while it is written.

A pure fold over records of the output topics and of the market's clock; the demo's table and its last line of JSON come
from it.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from connectors.kafka.records import Record
from functions.codec import decode
from functions.events import PnlSnapshot, SignalRejected
from functions.topics import (
    MARKET_CLOCK,
    ORDERS_FILLED,
    ORDERS_SUBMITTED,
    PNL_SNAPSHOTS,
    SIGNALS_RAW,
    SIGNALS_REJECTED,
)


@dataclass
class StrategyTally:
    """One strategy over all accounts; `net_pnl` in rupees as of its accounts' last snapshots."""

    signals: int = 0
    rejected: int = 0
    orders: int = 0
    fills: int = 0
    net_pnl: Decimal = Decimal(0)


@dataclass
class Tally:
    """Counts by topic and by strategy. A second copy of an event (same id) is counted as a record, not as an event."""

    broker: str
    counts: dict[str, int] = field(default_factory=dict)
    strategies: dict[str, StrategyTally] = field(default_factory=dict)
    rejections: dict[str, int] = field(default_factory=dict)
    dead_letters: dict[str, int] = field(default_factory=dict)
    market_time: int = 0  # microseconds since the epoch; 0 = the market has not begun
    _pnl: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._counter = {
            SIGNALS_RAW.of(self.broker).name: "signals",
            SIGNALS_REJECTED.of(self.broker).name: "rejected",
            ORDERS_SUBMITTED.of(self.broker).name: "orders",
            ORDERS_FILLED.of(self.broker).name: "fills",
        }
        self._snapshots = PNL_SNAPSHOTS.of(self.broker).name

    def add(self, record: Record, headers: list[tuple[str, bytes]] | None = None) -> None:
        """Takes one record of an output or dead-letter topic, or a second of the market's clock."""
        if record.topic == MARKET_CLOCK.name:
            self.market_time = max(self.market_time, decode(record.value or b"").data.exchange_timestamp)
            return
        self.counts[record.topic] = self.counts.get(record.topic, 0) + 1
        counter = self._counter.get(record.topic)
        if counter is not None:
            data = decode(record.value or b"").data
            strategy = self._strategy(data.strategy)
            setattr(strategy, counter, getattr(strategy, counter) + 1)
            for reason in data.reasons if isinstance(data, SignalRejected) else ():
                self.rejections[reason.rule] = self.rejections.get(reason.rule, 0) + 1
        elif record.topic == self._snapshots:
            self._snapshot(decode(record.value or b"").data)
        for name, value in headers or ():
            if name == "error":
                self.dead_letters[value.decode()] = self.dead_letters.get(value.decode(), 0) + 1

    def _strategy(self, name: str) -> StrategyTally:
        return self.strategies.setdefault(name, StrategyTally())

    def _snapshot(self, data: PnlSnapshot) -> None:
        for pnl in data.strategies:
            self._pnl[data.account, pnl.strategy] = Decimal(pnl.net_pnl)
            mine = [value for (_, strategy), value in self._pnl.items() if strategy == pnl.strategy]
            self._strategy(pnl.strategy).net_pnl = sum(mine, Decimal(0))

    def as_json(self) -> dict[str, Any]:
        """`strategies` of the summary: counts, and money as text."""
        return {
            name: {
                "signals": s.signals, "rejected": s.rejected, "orders": s.orders, "fills": s.fills, "net_pnl": str(s.net_pnl),
            }
            for name, s in sorted(self.strategies.items())
        }  # fmt: skip
