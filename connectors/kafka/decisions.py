"""Where a pipeline's decisions leave for the log.

Promise: events are written in the order given; a snapshot is written only after everything decided before it has been
acknowledged; a failed delivery stops the flow with the topic and the reason, nothing is dropped.
"""

from dataclasses import dataclass
from typing import Any

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.kafka.records import Outgoing, Writable
from connectors.kafka.sink import Writer
from connectors.settings import KafkaSettings


@dataclass(slots=True)
class Published:
    """What one batch leaves: events in order, then (if there is one) the snapshot behind them."""

    events: list[Writable]
    snapshot: Outgoing | None = None


class _DecisionPartition(StatefulSinkPartition[Published, None]):
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write_batch(self, values: list[Published]) -> None:
        for published in values:
            self._writer.write(published.events)
            if published.snapshot is not None:
                self._writer.flush()
                self._writer.write([published.snapshot])

    def snapshot(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        """Nothing: Bytewax also closes while an exception unwinds, and after a doubt nothing more is written."""


class DecisionSink(FixedPartitionedSink[Published, None]):
    """The one sink of a pipeline; items are `(shard, Published)`."""

    def __init__(self, kafka: KafkaSettings, *, linger_ms: float = 0) -> None:
        self._kafka = kafka
        self._linger_ms = linger_ms

    def list_parts(self) -> list[str]:
        return ["decisions"]

    def part_fn(self, item_key: str) -> int:
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _DecisionPartition:
        return _DecisionPartition(Writer(self._kafka, linger_ms=self._linger_ms))
