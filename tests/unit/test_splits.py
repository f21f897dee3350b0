"""Splits: a whole factor over night is told, an ordinary night is not."""

import numpy as np
import pytest

from functions.calendar import DAY, SECOND
from functions.splits import suspected_splits


def found(*prices: float, step: int = DAY) -> list[tuple[int, bool]]:
    time = np.arange(len(prices), dtype=np.int64) * step + 1_775_017_800 * SECOND
    return [(s.factor, s.is_down) for s in suspected_splits(time, np.array(prices), np.zeros(len(prices), np.int64))]


@pytest.mark.parametrize(
    ("before", "after", "split"),
    [
        (1000, 500, [(2, True)]),
        (1000, 530, [(2, True)]),
        (1000, 532, []),
        (1000, 472, [(2, True)]),
        (1000, 200, [(5, True)]),
        (2750, 275.5, [(10, True)]),
        (100, 1000, [(10, False)]),
        (1000, 940, []),
        (1000, 800, []),
        (1000, 600, []),
        (1000, 0, []),
        (0, 1000, []),
    ],
)
def test_a_price_that_changes_by_a_whole_factor_over_night_may_be_split(before, after, split):
    assert found(before, after) == split


def test_within_a_day_a_price_may_do_what_it_likes():
    assert found(1000, 500, step=SECOND) == []


def test_from_one_instrument_to_the_next_there_is_no_night():
    time = np.array([0, DAY], np.int64)
    assert list(suspected_splits(time, np.array([1000.0, 500.0]), np.array([0, 1]))) == []
