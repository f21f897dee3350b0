"""Reading the log: one consumer for all partitions of all topics of a flow.

The source assigns partitions itself and starts where it is told; there is no group to rebalance. It never jumps over
records that retention has eaten. A broker that is gone is waited for. What a flow has read and its sinks have written
is mirrored to a consumer group, so that tools for Kafka can show its lag; nothing here reads that mirror back. While a
flow runs, the mirror is an epoch behind; `mirror_ended` brings it up to the end after a flow has ended well.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.cimpl import Consumer

from connectors.dependencies import kind_of
from connectors.errors import FatalError, PipelineError
from connectors.heartbeat import beat
from connectors.kafka import client
from connectors.kafka.client import READER_GROUP, START_S, Reachability, consumer_config, down, partitions
from connectors.kafka.records import Record
from connectors.logging import logger
from connectors.settings import KafkaSettings

Positions = dict[tuple[str, int], int]  # (topic, partition) -> offset of the next record

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
BATCH: Final = 1_000  # records; ten times as many take longer each, as they do not stay in the processor's cache
POLL_S: Final = 0.01  # a flow has other work: epochs to close, a stop to notice
PROBE_S: Final = 0.5
ASKED_S: Final = 1.0  # a broker that takes longer to say what topics it has counts as away
SILENT_READ_S: Final = 30.0
LOOK_S: Final = 5.0  # between two looks at whether all partitions are read, while there is a doubt
DOUBT_S: Final = 60.0  # for so long after an outage
LAST_MIRROR_S: Final = 5.0  # longer than this a stop does not wait for the group to know
_Received = Any  # a message that came from the broker: it has all that its type calls optional


class Reader:
    """One consumer over all partitions of some topics (`only` these, where given), from given positions on."""

    def __init__(
        self, kafka: KafkaSettings, topics: list[str], group: str, positions: Positions,
        only: set[tuple[str, int]] | None = None,
    ) -> None:  # fmt: skip
        self._kafka = kafka
        self._topics = topics
        self._group = group
        self._reachability = Reachability(kafka, f"source {group}")
        self._consumer = self._made()
        self._commit_failed = False
        self._asked_at = 0.0
        self._heard_at = time.monotonic()
        self.paused: set[tuple[str, int]] = set()  # partitions that are not read until they are resumed
        self._doubted_until = self._looked_at = 0.0
        self._last_look: tuple[Positions, Positions] = ({}, {})  # where the reading was then, and the ends
        self.positions: Positions = {}
        self.ahead: Positions = {}  # partitions that have not reached their end as of the start, and that end
        try:
            self._assign(topics, positions, only)
        except BaseException:
            self._consumer.close()
            raise

    def _made(self) -> Consumer:
        told = {"error_cb": self._reachability.on_error, "on_commit": self._note_commit}
        return Consumer(consumer_config(self._kafka, self._group) | told | {"max.poll.interval.ms": 86_400_000})

    def _assign(self, topics: list[str], positions: Positions, only: set[tuple[str, int]] | None) -> None:
        assigned = partitions(self._consumer, self._kafka, topics)
        if only is not None:
            assigned = [part for part in assigned if (part.topic, part.partition) in only]
        for part, (first, end) in zip(assigned, _bounds(self._consumer, self._kafka, assigned), strict=True):
            at = (part.topic, part.partition)
            position = positions.get(at, first)
            if not first <= position <= end:
                raise _lost(part.topic, part.partition, position, first, end)
            part.offset = self.positions[at] = position
            if position < end:
                self.ahead[at] = end
        self._consumer.assign(assigned)

    def read(self, limit: int, wait_s: float) -> list[Record]:
        """What is there, at most `limit` records; waits for the first no longer than `wait_s`.

        Raises: `FatalError` where the log no longer holds the next record, or a partition cannot be read.
        """
        beat()
        lost = self._reachability.lost
        if lost and time.monotonic() - self._asked_at >= PROBE_S:
            self._ask(0.1)
        elif time.monotonic() < self._doubted_until and time.monotonic() - self._looked_at >= LOOK_S:
            self._look()
        first = self._consumer.poll(wait_s)
        if first is None:
            if not lost and time.monotonic() - max(self._heard_at, self._asked_at) > client.SILENCE_S:
                self._ask(ASKED_S)
            return []
        self._heard_at = time.monotonic()
        messages = [first]
        if limit > 1:
            messages += self._consumer.consume(limit - 1, 0)
        return self._records(messages)

    def _records(self, messages: list[_Received]) -> list[Record]:
        records = []
        positions = self.positions
        for message in messages:
            error = message.error()
            if error is not None:
                self._judge(message, error)
                continue
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            records.append(Record(topic, partition, offset, message.key(), message.value(), message.headers()))
            positions[topic, partition] = offset + 1
        if self.ahead:
            self.ahead = {at: end for at, end in self.ahead.items() if positions[at] < end}
        return records

    def _judge(self, message: _Received, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            # Markers and compacted records take offsets that no message has: the end says where the reading is.
            at = (message.topic(), message.partition())
            self.positions[at] = max(self.positions[at], message.offset())
            return
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            part = TopicPartition(message.topic(), message.partition())
            (first, end), *_ = _bounds(self._consumer, self._kafka, [part])
            raise _lost(part.topic, part.partition, self.positions[part.topic, part.partition], first, end)
        if kind_of(error) == "transient":
            return
        raise FatalError(
            f"{message.topic()} [{message.partition()}] cannot be read: {error.str()}",
            remedy="check that the topic exists and that this flow may read it: `panda deploy plan`",
        )

    def _ask(self, patience_s: float) -> None:
        """Whether the broker is there: an idle log brings no message that tells, and librdkafka does not say every loss."""
        try:
            self._consumer.list_topics(timeout=patience_s)
            if self._reachability.lost:
                self._doubted_until = time.monotonic() + DOUBT_S
            self._reachability.answered()
        except KafkaException as error:
            self._reachability.silent(error.args[0].str())
        self._asked_at = time.monotonic()

    def _look(self) -> None:
        """Whether a partition stood still since the last look although it went on: then a new client reads from here.

        A broker that was away for longer than its own session comes back without leaders for a moment; librdkafka may never
        ask for those partitions again (its issue 5430).
        """
        self._looked_at = time.monotonic()
        before, ends = self._last_look
        still = [
            at for at, end in ends.items() if self.positions.get(at, end) == before[at] < end and at not in self.paused
        ]
        try:
            self._last_look = dict(self.positions), self._ends()
        except PipelineError:
            return  # it is away again, which is told elsewhere
        if still:
            logger().warning("kafka.reader_renewed", group=self._group, standing_still=len(still))
            self._renew()

    def _ends(self) -> Positions:
        """Asked by a client of its own, which knows nothing of before."""
        offsets = Offsets(self._kafka, self._group, self._topics, patience_s=ASKED_S)
        try:
            return {at: end for at, end in offsets.ends().items() if at in self.positions}
        finally:
            offsets.close()

    def _renew(self) -> None:
        given_up, self._consumer = self._consumer, self._made()
        self._consumer.assign([TopicPartition(*at, offset) for at, offset in self.positions.items()])
        self.pause(self.paused)
        given_up.close()

    def mirror(self, positions: Positions) -> None:
        """Tells the consumer group, without waiting for the answer."""
        if positions and not self._reachability.lost:
            offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in positions.items()]
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _note_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        if error is not None and not self._commit_failed:
            logger().warning("kafka.mirror_failed", reason=error.str(), meaning="lag tools show an old position")
        self._commit_failed = error is not None

    def pause(self, places: set[tuple[str, int]]) -> None:
        """Reads no more of these partitions until they are resumed; what has been fetched still comes."""
        self.paused = self.paused | places
        self._consumer.pause([TopicPartition(*at) for at in places])

    def resume(self, places: set[tuple[str, int]]) -> None:
        self.paused = self.paused - places
        self._consumer.resume([TopicPartition(*at) for at in places])

    def close(self) -> None:
        self._reachability.leave()
        self._consumer.close()


def _lost(topic: str, partition: int, position: int, first: int, end: int) -> FatalError:
    why = (
        f"retention has eaten the log: records {position} to {first - 1} are gone"
        if position < first
        else "the log was cut off or made anew"
    )
    return FatalError(
        f"{topic} [{partition}] cannot be read from offset {position}, it holds {first} to {end - 1}; {why}",
        remedy="the state before and the log after do not fit together: begin anew with an empty log, and keep more of it",
    )


_WITHOUT_LEADER: Final = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})


def _bounds(
    consumer: Consumer, kafka: KafkaSettings, parts: list[TopicPartition], patience_s: float | None = None
) -> list[tuple[int, int]]:
    """Offset of the first record and of the one after the last, for each partition.

    A topic made a moment ago has partitions without a leader: they are asked again.
    """
    patience_s = patience_s or START_S
    deadline = time.monotonic() + patience_s
    bounds: list[tuple[int, int]] = []
    while len(bounds) < len(parts):
        try:
            bounds.append(consumer.get_watermark_offsets(parts[len(bounds)], timeout=patience_s))
        except KafkaException as error:
            if error.args[0].code() not in _WITHOUT_LEADER or time.monotonic() > deadline:
                raise down(kafka, patience_s, error.args[0].str()) from error
            time.sleep(POLL_S)
    return bounds


# --- as a Bytewax source ----------------------------------------------------------------------------------------------


class _KafkaPartition(StatefulSourcePartition[tuple[str, list[Record]], None]):
    def __init__(self, source: "KafkaSource", reader: Reader, given: Positions) -> None:
        self._source = source
        self._reader = reader
        self._on_live = source.on_live
        self._item_at = time.monotonic()
        # What was read before a crash is behind us, and the group may not know: nothing may come any more to tell it.
        self._mirrored = {at: offset for at, offset in reader.positions.items() if at not in given}
        self._read_before = dict(reader.positions)  # at the end of the previous epoch

    def next_batch(self) -> list[tuple[str, list[Record]]]:
        source = self._source
        if not self._reader.ahead:
            self._live()
        if source.stop() or (source.until_end and not self._reader.ahead):
            _ended.append((source.kafka, source.group, self._unmirrored(self._reader.positions)))
            raise StopIteration
        records = self._reader.read(source.batch_size, source.poll_s)
        now = time.monotonic()
        if not records and now - self._item_at < source.heartbeat_s:
            return []
        self._item_at = now
        return [(source.key, records)]

    def _live(self) -> None:
        if self._on_live is not None:
            self._on_live, live = None, self._on_live
            live()

    def next_awake(self) -> datetime:
        """At once: `next_batch` waits by itself, and is woken by data, which Bytewax's pause would not be.

        That goes by the wall clock: a moment of now would be one to come, were the clock set back.
        """
        return LONG_AGO

    def snapshot(self) -> None:
        """Mirrors the previous epoch, whose writes the sinks have flushed; the state of a flow is not kept here."""
        changed = self._unmirrored(self._read_before)
        self._reader.mirror(changed)
        self._mirrored.update(changed)
        self._read_before = dict(self._reader.positions)

    def _unmirrored(self, positions: Positions) -> Positions:
        return {at: offset for at, offset in positions.items() if self._mirrored.get(at) != offset}

    def close(self) -> None:
        self._reader.close()


class KafkaSource(FixedPartitionedSource[tuple[str, list[Record]], None]):
    """All records of some topics, as items `(key, list[Record])` in the order in which they arrived.

    `positions` says where to start (asked at the start; a partition it leaves out starts at its first record).
    An item comes at least every `heartbeat_s`, empty when nothing has arrived, so that the steps behind get their turn.
    `stop` ends the source, `until_end` does when every partition has reached its end as of the start; `on_live` is
    called once, when they have.
    """

    def __init__(
        self, kafka: KafkaSettings, topics: list[str], *, group: str, key: str = "shard-0",
        positions: Callable[[], Positions] | None = None, batch_size: int = 1000, heartbeat_s: float = 0.25,
        stop: Callable[[], bool] = lambda: False, until_end: bool = False, on_live: Callable[[], None] | None = None,
        poll_s: float = POLL_S,
    ) -> None:  # fmt: skip
        self.kafka = kafka
        self.topics = list(dict.fromkeys(topics))
        self.group = group
        self.key = key
        self.positions = positions
        self.batch_size = batch_size
        self.heartbeat_s = heartbeat_s
        self.stop = stop
        self.until_end = until_end
        self.on_live = on_live
        self.poll_s = poll_s

    def list_parts(self) -> list[str]:
        return ["log"]

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _KafkaPartition:
        positions = self.positions() if self.positions is not None else {}
        return _KafkaPartition(self, Reader(self.kafka, self.topics, self.group, positions), positions)


_ended: Final[list[tuple[KafkaSettings, str, Positions]]] = []  # what sources had read when they were asked to stop


def mirror_ended() -> None:
    """Tells the groups of all sources that have ended how far they read: for after a flow, when its sinks have flushed.

    A broker that does not answer within 5 s is said and left: the mirror is for tools, no flow starts from it.
    """
    while _ended:
        kafka, group, positions = _ended.pop()
        if positions:
            _mirror_now(kafka, group, positions)


def _mirror_now(kafka: KafkaSettings, group: str, positions: Positions) -> None:
    answers: list[KafkaError | None] = []
    consumer = Consumer(
        consumer_config(kafka, group)
        | {"error_cb": lambda error: None, "on_commit": lambda error, offsets: answers.append(error)}
    )
    try:
        offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in positions.items()]
        consumer.commit(offsets=offsets, asynchronous=True)
        deadline = time.monotonic() + LAST_MIRROR_S
        while not answers and time.monotonic() < deadline:
            beat()
            consumer.poll(POLL_S)
        reason = answers[0].str() if answers and answers[0] else "" if answers else "no answer"
    except KafkaException as error:
        reason = error.args[0].str()
    finally:
        consumer.close()
    if reason:
        logger().warning("kafka.mirror_failed", group=group, reason=reason, meaning="lag tools show an old position")


# --- without a flow ---------------------------------------------------------------------------------------------------


def fetch_all(
    kafka: KafkaSettings, topics: list[str], positions: Positions | None = None, *, only: set[tuple[str, int]] | None = None
) -> Iterator[Record]:  # fmt: skip
    """Every record of some topics (`only` of these partitions) up to their ends as of now, in each partition's order.

    Raises: `DependencyError` where the broker stays silent, `FatalError` as `Reader`.
    """
    reader = Reader(kafka, topics, READER_GROUP, positions or {}, only)
    try:
        ends = dict(reader.ahead)
        heard = time.monotonic()
        while reader.ahead:
            records = reader.read(BATCH, 0.05)
            if records:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENT_READ_S:
                raise down(kafka, SILENT_READ_S, f"{len(reader.ahead)} partitions not read to their end")
            yield from (record for record in records if record.offset < ends.get(record[:2], 0))
    finally:
        reader.close()


def first_offsets(kafka: KafkaSettings, topics: list[str]) -> Positions:
    """The first offset that the log still has of each partition. Raises: `DependencyError`."""
    consumer = Consumer(consumer_config(kafka, READER_GROUP) | {"error_cb": lambda error: None})
    try:
        parts = partitions(consumer, kafka, topics)
        bounds = _bounds(consumer, kafka, parts)
        return {(part.topic, part.partition): first for part, (first, _) in zip(parts, bounds, strict=True)}
    finally:
        consumer.close()


class Offsets:
    """Where topics end and how far groups have read; holds a connection, for repeated questions.

    A broker that has not answered one within `patience_s` counts as down.
    """

    def __init__(self, kafka: KafkaSettings, group: str, topics: list[str], *, patience_s: float | None = None) -> None:
        self._kafka = kafka
        self._patience_s = patience_s
        self._consumer = Consumer(consumer_config(kafka, group) | {"error_cb": lambda error: None})
        try:
            self._parts = partitions(self._consumer, kafka, topics, self._patience_s)
        except BaseException:
            self.close()
            raise

    def ends(self) -> Positions:
        """The offset after the last record of each partition."""
        bounds = _bounds(self._consumer, self._kafka, self._parts, self._patience_s)
        return {(part.topic, part.partition): end for part, (_, end) in zip(self._parts, bounds, strict=True)}

    def committed(self) -> Positions:
        """What the group has mirrored; partitions of which it never has are left out."""
        try:
            parts = self._consumer.committed(self._parts, timeout=self._patience_s or START_S)
        except KafkaException as error:
            raise down(self._kafka, self._patience_s or START_S, error.args[0].str()) from error
        return {(part.topic, part.partition): part.offset for part in parts if part.offset >= 0}

    def close(self) -> None:
        self._consumer.close()


def end_offsets(kafka: KafkaSettings, topics: list[str]) -> Positions:
    """The offset after the last record of each partition of some topics, now."""
    offsets = Offsets(kafka, READER_GROUP, topics)
    try:
        return offsets.ends()
    finally:
        offsets.close()


def committed(kafka: KafkaSettings, group: str, topics: list[str]) -> Positions:
    """How far a group has read some topics; empty where there is no such group."""
    offsets = Offsets(kafka, group, topics)
    try:
        return offsets.committed()
    finally:
        offsets.close()
