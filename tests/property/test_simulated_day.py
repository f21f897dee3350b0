"""For all seeds, days and cuts: the simulated day is one and the same."""

import datetime as dt
from itertools import takewhile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.calendar import SECOND
from functions.price_paths import Market
from functions.simulator import Chunk, day
from tests.effort import examples
from tests.tables import CALENDAR

OPEN = CALENDAR.session_parts(dt.date(2025, 10, 21), 0)[0][0]
MUHURAT = dt.date(2025, 10, 21)  # an hour


def first_minutes(seed: int, chunk_s: float, rate: float, minutes: int = 4) -> Chunk:
    until = OPEN + minutes * 60 * SECOND
    chunks = list(
        takewhile(
            lambda c: c.until <= until, day(Market(), MUHURAT, seed, CALENDAR, chunk_s=chunk_s, bad_tick_rate=rate)
        )
    )
    ticks, depth, faults = (np.concatenate([getattr(c, f) for c in chunks]) for f in ("ticks", "depth", "faults"))
    return Chunk(chunks[-1].until, ticks, depth, faults)


@settings(max_examples=examples(12), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    chunk_s=st.sampled_from([0.04, 0.25, 1.0, 1.5, 6.0, 30.0, 48.0, 60.0, 80.0, 120.0, 240.0]),
    rate=st.sampled_from([0.0, 0.05, 1.0]),
)
def test_any_chunking_gives_the_same_bytes(seed, chunk_s, rate):
    whole, cut = first_minutes(seed, 240.0, rate), first_minutes(seed, chunk_s, rate)
    assert whole.until == cut.until
    assert [getattr(whole, f).tobytes() for f in ("ticks", "depth", "faults")] == [
        getattr(cut, f).tobytes() for f in ("ticks", "depth", "faults")
    ]


@settings(max_examples=examples(8), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_good_ticks_are_in_order_and_every_seed_is_a_day_of_its_own(seed):
    one, other = first_minutes(seed, 1.0, 0.1, minutes=2), first_minutes(seed + 1, 1.0, 0.1, minutes=2)
    good = one.ticks[one.faults == 0]
    assert (np.diff(good["time"]) >= 0).all()
    assert (good["price"] > 0).all()
    assert one.ticks.tobytes() != other.ticks.tobytes()


@settings(max_examples=examples(6), deadline=None)
@given(seed=st.integers(0, 2**32), chunk_s=st.floats(0.5, 100.0))
def test_a_chunk_holds_what_happened_before_its_end_and_not_before_the_last_one(seed, chunk_s):
    start, ticks = OPEN, 0
    for chunk in takewhile(
        lambda c: c.until < OPEN + 180 * SECOND, day(Market(), MUHURAT, seed, CALENDAR, chunk_s=chunk_s)
    ):
        if len(chunk.ticks):
            assert start <= chunk.ticks["time"].min()
            assert chunk.ticks["time"].max() < chunk.until
            ticks += len(chunk.ticks)
        start = chunk.until
    assert ticks > 100
