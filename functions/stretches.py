"""Stretches: a market's ticks and the seconds of its clock in one order, by event time.

    simulated or recorded chunks ─► with the clock among their ticks ─► stretches

The clock strikes every whole second of market time, from that of the first tick of a day until its last session closes. So
no tick comes before its day has been struck, and one whose time is far ahead of the clock is wrong (`functions.quality`).
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from functions.arrays import Integers
from functions.calendar import DAY, SECOND, Calendar, day_of
from functions.simulator import Chunk
from functions.ticks import NO_DEPTH, NO_RANGES, NO_TICKS, Rows

WEEK: Final = 7 * DAY


def replayed(
    ticks: Rows, depth: Rows, ranges: Rows = NO_RANGES, *, loop: bool = False, rows: int = 8_192
) -> Iterator[Chunk]:  # fmt: skip
    """Recorded TICK rows in chunks of at most `rows` within one day, then the second after the last tick.

    `depth` has a DEPTH row for each tick, `ranges` a RANGE row, or they are empty. With `loop` they begin again
    at the end, moved on by whole weeks.
    """
    weeks = int(day_of(ticks["time"][-1]) - day_of(ticks["time"][0])) // 7 + 1
    shift = 0
    while True:
        yield from _once(ticks, depth, ranges, shift, rows)
        if not loop:
            return
        shift += weeks * WEEK


def _once(ticks: Rows, depth: Rows, ranges: Rows, shift: int, rows: int) -> Iterator[Chunk]:
    days = day_of(ticks["time"])
    edges = sorted({0, len(ticks), *(np.flatnonzero(np.diff(days)) + 1).tolist()})
    for first, last in pairwise(edges):
        for start in range(first, last, rows):
            part = ticks[start : min(start + rows, last)]
            if shift:
                part = part.copy()
                part["time"] += shift
            levels = depth[start : start + len(part)] if len(depth) else NO_DEPTH
            extent = ranges[start : start + len(part)] if len(ranges) else NO_RANGES
            if shift and len(extent):
                extent = extent.copy()
                extent["start"] += shift
            yield Chunk(int(part["time"][-1]), part, levels, np.zeros(len(part), np.uint8), extent)
    end = -(-(int(ticks["time"][-1]) + shift) // SECOND) * SECOND
    yield Chunk(end, NO_TICKS, NO_DEPTH, np.empty(0, np.uint8))


class Stretch(NamedTuple):
    """Events in their order: `rows` indexes the chunk's ticks, -1 is a strike of the clock; `times` never go back."""

    times: Integers
    rows: Integers
    chunk: Chunk

    @property
    def ticks(self) -> Integers:
        """Which of the chunk's ticks it has."""
        return self.rows[self.rows >= 0]

    def part(self, start: int, end: int) -> "Stretch":
        return Stretch(self.times[start:end], self.rows[start:end], self.chunk)


def with_clock(
    chunks: Iterator[Chunk], calendar: Calendar, market_seconds: float | None = None
) -> Iterator[Stretch]:  # fmt: skip
    """Chunks with the clock's seconds among their ticks; at the same time the clock comes first."""
    reached: int | None = None  # how far market time has come
    until: int | None = None
    for chunk in chunks:
        ticks = np.maximum.accumulate(chunk.ticks["time"]) if len(chunk.ticks) else chunk.ticks["time"]
        if reached is None:
            begins = int(ticks[0]) if len(ticks) else chunk.until
            reached = begins // SECOND * SECOND - 1
            until = begins + int(market_seconds * SECOND) if market_seconds is not None else None
        first = max(int(ticks[0]), reached) if len(ticks) else reached
        clock = np.concatenate([calendar.seconds_passed(reached, first), calendar.seconds_passed(first, chunk.until)])
        times = np.concatenate([clock, ticks])
        rows = np.concatenate([np.full(len(clock), -1), np.arange(len(ticks))])
        order = np.argsort(times, kind="stable")
        stretch = Stretch(times[order], rows[order], chunk)
        reached = max(chunk.until, reached)
        if until is not None and reached > until:
            yield stretch.part(0, int(np.searchsorted(stretch.times, until, "right")))
            return
        yield stretch
