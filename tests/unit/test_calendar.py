"""When NSE trades: checked by hand against the exchange's circulars."""

import datetime as dt

import numpy as np
import pytest
from numba import njit

from functions import calendar
from functions.calendar import (
    CASH,
    CASH_WITH_AUCTION,
    DAY,
    DERIVATIVES,
    INDIA,
    MINUTE,
    SECOND,
    Calendar,
    Hours,
    Year,
    date_of,
    day_of,
    midnight,
)  # fmt: skip
from tests.tables import CALENDAR


def at(text: str) -> int:
    """Nanoseconds since the epoch of a time in India."""
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=INDIA)
    return int(moment.timestamp()) * SECOND


def hours(date: str, session_class: np.int64 = CASH) -> str:
    parts = CALENDAR.session_parts(dt.date.fromisoformat(date), int(session_class))
    return " ".join("-".join(f"{dt.datetime.fromtimestamp(t // SECOND, INDIA):%H:%M}" for t in part) for part in parts)


def cut_offs(date: str) -> list[str]:
    """When MIS ends for shares, shares with a closing auction and derivatives."""
    minutes = CALENDAR.cut_offs[CALENDAR.row(dt.date.fromisoformat(date))] // MINUTE
    return [f"{m // 60:02d}:{m % 60:02d}" for m in minutes.tolist()]


def trades(date: str) -> bool:
    return CALENDAR.is_trading_day(dt.date.fromisoformat(date))


def test_a_regular_day_trades_from_quarter_past_nine_to_half_past_three():
    assert hours("2025-11-21") == "09:15-15:30"


def test_from_3_august_2026_each_class_closes_at_its_own_time():
    assert [hours("2026-07-31", c) for c in (CASH, CASH_WITH_AUCTION, DERIVATIVES)] == ["09:15-15:30"] * 3
    assert hours("2026-08-03", CASH) == "09:15-15:30"
    assert hours("2026-08-03", CASH_WITH_AUCTION) == "09:15-15:15"
    assert hours("2026-08-03", DERIVATIVES) == "09:15-15:40"


@pytest.mark.parametrize(
    "date",
    ["2023-03-07", "2024-01-22", "2024-05-20", "2024-11-20", "2025-02-26", "2026-01-15", "2026-11-24", "2026-12-25"],
)
def test_a_holiday_is_closed_for_every_class(date):
    assert not trades(date)
    assert [hours(date, c) for c in (CASH, CASH_WITH_AUCTION, DERIVATIVES)] == ["", "", ""]
    assert cut_offs(date) == ["00:00"] * 3


def test_the_sundays_and_saturdays_that_traded_are_open():
    assert {d: hours(d) for d in ("2024-01-20", "2025-02-01", "2026-02-01")} == {
        "2024-01-20": "09:15-15:30",
        "2025-02-01": "09:15-15:30",
        "2026-02-01": "09:15-15:30",
    }
    assert not trades("2025-02-08")
    assert not trades("2025-02-02")


def test_on_the_saturdays_of_disaster_recovery_two_parts_trade():
    assert [hours("2024-03-02", c) for c in (CASH, CASH_WITH_AUCTION, DERIVATIVES)] == ["09:15-10:00 11:30-12:30"] * 3
    assert hours("2024-05-18") == "09:15-10:00 11:30-12:30"


def test_mis_ends_at_the_times_of_the_broker():
    assert cut_offs("2026-07-31") == ["15:20", "15:20", "15:25"]
    assert cut_offs("2026-08-03") == ["15:25", "15:12", "15:26"]
    assert cut_offs("2025-02-01") == ["15:20", "15:20", "15:25"]  # a whole session, though a Saturday


def test_mis_ends_ten_minutes_before_the_close_of_a_special_session():
    assert cut_offs("2024-11-01") == ["18:50"] * 3
    assert cut_offs("2026-11-08") == ["14:35"] * 3


def test_the_broker_took_no_mis_orders_on_the_saturdays_of_disaster_recovery():
    assert cut_offs("2024-03-02") == cut_offs("2024-05-18") == ["09:15"] * 3


