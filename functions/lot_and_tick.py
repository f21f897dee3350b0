"""Lot and tick: the steps in which an instrument trades, as its own quantities and prices show them.

For recordings that nobody described; a list of instruments says it better.
"""

from typing import Final

import numpy as np

from functions.arrays import Floats, Integers

FIVE_PAISE: Final = 5


def lots_of(quantities: Integers, instrument: Integers, count: int) -> Integers:
    """The largest number that divides every quantity of each of `count` instruments; 0 where an instrument has none.

    Shape: ``(n,)`` both, in any order, ``(count,)`` out. Units: shares.

    >>> lots_of(np.array([650, 1300, 975, 7, 0]), np.array([0, 0, 0, 1, 2]), 3).tolist()
    [325, 7, 0]
    """
    lots = np.zeros(count, np.int64)
    np.gcd.at(lots, instrument, quantities)
    return lots


def finer_than_five_paise(prices: Floats, instrument: Integers, count: int) -> Integers:
    """How many prices of each of `count` instruments are no multiple of five paise. Prices are finite.

    >>> finer_than_five_paise(np.array([100.05, 100.01, 99.95]), np.array([0, 1, 0]), 2).tolist()
    [0, 1]
    """
    paise = np.rint(prices * 100)
    finer = FIVE_PAISE * np.rint(paise / FIVE_PAISE) != paise
    return np.bincount(instrument[finer], minlength=count)[:count] if finer.any() else np.zeros(count, np.int64)
