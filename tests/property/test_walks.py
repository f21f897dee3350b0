"""Nothing is given away by a bar: on driftless walks no rule earns more than minus its costs.

Two hundred walks of one tick a step are cut into bars and trade side by side, one instrument a walk, one account a rule. Of a
rule's result over the walks the mean lies within two standard errors of minus what its slippage cost: of its result at the
end, and, far sharper, of what its fills are worth at the close of the bar that filled them.
"""

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from functions.bars import ticks_of_bars
from functions.calendar import MINUTE
from functions.events import PaperVenue
from functions.kernel import COMPILED
from functions.orders import LIMIT, MARKET, SL, SLM, TOLD_SUBMITTED
from functions.shard import Shard
from functions.signals import SIGNAL, merge
from functions.ticks import CLOSING
from strategies.protocol import strategy as compiled
from strategies.roster import Roster
from tests.desk import account, instrument, lax, strategy
from tests.tables import CALENDAR, TABLES

WALKS = 200 if COMPILED else 12
TICK_SIZE = 50_000  # micro-rupees
SLIPPAGE = 20_000  # a share, of market orders and stops
STEPS_A_MINUTE = 3
HERE = __name__
SEED = 500  # of two hundred walks: chance alone takes a rule beyond two errors once in twenty


class Bars(NamedTuple):
    """Prints of all walks in order of time, and for each close its row, walk and number of the bar."""

    ticks: Any
    ranges: Any
    rows: Any
    walks: Any
    numbers: Any
    closes: Any  # in ticks, by walk and bar


def trading_days(count: int) -> list[date]:
    days = (date(2026, 5, 4) + timedelta(n) for n in range(4 * count))
    return [day for day in days if CALENDAR.is_trading_day(day)][:count]


