"""The journal: in which order a worker read its inputs, written before anything that it decided on them.

    Start ─► Opening ─► Entry ─► Entry ─► Suspension    one session of one worker; the next begins with its own Start
                          │        └ batches of runs (topic, partition, first and last offset), count and checksum of
                          └────────── what they led to

Decisions follow from this order alone, so a restart folds the same batches again and decides the same. A line counts if
its session was the newest to have started before it: what a worker writes after it has been replaced is void.

Formats carry versions. A change adds a function to the upgrades below; a test reads what the version before has written.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from functions.codec import UNREADABLE

JOURNAL_VERSION: Final = 2  # since 2 there are suspensions; the other lines are as they were
SNAPSHOT_VERSION: Final = 3
NO_JOURNAL: Final = -1  # a snapshot that was written before there was one

Runs = list[tuple[str, int, int, int]]  # topic, partition, first and last offset
Raw = dict[str, Any]


class UnknownFormat(ValueError):
    """Bytes that are no journal line or snapshot, or of a version that this code does not know."""


# --- lines ------------------------------------------------------------------------------------------------------------


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was read at once, in this order: `runs` is flat (number of the topic, partition, first, last offset).

    `count` records lie in the runs. `given_up`: after them the feed's gap was passed over, which only a clock can say.
    """

    runs: tuple[int, ...] = ()
    count: int = 0
    given_up: bool = False


