"""Stretches of market time: the clock between ticks and over nights, and what follows the end of a day."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from connectors.errors import ConfigError
from dataflows.feed import FeedSettings, simulated
from functions.bars import ticks_of_bars
from functions.calendar_text import read_calendar
from functions.stretches import replayed
from functions.ticks import NO_DEPTH
from functions.topics import MARKET_CLOCK
from tests.feed import FRIDAY, TOKEN, at, fed, recording, told
from tests.tables import CALENDAR


def test_the_market_reaches_the_second_after_the_last_tick():
    records = fed(recording(("2026-11-20 10:00:00.250", TOKEN, 100.0)))
    assert told(records)[-1] == (2, "20 10:00:01.000000", "clock", None)


def test_over_a_night_the_clock_runs_to_the_close_and_goes_on_with_the_next_tick():
    records = fed(recording(("2026-11-20 15:39:57.5", TOKEN, 1.0), ("2026-11-23 09:15:00.5", TOKEN, 1.05)))
    assert [(time, name) for _, time, name, _ in told(records)] == [
        ("20 15:39:57.000000", "clock"),
        ("20 15:39:57.500000", "tick"),
        ("20 15:39:58.000000", "clock"),
        ("20 15:39:59.000000", "clock"),
        ("20 15:40:00.000000", "clock"),
        ("23 09:15:00.000000", "clock"),
        ("23 09:15:00.500000", "tick"),
        ("23 09:15:01.000000", "clock"),
    ]


def test_every_second_of_a_silent_hour_is_told_once():
    records = fed(recording(("2026-11-20 10:00:00", TOKEN, 1.0), ("2026-11-20 11:00:00", TOKEN, 1.05)))
    assert Counter(record.topic for record in records)[MARKET_CLOCK.name] == 3_601


# --- loops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("date", [dt.date(2026, 11, 24), dt.date(2027, 1, 4), dt.date(2026, 11, 21)])
def test_a_day_without_a_session_cannot_be_simulated(date):
    with pytest.raises(ConfigError, match=f"cannot simulate {date}"):
        next(simulated(FeedSettings(date=date), FRIDAY, CALENDAR))


def test_without_a_date_the_last_trading_day_is_simulated():
    chunk = next(simulated(FeedSettings(), dt.date(2026, 11, 22), CALENDAR))  # a Sunday
    assert chunk.until == at("2026-11-20 09:15:01")


def test_after_the_last_day_of_the_calendar_its_last_trading_day_is_simulated():
    assert next(simulated(FeedSettings(), dt.date(2031, 1, 1), CALENDAR)).until == at("2026-12-31 09:15:01")
    with pytest.raises(ConfigError, match="does not cover 1999-01-01"):
        next(simulated(FeedSettings(), dt.date(1999, 1, 1), CALENDAR))


def test_a_loop_of_the_simulator_goes_on_with_the_next_trading_day():
    hour = FeedSettings(date=dt.date(2025, 10, 21), loop=True)  # Muhurat: an hour, then a holiday
    chunks = simulated(hour, FRIDAY, CALENDAR)
    starts = [chunk.until for chunk, _ in zip(chunks, range(3_601), strict=False)]
    assert (starts[0], starts[-1]) == (at("2025-10-21 13:45:01"), at("2025-10-23 09:15:01"))


def test_a_loop_of_bars_moves_their_ranges_on_with_them():
    ticks, ranges = ticks_of_bars(
        *(np.array([x]) for x in (at("2026-11-20 10:00:00"), at("2026-11-20 10:01:00"), 10.0, 12.0, 9.0, 11.0, 5, 0))
    )
    chunks = (c for c in replayed(ticks, NO_DEPTH, ranges, loop=True) if len(c.ticks))
    starts = [c.ranges["start"].tolist() for c, _ in zip(chunks, range(2), strict=False)]
    assert starts == [[at(f"2026-11-{d} 10:00:00")] * 2 for d in ("20", "27")]
    assert ranges["start"].tolist() == [at("2026-11-20 10:00:00")] * 2


def test_a_loop_of_a_recording_moves_on_by_whole_weeks():
    data = recording(("2026-11-19 10:00:00", TOKEN, 1.0), ("2026-11-20 10:00:00", TOKEN, 2.0))
    chunks: Iterator = replayed(data.ticks, data.depth, loop=True)
    times = [int(c.ticks["time"][0]) for c, _ in zip((c for c in chunks if len(c.ticks)), range(4), strict=False)]
    assert times == [at(f"2026-11-{d} 10:00:00") for d in ("19", "20", "26", "27")]


def test_a_day_of_a_calendar_of_ones_own_is_simulated():
    calendar = read_calendar(
        b'[2027.holidays]\n01-26 = "a"\n[2027.sessions]\n01-02 = { name = "Saturday", hours = "10:00-10:02 11:00-11:01" }\n',
        CALENDAR,
    )
    chunks = list(simulated(FeedSettings(date=dt.date(2027, 1, 2)), FRIDAY, calendar))

    times = np.concatenate([chunk.ticks["time"] for chunk in chunks])
    assert chunks[-1].until == at("2027-01-02 11:01:00")
    assert not ((times >= at("2027-01-02 10:02:01")) & (times < at("2027-01-02 11:00:00"))).any()
    assert (times >= at("2027-01-02 11:00:00")).sum() > 50
    with pytest.raises(ConfigError, match="not covered"):
        next(simulated(FeedSettings(date=dt.date(2027, 1, 2)), FRIDAY, CALENDAR))