def test_the_hour_of_muhurat_is_the_session_of_diwali():
    assert {d: hours(d, DERIVATIVES) for d in ("2023-11-12", "2024-11-01", "2025-10-21", "2026-11-08")} == {
        "2023-11-12": "18:15-19:15",
        "2024-11-01": "18:00-19:00",
        "2025-10-21": "13:45-14:45",
        "2026-11-08": "13:45-14:45",
    }


def test_the_years_have_as_many_trading_days_as_the_exchange_counted():
    """2005 to 2019 as the daily NIFTY 50 series has them, later years as NSE's circulars."""
    assert {year.year: len(list(CALENDAR.trading_days(year.year))) for year in CALENDAR.years} == {
        2005: 251, 2006: 250, 2007: 249, 2008: 246, 2009: 243, 2010: 252, 2011: 247, 2012: 251, 2013: 250, 2014: 244,
        2015: 248, 2016: 247, 2017: 248, 2018: 246, 2019: 245, 2020: 252, 2021: 248, 2022: 248, 2023: 246, 2024: 249,
        2025: 249, 2026: 247,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2009-12-31", "09:55-15:30"),
        ("2010-01-04", "09:00-15:30"),
        ("2010-10-15", "09:00-15:30"),
        ("2010-10-18", "09:15-15:30"),
        ("2021-02-23", "09:15-15:30"),
        ("2021-02-24", "09:15-11:40 15:45-17:00"),  # the day of the telecom failure
        ("2021-02-25", "09:15-15:30"),
    ],
)
def test_the_hours_of_a_day_are_those_of_its_time(date, expected):
    assert [hours(date, c) for c in (CASH, CASH_WITH_AUCTION, DERIVATIVES)] == [expected] * 3


def test_the_next_and_the_previous_trading_day_jump_weekends_and_holidays():
    assert CALENDAR.next_trading_day(dt.date(2025, 10, 20)) == dt.date(2025, 10, 21)  # Muhurat
    assert CALENDAR.next_trading_day(dt.date(2025, 10, 21)) == dt.date(2025, 10, 23)
    assert CALENDAR.next_trading_day(dt.date(2026, 1, 30)) == dt.date(2026, 2, 1)
    assert CALENDAR.previous_trading_day(dt.date(2024, 1, 23)) == dt.date(2024, 1, 20)


@pytest.mark.parametrize("date", [dt.date(2004, 12, 31), dt.date(2027, 1, 1)])
def test_a_year_outside_the_table_is_refused_with_the_range_it_knows(date):
    assert not CALENDAR.covers(date)
    for ask in (CALENDAR.is_trading_day, lambda d: CALENDAR.session_parts(d, 0), CALENDAR.year):
        with pytest.raises(ValueError, match="knows 2005-01-01 to 2026-12-31"):
            ask(date)


def test_the_last_trading_day_of_the_table_has_no_next_one():
    with pytest.raises(ValueError, match="2027-01-01 is not covered"):
        CALENDAR.next_trading_day(dt.date(2026, 12, 31))


def test_the_day_changes_at_midnight_in_india_compiled_or_not():
    before, after = at("2025-11-20 23:59:59"), at("2025-11-21 00:00:00")
    assert (date_of(day_of(before)), date_of(day_of(after))) == (dt.date(2025, 11, 20), dt.date(2025, 11, 21))
    assert midnight(dt.date(2025, 11, 21)) == after
    assert njit(calendar.day_of)(after) == day_of(after)
    assert day_of(np.array([before, after])).tolist() == [day_of(before), day_of(after)]


