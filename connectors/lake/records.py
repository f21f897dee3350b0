"""Records of the lake as they lay on the log, to the byte: for whoever reads further back than the log goes.

An event's bytes are kept, and so are those of a tick of which its columns do not tell all (a print of a bar, what a foreign
feed wrote in its own way, garbage). Any other tick is written again from its columns.
"""

from collections import OrderedDict
from typing import Any, Final

import duckdb

from connectors.errors import FatalError
from connectors.kafka.records import Record
from connectors.lake.files import File, Files
from connectors.lake.rows import TICK_COLUMNS, as_our_feed_writes, key_and_headers
from connectors.lake.stores import Lake, literal, store_at
from functions.topics import MARKET_TICKS

KEPT_FILES: Final = 16  # read last, of which the next records are likely to come
_EVENT: Final = '"offset", key, coalesce(encode(event), raw) AS value, headers'
_TICK: Final = ", ".join(f'"{name}"' for name in TICK_COLUMNS if name not in ("topic", "partition"))


class LakeRecords:
    """Looks records up by topic, partition and offset. Nothing is written, no lock is taken."""

    def __init__(self, lake: Lake) -> None:
        self._store = store_at(lake)
        self._files = Files(self._store)
        self._duck = duckdb.connect(config={"threads": 1, "memory_limit": "512MB"})
        self._duck.execute("SET enable_progress_bar = false")  # it would be written to standard output
        self._store.attach(self._duck)
        self._named: dict[tuple[str, int], list[File]] = {}
        self._read: OrderedDict[File, list[Record]] = OrderedDict()

    def first(self, topic: str, partition: int) -> int | None:
        """The first offset that it holds of a partition; None: it holds nothing of it."""
        files = self._of(topic, partition)
        return files[0].first if files else None

    def take(self, topic: str, partition: int, first: int, last: int) -> list[Record]:
        """The records of a range, both ends included, in order. Raises: `FatalError` where a part of it is not there."""
        taken: list[Record] = []
        at = first
        for file in self._of(topic, partition):
            if file.last < at or at > last:
                continue
            if file.first > at:
                break
            taken += [r for r in self._records(topic, file) if at <= r.offset <= last]
            at = file.last + 1
        if at <= last:
            raise FatalError(
                f"{topic} [{partition}] offsets {at} to {last} are neither on the log nor in the lake {self._store.url}",
                remedy="what is lost cannot be decided again: start from the newest snapshot",
            )
        return taken

    def close(self) -> None:
        self._files.close()
        self._duck.close()

    def _of(self, topic: str, partition: int) -> list[File]:
        if (topic, partition) not in self._named:
            files = [file for file in self._files.of(topic) if file.partition == partition]
            self._named[topic, partition] = sorted(files, key=lambda file: (file.first, -file.last))
        return self._named[topic, partition]

    def _records(self, topic: str, file: File) -> list[Record]:
        if file not in self._read:
            columns = _TICK if topic == MARKET_TICKS.name else _EVENT
            path = literal(f"{self._store.url}/{file.path}")
            rows = self._duck.execute(
                f'SELECT {columns} FROM read_parquet({path}, hive_partitioning=false) ORDER BY "offset"'
            ).fetchall()
            made = _tick if topic == MARKET_TICKS.name else _event
            self._read[file] = [made(topic, file.partition, row) for row in rows]
            if len(self._read) > KEPT_FILES:
                self._read.popitem(last=False)
        return self._read[file]


def _event(topic: str, partition: int, row: tuple[Any, ...]) -> Record:
    offset, key, value, headers = row
    found, told = key_and_headers(key, headers)
    return Record(topic, partition, offset, found, value, told)


def _tick(topic: str, partition: int, row: tuple[Any, ...]) -> Record:
    offset, key, id, timestamp, source, broker, token, price, *rest, depth, raw, headers = row
    found, told = key_and_headers(key, headers)
    if id is None or raw is not None:
        return Record(topic, partition, offset, found, raw, told)
    value = as_our_feed_writes(id, source, broker, depth, (token, price, _microseconds(timestamp), *rest))
    return Record(topic, partition, offset, found, value, told)


def _microseconds(timestamp: Any) -> int:
    """Of a time without a zone, which is UTC."""
    since = timestamp - timestamp.__class__(1970, 1, 1)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
