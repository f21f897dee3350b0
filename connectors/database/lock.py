"""The lease of a shard as an advisory lock of Postgres: it ends with the connection, so with the process."""

import os
import threading
from contextlib import suppress
from typing import Any, Final

import psycopg
import xxhash

from connectors.database.address import parsed, shown
from connectors.dependencies import Circuit
from connectors.errors import DependencyError, FatalError
from connectors.lease import ONE_A_SHARD
from connectors.logging import logger

LOOK_S: Final = 2.0
CONNECT_S: Final = 5
_HOLDER: Final = """
select coalesce(a.application_name, 'another worker'), a.pid,
    coalesce(' since ' || a.backend_start::timestamp(0), '')  -- not told of another role's connection
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and ((l.classid::bigint << 32) | l.objid::bigint) = %s
"""


class Lock:
    """An advisory lock of Postgres, and a thread that looks after its connection."""

    def __init__(self, url: str, shard: str) -> None:
        self._url = url
        self._shard = shard
        self._number = xxhash.xxh3_64_intdigest(f"panda:{shard}".encode()) >> 1  # within a bigint
        self._connection: psycopg.Connection[Any] | None = None
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="lease", daemon=True)

    def take(self) -> None:
        try:
            self._connection = self._connect()
        except psycopg.OperationalError as error:
            raise DependencyError(
                f"the lease of shard {self._shard} cannot be asked for at {shown(self._url)}: {_first_line(error)}",
                remedy="start Postgres (`just up`), or correct PANDA_DATABASE__URL",
            ) from error
        if not self._locked(self._connection):
            holder = self._connection.execute(_HOLDER, (self._number,)).fetchone()
            self._connection.close()
            named = f"{holder[0]} (connection {holder[1]}{holder[2]})" if holder else "another worker"
            raise FatalError(f"shard {self._shard} is held by {named}", remedy=ONE_A_SHARD)
        self._watcher.start()

    def _connect(self) -> psycopg.Connection[Any]:
        url = parsed(self._url).set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(
            url, autocommit=True, application_name=f"panda pipeline {self._shard}"[:63], connect_timeout=CONNECT_S,
            keepalives_idle=5, keepalives_interval=2, keepalives_count=3,
        )  # fmt: skip

    def _locked(self, connection: psycopg.Connection[Any]) -> bool:
        row = connection.execute("select pg_try_advisory_lock(%s)", (self._number,)).fetchone()
        return bool(row and row[0])

    def _watch(self) -> None:
        """The connection is asked now and then; a lost one is made anew, and with it the lock."""
        postgres = Circuit("lease", "lease.unreachable", "lease.reachable", {"shard": self._shard})
        while not self._over.wait(LOOK_S):
            try:
                if self._connection is None:
                    self._connection = self._connect()
                    if not self._locked(self._connection):
                        logger().critical("lease.lost", shard=self._shard, meaning="another worker holds it: stopping")
                        os._exit(FatalError.exit_code)
                self._connection.execute("select 1")
            except psycopg.Error as error:
                postgres.open(_first_line(error))
                self._drop()
            else:
                postgres.answered()

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def give_back(self) -> None:
        self._over.set()
        self._watcher.join()
        self._drop()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