def test_the_table_holds_times_of_day_and_zeros_where_the_market_is_closed():
    row = CALENDAR.sessions[CALENDAR.row(dt.date(2026, 8, 3))]
    assert (row // (60 * SECOND)).tolist() == [[[555, 930], [0, 0]], [[555, 915], [0, 0]], [[555, 940], [0, 0]]]
    assert (CALENDAR.sessions.shape, CALENDAR.cut_offs.shape) == ((8035, 3, 2, 2), (8035, 3))
    assert CALENDAR.sessions.max() < DAY
    assert CALENDAR.days == 8035


def test_every_day_with_a_session_has_a_moment_at_which_mis_ends_within_it():
    opens, closes, cut_offs = CALENDAR.sessions[:, :, 0, 0], CALENDAR.sessions[..., 1].max(axis=2), CALENDAR.cut_offs
    assert ((opens <= cut_offs) & (closes >= cut_offs)).all()
    assert ((cut_offs > 0) == (closes > 0)).all()


def test_every_whole_second_of_a_day_passes_once():
    start = at("2025-11-21 10:00:00")
    assert (CALENDAR.seconds_passed(start, start + 3 * SECOND) - start).tolist() == [SECOND, 2 * SECOND, 3 * SECOND]
    assert CALENDAR.seconds_passed(start + 1, start + 2).tolist() == []


def test_after_a_night_the_clock_goes_on_where_the_data_goes_on():
    """From Friday 15:29:58 the market's time runs to its close, then jumps to Monday's first second."""
    passed = CALENDAR.seconds_passed(at("2025-11-21 15:29:58"), at("2025-11-24 09:15:00") + 1)
    assert passed.tolist() == [at("2025-11-21 15:29:59"), at("2025-11-21 15:30:00"), at("2025-11-24 09:15:00")]


def test_a_day_whose_data_outlasts_the_close_or_that_is_a_holiday_adds_no_seconds():
    late, monday = at("2025-11-21 15:45:00"), at("2025-11-24 09:15:00")
    assert CALENDAR.seconds_passed(late, monday).tolist() == [monday]
    assert CALENDAR.seconds_passed(at("2025-11-23 10:00:00"), monday).tolist() == [monday]
    assert CALENDAR.seconds_passed(at("2030-01-01 10:00:00"), at("2030-01-02 10:00:00")).tolist() == [
        at("2030-01-02 10:00:00")
    ]


def test_the_clock_goes_on_between_two_parts_and_until_the_last_close():
    passed = CALENDAR.seconds_passed(at("2024-03-02 09:59:59"), at("2024-03-04 09:15:00"))
    assert passed[[0, -2, -1]].tolist() == [
        at("2024-03-02 10:00:00"), at("2024-03-02 12:30:00"), at("2024-03-04 09:15:00"),
    ]  # fmt: skip
    assert len(passed) == 2 * 3600 + 1800 + 1 + 1


def test_the_clock_stops_where_the_calendar_does_not_know_the_day():
    before, after = at("2004-12-31 10:00:00"), at("2005-01-03 10:00:00")
    assert CALENDAR.last_close(day_of(before)) is None
    assert CALENDAR.last_close(day_of(at("2027-01-01 10:00:00"))) is None
    assert CALENDAR.last_close(day_of(at("2026-12-31 10:00:00"))) == at("2026-12-31 15:40:00")
    assert CALENDAR.last_close(day_of(at("2005-01-03 10:00:00"))) == at("2005-01-03 15:30:00")
    assert CALENDAR.seconds_passed(before, after).tolist() == [after]


def test_a_calendar_of_years_with_a_gap_or_without_hours_cannot_be_made():
    part = ((1, 2), (1, 2), (1, 2))
    whole = Hours(dt.date(2026, 1, 1), part, (1, 1, 1))
    years = {year: Year(year, {}, {}) for year in (2026, 2027, 2029)}
    assert Calendar([years[2026], years[2027]], [whole]).days == 730
    for wrong in ([years[2027], years[2029]], [years[2027], years[2026]], []):
        with pytest.raises(ValueError, match="years of a calendar follow each other"):
            Calendar(wrong, [whole])
    with pytest.raises(ValueError, match="at the latest"):
        Calendar([years[2026]], [whole._replace(since=dt.date(2026, 1, 2))])


def test_nobody_can_change_a_calendar_that_others_read():
    with pytest.raises(ValueError, match="read-only"):
        CALENDAR.sessions[0] = 0


def test_every_day_with_assumed_hours_and_every_year_names_its_source():
    assert all(year.source for year in CALENDAR.years)
    assert all(hours.source for hours in CALENDAR.hours)
    assert all(special.source for year in CALENDAR.years for special in year.special.values())
    assert [str(day) for year in CALENDAR.years for day, special in year.special.items() if special.assumed] == [
        "2005-06-04", "2005-11-26", "2006-04-29", "2006-06-25", "2006-10-21", "2009-10-17", "2010-02-06", "2012-01-07",
        "2012-03-03", "2012-09-08", "2013-05-11", "2013-11-03", "2026-11-08",
    ]  # fmt: skip
