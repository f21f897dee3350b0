"""Kafka clients: how they connect, and how they say, once, that the broker does not answer.

librdkafka reconnects by itself and for ever; what is ours is to notice, to say so, and to go on.
"""

import logging
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.cimpl import Consumer

from connectors.dependencies import Circuit
from connectors.errors import DependencyError, RetryableError
from connectors.heartbeat import beat
from connectors.settings import KafkaSettings

START_S: Final = 10.0  # a broker that has not answered by then is reported as down
SILENCE_S: Final = 6.0  # a running client takes a request without an answer for this long as a lost connection
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024  # a snapshot is one record
QUEUED_KBYTES: Final = 64 * 1024  # of memory, for what the broker has not acknowledged; then a writer waits
READER_GROUP: Final = (
    "panda-reader"  # librdkafka wants a name, and the broker a right to it, where nothing is committed
)

# What librdkafka reports while it cannot talk to any broker. Single connections come and go unmentioned.
_UNREACHABLE: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
    }
)

_library_log = logging.getLogger("librdkafka")
_library_log.setLevel(logging.CRITICAL)  # the same connection errors, once per attempt: `Reachability` says them once


def client_config(kafka: KafkaSettings) -> dict[str, Any]:
    """What every client of this broker is configured with."""
    config: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap,
        "security.protocol": kafka.security_protocol,
        "socket.timeout.ms": int(SILENCE_S * 1000),
        "socket.nagle.disable": True,
        "reconnect.backoff.max.ms": 1_000,
        # A broker that Kafka has fenced (it stood still for longer than its session) names no broker in its first answers:
        # clients drop it, and find it again only by its address. The embedded broker always names itself; there a pause
        # would once in a while leave partitions without a broker.
        "metadata.recovery.strategy": "none" if kafka.embedded else "rebootstrap",
        "topic.metadata.refresh.interval.ms": 3_000,  # else a producer looks for a leader that had gone after 300 s
        "logger": _library_log,
    }
    if kafka.security_protocol.startswith("SASL"):
        config["sasl.mechanisms"] = kafka.sasl_mechanism
        config["sasl.username"] = kafka.username
        config["sasl.password"] = kafka.password.get_secret_value()
    return config


def consumer_config(kafka: KafkaSettings, group: str) -> dict[str, Any]:
    """A consumer that is told its partitions and its offsets, and never jumps over what it missed.

    The embedded broker does not wake a waiting fetch when data arrives, so there the wait is the latency.
    """
    return client_config(kafka) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 1 if kafka.embedded else 100,
        "fetch.error.backoff.ms": 100,
        "fetch.queue.backoff.ms": 10,
        "queued.max.messages.kbytes": 4_096,  # of memory, for what has been fetched and not yet read
        "max.partition.fetch.bytes": 262_144,  # a larger record comes all the same, alone
    }


def feed_linger_ms(kafka: KafkaSettings, *, hurries: bool) -> float:
    """How long a feed's record waits for company of its partition: ticks of the market's own pace wait for none.

    The embedded broker walks all record sets of a partition to find an offset, so there two ticks of one set halve both
    the sets and the walks: at 2000 ticks/s it else falls behind within half a minute.
    """
    return 5.5 if kafka.embedded else 5.0 if hurries else 0.0


def producer_config(kafka: KafkaSettings, *, linger_ms: float, delivery_timeout_s: float) -> dict[str, Any]:
    """An idempotent producer that stops at the first record it cannot deliver, and has Java's partitions for keys.

    The embedded broker would keep a record twice that is sent again because its answer was late: there a request may
    take as long as its records.
    """
    patience = {"socket.timeout.ms": min(int(delivery_timeout_s * 1000), 300_000)} if kafka.embedded else {}
    return (
        client_config(kafka)
        | patience
        | {
            "acks": "all",
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,
            "partitioner": "murmur2_random",
            "linger.ms": linger_ms,
            # single records gain nothing; the embedded broker keeps 5 MiB a partition, as compressed
            "compression.type": "lz4" if linger_ms or kafka.embedded else "none",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "queue.buffering.max.kbytes": QUEUED_KBYTES,
            "delivery.timeout.ms": int(delivery_timeout_s * 1000),
            "delivery.report.only.error": True,
        }
    )


class Reachability:
    """Says once that the broker does not answer, and once that it does again. `client` is who says it.

    Its circuit is told, not asked through: librdkafka tries again by itself, with longer and longer pauses.
    """

    def __init__(self, kafka: KafkaSettings, client: str) -> None:
        facts = {"bootstrap": kafka.bootstrap, "client": client}
        self._circuit = Circuit(f"kafka ({client})", "kafka.unreachable", "kafka.reachable", facts)
        self.reason = "no answer"

    @property
    def lost(self) -> bool:
        return self._circuit.state != "closed"

    def on_error(self, error: KafkaError) -> None:
        """For librdkafka's `error_cb`; called within poll, consume and flush."""
        if error.code() not in _UNREACHABLE:
            if not self.lost:
                self.reason = error.str()
            return
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.reason = error.str()
        self.silent(self.reason)

    def silent(self, reason: str) -> None:
        """The broker does not answer this client. Whoever says it in a loop lives, and waits."""
        beat()
        self._circuit.open(reason)

    def answered(self) -> None:
        """The broker has answered this client."""
        self._circuit.answered()

    def leave(self) -> None:
        """This client is no more."""
        self._circuit.leave()


def down(kafka: KafkaSettings, waited_s: float, reason: str) -> DependencyError:
    """The error for a broker that does not answer, or that answers with a refusal of what our user asked for."""
    if reason.endswith("authorization failed"):
        return RetryableError(
            f"Kafka at {kafka.bootstrap} refuses user {kafka.username!r}: {reason}",
            remedy="see what rights are missing with `panda deploy plan`, and give them back with `panda deploy apply`",
        )
    return RetryableError(
        f"Kafka at {kafka.bootstrap} did not answer for {waited_s:g} s: {reason}",
        remedy="start the broker (`just up`, or `panda demo` for the embedded one), or correct PANDA_KAFKA__BOOTSTRAP",
    )


def partitions(
    consumer: Consumer, kafka: KafkaSettings, topics: list[str], patience_s: float | None = None
) -> list[TopicPartition]:
    """All partitions of some topics; `START_S` is the patience if none is given.

    Raises: `DependencyError` where the broker does not answer or does not have a topic.
    """
    patience_s = START_S if patience_s is None else patience_s
    try:
        # All topics are asked for: the embedded broker would create a single one that it is asked about.
        known = consumer.list_topics(timeout=patience_s).topics
    except KafkaException as error:
        raise down(kafka, patience_s, error.args[0].str()) from error
    missing = [topic for topic in topics if topic not in known or not known[topic].partitions]
    if missing:
        raise DependencyError(
            f"Kafka at {kafka.bootstrap} has no topic {', '.join(missing)}",
            remedy="create the topics: `panda deploy apply`",
        )
    return [TopicPartition(topic, number) for topic in topics for number in sorted(known[topic].partitions)]
