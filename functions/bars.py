"""Bars: a bar is two prints, so that bars and ticks are decided on by the same code and no order of prints tells a thing.

    open at its start ─► works orders, is shown to no strategy
    close at its last microsecond ─► first the range works orders that waited before the bar, then the close does; then
                                     strategies see it

Within a bar only four prices are known, not which came first. A strategy sees a bar when it is over; the open, high and
low work orders alone (`functions.execution`). All closes of a moment come before all opens of it.
"""

from typing import Final, NamedTuple

import numpy as np

from functions.arrays import Floats, Integers
from functions.calendar import day_of
from functions.ticks import CLOSING, MAX_LEVEL, OPENING, RANGE, TICK, UNTRADED, Rows

PRINTS_A_BAR: Final = 2
LAST_MOMENT: Final = 1_000  # ns: a close belongs to its bar, and times on the log are whole microseconds


class Prints(NamedTuple):
    """TICK rows, and the RANGE row of each."""

    ticks: Rows
    ranges: Rows


def ticks_of_bars(
    time: Integers, ends: Integers, open_: Floats, high: Floats, low: Floats, close: Floats, volume: Integers,
    instrument: Integers, *, places: tuple[Integers, Integers] | None = None,
) -> Prints:  # fmt: skip
    """Two rows for each bar, opening and closing print, beside each other, in the order of the bars.

    `places` are the rows for the opening and for the closing prints where they shall lie otherwise.

    Shape: columns of length ``(n,)`` in, ``(2 n,)`` rows out. `time` is the start of the bar and `ends` its end, which
    is the next one's earliest start; ns since the epoch. Prices in rupees; `volume` is the bar's own, in shares.
    The volume of the rows is cumulative over the instrument's day. No bid, ask or open interest is made up. A bar without
    volume whose instrument has volume in others is marked as untraded: it moves prices and fills no order.

    >>> made = ticks_of_bars(*(np.array([x]) for x in (0, 60 * 10**9, 10.0, 12.0, 9.0, 11.0, 10, 0)))
    >>> [(int(r["time"]), float(r["price"]), int(r["volume"])) for r in made.ticks]
    [(0, 10.0, 0), (59999999000, 11.0, 10)]
    >>> made.ranges["high"].tolist(), made.ranges["low"].tolist()
    ([0, 12000000], [0, 9000000])
    """
    opening, closing = places or (slice(0, None, PRINTS_A_BAR), slice(1, None, PRINTS_A_BAR))
    rows, ranges = np.zeros(PRINTS_A_BAR * len(time), TICK), np.zeros(PRINTS_A_BAR * len(time), RANGE)
    before, untraded = volume_before(time, volume, instrument), _untraded(volume, instrument)
    for name, at_open, at_close in (
        ("time", time, ends - LAST_MOMENT),
        ("price", open_, close),
        ("instrument", instrument, instrument),
        ("volume", before, before + volume),
        ("quality", OPENING | untraded, CLOSING | untraded),
    ):
        rows[name][opening] = at_open
        rows[name][closing] = at_close
    ranges["start"][opening] = ranges["start"][closing] = time
    shown = (low > 0.0) & (low <= high) & (high <= MAX_LEVEL)
    for name, prices in (("high", high), ("low", low)):
        ranges[name][closing] = np.where(shown, prices * 1e6 + 0.5, 0.0).astype(np.int64)
    return Prints(rows, ranges)


def _untraded(volume: Integers, instrument: Integers) -> Integers:
    """The mark of bars without volume of instruments that have some."""
    known = np.zeros(int(instrument.max(initial=-1)) + 1, bool)
    known[instrument[volume > 0]] = True
    return np.where((volume == 0) & known[instrument], UNTRADED, np.uint32(0))


def volume_before(time: Integers, volume: Integers, instrument: Integers) -> Integers:
    """What each bar's instrument has traded that day before the bar: of the earlier bars in the order given.

    >>> volume_before(np.array([0, 60, 120]), np.array([5, 7, 9]), np.array([0, 1, 0])).tolist()
    [0, 0, 5]
    """
    day = day_of(time)
    ascends = (instrument[1:] > instrument[:-1]) | ((instrument[1:] == instrument[:-1]) & (day[1:] >= day[:-1]))
    order = (
        slice(None) if ascends.all() else np.lexsort((day, instrument))
    )  # stable: within a day bars keep their order
    mine, days, whose = volume[order], day[order], instrument[order]
    running = np.cumsum(mine) - mine
    fresh = np.ones(len(mine), bool)
    fresh[1:] = (days[1:] != days[:-1]) | (whose[1:] != whose[:-1])
    first = np.flatnonzero(fresh)
    before = np.empty(len(mine), np.int64)
    before[order] = running - np.repeat(running[first], np.diff(first, append=len(mine)))
    return before
