"""The calendar of 2005 to 2026 against `exchange_calendars`, day by day: every difference has its reason here."""

import datetime as dt

import exchange_calendars
import pytest

from tests.tables import CALENDAR

# NSE counts. XBOM is BSE's calendar; it has Muhurat on a weekday as a whole day until 2012 and as a closed day later, and
# of the sessions at weekends two.
DIFFERENCES = {
    "2013-11-14": "NSE traded: Moharram was moved to the 15th, as the daily NIFTY 50 series shows",
    "2013-11-15": "NSE was closed: Moharram",
    "2014-10-23": "Muhurat", "2015-11-11": "Muhurat", "2017-10-19": "Muhurat", "2018-11-07": "Muhurat",
    "2021-11-04": "Muhurat", "2022-10-24": "Muhurat", "2024-11-01": "Muhurat", "2025-10-21": "Muhurat",
    "2005-06-04": "Saturday session", "2005-11-26": "Saturday session", "2006-04-29": "Saturday session",
    "2006-06-25": "Sunday session", "2006-10-21": "Muhurat", "2009-10-17": "Muhurat", "2010-02-06": "Saturday session",
    "2012-01-07": "Saturday session", "2012-03-03": "Saturday session", "2012-04-28": "Saturday session",
    "2012-09-08": "Saturday session", "2013-05-11": "Saturday session", "2013-11-03": "Muhurat",
    "2014-03-22": "Saturday session", "2015-02-28": "Union Budget", "2016-10-30": "Muhurat", "2019-10-27": "Muhurat",
    "2020-02-01": "Union Budget", "2020-11-14": "Muhurat", "2023-11-12": "Muhurat", "2024-01-20": "In place of Monday",
    "2025-02-01": "Union Budget", "2024-03-02": "Disaster recovery",
    "2024-05-18": "Disaster recovery", "2026-02-01": "Union Budget", "2026-11-08": "Muhurat",
}  # fmt: skip


pytestmark = pytest.mark.filterwarnings("ignore:Series.values")  # theirs, of pandas


@pytest.fixture(scope="module")
def sessions():
    calendar = exchange_calendars.get_calendar("XBOM", start="2005-01-01", end="2026-12-31")
    return {day.date() for day in calendar.sessions}


def test_every_day_since_2005_trades_as_the_other_calendar_says_or_the_difference_has_its_reason(sessions):
    days = [CALENDAR.first_date + dt.timedelta(n) for n in range(CALENDAR.days)]

    assert sorted(str(day) for day in days if CALENDAR.is_trading_day(day) != (day in sessions)) == sorted(DIFFERENCES)


@pytest.mark.parametrize("day", sorted(DIFFERENCES))
def test_a_day_on_which_the_calendars_differ_is_special_or_moved(day):
    date = dt.date.fromisoformat(day)
    year = CALENDAR.year(date)

    if DIFFERENCES[day].startswith("NSE"):
        assert CALENDAR.is_trading_day(date) == ("traded" in DIFFERENCES[day])
    else:
        assert year.special[date].name.startswith(DIFFERENCES[day].split()[0])  # and so it trades


def test_closures_declared_later_are_closed():
    """Floods, terror, elections, and holidays that the state moved."""
    closed = [
        "2005-07-28", "2008-11-27", "2009-04-30", "2009-10-13", "2014-04-24", "2014-10-15", "2019-04-29", "2019-10-21",
        "2023-06-29", "2024-01-22", "2024-05-20", "2024-11-20", "2026-01-15",
    ]  # fmt: skip
    assert [day for day in closed if CALENDAR.is_trading_day(dt.date.fromisoformat(day))] == []
    assert CALENDAR.is_trading_day(dt.date(2023, 6, 28))
    assert CALENDAR.is_trading_day(dt.date(2005, 7, 27))
