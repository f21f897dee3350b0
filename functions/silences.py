"""Silences: what a recording lacks, by instrument and day, against the sessions of the calendar.

Nothing is repaired here: a gap stays a gap, a report says so.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from functions.arrays import Integers
from functions.calendar import DAY, IST_OFFSET, MINUTE, SECOND, Calendar, date_of, day_of, session_class
from functions.events import InstrumentConfig, QualityReport

TICK_GAP: Final = 5 * SECOND  # longer silences within a session are reported
_OPEN: Final = 555 * MINUTE - IST_OFFSET  # a quarter past nine in India


def silences(
    times: Integers, whose: Integers, configs: Sequence[InstrumentConfig], spacing: Integers, calendar: Calendar
) -> Iterator[QualityReport]:  # fmt: skip
    """Reports of gaps, late starts, early ends, missing bars and rows outside the session.

    Shape: ``(n,)`` both, sorted by instrument, then by time. `whose` are places in `configs`, `spacing` is the length of
    each instrument's bars in ns, 0 where it has ticks; a bar's time is that of its start.
    A gap is a silence of more than `TICK_GAP` between ticks, or a missing bar; the times of its report are those of the
    longest one.
    """
    classes = np.array([session_class(config.kind, config.closing_auction) for config in configs], np.int64)
    of_bars = spacing[whose] > 0
    if of_bars.any():  # a bar stands for its whole length, counted from the open; one that is there twice counts once
        length = _one_of(spacing[np.bincount(whose, minlength=len(spacing)) > 0]) if of_bars.all() else None
        length = np.where(of_bars, spacing[whose], 1) if length is None else length
        beyond = (times - _OPEN) % length
        if beyond.any():
            times = np.where(of_bars, times - beyond, times)
        again = of_bars[1:] & (times[1:] == times[:-1])
        if again.any():
            kept = np.append(True, ~again | (whose[1:] != whose[:-1]))
            times, whose = times[kept], whose[kept]
    days = day_of(times)
    begins = np.append(0, np.flatnonzero((days[1:] != days[:-1]) | (whose[1:] != whose[:-1])) + 1)
    for begin, end in _to_look_at(times, whose, begins, classes, spacing, calendar):
        config, day, bar = configs[whose[begin]], int(days[begin]), int(spacing[whose[begin]])
        of_day = times[begin:end]
        if not 0 <= day - calendar.first_day < calendar.days:
            yield _report("outside_calendar", len(of_day), f"the calendar does not know {date_of(day)}", config, of_day)
            continue
        parts = calendar.sessions[day - calendar.first_day, classes[whose[begin]]]
        yield from _of_one_day(config, day, of_day, bar, parts)


def _one_of(lengths: Integers) -> np.int64 | None:
    """The length that all have, if they have one."""
    return lengths[0] if (lengths == lengths[0]).all() else None


def _to_look_at(
    times: Integers, whose: Integers, begins: Integers, classes: Integers, spacing: Integers, calendar: Calendar
) -> Iterator[tuple[int, int]]:  # fmt: skip
    """The days of an instrument that may lack something: all but those whose bars are all there, and nothing beyond them."""
    if not len(times):
        return
    ends = np.append(begins[1:], len(times))
    bar, day = spacing[whose[begins]], day_of(times[begins]) - calendar.first_day
    known = (day >= 0) & (day < calendar.days)
    parts = calendar.sessions[np.where(known, day, 0), classes[whose[begins]]]
    expected = (-(-(parts[:, :, 1] - parts[:, :, 0]) // np.maximum(bar, 1)[:, None])).sum(axis=1)
    midnight = (day + calendar.first_day) * DAY - IST_OFFSET
    whole = known & (bar > 0) & (ends - begins == expected) & (parts[:, 1:, 1] == 0).all(axis=1)
    whole &= (times[begins] == parts[:, 0, 0] + midnight) & (times[ends - 1] < parts[:, 0, 1] + midnight)
    for n in np.flatnonzero(~whole).tolist():
        yield int(begins[n]), int(ends[n])


def _of_one_day(
    config: InstrumentConfig, day: int, times: Integers, bar: int, parts: Integers
) -> Iterator[QualityReport]:  # fmt: skip
    midnight = day * DAY - IST_OFFSET
    parts = parts[parts[:, 1] > 0] + midnight
    trades = np.ones(len(times), bool)
    inside, part = times, np.zeros(1, np.int64)  # as most days are: all of it within the one part of a session
    if len(parts) != 1 or times[0] < parts[0, 0] or times[-1] >= parts[0, 1]:
        part = np.searchsorted(parts[:, 0], times, "right") - 1  # the part that began last before a time, -1 = none
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
    steps = np.diff(inside)
    if len(parts) > 1:  # from one part to the next nothing is missing
        steps = np.where(np.diff(part) == 0, steps, 0)
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
    seen = np.zeros(len(expected), bool)
    seen[np.searchsorted(expected, inside, "right") - 1] = True
    missing = np.flatnonzero(~seen)
    if not len(missing):
        return
    longest = max(np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1), key=len)
    detail = f"{len(missing)} of {len(expected)} bars of {date_of(day)} are missing, at most {len(longest)} in a row"
    yield _report("missing_minutes", len(missing), detail, config, expected[longest[[0, -1]]])


def _report(kind: str, count: int, detail: str, config: InstrumentConfig, times: Integers) -> QualityReport:
    return QualityReport(kind, count, detail, config.instrument_token, int(times[0]) // 1000, int(times[-1]) // 1000)
