"""Files: one file of the lake for one range of offsets, written whole or not at all, and checked."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, TypeVar

import duckdb

from connectors.lake.rows import Row, columns, columns_of
from connectors.lake.stores import Store, literal, patiently

NO_DATE: Final = "1970-01-01"  # of records before the first one that has a time; also where the empty file lies
EMPTY_FILE: Final = "schema.parquet"  # no rows, all columns: a reader finds every topic, written to or not
CORRUPT: Final = ".corrupt"
_T = TypeVar("_T")
_NAME: Final = re.compile(r"(\d+)-(\d+)-(\d+)\.(parquet|parquet\.corrupt|lost)")


class File(NamedTuple):
    """A file by its name below the lake, and what it covers, both ends included."""

    partition: int
    first: int
    last: int
    path: PurePosixPath
    size: int = 0  # bytes

    @property
    def date(self) -> str:
        return self.path.parent.name.removeprefix("date=")


def file_of(path: PurePosixPath, size: int = 0) -> File | None:
    """What a file covers, by its name.

    >>> file_of(PurePosixPath("t/date=2026-05-06/3-10-19.parquet"))[:3], file_of(PurePosixPath("schema.parquet"))
    ((3, 10, 19), None)
    """
    match = _NAME.fullmatch(path.name)
    return File(int(match[1]), int(match[2]), int(match[3]), path, size) if match else None


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


class Files:
    """Reading, writing and checking single files, through one DuckDB connection.

    A lake that is full or away is waited for until `stop`; then every method raises `DependencyError`.
    """

    def __init__(self, store: Store, *, stop: Callable[[], bool] = lambda: True) -> None:
        self._store = store
        self._stop = stop
        self._duck = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})
        self._duck.execute("SET enable_progress_bar = false")  # it would be written to standard output
        store.attach(self._duck)

    def close(self) -> None:
        self._duck.close()

    def _waiting(self, attempt: Callable[[], _T], what: object) -> _T:
        return patiently(attempt, stop=self._stop, what=str(what))

    def directory(self, topic: str, date: str) -> PurePosixPath:
        return PurePosixPath(topic, f"date={date}")

    def named(self, topic: str) -> list[File]:
        """All files of a topic that say what they cover: whole ones, those set aside, notes of what is lost."""
        return self._found(topic)

    def of(self, topic: str, date: str | None = None) -> list[File]:
        """Files of a topic that have been written whole."""
        below = topic if date is None else str(self.directory(topic, date))
        return [file for file in self._found(below) if file.path.suffix == ".parquet"]

    def _found(self, below: str) -> list[File]:
        stored = self._waiting(lambda: self._store.listed(below), below)
        return sorted(file for item in stored if (file := file_of(item.name, item.size)) is not None)

    def tidy(self, topic: str) -> None:
        """Removes what a crash left half written."""
        self._waiting(lambda: self._store.tidy(topic), topic)

    def remove(self, file: File) -> None:
        self._waiting(lambda: self._store.remove(file.path), file.path)

    def set_aside(self, file: File) -> PurePosixPath:
        """Renames a file so that readers pass over it."""
        aside = file.path.with_name(file.path.name + CORRUPT)
        self._waiting(lambda: self._store.rename(file.path, aside), file.path)
        return aside

    def note(self, topic: str, date: str, name: str) -> None:
        """An empty file that says something by its name."""
        target = self.directory(topic, date) / name
        self._waiting(lambda: self._store.put(target, lambda path: path.touch()), target)

    def write(self, topic: str, date: str, name: str, rows: Sequence[Row]) -> PurePosixPath:
        """A file with these rows, whole or not at all."""
        casts = ", ".join(f'CAST("{column}" AS {kind}) AS "{column}"' for column, kind in columns_of(topic).items())
        return self._put(self.directory(topic, date) / name, f"SELECT {casts} FROM table_", columns(topic, rows))

    def copy(self, target: PurePosixPath, sources: Sequence[PurePosixPath], where: str = "true") -> PurePosixPath:
        """A file with the rows of others, in the order of their offsets."""
        read = f"read_parquet([{', '.join(map(self._literal, sources))}], hive_partitioning=false)"
        return self._put(target, f'SELECT * FROM {read} WHERE {where} ORDER BY "offset"')

    def _literal(self, name: PurePosixPath) -> str:
        return literal(f"{self._store.url}/{name}")

    def _put(self, target: PurePosixPath, query: str, table_: dict[str, Any] | None = None) -> PurePosixPath:
        """Runs a query, which finds the columns it is given under the name `table_`, into a file."""
        self._waiting(lambda: self._store.put(target, lambda path: self._run(query, path, table_)), target)
        return target

    def _run(self, query: str, path: Path, table_: dict[str, Any] | None) -> None:
        """DuckDB looks for the name `table_` among the variables of the one who calls it: here."""
        try:
            self._duck.execute(f"COPY ({query}) TO {literal(path)} (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.Error as error:
            raise self._store.trouble() or error from error

    def fault(self, files: Sequence[File], *, whole: bool) -> str | None:
        """What is wrong with these files, or None; `whole` reads every value, otherwise only the footers."""
        return self._waiting(lambda: self._fault(files, whole=whole), files[0].path)

    def _fault(self, files: Sequence[File], *, whole: bool) -> str | None:
        listed = ", ".join(self._literal(file.path) for file in files)
        query = (
            'SELECT filename, min("offset"), max("offset"), min(partition), max(partition), bit_xor(hash(t)) '
            f"FROM read_parquet([{listed}], filename=true, hive_partitioning=false) t GROUP BY filename"
            if whole
            else f"SELECT file_name, num_rows FROM parquet_file_metadata([{listed}])"
        )
        try:
            found = self._duck.execute(query).fetchall()
        except duckdb.Error as error:
            trouble = self._store.trouble()
            if trouble is not None:  # the store is at fault, which says nothing about the files
                raise trouble from error
            return str(error).splitlines()[0]
        if not whole:
            return None
        named = {f"{self._store.url}/{file.path}": file for file in files}
        for path, first, last, lowest, highest, _ in found:
            file = named[path]
            if not (file.first <= first <= last <= file.last and lowest == highest == file.partition):
                return f"holds partition {lowest}, offsets {first} to {last}, which its name does not say"
        return None


def prepare(store: Store, topics: Iterable[str], *, stop: Callable[[], bool] = lambda: True) -> None:
    """An empty file for every topic, so that a reader finds all columns before the first record.

    Raises: `DependencyError` where the lake cannot be written and lacks one.
    """

    def lacking() -> dict[str, PurePosixPath]:
        empty = {topic: PurePosixPath(topic, f"date={NO_DATE}", EMPTY_FILE) for topic in topics}
        return {topic: target for topic, target in empty.items() if not store.exists(target)}

    missing = patiently(lacking, stop=stop, what=store.url)
    if not missing:
        return
    files = Files(store, stop=stop)
    written: dict[tuple[str, ...], PurePosixPath] = {}
    try:
        for topic, target in missing.items():
            same = written.get(tuple(columns_of(topic)))
            if same is None:
                written[tuple(columns_of(topic))] = files.write(topic, NO_DATE, EMPTY_FILE, [])
            else:
                patiently(lambda same=same, target=target: store.duplicate(same, target), stop=stop, what=str(target))
    finally:
        files.close()
