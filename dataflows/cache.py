"""Cache: what a broker's accounts have done, in Redis for dashboards.

    records ─► decoded ─► desk
                 └─ what cannot be read ─► dead letters, before the offset behind it is in Redis; many are told

Starts where Redis says it is. Redis gone is waited for; the log keeps what has not been taken.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition

from connectors.kafka.records import Outgoing, Record, causes, dead_letter, place
from connectors.kafka.sink import Writer
from connectors.kafka.source import KafkaSource, end_offsets
from connectors.logging import logger
from connectors.redis import Desk, Taken, connect
from connectors.settings import Settings
from connectors.settings import load as load_settings
from dataflows.process import ready, stopping
from functions.codec import decode, encode, envelope
from functions.events import EventEnvelope, SystemAlert
from functions.ids import ID_PATTERN, event_id
from functions.poison import Limit, Notice, Watch
from functions.timestamps import nanoseconds
from functions.topics import MARKET_QUALITY, SYSTEM_ALERTS, Topic, outputs

_is_id = re.compile(ID_PATTERN).match


@dataclass(slots=True)
class Decoded:
    """One batch, each record with its event; of what cannot be read, the dead letters, and the alert where they are many."""

    taken: list[Taken] = field(default_factory=list)
    dead: list[Outgoing] = field(default_factory=list)
    alerts: list[Outgoing] = field(default_factory=list)


class Decoder:
    """Every record of a batch, in order; one that is no event is passed over as a dead letter.

    More than `alert_above` of these within a minute of event time are an alert; 0 is never.
    """

    def __init__(self, broker: str, alert_above: int = 0) -> None:
        self._broker = broker
        self._watch = Watch(Limit(most=0, a_minute=alert_above))
        self._time: str | None = None  # of the last event that could be read

    def __call__(self, records: Sequence[Record]) -> Decoded:
        batch = Decoded()
        for record in records:
            raw = record.value or b""
            try:
                event = _sortable(decode(raw))
                batch.taken.append((record, event, raw))
                self._time = event.timestamp
            except msgspec.MsgspecError as error:
                cause = type(error).__name__
                batch.taken.append((record, None, raw))
                batch.dead.append(dead_letter(record, "cache", cause, str(error)))
                at = place(record.topic, record.partition, record.offset)
                notices = self._watch.letter(record.topic, at, cause, _nanoseconds(self._time))
                batch.alerts += [self._alert(notice) for notice in notices]
        return batch

    def _alert(self, notice: Notice) -> Outgoing:
        source = f"cache-{self._broker}"
        event = envelope(
            SystemAlert("warning", notice.code, notice.message, source),
            id=event_id(notice.time, source, notice.step), time_ns=notice.time, source=source, broker=self._broker,
        )  # fmt: skip
        return Outgoing(SYSTEM_ALERTS.name, source.encode(), encode(event))


def _sortable(event: EventEnvelope[Any]) -> EventEnvelope[Any]:
    """An event with a place in a list: its id is one, and its time as well. Raises: `msgspec.ValidationError`."""
    if not _is_id(event.id):
        raise msgspec.ValidationError(f"{event.id[:50]!r} is no id of an event - at `$.id`")
    if _nanoseconds(event.timestamp) is None:
        raise msgspec.ValidationError(f"{event.timestamp[:50]!r} is no time of an event - at `$.timestamp`")
    return event


def _nanoseconds(text: str | None) -> int | None:
    """Of an event's time; none of one that somebody else has written otherwise."""
    try:
        time = -1 if text is None else nanoseconds(text)
    except (ValueError, OverflowError):
        return None
    return time if time >= 0 else None


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
                self._letters.write(batch.dead + batch.alerts)
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


def build(
    records: Source[tuple[str, list[Record]]], desk: Sink[tuple[str, Decoded]], decoder: Decoder
) -> Dataflow:  # fmt: skip
    """The graph of this module's docstring."""
    flow = Dataflow("cache")
    received = op.input("records", flow, records)
    read = op.map_value("decoded", received, decoder)
    op.output("desk", read, desk)
    return flow


def input_topics(broker: str) -> list[Topic]:
    """What a broker's desk is made of."""
    return [*outputs(broker), SYSTEM_ALERTS, MARKET_QUALITY]


def live(settings: Settings, *, broker: str = "paper", stop: Callable[[], bool] = stopping) -> Dataflow:
    """The flow between the log and the Redis of these settings."""
    desk = Desk(connect(settings.redis), broker, stop=stop)
    topics = [topic.name for topic in input_topics(broker)]

    def positions() -> dict[tuple[str, int], int]:
        found = desk.open()
        desk.expect(end_offsets(settings.kafka, topics))
        return found

    source = KafkaSource(
        settings.kafka, topics, group=f"cache-{broker}", key=broker, positions=positions, stop=stop, on_live=ready
    )
    decoder = Decoder(broker, settings.dead_letters.alert_per_minute)
    return build(source, DeskSink(desk, lambda: Writer(settings.kafka)), decoder)


def __getattr__(name: str) -> Any:
    """`flow`, made when it is asked for, so that `python -m bytewax.run dataflows.cache` works."""
    if name == "flow":
        return live(load_settings())
    raise AttributeError(name)