class Start(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A worker begins; from here on lines of other sessions are void. `topics` gives the numbers in runs their names."""

    session: int
    topics: tuple[str, ...]
    version: int = JOURNAL_VERSION


class Opening(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The state from which a session goes on: a snapshot, packed; nothing: the shard has moved away.

    `anew`: it does not follow from the lines before, accounts were moved or a human rebuilt it.
    """

    session: int
    snapshot: bytes
    version: int = JOURNAL_VERSION
    anew: bool = False


class Entry(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Batches, and of what they led to the number of records and their checksum."""

    session: int
    batches: tuple[Batch, ...]
    outputs: int
    checksum: int
    version: int = JOURNAL_VERSION


class Suspension(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """From here on a strategy gets no more ticks.

    It did not come to an end in its time, or its state could not be kept: no replay would find that, so the log says it.
    """

    session: int
    strategy: str
    reason: str
    version: int = JOURNAL_VERSION


Line = Start | Opening | Entry | Suspension
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Line).decode


def encode_line(line: Line) -> bytes:
    return _encode(line)


def decode_line(raw: bytes) -> Line:
    """Raises: `UnknownFormat`.

    >>> decode_line(encode_line(Entry(7, (Batch((0, 3, 10, 12), 3),), 2, 99))).batches[0].count
    3
    """
    try:
        line = _decode(raw)
    except UNREADABLE as error:
        raise UnknownFormat(f"no line of a journal: {error}") from error
    if isinstance(line, Entry) and any(len(batch.runs) % 4 for batch in line.batches):
        raise UnknownFormat("no line of a journal: a run is four numbers")
    if not 1 <= line.version <= JOURNAL_VERSION:
        raise UnknownFormat(f"a journal line of version {line.version}, this code knows up to {JOURNAL_VERSION}")
    return line


def standing(lines: Iterable[tuple[int, Line]], session: int) -> list[tuple[int, Line]]:
    """Of `(offset, line)` those that count; `session` is the one that was writing before the first of them.

    >>> mine, ghost = Entry(2, (), 0, 0), Entry(1, (), 0, 0)
    >>> [at for at, _ in standing([(5, ghost), (6, Start(2, ())), (7, ghost), (8, mine)], 1)]
    [5, 6, 8]
    """
    kept: list[tuple[int, Line]] = []
    for at, line in lines:
        if isinstance(line, Start):
            session = line.session
        if line.session == session:
            kept.append((at, line))
    return kept


def checksum(values: Iterable[bytes | None]) -> int:
    """Of outputs in order; a deletion counts as nothing."""
    return zlib.crc32(b"".join(value for value in values if value))


def named(batch: Batch, topics: Sequence[str]) -> Runs:
    """The runs of a batch with the names of their topics.

    >>> named(Batch((0, 3, 10, 12, 1, 0, 5, 5), 4), ["market.ticks", "paper.commands"])
    [('market.ticks', 3, 10, 12), ('paper.commands', 0, 5, 5)]
    """
    numbers = batch.runs
    return [(topics[numbers[n]], numbers[n + 1], numbers[n + 2], numbers[n + 3]) for n in range(0, len(numbers), 4)]


def packed(places: Iterable[tuple[str, int, int]]) -> Runs:
    """(topic, partition, offset) in order as runs.

    >>> packed([("a", 0, 4), ("a", 0, 5), ("b", 0, 6), ("a", 0, 6)])
    [('a', 0, 4, 5), ('b', 0, 6, 6), ('a', 0, 6, 6)]
    """
    runs: Runs = []
    for topic, partition, offset in places:
        if runs and runs[-1][:2] == (topic, partition) and runs[-1][3] == offset - 1:
            runs[-1] = (topic, partition, runs[-1][2], offset)
        else:
            runs.append((topic, partition, offset, offset))
    return runs


# --- snapshots --------------------------------------------------------------------------------------------------------


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a worker at one cut of its journal: lines of `session` before offset `journal` are in it.

    `positions` is how far it has read, of `topics` by the numbers that runs give them; of that, `held` waits for its turn
    in the feed's order (`feed_session`, `following`). What later lines led to lies at or behind `tails` of the output topics.
    """

    positions: list[tuple[str, int, int]]
    held: Runs
    feed_session: int
    following: int
    topics: tuple[str, ...]
    partition: int
    journal: int
    session: int
    tails: list[tuple[str, int, int]]
    state: dict[str, bytes]
    version: int = SNAPSHOT_VERSION


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return _encode(snapshot)


def decode_snapshot(raw: bytes) -> Snapshot:
    """A snapshot of this version, or of an earlier one brought up to it. Raises: `UnknownFormat`."""
    try:
        kept: Raw = msgspec.msgpack.decode(raw)
        version = kept["version"]
        while version in _UPGRADES:
            kept = _UPGRADES[version](kept)
            version = kept["version"]
        if version != SNAPSHOT_VERSION:
            raise UnknownFormat(f"a snapshot of version {version}, this code knows up to {SNAPSHOT_VERSION}")
        return msgspec.convert(kept, Snapshot)
    except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
        raise UnknownFormat(f"no snapshot: {type(error).__name__}: {error}") from error


def _from_2(kept: Raw) -> Raw:
    """Before there was a journal: what was held lies behind the positions and is read again."""
    return {
        "positions": kept["positions"], "held": [], "feed_session": kept["session"], "following": kept["following"],
        "topics": [], "partition": NO_JOURNAL, "journal": NO_JOURNAL, "session": NO_JOURNAL, "tails": [],
        "state": kept["state"], "version": 3,
    }  # fmt: skip


_UPGRADES: Final[dict[int, Callable[[Raw], Raw]]] = {2: _from_2}


# --- copies -----------------------------------------------------------------------------------------------------------

MARK: Final = "q"  # the header that says behind which line, and as which of its outputs, a record was written
_PREPARED: Final = [b".%07d" % n for n in range(4096)]


def mark_prefix(worker: str, offset: int) -> bytes:
    """What the marks of all outputs of one line begin with."""
    return b"%s@%013d" % (worker.encode(), offset)


def marks(prefix: bytes, first: int, count: int) -> list[bytes]:
    """Of outputs `first` and on of a line; marks of one worker sort as its outputs.

    >>> marks(mark_prefix("paper-0", 41), 8, 2)
    [b'paper-0@0000000000041.0000008', b'paper-0@0000000000041.0000009']
    """
    last = first + count
    if last <= len(_PREPARED):
        return [prefix + ordinal for ordinal in _PREPARED[first:last]]
    return [prefix + b".%07d" % n for n in range(first, last)]


class Copies:
    """Finds the second copy of an output: what a replaced worker still had under way when its successor wrote it again.

    Outputs of a worker lie in a partition in the order of their marks; of two such sequences, however mixed, what does
    not go beyond what has been seen is a copy. `seen` is to be kept with the reader's positions.
    """

    def __init__(self, seen: dict[tuple[str, int, bytes], bytes] | None = None) -> None:
        self.seen = seen if seen is not None else {}

    def is_copy(self, topic: str, partition: int, headers: Iterable[tuple[str, bytes]] | None) -> bool:
        """Whether this record has been there; remembers it. A record without a mark is none.

        >>> copies, mark = Copies(), [("q", b"paper-0@0000000000041.0000008")]
        >>> copies.is_copy("paper.orders.filled", 0, mark), copies.is_copy("paper.orders.filled", 0, mark)
        (False, True)
        """
        mark = next((value for name, value in headers or () if name == MARK), None)
        if mark is None:
            return False
        worker, _, place = mark.rpartition(b"@")
        at = (topic, partition, worker)
        if place <= self.seen.get(at, b""):
            return True
        self.seen[at] = place
        return False
