"""What a recording lacks on a day whose session has two parts: 2024-03-02, 09:15-10:00 and 11:30-12:30."""

import datetime as dt

import numpy as np

from functions.calendar import INDIA, MINUTE, SECOND
from functions.silences import silences
from tests.desk import instrument
from tests.tables import CALENDAR


def at(clock: str) -> int:
    moment = dt.datetime.fromisoformat(f"2024-03-02 {clock}").replace(tzinfo=INDIA)
    return round(moment.timestamp()) * SECOND


def told(times, spacing=0):
    whose = np.zeros(len(times), np.int64)
    found = silences(np.array(times, np.int64), whose, [instrument()], np.array([spacing]), CALENDAR)
    return [(r.kind, r.count) for r in found]


MORNING = [at("09:15:00") + n * SECOND for n in range(0, 2_700, 5)]
NOON = [at("11:30:00") + n * SECOND for n in range(0, 3_600, 5)]


def test_both_parts_without_a_silence_lack_nothing():
    assert told(MORNING + NOON) == []


def test_the_break_between_two_parts_lies_outside_and_is_no_gap():
    assert told([*MORNING, at("10:00:00"), at("11:29:59"), *NOON]) == [("outside_session", 2)]


def test_a_silence_within_the_second_part_is_a_gap():
    assert told(MORNING + NOON[:100] + NOON[200:]) == [("gap", 1)]


def test_a_day_that_ends_with_the_first_part_ends_early():
    assert told(MORNING) == [("ends_early", 1)]


def test_minute_bars_of_both_parts_are_expected_and_those_of_the_break_are_not():
    morning = [at("09:15:00") + n * MINUTE for n in range(45)]
    noon = [at("11:30:00") + n * MINUTE for n in range(60)]
    assert told(morning + noon, MINUTE) == []
    assert told(morning[:-2] + noon[3:], MINUTE) == [("missing_minutes", 5)]


def test_bars_of_one_of_several_known_instruments_are_counted_as_they_are_alone():
    times = np.array([at("09:15:00") + n * MINUTE for n in range(45)][:-2], np.int64)
    known = [instrument(), instrument(), instrument()]
    found = silences(times, np.ones(len(times), np.int64), known, np.array([0, MINUTE, 0]), CALENDAR)
    assert [(r.kind, r.count) for r in found] == [("missing_minutes", 2 + 60)]
