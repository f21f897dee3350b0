"""Files: one file of the lake for one range of offsets, written whole or not at all, and checked."""

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from connectors.errors import DependencyError
from connectors.lake.rows import Row, columns, columns_of
from functions.topics import all_topics

NO_DATE: Final = "1970-01-01"  # of records before the first one that has a time; also where the empty file lies
EMPTY_FILE: Final = "schema.parquet"  # no rows, all columns: a reader finds every topic, written to or not
_NAME: Final = re.compile(r"(\d+)-(\d+)-(\d+)\.(parquet|parquet\.corrupt|lost)")


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


def sync(path: Path) -> None:
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
            sync(temporary)
            temporary.replace(target)
            sync(target.parent)
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
