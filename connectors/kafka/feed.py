"""The pipeline's inputs: records of several topics, decoded, with market data in the feed's own order.

    KafkaSource ─► decode ─┬─► ticks and clocks ─► feed order ─► rows
                           ├─► undecodable, whole
                           └─► commands and configuration

One item is one `Received`, with the batch that the journal keeps of it: the same reads in the same order give the same
items again. A record that is held back for its turn is not yet handed out; a snapshot names it, so a restart reads it again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.kafka.records import Record
from connectors.logging import logger
from functions.codec import decode
from functions.events import EventEnvelope, MarketClock
from functions.journal import Batch, Runs, packed
from functions.ordering import UNORDERED, Integers, Ordered, Reorder
from functions.tape import Tape
from functions.ticks import CLOCK, NO_TICKS, TICK, UNREADABLE, Rows, pack
from functions.topics import MARKET_CLOCK, MARKET_TICKS, SHARED

Positions = dict[tuple[str, int], int]

GAP_S: Final = 2.0  # a number that has not come after this long is given up,
GAP_POLLS: Final = 200  # and after so many looks: a process that was itself held up has not looked
MAX_HELD: Final = 500_000

_LARGEST: Final = 2**63  # of what an array holds,
_LARGEST_NUMBER: Final = 2**62  # and of the feed's numbers, which are counted on from there
_TICKS: Final = MARKET_TICKS.name
_CLOCK: Final = MARKET_CLOCK.name
_MARKET: Final = (_TICKS, _CLOCK)
_DELETABLE: Final = frozenset(topic.name for topic in SHARED if topic.cleanup == "compact")

# fields of a record by their place: a column of a batch without a step of the interpreter
_TOPIC, _PLACE, _AT, _HEADERS = itemgetter(0), itemgetter(0, 1), itemgetter(0, 1, 2), itemgetter(5)


@dataclass(slots=True)
class Broken:
    """A record that nobody can read."""

    record: Record
    error: str
    message: str


@dataclass(slots=True)
class Marker:
    """A cut: the state after everything before it belongs to these positions, of which `held` waits for its turn."""

    positions: Positions
    session: int
    following: int
    final: bool = False
    held: Runs = field(default_factory=list)


@dataclass(slots=True)
class Received:
    """One batch of inputs; row k of `ticks` was decoded from `records[k]`."""

    ticks: Rows = field(default_factory=lambda: NO_TICKS)
    records: list[Record] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    events: list[tuple[Record, EventEnvelope[Any] | None]] = field(default_factory=list)  # None: deleted configuration
    marker: Marker | None = None
    batch: Batch | None = None  # what the journal keeps of it
    replayed: bool = False  # some of `records` may have been put back: their numbers have passed


class Decoded(NamedTuple):
    """Row k was decoded from record k."""

    rows: Rows
    records: list[Record]
    sessions: Integers
    sequences: Integers


class Decoder:
    """Records to rows and events; keeps what it cannot read."""

    def __init__(self, index_of: dict[int, int]) -> None:
        self._index_of = index_of.get
        self._tape = Tape(index_of)

    def ticks(self, records: list[Record], broken: list[Broken]) -> Decoded:
        """TICK and CLOCK rows with their records, sessions and sequences; undecodable records go to `broken`."""
        raws = [r.value or b"" for r in records]
        for n in _places(list(map(_TOPIC, records)), _CLOCK):
            raws[n] = b""  # no tick, whatever it looks like
        read = self._tape.read(raws)
        decoded = Decoded(read.rows, records, read.sessions, read.sequences)
        if read.count == len(records):
            return decoded
        kept = read.ours | self._others(decoded, np.flatnonzero(~read.ours).tolist(), broken)
        if kept.all():
            return decoded
        left = np.flatnonzero(kept)
        return Decoded(
            read.rows[left], [records[n] for n in left.tolist()], read.sessions[left], read.sequences[left]
        )  # fmt: skip

    def _others(self, decoded: Decoded, places: list[int], broken: list[Broken]) -> npt.NDArray[np.bool_]:
        """Which of the records that the tape leaves to us could be decoded; their rows are then written."""
        kept = np.zeros(len(decoded.records), np.bool_)
        ticks = [n for n in places if decoded.records[n].topic == _TICKS]
        try:
            self._pack(decoded, ticks)
            kept[ticks] = True
            places = [n for n in places if not kept[n]]
        except UNREADABLE:  # one of them is; the others go one by one
            pass
        for n in places:
            kept[n] = self._one(decoded, n, broken)
        return kept

    def _pack(self, decoded: Decoded, places: list[int]) -> None:
        raws = [decoded.records[n].value or b"" for n in places]
        decoded.rows[places], decoded.sessions[places], decoded.sequences[places] = pack(
            raws, self._index_of, len(raws)
        )  # fmt: skip

    def _one(self, decoded: Decoded, n: int, broken: list[Broken]) -> bool:
        record = decoded.records[n]
        if record.topic == _CLOCK:
            return self._clock(decoded, n, broken)
        try:
            self._pack(decoded, [n])
        except UNREADABLE as error:
            broken.append(Broken(record, type(error).__name__, str(error)))
            return False
        return True

    def _clock(self, decoded: Decoded, n: int, broken: list[Broken]) -> bool:
        record = decoded.records[n]
        event = self.event(record, broken)
        if event is None:
            return False
        clock = event.data
        fault = _clock_fault(clock)
        if fault:
            broken.append(Broken(record, "ValidationError", fault))
            return False
        decoded.rows[n] = np.zeros((), TICK)
        decoded.rows[n]["time"], decoded.rows[n]["instrument"] = clock.exchange_timestamp * 1000, CLOCK
        decoded.sessions[n], decoded.sequences[n] = clock.session, clock.sequence
        return True

    @staticmethod
    def event(record: Record, broken: list[Broken]) -> EventEnvelope[Any] | None:
        try:
            return decode(record.value or b"")
        except msgspec.DecodeError as error:
            broken.append(Broken(record, type(error).__name__, str(error)))
            return None


def _places(topics: list[str], topic: str) -> Iterator[int]:
    """Where this topic stands among these."""
    at = -1
    for _ in range(topics.count(topic)):
        at = topics.index(topic, at + 1)
        yield at


def _clock_fault(clock: Any) -> str:
    """Why an event is no clock that can be folded, or nothing."""
    if not isinstance(clock, MarketClock):
        return f"{type(clock).__name__} is no market_clock"
    if not -_LARGEST < clock.exchange_timestamp * 1000 < _LARGEST:
        return f"{clock.exchange_timestamp} microseconds do not fit 64 bits as nanoseconds"
    if abs(clock.session) > _LARGEST_NUMBER or not UNORDERED <= clock.sequence <= _LARGEST_NUMBER:
        return f"session {clock.session}, sequence {clock.sequence} are no numbers of a feed"
    return ""


class Inputs:
    """Records as they are read, to batches as they are decided on: what comes out follows from what goes in alone."""

    def __init__(
        self, topics: Sequence[str], index_of: dict[int, int], *, positions: Positions | None = None, session: int = -1,
        following: int = 0,
    ) -> None:  # fmt: skip
        self.topics = tuple(topics)
        self.positions: Positions = dict(positions or {})  # how far has been read
        self.order = Reorder(session, following)
        self._numbers = {topic: n for n, topic in enumerate(self.topics)}
        self._decoder = Decoder(index_of)

    def receive(self, records: list[Record], give_up: Callable[[], bool]) -> Received:
        """One batch; `give_up` is asked, after the records have found their places, whether to wait for a gap no longer."""
        received = Received()
        runs = self._read(records)
        topics = list(map(_TOPIC, records))
        market = records
        if topics.count(_TICKS) + topics.count(_CLOCK) < len(records):
            market = [record for record in records if record.topic in _MARKET]
            for record in records:
                if record.topic not in _MARKET:
                    deletes = record.value is None and record.topic in _DELETABLE
                    event = None if deletes else self._decoder.event(record, received.broken)
                    if event is not None or deletes:
                        received.events.append((record, event))
        if market:
            received.ticks, received.records = self.order.push(*self._decoder.ticks(market, received.broken))
        given_up = give_up()
        if given_up:
            released = self.order.release()
            received.ticks = np.concatenate([received.ticks, released.rows])
            received.records = received.records + released.records
        if received.records is not market:  # what goes on in the order of its numbers has not been here before
            received.replayed = any(map(_HEADERS, received.records))
        if records or given_up:
            received.batch = Batch(runs, len(records), given_up)
        return received

    def _read(self, records: list[Record]) -> tuple[int, ...]:
        """Moves the positions; what was read, as runs."""
        runs: list[int] = []
        at = 0
        for place, group in groupby(map(_PLACE, records)):
            first, at = at, at + len(list(group))
            last = records[at - 1].offset
            self.positions[place] = last + 1
            runs += (self._numbers[place[0]], place[1], records[first].offset, last)
        return tuple(runs)

    def hold(self, records: list[Record]) -> None:
        """At the start: those that were held at the snapshot wait for their turn again."""
        released = self.order.push(*self._decoder.ticks(records, [])) if records else Ordered(NO_TICKS, [])
        if released.records:
            raise ValueError(f"{len(released.records)} records that were held for their turn are not any more")

    def for_steps(self, index_of: dict[int, int], moved: Positions | None = None) -> "Inputs":
        """The same place of the log for steps with these instruments; `moved`: partitions of which more has been read."""
        order = self.order
        inputs = Inputs(
            self.topics, index_of, positions=self.positions | (moved or {}), session=order.session, following=order.following
        )  # fmt: skip
        inputs.hold(order.waiting)
        return inputs

    def marker(self, *, final: bool = False) -> Marker:
        held = packed(sorted(map(_AT, self.order.waiting)))
        return Marker(dict(self.positions), self.order.session, self.order.following, final, held)


class _FeedPartition(StatefulSourcePartition[Any, None]):
    """Wraps the one partition of a source of records."""

    def __init__(self, feed: "FeedSource", raw: StatefulSourcePartition[Any, Any]) -> None:
        self._feed = feed
        self._raw = raw
        self._inputs = feed.inputs
        self._marked = feed.now()
        self._gap_since = feed.now()
        self._gap_at = (-1, -1)
        self._gap_polls = 0
        self._ended = False

    def next_batch(self) -> Iterable[tuple[str, Received]]:
        if self._ended:
            raise StopIteration
        try:
            items = list(self._raw.next_batch())
        except StopIteration:
            self._ended = True
            return [(self._feed.key, self._last())]
        out = [(key, self._inputs.receive(records, self._waited_enough)) for key, records in items]
        if not out and self._inputs.order.held:
            given_up = self._inputs.receive([], self._waited_enough)
            if given_up.batch is not None:
                out.append((self._feed.key, given_up))
        if self._feed.now() - self._marked >= self._feed.marker_s:
            self._marked = self._feed.now()
            out.append((self._feed.key, Received(marker=self._inputs.marker())))
        return out

    def next_awake(self) -> Any:
        return self._raw.next_awake()

    def _waited_enough(self) -> bool:
        """Whether a gap has lasted too long, or holds too much, and is to be passed over."""
        now = self._feed.now()
        order = self._inputs.order
        due = (order.session, order.following)
        if not order.held or due != self._gap_at:
            self._gap_since, self._gap_at, self._gap_polls = now, due, 0
            return False
        self._gap_polls += 1
        waited = now - self._gap_since >= self._feed.gap_s and self._gap_polls >= GAP_POLLS
        if not waited and order.held < MAX_HELD:
            return False
        logger().warning("feed.gap_given_up", session=order.session, sequence=order.following, held=order.held)
        return True

    def _last(self) -> Received:
        """The end: nothing is held back any longer than the next start, the marker says where that begins."""
        received = self._inputs.receive([], lambda: self._feed.drain and self._inputs.order.held > 0)
        received.marker = self._inputs.marker(final=True)
        return received

    def snapshot(self) -> None:
        self._raw.snapshot()

    def close(self) -> None:
        self._raw.close()


@dataclass
class FeedSource(FixedPartitionedSource[tuple[str, Received], None]):
    """A source of `(key, list[Record])` seen as a source of `(key, Received)`.

    `inputs` has come to where a snapshot or a replay ended; a marker comes every `marker_s` seconds and last of all.
    `drain`: at the end hand out what is still held (a file that ends), not leave it.
    """

    raw: FixedPartitionedSource[Any, Any]
    inputs: Inputs
    key: str
    marker_s: float = 2.0
    gap_s: float = GAP_S
    drain: bool = False
    now: Callable[[], float] = time.monotonic

    def list_parts(self) -> list[str]:
        return self.raw.list_parts()

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _FeedPartition:
        return _FeedPartition(self, self.raw.build_part(step_id, for_part, resume_state))
