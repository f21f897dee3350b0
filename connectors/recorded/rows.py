"""Rows: one file's ticks or bars as TICK rows, in order of time.

columns ─► which rows are good ─► of which instrument ─► in order? ─► within the window ─► notes ─► ticks, or two prints a bar
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple

import duckdb
import numpy as np

from connectors.errors import DataError
from connectors.recorded.bars import prints_of, spacing_of
from connectors.recorded.columns import Selection, failing, selection
from connectors.recorded.instruments import Roster
from connectors.recorded.judging import Unreadable, judged
from connectors.recorded.names import BARS
from connectors.recorded.notes import Note, notes_of, passed_over_note
from connectors.recorded.prints import printed, ticks_of
from connectors.recorded.series import NO_SERIES, Series
from connectors.recorded.tables import Table, alike
from functions.arrays import Floats, Integers
from functions.calendar import DAY, INDIA, IST_OFFSET, MINUTE, SECOND, Calendar
from functions.ticks import NO_DEPTH, NO_RANGES, NO_TICKS, Rows

_OPENS, _CLOSES = 9 * 60 * MINUTE, 940 * MINUTE  # of the day in India, pre-open and the latest close included
_PRICES: Final = re.compile(r"open|high|low|close|price|(?:bid|ask)\d?")


@dataclass
class Part:
    """One file's rows, in order of time."""

    rows: Rows
    depth: Rows  # as long as the rows, or empty
    unreadable: list[Unreadable]
    notes: list[Note] = field(default_factory=list)
    lengths: Integers = field(default_factory=lambda: np.zeros(0, np.int64))  # of each instrument's bars, ns; 0 = ticks
    ranges: Rows = field(default_factory=lambda: NO_RANGES)  # as long as the rows, or empty
    series: Series = NO_SERIES  # of its ticks and the starts of its bars
    prices: Floats = field(default_factory=lambda: np.empty(0))  # at them, by instrument


class _Read(NamedTuple):
    """What was asked of a file, and its good rows."""

    asked: Selection
    columns: dict[str, Any]
    symbols: list[str]  # what the numbers of its column `symbol` mean
    numbers: Integers  # of the good rows, from 0
    unreadable: list[Unreadable]
    passed_over: dict[str, int]


def load(table: Table, roster: Roster, window: tuple[int, int], strict: bool, calendar: Calendar) -> Part:
    """A file's rows within a window of time (ns, the end exclusive), numbered by the roster.

    Raises: `DataError` for a file without readable rows or not in order of time, and with `strict` for an unreadable row.
    """
    read = _read(table, strict)
    instrument = roster.index(read.asked, read.columns, read.symbols)
    return _part(table, read, roster, instrument, window, calendar)


def load_alike(
    tables: Sequence[Table], roster: Roster, window: tuple[int, int], calendar: Calendar
) -> Part | None:  # fmt: skip
    """The rows of files of one form as one part, read in one query; `None` where they have to be read one by one.

    That is where anything about one of them is peculiar: a field that cannot be read, a date or a decimal sign that its
    own rows decide, a day that goes back, bars that are not as long as those of the others.
    """
    table = alike(tables)
    try:
        asked = selection(table)
        if table.options.sort or not _read_themselves(asked):
            return None
        columns, symbols = asked.fetched({"file": "file_index"})
        file: Integers = columns.pop("file").astype(np.int64)
        if len(np.unique(file)) < len(tables) or failing(asked, columns) or not judged(asked, columns).good.all():
            return None
        read = _Read(asked, _in_rupees(table, columns), symbols, np.arange(len(file)), [], {})
        if {"token", "symbol"} & columns.keys():
            instrument = roster.index(asked, columns, symbols)
        else:
            instrument = np.array([roster.of_file(each) for each in tables], np.int64)[file]
        if not _agree(read, instrument, file, roster, calendar):
            return None
        return _part(table, read, roster, instrument, window, calendar)
    except (DataError, duckdb.Error):
        return None


def _read_themselves(asked: Selection) -> bool:
    """Whether every time and number tells by itself how it is read, whatever else stands in its file."""
    dots_may_group = asked.table.dialect is None or asked.table.dialect.delimiter in (";", "\t")
    return asked.numbers.is_plain and not dots_may_group and asked.clock.has_clock and not asked.clock.order


def _agree(read: _Read, instrument: Integers, file: Integers, roster: Roster, calendar: Calendar) -> bool:
    """Whether each of several files by itself tells the same about its zone and its bars as all of them together.

    Raises: `DataError` where one of them would be refused.
    """
    table, time = read.asked.table, read.columns["time"].astype(np.int64) * 1000
    classes = roster.session_classes()
    lengths = np.zeros(len(classes), np.int64)
    marks = set()
    begins = np.append(0, np.flatnonzero(np.diff(file)) + 1)
    for begin, end in pairwise([*begins.tolist(), len(file)]):
        if not read.asked.clock.is_told:
            _refuse_another_zone(table, time[begin:end], counts_from_1970=bool(read.asked.clock.form.unit))
        if table.is_bars:
            told = spacing_of(table, Series.of(time[begin:end], instrument[begin:end]), classes, calendar)
            if ((lengths > 0) & (told.lengths > 0) & (lengths != told.lengths)).any():
                return False
            np.maximum(lengths, told.lengths, out=lengths)
            marks.add(told.mark_last_second)
    return len(marks) < 2


