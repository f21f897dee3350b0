"""Poison: how many dead letters are too many, at the limit from both sides, whatever the batches."""

import pytest

from functions.poison import GROWING, NO_LIMIT, TOO_LATE, TRIPPED, Limit, Watch, exceeds
from functions.quality import REASONS

TOPIC = "market.ticks"
MINUTE = 60 * 10**9


def feed(watch, *causes, topic=TOPIC, time=0):
    """One record after the other, None for a usable one; the notices that they led to."""
    notices = []
    for cause in causes:
        watch.passed(topic, 1, time if cause is None else None)
        if cause is not None:
            number = watch._state.counts[topic]
            notices += watch.letter(topic, f"{topic}:0:{number - 1}", cause)
    return notices


def codes(notices):
    return [notice.code for notice in notices]


def test_as_many_as_the_limit_are_borne_and_one_more_is_not():
    limit = Limit(most=3, among=10)

    assert not exceeds([8, 9, 10], 10, limit)
    assert exceeds([7, 8, 9, 10], 10, limit)


def test_a_poison_record_counts_while_it_is_among_the_last():
    limit = Limit(most=1, among=10)

    assert exceeds([1, 10], 10, limit)
    assert not exceeds([1, 11], 11, limit)


def test_a_limit_of_zero_never_stops():
    assert not exceeds(range(1, 1_001), 1_000, Limit(most=0, among=1_000))


def test_the_watch_trips_at_the_record_that_goes_beyond_the_limit_and_says_so_once():
    watch = Watch(Limit(most=2, among=5, a_minute=0))

    assert feed(watch, "bad_price", None, "undecodable") == []
    [notice] = feed(watch, "bad_price")
    assert (notice.code, notice.severity, watch.tripped) == (TRIPPED, "critical", f"{TOPIC}:0:3")
    assert notice.message == (
        "3 of the last 4 records of market.ticks are of no use, up to market.ticks:0:3: bad_price 2, undecodable 1; "
        "the limit is 2 of 5"
    )
    assert feed(watch, *["bad_price"] * 5) == []


def test_poison_that_is_far_enough_apart_never_trips():
    watch = Watch(Limit(most=2, among=5, a_minute=0))

    assert feed(watch, *["bad_price", None, None] * 50) == []


def test_topics_are_counted_apart():
    watch = Watch(Limit(most=2, among=5, a_minute=0))

    assert feed(watch, *["x"] * 2) + feed(watch, *["x"] * 2, topic="paper.commands") == []
    assert codes(feed(watch, "x", topic="paper.commands")) == [TRIPPED]


def test_late_and_repeated_ticks_trip_nothing_as_no_cure_would_make_them_usable():
    watch = Watch(Limit(most=2, among=5, a_minute=0))

    assert feed(watch, *TOO_LATE, *TOO_LATE, *TOO_LATE) == []
    assert {REASONS[bit] for bit in (4, 8, 16)} < TOO_LATE


def test_growth_is_told_once_a_minute_of_event_time_with_topic_causes_and_counts():
    watch = Watch(Limit(most=0, among=5, a_minute=2))

    assert feed(watch, None, "duplicate", "duplicate", time=MINUTE) == []
    [notice] = feed(watch, "bad_price")
    assert (notice.code, notice.severity, notice.time) == (GROWING, "warning", MINUTE)
    assert notice.message == (
        "3 dead letters within a minute of event time, up to market.ticks:0:3: market.ticks duplicate 2, "
        "market.ticks bad_price 1"
    )
    assert feed(watch, *["duplicate"] * 100) == []
    assert feed(watch, None, "duplicate", "duplicate", time=2 * MINUTE) == []
    assert codes(feed(watch, "duplicate")) == [GROWING]


def test_time_that_wavers_begins_no_new_minute():
    """Instruments tell their times a little apart: at the end of a minute that must not be two alerts."""
    watch = Watch(Limit(most=0, among=5, a_minute=1))

    told = []
    for n in range(20):
        told += feed(watch, None, "duplicate", time=MINUTE + (-1) ** n * 10**9)
    assert codes(told) == [GROWING]


@pytest.mark.parametrize("cut", range(9))
def test_a_restart_anywhere_trips_at_the_same_record(cut):
    causes = ["a", None, "b", None, "a", "a", None, "b", "b"]
    whole = Watch(Limit(most=3, among=6, a_minute=2))
    expected = feed(whole, *causes)

    first = Watch(Limit(most=3, among=6, a_minute=2))
    told = feed(first, *causes[:cut])
    again = Watch(NO_LIMIT)
    again.load(first.to_bytes())
    told += feed(again, *causes[cut:])

    assert told == expected
    assert again.to_bytes() == whole.to_bytes()


def test_who_starts_a_flow_that_had_tripped_lets_it_read_on_and_it_trips_again_after_as_many():
    watch = Watch(Limit(most=2, among=5, a_minute=0))
    feed(watch, *["x"] * 3)

    watch.begin(Limit(most=2, among=5, a_minute=0))

    assert watch.tripped == ""
    assert feed(watch, *["x"] * 2) == []
    assert codes(feed(watch, "x")) == [TRIPPED]


def test_a_start_that_had_not_tripped_forgets_nothing():
    watch = Watch(Limit(most=2, among=5, a_minute=0))
    feed(watch, *["x"] * 2)

    watch.begin(Limit(most=2, among=5, a_minute=0))

    assert codes(feed(watch, "x")) == [TRIPPED]


def test_without_limits_nothing_is_counted():
    watch = Watch(NO_LIMIT)
    before = watch.to_bytes()

    watch.passed(TOPIC, 5, 7)
    assert watch.letter(TOPIC, f"{TOPIC}:0:4", "x", 9) == []
    assert watch.to_bytes() == before


def test_a_record_put_back_again_after_as_many_attempts_is_known():
    watch = Watch()

    assert not watch.is_replayed_again("paper.commands:0:4", 1)
    assert watch.is_replayed_again("paper.commands:0:4", 1)
    assert not watch.is_replayed_again("paper.commands:0:4", 2)
    assert watch.is_replayed_again("paper.commands:0:4", 1)
    assert not watch.is_replayed_again("paper.commands:0:5", 1)
