"""Whatever a reader meets first, the tables of a desk come to the same bytes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.blotted import Tables
from tests.effort import examples
from tests.history import topic_of
from tests.interleaved import day, partition_of, read_otherwise


@given(seed=st.integers(0, 2**32), other=st.integers(0, 2**32), kept=st.sampled_from([3, 20, 1000]))
@settings(deadline=None, max_examples=examples(40))
def test_every_reading_of_a_day_comes_to_the_same_tables(seed: int, other: int, kept: int):
    events = day(seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("functions.blotter.KEPT", kept)
        whole = Tables().take(*events).kept()
        tables = Tables()
        for batch in read_otherwise(events, lambda e: (topic_of(e), partition_of(e)), random.Random(other)):
            tables.take(*batch)

    assert tables.kept() == whole
