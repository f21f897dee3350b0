"""Bars as ticks: answers written out."""

import numpy as np

from functions.bars import ticks_of_bars
from functions.calendar import DAY, IST_OFFSET, MINUTE, SECOND

NINE_FIFTEEN = 20_413 * DAY - IST_OFFSET + 555 * MINUTE


def bars(*rows: tuple[int, float, float, float, float, int, int]):
    """Ticks of bars of `(minute, open, high, low, close, volume, instrument)`."""
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return ticks_of_bars(NINE_FIFTEEN + columns[0] * MINUTE, *columns[1:])


def told(rows) -> list[tuple[float, float, int]]:
    return [((int(r["time"]) - NINE_FIFTEEN) / SECOND, float(r["price"]), int(r["volume"])) for r in rows]


def test_a_rising_bar_goes_down_first_and_a_falling_bar_goes_up_first():
    assert [price for _, price, _ in told(bars((0, 100.0, 103.0, 99.0, 102.0, 0, 0)))] == [100.0, 99.0, 103.0, 102.0]
    assert [price for _, price, _ in told(bars((0, 102.0, 103.0, 99.0, 100.0, 0, 0)))] == [102.0, 103.0, 99.0, 100.0]


def test_a_bar_that_closes_at_its_open_counts_as_rising():
    assert [price for _, price, _ in told(bars((0, 100.0, 101.0, 99.0, 100.0, 0, 0)))] == [100.0, 99.0, 101.0, 100.0]


def test_the_ticks_lie_within_the_minute_of_their_bar():
    assert [time for time, _, _ in told(bars((3, 1.0, 1.0, 1.0, 1.0, 0, 0)))] == [180.0, 200.0, 220.0, 239.0]


def test_the_ticks_of_a_five_minute_bar_are_stretched():
    column = np.array([1.0])
    rows = ticks_of_bars(np.array([0]), column, column, column, column, np.array([5]), np.array([0]), bar=5 * MINUTE)
    assert (rows["time"] // SECOND).tolist() == [0, 100, 200, 295]


def test_the_volume_of_a_day_accumulates_exactly_with_the_remainder_on_later_ticks():
    rows = bars((0, 1.0, 1.0, 1.0, 1.0, 7, 0), (1, 1.0, 1.0, 1.0, 1.0, 0, 0), (2, 1.0, 1.0, 1.0, 1.0, 3, 0))
    assert rows["volume"].tolist() == [1, 3, 5, 7, 7, 7, 7, 7, 7, 8, 9, 10]


def test_each_instrument_and_each_day_counts_its_own_volume():
    rows = bars(
        (0, 1.0, 1.0, 1.0, 1.0, 4, 0),
        (0, 1.0, 1.0, 1.0, 1.0, 40, 1),
        (1, 1.0, 1.0, 1.0, 1.0, 4, 0),
        (1440, 1.0, 1.0, 1.0, 1.0, 8, 0),
        (1440, 1.0, 1.0, 1.0, 1.0, 80, 1),
    )
    assert rows["volume"][3::4].tolist() == [4, 40, 8, 8, 80]


def test_volumes_beyond_32_bits_stay_exact():
    rows = bars(*((minute, 1.0, 1.0, 1.0, 1.0, 3_000_000_001, 0) for minute in range(4)))
    assert rows["volume"][-1] == 12_000_000_004


def test_no_bars_are_no_ticks():
    nothing = np.empty(0)
    none = np.empty(0, np.int64)
    assert len(ticks_of_bars(none, nothing, nothing, nothing, nothing, none, none)) == 0
