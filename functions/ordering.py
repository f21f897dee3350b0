"""The feed's order, restored: twelve partitions arrive as they like, decisions follow the feed's own numbering.

The feed numbers everything it writes (ticks and clocks) in one sequence. Records that arrive early are held until the
missing ones are there, so that a recorded day replayed at full speed is folded exactly as a backtest folds it. A
number that never comes is a gap; how long to wait is the caller's to say (`release`).
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from functions.arrays import Integers
from functions.ticks import NO_TICKS, TICK, Rows

UNORDERED: Final = -1
_NONE: Final[Integers] = np.empty(0, np.int64)


class Ordered(NamedTuple):
    """Rows in feed order, with the records they were decoded from."""

    rows: Rows
    records: list[Any]


class _Arrived(NamedTuple):
    """One batch as it came."""

    rows: Rows
    records: list[Any]
    sessions: Integers
    sequences: Integers

    def between(self, start: int, end: int) -> "_Arrived":
        return _Arrived(
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
        self._rows: Rows = NO_TICKS  # of the records that came early, as they came; some have gone on since
        self._records: list[Any] = []
        self._sessions: Integers = _NONE  # of those that wait, sorted,
        self._sequences: Integers = _NONE
        self._places: Integers = _NONE  # and where their rows and records are
        self._early: list[tuple[Integers, Integers, Integers]] = []  # the same three of those not yet sorted

    @property
    def waiting(self) -> list[Any]:
        """The records that wait, in feed order."""
        self._sort()
        return self._records_at(self._places)

    def push(
        self, rows: Rows, records: list[Any], sessions: npt.ArrayLike, sequences: npt.ArrayLike
    ) -> Ordered:  # fmt: skip
        """What is now in order. All lists are as long as the rows; UNORDERED rows push everything held before them."""
        arrived = _Arrived(rows, records, np.asarray(sessions, np.int64), np.asarray(sequences, np.int64))
        return self._push(arrived) if records else Ordered(rows, records)

    def _push(self, arrived: _Arrived) -> Ordered:
        rows, records, sessions, sequences = arrived
        if not self.held and self._continues(sessions, sequences):
            self.following += len(records)
            return Ordered(rows, records)
        unordered = sequences == UNORDERED
        if unordered.any():
            return self._around_unordered(arrived, unordered)
        self._keep(arrived)
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

    def _around_unordered(self, arrived: _Arrived, unordered: npt.NDArray[np.bool_]) -> Ordered:
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

    def _keep(self, arrived: _Arrived) -> None:
        """Puts records where they wait; they are sorted only when one of them may go on."""
        count = len(arrived.records)
        if len(self._records) + count > len(self._rows):
            self._make_room(count)
        start = len(self._records)
        self._rows[start : start + count] = arrived.rows
        self._records += arrived.records
        self._early.append((arrived.sessions, arrived.sequences, np.arange(start, start + count)))
        self.held += count

    def _make_room(self, count: int) -> None:
        """For these and as many again: a record is moved as seldom as the room doubles."""
        self._sort()
        rows = np.empty(2 * (self.held + count), TICK)
        rows[: self.held] = self._rows[self._places]
        self._rows, self._records = rows, self._records_at(self._places)
        self._places = np.arange(self.held)

    def _sort(self) -> None:
        """Merges the early ones into what waits, by (session, sequence); equal numbers keep their order of arrival."""
        if not self._early:
            return
        columns = zip((self._sessions, self._sequences, self._places), *self._early, strict=True)
        sessions, sequences, places = (np.concatenate(column) for column in columns)
        order = np.lexsort((sequences, sessions))
        self._sessions, self._sequences, self._places = sessions[order], sequences[order], places[order]
        self._early = []

    def _records_at(self, places: Integers) -> list[Any]:
        return list(map(self._records.__getitem__, places.tolist()))

    def _due(self) -> Ordered:
        """Takes what is in order from the front of what waits: late ones at once, then as far as the numbers run on."""
        self._sort()
        parts = [self._take(self._run())]
        while self.held and (more := self._run()):  # a repeated number ends a run
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
        if not count:
            return Ordered(NO_TICKS, [])
        places = self._places[:count]
        taken = Ordered(self._rows[places], self._records_at(places))
        self.held -= count
        self._sessions, self._sequences = self._sessions[count:], self._sequences[count:]
        self._places = self._places[count:]
        if not self.held:
            self._rows, self._records = NO_TICKS, []
        return taken

    def release(self) -> Ordered:
        """Gives up on what is missing: everything held, in order; the numbering goes on after the last of it."""
        self._sort()
        if self.held:
            self.session, self.following = int(self._sessions[-1]), int(self._sequences[-1]) + 1
        return self._take(self.held)


def _joined(parts: list[Ordered]) -> Ordered:
    return Ordered(np.concatenate([p.rows for p in parts]), [record for p in parts for record in p.records])
