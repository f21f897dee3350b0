"""Splits: prices that change over night by a whole factor, as they do when a share is split or a bonus is given.

Nothing is adjusted: a position that is held over such a night gains or loses what nobody gained or lost.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from functions.arrays import Floats, Integers
from functions.calendar import day_of

_NEAR: Final = 0.06  # of the factor: what a price may move over night beside it
_FACTORS: Final = range(2, 101)


class Split(NamedTuple):
    """A change of `factor` to one (down), or of one to `factor` (up)."""

    instrument: int
    factor: int
    is_down: bool
    before: int  # times, ns
    after: int
    price_before: float
    price_after: float


def suspected_splits(time: Integers, price: Floats, instrument: Integers) -> Iterator[Split]:
    """Nights after which a price is a whole part or a multiple of what it was.

    Shape: ``(n,)`` all, sorted by instrument, then by time. Units: ns since the epoch, rupees.

    >>> night = np.array([0, 86_400 * 10**9])
    >>> [(s.factor, s.is_down) for s in suspected_splits(night, np.array([1000.0, 201.0]), np.array([0, 0]))]
    [(5, True)]
    """
    day = day_of(time)
    nights = np.flatnonzero(
        (instrument[1:] == instrument[:-1]) & (day[1:] != day[:-1]) & (price[1:] > 0) & (price[:-1] > 0)
    )
    ratio = price[nights] / price[nights + 1]
    is_down = ratio > 1
    change = np.where(is_down, ratio, 1 / ratio)
    factor = np.rint(change).astype(np.int64)
    suspected = (factor >= _FACTORS.start) & (factor < _FACTORS.stop) & (np.abs(change - factor) <= _NEAR * factor)
    for n, at in zip(np.flatnonzero(suspected).tolist(), nights[suspected].tolist(), strict=True):
        yield Split(
            int(instrument[at]), int(factor[n]), bool(is_down[n]), int(time[at]), int(time[at + 1]),
            float(price[at]), float(price[at + 1]),
        )  # fmt: skip
