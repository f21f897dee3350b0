"""The gate: no decision on a tick that is not a price of a known instrument at a time that has come and has not passed.

A tick that fails is dropped before any strategy sees it, counted, and dead-lettered whole with its reasons. Each check
is one of the lower bits of `TICK.quality`; the higher ones are marks that the tick brought along, and stay.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from functions.calendar import DAY, IST_OFFSET, MINUTE, Calendar
from functions.kernel import borrow, entry, kernel
from functions.ticks import CLOCK, FAULTS, MARKS, TICK, Rows

UNKNOWN_INSTRUMENT, BAD_PRICE, TIME_BACKWARDS, DUPLICATE, PASSED_BY, FROM_THE_FUTURE = (
    np.uint32(1 << n) for n in range(6)
)
REASONS: Final = {
    UNKNOWN_INSTRUMENT: "unknown_instrument",
    BAD_PRICE: "bad_price",  # not finite, not positive, or beyond MAX_PRICE
    TIME_BACKWARDS: "time_backwards",  # earlier than the last accepted tick of this instrument
    DUPLICATE: "duplicate",  # equal to the last accepted tick in everything that a decision reads
    PASSED_BY: "passed_by",  # put back, and no later than the last accepted tick of this instrument: maybe decided before
    FROM_THE_FUTURE: "from_the_future",  # later than the market's clock allows, see `latest_time`
}
UNDECODABLE: Final = "undecodable"
MAX_PRICE: Final = 1e7  # rupees; a negative 32-bit paise price read as unsigned is beyond 4.2e7
AHEAD: Final = MINUTE  # how far a tick may be ahead of a clock that strikes: partitions are not read equally fast

SEEN: Final = TICK  # the last accepted tick of each instrument


def no_ticks_seen(instruments: int) -> Rows:
    """State of the gate before the first tick; the last row is the clock's."""
    return np.zeros(instruments + 1, SEEN)


class Bounds(NamedTuple):
    """How late it can be: from when to when the market is open on each day of the calendar."""

    hours: Any  # (days, 2) first open and last close of all classes, ns since IST midnight; 0 and 0 = no session
    first_day: int


def bounds_of(calendar: Calendar) -> Bounds:
    """The bounds of a calendar, in which a day has several classes and parts."""
    opens, closes = calendar.sessions[..., 0], calendar.sessions[..., 1]
    first, last = np.where(closes > 0, opens, DAY).min(axis=(1, 2)), closes.max(axis=(1, 2))
    return Bounds(np.stack([np.where(last > 0, first, 0), last], axis=1), int(calendar.first_day))


@kernel
def latest_time(clock, hours, first_day):
    """The latest event time that there can be when the clock has struck last at this time; a later tick would take time there.

    From the first strike of a day to the market's close the clock strikes every second, no tick is more than AHEAD of it.
    After the close, what comes next is the next day's open. Before its first strike (0) nobody knows more than the calendar.
    """
    days = hours.shape[0]
    ends = (first_day + days) * DAY - IST_OFFSET - 1
    if clock <= 0:
        return ends
    day = (clock + IST_OFFSET) // DAY - first_day
    if 0 <= day < days and (clock + IST_OFFSET) % DAY < hours[day, 1]:
        return clock + AHEAD
    day = max(day + 1, 0)
    while day < days and hours[day, 1] == 0:
        day += 1
    return (first_day + day) * DAY - IST_OFFSET + hours[day, 0] + AHEAD if day < days else ends


@kernel
def same(a, b):
    return (
        a.time == b.time
        and a.price == b.price
        and a.bid == b.bid
        and a.ask == b.ask
        and a.bid_quantity == b.bid_quantity
        and a.ask_quantity == b.ask_quantity
        and a.volume == b.volume
        and a.open_interest == b.open_interest
        and (a.quality & MARKS) == (b.quality & MARKS)
    )


@kernel
def remember(seen, tick):
    seen.time = tick.time
    seen.price = tick.price
    seen.bid = tick.bid
    seen.ask = tick.ask
    seen.bid_quantity = tick.bid_quantity
    seen.ask_quantity = tick.ask_quantity
    seen.volume = tick.volume
    seen.open_interest = tick.open_interest
    seen.quality = tick.quality & MARKS


@kernel
def faults(tick, seen, latest):
    """The bits of a tick of a known instrument against the last accepted one and the latest time; 0 = it passes."""
    bits = 0
    if tick.time > latest:
        bits |= FROM_THE_FUTURE
    if not (0.0 < tick.price <= MAX_PRICE) or tick.bid > MAX_PRICE or tick.ask > MAX_PRICE:  # NaN is no price either
        bits |= BAD_PRICE
    if tick.time < seen.time:
        bits |= TIME_BACKWARDS
    elif seen.time > 0 and same(tick, seen):
        bits |= DUPLICATE
    return bits


@entry
def judge(ticks, seen, hours, first_day):
    """Writes the faults of every row into its `quality` and returns how many failed. Accepted rows become the last seen.

    `hours` and `first_day` are `Bounds`. A clock may strike on any day of the calendar: it is what says how late it is.
    """
    ticks = borrow(ticks)
    seen = borrow(seen)
    hours = borrow(hours)
    failed = 0
    clock = seen.shape[0] - 1
    begins = first_day * DAY - IST_OFFSET
    ends = latest_time(0, hours, first_day)
    latest = latest_time(seen[clock].time, hours, first_day)
    for row in range(ticks.shape[0]):
        tick = ticks[row]
        bits = 0
        if tick.instrument == CLOCK:
            if tick.time < max(seen[clock].time, begins):
                bits = TIME_BACKWARDS
            elif tick.time > ends:
                bits = FROM_THE_FUTURE
            else:
                seen[clock].time = tick.time
                latest = latest_time(tick.time, hours, first_day)
        elif tick.instrument < 0:
            bits = UNKNOWN_INSTRUMENT
        else:
            bits = faults(tick, seen[tick.instrument], latest)
            if bits == 0:
                remember(seen[tick.instrument], tick)
        tick.quality = (tick.quality & MARKS) | bits
        if bits != 0:
            failed += 1
    return failed


def passed_by(tick: Rows, seen: Rows) -> bool:
    """Whether a tick that was put back could have been decided before: what it is compared with is as late or later.

    `tick` is one row. A tick that never got past the gate is among them where its instrument has traded on.
    """
    instrument = int(tick["instrument"][0])
    if instrument < 0 and instrument != int(CLOCK):
        return False
    last = seen["time"][instrument if instrument >= 0 else -1]
    return bool(tick["time"][0] <= last)


def failed(ticks: Rows) -> Rows:
    """Which of the judged rows have a fault."""
    return ticks["quality"] & FAULTS != 0


def reasons(bits: int) -> list[str]:
    """The names of the bits.

    >>> reasons(int(BAD_PRICE | TIME_BACKWARDS))
    ['bad_price', 'time_backwards']
    """
    return [name for bit, name in REASONS.items() if bits & bit]
