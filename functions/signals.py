"""Signals: what strategies want, as rows, and the one order in which all of them reach the accounts.

A batch's signals are sorted by (row of the tick, strategy): whatever the batches are, the same ticks give the same
sequence.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from functions.kernel import borrow, entry, kernel
from functions.ticks import OPENING, Rows

SIGNAL: Final = np.dtype(
    [
        ("row", "i8"),  # of the tick that caused it, in its batch
        ("quantity", "i8"),  # units, positive; `functions.sizing` says what a unit is
        ("limit", "i8"),  # micro-rupees; 0 = none
        ("trigger", "i8"),
        ("price", "i8"),  # last price of the instrument then; the account fills it in
        ("strategy", "i4"),
        ("instrument", "i4"),  # may differ from the tick's
        ("side", "i4"),  # +1 buy, -1 sell
        ("kind", "i4"),
        ("product", "i4"),  # of `functions.orders`; -1 = the strategy's configured product
        ("nth", "i4"),  # signal of this strategy at this row, from 0
        ("follower", "i4"),  # 0 = every account that follows the strategy; n = the n-th subscription alone, and exactly
        ("spare", "i4"),
    ],
    align=True,
)
NO_SIGNALS: Final[Rows] = np.empty(0, SIGNAL)
DEFAULT_PRODUCT: Final = np.int64(-1)
EVERYBODY: Final = np.int64(0)


def merge(parts: Sequence[Rows]) -> Rows:
    """The signals of several strategies, each already sorted by row, in total order (row, strategy, nth)."""
    some = [part for part in parts if len(part)]
    if not some:
        return NO_SIGNALS
    if len(some) == 1:
        return some[0]
    merged = np.concatenate(some)
    return merged[np.lexsort((merged["nth"], merged["strategy"], merged["row"]))]


@kernel
def _count_routes(ticks, first, count, wanted, targets):
    for row in range(ticks.shape[0]):
        i = ticks[row].instrument
        if i >= 0 and ticks[row].quality & OPENING == 0:
            for n in range(first[i], first[i] + count[i]):
                wanted[targets[n]] += 1


@entry
def route(ticks, first, count, targets, starts, rows):
    """Which rows each strategy gets: rows[starts[s]:starts[s + 1]]; O(1) a tick and route. Returns the rows needed.

    `first` and `count` of an instrument name its slice of `targets`, the strategies that take it. The opening print of a
    bar reaches nobody. Nothing is written to `rows` where it is too short.
    """
    ticks = borrow(ticks)
    targets = borrow(targets)
    rows = borrow(rows)
    strategies = starts.shape[0] - 1
    starts[:] = 0
    _count_routes(ticks, first, count, starts[1:], targets)
    for s in range(strategies):
        starts[s + 1] += starts[s]
    needed = starts[strategies]
    if needed > rows.shape[0]:
        return needed
    for row in range(ticks.shape[0]):
        i = ticks[row].instrument
        if i >= 0 and ticks[row].quality & OPENING == 0:
            for n in range(first[i], first[i] + count[i]):
                s = targets[n]
                rows[starts[s]] = row
                starts[s] += 1
    for s in range(strategies, 0, -1):  # each has moved to where the next one began
        starts[s] = starts[s - 1]
    starts[0] = 0
    return needed
