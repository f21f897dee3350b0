"""What is copied from topic to topic, and the flow that copies it."""

from collections.abc import Callable
from datetime import timedelta

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.kafka.records import Outgoing, Record
from connectors.kafka.sink import KafkaSink
from connectors.kafka.source import KafkaSource

EPOCH = timedelta(milliseconds=20)


def numbered(topic: str, count: int, keys: int = 50) -> list[Outgoing]:
    """Records 0, 1, 2, …, each with a key that recurs."""
    return [Outgoing(topic, str(number % keys).encode(), str(number).encode()) for number in range(count)]


def copying(
    source: KafkaSource, sink: KafkaSink, to: str, on_item: Callable[[list[Record]], None] | None = None
) -> Dataflow:
    """A flow that copies records to a topic, tombstones too."""

    def copied(records: list[Record]) -> list[Outgoing]:
        if on_item is not None:
            on_item(records)
        return [Outgoing(to, record.key, record.value, record.headers) for record in records]

    flow = Dataflow("copying")
    op.output("out", op.map_value("copied", op.input("in", flow, source), copied), sink)
    return flow
