"""Simulator: a day at NSE that never was, the same for the same seed.

    path (a row a second: regimes, fair prices, events) ─► blocks of a minute (ticks, depth) ─► faults ─► chunks

The path is drawn first: Markov regimes of volatility, one market factor and one of each share, momentum bursts, gaps,
a mean-reverting part; then one share runs into its price band and another is halted; the index follows its members, a
future its underlying. Ticks are drawn for one minute at a time, each minute from a generator of its own, so that memory
stays small and no way of cutting the day into chunks changes a byte. Faults come last, from a third generator: without
them the day is the same day. There is no clock and no global state here.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from functions.calendar import SECOND, session, session_class
from functions.events import InstrumentConfig, micro
from functions.ticks import DEPTH, LEVELS, NO_DEPTH, NO_TICKS, TICK, UNKNOWN, Rows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

# --- faults -----------------------------------------------------------------------------------------------------------

(
    CLEAN, NON_POSITIVE_PRICE, NO_PRICE, UNKNOWN_INSTRUMENT, TIME_BACKWARDS, DUPLICATE, UNDECODABLE, MISSING_FIELD,
) = (np.uint8(n) for n in range(8))  # fmt: skip
FAULTS: Final = {
    int(NON_POSITIVE_PRICE): "non_positive_price",
    int(NO_PRICE): "no_price",  # NaN in the row, null in JSON
    int(UNKNOWN_INSTRUMENT): "unknown_instrument",
    int(TIME_BACKWARDS): "time_backwards",
    int(DUPLICATE): "duplicate",  # equal in every field to the tick before it
    int(UNDECODABLE): "undecodable",  # the row is sound, the bytes made from it must not be
    int(MISSING_FIELD): "missing_field",  # likewise: JSON without the price
}
UNREADABLE: Final = (int(NO_PRICE), int(UNDECODABLE), int(MISSING_FIELD))  # no reader gets as far as a row
UNKNOWN_TOKEN: Final = 999_999_999  # what the feed writes for a row of UNKNOWN


# --- the market -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Simulated:
    """One instrument and how it behaves on an ordinary day.

    `minute_volatility` is the deviation of a minute's log return in the normal regime, `spread_bps` the spread in the
    calm one, `typical_lots` the usual trade. A `weight` puts a share into the index; an index or future names what it
    follows: an index its members (no `underlying`), a future its `underlying` token.
    """

    config: InstrumentConfig
    start_price: float
    beta: float = 1.0
    minute_volatility: float = 0.0006
    ticks_per_second: float = 2.5
    spread_bps: float = 1.5
    typical_lots: float = 30.0
    weight: float = 0.0
    underlying: int | None = None
    open_interest: int = 0


def _share(
    token: int, symbol: str, tick_size: str, price: float, weight: float, beta: float, typical_lots: float
) -> Simulated:
    """A share with derivatives, hence with a closing auction."""
    config = InstrumentConfig(token, symbol, "NSE", "EQ", tick_size, 1, closing_auction=True)
    return Simulated(config, price, beta=beta, typical_lots=typical_lots, weight=weight)


NIFTY_50: Final = 256_265
INSTRUMENTS: Final = (
    _share(738_561, "RELIANCE", "0.10", 1482.0, 0.25, 1.05, 40),
    _share(2_953_217, "TCS", "0.10", 3108.0, 0.12, 0.8, 15),
    _share(341_249, "HDFCBANK", "0.05", 986.0, 0.25, 0.95, 60),
    _share(408_065, "INFY", "0.10", 1541.0, 0.13, 0.9, 30),
    _share(779_521, "SBIN", "0.05", 968.0, 0.10, 1.15, 70),
    _share(1_270_529, "ICICIBANK", "0.10", 1362.0, 0.15, 1.0, 40),
    Simulated(InstrumentConfig(NIFTY_50, "NIFTY 50", "NSE", "INDEX", "0", 0), 25_900.0, ticks_per_second=1.8),
    Simulated(
        InstrumentConfig(13_056_002, "NIFTY26DECFUT", "NFO", "FUT", "0.10", 65),
        25_985.0, typical_lots=3.0, spread_bps=0.5, underlying=NIFTY_50, open_interest=17_000_035,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Market:
    """What is simulated. Counts of events are averages of a whole day; a short session has its share of them."""

    instruments: tuple[Simulated, ...] = INSTRUMENTS
    correlation: float = 0.55  # of two shares' returns, apart from events
    market_bursts: float = 10.0  # runs of 5 to 40 seconds in one direction, half of which are partly taken back
    own_bursts: float = 12.0  # likewise, of one share
    burst_size: float = 0.0035  # typical move of a burst, a fraction
    reversion: float = 0.0003  # deviation of the part that comes back by itself
    reversion_s: float = 30.0  # and the time in which it does, by a factor of e
    gaps: float = 1.5  # jumps of a share within a second
    gap_size: float = 0.006
    band: float = 0.05  # the day's price band around the start, a fraction
    circuit_s: int = 600  # how long one share lies at its band; 0 = none does
    halt_s: int = 240  # how long another one has no ticks; 0 = none is halted
    equal_times: float = 0.04  # share of ticks with the time of the one before
    bad_tick_rate: float = 0.0  # bad ticks for each good one

    def __post_init__(self) -> None:
        if not 0.0 <= self.bad_tick_rate <= 1.0:
            raise ValueError(f"bad_tick_rate is a share between 0 and 1, was {self.bad_tick_rate}")
        if not self.instruments:
            raise ValueError("a market needs at least one instrument, was given none")

    @property
    def configs(self) -> list[InstrumentConfig]:
        """The instruments in the order of `TICK.instrument`."""
        return [instrument.config for instrument in self.instruments]


# --- the path: a row a second -----------------------------------------------------------------------------------------

CALM, NORMAL, TURBULENT = range(3)
REGIME_VOLATILITY: Final = np.array([0.6, 1.0, 2.2])
REGIME_ACTIVITY: Final = np.array([0.8, 1.0, 1.6])
REGIME_SPREAD: Final = np.array([1.0, 1.3, 2.6])
_STEP_S: Final = 10  # regimes change on a grid of ten seconds
_CHANGES: Final = np.array([[0.985, 0.015, 0.0], [0.008, 0.984, 0.008], [0.0, 0.03, 0.97]])
_REGULAR_S: Final = 22_500.0  # a regular session, for which counts of events are given
_INDEX_TICK: Final = 50_000  # micro-rupees: indices are printed to five paise
_FUTURE_PREMIUM: Final = 0.0001  # deviation of a future's basis


@dataclass(frozen=True)
class Path:
    """The day as it would be with infinitely many ticks, by second `s` since the open and instrument `i`."""

    opens: int  # ns since the epoch
    seconds: int  # until the last class closes
    regimes: npt.NDArray[np.int8]  # (s,)
    activity: Floats  # (s,) of the time of day alone; averages 1
    middles: Floats  # (s + 1, i) fair price in rupees
    volatility: Floats  # (s, i) deviation of a second's log return
    rates: Floats  # (s, i) expected ticks
    pinned: npt.NDArray[np.int8]  # (s, i) 1 at the upper band, -1 at the lower
    lower: Integers  # (i,) price band in ticks
    upper: Integers


def path(market: Market, date: dt.date, seed: int) -> Path:
    """The day's path. Raises: `ValueError` where the exchange is closed or the calendar does not cover the day."""
    hours = [session(date, c) for c in range(3)]
    opened = [(opens, closes) for opens, closes in (h for h in hours if h is not None)]
    if not opened:
        raise ValueError(f"the exchange is closed on {date}: there is no session to simulate")
    opens, closes = opened[0][0], max(close for _, close in opened)
    seconds = (closes - opens) // SECOND
    rng = np.random.default_rng([seed, date.toordinal()])
    regimes = _regimes(rng, seconds)
    activity = _activity(seconds)
    volatility = _volatility(market, regimes, activity)
    logs = _shares(market, rng, volatility, activity)
    rates = np.array([i.ticks_per_second for i in market.instruments]) * (activity * REGIME_ACTIVITY[regimes])[:, None]
    for n, instrument in enumerate(market.instruments):
        hours_of = hours[session_class(instrument.config.kind, instrument.config.closing_auction)]
        rates[((hours_of[1] - opens) // SECOND if hours_of else 0) :, n] = 0.0
    pinned = np.zeros((seconds, len(market.instruments)), np.int8)
    _one_circuit_and_one_halt(market, rng, logs, rates, pinned)
    _follow(market, rng, logs)
    starts = np.array([i.start_price for i in market.instruments])
    sizes = tick_sizes(market)
    lower = np.ceil(np.round(starts * (1 - market.band) * 1e6 / sizes, 6)).astype(np.int64)
    upper = np.floor(np.round(starts * (1 + market.band) * 1e6 / sizes, 6)).astype(np.int64)
    return Path(opens, seconds, regimes, activity, starts * np.exp(logs), volatility, rates, pinned, lower, upper)


def tick_sizes(market: Market) -> Integers:
    """Of each instrument, in micro-rupees; of an index what it is printed to."""
    return np.array([micro(i.config.tick_size) or _INDEX_TICK for i in market.instruments], np.int64)


def _regimes(rng: np.random.Generator, seconds: int) -> npt.NDArray[np.int8]:
    """A Markov chain on a grid of ten seconds; the open is at least normal."""
    draws = rng.random(seconds // _STEP_S + 1)
    upto = np.cumsum(_CHANGES, axis=1).tolist()
    states = np.empty(len(draws), np.int8)
    state = NORMAL
    for n, draw in enumerate(draws.tolist()):
        row = upto[state]
        state = CALM if draw < row[0] else NORMAL if draw < row[1] else TURBULENT
        states[n] = state
    return np.repeat(states, _STEP_S)[:seconds]


def _activity(seconds: int) -> Floats:
    """The U of the day: busy at the open and the close, half as busy at noon; averages 1."""
    x = np.linspace(-1.0, 1.0, seconds)
    return 0.55 + 1.35 * x * x


def _volatility(market: Market, regimes: npt.NDArray[np.int8], activity: Floats) -> Floats:
    of_second = REGIME_VOLATILITY[regimes] * np.sqrt(activity)
    return np.array([i.minute_volatility for i in market.instruments]) / np.sqrt(60.0) * of_second[:, None]


def _shares(market: Market, rng: np.random.Generator, volatility: Floats, activity: Floats) -> Floats:
    """Log prices against the start, softly kept within the band; rows of index and futures are filled in later."""
    seconds, count = volatility.shape
    betas = np.array([i.beta for i in market.instruments])
    factor = rng.standard_normal(seconds)[:, None] * betas
    own = rng.standard_normal((seconds, count))
    returns = volatility * (np.sqrt(market.correlation) * factor + np.sqrt(1.0 - market.correlation) * own)
    returns += _bursts(market, rng, market.market_bursts, activity)[:, None] * betas
    for n in range(count):
        returns[:, n] += _bursts(market, rng, market.own_bursts, activity) + _gaps(market, rng, activity)
    logs = np.zeros((seconds + 1, count))
    logs[1:] = np.cumsum(returns, axis=0)
    noise = rng.standard_normal((seconds, count)) * volatility / volatility.mean()
    logs[1:] += _reverting(noise, market.reversion, market.reversion_s)
    limit = 0.9 * np.log1p(market.band)
    return limit * np.tanh(logs / limit)


def _when(rng: np.random.Generator, count: float, activity: Floats) -> Integers:
    """Seconds at which something happens that happens `count` times on a regular day, more often when it is busy."""
    happens = rng.poisson(count * len(activity) / _REGULAR_S)
    return rng.choice(len(activity), size=happens, p=activity / activity.sum())


def _bursts(market: Market, rng: np.random.Generator, count: float, activity: Floats) -> Floats:
    """Returns of runs in one direction; half of them lose 40 to 90 % again, in three times the time."""
    returns = np.zeros(len(activity))
    for start in _when(rng, count, activity).tolist():
        lasts = int(rng.integers(5, 41))
        size = market.burst_size * rng.lognormal(0.0, 0.35) * rng.choice((-1.0, 1.0))
        returns[start : start + lasts] += size / lasts
        if rng.random() < 0.5:
            returns[start + lasts : start + 4 * lasts] -= size * rng.uniform(0.4, 0.9) / (3 * lasts)
    return returns


def _gaps(market: Market, rng: np.random.Generator, activity: Floats) -> Floats:
    returns = np.zeros(len(activity))
    for second in _when(rng, market.gaps, activity).tolist():
        returns[second] += market.gap_size * rng.lognormal(0.0, 0.3) * rng.choice((-1.0, 1.0))
    return returns


def _reverting(noise: Floats, deviation: float, seconds: float) -> Floats:
    """An autoregressive process of order one in each column: noise through an exponential kernel."""
    kernel = np.exp(-np.arange(int(6 * seconds)) / seconds)
    kernel *= deviation / np.sqrt((kernel * kernel).sum())
    return np.stack([np.convolve(column, kernel)[: len(column)] for column in noise.T], axis=1)


def _one_circuit_and_one_halt(
    market: Market, rng: np.random.Generator, logs: Floats, rates: Floats, pinned: npt.NDArray[np.int8]
) -> None:  # fmt: skip
    """One share is driven into its band and lies there; another has no ticks and a frozen price. In place."""
    shares = [n for n, i in enumerate(market.instruments) if i.config.kind == "EQ"]
    if not shares:
        return
    order = rng.permutation(shares)
    seconds = len(rates)
    side = int(rng.choice((-1, 1)))
    circuit = int(rng.uniform(0.40, 0.55) * seconds)
    halt = int(rng.uniform(0.65, 0.80) * seconds)
    if market.circuit_s:
        lasts = min(market.circuit_s, seconds // 8)
        _run_into_band(logs[:, order[0]], float(np.log1p(side * market.band)), circuit, lasts)
        pinned[circuit : circuit + lasts, order[0]] = side
    if market.halt_s and len(shares) > 1:
        lasts = min(market.halt_s, seconds // 8)
        rates[halt : halt + lasts, order[1]] = 0.0
        logs[halt : halt + lasts, order[1]] = logs[halt, order[1]]


def _run_into_band(logs: Floats, size: float, start: int, lasts: int) -> None:
    """Blends a path into the band over three minutes before `start`, and out of it over ten after. In place."""
    at = np.arange(len(logs), dtype=np.float64)
    rise = np.clip((at - (start - 180)) / 180.0, 0.0, 1.0)
    fall = np.exp(-np.clip(at - (start + lasts), 0.0, None) / 200.0)
    weight = np.where(at < start, rise, fall)
    logs += weight * (size - logs)


def _follow(market: Market, rng: np.random.Generator, logs: Floats) -> None:
    """Index and futures from what they follow. In place; premiums are drawn even where nothing follows."""
    premium = _reverting(rng.standard_normal((len(logs), 1)), _FUTURE_PREMIUM, 60.0)[:, 0]
    weights = np.array([i.weight for i in market.instruments])
    tokens = [i.config.instrument_token for i in market.instruments]
    for n, instrument in enumerate(market.instruments):
        if instrument.config.kind == "INDEX" and weights.sum() > 0:
            logs[:, n] = logs @ (weights / weights.sum())
    for n, instrument in enumerate(market.instruments):
        if instrument.underlying in tokens:
            logs[:, n] = logs[:, tokens.index(instrument.underlying)] + premium


# --- ticks: a minute at a time ----------------------------------------------------------------------------------------

BLOCK_S: Final = 60
_TRADES: Final = 0.6  # share of ticks that are a trade; the rest only change the book
_CLEAN_TICKS, _BAD_TICKS = 1, 2  # which generator


class Chunk(NamedTuple):
    """A stretch of the day: everything up to `until` (ns, exclusive) that no earlier chunk had.

    Rows are in the order in which they are fed, by event time but for the rows that are faulty; `faults` says which
    are. `depth` has one DEPTH row for each tick.
    """

    until: int
    ticks: Rows
    depth: Rows
    faults: npt.NDArray[np.uint8]


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
    market: Market, date: dt.date, seed: int, *, chunk_s: float = 1.0, bad_tick_rate: float | None = None
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
    course = path(market, date, seed)
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
            yield Chunk(until, *_with_faults(ticks, depth, faulty, rate))
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


# --- faults -----------------------------------------------------------------------------------------------------------


def _with_faults(
    ticks: Rows, depth: Rows, rng: np.random.Generator, rate: float
) -> tuple[Rows, Rows, npt.NDArray[np.uint8]]:  # fmt: skip
    """After some rows a bad one, made from it; the good rows stay as they are."""
    struck = rng.random(len(ticks)) < rate
    index = np.repeat(np.arange(len(ticks)), 1 + struck)
    bad = np.zeros(len(index), bool)
    bad[1:] = index[1:] == index[:-1]
    faults = np.zeros(len(index), np.uint8)
    faults[bad] = rng.integers(1, len(FAULTS) + 1, int(bad.sum()))
    rows, levels = ticks[index], depth[index]
    rows["price"][faults == NON_POSITIVE_PRICE] *= -rng.integers(0, 2, int((faults == NON_POSITIVE_PRICE).sum()))
    rows["price"][faults == NO_PRICE] = np.nan
    rows["instrument"][faults == UNKNOWN_INSTRUMENT] = UNKNOWN
    late = faults == TIME_BACKWARDS
    rows["time"][late] -= rng.integers(1_000, 30_000_000, int(late.sum())) * 1000
    return rows, levels, faults


def counted(faults: npt.NDArray[np.uint8]) -> dict[str, int]:
    """How many rows have which fault, by name.

    >>> counted(np.array([0, 5, 5, 1], np.uint8))
    {'non_positive_price': 1, 'duplicate': 2}
    """
    kinds, counts = np.unique(faults[faults != CLEAN], return_counts=True)
    return {FAULTS[int(kind)]: int(count) for kind, count in zip(kinds, counts, strict=True)}
