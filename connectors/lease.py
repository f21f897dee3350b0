"""The lease of a shard: one worker holds it, a second is refused.

The lock ends with the process that holds it, however that ends: with SQLite it is a locked file in the data directory (one
machine), with Postgres an advisory lock of a connection of its own. Losing Postgres loses no trading: nobody else can take
the lock then. If somebody has taken it when Postgres is back, this worker stops at once.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from connectors.errors import DependencyError, FatalError
from connectors.logging import logger
from connectors.settings import Settings

ONE_A_SHARD: Final = "one worker a shard: stop the other, or start this one with another --shard"


@contextmanager
def hold(settings: Settings, shard: str) -> Iterator[None]:
    """Holds the lease of this shard for the time of the block.

    Raises: `FatalError` naming the holder where another worker has it, `DependencyError` where nobody can be asked.
    """
    lease = _lease(settings, shard)
    lease.take()
    logger().info("lease.taken", shard=shard)
    try:
        yield
    finally:
        lease.give_back()


class _Lease(Protocol):
    def take(self) -> None: ...

    def give_back(self) -> None: ...


def _lease(settings: Settings, shard: str) -> _Lease:
    url = settings.database.url.get_secret_value()
    if url.startswith("postgresql"):
        from connectors.database.lock import Lock  # here: a driver that others need not load

        return Lock(url, shard)
    return _File(settings.data_dir / "leases" / f"{shard}.lock", shard)


class _File:
    """A locked file; it holds the pid of its holder for whoever is refused."""

    def __init__(self, path: Path, shard: str) -> None:
        self._path = path
        self._shard = shard
        self._descriptor = -1

    def take(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DependencyError(
                f"the lease {self._path} cannot be opened: {error}", remedy="check PANDA_DATA_DIR"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 100).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise FatalError(
                f"shard {self._shard} is held by another worker, pid {holder}", remedy=ONE_A_SHARD
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def give_back(self) -> None:
        os.close(self._descriptor)
