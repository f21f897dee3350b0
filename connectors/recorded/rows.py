"""Rows: one file's ticks or bars as TICK rows, in order of time.

columns ─► of which instrument ─► in order? ─► within the window ─► notes ─► ticks, or two prints a bar
"""

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from connectors.errors import DataError
from connectors.recorded.bars import prints_of
from connectors.recorded.columns import failing, selection
from connectors.recorded.instruments import Roster
from connectors.recorded.judging import Unreadable, judged
from connectors.recorded.names import BARS
from connectors.recorded.notes import Note, notes_of, passed_over_note
from connectors.recorded.tables import Table
from functions.arrays import Floats, Integers
from functions.calendar import DAY, INDIA, IST_OFFSET, MINUTE, SECOND, Calendar
from functions.ticks import DEPTH, LEVELS, NO_DEPTH, NO_RANGES, NO_TICKS, TICK, Rows

_MAX_I4: Final = 2**31 - 1
_OPENS, _CLOSES = 9 * 60 * MINUTE, 940 * MINUTE  # of the day in India, pre-open and the latest close included


@dataclass
class Part:
    """One file's rows, in order of time."""

    rows: Rows
    depth: Rows  # as long as the rows, or empty
    unreadable: list[Unreadable]
    notes: list[Note] = field(default_factory=list)
    lengths: Integers = field(default_factory=lambda: np.zeros(0, np.int64))  # of each instrument's bars, ns; 0 = ticks
    ranges: Rows = field(default_factory=lambda: NO_RANGES)  # as long as the rows, or empty


def load(table: Table, roster: Roster, window: tuple[int, int], strict: bool, calendar: Calendar) -> Part:
    """A file's rows within a window of time (ns, the end exclusive), numbered by the roster.

    Raises: `DataError` for a file without readable rows or not in order of time, and with `strict` for an unreadable row.
    """
    asked = selection(table)
    if not asked.clock.has_clock:
        raise DataError(
            f"{table.path} has days without a time of day, and a day as a whole cannot be traded within",
            remedy="use bars of one minute or of a few whole minutes, or ticks; is the time of day in another column?",
        )
    columns = table.query(asked.sql())
    if (names := failing(asked, columns)) and (wider := asked.widened(names)) != asked:
        asked = wider
        columns = table.query(asked.sql())
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
    if table.options.unit == "paise":
        in_paise = [name for name in columns if name in (*BARS, "price") or re.fullmatch(r"(bid|ask)\d?", name)]
        columns |= {name: columns[name] / 100 for name in in_paise}
    instrument = roster.index(asked, columns)
    time = np.ascontiguousarray(columns["time"]).astype(np.int64) * 1000
    if not asked.clock.is_told:
        _refuse_another_zone(table, time, counts_from_1970=bool(asked.clock.form.unit))
    if table.options.sort:
        order = np.argsort(time, kind="stable")
        columns = {name: values[order] for name, values in columns.items()}
        time, instrument = time[order], instrument[order]
    _refuse_unsorted(table, time, instrument, np.flatnonzero(good), roster.names)
    notes = [passed_over_note(kind, count, time) for kind, count in passed_over.items()]
    made = None
    if table.is_bars:
        columns |= {name: _printed(columns[name]) for name in BARS}
        made = prints_of(table, columns, time, instrument, roster.session_classes(), notes, calendar)
    if window[0] > time[0] or window[1] <= time[-1]:
        inside = (time >= window[0]) & (time < window[1])
        columns = {name: values[inside] for name, values in columns.items()}
        time, instrument = time[inside], instrument[inside]
        made = made and made.within(window)
    if not len(time):
        return Part(NO_TICKS, NO_DEPTH, unreadable)
    roster.measure(columns, instrument)
    notes += notes_of(columns, time, instrument, table.is_bars)
    if made is not None:
        return Part(made.ticks, NO_DEPTH, unreadable, notes, made.lengths, made.ranges)
    return _ticks(table, columns, time, instrument, unreadable, notes)


