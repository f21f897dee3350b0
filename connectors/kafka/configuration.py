"""Configuration as it lies on the log, for a flow that starts: what can be read of it."""

from collections.abc import Mapping

import msgspec

from connectors.kafka.source import fetch_all
from connectors.logging import logger
from connectors.settings import KafkaSettings
from functions.codec import decode
from functions.events import Payload


def read_configuration_topics(
    kafka: KafkaSettings, payloads: Mapping[str, type[Payload]]
) -> list[tuple[str, bytes | None, Payload | None]]:  # fmt: skip
    """(topic, key, payload or None for deleted) in log order.

    A record that is none of its topic's payload changes nothing, as in a running flow, which dead-letters it; it is told.
    """
    found: list[tuple[str, bytes | None, Payload | None]] = []
    for record in fetch_all(kafka, list(payloads)):
        try:
            payload = None if record.value is None else decode(record.value).data
            if payload is not None and not isinstance(payload, payloads[record.topic]):
                raise msgspec.ValidationError(f"{type(payload).__name__} is no configuration of {record.topic}")
        except msgspec.DecodeError as error:
            logger().warning(
                "configuration.unreadable", topic=record.topic, partition=record.partition, offset=record.offset,
                reason=str(error), next="what was before goes on; put the configuration into the store again",
            )  # fmt: skip
            continue
        found.append((record.topic, record.key, payload))
    return found
