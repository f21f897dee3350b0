"""Cache: what a broker's accounts have done, in Redis for dashboards.

    records ─► decoded ─► desk
                 └─ what cannot be read ─► dead letters, before the offset behind it is in Redis

Starts where Redis says it is. Redis gone is waited for; the log keeps what has not been taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition

from connectors.kafka.records import Outgoing, Record, causes, dead_letter
from connectors.kafka.sink import Writer
from connectors.kafka.source import KafkaSource
from connectors.logging import logger
from connectors.redis import Desk, Taken, connect
from connectors.settings import Settings
from connectors.settings import load as load_settings
from dataflows.process import ready, stopping
from functions.codec import decode
from functions.topics import MARKET_QUALITY, SYSTEM_ALERTS, Topic, outputs


@dataclass(slots=True)
class Decoded:
    """One batch, each record with its event; of what cannot be read, the dead letters."""

    taken: list[Taken] = field(default_factory=list)
    dead: list[Outgoing] = field(default_factory=list)


def decoded(records: Sequence[Record]) -> Decoded:
    """Every record of a batch, in order; one that is no event is passed over as a dead letter."""
    batch = Decoded()
    for record in records:
        raw = record.value or b""
        try:
            batch.taken.append((record, decode(raw), raw))
        except msgspec.MsgspecError as error:
            batch.taken.append((record, None, raw))
            batch.dead.append(dead_letter(record, "cache", type(error).__name__, str(error)))
    return batch


class Letters(Protocol):
    """Where dead letters go: `connectors.kafka.sink.Writer` is one."""

    def write(self, records: list[Outgoing]) -> None: ...
    def flush(self) -> None: ...


class _DeskPartition(StatefulSinkPartition[Decoded, None]):
    def __init__(self, desk: Desk, letters: Letters) -> None:
        self._desk = desk
        self._letters = letters

    def write_batch(self, values: list[Decoded]) -> None:
        for batch in values:
            if batch.dead:
                self._letters.write(batch.dead)
                self._letters.flush()
                logger().warning("cache.dead_lettered", causes=causes(batch.dead))
            if batch.taken:
                self._desk.write(batch.taken)
        self._desk.beat()

    def snapshot(self) -> None:
        """Nothing: a batch is in Redis when `write_batch` returns."""


class DeskSink(FixedPartitionedSink[Decoded, None]):
    """Writes items `(key, Decoded)`; a record read again or copied changes nothing."""

    def __init__(self, desk: Desk, letters: Callable[[], Letters]) -> None:
        self._desk = desk
        self._letters = letters

    def list_parts(self) -> list[str]:
        return ["desk"]

    def part_fn(self, item_key: str) -> int:
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _DeskPartition:
        self._desk.open()
        return _DeskPartition(self._desk, self._letters())


def build(records: Source[tuple[str, list[Record]]], desk: Sink[tuple[str, Decoded]]) -> Dataflow:
    """The graph of this module's docstring."""
    flow = Dataflow("cache")
    received = op.input("records", flow, records)
    read = op.map_value("decoded", received, decoded)
    op.output("desk", read, desk)
    return flow


def input_topics(broker: str) -> list[Topic]:
    """What a broker's desk is made of."""
    return [*outputs(broker), SYSTEM_ALERTS, MARKET_QUALITY]


def live(settings: Settings, *, broker: str = "paper", stop: Callable[[], bool] = stopping) -> Dataflow:
    """The flow between the log and the Redis of these settings."""
    desk = Desk(connect(settings.redis), broker, stop=stop)
    source = KafkaSource(
        settings.kafka, [topic.name for topic in input_topics(broker)], group=f"cache-{broker}", key=broker,
        positions=desk.open, stop=stop, on_live=ready,
    )  # fmt: skip
    return build(source, DeskSink(desk, lambda: Writer(settings.kafka)))


def __getattr__(name: str) -> Any:
    """`flow`, made when it is asked for, so that `python -m bytewax.run dataflows.cache` works."""
    if name == "flow":
        return live(load_settings())
    raise AttributeError(name)
