"""Backtest: the same functions as the pipeline, in one process, over a recording.

    recording ─► gate ─► signals ─► account ─► rows kept

No topic, no JSON: batches of rows go through the steps in a loop. The same ticks give the same fills as through Kafka,
to the byte, because the steps are the same functions and no step can see where a batch ends.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import numpy as np

from connectors.market_tables import built_in
from dataflows.hosts import BacktestHost
from dataflows.surroundings import unchanged
from functions.calendar import date_of, day_of
from functions.events import AccountConfig, InstrumentConfig, StrategyConfig
from functions.ids import tick_id
from functions.kernel import records
from functions.limits import LimitedBy, limited_by
from functions.market_tables import MarketTables
from functions.money import rupees
from functions.orders import CNC, REASONS, TOLD_FAILED, TOLD_SUBMITTED
from functions.portfolio import ACCOUNT, ACCOUNT_LEVEL, FILL, NOBODY
from functions.press import average_price
from functions.publication import Publication, Publisher
from functions.quality import Bounds, bounds_of, failed, judge, no_ticks_seen, reasons
from functions.risk import refusal_counts
from functions.shard import Shard
from functions.ticks import FAULTS, NO_DEPTH, NO_RANGES, Rows, copied
from functions.timestamps import timestamp
from strategies.roster import Failure, Roster

BATCH: Final = 10_000


@dataclass
class Outcome:
    """What a backtest did. Money in micro-rupees.

    Equity is looked at after every fill, at the end of every second and at the end of the run; exposure (positions at
    their last prices, long and short added) at the end of every second and at the end of the run.
    """

    shard: Shard
    ticks: int = 0
    dates: tuple[date, date] | None = None  # in India, the first and the last; None without ticks
    max_gross: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    signals: int = 0
    squared_off: int = 0  # intraday positions that the broker's cut-off closed,
    squared_off_at_last_price: int = 0  # and those of them that met no print until the session's end
    failures: list[Failure] = field(default_factory=list)  # `row` counts from the first tick
    lost_first: str = ""  # the tick of the first of them, in words
    refusals: dict[str, int] = field(default_factory=dict)
    limited_by: LimitedBy | None = None  # the limit that kept it from trading, if one did
    unfilled: dict[str, int] = field(default_factory=dict)  # orders that failed, by reason
    fills: Rows = field(default_factory=lambda: np.empty(0, FILL))
    seconds: float = 0.0  # of deciding: reading and start-up are not in it

    def summary(self) -> dict[str, Any]:
        """Plain numbers: dates, counts, money as text in rupees, open positions by strategy and symbol."""
        account = dict(zip(ACCOUNT.names or (), self.shard.accounts[0].item(), strict=True))
        net_pnl = account["realised"] + account["unrealised"] - account["charges"]
        equity = account["capital"] + net_pnl
        peak = max(account["peak"], equity)
        return {
            "limited_by": self._limited_by(),
            "first_date": self.dates[0].isoformat() if self.dates else None,
            "last_date": self.dates[1].isoformat() if self.dates else None,
            "ticks": self.ticks,
            "deciding_s": round(self.seconds, 4),
            "deciding_ticks_per_s": round(self.ticks / self.seconds) if self.seconds else 0,
            "dropped": self.dropped,
            "signals": account["signals"],
            "rejected": account["rejected"],
            "rejected_by_rule": self.refusals,
            "orders": account["orders"],
            "fills": account["fills"],
            "unfilled_by_reason": self.unfilled,
            "squared_off": self.squared_off,
            "squared_off_at_last_price": self.squared_off_at_last_price,
            "delivery_sold_on_the_day": delivery_sold_on_the_day(self.fills),
            "capital": rupees(account["capital"]),
            "realised": rupees(account["realised"]),
            "unrealised": rupees(account["unrealised"]),
            "charges": rupees(account["charges"]),
            "net_pnl": rupees(net_pnl),
            "equity": rupees(equity),
            "peak_equity": rupees(peak),
            "max_drawdown": rupees(max(account["max_drawdown"], peak - equity)),
            "gross_exposure": rupees(account["gross"]),
            "max_gross_exposure": rupees(max(self.max_gross, account["gross"])),
            "positions": self._positions(),
        }

    def _limited_by(self) -> dict[str, Any] | None:
        if self.limited_by is None:
            return None
        limit, since, refused = self.limited_by
        value = getattr(self.shard.account_configs[0].limits, limit)
        return {"limit": limit, "value": str(value), "since": timestamp(since), "refused": refused}

    def _positions(self) -> list[dict[str, Any]]:
        books = self.shard.books[: int(self.shard.shard["booked"][0])]
        return [
            {
                "strategy": self.shard.subscription_names[book["subscription"]][1],
                "symbol": self.shard.instrument_configs[book["instrument"]].tradingsymbol,
                "quantity": int(book["position"]),
                "average_price": rupees(average_price(int(book["cost"]), int(book["position"]))),
            }
            for book in books
            if book["position"]
        ]


def run(
    ticks: Rows, instruments: list[InstrumentConfig], account: AccountConfig, strategies: list[StrategyConfig], *,
    levels: Rows = NO_DEPTH, ranges: Rows = NO_RANGES, tables: MarketTables | None = None, batch: int = BATCH,
    on_events: Callable[[list[Publication]], None] | None = None, host: BacktestHost | None = None,
) -> Outcome:  # fmt: skip
    """Runs strategies of one account over TICK rows in event-time order.

    `levels` are the DEPTH rows of the ticks and `ranges` their RANGE rows, or none; `tables` are those of the project if none
    are given. With `on_events` every decided event is made, as on the topics. `host`, which has been entered, sees to it that
    strategies come to an end.
    Raises: `ValueError` (`StrategyError`) where the configuration cannot run.
    """
    shard = Shard(instruments, [account], strategies, tables or built_in())
    with unchanged():
        roster = Roster(instruments, strategies, host)
    publisher = Publisher(shard, account.broker) if on_events else None
    name_tick = _tick_names(ticks, shard.tokens) if on_events else None
    outcome = Outcome(shard, ticks=len(ticks), dates=dates(ticks))
    seen, bounds = no_ticks_seen(len(instruments)), bounds_of(shard.tables.calendar)
    fills: list[Rows] = []
    refused: list[Rows] = []
    began = time.perf_counter()
    for start in range(0, len(ticks), batch):
        part = copied(ticks[start : start + batch])
        kept = _gate(part, seen, bounds, outcome)
        accepted = part if kept is None else part[kept]
        depth = _beside(levels, start, start + batch, kept)
        extents = _beside(ranges, start, start + batch, kept)
        if host is not None:
            host.place = lambda row, first=start, kept=kept: in_words(ticks, instruments, _row(first, kept, row))
        signals, failures = roster.on_batch(accepted)
        decided = shard.run(accepted, signals, depth, extents)
        outcome.signals += len(signals)
        outcome.failures += [f._replace(row=_row(start, kept, f.row)) for f in failures]
        if failures and not outcome.lost_first:
            outcome.lost_first = in_words(ticks, instruments, outcome.failures[0].row)
        if len(decided.fills):
            fills.append(decided.fills)
            outcome.squared_off_at_last_price += int((decided.fills["row"] == NOBODY).sum())
        if len(decided.orders):
            outcome.squared_off += int(
                (decided.orders["signal"] == NOBODY)[decided.orders["told"] & TOLD_SUBMITTED > 0].sum()
            )
            failed_for = decided.orders["reason"][decided.orders["told"] & TOLD_FAILED > 0]
            for reason, count in zip(*np.unique(failed_for, return_counts=True), strict=True):
                name = REASONS[int(reason)]
                outcome.unfilled[name] = outcome.unfilled.get(name, 0) + int(count)
        outcome.max_gross = max(outcome.max_gross, _highest_gross(decided.snapshots))
        if len(decided.refusals):
            refused.append(np.stack((decided.refusals["mask"], decided.refusals["time"])))
        if publisher is not None and name_tick is not None and on_events is not None:
            rows = np.arange(start, start + len(part)) if kept is None else start + np.flatnonzero(kept)
            on_events(publisher.publish(accepted, signals, decided, lambda row, rows=rows: name_tick(int(rows[row]))))
    outcome.seconds = time.perf_counter() - began
    outcome.fills = np.concatenate(fills) if fills else np.empty(0, FILL)
    if refused:
        masks, times = np.concatenate(refused, axis=1)
        outcome.refusals = refusal_counts(masks)
        outcome.limited_by = limited_by(masks, times, outcome.signals)
    return outcome


def _beside(rows: Rows, first: int, last: int, kept: Rows | None) -> Rows:
    """What lies beside the accepted ticks of a batch; nothing where there is nothing."""
    part = rows[first:last]
    return part if kept is None or not len(part) else part[kept]


def _row(start: int, kept: Rows | None, row: int) -> int:
    """A row of what the gate has let pass, counted from the first tick."""
    return start + (row if kept is None else int(np.flatnonzero(kept)[row]))


def in_words(ticks: Rows, instruments: Sequence[InstrumentConfig], row: int) -> str:
    """Which tick a row is.

    >>> from functions.ticks import TICK
    >>> rows = np.zeros(2, TICK)
    >>> in_words(rows, [InstrumentConfig(5, "INFY", "NSE", "EQ", "0.05", 1)], 1)
    'tick 2 of 2, INFY at 1970-01-01T00:00:00.000000Z'
    """
    tick = ticks[row]
    return f"tick {row + 1} of {len(ticks)}, {instruments[tick['instrument']].tradingsymbol} at {timestamp(int(tick['time']))}"


def _highest_gross(snapshots: Rows) -> int:
    """The highest exposure of the account at the boundaries of a batch; 0 where nothing has changed."""
    gross = snapshots["gross"][snapshots["level"] == ACCOUNT_LEVEL]
    return int(gross.max()) if len(gross) else 0


def _gate(part: Rows, seen: Rows, bounds: Bounds, outcome: Outcome) -> Rows | None:
    """Which rows pass, or None where all do."""
    if not judge(records(part), records(seen), *bounds):
        return None
    bad = part["quality"] & FAULTS
    for bits, count in zip(*np.unique(bad[bad != 0], return_counts=True), strict=True):
        name = reasons(int(bits))[0]
        outcome.dropped[name] = outcome.dropped.get(name, 0) + int(count)
    return ~failed(part)


def _tick_names(ticks: Rows, tokens: list[int]) -> Callable[[int], str]:
    """Ids of ticks as a feed of the same file gives them: ordinals count ticks of one instrument at one instant."""
    order = np.lexsort((np.arange(len(ticks)), ticks["time"], ticks["instrument"]))
    times, instruments = ticks["time"][order], ticks["instrument"][order]
    fresh = np.ones(len(ticks), bool)
    fresh[1:] = (times[1:] != times[:-1]) | (instruments[1:] != instruments[:-1])
    starts = np.maximum.accumulate(np.where(fresh, np.arange(len(ticks)), 0))
    ordinals = np.empty(len(ticks), np.int64)
    ordinals[order] = np.arange(len(ticks)) - starts
    return lambda row: tick_id(tokens[ticks["instrument"][row]], int(ticks["time"][row]), int(ordinals[row]))


def delivery_sold_on_the_day(fills: Rows) -> int:
    """Shares that were bought and sold for delivery on one day: charged as delivery, which the exchange taxes as intraday."""
    mine = fills[fills["product"] == CNC]
    if not len(mine):
        return 0
    keys, at = np.unique(np.stack([mine["instrument"], day_of(mine["time"])]), axis=1, return_inverse=True)
    traded = np.zeros((2, keys.shape[1]), np.int64)
    np.add.at(traded, ((mine["side"] < 0).astype(int), at.reshape(-1)), mine["quantity"])
    return int(traded.min(axis=0).sum())


def dates(ticks: Rows) -> tuple[date, date] | None:
    """First and last date of a recording in India; `None` where it has no ticks."""
    if not len(ticks):
        return None
    return date_of(day_of(ticks["time"][0])), date_of(day_of(ticks["time"][-1]))
