"""The config store as a database: how it is opened, and brought up to date.

Writers come one after the other, so that two of them wait for each other and never fail half way, and changes reach the
outbox in the order in which they are committed: SQLite takes its lock at the beginning, Postgres one of our own name.
SQLite runs with a write-ahead log, full synchronisation and foreign keys on.
"""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from connectors.database import rights
from connectors.database.address import WAIT_S, parsed, shown
from connectors.database.failures import UPGRADE, translated
from connectors.errors import ConfigError

__all__ = ["REVISIONS", "migrate", "open_engine", "refuse_other_revision", "revision", "shown", "translated"]

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005")  # oldest first; the last is what this code reads

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_WRITERS: Final = int.from_bytes(b"panda")  # of Postgres's advisory locks, the one that every writer takes
_CONNECTIONS: Final = 5  # kept open by one process
_BURST: Final = 10  # opened beyond them for a moment
_SILENCE_MS: Final = 10_000  # a Postgres server that acknowledges nothing for so long is gone


# --- opening ----------------------------------------------------------------------------------------------------------


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (f"busy_timeout={int(WAIT_S * 1000)}", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").close()


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes", False))


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgres(connection: Connection) -> None:
    if _writes(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


def _arguments(parts: URL) -> dict[str, Any]:
    """What a connection is opened with; what the URL says itself stays."""
    if parts.get_backend_name() == "sqlite":
        return {"timeout": WAIT_S}
    ours: dict[str, Any] = {
        "connect_timeout": int(WAIT_S),
        "application_name": "alpha-panda",
        "tcp_user_timeout": _SILENCE_MS,
        "options": f"-c lock_timeout={int(WAIT_S * 1000)} -c timezone=UTC",
    }
    return {name: value for name, value in ours.items() if name not in parts.query}


def open_engine(url: str) -> Engine:
    """An engine for this URL; nothing is opened yet. Raises: `ConfigError` for a URL or a driver that is no use."""
    parts = parsed(url)
    local = parts.get_backend_name() == "sqlite"
    try:
        engine = create_engine(
            parts, connect_args=_arguments(parts), pool_pre_ping=not local, pool_size=_CONNECTIONS,
            max_overflow=_BURST, pool_timeout=WAIT_S,
        )  # fmt: skip
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError(
            f"no driver for {shown(url)}: {error}", remedy="pip install 'psycopg[binary]' for Postgres"
        ) from error
    if local:
        event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _begin_sqlite if local else _begin_postgres)
    return engine


# --- up to date -------------------------------------------------------------------------------------------------------


def revision(connection: Connection) -> str | None:
    """The revision of the store; None before its first upgrade."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def refuse_other_revision(connection: Connection, url: str) -> None:
    """Raises: `ConfigError` where the store is older or newer than this code, or not set up."""
    found = revision(connection)
    if found == REVISIONS[-1]:
        return
    if found is None:
        raise ConfigError(f"config store {shown(url)} is not set up", remedy=UPGRADE)
    if found in REVISIONS:
        raise ConfigError(
            f"config store {shown(url)} has revision {found}, this code reads {REVISIONS[-1]}", remedy=UPGRADE
        )
    raise _newer(url, found)


def _newer(url: str, found: str) -> ConfigError:
    return ConfigError(
        f"config store {shown(url)} has revision {found}, this code knows up to {REVISIONS[-1]}",
        remedy="a newer version has upgraded it: run that version, or restore a copy from before",
    )


def _refuse_drift(connection: Connection, url: str) -> None:
    """A store of the right revision whose tables somebody has changed by hand. Raises: `ConfigError`."""
    inspector = inspect(connection)
    from connectors.database.models import Table  # here: who only asks for the revision need not load the mapper

    lacking = []
    for table in Table.metadata.sorted_tables:
        found = {c["name"] for c in inspector.get_columns(table.name)} if inspector.has_table(table.name) else set()
        lacking += [f"{table.name}.{column.name}" for column in table.columns if column.name not in found]
    if lacking:
        raise ConfigError(
            f"config store {shown(url)} has revision {REVISIONS[-1]} and yet lacks {', '.join(lacking)}",
            remedy="its tables were changed by hand: add the columns again, or restore a copy",
        )


def _make_place(url: str) -> None:
    parts = parsed(url)
    if parts.get_backend_name() != "sqlite":
        return
    directory = Path(parts.database or "").parent
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the directory of the config store, {directory}: {error.strerror}",
            remedy="set PANDA_DATA_DIR or PANDA_DATABASE__URL to a place that is yours",
        ) from error


def migrate(url: str, target: str = "head") -> list[str]:
    """Bring the store to a revision, in one transaction; `base` removes every table.

    Makes the store where there is none. Two processes that do this at once wait for each other. On Postgres the users
    of Kafka Connect are given their rights; those that the server does not have are returned, by name.
    Raises: `ConfigError` for a store of a newer version, one changed by hand, or a place that cannot be written;
    `DependencyError`.
    """
    _make_place(url)
    engine = open_engine(url)
    try:
        with translated(url):
            if engine.dialect.name == "sqlite":
                _write_ahead(engine)
            with engine.execution_options(writes=True).begin() as connection:
                return _migrate(connection, url, target)
    finally:
        engine.dispose()


def _migrate(connection: Connection, url: str, target: str) -> list[str]:
    from alembic import command
    from alembic.config import Config

    found = revision(connection)
    if found is not None and found not in REVISIONS:
        raise _newer(url, found)
    script = Config()
    script.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    script.set_main_option("path_separator", "os")
    script.attributes["connection"] = connection
    if target == "head":
        command.upgrade(script, target)
        _refuse_drift(connection, url)
        return rights.grant(connection) if connection.dialect.name == "postgresql" else []
    earlier = target == "base" or (found is not None and REVISIONS.index(target) < REVISIONS.index(found))
    (command.downgrade if earlier else command.upgrade)(script, target)
    return []


def _write_ahead(engine: Engine) -> None:
    """The mode stays with the file; outside a transaction, as SQLite wants it."""
    try:
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode=WAL").close()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DBAPIError("PRAGMA journal_mode=WAL", None, error) from error
