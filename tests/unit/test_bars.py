"""Bars as prints: answers written out."""

import numpy as np
import pytest

from functions.bars import ticks_of_bars
from functions.calendar import DAY, IST_OFFSET, MINUTE, SECOND
from functions.ticks import CLOSING, OPENING, UNTRADED

NINE_FIFTEEN = 20_413 * DAY - IST_OFFSET + 555 * MINUTE


def bars(*rows: tuple[int, float, float, float, float, int, int], minutes: int = 1):
    """Prints of bars of `(minute, open, high, low, close, volume, instrument)`."""
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    time = NINE_FIFTEEN + columns[0] * MINUTE
    return ticks_of_bars(time, time + minutes * MINUTE, *columns[1:])


def seconds(times) -> list[float]:
    return [(int(t) - NINE_FIFTEEN) / SECOND for t in times]


def test_a_bar_is_its_open_when_it_begins_and_its_close_a_microsecond_before_it_ends():
    ticks, ranges = bars((3, 100.0, 103.0, 99.0, 102.0, 7, 0))

    assert seconds(ticks["time"]) == [180.0, 239.999999]
    assert ticks["price"].tolist() == [100.0, 102.0]
    assert ticks["quality"].tolist() == [OPENING, CLOSING]
    assert seconds(ranges["start"]) == [180.0, 180.0]
    assert ranges[["high", "low"]].tolist() == [(0, 0), (103_000_000, 99_000_000)]


def test_the_range_of_a_bar_is_whole_paise_though_a_float_lies_below_them():
    _, ranges = bars((0, 64.0, 64.1, 16.15, 64.0, 7, 0))

    assert ranges[["high", "low"]].tolist()[1] == (64_100_000, 16_150_000)


def test_a_bar_ends_when_its_end_says_so():
    ticks, _ = bars((0, 1.0, 1.0, 1.0, 1.0, 0, 0), minutes=60)

    assert seconds(ticks["time"]) == [0.0, 3_599.999999]


def test_every_close_of_a_moment_comes_before_every_open_of_it():
    ticks, _ = bars((0, 1.0, 1.0, 1.0, 1.0, 0, 0), (0, 2.0, 2.0, 2.0, 2.0, 0, 1), (1, 3.0, 3.0, 3.0, 3.0, 0, 0))

    assert ticks["price"][np.argsort(ticks["time"], kind="stable")].tolist() == [1.0, 2.0, 1.0, 2.0, 3.0, 3.0]


def test_the_volume_of_a_day_accumulates_bar_by_bar():
    ticks, _ = bars((0, 1.0, 1.0, 1.0, 1.0, 7, 0), (1, 1.0, 1.0, 1.0, 1.0, 0, 0), (2, 1.0, 1.0, 1.0, 1.0, 3, 0))

    assert ticks["volume"].tolist() == [0, 7, 7, 7, 7, 10]


def test_each_instrument_and_each_day_counts_its_own_volume():
    ticks, _ = bars(
        (0, 1.0, 1.0, 1.0, 1.0, 4, 0),
        (0, 1.0, 1.0, 1.0, 1.0, 40, 1),
        (1, 1.0, 1.0, 1.0, 1.0, 4, 0),
        (1440, 1.0, 1.0, 1.0, 1.0, 8, 0),
        (1440, 1.0, 1.0, 1.0, 1.0, 80, 1),
    )

    assert ticks["volume"][1::2].tolist() == [4, 40, 8, 8, 80]


def test_volumes_beyond_32_bits_stay_exact():
    ticks, _ = bars(*((minute, 1.0, 1.0, 1.0, 1.0, 3_000_000_001, 0) for minute in range(4)))

    assert ticks["volume"][-1] == 12_000_000_004


def test_a_bar_without_volume_is_untraded_where_its_instrument_has_volume_in_others():
    ticks, _ = bars(
        (0, 1.0, 1.0, 1.0, 1.0, 5, 0), (1, 1.0, 1.0, 1.0, 1.0, 0, 0),
        (0, 2.0, 2.0, 2.0, 2.0, 0, 1), (1, 2.0, 2.0, 2.0, 2.0, 0, 1),  # an index: none of its bars has any
    )  # fmt: skip

    assert (ticks["quality"] & UNTRADED > 0).tolist() == [False, False, True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("high", "low"), [(99.0, 101.0), (101.0, 0.0), (101.0, -1.0), (np.nan, 99.0), (101.0, np.nan), (2e7, 99.0)]
)
def test_what_is_no_range_of_prices_is_left_out_and_the_bar_is_its_open_and_close(high, low):
    ticks, ranges = bars((0, 100.0, high, low, 100.5, 1, 0))

    assert ticks["price"].tolist() == [100.0, 100.5]
    assert ranges[["high", "low"]].tolist() == [(0, 0), (0, 0)]


def test_no_bars_are_no_prints():
    nothing = np.empty(0)
    none = np.empty(0, np.int64)

    ticks, ranges = ticks_of_bars(none, none, nothing, nothing, nothing, nothing, none, none)

    assert (len(ticks), len(ranges)) == (0, 0)
