"""The market as a source: a tick comes when its time has come, at any speed, until it ends."""

import datetime as dt
from typing import Any

import pytest

from connectors.market import Ended, MarketSource
from connectors.recorded.reading import Recording
from functions.calendar import SECOND
from functions.stretches import replayed, with_clock
from tests.feed import TOKEN, Wall, recording
from tests.tables import CALENDAR

TEN = [(f"2026-11-20 10:00:{n:02d}.5", TOKEN, 1.0) for n in range(3)]


def partition(data: Recording, wall: Wall, **options: Any):
    source = MarketSource(lambda: with_clock(replayed(data.ticks, data.depth), CALENDAR), now=wall, **options)
    opened = source.build_part("market", "market", None)
    opened.next_batch()  # notices
    return opened


def due(opened) -> list[str]:
    """What the feed hands out now, as times of the minute."""
    times = []
    while batch := opened.next_batch():
        for _, item in batch:
            if isinstance(item, Ended):
                return [*times, item.reason]
            times += [f"{time % (60 * SECOND) / SECOND:g}" for time in item.times.tolist()]
    return times


def test_at_real_time_a_tick_comes_when_its_time_has_come():
    wall = Wall()
    opened = partition(recording(*TEN), wall, speed=1.0)
    assert due(opened) == ["0"]  # the clock, at the second of the first tick
    wall.time += 0.49
    assert due(opened) == []
    wall.time += 0.02
    assert due(opened) == ["0.5"]
    wall.time += 10
    assert due(opened) == ["1", "1.5", "2", "2.5", "3", "the data ends here"]


def test_ten_times_as_fast_takes_a_tenth_of_the_time():
    wall = Wall()
    opened = partition(recording(*TEN), wall, speed=10.0)
    due(opened)
    wall.time += 0.101
    assert due(opened) == ["0.5", "1"]


def test_a_night_takes_no_time_at_all():
    wall = Wall()
    opened = partition(
        recording(("2026-11-20 15:39:59.5", TOKEN, 1.0), ("2026-11-23 09:15:00.5", TOKEN, 1.0)), wall, speed=1.0
    )
    assert due(opened) == ["59"]
    wall.time += 0.6
    assert due(opened) == ["59.5"]
    wall.time += 0.6
    assert due(opened) == ["0", "0"]  # the close on Friday, the open on Monday
    wall.time += 0.6
    assert due(opened) == ["0.5"]


def test_the_feed_naps_no_longer_than_a_twentieth_of_a_second_so_that_it_can_be_stopped():
    opened = partition(recording(*TEN), Wall(), speed=0.001)
    due(opened)
    assert opened.next_awake() < dt.datetime(
        2000, 1, 1, tzinfo=dt.UTC
    )  # it sleeps by itself, whatever the wall clock says


def test_the_feed_ends_when_its_seconds_are_over():
    wall = Wall()
    opened = partition(recording(*TEN), wall, speed=1.0, seconds=1.2)
    assert due(opened) == ["0"]
    wall.time += 1.3
    assert due(opened) == ["its time was up"]


def test_market_seconds_are_counted_from_the_first_tick():
    data = recording(*TEN)
    stretches = list(with_clock(replayed(data.ticks, data.depth), CALENDAR, 1.0))
    assert [time % (60 * SECOND) / SECOND for s in stretches for time in s.times.tolist()] == [0.0, 0.5, 1.0, 1.5]


def test_a_stop_ends_the_feed_at_once():
    data = recording(*TEN)
    source = MarketSource(lambda: with_clock(replayed(data.ticks, data.depth), CALENDAR), stop=lambda: True)
    opened = source.build_part("market", "market", None)
    with pytest.raises(StopIteration):
        opened.next_batch()
