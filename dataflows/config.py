"""Config: every change of the config store reaches its topic, whole and in order, at least once.

changes ─► topics        (marked as published when the broker has them)
"""

from collections.abc import Callable
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from connectors.database.outbox import AcknowledgingSink, Change, Outbox, OutboxSource
from connectors.database.store import TOPICS, ConfigStore
from connectors.kafka.sink import KafkaSink
from connectors.kafka.source import fetch_all
from connectors.settings import KafkaSettings, Settings, load
from dataflows.process import ready, stopping


def build(changes: Source[Change], topics: Sink[Change]) -> Dataflow:
    """The flow between a source of changes and a sink that publishes and marks them."""
    flow = Dataflow("config")
    op.output("topics", op.input("changes", flow, changes), topics)
    return flow


def last_published(settings: KafkaSettings) -> dict[tuple[str, bytes], bytes | None]:
    """The last value of each (topic, key) of the configuration in the log; None where it is a deletion."""
    records = fetch_all(settings, [topic.name for topic in TOPICS])
    return {(record.topic, record.key or b""): record.value for record in records}


def live(settings: Settings, *, stop: Callable[[], bool] = stopping, on_live: Callable[[], None] = ready) -> Dataflow:
    """The flow from the config store of these settings to their broker. What the log has lost is published again."""
    outbox = Outbox(ConfigStore(settings.database.url.get_secret_value()))
    changes = OutboxSource(outbox, published=lambda: last_published(settings.kafka), stop=stop, on_live=on_live)
    return build(changes, AcknowledgingSink(KafkaSink(settings.kafka), outbox))


def __getattr__(name: str) -> Any:
    """`flow`, made when it is asked for, so that `python -m bytewax.run dataflows.config` works."""
    if name == "flow":
        return live(load())
    raise AttributeError(name)