def _part(
    table: Table, read: _Read, roster: Roster, instrument: Integers, window: tuple[int, int], calendar: Calendar
) -> Part:  # fmt: skip
    """Rows whose instruments are known, as a part of the recording."""
    columns, time = read.columns, read.columns["time"].astype(np.int64) * 1000
    if not read.asked.clock.is_told:
        _refuse_another_zone(table, time, counts_from_1970=bool(read.asked.clock.form.unit))
    if table.options.sort:
        order = np.argsort(time, kind="stable")
        columns = {name: values[order] for name, values in columns.items()}
        time, instrument = time[order], instrument[order]
    series = Series.of(time, instrument)
    _refuse_unsorted(table, series, read.numbers, roster.names)
    notes = [passed_over_note(kind, count, series.time) for kind, count in read.passed_over.items()]
    made = None
    if table.is_bars:
        columns |= {name: printed(columns[name]) for name in BARS}
        made = prints_of(table, columns, series, roster.session_classes(), notes, calendar)
    if window[0] > time.min() or window[1] <= time.max():
        inside = (time >= window[0]) & (time < window[1])
        columns = {name: values[inside] for name, values in columns.items()}
        series = Series.of(time[inside], instrument[inside])
        made = made and made.within(window)
        if not inside.any():
            return Part(NO_TICKS, NO_DEPTH, read.unreadable)
    roster.measure(columns, series.instrument)
    notes += notes_of(columns, series, table.is_bars)
    prices = columns["open" if table.is_bars else "price"][series.order]
    if made is not None:
        return Part(made.ticks, NO_DEPTH, read.unreadable, notes, made.lengths, made.ranges, series, prices)
    return Part(*ticks_of(table, columns, series, notes), read.unreadable, notes, series=series, prices=prices)


def _read(table: Table, strict: bool) -> _Read:
    """The good rows of a file; its prices are rupees."""
    asked = selection(table)
    _refuse_days(asked)
    columns, symbols = asked.fetched()
    if (names := failing(asked, columns)) and (wider := asked.widened(names)) != asked:
        asked = wider
        _refuse_days(asked)
        columns, symbols = asked.fetched()
    good, unreadable, passed_over = judged(asked, columns)
    if unreadable and strict:
        first = min(unreadable, key=lambda row: row.row)
        more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        raise DataError(
            f"{table.path}: row {first.row} (line {first.line}) {first.reason}: {first.text!r}{more}",
            remedy="correct or remove the row, or say how the file is to be read: --column, --time-format, --decimal",
        )
    if not good.all():
        columns = {name: values[good] for name, values in columns.items()}
    if not len(columns["time"]):
        raise DataError(f"{table.path} has no rows that can be read", remedy="leave it out, or record it again")
    return _Read(asked, _in_rupees(table, columns), symbols, np.flatnonzero(good), unreadable, passed_over)


def _refuse_days(asked: Selection) -> None:
    if not asked.clock.has_clock:
        raise DataError(
            f"{asked.table.path} has days without a time of day, and a day as a whole cannot be traded within",
            remedy="use bars of one minute or of a few whole minutes, or ticks; is the time of day in another column?",
        )


def _in_rupees(table: Table, columns: dict[str, Any]) -> dict[str, Any]:
    if table.options.unit != "paise":
        return columns
    return {name: values / 100 if _PRICES.fullmatch(name) else values for name, values in columns.items()}


def _refuse_another_zone(table: Table, time: Integers, *, counts_from_1970: bool) -> None:
    """Times that tell no zone are India's, numbers since 1970 are UTC's.

    Raises: `DataError` where the hours of the session say otherwise.
    """
    clock = (time + IST_OFFSET) % DAY
    outside = float(((clock < _OPENS) | (clock > _CLOSES)).mean())
    if outside <= 0.5:
        return
    told, other = ("UTC", "India's") if counts_from_1970 else ("India's", "UTC")
    moved = (clock + (-IST_OFFSET if counts_from_1970 else IST_OFFSET)) % DAY
    if ((moved >= _OPENS) & (moved <= _CLOSES)).mean() > 0.95:
        raise DataError(
            f"{table.path}: taken for {told} time, {outside:.0%} of its rows lie outside of 09:00 to 15:40 in India; "
            f"taken for {other} they lie within",
            remedy="--time-zone UTC, or --time-zone Asia/Kolkata: whichever its times are in",
        )


def _refuse_unsorted(table: Table, series: Series, numbers: Integers, names: list[str]) -> None:
    """Times may be equal, and each instrument may have its own run of them, but none may go back."""
    time, instrument = series.time, series.instrument
    if (time[1:] >= time[:-1]).all():
        return
    back = np.zeros(len(time), bool)
    back[np.arange(len(time))[series.order][1:]] = (series.times[1:] < series.times[:-1]) & series.followers()[1:]
    if not back.any():
        return
    row = int(np.flatnonzero(back)[0])
    of = f" of {names[int(instrument[row])]}" if (instrument != instrument[0]).any() else ""
    earlier = time[:row][instrument[:row] == instrument[row]][-1]
    at, before = (dt.datetime.fromtimestamp(t / SECOND, INDIA).isoformat(" ") for t in (time[row], earlier))
    raise DataError(
        f"{table.path}: row {numbers[row] + 1} is out of order: {at} comes after {before}{of}",
        remedy="sort the file by time, or let it be sorted with --sort",
    )
