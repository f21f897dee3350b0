"""Bar times: how long the bars of a recording are, and where each of them begins and ends.

A file says when its bars begin, not how long they are. A bar that is taken for too short gives its close away before it
was known, so nothing is guessed: the length is the smallest distance of two bars within a session, and where there is none
it is not known.
"""

from typing import Final, NamedTuple

import numpy as np

from functions.arrays import Booleans, Integers
from functions.calendar import DAY, IST_OFFSET, MINUTE, Calendar, day_of

_GRIDS: Final = (30 * MINUTE, 60 * MINUTE, 120 * MINUTE)  # lengths of bars that some charts begin at whole hours
_SHORT: Final = (15 * MINUTE, 45 * MINUTE)  # and what they make of the first one, from 09:15 on


class Sessions(NamedTuple):
    """Open and close of the part of a session that each of some times lies in, ns since the epoch; 0 and 0 = in none."""

    opens: Integers
    closes: Integers


def sessions_of(time: Integers, instrument: Integers, classes: Integers, calendar: Calendar) -> Sessions:
    """The sessions in which times lie.

    Shape: ``(n,)`` all; rows of one instrument and day beside each other make it quick. `classes` are session classes.
    """
    days = day_of(time)
    fresh = np.ones(len(time), bool)
    fresh[1:] = (days[1:] != days[:-1]) | (instrument[1:] != instrument[:-1])
    first = np.flatnonzero(fresh)
    runs = np.diff(first, append=len(time))
    day = days[first]
    known = (day >= calendar.first_day) & (day < calendar.first_day + calendar.days)
    parts = calendar.sessions[np.where(known, day - calendar.first_day, 0), classes[first]] * known[:, None, None]
    parts += np.where(parts[:, :, 1:] > 0, (day * DAY - IST_OFFSET)[:, None, None], 0)
    opens, closes = np.zeros(len(time), np.int64), np.zeros(len(time), np.int64)
    for n in range(parts.shape[1]):
        if not parts[:, n].any():
            continue
        opening, closing = np.repeat(parts[:, n, 0], runs), np.repeat(parts[:, n, 1], runs)
        inside = (opening <= time) & (time < closing)
        np.copyto(opens, opening, where=inside)
        np.copyto(closes, closing, where=inside)
    return Sessions(opens, closes)


def bar_lengths(time: Integers, instrument: Integers, sessions: Sessions, count: int) -> Integers:
    """The length of the bars of each of `count` instruments, ns; 0 where no two of its bars lie within one session.

    Shape: ``(n,)`` in, sorted by instrument, then by time; ``(count,)`` out. A bar that begins with the session and ends at
    the next whole hour, as some charts have it, is shorter than the others and does not count.
    """
    opens, closes = sessions
    steps = time[1:] - time[:-1]
    within = (instrument[1:] == instrument[:-1]) & (steps > 0) & (opens[1:] == opens[:-1]) & (closes[1:] > 0)
    if not within.any():
        return np.zeros(count, np.int64)
    whose, steps = instrument[1:][within], steps[within]
    shortest, others = _shortest(whose, steps, count), np.full(count, DAY, np.int64)
    if np.isin(shortest, _SHORT).any():
        later = time[:-1][within] != opens[:-1][within]
        others = _shortest(whose[later], steps[later], count)
    lengths = np.where(_on_grid(time, instrument, opens, others), others, shortest)
    return np.where(lengths < DAY, lengths, 0)


def _shortest(whose: Integers, steps: Integers, count: int) -> Integers:
    """The smallest step of each instrument, DAY where it has none; rows of an instrument lie beside each other."""
    shortest = np.full(count, DAY, np.int64)
    if len(whose):
        begins = np.append(0, np.flatnonzero(whose[1:] != whose[:-1]) + 1)
        shortest[whose[begins]] = np.minimum.reduceat(steps, begins)
    return shortest


def _on_grid(time: Integers, instrument: Integers, opens: Integers, length: Integers) -> Booleans:
    """Of each instrument: whether its bars begin at whole multiples of their length in the day, but for those at the open."""
    regular = np.isin(length, _GRIDS)
    if regular.any():
        off = ((time + IST_OFFSET) % DAY % length[instrument] != 0) & (time != opens)
        regular[instrument[off]] = False
    return regular


def bar_ends(time: Integers, instrument: Integers, closes: Integers, length: Integers) -> Integers:
    """Where each bar ends: after its length, and never behind the next one's start or the close of its session.

    Shape: ``(n,)`` all, sorted by instrument, then by time. `closes` are those of `sessions_of`, `length` is each bar's own.
    """
    ends = time + length
    follows = (instrument[1:] == instrument[:-1]) & (time[1:] > time[:-1])
    np.minimum(ends[:-1], time[1:], out=ends[:-1], where=follows)
    return np.minimum(ends, closes, out=ends, where=closes > 0)


def starts_of(
    ends: Integers, instrument: Integers, classes: Integers, length: Integers, calendar: Calendar
) -> Integers:  # fmt: skip
    """Where bars begin whose times mark their ends: their length before, not before the last one's end or the open."""
    opens = sessions_of(ends - 1, instrument, classes, calendar).opens
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
    fresh = np.ones(len(time), bool)
    fresh[1:] = (instrument[1:] != instrument[:-1]) | (day_of(time[1:]) != day_of(time[:-1]))
    first = np.flatnonzero(fresh)
    last = np.append(first[1:], len(time)) - 1
    if len(time) < 3 or not (last > first).all():
        return False
    opens = sessions_of(time[first] - 1, instrument[first], classes[first], calendar).opens
    closes = sessions_of(time[last] - 1, instrument[last], classes[last], calendar).closes
    return bool(((time[first] == opens + length[first]) & (time[last] == closes)).all())
