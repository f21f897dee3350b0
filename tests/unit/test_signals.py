"""Signals: one total order whatever the batches are, and each strategy its own rows."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from functions.kernel import records
from functions.signals import NO_SIGNALS, SIGNAL, merge, route
from functions.ticks import CLOSING, OPENING, TICK, UNTRADED


def wanted(*rows: tuple[int, int, int]):
    """SIGNAL rows of (row, strategy, nth)."""
    signals = np.zeros(len(rows), SIGNAL)
    for field, column in zip(("row", "strategy", "nth"), zip(*rows, strict=True), strict=True):
        signals[field] = column
    return signals


def told(signals) -> list[tuple[int, int, int]]:
    return signals[["row", "strategy", "nth"]].tolist()


def test_signals_are_answered_by_tick_then_strategy_then_in_the_order_of_asking():
    a = wanted((0, 0, 0), (2, 0, 0), (2, 0, 1))
    b = wanted((0, 1, 0), (1, 1, 0), (2, 1, 0))

    assert told(merge([b, a])) == [(0, 0, 0), (0, 1, 0), (1, 1, 0), (2, 0, 0), (2, 0, 1), (2, 1, 0)]


def test_nothing_wanted_is_no_signals():
    assert merge([]) is NO_SIGNALS
    assert merge([NO_SIGNALS, NO_SIGNALS]) is NO_SIGNALS


def test_one_strategys_signals_are_in_order_already():
    only = wanted((3, 0, 0), (4, 0, 0))

    assert merge([NO_SIGNALS, only]) is only


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=5))
def test_the_total_order_does_not_depend_on_who_is_asked_first(rows):
    parts = [wanted(*[(row, s, n) for n, row in enumerate(sorted(mine))]) for s, mine in enumerate(rows) if mine]

    merged = told(merge(parts))

    assert merged == sorted(merged) == told(merge(parts[::-1]))
    assert len(merged) == sum(map(len, rows))


def routed(instruments: list[int], routes: Sequence[Sequence[int]], strategies: int, room: int = 100):
    """Rows of each strategy, for the instruments of the ticks; `routes` names the strategies of each instrument."""
    ticks = np.zeros(len(instruments), TICK)
    ticks["instrument"] = instruments
    count = np.array([len(r) for r in routes], np.int64)
    first = np.cumsum(count) - count
    targets = np.array([s for r in routes for s in r] or [0], np.int64)
    starts, rows = np.zeros(strategies + 1, np.int64), np.full(room, -7, np.int64)
    needed = route(records(ticks), first, count, targets, starts, rows)
    if needed > room:
        assert (rows == -7).all()
        return needed
    return [rows[a:b].tolist() for a, b in pairwise(starts)]


def test_each_strategy_gets_the_rows_of_its_instruments_in_order():
    assert routed([0, 1, 2, 1, 0], [[0, 1], [1], []], 2) == [[0, 4], [0, 1, 3, 4]]


def test_a_clock_and_an_unknown_instrument_reach_nobody():
    assert routed([-2, 0, -1], [[0]], 1) == [[1]]


def test_the_opening_print_of_a_bar_reaches_nobody():
    ticks = np.zeros(3, TICK)
    ticks["quality"] = [OPENING, CLOSING, OPENING | UNTRADED]
    starts, rows = np.zeros(2, np.int64), np.full(9, -7, np.int64)

    assert route(records(ticks), np.array([0]), np.array([1]), np.array([0]), starts, rows) == 1
    assert rows[:2].tolist() == [1, -7]


def test_nobody_interested_means_no_rows():
    assert routed([0, 1], [[], []], 3) == [[], [], []]
    assert routed([], [[0]], 1) == [[]]


def test_too_little_room_says_how_much_is_needed_and_writes_nothing():
    assert routed([0, 0, 0], [[0, 1]], 2, room=5) == 6
    assert routed([0, 0, 0], [[0, 1]], 2, room=6) == [[0, 1, 2], [0, 1, 2]]