def bars_of_walks(minutes: int, days: int, seed: int) -> Bars:
    """Walks of one tick a step, up or down alike, through the sessions of some days."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([-1, 1], (WALKS, days * 375 * STEPS_A_MINUTE))
    path = 20_000 + np.cumsum(steps, axis=1)
    starts, edges = [], []
    for day, on in enumerate(trading_days(days)):
        ((opens, closes),) = CALENDAR.session_parts(on, 0)
        first = np.arange(opens, closes, minutes * MINUTE)
        starts.append(np.stack([first, np.minimum(first + minutes * MINUTE, closes)]))
        edges.append((day * 375 + (first - opens) // MINUTE) * STEPS_A_MINUTE)
    time, ends = np.concatenate(starts, axis=1)
    edge = np.concatenate(edges)
    high, low = np.maximum.reduceat(path, edge, axis=1), np.minimum.reduceat(path, edge, axis=1)
    closes_of = path[:, np.append(edge[1:], path.shape[1]) - 1]
    prices = [np.round(each.T.reshape(-1) * 0.05, 2) for each in (path[:, edge], high, low, closes_of)]
    walks = np.tile(np.arange(WALKS), len(time))
    made = ticks_of_bars(
        np.repeat(time, WALKS), np.repeat(ends, WALKS), *prices, np.ones(len(walks), np.int64), walks
    )  # fmt: skip
    order = np.argsort(made.ticks["time"], kind="stable")
    rows = np.flatnonzero(made.ticks["quality"][order] & CLOSING)
    numbers = np.repeat(np.arange(len(time)), WALKS)
    return Bars(made.ticks[order], made.ranges[order], rows, walks, numbers, closes_of)


class Wish(NamedTuple):
    """Orders of one kind, for the closes where `side` is not 0; limit and trigger in ticks."""

    side: Any
    kind: Any = MARKET
    limit: Any = None
    trigger: Any = None


def now_and_then(bars: Bars, period: int) -> tuple[Any, Any, Any, Any]:
    """By close: whether to enter, whether to leave, the price, and the direction of the last bar."""
    turn = bars.numbers % period
    price = bars.closes[bars.walks, bars.numbers]
    before = bars.closes[bars.walks, np.maximum(bars.numbers - 1, 0)]
    return (turn == 0).astype(int), (turn == 1).astype(int), price, np.where(price > before, 1, -1)


def buy_and_sell(enter, leave, price, moved):
    return [Wish(enter - leave)]


def fade(enter, leave, price, moved):
    return [Wish(-moved * enter)]


def momentum(enter, leave, price, moved):
    return [Wish(moved * enter)]


def limits_around(enter, leave, price, moved):
    return [Wish(enter, LIMIT, price - 2), Wish(-enter, LIMIT, price + 2)]


def limit_at_the_close(enter, leave, price, moved):
    return [Wish(enter, LIMIT, price), Wish(-leave, LIMIT, price)]


def stop_entries(enter, leave, price, moved):
    return [Wish(enter, SLM, trigger=price + 3), Wish(-enter, SLM, trigger=price - 3)]


def stops_with_limits(enter, leave, price, moved):
    return [Wish(enter, SL, price + 3, price + 2), Wish(-enter, SL, price - 3, price - 3)]


def stops_beyond_their_limits(enter, leave, price, moved):
    return [Wish(enter, SL, price + 1, price + 2), Wish(-enter, SL, price - 1, price - 2)]


def stop_and_target(enter, leave, price, moved):
    return [Wish(enter), Wish(-enter, SLM, trigger=price - 4), Wish(-enter, LIMIT, price + 4)]


def fade_with_a_limit(enter, leave, price, moved):
    return [Wish(-moved * enter, LIMIT, price - moved), Wish(moved * leave, LIMIT, price + moved)]


RULES: tuple[Callable[..., list[Wish]], ...] = (
    buy_and_sell, fade, fade_with_a_limit, limit_at_the_close, limits_around, momentum, stop_and_target, stop_entries,
    stops_beyond_their_limits, stops_with_limits,
)  # fmt: skip


@compiled(state=[("seen", "i8"), ("before", "f8")], period=4)
def by_place(state, tick, params):
    """Trades on the order of the prints that it is shown: after so many of them, with the last step."""
    step = tick.price - state.before
    state.before = tick.price
    state.seen += 1
    if step == 0.0 or state.seen % params.period != 1:
        return 0
    return 1 if step > 0.0 else -1


@compiled(state=[("seen", "i8")], period=4)
def by_time(state, tick, params):
    """Buys in the first half of each minute and sells in the second."""
    return 1 if tick.time % 60_000_000_000 < 30_000_000_000 else -1


PLACES = (by_place, by_time)
NAMES = sorted([rule.__name__ for rule in RULES] + [rule.__name__ for rule in PLACES])


def wished(bars: Bars, rule: Callable[..., list[Wish]], period: int) -> Any:
    """The SIGNAL rows of one rule."""
    parts = []
    for nth, wish in enumerate(rule(*now_and_then(bars, period))):
        where = np.flatnonzero(wish.side)
        signals = np.zeros(len(where), SIGNAL)
        signals["row"], signals["instrument"] = bars.rows[where], bars.walks[where]
        signals["quantity"], signals["side"] = 1, wish.side[where]
        signals["kind"], signals["product"], signals["nth"] = wish.kind, -1, nth
        for field in ("limit", "trigger"):
            prices = getattr(wish, field)
            signals[field] = 0 if prices is None else prices[where] * TICK_SIZE
        signals["strategy"] = NAMES.index(rule.__name__)
        parts.append(signals)
    return merge(parts)


def results(bars: Bars, period: int) -> dict[str, tuple[Any, Any]]:
    """Of each rule by walk, before its slippage: its result at the end, and at the closes of the bars that filled it."""
    instruments = [instrument(n + 1) for n in range(WALKS)]
    tokens = [each.instrument_token for each in instruments]
    venue = PaperVenue(price="last", charges=False, slippage_per_share="0.02")
    accounts = [account(name, limits=lax(max_open_orders=9_000), venue=venue) for name in NAMES]
    implementations = {rule.__name__: f"{HERE}:{rule.__name__}" for rule in PLACES}
    plan = [
        strategy(
            name, tokens, [name], implementation=implementations.get(name, "momentum"), enabled=name in implementations
        )
        for name in NAMES
    ]
    shard, roster = Shard(instruments, accounts, plan, TABLES), Roster(instruments, plan)
    mine = merge([wished(bars, rule, period) for rule in RULES])
    whole, within = np.zeros((len(NAMES), WALKS)), np.zeros((len(NAMES), WALKS))
    bar = bars.numbers[np.minimum(np.searchsorted(bars.rows, np.arange(len(bars.ticks))), len(bars.rows) - 1)]
    slips = np.zeros(0, bool)  # by number of the order
    for first in range(0, len(bars.ticks), 20_000):
        part = slice(first, first + 20_000)
        some = mine[np.searchsorted(mine["row"], first) : np.searchsorted(mine["row"], part.stop)].copy()
        some["row"] -= first
        shown, _ = roster.on_batch(bars.ticks[part])
        decided = shard.run(bars.ticks[part], merge([some, shown]), ranges=bars.ranges[part])
        sent = decided.orders[decided.orders["told"] & TOLD_SUBMITTED > 0]
        slips = np.append(slips, np.isin(sent["kind"], [MARKET, SLM]))
        fills = decided.fills
        at = fills["subscription"], fills["instrument"]
        slipped = slips[fills["number"] - 1] & (fills["row"] >= 0)  # what no print closed traded at the last price
        price = fills["price"] / 1e6 - fills["side"] * slipped * (SLIPPAGE / 1e6)
        row = np.where(fills["row"] >= 0, first + fills["row"], np.searchsorted(bars.ticks["time"], fills["time"]) - 1)
        close = bars.closes[fills["instrument"], bar[row]] * 0.05
        signed = fills["side"] * fills["quantity"]
        np.add.at(whole, at, -signed * price)
        np.add.at(within, at, signed * (close - price))
    books = shard.books[: int(shard.shard["booked"][0])]
    whole[books["subscription"], books["instrument"]] += books["position"] * (
        bars.closes[books["instrument"], -1] * 0.05
    )
    return {name: (whole[n], within[n]) for n, name in enumerate(NAMES)}


ADVERSE = {"stops_beyond_their_limits"}  # when it wakes it waits: of what came first in its bar the worse counts
LENGTHS = {1: (2, 12), 5: (4, 5), 15: (16, 3), 60: (40, 2)}  # of bars in minutes: days, and how often a rule trades


@cache
def means(minutes: int) -> dict[tuple[str, int], tuple[float, float]]:
    """(mean, standard error) over the walks of either result of each rule."""
    days, period = LENGTHS[minutes]
    found = results(bars_of_walks(minutes, days, SEED + minutes), period)
    return {
        (name, n): (float(result.mean()), float(result.std(ddof=1) / np.sqrt(WALKS)))
        for name, both in found.items()
        for n, result in enumerate(both)
    }


@pytest.mark.parametrize("minutes", LENGTHS)
def test_bars_of_no_length_give_anything_away_to_any_rule(minutes):
    """A rule that knew what the prints of a bar tell would be tens of errors away; four is what chance hardly gives."""
    for (name, _), (mean, error) in means(minutes).items():
        assert error > 0, name
        assert mean <= 4 * error, name
        assert name in ADVERSE or mean >= -4 * error, name


def test_over_bars_of_all_lengths_every_rule_makes_minus_its_costs_within_two_standard_errors():
    for name, result in means(1):
        each = [means(minutes)[name, result] for minutes in LENGTHS]
        mean, error = sum(m for m, _ in each), np.sqrt(sum(e * e for _, e in each))
        assert mean <= 2 * error, name
        assert name in ADVERSE or mean >= -2 * error, name
