"""The lake: every record of every topic in Parquet, one file for one range of offsets.

    lake/<topic>/date=YYYY-MM-DD/<partition>-<first>-<last>.parquet       date of the event, in India

A file's name is what it covers, so the names say where to go on and nothing else has to be kept. Files are written
under another name, synced and renamed: what has its name is whole. Ranges of a partition never overlap; what a crash
between a merge and the removal of its parts leaves is tidied at the next start. A record that is no event is kept as
its bytes.
"""

import fcntl
import json
import os
import re
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import msgspec
import numpy as np

from connectors.errors import ConfigError, DataError, DependencyError
from connectors.kafka.records import Record
from connectors.logging import logger
from functions.topics import MARKET_TICKS, all_topics

NO_DATE: Final = "1970-01-01"  # of records before the first one that has a time; also where the empty file lies
EMPTY_FILE: Final = "schema.parquet"  # no rows, all columns: a reader finds every topic, written to or not
FLUSH_RECORDS: Final = 50_000
FLUSH_S: Final = 5.0
COMPACT_AT: Final = 32  # files of one partition and date that are small and side by side
DEAD_LETTERS: Final = ".dlq"
SMALL_BYTES: Final = 32 * 2**20
CHECKED_DATES: Final = 2  # newest dates of a topic whose files are read whole at the start; of older ones the footer

_INDIA_US: Final = 19_800_000_000
_DAY_US: Final = 86_400_000_000
_EARLIEST, _LATEST = 946_684_800_000_000, 4_102_444_800_000_000  # 2000 and 2100: beyond them a time is none
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_NAME: Final = re.compile(r"(\d+)-(\d+)-(\d+)\.(parquet|parquet\.corrupt|lost)")

Place = tuple[str, int]  # topic, partition


# --- rows -------------------------------------------------------------------------------------------------------------

_WHERE: Final = {"topic": "VARCHAR", "partition": "INTEGER", "offset": "BIGINT", "key": "VARCHAR"}
EVENT_COLUMNS: Final = {
    **_WHERE, "id": "VARCHAR", "type": "VARCHAR", "timestamp": "TIMESTAMP", "correlation_id": "VARCHAR",
    "causation_id": "VARCHAR", "source": "VARCHAR", "version": "INTEGER", "broker": "VARCHAR", "event": "VARCHAR",
    "data": "VARCHAR", "raw": "BLOB", "headers": "VARCHAR",
}  # fmt: skip
TICK_COLUMNS: Final = {
    **_WHERE, "id": "VARCHAR", "timestamp": "TIMESTAMP", "source": "VARCHAR", "broker": "VARCHAR",
    "instrument_token": "BIGINT", "last_price": "DOUBLE", "volume_traded": "BIGINT", "oi": "BIGINT", "bid": "DOUBLE",
    "ask": "DOUBLE", "bid_quantity": "BIGINT", "ask_quantity": "BIGINT", "session": "BIGINT", "sequence": "BIGINT",
    "depth": "VARCHAR", "raw": "BLOB",
}  # fmt: skip
_NUMPY: Final = {"INTEGER": "i8", "BIGINT": "i8", "DOUBLE": "f8", "TIMESTAMP": "datetime64[us]"}
_NOTHING: Final[dict[str, Any]] = {"VARCHAR": "", "BLOB": b""}


class _Head(msgspec.Struct, gc=False):
    id: str
    type: str
    timestamp: str
    correlation_id: str
    causation_id: str | None
    source: str
    version: int
    broker: str
    data: msgspec.Raw


class _TickData(msgspec.Struct, gc=False):
    instrument_token: int
    last_price: float
    exchange_timestamp: int
    volume_traded: int = 0
    oi: int = 0
    bid: float = 0.0
    ask: float = 0.0
    bid_quantity: int = 0
    ask_quantity: int = 0
    session: int = 0
    sequence: int = -1
    depth: msgspec.Raw = msgspec.Raw(b"null")


