"""Dead letters on a broker: read, put back on their topic, deleted.

Promise: reading changes nothing. A record is put back with its key and bytes as they were; its headers say that it was,
what it was at first and how often it has been tried, by which readers know it. Deleting takes exactly the offsets given.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.cimpl import Consumer

from connectors.errors import ConfigError, DependencyError
from connectors.kafka.admin import Administrator
from connectors.kafka.client import READER_GROUP, START_S, consumer_config, down, partitions
from connectors.kafka.records import ORIGINAL, REPLAYED, Outgoing
from connectors.kafka.sink import Writer
from connectors.settings import KafkaSettings
from functions.letters import Letter, Purge, letter
from functions.topics import Topic, all_topics

SILENT_S: Final = 30.0
_NOT_ALLOWED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})


def letter_topics(brokers: tuple[str, ...]) -> dict[str, str]:
    """Every dead-letter topic of a deployment, by the topic that it is of."""
    return {t.name: t.dead_letters.name for t in all_topics(brokers) if t.payloads}


def by_name(brokers: tuple[str, ...]) -> dict[str, Topic]:
    return {topic.name: topic for topic in all_topics(brokers)}


# --- reading ----------------------------------------------------------------------------------------------------------


def read_letters(kafka: KafkaSettings, topics: Sequence[str]) -> list[Letter]:
    """Every letter of these dead-letter topics up to now, in the order of each partition.

    Raises: `ConfigError` where this user may not read them, `DependencyError` where the broker does not answer.
    """
    consumer = Consumer(consumer_config(kafka, READER_GROUP) | {"error_cb": lambda error: None})
    try:
        return _read(kafka, consumer, topics)
    except KafkaException as error:
        raise _meaning(kafka, error.args[0], "the dead letters") from error
    finally:
        consumer.close()


def _read(kafka: KafkaSettings, consumer: Consumer, topics: Sequence[str]) -> list[Letter]:
    ahead: dict[tuple[str, int], int] = {}
    assigned = partitions(consumer, kafka, list(topics))
    for part in assigned:
        part.offset, end = consumer.get_watermark_offsets(part, timeout=START_S)
        if part.offset < end:
            ahead[part.topic, part.partition] = end
    consumer.assign([part for part in assigned if (part.topic, part.partition) in ahead])
    letters: list[Letter] = []
    heard = time.monotonic()
    while ahead:
        for message in consumer.consume(10_000, 0.05):
            at = (message.topic() or "", _number(message.partition()))
            error = message.error()
            offset = _number(message.offset())
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if not error.retriable():
                    raise _meaning(kafka, error, at[0])
                continue
            heard = time.monotonic()
            headers: Any = message.headers() or ()  # its type says it may be more than pairs
            if error is None and offset < ahead.get(at, 0):
                letters.append(letter(*at, offset, message.timestamp()[1], message.key(), message.value(), headers))
            if offset + (error is None) >= ahead.get(at, offset + 2):
                del ahead[at]
        if time.monotonic() - heard > SILENT_S:
            raise down(kafka, SILENT_S, f"{', '.join(topic for topic, _ in ahead)} not read to the end")
    return sorted(letters, key=lambda each: each[:3])


def _number(value: int | None) -> int:
    return -1 if value is None else value


def _meaning(kafka: KafkaSettings, error: KafkaError, what: str) -> ConfigError | DependencyError:
    if error.code() in _NOT_ALLOWED:
        return ConfigError(
            f"Kafka user {kafka.username!r} may not read {what}",
            remedy="enter as an administrator or as the user `operator` (docs/runbook.md, Dead letters)",
        )
    return down(kafka, START_S, error.str())


# --- putting back -----------------------------------------------------------------------------------------------------


def put_back(letter: Letter) -> Outgoing:
    """The letter's record, on its way to the topic where it was.

    >>> told = [("topic", b"t"), ("partition", b"3"), ("offset", b"41"), ("attempts", b"2")]
    >>> from functions.letters import letter
    >>> put_back(letter("t.dlq", 0, 7, 0, b"k", b"{", told))
    Outgoing(topic='t', key=b'k', value=b'{', headers=[('replayed', b'2'), ('original', b't:3:41')])
    """
    headers = [(REPLAYED, b"%d" % letter.attempts), (ORIGINAL, letter.original.encode())]
    return Outgoing(letter.of, letter.key, letter.value, headers)


def write_back(kafka: KafkaSettings, letters: Iterable[Letter]) -> None:
    """Returns when the broker has them all. Raises: `FatalError` as `Writer`."""
    writer = Writer(kafka, delivery_timeout_s=SILENT_S)
    writer.write([put_back(each) for each in letters])
    writer.flush()


# --- deleting ---------------------------------------------------------------------------------------------------------


def delete_letters(kafka: KafkaSettings, purges: Iterable[Purge]) -> None:
    """Deletes what lies before each purge's offset.

    Raises: `ConfigError` where the broker deletes nothing or this user may not, `DependencyError`.
    """
    if kafka.embedded:
        raise ConfigError(
            "the embedded broker deletes no records", remedy="it forgets them all when it ends; Kafka deletes them"
        )
    admin = Administrator(kafka)
    places = [TopicPartition(purge.topic, purge.partition, purge.before) for purge in purges]
    if places:
        for future in admin.client.delete_records(places, request_timeout=admin.timeout_s).values():
            admin.result(future, "delete records of a dead-letter topic")
