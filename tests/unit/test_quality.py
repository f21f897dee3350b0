"""The gate: each reason made to drop a tick alone, at its boundary from both sides."""

from datetime import datetime

import numpy as np
import pytest

from functions.calendar import INDIA
from functions.kernel import borrow, entry, records
from functions.quality import (
    BAD_PRICE,
    MAX_PRICE,
    REASONS,
    bounds_of,
    failed,
    judge,
    latest_time,
    no_ticks_seen,
    reasons,
)
from functions.ticks import OPENING, UNKNOWN, UNTRADED
from tests.desk import TEN, bar, clock, tick, tick_rows
from tests.tables import CALENDAR

BOUNDS = bounds_of(CALENDAR)


@entry
def compiled_latest(clock, hours, first_day):
    return latest_time(clock, borrow(hours), first_day)


def judged(*ticks, seen=None):
    """The reasons of every tick; None = it passes."""
    rows = tick_rows(ticks)
    seen = no_ticks_seen(2) if seen is None else seen
    count = judge(records(rows), records(seen), *BOUNDS)
    named = [reasons(int(bits)) or None for bits in rows["quality"]]
    assert count == sum(bits is not None for bits in named)
    return named


def test_a_price_of_a_known_instrument_passes():
    assert judged(tick(100.0, 1), tick(100.0, 2), tick(99.0, 2)) == [None, None, None]


@pytest.mark.parametrize("price", [0.0, -0.05, np.nan, np.inf, -np.inf, np.nextafter(MAX_PRICE, np.inf), 42_949_672.95])
def test_what_is_no_price_is_dropped(price):
    assert judged(tick(price)) == [["bad_price"]]


@pytest.mark.parametrize("price", [1e-9, 0.05, MAX_PRICE])
def test_the_smallest_and_the_largest_price_pass(price):
    assert judged(tick(price)) == [None]


@pytest.mark.parametrize("quote", [{"bid": 2e7}, {"ask": 2e7}])
def test_a_quote_beyond_every_price_is_dropped(quote):
    assert judged(tick(100.0, **quote)) == [["bad_price"]]
    assert judged(tick(100.0, **dict.fromkeys(quote, MAX_PRICE))) == [None]


def test_an_instrument_nobody_configured_is_dropped_whatever_its_price():
    assert judged(tick(np.nan, instrument=int(UNKNOWN))) == [["unknown_instrument"]]


def test_time_may_stand_still_but_not_go_back():
    assert judged(tick(100.0, 2), tick(101.0, 2), tick(102.0, 1.999999)) == [None, None, ["time_backwards"]]


def test_each_instrument_has_its_own_time():
    assert judged(tick(100.0, 2), tick(100.0, 1, instrument=1)) == [None, None]


def test_a_dropped_tick_is_not_remembered():
    assert judged(tick(100.0, 1), tick(-1.0, 9), tick(100.5, 2)) == [None, ["bad_price"], None]


def test_an_exact_repetition_is_dropped_every_time():
    again = {"bid": 99.95, "ask": 100.05, "bid_quantity": 3, "ask_quantity": 4}

    assert judged(*(tick(100.0, 1, **again) for _ in range(3))) == [None, ["duplicate"], ["duplicate"]]


@pytest.mark.parametrize(
    "field", ["time", "price", "bid", "ask", "bid_quantity", "ask_quantity", "volume", "open_interest"]
)
def test_a_tick_that_differs_in_one_thing_is_no_repetition(field):
    rows = tick_rows([tick(100.0, 1), tick(100.0, 1)])
    rows[field][1] += 1

    assert judge(records(rows), records(no_ticks_seen(1)), *BOUNDS) == 0


def test_the_first_tick_is_compared_with_nothing():
    rows = tick_rows([tick(100.0)])
    rows["time"] = 0

    assert judge(records(rows), records(no_ticks_seen(1)), *BOUNDS) == 0


def test_every_reason_that_holds_is_named():
    assert judged(tick(100.0, 2), tick(-1.0, 1)) == [None, ["bad_price", "time_backwards"]]


def test_a_clock_may_repeat_but_not_go_back():
    assert judged(clock(1), clock(1), clock(3), clock(2)) == [None, None, None, ["time_backwards"]]


def test_a_clock_from_before_the_calendar_is_none_and_refuses_no_tick():
    of_1970 = -TEN / 1_000_000_000 + 1e-6
    assert judged(clock(of_1970), tick(100.0, 1)) == [["time_backwards"], None]


def test_clocks_and_ticks_do_not_judge_each_other():
    """A tick may be told a little after the clock has passed it."""
    assert judged(clock(5), tick(100.0, 4.9), tick(100.0, 4.95)) == [None, None, None]


def test_what_was_seen_is_remembered_from_batch_to_batch():
    seen = no_ticks_seen(2)
    judged(tick(100.0, 2), clock(7), seen=seen)

    assert judged(tick(100.0, 2), tick(101.0, 1), clock(6), seen=seen) == [
        ["duplicate"], ["time_backwards"], ["time_backwards"],
    ]  # fmt: skip
    assert seen["time"].tolist() == [TEN + 2 * 10**9, 0, TEN + 7 * 10**9]


