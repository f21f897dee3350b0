"""Bar times: no bar is longer than the session or the next one allows, and none is shorter than it may have been."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.bar_times import bar_ends, bar_lengths, seem_to_be_ends, sessions_of, starts_of
from functions.calendar import CASH, DERIVATIVES, INDIA, MINUTE, SECOND
from tests.tables import CALENDAR


def at(clock: str, day: str = "2026-04-01") -> int:
    return int(dt.datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=INDIA).timestamp()) * SECOND


def times(*clocks: str, day: str = "2026-04-01") -> np.ndarray:
    return np.array([at(clock, day) for clock in clocks], np.int64)


def length(*days: np.ndarray) -> int:
    """Minutes of the bars of one share."""
    time = np.concatenate(days)
    zeros = np.zeros(len(time), np.int64)
    return int(bar_lengths(time, zeros, sessions_of(time, zeros, zeros, CALENDAR), 1)[0]) // MINUTE


HOURS = ("09:15", "10:15", "11:15", "12:15", "13:15", "14:15", "15:15")


@pytest.mark.parametrize(
    ("clocks", "minutes"),
    [
        (HOURS, 60),
        (("10:00", "10:02", "10:04", "10:05"), 1),  # the commonest distance is two
        (("10:00", "10:05", "10:15", "10:45"), 5),
        (("09:15", "09:30", "10:00", "10:30"), 30),  # bars at whole half hours, the first one short
        (("09:15", "10:00", "11:00", "12:00"), 60),
        (("09:15", "09:16", "09:20", "09:24"), 1),
        (("09:15", "09:30", "09:45"), 15),
        (("15:28", "15:29", "15:30"), 1),  # the last one lies behind the close
        (("14:15", "15:15", "15:30"), 60),
        (("10:00", "10:00", "10:03"), 3),  # one bar twice
        (("10:00",), 0),
        (("08:00", "09:00"), 0),
        ((), 0),
    ],
)
def test_the_length_of_bars_is_their_smallest_distance_within_a_session(clocks, minutes):
    assert length(times(*clocks)) == minutes


def test_one_bar_a_day_has_no_length():
    assert length(times("09:15"), times("09:15", day="2026-04-02"), times("09:15", day="2026-04-06")) == 0


def test_from_one_part_of_a_session_to_the_next_nothing_is_measured():
    assert length(times("09:15", "11:30", day="2024-03-02"), times("11:45", day="2024-03-02")) == 15


def test_every_instrument_has_its_own_length():
    time = np.concatenate([times("10:00", "10:05", "10:10"), times("10:00", "10:01"), times("10:00")])
    instrument = np.array([0, 0, 0, 1, 1, 2])
    found = bar_lengths(time, instrument, sessions_of(time, instrument, np.zeros(6, np.int64), CALENDAR), 3)
    assert (found // MINUTE).tolist() == [5, 1, 0]


def ends(clocks: tuple[str, ...], minutes: int, session_class: int = 0) -> list[str]:
    time = times(*clocks)
    zeros = np.zeros(len(time), np.int64)
    _, closes = sessions_of(time, zeros, zeros + session_class, CALENDAR)
    found = bar_ends(time, zeros, closes, zeros + minutes * MINUTE)
    return [dt.datetime.fromtimestamp(t / SECOND, INDIA).strftime("%H:%M") for t in found.tolist()]


def test_the_last_bar_ends_with_the_session():
    assert ends(HOURS, 60) == ["10:15", "11:15", "12:15", "13:15", "14:15", "15:15", "15:30"]


def test_a_bar_ends_with_the_next_one():
    assert ends(("09:15", "09:30", "10:00"), 30) == ["09:30", "10:00", "10:30"]


def test_a_bar_before_a_gap_has_its_length():
    assert ends(("10:00", "10:07"), 1) == ["10:01", "10:08"]


def test_a_bar_outside_of_the_session_has_its_length():
    assert ends(("15:30",), 5) == ["15:35"]


def test_the_close_is_that_of_the_instrument():
    august = times("15:15", day="2026-08-04")
    for session_class, close in ((int(CASH), "15:30"), (int(DERIVATIVES), "15:40")):
        _, closes = sessions_of(august, np.zeros(1, np.int64), np.array([session_class]), CALENDAR)
        assert closes[0] == at(close, "2026-08-04")


def test_bars_whose_times_mark_their_ends_begin_before():
    stamped = times("10:15", "11:15", "15:15", "15:30")
    zeros = np.zeros(4, np.int64)
    found = starts_of(stamped, zeros, zeros, zeros + 60 * MINUTE, CALENDAR)
    assert found.tolist() == times("09:15", "10:15", "14:15", "15:15").tolist()


@pytest.mark.parametrize(
    ("clocks", "minutes", "seem"),
    [
        (("09:16", "12:00", "15:30"), 1, True),
        (("09:15", "12:00", "15:29"), 1, False),
        (("09:15", "12:00", "15:30"), 1, False),
        (("09:17", "12:00", "15:30"), 1, False),
        (("09:30", "12:00", "15:30"), 15, True),
        (("15:30",), 15, False),
    ],
)
def test_times_from_one_bar_behind_the_open_to_the_close_mark_ends(clocks, minutes, seem):
    time = times(*clocks)
    zeros = np.zeros(len(time), np.int64)
    assert seem_to_be_ends(time, zeros, zeros, zeros + minutes * MINUTE, CALENDAR) is seem


@given(st.lists(st.integers(0, 374), min_size=1, max_size=40, unique=True), st.sampled_from([1, 3, 5, 15, 60]))
def test_no_bar_ends_before_it_begins_behind_the_next_one_or_behind_the_close(minutes, size):
    time = at("09:15") + np.array(sorted(minutes)) * MINUTE
    zeros = np.zeros(len(time), np.int64)
    _, closes = sessions_of(time, zeros, zeros, CALENDAR)
    found = bar_ends(time, zeros, closes, zeros + size * MINUTE)
    assert (found > time).all()
    assert (found[:-1] <= time[1:]).all()
    assert found[-1] <= at("15:30")


@given(st.sets(st.integers(0, 374), min_size=2), st.sampled_from([1, 5, 15, 30, 60]))
def test_bars_of_a_grid_with_holes_are_never_taken_for_shorter_than_they_are(places, size):
    clocks = sorted({n // size * size for n in places})
    time = at("09:15") + np.array(clocks, np.int64) * MINUTE
    zeros = np.zeros(len(time), np.int64)
    assert int(bar_lengths(time, zeros, sessions_of(time, zeros, zeros, CALENDAR), 1)[0]) % (size * MINUTE) == 0
