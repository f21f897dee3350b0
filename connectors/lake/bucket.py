"""Bucket: a lake behind S3's protocol, of Amazon or of any store that speaks it.

A PUT is whole or not at all, and seen by the next listing. The one writer holds a lease: an object that it writes anew
every few seconds, each time only if it is still the one it wrote last.
"""

import errno
import fnmatch
import io
import json
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final

import duckdb
import obstore
import psutil
from fsspec import AbstractFileSystem
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from connectors.dependencies import transient
from connectors.errors import ConfigError, DependencyError, FatalError, PipelineError, RetryableError
from connectors.lake.stores import LOCK, Stored, another_writer
from connectors.settings import LakeSettings

LEASE_S: Final = 30.0  # a lease that has not been renewed for so long is anyone's
RENEW_S: Final = 5.0
WHOLE_BYTES: Final = 4 * 2**20  # a file up to this size is read by one request

_RETRIES: Final = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
}


def _client(settings: LakeSettings) -> S3Store:
    keys: dict[str, Any] = {}
    if settings.key_id:  # without one the machine's own identity is used, as Amazon's tools do
        keys = {"access_key_id": settings.key_id, "secret_access_key": settings.secret.get_secret_value()}
    if settings.endpoint:
        keys["endpoint"] = settings.endpoint
    return S3Store(
        settings.bucket, prefix=settings.prefix or None, region=settings.region,
        virtual_hosted_style_request=settings.url_style == "virtual",
        client_options={
            "allow_http": settings.endpoint.startswith("http://"), "connect_timeout": "5s", "timeout": "60s",
        },
        retry_config=_RETRIES, **keys,
    )  # fmt: skip


