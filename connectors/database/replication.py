"""Postgres's replication slot: how far Debezium has read the outbox, and whether it can still go on from there."""

from typing import Any, Final

from sqlalchemy import Engine, text

from connectors.database.address import is_postgres
from connectors.database.failures import translated
from connectors.database.schema import open_engine
from connectors.dependencies import circuit
from connectors.errors import DependencyError

FAR_BEHIND: Final = 512 * 1024 * 1024  # bytes of log kept for a reader who does not come

_STATE: Final = text(
    "SELECT wal_status, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS behind "
    "FROM pg_replication_slots WHERE slot_name = :slot"
)


def _found(url: str, engine: Engine, slot: str) -> Any:
    with translated(url), engine.connect() as connection:
        return connection.execute(_STATE, {"slot": slot}).one_or_none()


def refuse_lost_slot(url: str, slot: str) -> None:
    """Whether the slot can be read on from where it is. A store on SQLite has none.

    Raises: `DependencyError` for a slot that is gone, whose log was removed, or that keeps more than `FAR_BEHIND` bytes
    of log for a reader who does not come; `RetryableError` where the database does not answer.
    """
    if not is_postgres(url):
        return
    engine = open_engine(url)
    try:
        found = circuit("postgres").ask(lambda: _found(url, engine, slot))
    finally:
        engine.dispose()
    if found is None:
        raise DependencyError(
            f"Postgres has no replication slot {slot}: nothing keeps changes of the outbox for Debezium",
            remedy="run: panda deploy apply. The connector makes a new one and publishes the outbox again, from its "
            "beginning and under the same ids: nothing is lost",
        )
    if found.wal_status == "lost":
        raise DependencyError(
            f"replication slot {slot} is lost: Postgres has removed log that Debezium had not read",
            remedy=f"as a super user of Postgres: SELECT pg_drop_replication_slot('{slot}'); then run: panda deploy apply. "
            "The outbox is published again, from its beginning and under the same ids: nothing is lost",
        )
    if not found.active and found.behind is not None and found.behind > FAR_BEHIND:
        raise DependencyError(
            f"replication slot {slot} keeps {int(found.behind) // 2**20} MiB of log, and nobody reads it",
            remedy="start Kafka Connect: panda services up connect; or, for good, drop the slot",
        )
