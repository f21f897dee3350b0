"""The exchange's calendar: which days NSE trades, and from when to when.

A day has a session of at most two parts for each session class, and a moment from which the broker takes no more MIS
orders. Times inside are nanoseconds: of an instant since the epoch (UTC), of a session since midnight in India. A day
that a calendar does not cover is refused, never guessed. The days themselves stand in a file, `functions.calendar_text`
reads its text.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

CASH, CASH_WITH_AUCTION, DERIVATIVES = (np.int64(n) for n in range(3))  # shares; shares with derivatives; F&O
CLASSES: Final = ("shares", "auction_shares", "derivatives")  # their names in files and to people
PARTS: Final = 2  # of a day's session, at most

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
DAY: Final = 86_400 * SECOND
IST_OFFSET: Final = 330 * MINUTE  # India is 5 h 30 min ahead of UTC, always
INDIA: Final = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")
# On a special session MIS ends so long before the last close: what Zerodha announced for Muhurat of 2022.
SPECIAL_CUT_OFF: Final = 10 * MINUTE

_EPOCH: Final = dt.date(1970, 1, 1)
Part = tuple[int, int]  # open (inclusive) and close (exclusive), ns since midnight in India


class Hours(NamedTuple):
    """The regular hours from a day on, of each class in the order of CLASSES; ns since midnight in India."""

    since: dt.date
    parts: tuple[Part, Part, Part]
    cut_offs: tuple[int, int, int]
    source: str = ""
    cut_offs_assumed: bool = False


class Special(NamedTuple):
    """A session that is not as on other days: on a holiday or at a weekend, or at other hours."""

    name: str
    parts: tuple[Part, ...] = ()  # of every class; none: as on a regular day
    cut_off: int | None = None  # None: as on a regular day, or SPECIAL_CUT_OFF before the last close
    assumed: bool = False  # no source gives the hours
    source: str = ""


class Year(NamedTuple):
    """What a year has beyond weekdays that trade and weekends that do not."""

    year: int
    holidays: Mapping[dt.date, str]
    special: Mapping[dt.date, Special]
    source: str = ""


@dataclass(frozen=True, eq=False)
class Calendar:
    """Consecutive years, and the regular hours by date."""

    years: Sequence[Year] = field(repr=False)
    hours: Sequence[Hours] = field(repr=False)
    first_date: dt.date = field(init=False)
    last_date: dt.date = field(init=False)

    def __post_init__(self) -> None:
        """Raises: `ValueError` where there is no year, one is missing, or hours begin after the first day."""
        numbers = [year.year for year in self.years]
        if not numbers or any(after - before != 1 for before, after in pairwise(numbers)):
            raise ValueError(f"years of a calendar follow each other, these are {numbers}")
        object.__setattr__(self, "first_date", dt.date(numbers[0], 1, 1))
        object.__setattr__(self, "last_date", dt.date(numbers[-1], 12, 31))
        since = [hours.since for hours in self.hours]
        if not since or since != sorted(set(since)) or since[0] > self.first_date:
            raise ValueError(f"regular hours ascend from {self.first_date} at the latest, these begin {since}")

    @property
    def first_day(self) -> int:
        """The number of the first day, see `day_of`."""
        return (self.first_date - _EPOCH).days

    @property
    def days(self) -> int:
        return (self.last_date - self.first_date).days + 1

    @cached_property
    def _tables(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        sessions = np.zeros((self.days, 3, PARTS, 2), np.int64)
        cut_offs = np.zeros((self.days, 3), np.int64)
        weekday = (np.arange(self.days) + self.first_date.weekday()) % 7
        for hours, until in zip(self.hours, [*(h.since for h in self.hours[1:]), None], strict=True):
            begin = max((hours.since - self.first_date).days, 0)
            end = max((until - self.first_date).days, 0) if until is not None else self.days
            sessions[begin:end, :, 0] = hours.parts
            cut_offs[begin:end] = hours.cut_offs
        regular = sessions.copy(), cut_offs.copy()
        closed = weekday >= 5
        closed[[(day - self.first_date).days for year in self.years for day in year.holidays]] = True
        sessions[closed], cut_offs[closed] = 0, 0
        for day, special in ((day, special) for year in self.years for day, special in year.special.items()):
            n = (day - self.first_date).days
            sessions[n], cut_offs[n] = regular[0][n], regular[1][n]
            if special.parts:
                sessions[n] = 0
                sessions[n, :, : len(special.parts)] = special.parts
                cut_offs[n] = max(special.parts[-1][1] - SPECIAL_CUT_OFF, special.parts[0][0])
            if special.cut_off is not None:
                cut_offs[n] = special.cut_off
        sessions.flags.writeable = cut_offs.flags.writeable = False
        return sessions, cut_offs

    @property
    def sessions(self) -> npt.NDArray[np.int64]:
        """(day from the first, class, part, open or close), ns since midnight in India; 0 and 0 = no such part."""
        return self._tables[0]

    @property
    def cut_offs(self) -> npt.NDArray[np.int64]:
        """(day from the first, class): from when the broker takes no more MIS orders, exits included; 0 = closed."""
        return self._tables[1]

    # --- a day ------------------------------------------------------------------------------------------------------------

    def covers(self, date: dt.date) -> bool:
        """Whether the calendar knows this day."""
        return self.first_date <= date <= self.last_date

    def row(self, date: dt.date) -> int:
        """The day's row in the tables. Raises: `ValueError` for a day that the calendar does not cover."""
        if not self.covers(date):
            raise ValueError(
                f"{date} is not covered by the calendar, which knows {self.first_date} to {self.last_date}"
            )
        return (date - self.first_date).days

    def year(self, date: dt.date) -> Year:
        """What the calendar says of this day's year. Raises: `ValueError` for a day that it does not cover."""
        self.row(date)
        return self.years[date.year - self.first_date.year]

    def regular_hours(self, date: dt.date) -> Hours:
        """The hours of a regular day. Raises: `ValueError` for a day that the calendar does not cover."""
        self.row(date)
        return [hours for hours in self.hours if hours.since <= date][-1]

    def is_trading_day(self, date: dt.date) -> bool:
        """Whether there is a session on this day, a special one included.

        Raises: `ValueError` for a day that the calendar does not cover.
        """
        return bool(self.sessions[self.row(date)].any())

    def _neighbour(self, date: dt.date, step: int) -> dt.date:
        date += dt.timedelta(days=step)
        while not self.is_trading_day(date):
            date += dt.timedelta(days=step)
        return date

    def next_trading_day(self, date: dt.date) -> dt.date:
        """The first day after this one that trades. Raises: `ValueError` where the calendar ends before it."""
        return self._neighbour(date, 1)

    def previous_trading_day(self, date: dt.date) -> dt.date:
        """The last day before this one that traded. Raises: `ValueError` where the calendar begins after it."""
        return self._neighbour(date, -1)

    def session_parts(self, date: dt.date, session_class: int) -> list[Part]:
        """Open (inclusive) and close (exclusive) of each part of a session, ns since the epoch; none on a closed day.

        Raises: `ValueError` for a day that the calendar does not cover.
        """
        begins = midnight(date)
        parts = self.sessions[self.row(date), session_class].tolist()
        return [(begins + opens, begins + closes) for opens, closes in parts if closes]

    # --- time --------------------------------------------------------------------------------------------------------------

    def last_close(self, day: int) -> int | None:
        """When the last session class of a day closes, ns since the epoch; `None` where it is closed or not covered."""
        if not 0 <= day - self.first_day < self.days:
            return None
        close = int(self.sessions[day - self.first_day, :, :, 1].max())
        return day * DAY - IST_OFFSET + close if close else None

    def seconds_passed(self, after: int, until: int) -> npt.NDArray[np.int64]:
        """The whole seconds of market time in (after, until], ns since the epoch, ascending.

        Within a day every second counts. From one day to a later one the market's time runs until the last session of
        the first day has closed and then jumps: nights, weekends and days without data have no seconds.
        """
        if day_of(after) == day_of(until):
            return _whole_seconds(after, until)
        close = self.last_close(day_of(after))
        evening = _whole_seconds(after, close) if close is not None and close > after else np.empty(0, np.int64)
        return np.append(evening, until // SECOND * SECOND)

    def days_left(self, today: dt.date) -> int:
        """How many days the calendar knows after this one; negative when it has ended."""
        return (self.last_date - today).days

    def trading_days(self, year: int) -> Iterator[dt.date]:
        """The days of a year that trade. Raises: `ValueError` for a year that the calendar does not cover."""
        first = self.row(dt.date(year, 1, 1))
        last = self.row(dt.date(year, 12, 31))
        for n in np.flatnonzero(self.cut_offs[first : last + 1].any(axis=1)).tolist():
            yield dt.date(year, 1, 1) + dt.timedelta(days=n)


def day_of(time_ns: Any) -> Any:
    """The day in India of an instant, counted from 1970-01-01; plain arithmetic, for scalars, arrays and kernels.

    >>> day_of(1_763_697_600_000_000_000), day_of(1_763_663_399_999_999_999)  # 09:30 and a moment before midnight
    (20413, 20412)
    """
    return (time_ns + IST_OFFSET) // DAY


def date_of(day: int) -> dt.date:
    """The date of a day number.

    >>> date_of(20413)
    datetime.date(2025, 11, 21)
    """
    return _EPOCH + dt.timedelta(days=int(day))


def midnight(date: dt.date) -> int:
    """The instant at which a day begins in India, ns since the epoch."""
    return (date - _EPOCH).days * DAY - IST_OFFSET


def clock(ns_of_day: int) -> str:
    """A time of day for people.

    >>> clock(555 * MINUTE)
    '09:15'
    """
    return f"{ns_of_day // (60 * MINUTE):02d}:{ns_of_day // MINUTE % 60:02d}"


def session_class(kind: str, closing_auction: bool) -> int:
    """Which class an instrument trades in, from its kind (EQ, INDEX, FUT, CE, PE).

    >>> session_class("EQ", False), session_class("EQ", True), session_class("FUT", False)
    (0, 1, 2)
    """
    if kind in ("FUT", "CE", "PE"):
        return int(DERIVATIVES)
    return int(CASH_WITH_AUCTION) if closing_auction else int(CASH)


def _whole_seconds(after: int, until: int) -> npt.NDArray[np.int64]:
    return np.arange(after // SECOND + 1, until // SECOND + 1, dtype=np.int64) * SECOND
