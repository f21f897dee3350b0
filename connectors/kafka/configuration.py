"""Configuration as it lies on the log, for a flow that starts: what can be read of it."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from connectors.kafka.records import Record
from connectors.kafka.source import fetch_all
from connectors.logging import logger
from connectors.settings import KafkaSettings
from functions.codec import decode
from functions.events import Payload
from functions.timestamps import nanoseconds


class Configured(NamedTuple):
    """One record of configuration; `payload` None: deleted. `time` is when it was written, ns, 0 where it does not say."""

    record: Record
    payload: Payload | None
    time: int


def read_configuration_topics(kafka: KafkaSettings, payloads: Mapping[str, type[Payload]]) -> list[Configured]:
    """What the log has of some topics of configuration, in log order.

    A record that is none of its topic's payload changes nothing, as in a running flow, which dead-letters it; it is told.
    """
    found: list[Configured] = []
    for record in fetch_all(kafka, list(payloads)):
        try:
            event = None if record.value is None else decode(record.value)
            payload = None if event is None else event.data
            if payload is not None and not isinstance(payload, payloads[record.topic]):
                raise msgspec.ValidationError(f"{type(payload).__name__} is no configuration of {record.topic}")
        except msgspec.DecodeError as error:
            logger().warning(
                "configuration.unreadable", topic=record.topic, partition=record.partition, offset=record.offset,
                reason=str(error), next="what was before goes on; put the configuration into the store again",
            )  # fmt: skip
            continue
        found.append(Configured(record, payload, 0 if event is None else _time(event.timestamp)))
    return found


def _time(timestamp: str) -> int:
    try:
        return nanoseconds(timestamp)
    except (ValueError, OverflowError):
        return 0