class Bucket:
    """A lake under a prefix of a bucket."""

    def __init__(self, settings: LakeSettings) -> None:
        self._settings = settings
        self._objects = _client(settings)
        self.url = settings.path.rstrip("/")
        self._reading = _Reading(self)
        self._lease = _Lease(self)

    # --- what an error means ------------------------------------------------------------------------------------------

    @contextmanager
    def told(self) -> Iterator[S3Store]:
        """The store's client; what it raises becomes an error of ours. That something is not there passes through."""
        try:
            yield self._objects
        except FileNotFoundError as error:
            if "NoSuchBucket" not in str(error):
                raise
            raise self.meaning(error) from error
        except (AlreadyExistsError, PreconditionError):
            raise
        except BaseError as error:
            raise self.meaning(error) from error

    def meaning(self, error: Exception) -> PipelineError:
        text, lake = _first_line(error), self._settings
        where = f"s3://{lake.bucket} at {lake.endpoint or lake.region}"
        if "NoSuchBucket" in str(error):
            return ConfigError(f"there is no bucket {where}", remedy="make it, or correct PANDA_LAKE__PATH")
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            return ConfigError(
                f"{where} refuses the key {lake.key_id or '(of this machine)'}: {text}",
                remedy="correct PANDA_LAKE__KEY_ID and PANDA_LAKE__SECRET; the key must list the bucket and read, write "
                f"and delete under {self.url}",
            )
        if "non-2xx status code: 4" in text:
            return ConfigError(
                f"{where} does not take our requests: {text}",
                remedy="correct PANDA_LAKE__ENDPOINT, PANDA_LAKE__REGION and PANDA_LAKE__URL_STYLE",
            )
        return RetryableError(
            f"{where} does not answer: {text}",
            remedy="start it, or correct PANDA_LAKE__ENDPOINT; the log keeps the rest",
        )

    # --- files --------------------------------------------------------------------------------------------------------

    def topics(self) -> set[str]:
        with self.told() as objects:
            return {PurePosixPath(found).name for found in obstore.list_with_delimiter(objects)["common_prefixes"]}

    def listed(self, below: str) -> list[Stored]:
        with self.told() as objects:
            found = [item for batch in obstore.list(objects, prefix=below or None) for item in batch]
        return sorted(Stored(PurePosixPath(item["path"]), item["size"]) for item in found)

    def exists(self, name: PurePosixPath) -> bool:
        with self.told() as objects:
            try:
                obstore.head(objects, str(name))
            except FileNotFoundError:  # for a HEAD that is also the answer where there is no bucket
                return False
        return True

    def put(self, name: PurePosixPath, write: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory(prefix="panda-lake-") as directory:
            local = Path(directory) / name.name
            try:
                write(local)
            except (OSError, duckdb.Error) as error:
                kind = RetryableError if transient(error) else DependencyError
                raise kind(
                    f"a file for the lake cannot be made in {directory}: {error}", remedy="make room, or set TMPDIR"
                ) from error
            with self.told() as objects:
                obstore.put(objects, str(name), local)

    def duplicate(self, name: PurePosixPath, to: PurePosixPath) -> None:
        with self.told() as objects:
            obstore.copy(objects, str(name), str(to))

    def rename(self, name: PurePosixPath, to: PurePosixPath) -> None:
        """A copy is whole before the old name goes: a crash between leaves both, and it is done again."""
        self.duplicate(name, to)
        self.remove(name)

    def remove(self, name: PurePosixPath) -> None:
        with self.told() as objects:
            obstore.delete(objects, str(name))

    def tidy(self, below: str) -> None:
        """Nothing: an upload that was not finished is no object."""

    # --- one writer ---------------------------------------------------------------------------------------------------

    def hold(self) -> Callable[[], None]:
        self._lease.take()
        return self._lease.give_back

    def still_held(self) -> None:
        self._lease.renew()

    # --- reading ------------------------------------------------------------------------------------------------------

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.register_filesystem(_FileSystem(self._reading))

    def trouble(self) -> PipelineError | None:
        found, self._reading.trouble = self._reading.trouble, None
        return found


def _first_line(error: Exception) -> str:
    """What a library says, without the dump of its own state."""
    return " ".join(str(error).split("Debug source")[0].split())[:400]


class _Lease:
    """The writer's object: who it is, and a new content every time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._holder = uuid.uuid4().hex
        self._e_tag: str | None = None
        self._renewed = 0.0

    def take(self) -> None:
        deadline = time.monotonic() + LEASE_S
        seen: str | None = None
        while True:
            with self._bucket.told() as objects:
                with suppress(AlreadyExistsError):
                    return self._write("create")
                try:
                    found = obstore.get(objects, LOCK)
                    e_tag, holder = found.meta["e_tag"], bytes(found.bytes())
                except FileNotFoundError:
                    continue
                if e_tag is None:
                    raise DependencyError("the store gives no entity tags", remedy="use one that speaks all of S3")
                if seen not in (None, e_tag):
                    raise another_writer(self._bucket.url)
                seen = e_tag
                if self._is_ours(holder):
                    self._e_tag = e_tag
                    return None
                if time.monotonic() >= deadline or _is_gone(holder):
                    with suppress(PreconditionError):
                        return self._write({"e_tag": e_tag})
                    raise another_writer(self._bucket.url)
            time.sleep(min(1.0, LEASE_S / 10))

    def _write(self, mode: Any) -> None:
        body = {
            "holder": self._holder, "host": socket.gethostname(), "pid": os.getpid(), "started": _started(),
            "renewed_ns": time.time_ns(),
        }  # fmt: skip
        with self._bucket.told() as objects:
            self._e_tag = obstore.put(objects, LOCK, json.dumps(body).encode(), mode=mode)["e_tag"]
        self._renewed = time.monotonic()

    def renew(self) -> None:
        if self._e_tag is None or time.monotonic() - self._renewed < RENEW_S:
            return
        try:
            self._write({"e_tag": self._e_tag})
        except (PreconditionError, FileNotFoundError):
            self._e_tag = self._written_unseen()
            if self._e_tag is not None:
                return
            raise FatalError(
                f"another process has taken the lake {self._bucket.url}",
                remedy="this one was away for longer than its lease; the other one may go on",
            ) from None

    def _written_unseen(self) -> str | None:
        """The tag of the lease where it is ours all the same: an answer to a writing before this one was lost."""
        try:
            with self._bucket.told() as objects:
                found = obstore.get(objects, LOCK)
                return found.meta["e_tag"] if self._is_ours(bytes(found.bytes())) else None
        except FileNotFoundError:
            return None

    def _is_ours(self, body: bytes) -> bool:
        return self._holder.encode() in body

    def give_back(self) -> None:
        """A store that is away keeps the lease until it runs out."""
        if self._e_tag is not None:
            self._e_tag = None
            with suppress(PipelineError), self._bucket.told() as objects:
                obstore.delete(objects, LOCK)


def _started() -> float:
    return psutil.Process().create_time()


def _is_gone(body: bytes) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    try:
        holder = json.loads(body)
        if holder["host"] != socket.gethostname():
            return False
        return psutil.Process(holder["pid"]).create_time() != holder["started"]
    except psutil.NoSuchProcess:
        return True
    except (ValueError, KeyError, TypeError, psutil.Error):
        return False


# --- as DuckDB reads it -----------------------------------------------------------------------------------------------


class _Reading:
    """Objects for reading, by addresses; remembers when the store was at fault."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.trouble: PipelineError | None = None

    @contextmanager
    def told(self) -> Iterator[S3Store]:
        try:
            with self._bucket.told() as objects:
                yield objects
        except PipelineError as error:
            self.trouble = error
            raise OSError(errno.EIO, error.message) from error

    def name(self, address: str) -> str:
        """An object's name below the lake; addresses come with and without the scheme."""
        return address.removeprefix("s3://").removeprefix(self._bucket.url.removeprefix("s3://") + "/")

    def matching(self, pattern: str) -> list[str]:
        """Addresses without the scheme, by one listing of the longest directory without a wildcard."""
        parts = self.name(pattern).split("/")
        fixed = next((n for n, part in enumerate(parts) if "*" in part), len(parts) - 1)
        with self.told():
            found = self._bucket.listed("/".join(parts[:fixed]))
        root = self._bucket.url.removeprefix("s3://")
        return [f"{root}/{item.name}" for item in found if _matches(item.name.parts, parts)]


def _matches(name: tuple[str, ...], pattern: list[str]) -> bool:
    return len(name) == len(pattern) and all(map(fnmatch.fnmatchcase, name, pattern))


class _FileSystem(AbstractFileSystem):
    """What DuckDB asks of a file system, for reading."""

    protocol = "s3"
    cachable = False

    def __init__(self, reading: _Reading) -> None:
        super().__init__()
        self._reading = reading
        self._known: dict[str, Any] = {}

    def glob(self, path: Any, maxdepth: Any = None, **kwargs: Any) -> Any:
        return self._reading.matching(path)

    def open(
        self, path: Any, mode: Any = "rb", block_size: Any = None, cache_options: Any = None, compression: Any = None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        if mode != "rb":
            raise PermissionError(errno.EACCES, "a lake is written by its archive only", path)
        name = self._reading.name(path)
        with self._reading.told() as objects:
            meta = self._known[name] = obstore.head(objects, name)
            if meta["size"] <= WHOLE_BYTES:
                return io.BytesIO(bytes(obstore.get(objects, name).bytes()))
        return io.BufferedReader(_Ranges(self._reading, name, meta["size"]), WHOLE_BYTES)

    def info(self, path: Any, **kwargs: Any) -> Any:
        name = self._reading.name(path)
        meta = self._known.get(name)
        if meta is None:
            with self._reading.told() as objects:
                meta = obstore.head(objects, name)
        return {"name": path, "size": meta["size"], "type": "file", "mtime": meta["last_modified"]}

    def modified(self, path: Any) -> Any:
        return self.info(path)["mtime"]


class _Ranges(io.RawIOBase):
    """A large object, read by ranges."""

    def __init__(self, reading: _Reading, name: str, size: int) -> None:
        self._reading, self._name, self._size, self._at = reading, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        with self._reading.told() as objects:
            buffer[:length] = bytes(obstore.get_range(objects, self._name, start=self._at, length=length))
        self._at += length
        return length
