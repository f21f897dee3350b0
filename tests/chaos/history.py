"""A history: everything that lies on the log when all is over, and what the journal says that it has to be.

log ─► records by topic and partition ─┬─► lines that count ─► folded anew ─► what should have been written
                                       └─► second copies dropped          ─► what was
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import msgspec

from connectors.errors import PipelineError
from connectors.kafka.records import Record, Writable
from connectors.kafka.source import fetch_all
from connectors.settings import KafkaSettings
from dataflows.rebuilding import differences
from dataflows.recovery import Fold, at_opening
from functions.assignment import Seat
from functions.codec import decode
from functions.events import EventEnvelope
from functions.journal import (
    MARK,
    Copies,
    Entry,
    Line,
    Opening,
    Snapshot,
    Start,
    Suspension,
    decode_line,
    decode_snapshot,
    mark_prefix,
    marks,
    standing,
)
from functions.topics import PIPELINE_JOURNAL, PIPELINE_SNAPSHOTS, all_topics, decided

BROKER: Final = "paper"
Place = tuple[str, int]  # topic, partition


class Due(NamedTuple):
    """An output that an entry leads to."""

    mark: bytes
    topic: str
    key: bytes | None
    value: bytes | None


class Told(NamedTuple):
    """An event of one worker, read; events sort by their marks as they were decided."""

    mark: bytes
    topic: str
    event: EventEnvelope[Any]


@dataclass
class Refolded:
    """One shard's journal, folded anew from its first opening: what it leads to, and what is wrong with it."""

    first: Snapshot | None = None
    due: list[Due] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unlike: list[str] | None = (
        None  # parts of the newest snapshot that are not what the journal leads to; None: there is none
    )
    capital: dict[str, str] = field(default_factory=dict)


@dataclass
class History:
    """The log of a finished run; `copies_count` leaves second copies in, as a reader without the filter has them."""

    records: dict[str, list[Record]]  # by topic, each partition in its order
    seats: list[Seat]
    copies_count: bool = False

    @classmethod
    def read(cls, kafka: KafkaSettings, seats: list[Seat], **more: Any) -> "History":
        """Everything on the log."""
        names = [topic.name for topic in all_topics((BROKER,))]
        records: dict[str, list[Record]] = {name: [] for name in names}
        for record in fetch_all(kafka, names):
            records[record.topic].append(record)
        return cls(records, seats, **more)

    # --- what the journal says ----------------------------------------------------------------------------------------

    def lines(self, seat: Seat) -> list[tuple[int, Line]]:
        """The lines of a shard that count, with their offsets."""
        key = seat.key(BROKER).encode()
        mine = [r for r in self.records[PIPELINE_JOURNAL.name] if r.key == key]
        return standing([(r.offset, decode_line(r.value or b"")) for r in mine], -1)

    def snapshot(self, seat: Seat) -> Snapshot | None:
        """The newest of a shard."""
        key = seat.key(BROKER).encode()
        values = [r.value for r in self.records[PIPELINE_SNAPSHOTS.name] if r.key == key]
        return decode_snapshot(values[-1]) if values and values[-1] is not None else None

    @cached_property
    def places(self) -> dict[Place, dict[int, Record]]:
        """Every record by topic, partition and offset."""
        places: dict[Place, dict[int, Record]] = defaultdict(dict)
        for records in self.records.values():
            for record in records:
                places[record.topic, record.partition][record.offset] = record
        return places

    def run(self, topic: str, partition: int, first: int, last: int) -> list[Record]:
        """The records of one run, as far as they are there."""
        there = self.places[topic, partition]
        return [there[offset] for offset in range(first, last + 1) if offset in there]

    @cached_property
    def refolded(self) -> dict[Seat, Refolded]:
        """Every shard's journal, folded anew."""
        return {seat: self._fold(seat) for seat in self.seats}

    def _fold(self, seat: Seat) -> Refolded:
        told = Refolded()
        newest = self.snapshot(seat)
        fold: Fold | None = None
        try:
            for at, line in self.lines(seat):
                if fold is not None and newest is not None and told.unlike is None and newest.journal <= at:
                    told.unlike = differences(fold, newest)
                fold = self._next(told, seat, fold, at, line)
            if fold is not None and newest is not None and told.unlike is None:
                told.unlike = differences(fold, newest)
        except (PipelineError, msgspec.DecodeError, KeyError, ValueError) as error:
            told.faults.append(f"shard {seat}: the journal cannot be folded: {error}")
        return told

    def _next(self, told: Refolded, seat: Seat, fold: Fold | None, at: int, line: Line) -> Fold | None:
        if fold is None:
            if isinstance(line, Entry | Suspension):
                told.faults.append(f"shard {seat}: entry {at} before any opening")
            if not isinstance(line, Opening):
                return None
            told.first = at_opening(at, line)
            fold = Fold(told.first, BROKER, seat.key(BROKER), seat, self.run)
            told.capital = {account.account: account.capital for account in fold.made.desk.made_of.accounts}
        elif isinstance(line, Start):
            fold.topics = line.topics
        elif isinstance(line, Opening):
            fold.opening(at, line)
        else:
            events = fold.suspension(at, line) if isinstance(line, Suspension) else fold.entry(at, line)
            told.due += _due(seat, at, events)
        return fold

    # --- what was written ---------------------------------------------------------------------------------------------

    @cached_property
    def written(self) -> list[tuple[bytes, Record]]:
        """All outputs with their marks (none: empty), partition by partition in order, as a reader gets them."""
        copies = Copies()
        return [
            (mark_of(record), record)
            for topic in decided(BROKER)
            for record in self.records.get(topic.name, [])
            if self.copies_count or not copies.is_copy(record.topic, record.partition, record.headers)
        ]

    @cached_property
    def events(self) -> dict[str, list[Told]]:
        """The events of each worker as they were decided."""
        told: dict[str, list[Told]] = defaultdict(list)
        for mark, record in self.written:
            if record.value is not None and not record.topic.endswith(".dlq"):
                told[worker_of(mark)].append(Told(mark, record.topic, decode(record.value)))
        return {worker: sorted(events, key=lambda one: one.mark) for worker, events in told.items()}

    def every_event(self) -> Iterator[Told]:
        for events in self.events.values():
            yield from events


def mark_of(record: Record) -> bytes:
    return next((value for name, value in record.headers or () if name == MARK), b"")


def worker_of(mark: bytes) -> str:
    return mark.rpartition(b"@")[0].decode()


def _due(seat: Seat, at: int, events: list[Writable]) -> list[Due]:
    ours = marks(mark_prefix(seat.key(BROKER), at), 0, len(events))
    return [Due(mark, topic, key, value) for mark, (topic, key, value, _) in zip(ours, events, strict=True)]
