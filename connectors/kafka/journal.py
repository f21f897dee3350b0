"""The decision log of one worker: nothing that it decided is visible before the order behind it is on the log.

Promise: an entry is acknowledged, at the offset that was due, before any of its outputs is handed to the producer. A gap
in front of it is read: where another worker of this shard has started meanwhile, this one stops and writes nothing more.
A snapshot is written when everything before it is acknowledged. After any doubt nothing more is written.

Nobody waits for an entry: a thread of its own hands its outputs on when it is acknowledged, in the order of the entries,
while the next batches are decided. A few may be under way; a cut waits for them all.

An output on a topic that is not this worker's to write stops it before anything of the batch is written: where a broker
asks nobody for rights, as the embedded one, this is the only lock.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from threading import Condition, Thread
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.cimpl import Consumer

from connectors.errors import FatalError
from connectors.faults import reached
from connectors.kafka import client
from connectors.kafka.client import Reachability, client_config, consumer_config, producer_config
from connectors.kafka.records import Outgoing, Record, Writable
from connectors.kafka.sink import Writer
from connectors.kafka.source import BATCH, Positions, Reader, fetch_all, first_offsets
from connectors.settings import KafkaSettings
from functions.journal import (
    MARK,
    Batch,
    Entry,
    Line,
    Opening,
    Snapshot,
    Start,
    Suspension,
    UnknownFormat,
    checksum,
    decode_line,
    encode_line,
    encode_snapshot,
    mark_prefix,
    marks,
)
from functions.topics import PIPELINE_JOURNAL, PIPELINE_SNAPSHOTS

UNDER_WAY: Final = 8  # entries that may wait for their acknowledgement
WAIT_S: Final = 0.05
LAST_S: Final = 1.0  # for the outputs in hand; a broker that is away takes none
REPLACED: Final = "nothing was written after it; one worker a shard: stop one of the two"
_JOURNAL: Final = PIPELINE_JOURNAL.name


class Replaced(FatalError):
    """Another worker of this shard has started: what this one would write is void."""


class DecisionLog:
    """Writes the journal of one shard, the outputs behind it, and its snapshots."""

    def __init__(
        self, kafka: KafkaSettings, key: str, partition: int, session: int, may_write: Iterable[str], *, linger_ms: float = 0
    ) -> None:  # fmt: skip
        """`may_write`: the topics of which this worker is a writer."""
        self.key = key
        self._may_write = frozenset(may_write)
        self.partition = partition
        self.session = session
        self.following = -1  # the offset that the next line is due to get
        self.tails: Positions = {}
        self._kafka = kafka
        self._writer = Writer(kafka, linger_ms=linger_ms)
        self._reachability = Reachability(kafka, "journal")
        self._producer = Producer(
            producer_config(kafka, linger_ms=0, delivery_timeout_s=300)
            | {"delivery.report.only.error": False, "error_cb": self._note_error}
        )
        self._waiting: deque[list[Writable]] = deque()  # outputs whose entry is under way
        self._answers: deque[tuple[KafkaError | None, int]] = deque()
        self._failure: BaseException | None = None
        self._publisher: Thread | None = None
        self._published = Condition()  # something has been handed on, or nothing will be any more
        self._ended = False
        self._ends: Ends | None = None

    # --- lines --------------------------------------------------------------------------------------------------------

    def start(self, topics: Sequence[str]) -> int:
        """Begins this session: from here on every other is void. Returns the offset of its first line."""
        at = self._append(Start(self.session, tuple(topics)))
        self.following = at + 1
        reached("started")
        return at

    def open(self, snapshot: bytes, *, anew: bool = False) -> int:
        """Writes the state from which this session goes on; returns the offset behind it."""
        self._due(self._append(Opening(self.session, snapshot, anew=anew)))
        return self.following

    def announce(self, events: Sequence[Writable]) -> None:
        """Writes what a human has done, which follows from no line; its ids tell a second writing. Raises: `FatalError`."""
        self._refuse_foreign(events)
        self._writer.write(events)
        self._writer.flush()

    def leave(self) -> None:
        """This shard is no more: a start finds no state of it, neither here nor among the snapshots."""
        self.open(b"", anew=True)
        self._writer.write([Outgoing(PIPELINE_SNAPSHOTS.name, self.key.encode(), None)])
        self.flush()

    def write(self, batches: Sequence[Batch], events: list[Writable]) -> None:
        """One entry and, once it is acknowledged, its outputs. Raises: `Replaced`, `FatalError`, here or in a later call."""
        self._refuse_foreign(events)
        entry = Entry(self.session, tuple(batches), len(events), checksum(event[2] for event in events))
        self._raise_failure()
        self._waiting.append(events)
        self._produce(encode_line(entry))
        if self._publisher is None:
            self._publisher = Thread(target=self._publish_on, name=f"journal {self.key}", daemon=True)
            self._publisher.start()
        self._until(UNDER_WAY - 1)

    def suspend(self, strategy: str, reason: str) -> int:
        """Writes that a strategy gets no more ticks, behind everything that has been decided, and waits for it.

        Returns the offset of the line. Raises: as `write`.
        """
        line = Suspension(self.session, strategy, reason)
        self._raise_failure()
        if self._publisher is None:
            self._due(self._append(line))
        else:
            self._waiting.append([])
            self._produce(encode_line(line))
        self.flush()
        return self.following - 1

    @property
    def ended(self) -> bool:
        """Whether nothing more is written."""
        return self._ended

    def settle(self) -> None:
        """Returns when every entry is acknowledged and its outputs are handed on. Raises: as `write`."""
        self._until(0)

    def close(self) -> None:
        """Writes nothing more, not even what is under way: a start completes it."""
        self._ended = True
        if self._publisher is not None:
            self._publisher.join(LAST_S)

    def republish(self, events: Sequence[Writable], offset: int, missing: Callable[[bytes], bool]) -> int:
        """Writes those outputs of an earlier entry that a crash has cut off; returns how many. Raises: `FatalError`."""
        self._refuse_foreign(events)
        left = [event for event in _marked(events, mark_prefix(self.key, offset)) if missing(event[3][-1][1])]
        if left:
            self._writer.write(left)
        return len(left)

    def flush(self) -> None:
        """Returns when the broker has acknowledged everything. Raises: as `write`."""
        self.settle()
        self._writer.flush()

    # --- snapshots ----------------------------------------------------------------------------------------------------

    def save(self, snapshot: Callable[[int, Positions], Snapshot]) -> None:
        """Writes what `snapshot(journal offset, tails)` makes, behind everything before it."""
        self.flush()
        reached("before_snapshot")
        if self._ends is None:
            self._ends = Ends(self._kafka, list(self.tails))
        made = snapshot(self.following, self.tails)
        self._writer.write([Outgoing(PIPELINE_SNAPSHOTS.name, self.key.encode(), encode_snapshot(made))])
        reached("after_snapshot")
        self.tails = self.tails | self._ends.answered()
        self._ends.ask()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _refuse_foreign(self, events: Sequence[Writable]) -> None:
        foreign = {event[0] for event in events} - self._may_write
        if foreign:
            raise FatalError(
                f"shard {self.key} would write to {', '.join(sorted(foreign))}, of which it is no writer",
                remedy="nothing of it was written; this is a fault of ours: keep the log, and report it with these lines",
            )

    def _append(self, line: Line) -> int:
        """Writes one line and waits; returns its offset. Before the first entry only: then answers are the publisher's."""
        self._produce(encode_line(line))
        self._await(1)
        error, offset = self._answers.popleft()
        if error is not None:
            raise self._doubt(error)
        return offset

    def _produce(self, value: bytes) -> None:
        try:
            self._producer.produce(
                _JOURNAL, value, self.key.encode(), partition=self.partition, on_delivery=self._note_answer
            )
        except (BufferError, KafkaException) as error:
            raise self._doubt(error) from error

    def _await(self, count: int) -> None:
        began = time.monotonic()
        while len(self._answers) < count:
            self._producer.poll(WAIT_S)
            if time.monotonic() - began > client.SILENCE_S:
                self._reachability.silent(f"no acknowledgement for {client.SILENCE_S:g} s")
        if self._reachability.lost:
            self._reachability.answered()

    def _until(self, most: int) -> None:
        """Returns when no more than so many entries are under way."""
        began = time.monotonic()
        with self._published:
            while len(self._waiting) > most and self._failure is None:
                self._published.wait(WAIT_S)
                if time.monotonic() - began > client.SILENCE_S:
                    self._reachability.silent(f"no acknowledgement for {client.SILENCE_S:g} s")
        self._raise_failure()
        if self._reachability.lost and not self._waiting:
            self._reachability.answered()

    def _publish_on(self) -> None:
        """The publisher: from the first entry to the end, or to the first failure, which the next call raises."""
        try:
            while not self._ended:
                self._producer.poll(WAIT_S)
                if self._answers:
                    self._publish()
                    with self._published:
                        self._published.notify_all()
        except KafkaException as error:  # so says a client that has had a fatal error
            self._doubt(error.args[0])
        except BaseException as error:  # whatever it is, the flow ends with it
            self._failure = error
        with self._published:
            self._published.notify_all()

    def _publish(self) -> None:
        """Hands on the outputs of every entry that is acknowledged; until they are, it counts as under way."""
        while self._answers and not self._ended:
            error, offset = self._answers.popleft()
            if error is not None:
                raise self._doubt(error)
            self._due(offset)
            events = _marked(self._waiting[0], mark_prefix(self.key, offset))
            reached("journalled")
            half = len(events) // 2
            if half:
                self._writer.write(events[:half])
                reached("half_written")
            self._writer.write(events[half:])
            reached("written")
            self._waiting.popleft()

    def _due(self, offset: int) -> None:
        """A line has got an offset; a foreign line in front of it is void unless it is a newer start."""
        first, self.following = self.following, offset + 1
        if offset == first:
            return
        for at, line in read_lines(self._kafka, self.key, self.partition, first, offset):
            if isinstance(line, Start):
                raise Replaced(
                    f"another worker of shard {self.key} has started at {_JOURNAL} [{self.partition}] offset {at}",
                    remedy=REPLACED,
                )

    def _doubt(self, error: object) -> FatalError:
        reason = error.str() if isinstance(error, KafkaError) else str(error)
        self._failure = doubt = FatalError(
            f"an entry of shard {self.key} could not be written to {_JOURNAL}: {reason}",
            remedy="nothing it led to has been written; put the reason right, then start the flow again",
        )
        return doubt

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _note_answer(self, error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        self._answers.append((error, -1 if offset is None else offset))

    def _note_error(self, error: KafkaError) -> None:
        if len(self._producer):  # with nothing to write a closed connection is no news
            self._reachability.on_error(error)


def _marked(events: Sequence[Writable], prefix: bytes) -> list[Any]:
    """Outputs with the header by which readers know a second copy."""
    return [
        (topic, key, value, [(MARK, mark)] if headers is None else [*headers, (MARK, mark)])
        for (topic, key, value, headers), mark in zip(events, marks(prefix, 0, len(events)), strict=True)
    ]


@cache
def _asking(kafka: KafkaSettings) -> AdminClient:
    """One client for each broker and user, until the process ends.

    Let go with a question under way it may be ended in librdkafka's own thread, and that aborts the process.
    """
    return AdminClient(client_config(kafka) | {"error_cb": lambda error: None})


class Ends:
    """Where topics end, asked without waiting: what was answered lies at or before the ends of now."""

    def __init__(self, kafka: KafkaSettings, places: list[tuple[str, int]]) -> None:
        self._admin = _asking(kafka)
        self._places = places
        self._asked: dict[TopicPartition, Any] = {}

    def ask(self) -> None:
        if self._places and all(future.done() for future in self._asked.values()):
            latest: Any = OffsetSpec.latest()  # its type says it may be none
            places = {TopicPartition(topic, number): latest for topic, number in self._places}
            self._asked = self._admin.list_offsets(places, request_timeout=client.START_S)

    def answered(self) -> Positions:
        """What has come so far; a partition whose end could not be had is left out."""
        return {
            (part.topic, part.partition): future.result().offset
            for part, future in self._asked.items()
            if future.done() and future.exception() is None
        }


# --- reading ----------------------------------------------------------------------------------------------------------


def partitions_of_journal(kafka: KafkaSettings) -> int:
    """How many partitions the journal's topic has. Raises: `DependencyError`."""
    consumer = Consumer(consumer_config(kafka, client.READER_GROUP) | {"error_cb": lambda error: None})
    try:
        return len(client.partitions(consumer, kafka, [_JOURNAL]))
    finally:
        consumer.close()


def journal_ends(kafka: KafkaSettings, partition: int) -> tuple[int, int]:
    """Offset of the first line there is and of the next to come. Raises: `DependencyError`."""
    consumer = Consumer(consumer_config(kafka, client.READER_GROUP) | {"error_cb": lambda error: None})
    try:
        return consumer.get_watermark_offsets(TopicPartition(_JOURNAL, partition), timeout=client.START_S)
    except KafkaException as error:
        raise client.down(kafka, client.START_S, error.args[0].str()) from error
    finally:
        consumer.close()


class Archived(Protocol):
    """Where records are that the log no longer has; `connectors.lake.records.LakeRecords` is one."""

    def first(self, topic: str, partition: int) -> int | None: ...

    def take(self, topic: str, partition: int, first: int, last: int) -> list[Record]: ...


def read_lines(
    kafka: KafkaSettings, key: str, partition: int, first: int, end: int, archive: Archived | None = None
) -> Iterator[tuple[int, Line]]:  # fmt: skip
    """Lines of one shard in `[first, end)` with their offsets; what the log no longer has, from the archive.

    Raises: `FatalError` where retention has eaten `first`, or where a line is of no version that this code knows.
    """
    if first >= end:
        return
    wanted = key.encode()
    for record in _records(kafka, partition, first, end, archive):
        if record.key != wanted:
            continue
        try:
            yield record.offset, decode_line(record.value or b"")
        except UnknownFormat as error:
            raise FatalError(
                f"{_JOURNAL} [{partition}] offset {record.offset}: {error}",
                remedy="start the version that wrote it, stop it with SIGTERM, then start this one",
            ) from error


def _records(
    kafka: KafkaSettings, partition: int, first: int, end: int, archive: Archived | None
) -> Iterator[Record]:  # fmt: skip
    if archive is not None:
        there, _ = journal_ends(kafka, partition)
        if first < there:
            yield from archive.take(_JOURNAL, partition, first, min(end, there) - 1)
            first = there
    for record in fetch_all(kafka, [_JOURNAL], {(_JOURNAL, partition): first}, only={(_JOURNAL, partition)}):
        if record.offset < end:
            yield record


class RunReader:
    """Records by the runs that name them, whatever order they arrive in; holds back partitions that run ahead."""

    MOST: Final = 20_000  # records of one partition that wait for their turn

    def __init__(
        self, kafka: KafkaSettings, topics: list[str], positions: Positions, archive: Archived | None = None
    ) -> None:  # fmt: skip
        self._archive = archive
        self._there: Positions = {}  # where the log begins; what is before comes from the archive
        if archive is not None:
            self._there = first_offsets(kafka, topics)
            positions = {at: max(offset, self._there.get(at, 0)) for at, offset in positions.items()}
        self._reader = Reader(kafka, topics, client.READER_GROUP, positions)
        self._kafka = kafka
        self._waiting: dict[tuple[str, int], deque[Record]] = {at: deque() for at in self._reader.positions}

    def take(self, topic: str, partition: int, first: int, last: int) -> list[Record]:
        """The records of one run. Raises: `FatalError` where the log no longer has it or the broker stays silent."""
        at = (topic, partition)
        there = self._there.get(at, 0)
        if self._archive is not None and first < there:
            earlier = self._archive.take(topic, partition, first, min(last, there - 1))
            return earlier + (self.take(topic, partition, there, last) if last >= there else [])
        waiting = self._waiting[at]
        heard = time.monotonic()
        while self._reader.positions[at] <= last:
            if self._read(at):
                heard = time.monotonic()
            elif time.monotonic() - heard > client.START_S:
                raise client.down(self._kafka, client.START_S, f"{topic} [{partition}] was not read up to {last}")
        taken: list[Record] = []
        while waiting and waiting[0].offset <= last:
            record = waiting.popleft()
            if record.offset >= first:
                taken.append(record)
        return taken

    def _read(self, wanted: tuple[str, int]) -> bool:
        ahead = {
            at for at, records in self._waiting.items() if len(records) > self.MOST and at != wanted
        } - self._reader.paused
        if ahead:
            self._reader.pause(ahead)
        if wanted in self._reader.paused:
            self._reader.resume({wanted})
        records = self._reader.read(BATCH, 0.02)
        for record in records:
            self._waiting[record.topic, record.partition].append(record)
        return bool(records)

    def close(self) -> None:
        self._reader.close()
