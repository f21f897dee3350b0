"""Writing to the log.

Promise: records reach each partition in the order given, each once; a flush returns when the broker has them all. A
record that cannot be delivered stops the flow with its topic, its key and the reason: nothing is dropped, and nothing
is written after it.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.errors import FatalError
from connectors.heartbeat import beat
from connectors.kafka import client
from connectors.kafka.client import Reachability, producer_config
from connectors.kafka.records import Outgoing, Writable
from connectors.settings import KafkaSettings

FULL_WAIT_S: Final = 0.05
COLLECT_S: Final = 1.0
_UNKNOWN: Final = "an unknown topic"


class Writer:
    """A producer that remembers its first failure and writes nothing after it."""

    def __init__(self, kafka: KafkaSettings, *, linger_ms: float = 0, delivery_timeout_s: float = 300) -> None:
        self._reachability = Reachability(kafka, "sink")
        self._failure: FatalError | None = None
        self._producer = Producer(
            producer_config(kafka, linger_ms=linger_ms, delivery_timeout_s=delivery_timeout_s)
            | {"error_cb": self._note_error, "on_delivery": self._note_failure}
        )

    def write(self, records: Sequence[Writable]) -> None:
        """Hands records to the producer; waits only where its queue is full.

        Raises: `FatalError` where one of them, or an earlier one, could not be delivered.
        """
        produce: Any = self._producer.produce  # its type asks for a list of optional headers
        for record in records:
            topic, key, value, headers = record
            while True:
                try:
                    if headers is None:
                        produce(topic, value, key)
                    else:
                        produce(topic, value, key, headers=headers)
                    break
                except BufferError:  # the queue is full: bounded memory while the broker is away
                    beat()
                    self._producer.poll(FULL_WAIT_S)
                    self._raise_failure()
                except KafkaException as error:
                    self._collect(error.args[0])
                    self._fail(topic, key, error.args[0])
                    self._raise_failure()
        self._producer.poll(0)
        self._raise_failure()

    def flush(self) -> None:
        """Returns when the broker has acknowledged everything written. Raises: `FatalError` as `write`."""
        began = time.monotonic()
        left = len(self._producer)
        try:
            while self._producer.flush(FULL_WAIT_S):
                self._raise_failure()
                before, left = left, len(self._producer)
                if left < before:
                    beat()
                if time.monotonic() - began > client.SILENCE_S:
                    self._reachability.silent(f"no acknowledgement for {client.SILENCE_S:g} s")
        except KafkaException as error:
            self._collect(error.args[0])
            self._fail(_UNKNOWN, None, error.args[0])
        self._raise_failure()
        if self._reachability.lost:
            self._reachability.answered()

    def _collect(self, error: KafkaError) -> None:
        """After a fatal error of the producer the records concerned report one by one; the first names the reason."""
        deadline = time.monotonic() + COLLECT_S
        while error.fatal() and self._failure is None and len(self._producer) and time.monotonic() < deadline:
            self._producer.poll(0.01)

    def _note_error(self, error: KafkaError) -> None:
        if len(self._producer):  # with nothing to write a closed connection is no news
            self._reachability.on_error(error)

    def _note_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._fail(message.topic() or _UNKNOWN, message.key(), error)

    def _fail(self, topic: str, key: bytes | None, error: KafkaError) -> None:
        if self._failure is None:
            name = "without a key" if key is None else f"with key {key.decode(errors='backslashreplace')!r}"
            self._failure = FatalError(
                f"a record {name} could not be written to {topic}: {error.str()}",
                remedy="nothing has been written after it; put the reason right, then start the flow again",
            )

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._producer.purge(in_queue=True, in_flight=False, blocking=False)
            raise self._failure


# --- as a Bytewax sink ------------------------------------------------------------------------------------------------


class _KafkaSinkPartition(StatefulSinkPartition[list[Outgoing], None]):
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write_batch(self, values: list[list[Outgoing]]) -> None:
        for records in values:
            self._writer.write(records)

    def snapshot(self) -> None:
        """The epoch may close when the broker has everything of it."""
        self._writer.flush()

    def close(self) -> None:
        """Nothing: Bytewax also closes while an exception unwinds, and after a doubt nothing more is written."""


class KafkaSink(FixedPartitionedSink[list[Outgoing], None]):
    """Writes items `(key, list[Outgoing])`; flushes once an epoch."""

    def __init__(self, kafka: KafkaSettings, *, linger_ms: float = 0, delivery_timeout_s: float = 300) -> None:
        self._kafka = kafka
        self._linger_ms = linger_ms
        self._delivery_timeout_s = delivery_timeout_s

    def list_parts(self) -> list[str]:
        return ["log"]

    def part_fn(self, item_key: str) -> int:
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _KafkaSinkPartition:
        return _KafkaSinkPartition(
            Writer(self._kafka, linger_ms=self._linger_ms, delivery_timeout_s=self._delivery_timeout_s)
        )
