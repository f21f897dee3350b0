"""Bar times: how long the bars of a recording are, and where each of them begins and ends.

A file says when its bars begin, not how long they are. A bar that is taken for too short gives its close away before it
was known, so nothing is guessed: the length is the smallest distance of two bars within a session, and where there is none
it is not known.
"""

from typing import Final

import numpy as np

from functions.arrays import Booleans, Integers
from functions.calendar import DAY, IST_OFFSET, MINUTE, Calendar, day_of

_GRIDS: Final = (30 * MINUTE, 60 * MINUTE, 120 * MINUTE)  # lengths of bars that some charts begin at whole hours


def sessions_of(time: Integers, classes: Integers, calendar: Calendar) -> tuple[Integers, Integers]:
    """Open and close of the part of a session that each time lies in, ns since the epoch; 0 and 0 where it lies in none.

    Shape: ``(n,)`` all. `classes` are session classes, `time` is in ns since the epoch.
    """
    days = day_of(time)
    known = (days >= calendar.first_day) & (days < calendar.first_day + calendar.days)
    parts = calendar.sessions[np.where(known, days - calendar.first_day, 0), classes]
    clock = time - (days * DAY - IST_OFFSET)
    inside = (parts[:, :, 0] <= clock[:, None]) & (clock[:, None] < parts[:, :, 1]) & known[:, None]
    midnight = (days * DAY - IST_OFFSET)[:, None]
    opens, closes = (np.where(inside, parts[:, :, n] + midnight, 0).max(axis=1) for n in range(2))
    return opens, closes


def bar_lengths(
    time: Integers, instrument: Integers, classes: Integers, count: int, calendar: Calendar
) -> Integers:  # fmt: skip
    """The length of the bars of each of `count` instruments, ns; 0 where no two of its bars lie within one session.

    Shape: ``(n,)`` in, sorted by instrument, then by time; ``(count,)`` out. A bar that begins with the session and ends at
    the next whole hour, as some charts have it, is shorter than the others and does not count.
    """
    lengths = np.zeros(count, np.int64)
    opens, closes = sessions_of(time, classes, calendar)
    steps = np.diff(time)
    within = (np.diff(instrument) == 0) & (steps > 0) & (opens[1:] == opens[:-1]) & (closes[1:] > 0)
    if not within.any():
        return lengths
    first = within & (time[:-1] == opens[:-1])
    whose, shortest = instrument[:-1], np.full(count, DAY, np.int64)
    np.minimum.at(shortest, whose[within], steps[within])
    others = np.full(count, DAY, np.int64)
    np.minimum.at(others, whose[within & ~first], steps[within & ~first])
    on_grid = _on_grid(time, instrument, opens, others)
    lengths = np.where(on_grid, others, shortest)
    return np.where(lengths < DAY, lengths, 0)


def _on_grid(time: Integers, instrument: Integers, opens: Integers, length: Integers) -> Booleans:
    """Of each instrument: whether its bars begin at whole multiples of their length in the day, but for those at the open."""
    regular = np.isin(length, _GRIDS)
    clock = (time + IST_OFFSET) % DAY
    off = (clock % length[instrument] != 0) & (time != opens)
    regular[instrument[off]] = False
    return regular


def bar_ends(time: Integers, instrument: Integers, closes: Integers, length: Integers) -> Integers:
    """Where each bar ends: after its length, and never behind the next one's start or the close of its session.

    Shape: ``(n,)`` all, sorted by instrument, then by time. `closes` are those of `sessions_of`, `length` is each bar's own.
    """
    ends = time + length
    following = np.flatnonzero((np.diff(instrument) == 0) & (np.diff(time) > 0))
    ends[following] = np.minimum(ends[following], time[following + 1])
    return np.where(closes > 0, np.minimum(ends, closes), ends)


def starts_of(
    ends: Integers, instrument: Integers, classes: Integers, length: Integers, calendar: Calendar
) -> Integers:  # fmt: skip
    """Where bars begin whose times mark their ends: their length before, not before the last one's end or the open."""
    opens, _ = sessions_of(ends - 1, classes, calendar)
    starts = np.maximum(ends - length, opens)
    following = np.flatnonzero((np.diff(instrument) == 0) & (np.diff(ends) > 0)) + 1
    starts[following] = np.maximum(starts[following], ends[following - 1])
    return starts


def seem_to_be_ends(
    time: Integers, instrument: Integers, classes: Integers, length: Integers, calendar: Calendar
) -> bool:  # fmt: skip
    """Whether times must mark the ends of bars: on every day the first is one length behind the open, the last is the close.

    Shape: ``(n,)`` all, sorted by instrument, then by time; `length` is each bar's own, ns.
    """
    opens, closes = sessions_of(time - 1, classes, calendar)
    fresh = np.ones(len(time), bool)
    fresh[1:] = (np.diff(instrument) != 0) | (np.diff(day_of(time)) != 0)
    first, last = np.flatnonzero(fresh), np.append(np.flatnonzero(fresh)[1:], len(time)) - 1
    known = (opens[first] > 0) & (closes[last] > 0)
    fits = (time[first] == opens[first] + length[first]) & (time[last] == closes[last])
    return bool(len(time) > 2 and (known & fits & (last > first)).all())
