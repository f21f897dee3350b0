"""The feed's order, restored: twelve partitions arrive as they like, decisions follow the feed's own numbering.

The feed numbers everything it writes (ticks and clocks) in one sequence. Records that arrive early are held until the
missing ones are there, so that a recorded day replayed at full speed is folded exactly as a backtest folds it. A
number that never comes is a gap; how long to wait is the caller's to say (`release`).
"""

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


class Reorder:
    """Restores the order of (session, sequence); sessions in the order of their numbers.

    A session begins when its number 0 arrives and nothing older is held; otherwise its records wait like a gap.
    """

    def __init__(self, session: int = -1, following: int = 0) -> None:
        self.session = session
        self.following = following  # the sequence that is due
        self._rows: Rows = np.empty(0, TICK)
        self._records: list[Any] = []
        self._sessions: Integers = np.empty(0, np.int64)
        self._sequences: Integers = np.empty(0, np.int64)

    @property
    def held(self) -> int:
        """Records that wait for an earlier one."""
        return len(self._records)

    @property
    def waiting(self) -> list[Any]:
        """The records that wait, in feed order."""
        return self._records

    def push(self, rows: Rows, records: list[Any], sessions: list[int], sequences: list[int]) -> Ordered:
        """What is now in order. All lists are as long as the rows; UNORDERED rows push everything held before them."""
        if not len(rows):
            return Ordered(rows, records)
        if not self._records and self._continues(sessions, sequences):
            self.following += len(rows)
            return Ordered(rows, records)
        if UNORDERED in sequences:
            return self._around_unordered(rows, records, sessions, sequences)
        self._hold(rows, records, sessions, sequences)
        return self._due()

    def _continues(self, sessions: list[int], sequences: list[int]) -> bool:
        first, last = sequences[0], sequences[-1]
        if first != self.following or last - first != len(sequences) - 1 or sessions[0] != self.session:
            return False
        wanted = range(first, last + 1)
        return all(map(int.__eq__, sequences, wanted)) and sessions.count(self.session) == len(sessions)

    def _around_unordered(
        self, rows: Rows, records: list[Any], sessions: list[int], sequences: list[int]
    ) -> Ordered:  # fmt: skip
        """A record without a number keeps its place among those that arrived: all that is held goes before it."""
        parts: list[Ordered] = []
        start = 0
        for at, sequence in enumerate(sequences):
            if sequence == UNORDERED:
                if at > start:
                    parts.append(self.push(rows[start:at], records[start:at], sessions[start:at], sequences[start:at]))
                parts.append(self.release())
                parts.append(Ordered(rows[at : at + 1], records[at : at + 1]))
                start = at + 1
        if start < len(records):
            parts.append(self.push(rows[start:], records[start:], sessions[start:], sequences[start:]))
        return _joined(parts)

    def _hold(self, rows: Rows, records: list[Any], sessions: list[int], sequences: list[int]) -> None:
        """Merges into what waits, sorted by (session, sequence); equal numbers keep their order of arrival."""
        self._rows = np.concatenate([self._rows, rows])
        self._sessions = np.concatenate([self._sessions, np.array(sessions, np.int64)])
        self._sequences = np.concatenate([self._sequences, np.array(sequences, np.int64)])
        records = self._records + records
        order = np.lexsort((self._sequences, self._sessions))
        self._rows, self._sessions, self._sequences = self._rows[order], self._sessions[order], self._sequences[order]
        self._records = [records[n] for n in order.tolist()]

    def _due(self) -> Ordered:
        """Takes what is in order from the front of what waits: late ones at once, then as far as the numbers run on."""
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
        self._rows, self._records = self._rows[count:], self._records[count:]
        self._sessions, self._sequences = self._sessions[count:], self._sequences[count:]
        return taken

    def release(self) -> Ordered:
        """Gives up on what is missing: everything held, in order; the numbering goes on after the last of it."""
        if self._records:
            self.session, self.following = int(self._sessions[-1]), int(self._sequences[-1]) + 1
        return self._take(len(self._records))


def _joined(parts: list[Ordered]) -> Ordered:
    return Ordered(np.concatenate([p.rows for p in parts]), [record for p in parts for record in p.records])
