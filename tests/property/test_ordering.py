"""What holds for every way in which partitions can arrive: the feed's order comes out, nothing is lost, nothing doubled."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.ordering import Reorder
from functions.ticks import TICK
from tests.effort import examples

Numbered = tuple[int, int]  # session, sequence


def feed(lengths: list[int]) -> list[Numbered]:
    """What feeds wrote, one session after the other, each numbered from zero."""
    return [(session, n) for session, length in enumerate(lengths, 1) for n in range(length)]


@st.composite
def arrivals(draw, *, at_once: bool = False):
    """(the feed's order, the same in an order of arrival that keeps each partition's own order, batch sizes).

    A session's records have all arrived before the next one begins, unless they arrive `at_once`.
    """
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    count, chance = draw(st.integers(1, 12)), random.Random(draw(st.integers(0, 2**32)))
    written = feed(lengths)
    arrived: list[Numbered] = []
    sessions = [written] if at_once else [[r for r in written if r[0] == s] for s in range(1, len(lengths) + 1)]
    for session in sessions:
        arrived += interleaved(session, count, chance)
    return written, arrived, draw(st.lists(st.integers(1, 15), min_size=1, max_size=8))


def interleaved(records: list[Numbered], count: int, chance: random.Random) -> list[Numbered]:
    """These records over `count` partitions, read in bursts from one and another."""
    partitions: list[list[Numbered]] = [[] for _ in range(count)]
    for record in records:
        chance.choice(partitions).append(record)
    arrived: list[Numbered] = []
    while some := [p for p in partitions if p]:
        partition, burst = chance.choice(some), chance.randint(1, 6)
        arrived += partition[:burst]
        del partition[:burst]
    return arrived


def batches(arrived: list[Numbered], sizes: list[int]):
    at = turn = 0
    while at < len(arrived):
        size = sizes[turn % len(sizes)]
        yield arrived[at : at + size]
        at, turn = at + size, turn + 1


def push(reorder: Reorder, batch: list[Numbered]) -> list[Numbered]:
    rows = np.zeros(len(batch), TICK)
    rows["time"] = [session * 1_000 + n for session, n in batch]
    ordered = reorder.push(rows, list(batch), [s for s, _ in batch], [n for _, n in batch])
    assert ordered.rows["time"].tolist() == [session * 1_000 + n for session, n in ordered.records]
    return ordered.records


@settings(max_examples=examples(150), deadline=None)
@given(arrivals())
def test_any_arrival_that_keeps_each_partitions_order_comes_out_in_feed_order(history):
    written, arrived, sizes = history
    reorder = Reorder()

    out = [record for batch in batches(arrived, sizes) for record in push(reorder, batch)]

    assert out + reorder.release().records == written
    assert (reorder.session, reorder.following) == (written[-1][0], written[-1][1] + 1)


@settings(max_examples=examples(150), deadline=None)
@given(arrivals().filter(lambda history: history[0][-1][0] == 1))
def test_one_session_without_gaps_is_never_held_back_at_the_end(history):
    written, arrived, sizes = history
    reorder = Reorder()

    out = [record for batch in batches(arrived, sizes) for record in push(reorder, batch)]

    assert out == written
    assert reorder.held == 0


@settings(max_examples=examples(150), deadline=None)
@given(arrivals(at_once=True))
def test_a_session_read_before_the_end_of_the_one_before_loses_and_doubles_nothing(history):
    """Where a session ends is not written down: what comes after the next one's zero is late."""
    written, arrived, sizes = history
    reorder = Reorder()

    out = [record for batch in batches(arrived, sizes) for record in push(reorder, batch)]
    out += reorder.release().records

    assert sorted(out) == written


@settings(max_examples=examples(150), deadline=None)
@given(arrivals(), st.data())
def test_records_that_never_come_delay_the_others_and_lose_none_of_them(history, data):
    written, arrived, sizes = history
    lost = data.draw(st.sets(st.sampled_from(written), max_size=5))
    reorder = Reorder()

    out: list[Numbered] = []
    for batch in batches([record for record in arrived if record not in lost], sizes):
        out += push(reorder, batch)
        assert out == sorted(out)
    out += reorder.release().records

    assert out == [record for record in written if record not in lost]


@settings(max_examples=examples(150), deadline=None)
@given(arrivals(), st.data())
def test_copies_of_records_come_out_as_often_as_they_came_and_the_first_ones_in_order(history, data):
    written, arrived, sizes = history
    again = data.draw(st.lists(st.tuples(st.integers(0, len(arrived) - 1), st.integers(0, len(arrived))), max_size=6))
    for which, where in sorted(again, key=lambda pair: -pair[1]):
        if where > which:  # a copy comes after its original
            arrived = [*arrived[:where], arrived[which], *arrived[where:]]
    reorder = Reorder()

    out = [record for batch in batches(arrived, sizes) for record in push(reorder, batch)]
    out += reorder.release().records

    assert sorted(out) == sorted(arrived)
    assert list(dict.fromkeys(out)) == written


@settings(max_examples=examples(100), deadline=None)
@given(arrivals(), st.data())
def test_a_restart_that_reads_again_what_was_held_goes_on_in_order(history, data):
    written, arrived, sizes = history
    parts = list(batches(arrived, sizes))
    cut = data.draw(st.integers(0, len(parts)))
    reorder = Reorder()
    out = [record for batch in parts[:cut] for record in push(reorder, batch)]

    again = Reorder(reorder.session, reorder.following)
    for batch in ([*reorder.waiting], *parts[cut:]):
        out += push(again, batch)

    assert out + again.release().records == written
