"""Alerts of a process that is no Bytewax flow, on their way to the log.

Promise: in the order given, each once; nobody waits for the broker while it is away: an alert is kept in memory for up to
a week. What the broker refuses ends the process, with the reason.
"""

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.errors import ConfigError, DependencyError, PipelineError
from connectors.kafka.client import Reachability, producer_config
from connectors.logging import logger
from connectors.settings import KafkaSettings
from functions.codec import encode, envelope
from functions.events import SystemAlert
from functions.ids import event_id
from functions.numbering import BROKER
from functions.topics import SYSTEM_ALERTS

KEPT_S: Final = 7 * 86_400.0
LEAVE_S: Final = 5.0  # how long the end waits for the broker to take what is left
_NOT_ALLOWED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})


class Alerts:
    """What one process has to say to humans. `source` is its flow, and the key of its alerts.

    `unwritten` are alerts that another user could not write; they come first. Where the broker does not let this user in,
    alerts wait, as the user may be made yet; with `wants_entry` that is a refusal.
    """

    def __init__(
        self, kafka: KafkaSettings, source: str, *, unwritten: Sequence[bytes] = (), wants_entry: bool = False
    ) -> None:
        self._source = source
        self._wants_entry = wants_entry
        self._unwritten: list[bytes] = []  # in their order, as records
        self._user = kafka.username
        self._refused: PipelineError | None = None
        self._reachability = Reachability(kafka, "alerts")
        self._producer = Producer(
            producer_config(kafka, linger_ms=0, delivery_timeout_s=KEPT_S)
            | {
                "error_cb": self._note_error,
                "on_delivery": self._delivered,
                "delivery.report.only.error": False,
            }
        )
        for record in unwritten:
            self._produce(record)

    def __enter__(self) -> "Alerts":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def write(self, alert: SystemAlert) -> None:
        """Hands an alert to the producer and returns at once."""
        now = time.time_ns()
        id = event_id(now, f"{self._source}:{alert.subject}", alert.code)
        self._produce(encode(envelope(alert, id=id, time_ns=now, source=self._source, broker=BROKER)))
        self._take_answers()

    def _produce(self, record: bytes) -> None:
        self._unwritten.append(record)
        try:
            self._producer.produce(SYSTEM_ALERTS.name, record, self._source.encode())
        except (KafkaException, BufferError) as error:
            self._fail(str(error))

    def check(self) -> None:
        """Takes what the broker has said meanwhile.

        Raises: `ConfigError` where this user may not write alerts (with `wants_entry`: or is not let in), `DependencyError`
        where one was refused otherwise.
        """
        self._take_answers()
        if self._refused is not None:
            raise self._refused

    def give_up(self) -> list[bytes]:
        """Ends without waiting; returns the alerts that the broker has not taken, as records, each with its id."""
        unwritten = list(self._unwritten)
        self._producer.purge()
        self._reachability.leave()
        return unwritten

    def close(self) -> None:
        """Waits a few seconds for the broker; what it has not taken then is in the log of this process alone."""
        try:
            unwritten = self._producer.flush(LEAVE_S)
        except KafkaException as error:
            self._reachability.reason = error.args[0].str()
            unwritten = len(self._producer)
        self._reachability.leave()
        if unwritten:
            logger().error("alerts.unwritten", alerts=unwritten, reason=self._reachability.reason)

    def _take_answers(self) -> None:
        """After an error that it calls fatal the client raises, here and from then on: that is an answer too."""
        try:
            self._producer.poll(0)
        except KafkaException as error:
            self._refuse(error.args[0])

    def _note_error(self, error: KafkaError) -> None:
        if not len(self._producer):  # with nothing to write a closed connection is no news
            return
        if self._wants_entry and error.code() == KafkaError._AUTHENTICATION:
            self._refused = self._refused or ConfigError(
                f"Kafka does not let user {self._user!r} in: {error.str()}", remedy="run: panda deploy apply"
            )
        else:
            self._reachability.on_error(error)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            record = message.value()
            if record in self._unwritten:
                self._unwritten.remove(record)
            self._reachability.answered()
        else:
            self._refuse(error)

    def _refuse(self, error: KafkaError) -> None:
        if error.code() in _NOT_ALLOWED:
            self._refused = self._refused or ConfigError(
                f"Kafka user {self._user!r} may not write {SYSTEM_ALERTS.name}", remedy="run: panda deploy apply"
            )
        else:
            self._fail(error.str())

    def _fail(self, reason: str) -> None:
        self._refused = self._refused or DependencyError(
            f"an alert of {self._source} could not be written to {SYSTEM_ALERTS.name}: {reason}",
            remedy="look at the broker's log; the alert is in the log of this process",
        )
