"""The feed's order, restored: twelve partitions arrive as they like, decisions follow the feed's own numbering.

The feed numbers everything it writes (ticks and clocks) in one sequence. Records that arrive early are held until the
missing ones are there, so that a recorded day replayed at full speed is folded exactly as a backtest folds it. A
number that never comes is a gap; how long to wait is the caller's to say (`release`).
"""

from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from functions.ticks import TICK, Rows

UNORDERED: Final = -1
Integers = npt.NDArray[np.int64]


class Ordered(NamedTuple):
    """Rows in feed order, with the records they were decoded from."""

    rows: Rows
    records: list[Any]


class _Early(NamedTuple):
    """Records that came before their turn, as they came."""

    rows: Rows
    records: list[Any]
    sessions: Integers
    sequences: Integers

    def between(self, start: int, end: int) -> "_Early":
        return _Early(
            self.rows[start:end], self.records[start:end], self.sessions[start:end], self.sequences[start:end]
        )  # fmt: skip


class Reorder:
    """Restores the order of (session, sequence); sessions in the order of their numbers.

    A session begins when its number 0 arrives and nothing older is held; otherwise its records wait like a gap.
    """

    def __init__(self, session: int = -1, following: int = 0) -> None:
        self.session = session
        self.following = following  # the sequence that is due
        self.held = 0  # records that wait for an earlier one
        self._rows: Rows = np.empty(0, TICK)
        self._records: list[Any] = []
        self._sessions: Integers = np.empty(0, np.int64)
        self._sequences: Integers = np.empty(0, np.int64)
        self._early: list[_Early] = []  # held as well, not yet sorted: a backlog of one partition waits for the others

    @property
    def waiting(self) -> list[Any]:
        """The records that wait, in feed order."""
        self._sort()
        return self._records

    def push(
        self, rows: Rows, records: list[Any], sessions: npt.ArrayLike, sequences: npt.ArrayLike
    ) -> Ordered:  # fmt: skip
        """What is now in order. All lists are as long as the rows; UNORDERED rows push everything held before them."""
        arrived = _Early(rows, records, np.asarray(sessions, np.int64), np.asarray(sequences, np.int64))
        return self._push(arrived) if records else Ordered(rows, records)

    def _push(self, arrived: _Early) -> Ordered:
        rows, records, sessions, sequences = arrived
        if not self.held and self._continues(sessions, sequences):
            self.following += len(records)
            return Ordered(rows, records)
        unordered = sequences == UNORDERED
        if unordered.any():
            return self._around_unordered(arrived, unordered)
        self._early.append(arrived)
        self.held += len(records)
        return self._due() if self._any_due(sessions, sequences) else self._take(0)

    def _continues(self, sessions: Integers, sequences: Integers) -> bool:
        first, count = self.following, len(sequences)
        return bool(
            sequences[0] == first
            and sequences[-1] == first + count - 1
            and (sessions == self.session).all()
            and (sequences == np.arange(first, first + count)).all()
        )

    def _any_due(self, sessions: Integers, sequences: Integers) -> bool:
        """Whether any of these may go on: what waited before them waits for them or for others."""
        late = (sessions < self.session) | ((sessions == self.session) & (sequences <= self.following))
        return bool((late | (sequences == 0)).any())

    def _around_unordered(self, arrived: _Early, unordered: npt.NDArray[np.bool_]) -> Ordered:
        """A record without a number keeps its place among those that arrived: all that is held goes before it."""
        parts: list[Ordered] = []
        changes = np.flatnonzero(np.diff(unordered)) + 1
        for start, end in zip([0, *changes.tolist()], [*changes.tolist(), len(unordered)], strict=True):
            part = arrived.between(start, end)
            if unordered[start]:
                parts += [self.release(), Ordered(part.rows, part.records)]
            else:
                parts.append(self._push(part))
        return _joined(parts)

    def _sort(self) -> None:
        """Merges the early ones into what waits, by (session, sequence); equal numbers keep their order of arrival."""
        if not self._early:
            return
        early, self._early = self._early, []
        self._sessions = np.concatenate([self._sessions, *(each.sessions for each in early)])
        self._sequences = np.concatenate([self._sequences, *(each.sequences for each in early)])
        order = np.lexsort((self._sequences, self._sessions))
        self._sessions, self._sequences = self._sessions[order], self._sequences[order]
        self._rows = np.concatenate([self._rows, *(each.rows for each in early)])[order]
        records = [*self._records, *chain.from_iterable(each.records for each in early)]
        self._records = list(map(records.__getitem__, order.tolist()))

    def _due(self) -> Ordered:
        """Takes what is in order from the front of what waits: late ones at once, then as far as the numbers run on."""
        self._sort()
        parts = [self._take(self._run())]
        while self._records and (more := self._run()):  # a repeated number ends a run
            parts.append(self._take(more))
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _run(self) -> int:
        """How many records at the front are due."""
        if self._sessions[0] > self.session and self._sequences[0] == 0:
            self.session, self.following = int(self._sessions[0]), 0
        late = int(np.searchsorted(self._sessions, self.session))
        mine = self._sequences[late : int(np.searchsorted(self._sessions, self.session, "right"))]
        passed = int(np.searchsorted(mine, self.following))  # repeated or given up: the gate judges them
        run = mine[passed:]
        breaks = np.flatnonzero(run != self.following + np.arange(len(run)))
        length = int(breaks[0]) if len(breaks) else len(run)
        self.following += length
        return late + passed + length

    def _take(self, count: int) -> Ordered:
        taken = Ordered(self._rows[:count], self._records[:count])
        if not count:
            return taken
        self.held -= count
        self._rows, self._records = self._rows[count:], self._records[count:]
        self._sessions, self._sequences = self._sessions[count:], self._sequences[count:]
        return taken

    def release(self) -> Ordered:
        """Gives up on what is missing: everything held, in order; the numbering goes on after the last of it."""
        self._sort()
        if self._records:
            self.session, self.following = int(self._sessions[-1]), int(self._sequences[-1]) + 1
        return self._take(len(self._records))


def _joined(parts: list[Ordered]) -> Ordered:
    return Ordered(np.concatenate([p.rows for p in parts]), [record for p in parts for record in p.records])
