"""The exchange's calendar: which days NSE trades, and from when to when, by a dated table.

A day has a session of at most two parts for each session class, and a moment from which the broker takes no more MIS
orders. Times inside are nanoseconds: of an instant since the epoch (UTC), of a session since midnight in India. A year
that the table does not cover is refused, never guessed.

Sources: NSE's yearly holiday circulars for the capital market and F&O segments (2026: CMTR71775, FAOP71777, and 15
January added), its circulars on special sessions, and CMTR73362, CMTR74466, FAOP74467 for the closing auction session
of 3 August 2026.
Checked against `exchange_calendars` 4.13.2 (XBOM): the weekday closures of 2023-2026 agree day by day. That calendar
lacks every session on a weekend, and has the days of Diwali that fall on a weekday as closed all day.
"""

import datetime as dt
from typing import Any, Final

import numpy as np
import numpy.typing as npt

CASH, CASH_WITH_AUCTION, DERIVATIVES = (np.int64(n) for n in range(3))  # shares; shares with derivatives; F&O

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
DAY: Final = 86_400 * SECOND
IST_OFFSET: Final = 330 * MINUTE  # India is 5 h 30 min ahead of UTC, always
INDIA: Final = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")

_EPOCH: Final = dt.date(1970, 1, 1)
FIRST_DATE: Final = dt.date(2023, 1, 1)
LAST_DATE: Final = dt.date(2026, 12, 31)
FIRST_DAY: Final = (FIRST_DATE - _EPOCH).days
LAST_DAY: Final = (LAST_DATE - _EPOCH).days

# Weekdays without a regular session. Holidays on a weekend are left out.
HOLIDAYS: Final = {
    2023: "01-26 03-07 03-30 04-04 04-07 04-14 05-01 06-29 08-15 09-19 10-02 10-24 11-14 11-27 12-25",
    2024: "01-22 01-26 03-08 03-25 03-29 04-11 04-17 05-01 05-20 06-17 07-17 08-15 10-02 11-01 11-15 11-20 12-25",
    2025: "02-26 03-14 03-31 04-10 04-14 04-18 05-01 08-15 08-27 10-02 10-21 10-22 11-05 12-25",
    2026: "01-15 01-26 03-03 03-26 03-31 04-03 04-14 05-01 05-28 06-26 09-14 10-02 10-20 11-10 11-24 12-25",
}

# Sessions on days that would be closed. No times: as on a regular day.
SPECIAL: Final[dict[str, tuple[str, ...] | None]] = {
    "2023-11-12": ("18:15", "19:15"),  # Muhurat, Sunday
    "2024-01-20": None,  # Saturday, in place of Monday 22 January
    "2024-03-02": (
        "09:15",
        "10:00",
        "11:30",
        "12:30",
    ),  # Saturday, disaster recovery: the second part from the other site
    "2024-05-18": ("09:15", "10:00", "11:30", "12:30"),  # likewise
    "2024-11-01": ("18:00", "19:00"),  # Muhurat, Friday
    "2025-02-01": None,  # Saturday, budget
    "2025-10-21": ("13:45", "14:45"),  # Muhurat, Tuesday
    "2026-02-01": None,  # Sunday, budget
    "2026-11-08": ("13:45", "14:45"),  # Muhurat, Sunday: announced; the hour is assumed to be that of 2025
}

# Regular hours from a date on: open, the close of CASH, CASH_WITH_AUCTION and DERIVATIVES, and Zerodha's MIS cut-off of each.
# Continuous trading only: the closing auction (15:15 to 15:35) takes no stop orders and shows indicative prices.
TEMPLATES: Final = (
    ("2023-01-01", "09:15", ("15:30", "15:30", "15:30"), ("15:20", "15:20", "15:25")),
    ("2026-08-03", "09:15", ("15:30", "15:15", "15:40"), ("15:25", "15:12", "15:26")),
)
# On a special session MIS ends so long before the last close: what Zerodha announced for Muhurat of 2022.
SPECIAL_CUT_OFF: Final = 10 * MINUTE
WITHOUT_MIS: Final = ("2024-03-02", "2024-05-18")  # Zerodha took no MIS orders on the days of disaster recovery
PARTS: Final = 2  # of a day's session, at most


def _of_day(text: str) -> int:
    hours, minutes = text.split(":")
    return (int(hours) * 60 + int(minutes)) * MINUTE


def _regular(date: dt.date) -> tuple[list[tuple[int, int]], list[int]]:
    _, opens, closes, cut_offs = [template for template in TEMPLATES if dt.date.fromisoformat(template[0]) <= date][-1]
    return [(_of_day(opens), _of_day(close)) for close in closes], [_of_day(cut_off) for cut_off in cut_offs]


