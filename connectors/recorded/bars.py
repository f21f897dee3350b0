"""Bars of one file: how long they are, where they begin and end, and the two prints that each becomes."""

from typing import Any, Final, NamedTuple

import numpy as np

from connectors.errors import DataError
from connectors.recorded.notes import Note, clock_text
from connectors.recorded.prints import whole
from connectors.recorded.series import Series
from connectors.recorded.tables import Table
from functions.arrays import Booleans, Integers
from functions.bar_times import Sessions, bar_ends, bar_lengths, seem_to_be_ends, sessions_of, starts_of
from functions.bars import LAST_MOMENT, PRINTS_A_BAR, ticks_of_bars
from functions.calendar import DAY, IST_OFFSET, MINUTE, SECOND, Calendar
from functions.ticks import Rows

_PRICES: Final = ("open", "high", "low", "close")


class _Bars(NamedTuple):
    """The bars of a file, each once, by instrument and time, with the session class of each."""

    time: Integers
    instrument: Integers
    classes: Integers


class BarPrints(NamedTuple):
    """The prints of a file's bars in order of time, the RANGE row of each, and how long each instrument's bars are, ns."""

    ticks: Rows
    ranges: Rows
    lengths: Integers

    def within(self, window: tuple[int, int]) -> "BarPrints":
        """The prints of the bars that begin within a window of time, ns, the end exclusive."""
        inside = (self.ranges["start"] >= window[0]) & (self.ranges["start"] < window[1])
        return BarPrints(self.ticks[inside], self.ranges[inside], self.lengths)


class Spacing(NamedTuple):
    """What a file tells about its bars: the length of each instrument's, ns, and whether their last second is their time."""

    lengths: Integers
    mark_last_second: bool


def spacing_of(table: Table, series: Series, classes: Integers, calendar: Calendar) -> Spacing:
    """Raises: `DataError` where nothing tells how long the bars are, or whether their times mark their ends."""
    bars = _Bars(series.times, series.whose, classes[series.whose])
    sessions = sessions_of(bars.time, bars.instrument, bars.classes, calendar)
    lengths = _lengths(table, bars, sessions, len(classes))
    _spans(table, bars, sessions, lengths[bars.instrument], calendar)
    return Spacing(lengths, _mark_last_second(bars))


def prints_of(
    table: Table, columns: dict[str, Any], series: Series, classes: Integers, notes: list[Note], calendar: Calendar
) -> BarPrints:  # fmt: skip
    """The prints of bars whose times do not go back, `classes` the session class of every instrument; adds to `notes`.

    Raises: `DataError` where nothing tells how long the bars are, or whether their times mark their ends.
    """
    order, whose, stamps = series.order, series.whose, series.times
    volume = whole(columns["volume"][order]) if "volume" in columns else np.zeros(len(stamps), np.int64)
    prices = [columns[name][order] for name in _PRICES]
    repeats = _repeats(whose, stamps, volume, prices)
    once = ~repeats if repeats.any() else slice(None)
    bars = _Bars(stamps[once], whose[once], classes[whose[once]])
    sessions = sessions_of(bars.time, bars.instrument, bars.classes, calendar)
    lengths = _lengths(table, bars, sessions, len(classes))
    starts, ends = _spans(table, bars, sessions, lengths[bars.instrument], calendar)
    opens, highs, lows, closes = (p[once] for p in prices)
    places = None if repeats.any() else _places(starts, ends, order)
    made = ticks_of_bars(
        starts, ends, opens, highs, lows, closes, volume[once], bars.instrument, places=places
    )  # fmt: skip
    if places is not None:
        return BarPrints(made.ticks, made.ranges, lengths)
    for at in np.flatnonzero(repeats).tolist():
        detail = f"the bar of {clock_text(int(stamps[at]))} is there twice"
        notes.append(Note("duplicate_bar", 1, detail, int(whose[at]), int(stamps[at]), int(stamps[at])))
    # A bar that is there twice is its prints twice, not its volume twice.
    again = (np.cumsum(~repeats) - 1) * PRINTS_A_BAR
    openings, closings = _places(made.ticks["time"][again], made.ticks["time"][again + 1] + LAST_MOMENT, order)
    rows = np.empty(2 * len(again), np.int64)
    rows[openings], rows[closings] = again, again + 1
    return BarPrints(made.ticks.take(rows), made.ranges.take(rows), lengths)  # take copies rows whole


def _places(starts: Integers, ends: Integers, order: Any) -> tuple[Integers, Integers]:
    """Which rows the opening and the closing print of each bar are, all in order of time, then in that of the file.

    Starts and ends by instrument, as `order` puts the rows of the file.
    """
    count = len(starts)
    times = np.empty(2 * count, np.int64)
    times[:count][order], times[count:][order] = starts, ends - LAST_MOMENT
    places = np.empty(2 * count, np.int64)
    places[np.argsort(times, kind="stable")] = np.arange(2 * count)
    return places[:count][order], places[count:][order]


def _repeats(whose: Integers, stamps: Integers, volume: Integers, prices: list[Any]) -> Booleans:
    """Which bars equal the one before in everything."""
    same = stamps[1:] == stamps[:-1]
    for values in (whose, volume, *prices) if same.any() else ():
        same &= values[1:] == values[:-1]
    return np.concatenate([np.zeros(min(len(whose), 1), bool), same])


def _lengths(table: Table, bars: _Bars, sessions: Sessions, count: int) -> Integers:
    """The length of each instrument's bars: as told, as their times tell, or as all others of the file have it."""
    if len(bars.time) > 1 and ((bars.time + IST_OFFSET) % DAY == 0).all():
        raise DataError(
            f"{table.path} has bars of a day: all of them begin at midnight",
            remedy="use bars of one minute or of a few whole minutes, or ticks",
        )
    here = np.zeros(count, bool)
    here[bars.instrument] = True
    if table.options.bar:
        return np.where(here, table.options.bar, 0)
    lengths = bar_lengths(bars.time, bars.instrument, sessions, count)
    unknown = here & (lengths == 0)
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
    table: Table, bars: _Bars, sessions: Sessions, length: Integers, calendar: Calendar
) -> tuple[Integers, Integers]:  # fmt: skip
    """Start and end of each bar; `length` is each bar's own. Some write the last second of a bar as its time, 09:15:59."""
    last_second = _mark_last_second(bars)
    if table.options.bar_time == "end":
        ends = bars.time + (SECOND if last_second else 0)
        return starts_of(ends, bars.instrument, bars.classes, length, calendar), ends
    seem = last_second or seem_to_be_ends(bars.time, bars.instrument, bars.classes, length, calendar)
    if seem and not table.options.bar_time:
        how = (
            "all of them lie in the last second of a minute"
            if last_second
            else "they run from behind the open to the close"
        )
        raise DataError(
            f"{table.path}: {how}: their times seem to mark where bars end",
            remedy="--bar-time end, or --bar-time start if they mark where bars begin all the same",
        )
    return bars.time, bar_ends(bars.time, bars.instrument, sessions.closes, length)


def _mark_last_second(bars: _Bars) -> bool:
    return bool(((bars.time + SECOND) % MINUTE == 0).all())
