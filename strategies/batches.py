"""Strategies that score whole batches: `start(instruments) -> state`, `on_batch(state, ticks) -> SIGNAL rows`.

The protocol itself, for models and pairs. What it is given is a copy, and what it gives back is copied and checked row by
row before it counts.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from msgspec.structs import replace

from functions.events import InstrumentConfig
from functions.ticks import Rows, copied
from strategies.answers import bad_rows, own_rows
from strategies.guest import Answered, Lost, all_lost, refused_if_it_raises
from strategies.plain import AT_ONCE


@runtime_checkable
class Strategy(Protocol):
    """What an author keeps who wants whole batches. It keeps nothing itself: its memory is the state that `start` makes."""

    def start(self, instruments: Sequence[InstrumentConfig]) -> Any:
        """The state before the first tick; `instruments` are the strategy's own, in the order of their index."""

    def on_batch(self, state: Any, ticks: Rows) -> Rows:
        """SIGNAL rows sorted by row, for TICK rows whose `instrument` counts the strategy's own instruments.

        `strategy` and `follower` are left 0 and `instrument` counts as in the ticks. What it raises costs it the whole batch.
        """


class BatchStrategy:
    """Somebody's `Strategy`, as a guest."""

    most = AT_ONCE
    is_python = True

    def __init__(self, author: Strategy) -> None:
        self.author = author
        self._instruments = 0

    def start(self, instruments: Sequence[InstrumentConfig]) -> Any:
        self._instruments = len(instruments)
        with refused_if_it_raises(f"{type(self.author).__name__}.start"):
            return self.author.start([replace(instrument) for instrument in instruments])

    def ask(self, state: Any, ticks: Rows) -> Answered:
        """All ticks at once: of a raise nobody knows which tick it was, of a bad row everybody does."""
        try:
            rows = own_rows(self.author.on_batch(state, copied(ticks)), len(ticks))
        except BaseException as error:  # the author's: anything may come
            return all_lost(error, len(ticks))
        bad = bad_rows(rows, self._instruments)
        if bad:
            rows = rows[~np.isin(rows["row"], [row for row, _ in bad])]
        return Answered(rows, [Lost(row, "ValueError", words) for row, words in bad], len(ticks))

    def at(self) -> int:
        """Of a batch nobody knows the row."""
        return 0
