"""Series: the rows of a file by instrument, put together once for all who ask instrument by instrument."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from functions.arrays import Booleans, Floats, Integers


class Series(NamedTuple):
    """Rows in the order of the file, and the same rows with those of one instrument beside each other."""

    time: Integers  # ns since the epoch
    instrument: Integers
    order: Any  # what to index a column with to have it by instrument; within one the order of the file
    times: Integers  # by instrument
    whose: Integers  # by instrument, ascending

    @classmethod
    def of(cls, time: Integers, instrument: Integers) -> "Series":
        grouped = len(instrument) < 2 or bool((instrument[1:] >= instrument[:-1]).all())
        if grouped:
            return cls(time, instrument, slice(None), time, instrument)
        few = int(instrument.max()) < 2**15  # then sixteen bits do, which NumPy sorts by radix
        order = np.argsort(instrument.astype(np.int16) if few else instrument, kind="stable")
        return cls(time, instrument, order, time[order], instrument[order])

    def followers(self) -> Booleans:
        """Of each row by instrument: whether the one before it is of the same instrument."""
        follows = np.zeros(len(self.whose), bool)
        np.equal(self.whose[1:], self.whose[:-1], out=follows[1:])
        return follows

    def where(self, mask: Booleans) -> Iterator[tuple[int, int, int, int]]:
        """Instrument, count, first and last time of the rows that a mask over the rows by instrument marks."""
        marked = np.flatnonzero(mask)
        if not len(marked):
            return
        whose = self.whose[marked]
        ends = np.append(np.flatnonzero(whose[1:] != whose[:-1]), len(marked) - 1)
        begin = 0
        for end in ends.tolist():
            first, last = self.times[marked[begin]], self.times[marked[end]]
            yield int(whose[end]), end - begin + 1, int(first), int(last)
            begin = end + 1


def merged(several: Sequence[Series], prices: Sequence[Floats]) -> tuple[Series, Floats]:
    """The series of several files as one, in order of time within each instrument, and the prices at its rows."""
    if len(several) == 1:
        return several[0], prices[0]
    time, whose = np.concatenate([s.times for s in several]), np.concatenate([s.whose for s in several])
    order = np.lexsort((time, whose))
    time, whose = time[order], whose[order]
    return Series(time, whose, slice(None), time, whose), np.concatenate(prices)[order]


NO_SERIES: Final = Series.of(np.empty(0, np.int64), np.empty(0, np.int64))
