"""Simulator: a day at NSE that never was, the same for the same seed.

    price path (a row a second) ─► blocks of a minute (ticks, depth) ─► bad ticks ─► chunks

The path is drawn first. Ticks are drawn for one minute at a time, each minute from a generator of its own, so that memory
stays small and no way of cutting the day into chunks changes a byte. Bad ticks come last, from a third generator: without
them the day is the same day. There is no clock and no global state here.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from functions.arrays import Booleans, Floats, Integers
from functions.bad_ticks import with_faults
from functions.calendar import SECOND, Calendar
from functions.price_paths import REGIME_SPREAD, Market, Path, path, tick_sizes
from functions.ticks import DEPTH, LEVELS, NO_DEPTH, NO_RANGES, NO_TICKS, TICK, Rows

BLOCK_S: Final = 60
_TRADES: Final = 0.6  # share of ticks that are a trade; the rest only change the book
_CLEAN_TICKS, _BAD_TICKS = 1, 2  # which generator


class Chunk(NamedTuple):
    """A stretch of the day: everything up to `until` (ns, exclusive) that no earlier chunk had.

    Rows are in the order in which they are fed, by event time but for the rows that are faulty; `faults` says which
    are. `depth` has one DEPTH row for each tick, `ranges` one RANGE row where some are prints of bars, or none.
    """

    until: int
    ticks: Rows
    depth: Rows
    faults: npt.NDArray[np.uint8]
    ranges: Rows = NO_RANGES


NO_FAULTS: Final = np.empty(0, np.uint8)


@dataclass
class _Carried:
    """What a minute hands to the next, by instrument."""

    price: Integers  # last traded, in ticks; 0 = none yet
    volume: Integers
    open_interest: Integers


class _Facts(NamedTuple):
    """What does not change during the day, by instrument."""

    size: Integers  # of a tick, micro-rupees
    lot: Integers
    lots: Floats
    spread: Floats  # a fraction, in the calm regime
    is_index: Booleans
    has_interest: Booleans


def day(
    market: Market, date: dt.date, seed: int, calendar: Calendar, *, chunk_s: float = 1.0,
    bad_tick_rate: float | None = None,
) -> Iterator[Chunk]:  # fmt: skip
    """A day's ticks in chunks of `chunk_s` seconds of market time, the last one at the close of the last session.

    The same market, date and seed give the same bytes, whatever the chunks. `bad_tick_rate` replaces the market's.
    Raises: `ValueError` for a day on which there is no session, a chunk of no length or a rate outside 0 to 1.
    """
    if chunk_s <= 0:
        raise ValueError(f"a chunk is longer than 0 seconds, was {chunk_s}")
    rate = market.bad_tick_rate if bad_tick_rate is None else bad_tick_rate
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"bad_tick_rate is a share between 0 and 1, was {rate}")
    course = path(market, date, seed, calendar)
    return _cut(_blocks(market, course, [seed, date.toordinal()], rate), course, int(chunk_s * SECOND))


def _cut(blocks: Iterator[Chunk], course: Path, step: int) -> Iterator[Chunk]:
    """Blocks of a minute as chunks of another length; only the cuts differ."""
    close = course.opens + course.seconds * SECOND
    edge = min(course.opens + step, close)
    waiting = Chunk(course.opens, NO_TICKS, NO_DEPTH, NO_FAULTS)
    for block in blocks:
        joined = Chunk(
            block.until,
            np.concatenate([waiting.ticks, block.ticks]),
            np.concatenate([waiting.depth, block.depth]),
            np.concatenate([waiting.faults, block.faults]),
        )
        reached = np.maximum.accumulate(joined.ticks["time"]) if len(joined.ticks) else joined.ticks["time"]
        start = 0
        while edge <= block.until:
            end = int(np.searchsorted(reached, edge)) if edge < close else len(reached)
            yield Chunk(edge, joined.ticks[start:end], joined.depth[start:end], joined.faults[start:end])
            start = end
            if edge == close:
                return
            edge = min(edge + step, close)
        waiting = Chunk(block.until, joined.ticks[start:], joined.depth[start:], joined.faults[start:])


def _blocks(market: Market, course: Path, entropy: list[int], rate: float) -> Iterator[Chunk]:
    count = len(market.instruments)
    carried = _Carried(
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.array([i.open_interest for i in market.instruments], np.int64),
    )
    facts = _Facts(
        tick_sizes(market),
        np.array([max(i.config.lot_size, 1) for i in market.instruments], np.int64),
        np.array([i.typical_lots for i in market.instruments]),
        np.array([i.spread_bps * 1e-4 for i in market.instruments]),
        np.array([i.config.kind == "INDEX" for i in market.instruments]),
        np.array([i.open_interest > 0 for i in market.instruments]),
    )
    for n, first in enumerate(range(0, course.seconds, BLOCK_S)):
        last = min(first + BLOCK_S, course.seconds)
        rng = np.random.default_rng([*entropy, _CLEAN_TICKS, n])
        ticks, depth = _minute(market, course, facts, carried, rng, first, last)
        until = course.opens + last * SECOND
        if rate > 0:
            faulty = np.random.default_rng([*entropy, _BAD_TICKS, n])
            yield Chunk(until, *with_faults(ticks, depth, faulty, rate))
        else:
            yield Chunk(until, ticks, depth, np.zeros(len(ticks), np.uint8))


def _minute(
    market: Market, course: Path, facts: _Facts, carried: _Carried, rng: np.random.Generator, first: int, last: int
) -> tuple[Rows, Rows]:  # fmt: skip
    """Ticks and depth of the seconds from `first` to `last`, by event time. Moves on what is carried."""
    counts = rng.poisson(course.rates[first:last]).T  # instruments one after the other
    each = counts.sum(axis=1)
    instrument = np.repeat(np.arange(len(each)), each)
    second = first + np.concatenate([np.repeat(np.arange(last - first), row) for row in counts])
    total = len(instrument)
    fresh = np.ones(total, bool)  # the first of its instrument
    fresh[1:] = instrument[1:] != instrument[:-1]
    index = facts.is_index[instrument]

    micros = _times(rng, second, instrument, fresh, index, market.equal_times)
    equal = np.zeros(total, bool)
    equal[1:] = (micros[1:] == micros[:-1]) & ~fresh[1:]
    trades = (rng.random(total) < _TRADES) | equal | index | (carried.price[instrument] == 0)

    bid, ask, middle = _book(course, facts, rng, second, micros, instrument)
    pinned = course.pinned[second, instrument]
    traded = np.where(index, middle, _trade_prices(course, rng, second, instrument, bid, ask, pinned))
    price = _last_traded(traded, trades, fresh, carried.price[instrument])
    busy = np.sqrt(course.activity[second]) * facts.lots[instrument]
    shares = np.ceil(rng.lognormal(-0.3, 0.8, total) * busy).astype(np.int64) * facts.lot[instrument]
    volume = _running(np.where(trades & ~index, shares, 0), fresh) + carried.volume[instrument]
    lots = rng.integers(-20, 21, total) * facts.lot[instrument]
    changes = np.where(trades & facts.has_interest[instrument], lots, 0)
    interest = np.maximum(_running(changes, fresh) + carried.open_interest[instrument], 0)

    depth = _depth(facts, rng, instrument, bid, ask, busy, pinned, index)
    ticks = np.zeros(total, TICK)
    ticks["time"] = course.opens + micros * 1000
    ticks["price"] = price * facts.size[instrument] / 1e6
    ticks["bid"] = depth["bid"][:, 0] / 1e6
    ticks["ask"] = depth["ask"][:, 0] / 1e6
    ticks["bid_quantity"] = depth["bid_quantity"][:, 0]
    ticks["ask_quantity"] = depth["ask_quantity"][:, 0]
    ticks["volume"] = volume
    ticks["open_interest"] = interest
    ticks["instrument"] = instrument

    ends = np.flatnonzero(np.append(fresh[1:], True)) if total else np.empty(0, np.int64)
    at = instrument[ends]
    carried.price[at], carried.volume[at], carried.open_interest[at] = price[ends], volume[ends], interest[ends]
    order = np.argsort(ticks["time"], kind="stable")
    return ticks[order], depth[order]


def _times(
    rng: np.random.Generator, second: Integers, instrument: Integers, fresh: Booleans, index: Booleans, equal: float
) -> Integers:  # fmt: skip
    """Microseconds since the open, ascending for each instrument; some equal to the one before, an index never."""
    total = len(second)
    micros = second * 1_000_000 + rng.integers(0, 999_000, total)
    micros = micros[np.lexsort((micros, instrument))]
    repeats = (rng.random(total) < equal) & ~fresh & ~index
    micros = micros[np.maximum.accumulate(np.where(repeats, 0, np.arange(total)))]
    rank = np.arange(int(index.sum()))
    apart = instrument[index] * 10**12 - rank  # keeps each index ahead of the one before it
    micros[index] = np.maximum.accumulate(micros[index] + apart) - apart
    return micros


def _book(
    course: Path, facts: _Facts, rng: np.random.Generator, second: Integers, micros: Integers, instrument: Integers
) -> tuple[Integers, Integers, Integers]:  # fmt: skip
    """Best bid and ask and the middle, in ticks. The spread widens with volatility and is never below one tick."""
    part = micros / 1e6 - second
    start, end = course.middles[second, instrument], course.middles[second + 1, instrument]
    middle = (start + (end - start) * part) * 1e6 / facts.size[instrument]
    wide = (
        REGIME_SPREAD[course.regimes[second]] * np.sqrt(course.activity[second]) * rng.lognormal(0.0, 0.25, len(second))
    )
    spread = np.maximum(np.rint(middle * facts.spread[instrument] * wide), 1.0)
    bid = np.maximum(np.rint(middle - spread / 2.0), 1.0).astype(np.int64)
    ask = bid + spread.astype(np.int64)
    lower, upper = course.lower[instrument], course.upper[instrument]
    bid = np.clip(bid, lower, upper - 1)
    return bid, np.clip(ask, bid + 1, upper), np.rint(middle).astype(np.int64)


def _trade_prices(
    course: Path, rng: np.random.Generator, second: Integers, instrument: Integers, bid: Integers, ask: Integers,
    pinned: npt.NDArray[np.int8],
) -> Integers:  # fmt: skip
    """At the ask when buyers press, at the bid when sellers do, at the band when there is only one side."""
    moved = np.log(course.middles[second + 1, instrument] / course.middles[second, instrument])
    pressure = np.tanh(moved / course.volatility[second, instrument])
    bought = rng.random(len(second)) < 0.5 + 0.35 * pressure
    prices = np.where(bought, ask, bid)
    prices = np.where(pinned > 0, course.upper[instrument], prices)
    return np.where(pinned < 0, course.lower[instrument], prices)


def _last_traded(traded: Integers, trades: Booleans, fresh: Booleans, before: Integers) -> Integers:
    """The last price at each row: a row that is no trade shows the trade before it."""
    known = np.where(trades, traded, before)  # of a first row that is no trade: what was carried
    at = np.where(trades | fresh, np.arange(len(traded)), 0)
    return known[np.maximum.accumulate(at)]


def _running(values: Integers, fresh: Booleans) -> Integers:
    """Sums so far, started anew at each fresh row."""
    sums = np.cumsum(values)
    starts = np.maximum.accumulate(np.where(fresh, np.arange(len(values)), 0))
    return sums - (sums - values)[starts]


def _depth(
    facts: _Facts, rng: np.random.Generator, instrument: Integers, bid: Integers, ask: Integers, busy: Floats,
    pinned: npt.NDArray[np.int8], index: Booleans,
) -> Rows:  # fmt: skip
    """Five levels a side with quantities that grow away from the touch; none for an index, one side at the band."""
    total = len(instrument)
    away = np.zeros((2, total, LEVELS), np.int64)
    away[:, :, 1:] = np.cumsum(rng.integers(1, 3, (2, total, LEVELS - 1)), axis=2)
    growth = 1.0 + 0.35 * np.arange(LEVELS)
    lots = np.ceil(rng.lognormal(1.0, 0.6, (2, total, LEVELS)) * (busy[:, None] * growth)).astype(np.int64)
    lots[:, pinned != 0] *= 25  # everybody waits at the band
    quantities = lots * facts.lot[instrument][:, None]
    depth = np.zeros(total, DEPTH)
    size = facts.size[instrument][:, None]
    best_bid = np.where(pinned > 0, ask, bid)
    best_ask = np.where(pinned < 0, bid, ask)
    for side, sign, best, gone in (("bid", -1, best_bid, pinned < 0), ("ask", 1, best_ask, pinned > 0)):
        row = 0 if side == "bid" else 1
        levels = best[:, None] + sign * away[row]
        shown = (levels > 0) & ~(gone | index)[:, None]
        depth[side] = np.where(shown, levels * size, 0)
        depth[f"{side}_quantity"] = np.where(shown, quantities[row], 0)
    return depth
