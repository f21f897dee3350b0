"""Where a pipeline's decisions leave for the log.

Promise: the batches that a decision rests on are journalled before it, events are written in the order given; a snapshot
is written only after everything decided before it has been acknowledged; a failed delivery stops the flow with the topic
and the reason, nothing is dropped.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.errors import FatalError
from connectors.kafka.feed import Marker
from connectors.kafka.journal import DecisionLog
from connectors.kafka.records import Writable
from connectors.kafka.source import Positions
from functions.journal import Batch, Snapshot

CURE: Final = (
    "`panda dlq list` and `panda dlq show` tell which records; cure the cause or raise PANDA_DEAD_LETTERS__LIMIT, start the "
    "flow again, which is the consent to read on, then `panda dlq replay`"
)


class Poisoned(FatalError):
    """Too many of a topic's last records are of no use: the flow stops before it has made dead letters of the topic."""

    def __init__(self, message: str) -> None:
        super().__init__(message, remedy=CURE)


class Cut(NamedTuple):
    """The state of every step after everything before the marker."""

    state: dict[str, bytes]
    marker: Marker


@dataclass(slots=True)
class Published:
    """What one batch leaves: events in order, then (if there is one) the cut behind them."""

    events: list[Writable]
    batch: Batch | None = None
    cut: Cut | None = None
    poisoned: str = ""  # why nothing may be read behind it


def snapshot_of(cut: Cut, topics: tuple[str, ...], log: DecisionLog, journal: int, tails: Positions) -> Snapshot:
    """A cut with its place in the journal."""
    marker = cut.marker
    return Snapshot(
        positions=listed(marker.positions), held=marker.held, feed_session=marker.session, following=marker.following,
        topics=topics, partition=log.partition, journal=journal, session=log.session, tails=listed(tails),
        state=cut.state,
    )  # fmt: skip


def listed(positions: Positions) -> list[tuple[str, int, int]]:
    """Positions in a stable order, as snapshots keep them."""
    return [(topic, partition, offset) for (topic, partition), offset in sorted(positions.items())]


class _DecisionPartition(StatefulSinkPartition[Published, None]):
    def __init__(self, log: DecisionLog, topics: tuple[str, ...]) -> None:
        self._log = log
        self._topics = topics
        self._batches: list[Batch] = []  # that no entry holds yet
        self._events: list[Writable] = []

    def write_batch(self, values: list[Published]) -> None:
        for published in values:
            if published.batch is not None:
                self._batches.append(published.batch)
            self._events += published.events
            if published.cut is not None:
                self._cut(published.cut)
            if published.poisoned:
                self._stop(published.poisoned)
        if self._events:
            self._write()

    def _write(self) -> None:
        batches, events = self._batches, self._events
        self._batches, self._events = [], []
        self._log.write(batches, events)

    def _cut(self, cut: Cut) -> None:
        """An entry goes before it in any case: that is how a worker notices that it has been replaced."""
        self._write()
        self._log.save(lambda journal, tails: snapshot_of(cut, self._topics, self._log, journal, tails))

    def _stop(self, why: str) -> None:
        """What led here is on the log, with its alert, before the flow ends; what was read behind it is read again."""
        self._write()
        self._log.flush()
        raise Poisoned(why)

    def snapshot(self) -> None:
        self._log.flush()

    def close(self) -> None:
        """Flushes nothing: Bytewax also closes while an exception unwinds, and after a doubt nothing more is written."""
        self._log.close()


class DecisionSink(FixedPartitionedSink[Published, None]):
    """The one sink of a pipeline; items are `(shard, Published)`.

    `topics` are those of the inputs, by the numbers that batches give them.
    """

    def __init__(self, log: DecisionLog, topics: tuple[str, ...]) -> None:
        self._log = log
        self._topics = topics

    def list_parts(self) -> list[str]:
        return ["decisions"]

    def part_fn(self, item_key: str) -> int:
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _DecisionPartition:
        return _DecisionPartition(self._log, self._topics)
