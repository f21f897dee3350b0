"""Topics on a broker: what they are there, and made as `functions/topics.py` declares them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from confluent_kafka.cimpl import KafkaError

from connectors.errors import ConfigError, DependencyError
from connectors.kafka.access import topics_of
from connectors.kafka.admin import Administrator
from connectors.kafka.client import MAX_MESSAGE_BYTES
from connectors.logging import logger
from connectors.settings import KafkaSettings
from functions.topics import Topic

_DEFAULT_OF_THE_BROKER: Final = -1  # replication: one broker on a laptop, three in production


@dataclass(frozen=True)
class Found:
    """A topic as the broker has it. `values` holds every configuration key, `set_there` those that the topic itself sets."""

    partitions: int
    values: Mapping[str, str]
    set_there: frozenset[str] = field(default_factory=frozenset)


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


# --- looking ----------------------------------------------------------------------------------------------------------


def found_topics(admin: Administrator, names: Iterable[str]) -> dict[str, Found]:
    """Those of some topics that the broker has. Raises: `ConfigError`, `DependencyError`."""
    known = admin.partitions()
    there = _configurations(admin, sorted(known.keys() & set(names)))
    return {name: Found(known[name], values, set_there) for name, (values, set_there) in there.items()}


def _configurations(admin: Administrator, names: Sequence[str]) -> dict[str, tuple[dict[str, str], frozenset[str]]]:
    if not names:
        return {}
    asked = admin.client.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
    answered: dict[str, tuple[dict[str, str], frozenset[str]]] = {}
    for resource, future in asked.items():
        entries = admin.result(future, f"tell the configuration of topic {resource.name}")
        answered[resource.name] = (
            {key: entry.value for key, entry in entries.items()},
            frozenset(k for k, e in entries.items() if e.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value),
        )
    return answered


# --- making -----------------------------------------------------------------------------------------------------------


def create_topics(admin: Administrator, topics: Sequence[Topic]) -> None:
    """Creates topics and waits until they are there; one that somebody else creates meanwhile is left as it is."""
    if not topics:
        return
    wanted = [
        NewTopic(
            topic.name, num_partitions=topic.partitions, replication_factor=_DEFAULT_OF_THE_BROKER,
            config=topic_configuration(topic),
        )
        for topic in topics
    ]  # fmt: skip
    limit = admin.timeout_s
    for name, future in admin.client.create_topics(wanted, operation_timeout=limit, request_timeout=limit).items():
        error = admin.refusal(future, f"create topic {name}")
        if error is not None:
            if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else deploys too
                continue
            raise admin.meaning(error, f"create topic {name}")
        logger().info("kafka.topic_created", topic=name)
    names = {topic.name for topic in topics}
    admin.until(lambda: names <= admin.partitions().keys(), f"topics {', '.join(sorted(names))}")


def grow_topics(admin: Administrator, partitions: Mapping[str, int]) -> None:
    """Gives topics more partitions, to a total each, and waits until they have them."""
    if not partitions:
        return
    asked = admin.client.create_partitions([NewPartitions(name, total) for name, total in partitions.items()])
    for name, future in asked.items():
        admin.result(future, f"give topic {name} {partitions[name]} partitions")

    def grown() -> bool:
        known = admin.partitions()
        return all(known.get(name) == total for name, total in partitions.items())

    admin.until(grown, f"partitions of {', '.join(partitions)}")


def alter_topics(admin: Administrator, changes: Mapping[str, Mapping[str, str | None]]) -> None:
    """Sets configuration keys of topics; with None a key falls back to the broker's default. Waits until they are."""
    if not changes:
        return
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=[_alteration(k, v) for k, v in keys.items()])
        for name, keys in changes.items()
    ]
    for resource, future in admin.client.incremental_alter_configs(resources).items():
        admin.result(future, f"configure topic {resource.name}")

    def altered() -> bool:
        now = _configurations(admin, sorted(changes))
        return all(
            key not in now[name][1] if value is None else now[name][0].get(key) == value
            for name, keys in changes.items()
            for key, value in keys.items()
        )

    admin.until(altered, f"configuration of {', '.join(changes)}")


def _alteration(key: str, value: str | None) -> ConfigEntry:
    kind = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
    return ConfigEntry(key, value, incremental_operation=kind)


# --- at the start of a flow -------------------------------------------------------------------------------------------


def ensure_topics(kafka: KafkaSettings, topics: Sequence[Topic], *, timeout_s: float = 30) -> list[str]:
    """Creates the topics that the broker does not have and returns their names; those it has must fit.

    A flow that enters as its own user creates nothing and looks only at the topics that this user may see.

    Raises: `DependencyError` where the broker does not answer or refuses (the embedded one has all its topics from the
    start), or where a flow's user lacks one; `ConfigError` where a topic has another number of partitions, as its keys
    would move, and where user or password are refused.
    """
    admin = Administrator(kafka, timeout_s=timeout_s)
    known = admin.partitions()
    own = topics_of(kafka.username)
    looked_at = [topic for topic in topics if own is None or topic.name in own]
    for topic in looked_at:
        found = known.get(topic.name, topic.partitions)
        if found != topic.partitions:
            raise ConfigError(
                f"topic {topic.name} has {found} partitions, declared are {topic.partitions}",
                remedy="keys would move between partitions: create it anew and replay, or correct functions/topics.py",
            )
    missing = [topic for topic in looked_at if topic.name not in known]
    if missing and (kafka.embedded or own is not None):
        names = ", ".join(topic.name for topic in missing)
        raise DependencyError(
            f"the embedded broker has no topic {names}" if kafka.embedded
            else f"Kafka at {kafka.bootstrap} has no topic {names} that {kafka.username} may see",
            remedy="start it with --brokers naming every active broker" if kafka.embedded
            else "create topics and rights: `panda deploy apply`",
        )  # fmt: skip
    create_topics(admin, missing)
    return [topic.name for topic in missing]
