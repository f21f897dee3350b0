"""Bars: a one-minute bar is four ticks, so that bars and ticks are decided on by the same code.

    open at +0 s ─► the extreme away from the close at +20 s ─► the other at +40 s ─► close at +59 s

A bar does not say whether its high or its low came first. The rule is fixed: low before high in a bar that closes at or
above its open, high before low in one that falls. That is the path that favours neither side of a round trip.
"""

from typing import Final

import numpy as np

from functions.arrays import Floats, Integers
from functions.calendar import MINUTE, day_of
from functions.ticks import TICK, Rows

TICKS_A_BAR: Final = 4
SIXTIETHS: Final = (0, 20, 40, 59)  # of the bar's length


def ticks_of_bars(
    time: Integers, open_: Floats, high: Floats, low: Floats, close: Floats, volume: Integers, instrument: Integers, *,
    bar: int = MINUTE,
) -> Rows:  # fmt: skip
    """Four TICK rows for each bar, those of one bar beside each other, in the order of the bars.

    Shape: columns of length ``(n,)`` in, ``(4 n,)`` rows out. `time` is the start of the bar, ns since the epoch;
    prices in rupees; `volume` is the bar's own, in shares; `bar` is its length in ns, whole minutes.
    The volume of the rows is cumulative over the instrument's day: the bar's is spread over its ticks in equal parts,
    the remainder on the later ones, so that the day adds up exactly. No bid, ask or open interest is made up.

    >>> rows = ticks_of_bars(*(np.array([x]) for x in (0, 10.0, 12.0, 9.0, 11.0, 10, 0)))
    >>> [(int(r["time"]) // 10**9, float(r["price"]), int(r["volume"])) for r in rows]
    [(0, 10.0, 2), (20, 9.0, 5), (40, 12.0, 7), (59, 11.0, 10)]
    """
    rows = np.zeros((len(time), TICKS_A_BAR), TICK)
    rises = close >= open_
    rows["price"] = np.stack([open_, np.where(rises, low, high), np.where(rises, high, low), close], axis=1)
    rows["time"] = time[:, None] + np.array(SIXTIETHS, np.int64) * (bar // 60)
    rows["instrument"] = instrument[:, None]
    before = volume_before(time, volume, instrument)
    rows["volume"] = before[:, None] + volume[:, None] * np.arange(1, TICKS_A_BAR + 1) // TICKS_A_BAR
    return rows.reshape(-1)


def volume_before(time: Integers, volume: Integers, instrument: Integers) -> Integers:
    """What each bar's instrument has traded that day before the bar: of the earlier bars in the order given.

    >>> volume_before(np.array([0, 60, 120]), np.array([5, 7, 9]), np.array([0, 1, 0])).tolist()
    [0, 0, 5]
    """
    day = day_of(time)
    order = np.lexsort((day, instrument))  # stable: within a day the bars keep their order
    sorted_volume = volume[order]
    running = np.cumsum(sorted_volume) - sorted_volume
    fresh = np.ones(len(order), bool)
    fresh[1:] = (np.diff(day[order]) != 0) | (np.diff(instrument[order]) != 0)
    starts = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    before = np.empty(len(order), np.int64)
    before[order] = running - running[starts]
    return before