def test_an_old_verdict_is_written_over_and_the_marks_of_a_bar_stay():
    rows = tick_rows([tick(100.0), tick(-1.0, 1)])
    rows["quality"] = 15 | OPENING | UNTRADED

    assert judge(records(rows), records(no_ticks_seen(1)), *BOUNDS) == 1

    assert rows["quality"].tolist() == [OPENING | UNTRADED, BAD_PRICE | OPENING | UNTRADED]
    assert failed(rows).tolist() == [False, True]


def test_a_bar_that_is_there_twice_is_dropped_once_and_its_close_is_no_repetition_of_its_open():
    opening, closing = bar(0, "100 100 100 100", seconds=1e-6)

    assert judged(opening, opening, closing, closing) == [None, ["duplicate"], None, ["duplicate"]]


# --- times that have not come -----------------------------------------------------------------------------------------

FUTURE = ["from_the_future"]


def moment(text):
    """Seconds after ten on 6 May 2026 of a time in India."""
    return (int(datetime.fromisoformat(text).replace(tzinfo=INDIA).timestamp()) * 10**9 - TEN) // 10**9


def test_a_tick_of_2099_is_dropped_and_the_ordinary_ones_behind_it_pass():
    far = moment("2099-05-06 10:00")

    assert judged(clock(0), tick(100.0, 1), tick(100.0, far), tick(100.5, 2), tick(50.0, 2, instrument=1)) == [
        None, None, FUTURE, None, None,
    ]  # fmt: skip
    assert judged(tick(100.0, far), tick(100.5, 2)) == [FUTURE, None]  # no clock has struck yet


@pytest.mark.parametrize(("ahead_ns", "expected"), [(0, None), (60 * 10**9, None), (60 * 10**9 + 1, FUTURE)])
def test_within_the_session_a_tick_may_be_a_minute_ahead_of_the_clock_and_no_more(ahead_ns, expected):
    rows = tick_rows([clock(100), tick(100.0, 100)])
    rows["time"][1] += ahead_ns

    judge(records(rows), records(no_ticks_seen(1)), *BOUNDS)

    assert (reasons(int(rows["quality"][1])) or None) == expected


@pytest.mark.parametrize(
    ("struck", "latest"),
    [
        ("2026-05-06 09:07:01", "2026-05-06 09:08:01"),  # the first tick of the day has come before the open
        ("2026-05-06 10:00", "2026-05-06 10:01"),
        ("2026-05-06 15:29:59", "2026-05-06 15:30:59"),
        ("2026-05-06 15:30", "2026-05-07 09:16"),  # after the close: the next day's open, and a minute
        ("2026-05-08 15:30", "2026-05-11 09:16"),  # Friday
        ("2026-04-30 15:30", "2026-05-04 09:16"),  # Thursday before Maharashtra Day and a weekend
        ("2026-05-10 11:00", "2026-05-11 09:16"),  # Sunday
        ("2026-08-04 15:39:59", "2026-08-04 15:40:59"),  # derivatives until 15:40, since August
        ("2024-03-02 10:30", "2024-03-02 10:31"),  # between the two parts of a Saturday
        ("2024-03-02 12:30", "2024-03-04 09:16"),
        ("2004-12-31 10:00", "2005-01-03 09:56"),  # before the calendar
        ("2026-12-31 15:40", "2027-01-01 00:00"),  # after its last session
    ],
)
def test_what_the_clock_has_struck_last_bounds_how_late_it_can_be(struck, latest):
    found = compiled_latest(TEN + moment(struck) * 10**9, *BOUNDS)

    assert found == TEN + moment(latest) * 10**9 - (1 if latest.startswith("2027") else 0)


def test_a_clock_that_goes_on_lets_later_ticks_pass_in_the_same_batch():
    assert judged(clock(0), tick(100.0, 3_600), clock(3_600), tick(100.0, 3_600)) == [None, FUTURE, None, None]


def test_a_clock_may_strike_on_any_later_day_of_the_calendar_and_on_none_beyond_it():
    last, beyond = moment("2026-12-31 15:00"), moment("2027-01-01 00:00")

    assert judged(clock(0), clock(beyond), clock(last), tick(100.0, last)) == [None, FUTURE, None, None]


def test_a_dropped_clock_allows_nothing():
    assert judged(clock(0), clock(moment("2099-05-06 10:00")), tick(100.0, 3_600)) == [None, FUTURE, FUTURE]


def test_no_ticks_are_no_failures():
    assert judged() == []


def test_every_bit_has_a_name_of_its_own():
    assert list(REASONS) == [1, 2, 4, 8, 16, 32]
    assert reasons(15) == ["unknown_instrument", "bad_price", "time_backwards", "duplicate"]
    assert reasons(0) == []
