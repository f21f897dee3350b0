"""Stores: where a lake's files lie. A local disk here; a bucket behind S3's protocol in `bucket`.

What a store promises: `put` leaves a file whole or not at all, and a name that was put is seen by the next listing.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import duckdb

from connectors.dependencies import Stopped, circuit, transient
from connectors.errors import ConfigError, DependencyError, PipelineError, RetryableError
from connectors.settings import LakeSettings

LOCK: Final = ".archive.lock"
LAKE: Final = "lake"  # its circuit

Lake = LakeSettings | Path | str  # by its settings, or a directory
_T = TypeVar("_T")


class Stored(NamedTuple):
    """A file by its name below the lake."""

    name: PurePosixPath
    size: int


class Store(Protocol):
    """The files of one lake, by names below it. Every method raises `RetryableError` where waiting may help."""

    @property
    def url(self) -> str:
        """What stands before a name when DuckDB reads it."""
        ...

    def topics(self) -> set[str]:
        """The topics that have a file; none where there is no lake. Raises: `ConfigError` where nobody may look."""
        ...

    def listed(self, below: str) -> list[Stored]:
        """All files below a directory, whole ones only."""
        ...

    def exists(self, name: PurePosixPath) -> bool: ...

    def put(self, name: PurePosixPath, write: Callable[[Path], None]) -> None:
        """A file with what `write` leaves at a local path, over one of that name."""
        ...

    def duplicate(self, name: PurePosixPath, to: PurePosixPath) -> None: ...

    def rename(self, name: PurePosixPath, to: PurePosixPath) -> None: ...

    def remove(self, name: PurePosixPath) -> None: ...

    def tidy(self, below: str) -> None:
        """Removes what a crash left half written below a directory."""
        ...

    def hold(self) -> Callable[[], None]:
        """Takes the lake for one writer; what it returns gives it back. Raises: `ConfigError` where another holds it."""
        ...

    def still_held(self) -> None:
        """To be called often by the holder. Raises: `FatalError` where another has taken the lake."""
        ...

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Lets a connection read what `url` names."""
        ...

    def trouble(self) -> PipelineError | None:
        """Why the last reading through a connection failed, where it was the store and not the file; asked once."""
        ...


def store_at(lake: Lake) -> Store:
    """The store that settings name; a path stands for a directory. Nothing is made or asked yet."""
    settings = lake if isinstance(lake, LakeSettings) else LakeSettings(path=str(lake))
    if settings.bucket:
        from connectors.lake.bucket import Bucket

        return Bucket(settings)
    return Directory(Path(settings.path).expanduser())


def patiently(attempt: Callable[[], _T], *, stop: Callable[[], bool], what: str) -> _T:
    """What `attempt` answers, however long the lake is full or away; told once when it begins and once when it ends.

    Raises: `DependencyError` when the process is stopped meanwhile.
    """
    try:
        return circuit(LAKE, lost="lake.unavailable", found="lake.available").wait(attempt, stop=stop, what=what)
    except Stopped as stopped:
        error = stopped.__cause__
        assert isinstance(error, RetryableError)
        raise DependencyError(
            f"stopped while the lake could not be used: {what}: {error.message}",
            remedy=f"{error.remedy}; what is not in it is read again at the next start",
        ) from error


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Directory:
    """A lake on a local disk: files are written under another name, synced and renamed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def url(self) -> str:
        return str(self._path)

    @contextmanager
    def _told(self, name: object) -> Iterator[None]:
        try:
            yield
        except (OSError, duckdb.Error) as error:
            kind = RetryableError if transient(error) else DependencyError
            raise kind(
                f"the lake cannot be written: {self._path / str(name)}: {error}",
                remedy="make room or give access; the archive goes on where it stopped",
            ) from error

    def topics(self) -> set[str]:
        try:
            with os.scandir(self._path) as entries:
                return {entry.name for entry in entries if any(Path(entry.path).glob("date=*/*.parquet"))}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except PermissionError as error:
            raise ConfigError(
                f"the lake {self._path} cannot be read: {error.strerror}", remedy="ask as a user who may read it"
            ) from error

    def listed(self, below: str) -> list[Stored]:
        found = []
        for path in (self._path / below).glob("**/*"):
            with suppress(FileNotFoundError):  # a compaction may take it away meanwhile
                if path.is_file() and not path.name.startswith("."):
                    name = PurePosixPath(path.relative_to(self._path).as_posix())
                    found.append(Stored(name, path.stat().st_size))
        return sorted(found)

    def exists(self, name: PurePosixPath) -> bool:
        return (self._path / name).exists()

    def put(self, name: PurePosixPath, write: Callable[[Path], None]) -> None:
        target = self._path / name
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with self._told(name):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                write(temporary)
                sync(temporary)
                temporary.replace(target)
                sync(target.parent)
            finally:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def duplicate(self, name: PurePosixPath, to: PurePosixPath) -> None:
        """A second name is whole at once, and needs no syncing of its content."""
        with self._told(to):
            (self._path / to).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.link(self._path / name, self._path / to)

    def rename(self, name: PurePosixPath, to: PurePosixPath) -> None:
        with self._told(to):
            (self._path / name).replace(self._path / to)
            sync((self._path / to).parent)

    def remove(self, name: PurePosixPath) -> None:
        with self._told(name):
            (self._path / name).unlink()
            sync((self._path / name).parent)

    def tidy(self, below: str) -> None:
        for temporary in (self._path / below).glob("date=*/.[0-9]*.tmp"):
            temporary.unlink()

    def hold(self) -> Callable[[], None]:
        """The lock ends with the process."""
        with self._told(LOCK):
            self._path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._path / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise another_writer(str(self._path)) from None
        return lambda: os.close(lock)

    def still_held(self) -> None:
        """The system keeps the lock."""

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """DuckDB reads a disk by itself."""

    def trouble(self) -> PipelineError | None:
        return None


def another_writer(where: str) -> ConfigError:
    return ConfigError(
        f"another process archives into {where}", remedy="run one archive per lake, or set PANDA_LAKE__PATH"
    )


def literal(value: Any) -> str:
    """A text of SQL."""
    return "'" + str(value).replace("'", "''") + "'"
