"""Topics on a broker: created as `functions/topics.py` declares them, never changed behind anybody's back."""

from collections.abc import Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.cimpl import KafkaError

from connectors.errors import ConfigError, DependencyError
from connectors.kafka.client import MAX_MESSAGE_BYTES, client_config, down
from connectors.logging import logger
from connectors.settings import KafkaSettings
from functions.topics import Topic

_DEFAULT_OF_THE_BROKER = -1  # replication: one broker on a laptop, three in production


def topic_configuration(topic: Topic) -> dict[str, str]:
    """Kafka's names and values for what a topic declares.

    A compacted topic of events keeps each of them for its retention, so that a recovery sees what was decided upon;
    one of snapshots keeps the newest alone, in segments small enough to be compacted soon.
    """
    config = {"cleanup.policy": topic.cleanup, "max.message.bytes": str(MAX_MESSAGE_BYTES)}
    if topic.cleanup == "delete":
        return config | {"retention.ms": str(topic.retention_ms)}
    if topic.payloads:
        return config | {"min.compaction.lag.ms": str(topic.retention_ms)}
    return config | {
        "segment.bytes": str(2 * MAX_MESSAGE_BYTES),
        "segment.ms": "600000",
        "min.cleanable.dirty.ratio": "0.1",
    }


def ensure_topics(kafka: KafkaSettings, topics: Sequence[Topic], *, timeout_s: float = 30) -> list[str]:
    """Creates the topics that the broker does not have and returns their names; those it has must fit.

    Raises: `DependencyError` where the broker does not answer or refuses (the embedded one has all its topics from the
    start); `ConfigError` where a topic has another number of partitions, as its keys would move.
    """
    admin = AdminClient(client_config(kafka) | {"error_cb": lambda error: None})
    try:
        known = admin.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise down(kafka, timeout_s, error.args[0].str()) from error
    for topic in topics:
        found = len(known[topic.name].partitions) if topic.name in known else topic.partitions
        if found != topic.partitions:
            raise ConfigError(
                f"topic {topic.name} has {found} partitions, declared are {topic.partitions}",
                remedy="keys would move between partitions: create it anew and replay, or correct functions/topics.py",
            )
    missing = [topic for topic in topics if topic.name not in known]
    if missing and kafka.embedded:
        names = ", ".join(topic.name for topic in missing)
        raise DependencyError(
            f"the embedded broker has no topic {names}", remedy="start it with --brokers naming every active broker"
        )
    _create(admin, missing, timeout_s)
    return [topic.name for topic in missing]


def _create(admin: AdminClient, topics: list[Topic], timeout_s: float) -> None:
    if not topics:
        return
    wanted = [
        NewTopic(
            topic.name, num_partitions=topic.partitions, replication_factor=_DEFAULT_OF_THE_BROKER,
            config=topic_configuration(topic),
        )
        for topic in topics
    ]  # fmt: skip
    for name, created in admin.create_topics(wanted, operation_timeout=timeout_s, request_timeout=timeout_s).items():
        try:
            created.result(timeout_s)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else deploys too
                continue
            raise DependencyError(
                f"topic {name} could not be created: {error.args[0].str()}",
                remedy="check that this user may create topics and that the broker accepts the configuration",
            ) from error
        logger().info("kafka.topic_created", topic=name)