class _Tick(msgspec.Struct, gc=False):
    id: str
    type: str
    source: str
    broker: str
    data: _TickData


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_tick = msgspec.json.Decoder(_Tick).decode


class Row(NamedTuple):
    """A record and the columns beyond where it lies; `time` is None for what is no event."""

    record: Record
    time: int | None  # microseconds since the epoch
    values: tuple[Any, ...]


def columns_of(topic: str) -> dict[str, str]:
    """Column names and SQL types of a topic's files."""
    return TICK_COLUMNS if topic == MARKET_TICKS.name else EVENT_COLUMNS


def _microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


_MICROSECOND: Final = datetime.fromisoformat("1970-01-01T00:00:00.000001+00:00") - _EPOCH


def _checked(time: int) -> int:
    if not _EARLIEST <= time < _LATEST:
        raise ValueError(f"{time} µs is no time of an event")
    return time


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit 64 bits")
    return value


def _headers(record: Record) -> str | None:
    if not record.headers:
        return None
    return json.dumps({name: (value or b"").decode(errors="backslashreplace") for name, value in record.headers})


def _event_row(record: Record) -> Row:
    """An event's columns. Of a dead letter the bytes are kept whatever they are."""
    raw = record.value
    dead = record.topic.endswith(DEAD_LETTERS)
    if raw is not None:
        with suppress(msgspec.MsgspecError, ValueError, TypeError, OverflowError):
            head = _decode_head(raw)
            time = _checked(_microseconds(head.timestamp))
            text, data = (None, None) if dead else (raw.decode(), bytes(head.data).decode())
            values = (
                head.id, head.type, time, head.correlation_id, head.causation_id, head.source, _int64(head.version),
                head.broker, text, data, raw if dead else None, _headers(record),
            )  # fmt: skip
            return Row(record, time, values)
    return Row(record, None, (*[None] * 10, raw, _headers(record)))


def _tick_row(record: Record) -> Row:
    raw = record.value
    with suppress(msgspec.MsgspecError, ValueError):
        event = _decode_tick(raw or b"")
        t = event.data
        time = _checked(t.exchange_timestamp)
        depth = bytes(t.depth)
        numbers = [_int64(n) for n in (t.volume_traded, t.oi, t.bid_quantity, t.ask_quantity, t.session, t.sequence)]
        volume, interest, bid_quantity, ask_quantity, session, sequence = numbers
        values = (
            event.id, time, event.source, event.broker, _int64(t.instrument_token), t.last_price, volume, interest,
            t.bid, t.ask, bid_quantity, ask_quantity, session, sequence,
            None if depth == b"null" else depth.decode(), None,
        )  # fmt: skip
        return Row(record, time, values)
    return Row(record, None, (*[None] * 15, raw))


def rows_of(records: Sequence[Record]) -> list[Row]:
    """Records of one topic as rows."""
    make = _tick_row if records and records[0].topic == MARKET_TICKS.name else _event_row
    return [make(record) for record in records]


