"""Bad ticks: what a feed gets wrong, put between the good rows of a simulated day; the good ones stay as they are."""

from typing import Final

import numpy as np
import numpy.typing as npt

from functions.ticks import UNKNOWN, Rows

(
    CLEAN, NON_POSITIVE_PRICE, NO_PRICE, UNKNOWN_INSTRUMENT, TIME_BACKWARDS, DUPLICATE, UNDECODABLE, MISSING_FIELD,
) = (np.uint8(n) for n in range(8))  # fmt: skip
FAULTS: Final = {
    int(NON_POSITIVE_PRICE): "non_positive_price",
    int(NO_PRICE): "no_price",  # NaN in the row, null in JSON
    int(UNKNOWN_INSTRUMENT): "unknown_instrument",
    int(TIME_BACKWARDS): "time_backwards",
    int(DUPLICATE): "duplicate",  # equal in every field to the tick before it
    int(UNDECODABLE): "undecodable",  # the row is sound, the bytes made from it must not be
    int(MISSING_FIELD): "missing_field",  # likewise: JSON without the price
}
UNREADABLE: Final = (int(NO_PRICE), int(UNDECODABLE), int(MISSING_FIELD))  # no reader gets as far as a row
UNKNOWN_TOKEN: Final = 999_999_999  # what the feed writes for a row of UNKNOWN


def with_faults(
    ticks: Rows, depth: Rows, rng: np.random.Generator, rate: float
) -> tuple[Rows, Rows, npt.NDArray[np.uint8]]:  # fmt: skip
    """After some rows a bad one, made from it; the good rows stay as they are."""
    struck = rng.random(len(ticks)) < rate
    index = np.repeat(np.arange(len(ticks)), 1 + struck)
    bad = np.zeros(len(index), bool)
    bad[1:] = index[1:] == index[:-1]
    faults = np.zeros(len(index), np.uint8)
    faults[bad] = rng.integers(1, len(FAULTS) + 1, int(bad.sum()))
    rows, levels = ticks[index], depth[index]
    rows["price"][faults == NON_POSITIVE_PRICE] *= -rng.integers(0, 2, int((faults == NON_POSITIVE_PRICE).sum()))
    rows["price"][faults == NO_PRICE] = np.nan
    rows["instrument"][faults == UNKNOWN_INSTRUMENT] = UNKNOWN
    late = faults == TIME_BACKWARDS
    rows["time"][late] -= rng.integers(1_000, 30_000_000, int(late.sum())) * 1000
    return rows, levels, faults


def counted(faults: npt.NDArray[np.uint8]) -> dict[str, int]:
    """How many rows have which fault, by name.

    >>> counted(np.array([0, 5, 5, 1], np.uint8))
    {'non_positive_price': 1, 'duplicate': 2}
    """
    kinds, counts = np.unique(faults[faults != CLEAN], return_counts=True)
    return {FAULTS[int(kind)]: int(count) for kind, count in zip(kinds, counts, strict=True)}
