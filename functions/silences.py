"""Silences: what a recording lacks, by instrument and day, against the sessions of the calendar.

Nothing is repaired here: a gap stays a gap, a report says so.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from functions.arrays import Integers
from functions.calendar import DAY, IST_OFFSET, MINUTE, SECOND, Calendar, date_of, day_of, session_class
from functions.events import InstrumentConfig, QualityReport
from functions.ticks import Rows

TICK_GAP: Final = 5 * SECOND  # longer silences within a session are reported
_OPEN: Final = 555 * MINUTE - IST_OFFSET  # a quarter past nine in India


def silences(
    rows: Rows, configs: Sequence[InstrumentConfig], spacing: Integers, calendar: Calendar
) -> Iterator[QualityReport]:  # fmt: skip
    """Reports of gaps, late starts, early ends, missing bars and rows outside the session.

    `rows` are TICK rows in order of time, `spacing` the length of each instrument's bars in ns, 0 where it has ticks.
    A gap is a silence of more than `TICK_GAP` between ticks, or a missing bar; the times of its report are those of the
    longest one.
    """
    for n, config in enumerate(configs):
        times = rows["time"][rows["instrument"] == n]
        bar = int(spacing[n])
        if bar:  # the ticks of a bar stand for its whole length, counted from the open
            times = np.unique((times - _OPEN) // bar * bar + _OPEN)
        for day, of_day in _by_day(times):
            if not 0 <= day - calendar.first_day < calendar.days:
                yield _report(
                    "outside_calendar", len(of_day), f"the calendar does not know {date_of(day)}", config, of_day
                )
                continue
            of_class = session_class(config.kind, config.closing_auction)
            parts = calendar.sessions[day - calendar.first_day, of_class]
            yield from _of_one_day(config, day, of_day, bar, parts)


def _by_day(times: Integers) -> Iterator[tuple[int, Integers]]:
    days = day_of(times)
    for day in np.unique(days).tolist():
        yield day, times[days == day]


def _of_one_day(
    config: InstrumentConfig, day: int, times: Integers, bar: int, parts: Integers
) -> Iterator[QualityReport]:  # fmt: skip
    midnight = day * DAY - IST_OFFSET
    parts = parts[parts[:, 1] > 0] + midnight
    part = (
        np.searchsorted(parts[:, 0], times, "right") - 1
    )  # of each time the part that began last before it, -1 = none
    trades = (part >= 0) & (times < np.append(parts[:, 1], 0)[part])
    inside, part = times[trades], part[trades]
    if outside := len(times) - len(inside):
        where = times[~trades]
        yield _report(
            "outside_session", outside, f"{outside} rows of {date_of(day)} lie outside the session", config, where
        )
    if not len(inside):
        return
    if bar:
        yield from _missing_bars(config, day, inside, parts, bar)
        return
    opens, closes = int(parts[0, 0]), int(parts[-1, 1])
    steps = np.where(np.diff(part) == 0, np.diff(inside), 0)  # from one part to the next nothing is missing
    if (gaps := steps > TICK_GAP).any():
        longest = int(steps.argmax())
        detail = f"{int(gaps.sum())} gaps of more than 5 s, the longest {steps[longest] / SECOND:,.1f} s"
        yield _report("gap", int(gaps.sum()), detail, config, inside[longest : longest + 2])
    for kind, silence, ends in (
        ("starts_late", int(inside[0]) - opens, [opens, int(inside[0])]),
        ("ends_early", closes - int(inside[-1]), [int(inside[-1]), closes]),
    ):
        if silence > TICK_GAP:
            yield _report(kind, 1, f"{kind.replace('_', ' ')} by {silence / SECOND:,.1f} s", config, np.array(ends))


def _missing_bars(
    config: InstrumentConfig, day: int, inside: Integers, parts: Integers, bar: int
) -> Iterator[QualityReport]:  # fmt: skip
    """Bars that a whole session has and this day has not, and the longest run of them."""
    expected = np.concatenate([np.arange(opens, closes, bar) for opens, closes in parts.tolist()])
    present = np.searchsorted(expected, inside, "right") - 1
    missing = np.setdiff1d(np.arange(len(expected)), present)
    if not len(missing):
        return
    longest = max(np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1), key=len)
    detail = f"{len(missing)} of {len(expected)} bars of {date_of(day)} are missing, at most {len(longest)} in a row"
    yield _report("missing_minutes", len(missing), detail, config, expected[longest[[0, -1]]])


def _report(kind: str, count: int, detail: str, config: InstrumentConfig, times: Integers) -> QualityReport:
    return QualityReport(kind, count, detail, config.instrument_token, int(times[0]) // 1000, int(times[-1]) // 1000)
