"""Price paths: what a simulated market consists of, and its day as it would be with infinitely many ticks.

Markov regimes of volatility, one market factor and one of each share, momentum bursts, gaps, a mean-reverting part; then
one share runs into its price band and another is halted; the index follows its members, a future its underlying.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from functions.arrays import Floats, Integers
from functions.calendar import SECOND, Calendar, session_class
from functions.events import InstrumentConfig
from functions.money import micro


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


def path(market: Market, date: dt.date, seed: int, calendar: Calendar) -> Path:
    """The day's path. Raises: `ValueError` where the exchange is closed or the calendar does not cover the day."""
    hours = [calendar.session_parts(date, c) for c in range(3)]
    opened = [part for parts in hours for part in parts]
    if not opened:
        raise ValueError(f"the exchange is closed on {date}: there is no session to simulate")
    opens, closes = min(opened)[0], max(close for _, close in opened)
    seconds = (closes - opens) // SECOND
    rng = np.random.default_rng([seed, date.toordinal()])
    regimes = _regimes(rng, seconds)
    activity = _activity(seconds)
    volatility = _volatility(market, regimes, activity)
    logs = _shares(market, rng, volatility, activity)
    rates = np.array([i.ticks_per_second for i in market.instruments]) * (activity * REGIME_ACTIVITY[regimes])[:, None]
    for n, instrument in enumerate(market.instruments):
        trades = np.zeros(seconds, bool)
        for first, last in hours[session_class(instrument.config.kind, instrument.config.closing_auction)]:
            trades[(first - opens) // SECOND : (last - opens) // SECOND] = True
        rates[~trades, n] = 0.0
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