def date_of(time: int) -> str:
    """The date in India of a time in microseconds since the epoch.

    >>> date_of(1_778_005_799_999_999), date_of(1_778_005_800_000_000)
    ('2026-05-05', '2026-05-06')
    """
    return str(np.datetime64((time + _INDIA_US) // _DAY_US, "D"))


def _column(kind: str, values: list[Any]) -> Any:
    """A masked NumPy array: DuckDB looks at a sample of the values for a type, so even a missing text is text."""
    missing = [value is None for value in values]
    nothing = _NOTHING.get(kind, 0)
    filled = [nothing if value is None else value for value in values]
    if kind in _NUMPY:
        return np.ma.array(np.array(filled, _NUMPY[kind]), mask=missing)
    array = np.empty(len(filled), object)
    array[:] = filled
    return np.ma.array(array, mask=missing)


def columns(topic: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The columns of a file; a masked value is NULL."""
    places = [
        (r.topic, r.partition, r.offset, None if r.key is None else r.key.decode(errors="backslashreplace"))
        for r in (row.record for row in rows)
    ]
    table = [(*place, *row.values) for place, row in zip(places, rows, strict=True)]
    kinds = columns_of(topic)
    return {
        name: _column(kind, [line[n] for line in table]) for n, (name, kind) in enumerate(kinds.items())
    }  # fmt: skip


# --- ranges -----------------------------------------------------------------------------------------------------------


class File(NamedTuple):
    """A file of the lake and what it covers, both ends included."""

    partition: int
    first: int
    last: int
    path: Path

    @property
    def date(self) -> str:
        return self.path.parent.name.removeprefix("date=")


def file_of(path: Path) -> File | None:
    """What a file covers, by its name.

    >>> file_of(Path("lake/t/date=2026-05-06/3-10-19.parquet"))[:3], file_of(Path("schema.parquet"))
    ((3, 10, 19), None)
    """
    match = _NAME.fullmatch(path.name)
    return File(int(match[1]), int(match[2]), int(match[3]), path) if match else None


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges, both ends included, with those that touch or overlap joined.

    >>> merged([(5, 9), (0, 4), (12, 13), (8, 10)])
    [(0, 10), (12, 13)]
    """
    out: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out


def side_by_side(files: Iterable[File]) -> list[list[File]]:
    """Files of one partition in groups without a gap between their ranges."""
    groups: list[list[File]] = []
    for file in sorted(files, key=lambda f: f.first):
        if groups and file.first == groups[-1][-1].last + 1:
            groups[-1].append(file)
        else:
            groups.append([file])
    return groups


# --- files ------------------------------------------------------------------------------------------------------------


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(path: Path | str) -> str:
    return "'" + str(path).replace("'", "''") + "'"


class Files:
    """Reading, writing and checking single files, through one DuckDB connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._duck = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})

    def close(self) -> None:
        self._duck.close()

    def directory(self, topic: str, date: str) -> Path:
        return self.path / topic / f"date={date}"

    def of(self, topic: str, date: str = "*") -> list[File]:
        """Files of a topic that have been written whole."""
        paths = (self.path / topic).glob(f"date={date}/*.parquet")
        return sorted(file for file in map(file_of, paths) if file is not None)

    def write(self, topic: str, date: str, name: str, rows: Sequence[Row]) -> Path:
        """A file with these rows, whole or not at all. Raises: `DependencyError` where the disk refuses."""
        casts = ", ".join(f'CAST("{column}" AS {kind}) AS "{column}"' for column, kind in columns_of(topic).items())
        return self._put(self.directory(topic, date) / name, f"SELECT {casts} FROM table_", columns(topic, rows))

    def copy(self, target: Path, sources: Sequence[Path], where: str = "true") -> Path:
        """A file with the rows of others, in the order of their offsets."""
        read = f"read_parquet([{', '.join(map(_text, sources))}], hive_partitioning=false)"
        return self._put(target, f'SELECT * FROM {read} WHERE {where} ORDER BY "offset"')

    def _put(self, target: Path, query: str, table_: dict[str, Any] | None = None) -> Path:
        """Runs a query, which finds the columns it is given under the name `table_`, into a file."""
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")  # a reader may prepare the lake too
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._duck.execute(f"COPY ({query}) TO {_text(temporary)} (FORMAT parquet, COMPRESSION zstd)")
            _sync(temporary)
            temporary.replace(target)
            _sync(target.parent)
        except (OSError, duckdb.Error) as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise DependencyError(
                f"the lake cannot be written: {target}: {error}",
                remedy="make room or give access; the archive goes on where it stopped",
            ) from error
        return target

    def fault(self, files: Sequence[File], *, whole: bool) -> str | None:
        """What is wrong with these files, or None; `whole` reads every value, otherwise only the footers."""
        listed = ", ".join(_text(file.path) for file in files)
        query = (
            'SELECT filename, min("offset"), max("offset"), min(partition), max(partition), bit_xor(hash(t)) '
            f"FROM read_parquet([{listed}], filename=true, hive_partitioning=false) t GROUP BY filename"
            if whole
            else f"SELECT file_name, num_rows FROM parquet_file_metadata([{listed}])"
        )
        try:
            found = self._duck.execute(query).fetchall()
        except duckdb.Error as error:
            return str(error).splitlines()[0]
        if not whole:
            return None
        named = {str(file.path): file for file in files}
        for path, first, last, lowest, highest, _ in found:
            file = named[path]
            if not (file.first <= first <= last <= file.last and lowest == highest == file.partition):
                return f"holds partition {lowest}, offsets {first} to {last}, which its name does not say"
        return None


def archived(brokers: Sequence[str]) -> list[str]:
    """The topics that a lake holds: all events and all dead letters."""
    return [topic.name for topic in all_topics(tuple(brokers)) if "archive" in topic.readers]


def prepare(path: Path, topics: Iterable[str]) -> None:
    """Directories and an empty file for every topic, so that a reader finds all columns before the first record.

    Raises: `DependencyError` where the lake cannot be written and lacks one.
    """
    empty = {topic: path / topic / f"date={NO_DATE}" / EMPTY_FILE for topic in topics}
    missing = {topic: target for topic, target in empty.items() if not target.exists()}
    if not missing:
        return
    files = Files(path)
    written: dict[tuple[str, ...], Path] = {}
    try:
        for topic, target in missing.items():
            same = written.get(tuple(columns_of(topic)))
            if same is None:
                written[tuple(columns_of(topic))] = files.write(topic, NO_DATE, EMPTY_FILE, [])
            else:  # a second name is whole at once, and needs no syncing of its content
                target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileExistsError):
                    os.link(same, target)
    finally:
        files.close()


# --- the archive ------------------------------------------------------------------------------------------------------


@dataclass
class _Segment:
    """Records on their way into files that together cover `first` to `last`."""

    first: int
    last: int
    records: list[Record] = field(default_factory=list)


class Archive:
    """The one writer of a lake. Records go in by `add`, leave memory by `flush`, and are then on disk."""

    def __init__(self, path: Path, topics: Sequence[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = Files(path)
        self._path = path
        self._topics = list(topics)
        self._clock = clock
        self._lock: weakref.finalize[..., Archive] | None = None  # releases it, at the latest with this object
        self._next: dict[Place, int] = {}  # next offset to take
        self._ahead: dict[Place, list[tuple[int, int]]] = {}  # ranges beyond it that are there already
        self._date: dict[Place, str] = {}  # of the newest record, for those that have none
        self._segments: dict[Place, list[_Segment]] = {}
        self.pending = 0
        self._flushed = clock()

    # --- start --------------------------------------------------------------------------------------------------------

    def open(self) -> dict[Place, int]:
        """Takes the lake over: locks it, tidies it, sets aside what cannot be read; says where to go on.

        Raises: `ConfigError` where another process archives into it, `DependencyError` where it cannot be written.
        """
        if self._lock is None:
            self._take_lock()
            prepare(self._path, self._topics)
            for topic in self._topics:
                self._tidy(topic)
                self._check(topic)
        self._next.clear()
        self._ahead.clear()
        for topic in self._topics:
            self._cover(topic)
        return dict(self._next)

    def _take_lock(self) -> None:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._path / ".archive.lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise DependencyError(f"the lake cannot be written: {error}", remedy="give access to it") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise ConfigError(
                f"another process archives into {self._path}",
                remedy="run one archive per lake, or set PANDA_LAKE__PATH",
            ) from None
        self._lock = weakref.finalize(self, os.close, lock)

    def _tidy(self, topic: str) -> None:
        """What a crash left: temporary files, and parts whose merged file is there."""
        for temporary in (self._path / topic).glob("date=*/.[0-9]*.tmp"):
            temporary.unlink()
        by_place: dict[tuple[str, int], list[File]] = {}
        for file in self._files.of(topic):
            by_place.setdefault((file.date, file.partition), []).append(file)
        for files in by_place.values():
            self._part(files)

    def _part(self, files: list[File]) -> None:
        """Files of one date and partition without overlap: whole ones within another go, others lose what is double."""
        covered, holder = -1, None
        for file in sorted(files, key=lambda f: (f.first, -f.last)):
            if file.first > covered:
                covered, holder = file.last, file
                continue
            if holder is None or self._files.fault([holder], whole=True) or self._files.fault([file], whole=True):
                return  # one is set aside next; nothing is removed in favour of a file that cannot be read
            if file.last > covered:
                rest = file.path.with_name(f"{file.partition}-{covered + 1}-{file.last}.parquet")
                self._files.copy(rest, [file.path], where=f'"offset" > {covered}')
                covered, holder = file.last, File(file.partition, covered + 1, file.last, rest)
            file.path.unlink()
            _sync(file.path.parent)
            logger().info("lake.tidied", file=str(file.path))

    def _check(self, topic: str) -> None:
        """Files that cannot be read are set aside under a name that readers pass over, and are read again."""
        files = self._files.of(topic)
        newest = sorted({file.date for file in files})[-CHECKED_DATES:]
        for whole in (True, False):
            group = [file for file in files if (file.date in newest) == whole]
            if group and self._files.fault(group, whole=whole) is not None:
                for file in group:
                    self._set_aside_if_bad(topic, file, whole=whole)

    def _set_aside_if_bad(self, topic: str, file: File, *, whole: bool) -> None:
        fault = self._files.fault([file], whole=whole)
        if fault is None:
            return
        aside = file.path.with_name(file.path.name + ".corrupt")
        file.path.replace(aside)
        _sync(file.path.parent)
        logger().error(
            "lake.corrupt", topic=topic, partition=file.partition, first_offset=file.first, last_offset=file.last,
            fault=fault, set_aside=str(aside), next="these records are read again from the log",
        )  # fmt: skip

    def _cover(self, topic: str) -> None:
        """Where the first gap begins, and what is there beyond it; what was set aside at the beginning is a gap."""
        present: dict[int, list[File]] = {}
        begins: dict[int, int] = {}
        for path in (self._path / topic).glob("date=*/*"):
            file = file_of(path)
            if file is None:
                continue
            begins[file.partition] = min(begins.get(file.partition, file.first), file.first)
            if not path.name.endswith(".corrupt"):
                present.setdefault(file.partition, []).append(file)
        for partition, begin in begins.items():
            files = present.get(partition, [])
            ranges = merged((file.first, file.last) for file in files)
            whole = bool(ranges) and ranges[0][0] == begin
            at = (topic, partition)
            self._next[at] = ranges[0][1] + 1 if whole else begin
            self._ahead[at] = ranges[1:] if whole else ranges
            before = [file for file in files if file.last < self._next[at]]
            self._date[at] = max(before, key=lambda f: f.last).date if before else NO_DATE

    def lost(self, firsts: dict[Place, int]) -> dict[Place, int]:
        """Where to go on, given the first offset that the log still has of each partition.

        What the log no longer has and the lake does not have either is lost: that is told, and noted by a file.
        """
        for at, first in firsts.items():
            topic, partition = at
            while at in self._next and self._next[at] < first:
                position, ahead = self._next[at], self._ahead[at]
                last = min(first, ahead[0][0] if ahead else first) - 1
                note = self._files.directory(topic, self._date[at]) / f"{partition}-{position}-{last}.lost"
                note.parent.mkdir(parents=True, exist_ok=True)
                note.touch()
                _sync(note.parent)
                logger().critical(
                    "lake.lost", topic=topic, partition=partition, first_offset=position, last_offset=last
                )
                self._next[at] = last + 1
                if ahead and ahead[0][0] == last + 1:
                    self._next[at] = ahead.pop(0)[1] + 1
        return dict(self._next)

    # --- records ------------------------------------------------------------------------------------------------------

    def add(self, records: Iterable[Record]) -> None:
        """Takes records, in their order a partition; those that are there already are passed over."""
        for record in records:
            at = (record.topic, record.partition)
            offset = record.offset
            expected = self._next.setdefault(at, offset)
            ahead = self._ahead.get(at)
            while ahead and offset >= ahead[0][0]:
                self._segment(at, expected).last = ahead[0][0] - 1
                expected = self._next[at] = ahead.pop(0)[1] + 1
                self._segments[at].append(_Segment(expected, expected - 1))
            if offset < expected:
                continue
            segment = self._segment(at, expected)
            segment.records.append(record)
            segment.last = offset
            self._next[at] = offset + 1
            self.pending += 1

    def _segment(self, at: Place, first: int) -> _Segment:
        segments = self._segments.setdefault(at, [])
        if not segments:
            segments.append(_Segment(first, first - 1))
        return segments[-1]

    @property
    def due(self) -> bool:
        """Whether enough has come together, or has waited long enough, for a file."""
        return self.pending >= FLUSH_RECORDS or (self.pending > 0 and self._clock() - self._flushed >= FLUSH_S)

    def flush(self) -> None:
        """Everything taken is on disk when this returns. Raises: `DependencyError` where it cannot be."""
        touched: set[tuple[str, str]] = set()
        for at in list(self._segments):
            for segment in self._segments[at]:
                if segment.first <= segment.last:
                    touched.update((at[0], date) for date in self._write(at, segment))
            del self._segments[at]
        self.pending = 0
        self._flushed = self._clock()
        for topic, date in sorted(touched):
            self._compact_small(topic, date)

    def _write(self, at: Place, segment: _Segment) -> Iterator[str]:
        """One file for each run of records of one date, in the order of their offsets: a crash leaves no gap."""
        topic, partition = at
        first = segment.first
        runs = self._runs(at, rows_of(segment.records))
        for n, (date, run) in enumerate(runs):
            last = segment.last if n == len(runs) - 1 else run[-1].record.offset
            self._files.write(topic, date, f"{partition}-{first}-{last}.parquet", run)
            first = last + 1
            yield date

    def _runs(self, at: Place, rows: list[Row]) -> list[tuple[str, list[Row]]]:
        runs: list[tuple[str, list[Row]]] = []
        for row in rows:
            date = self._date.get(at, NO_DATE) if row.time is None else date_of(row.time)
            self._date[at] = date
            if runs and runs[-1][0] == date:
                runs[-1][1].append(row)
            else:
                runs.append((date, [row]))
        return runs or [(self._date.get(at, NO_DATE), [])]  # nothing left in the log there: an empty file says so

    # --- compaction ---------------------------------------------------------------------------------------------------

    def _compact_small(self, topic: str, date: str) -> None:
        small = [file for file in self._files.of(topic, date) if file.path.stat().st_size < SMALL_BYTES]
        self._merge(small, at_least=COMPACT_AT)

    def compact(self, topic: str, date: str) -> int:
        """Joins a date's files that lie side by side; returns how many files fewer there are.

        The joined file is there before its parts go: a crash between leaves both, which the next start tidies and
        readers see once.
        """
        return self._merge(self._files.of(topic, date))

    def _merge(self, files: list[File], *, at_least: int = 2) -> int:
        gone = 0
        for partition in sorted({file.partition for file in files}):
            for group in side_by_side(file for file in files if file.partition == partition):
                if len(group) >= at_least:
                    self._join(group)
                    gone += len(group) - 1
        return gone

    def _join(self, group: list[File]) -> None:
        fault = self._files.fault(group, whole=True)
        if fault is not None:
            raise DataError(
                f"files of the lake cannot be joined: {fault}", remedy="restart the archive: it reads them again"
            )
        target = group[0].path.with_name(f"{group[0].partition}-{group[0].first}-{group[-1].last}.parquet")
        self._files.copy(target, [file.path for file in group])
        for file in group:
            file.path.unlink()
        _sync(target.parent)

    # --- end ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Gives the lake back; what is not flushed is not in it."""
        if self._lock is not None:
            self._lock()
            self._lock = None
        self._files.close()
