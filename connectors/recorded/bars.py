"""Bars of one file: how long they are, where they begin and end, and the two prints that each becomes."""

from typing import Any, Final, NamedTuple

import numpy as np

from connectors.errors import DataError
from connectors.recorded.notes import Note, clock_text
from connectors.recorded.tables import Table
from functions.arrays import Booleans, Integers
from functions.bar_times import bar_ends, bar_lengths, seem_to_be_ends, sessions_of, starts_of
from functions.bars import PRINTS_A_BAR, ticks_of_bars
from functions.calendar import DAY, IST_OFFSET, SECOND, Calendar
from functions.ticks import Rows

_PRICES: Final = ("open", "high", "low", "close")


class BarPrints(NamedTuple):
    """The prints of a file's bars in order of time, the RANGE row of each, and how long each instrument's bars are, ns."""

    ticks: Rows
    ranges: Rows
    lengths: Integers

    def within(self, window: tuple[int, int]) -> "BarPrints":
        """The prints of the bars that begin within a window of time, ns, the end exclusive."""
        inside = (self.ranges["start"] >= window[0]) & (self.ranges["start"] < window[1])
        return BarPrints(self.ticks[inside], self.ranges[inside], self.lengths)


def prints_of(
    table: Table, columns: dict[str, Any], time: Integers, instrument: Integers, classes: Integers, notes: list[Note],
    calendar: Calendar,
) -> BarPrints:  # fmt: skip
    """The prints of bars whose times do not go back, `classes` the session class of every instrument; adds to `notes`.

    Raises: `DataError` where nothing tells how long the bars are, or whether their times mark their ends.
    """
    order = np.argsort(instrument, kind="stable") if (np.diff(instrument) < 0).any() else np.arange(len(time))
    whose, stamps = instrument[order], time[order]
    volume = columns["volume"][order] if "volume" in columns else np.zeros(len(time))
    volume = np.nan_to_num(volume).astype(np.int64)
    prices = [columns[name][order] for name in _PRICES]
    repeats = _repeats(whose, stamps, volume, prices)
    once = ~repeats
    lengths = _lengths(table, stamps[once], whose[once], classes, calendar)
    starts, ends = _spans(table, stamps[once], whose[once], (classes[whose[once]], lengths[whose[once]]), calendar)
    opens, highs, lows, closes = (p[once] for p in prices)
    prints = ticks_of_bars(starts, ends, opens, highs, lows, closes, volume[once], whose[once])
    for at in np.flatnonzero(repeats).tolist():
        detail = f"the bar of {clock_text(int(stamps[at]))} is there twice"
        notes.append(Note("duplicate_bar", 1, detail, int(whose[at]), int(stamps[at]), int(stamps[at])))
    # A bar that is there twice is its prints twice, not its volume twice. Of one moment the order of the file counts.
    place = np.empty(len(time), np.int64)
    place[order] = (np.cumsum(once) - 1) * PRINTS_A_BAR
    rows = np.concatenate([place + n for n in range(PRINTS_A_BAR)])
    times = prints.ticks["time"][rows]
    if (np.diff(times) < 0).any():
        rows = rows[np.argsort(times, kind="stable")]
    return BarPrints(prints.ticks[rows], prints.ranges[rows], lengths)


def _repeats(whose: Integers, stamps: Integers, volume: Integers, prices: list[Any]) -> Booleans:
    """Which bars equal the one before in everything."""
    same = np.ones(max(len(whose) - 1, 0), bool)
    for values in (whose, stamps, volume, *prices):
        same &= values[1:] == values[:-1]
    return np.concatenate([np.zeros(min(len(whose), 1), bool), same])


def _lengths(
    table: Table, stamps: Integers, whose: Integers, classes: Integers, calendar: Calendar
) -> Integers:  # fmt: skip
    """The length of each instrument's bars: as told, as their times tell, or as all others of the file have it."""
    if ((stamps + IST_OFFSET) % DAY == 0).all() and len(stamps) > 1:
        raise DataError(
            f"{table.path} has bars of a day: all of them begin at midnight",
            remedy="use bars of one minute or of a few whole minutes, or ticks",
        )
    count = len(classes)
    if table.options.bar:
        lengths = np.zeros(count, np.int64)
        lengths[whose] = table.options.bar
        return lengths
    lengths = bar_lengths(stamps, whose, classes[whose], count, calendar)
    unknown = np.zeros(count, bool)
    unknown[whose] = lengths[whose] == 0
    told = np.unique(lengths[lengths > 0])
    if unknown.any() and len(told) != 1:
        raise DataError(
            f"{table.path}: nothing tells how long its bars are, no two of "
            f"{'an instrument' if len(told) else 'them'} lie within one session",
            remedy="say it, e.g. --bar 1m or --bar 15m; bars of a day cannot be traded within it",
        )
    lengths[unknown] = told[0] if len(told) else 0
    if (odd := lengths[lengths % SECOND > 0]).size:
        raise DataError(
            f"{table.path} has bars of {odd[0] / SECOND:g} s", remedy="use bars of whole seconds, or say --bar 1m"
        )  # fmt: skip
    return lengths


def _spans(
    table: Table, stamps: Integers, whose: Integers, of_each: tuple[Integers, Integers], calendar: Calendar
) -> tuple[Integers, Integers]:  # fmt: skip
    """Start and end of each bar; `of_each` bar its session class and its length."""
    classes, length = of_each
    if table.options.bar_time == "end":
        return starts_of(stamps, whose, classes, length, calendar), stamps
    if not table.options.bar_time and seem_to_be_ends(stamps, whose, classes, length, calendar):
        raise DataError(
            f"{table.path}: its first bars lie one length behind the open, and its last at the close: "
            "their times seem to mark where bars end",
            remedy="--bar-time end, or --bar-time start if they mark where bars begin all the same",
        )
    _, closes = sessions_of(stamps, classes, calendar)
    return stamps, bar_ends(stamps, whose, closes, length)