def _tables() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The tables of the module, one row a day."""
    days = LAST_DAY - FIRST_DAY + 1
    sessions, cut_offs = np.zeros((days, 3, PARTS, 2), np.int64), np.zeros((days, 3), np.int64)
    closed = {dt.date.fromisoformat(f"{year}-{day}") for year, days in HOLIDAYS.items() for day in days.split()}
    special = {dt.date.fromisoformat(day): hours for day, hours in SPECIAL.items()}
    for n in range(days):
        date = FIRST_DATE + dt.timedelta(days=n)
        if hours := special.get(date):
            times = [_of_day(text) for text in hours]
            sessions[n, :, : len(times) // 2] = np.reshape(times, (-1, 2))
            cut_offs[n] = times[0] if date.isoformat() in WITHOUT_MIS else times[-1] - SPECIAL_CUT_OFF
        elif date in special or (date.weekday() < 5 and date not in closed):
            sessions[n, :, 0], cut_offs[n] = _regular(date)
    return sessions, cut_offs


# By (day from FIRST_DAY, session class, part, open or close), and by (day, session class) from when the broker takes no more
# MIS orders, exits included: ns since midnight in India; 0 = none. A day's first part comes first.
SESSIONS, CUT_OFFS = _tables()


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


def covers(date: dt.date) -> bool:
    """Whether the table knows this day."""
    return FIRST_DATE <= date <= LAST_DATE


def _row(date: dt.date) -> npt.NDArray[np.int64]:
    if not covers(date):
        raise ValueError(f"{date} is not covered by the calendar, which knows {FIRST_DATE} to {LAST_DATE}")
    return SESSIONS[(date - FIRST_DATE).days]


def is_trading_day(date: dt.date) -> bool:
    """Whether there is a session on this day, a special one included.

    Raises: `ValueError` for a day that the table does not cover.
    """
    return bool(_row(date).any())


def _neighbour(date: dt.date, step: int) -> dt.date:
    date += dt.timedelta(days=step)
    while not is_trading_day(date):
        date += dt.timedelta(days=step)
    return date


def next_trading_day(date: dt.date) -> dt.date:
    """The first day after this one that trades. Raises: `ValueError` where the table ends before it."""
    return _neighbour(date, 1)


def previous_trading_day(date: dt.date) -> dt.date:
    """The last day before this one that traded. Raises: `ValueError` where the table begins after it."""
    return _neighbour(date, -1)


def session_parts(date: dt.date, session_class: int) -> list[tuple[int, int]]:
    """Open (inclusive) and close (exclusive) of each part of a day's session, ns since the epoch; none on a closed day.

    Raises: `ValueError` for a day that the table does not cover.
    """
    begins = midnight(date)
    return [(begins + opens, begins + closes) for opens, closes in _row(date)[session_class].tolist() if closes]


def session_class(kind: str, closing_auction: bool) -> int:
    """Which class an instrument trades in, from its kind (EQ, INDEX, FUT, CE, PE).

    >>> session_class("EQ", False), session_class("EQ", True), session_class("FUT", False)
    (0, 1, 2)
    """
    if kind in ("FUT", "CE", "PE"):
        return int(DERIVATIVES)
    return int(CASH_WITH_AUCTION) if closing_auction else int(CASH)


def last_close(day: int) -> int | None:
    """When the last session class of a day closes, ns since the epoch; `None` where it is closed or not covered."""
    if not FIRST_DAY <= day <= LAST_DAY:
        return None
    close = int(SESSIONS[day - FIRST_DAY, :, :, 1].max())
    return day * DAY - IST_OFFSET + close if close else None


def seconds_passed(after: int, until: int) -> npt.NDArray[np.int64]:
    """The whole seconds of market time in (after, until], ns since the epoch, ascending.

    Within a day every second counts. From one day to a later one the market's time runs until the last session of the
    first day has closed and then jumps: nights, weekends and days without data have no seconds.

    >>> nine = 1_763_697_600_000_000_000
    >>> seconds_passed(nine + 1, nine + 2_500_000_000) - nine
    array([1000000000, 2000000000])
    """
    if day_of(after) == day_of(until):
        return _whole_seconds(after, until)
    close = last_close(day_of(after))
    evening = _whole_seconds(after, close) if close is not None and close > after else np.empty(0, np.int64)
    return np.append(evening, until // SECOND * SECOND)


def _whole_seconds(after: int, until: int) -> npt.NDArray[np.int64]:
    return np.arange(after // SECOND + 1, until // SECOND + 1, dtype=np.int64) * SECOND