def _refuse_another_zone(table: Table, time: Integers, *, counts_from_1970: bool) -> None:
    """Times that tell no zone are India's, numbers since 1970 are UTC's.

    Raises: `DataError` where the hours of the session say otherwise.
    """
    clock = (time + IST_OFFSET) % DAY
    told, other = ("UTC", "India's") if counts_from_1970 else ("India's", "UTC")
    moved = (clock + (-IST_OFFSET if counts_from_1970 else IST_OFFSET)) % DAY
    within = [((c >= _OPENS) & (c <= _CLOSES)).mean() for c in (clock, moved)]
    if within[0] < 0.5 and within[1] > 0.95:
        raise DataError(
            f"{table.path}: taken for {told} time, {1 - within[0]:.0%} of its rows lie outside of 09:00 to 15:40 in India; "
            f"taken for {other} they lie within",
            remedy="--time-zone UTC, or --time-zone Asia/Kolkata: whichever its times are in",
        )


def _refuse_unsorted(
    table: Table, time: Integers, instrument: Integers, numbers: Integers, names: list[str]
) -> None:  # fmt: skip
    """Times may be equal, and each instrument may have its own run of them, but none may go back."""
    if (np.diff(time) >= 0).all():
        return
    order = np.argsort(instrument, kind="stable")
    back = np.zeros(len(time), bool)
    back[order[1:]] = (np.diff(time[order]) < 0) & (np.diff(instrument[order]) == 0)
    if not back.any():
        return
    of = f" of {names[int(instrument[np.argmax(back)])]}" if len(np.unique(instrument)) > 1 else ""
    row = int(np.flatnonzero(back)[0])
    earlier = time[:row][instrument[:row] == instrument[row]][-1]
    at, before = (dt.datetime.fromtimestamp(t / SECOND, INDIA).isoformat(" ") for t in (time[row], earlier))
    raise DataError(
        f"{table.path}: row {numbers[row] + 1} is out of order: {at} comes after {before}{of}",
        remedy="sort the file by time, or let it be sorted with --sort",
    )


def _ticks(
    table: Table, columns: dict[str, Any], time: Integers, instrument: Integers, unreadable: list[Unreadable],
    notes: list[Note],
) -> Part:  # fmt: skip
    rows = np.zeros(len(time), TICK)
    rows["time"], rows["instrument"] = time, instrument
    rows["price"] = _printed(columns["price"], notes, time)
    for name, values in (("bid", "bid"), ("ask", "ask")):
        if values in columns:
            rows[name] = _printed(columns[values])
    for name, source in (("volume", "volume"), ("open_interest", "oi")):
        if source in columns:
            rows[name] = np.nan_to_num(columns[source]).astype(np.int64)
    for name in ("bid_quantity", "ask_quantity"):
        if name in columns:
            rows[name] = np.clip(np.nan_to_num(columns[name]), 0, _MAX_I4)
    part = Part(rows, _depth(table, columns, len(rows)), unreadable, notes)
    if not (np.diff(time) >= 0).all():
        order = np.argsort(time, kind="stable")
        part.rows, part.depth = rows[order], part.depth[order] if len(part.depth) else part.depth
    return part


def _depth(table: Table, columns: dict[str, Any], count: int) -> Rows:
    if not table.shows_depth:
        return NO_DEPTH
    depth = np.zeros(count, DEPTH)
    for side in ("bid", "ask"):
        for n in range(LEVELS):
            if (price := columns.get(f"{side}{n + 1}")) is not None:
                depth[side][:, n] = np.rint(_printed(price) * 1e6)
            if (quantity := columns.get(f"{side}_quantity{n + 1}")) is not None:
                depth[f"{side}_quantity"][:, n] = np.nan_to_num(quantity)
    return depth


def _printed(prices: Floats, notes: list[Note] | None = None, time: Integers | None = None) -> Floats:
    """Prices as the exchange prints them: those that went through 32 bits get their two decimals back."""
    rounded = np.round(prices, 2)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = (rounded != prices) & (rounded.astype(np.float32) == prices)
    count = int(narrow.sum())
    if not count:
        return prices
    if notes is not None and time is not None:
        detail = f"{count} prices had passed through 32-bit floats and are paise again, e.g. {float(prices[narrow][0])}"
        notes.append(Note("float32_price", count, detail, -1, int(time[narrow][0]), int(time[narrow][-1])))
    return np.where(narrow, rounded, prices)
