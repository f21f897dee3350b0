"""A market, paced: stretches of market time when they are due, as a Bytewax source.

notices ─► stretches, each when market time has come to it and the reader is near enough ─► the end, and why
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.heartbeat import beat
from connectors.kafka.following import Following
from connectors.recorded.judging import Unreadable
from functions.calendar import SECOND, day_of
from functions.events import QualityReport
from functions.stretches import Stretch

KEY: Final = "feed"
HOLD_S: Final = 0.01  # how long a held feed waits before it asks again
LONG_AGO: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NAP_S: Final = 0.05  # a paced feed looks at least this often whether it is to stop


class Notices(NamedTuple):
    """What is known about a recording before its first tick."""

    reports: Sequence[QualityReport] = ()
    unreadable: Sequence[Unreadable] = ()


NO_NOTICES: Final = Notices()


class Ended(NamedTuple):
    """The market has no more; `reason` in words."""

    reason: str


Item = Stretch | Notices | Ended


class _MarketPartition(StatefulSourcePartition[tuple[str, Item], None]):
    def __init__(self, source: "MarketSource") -> None:
        self._source = source
        self._stretches = source.stretches()
        self._stretch: Stretch | None = None
        self._at = 0
        self._written = 0
        self._anchor: tuple[float, int] | None = None  # a moment of ours, and the market's time at it
        self._deadline = source.now() + source.seconds if source.seconds is not None else None
        self._noticed = False
        self._following = source.following() if source.following is not None else None
        self._ended = False

    def next_batch(self) -> list[tuple[str, Item]]:
        beat()
        source = self._source
        if self._ended or source.stop():
            raise StopIteration
        if not self._noticed:
            self._noticed = True
            source.on_live()
            return [(KEY, source.notices)]
        if self._deadline is not None and source.now() >= self._deadline:
            return self._end("its time was up")
        if self._following is not None and self._following.holds(self._written):
            return self._nap(HOLD_S)
        if self._stretch is None or self._at == len(self._stretch.times):
            self._stretch, self._at = next(self._stretches, None), 0
        if self._stretch is None:
            return self._end("the data ends here")
        return self._due(self._stretch)

    def _due(self, stretch: Stretch) -> list[tuple[str, Item]]:
        end = min(self._at + self._source.batch, len(stretch.times))
        if self._source.speed is not None and end > self._at:
            horizon = self._horizon(int(stretch.times[self._at]), self._source.speed)
            end = min(end, int(np.searchsorted(stretch.times, horizon, "right")))
            if end <= self._at:
                return self._nap((int(stretch.times[self._at]) - horizon) / SECOND / self._source.speed)
        part = stretch.part(self._at, end)
        self._at = end
        self._written += len(part.times)
        return [(KEY, part)] if len(part.times) else []

    def _horizon(self, due: int, speed: float) -> int:
        """How far market time has come; a new day begins at once, whatever the night."""
        now = self._source.now()
        if self._anchor is None or day_of(due) != day_of(self._anchor[1]):
            self._anchor = (now, due)
        return self._anchor[1] + int((now - self._anchor[0]) * speed * SECOND)

    def _nap(self, seconds: float) -> list[tuple[str, Item]]:
        """Sleeps by itself: Bytewax's own pause goes by the wall clock, and lasts as long as one is set back."""
        time.sleep(min(max(seconds, 0.0), NAP_S))
        return []

    def _end(self, reason: str) -> list[tuple[str, Item]]:
        self._ended = True
        return [(KEY, Ended(reason))]

    def next_awake(self) -> dt.datetime:
        return LONG_AGO

    def snapshot(self) -> None:
        """Nothing: a feed that starts again is a new session."""

    def close(self) -> None:
        if self._following is not None:
            self._following.close()


@dataclass
class MarketSource(FixedPartitionedSource[tuple[str, Item], None]):
    """A market's stretches, when they are due: one partition, one order. `stop` ends it, `on_live` hears of its start."""

    stretches: Callable[[], Iterator[Stretch]]
    speed: float | None = None
    seconds: float | None = None
    batch: int = 2_000
    notices: Notices = NO_NOTICES
    following: Callable[[], Following] | None = None
    stop: Callable[[], bool] = lambda: False
    on_live: Callable[[], None] = lambda: None
    now: Callable[[], float] = time.monotonic

    def list_parts(self) -> list[str]:
        return ["market"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _MarketPartition:
        return _MarketPartition(self)
