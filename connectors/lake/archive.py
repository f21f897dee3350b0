"""The archive: the one writer of a lake, which goes on where the names of its files end."""

import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.errors import DataError
from connectors.kafka.records import Record
from connectors.lake.files import CORRUPT, NO_DATE, File, Files, merged, prepare, side_by_side
from connectors.lake.rows import Row, date_of, rows_of
from connectors.lake.stores import Lake, patiently, store_at
from connectors.logging import logger

FLUSH_RECORDS: Final = 50_000
FLUSH_S: Final = 5.0
COMPACT_AT: Final = 32  # files of one partition and date that are small and side by side
SMALL_BYTES: Final = 32 * 2**20
CHECKED_DATES: Final = 2  # newest dates of a topic whose files are read whole at the start; of older ones the footer

Place = tuple[str, int]  # topic, partition


@dataclass
class _Segment:
    """Records on their way into files that together cover `first` to `last`."""

    first: int
    last: int
    records: list[Record] = field(default_factory=list)


class Archive:
    """The one writer of a lake. Records go in by `add`, leave memory by `flush`, and are then in a file.

    A lake that is full or away is waited for, with the batch in hand; where `stop` asks to stop meanwhile, what waits
    raises `DependencyError`.
    """

    def __init__(
        self, lake: Lake, topics: Sequence[str], *, clock: Callable[[], float] = time.monotonic,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._store = store_at(lake)
        self._stop = stop
        self._files = Files(self._store, stop=stop)
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
            release = patiently(self._store.hold, stop=self._stop, what=self._store.url)
            self._lock = weakref.finalize(self, release)
            prepare(self._store, self._topics, stop=self._stop)
            for topic in self._topics:
                self._tidy(topic)
                self._check(topic)
        self._next.clear()
        self._ahead.clear()
        for topic in self._topics:
            self._cover(topic)
        return dict(self._next)

    def _tidy(self, topic: str) -> None:
        """What a crash left: temporary files, and parts whose merged file is there."""
        self._files.tidy(topic)
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
            self._files.remove(file)
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
        aside = self._files.set_aside(file)
        logger().error(
            "lake.corrupt", topic=topic, partition=file.partition, first_offset=file.first, last_offset=file.last,
            fault=fault, set_aside=str(aside), next="these records are read again from the log",
        )  # fmt: skip

    def _cover(self, topic: str) -> None:
        """Where the first gap begins, and what is there beyond it; what was set aside at the beginning is a gap."""
        present: dict[int, list[File]] = {}
        begins: dict[int, int] = {}
        for file in self._files.named(topic):
            begins[file.partition] = min(begins.get(file.partition, file.first), file.first)
            if file.path.suffix != CORRUPT:
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
                self._files.note(topic, self._date[at], f"{partition}-{position}-{last}.lost")
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
        patiently(self._store.still_held, stop=self._stop, what=self._store.url)
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
        """Everything taken is in files when this returns. Raises: `DependencyError` where it cannot be."""
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
        small = [file for file in self._files.of(topic, date) if file.size < SMALL_BYTES]
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
            self._files.remove(file)

    # --- end ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Gives the lake back; what is not flushed is not in it."""
        if self._lock is not None:
            self._lock()
            self._lock = None
        self._files.close()
