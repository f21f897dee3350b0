"""The config store as a database: how it is opened, brought up to date, and what its errors mean.

SQLite runs with a write-ahead log, full synchronisation and foreign keys on; a writer takes its lock at the beginning,
so that two of them wait for each other and never fail half way.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connectors.errors import ConfigError, DependencyError, PipelineError, RetryableError

REVISIONS: Final = ("0001",)  # oldest first; the last is what this code reads
WAIT_S: Final = 5.0  # for another writer

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_REMEDY_UPGRADE: Final = "run: panda db upgrade"


# --- opening ----------------------------------------------------------------------------------------------------------


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            "PANDA_DATABASE__URL is no database URL (not shown: it may hold a password)",
            remedy="sqlite:///path/of/file or postgresql+psycopg://user:password@host/database",
        ) from error
    if parsed.drivername == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def shown(url: str) -> str:
    """A database URL without its password.

    >>> shown("postgresql://panda:secret@db/panda")
    'postgresql+psycopg://panda:***@db/panda'
    """
    return _parsed(url).render_as_string(hide_password=True)


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (f"busy_timeout={int(WAIT_S * 1000)}", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").close()


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def open_engine(url: str) -> Engine:
    """An engine for this URL; nothing is opened yet. Raises: `ConfigError` for a URL or a driver that is no use."""
    parsed = _parsed(url)
    local = parsed.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"timeout": WAIT_S} if local else {"connect_timeout": int(WAIT_S)}
    try:
        engine = create_engine(parsed, connect_args=arguments, pool_pre_ping=not local)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError(
            f"no driver for {shown(url)}: {error}", remedy="pip install 'psycopg[binary]' for Postgres"
        ) from error
    if local:
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
    return engine


# --- what errors mean -------------------------------------------------------------------------------------------------

_SQLITE_MEANS: Final[dict[int, tuple[type[PipelineError], str, str]]] = {
    sqlite3.SQLITE_BUSY: (
        RetryableError,
        f"is locked by another process for more than {WAIT_S:g} s",
        "let the other process finish, or stop it; `fuser FILE` names it",
    ),
    sqlite3.SQLITE_LOCKED: (RetryableError, "is locked", "try again"),
    sqlite3.SQLITE_NOTADB: (
        ConfigError,
        "is no SQLite database",
        "correct PANDA_DATABASE__URL, or move the file away and run: panda db upgrade",
    ),
    sqlite3.SQLITE_CORRUPT: (
        DependencyError,
        "is damaged",
        "restore a copy, or move the file away and run: panda db upgrade, then panda db seed",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        ConfigError,
        "cannot be opened",
        "run: panda db upgrade; check that its directory exists and is yours",
    ),
    sqlite3.SQLITE_READONLY: (
        ConfigError,
        "is read-only",
        "give this user the right to write the file and its directory",
    ),
    sqlite3.SQLITE_PERM: (ConfigError, "is not yours to open", "give this user the right to read and write the file"),
    sqlite3.SQLITE_FULL: (DependencyError, "cannot grow: the disk is full", "free space on its disk"),
    sqlite3.SQLITE_IOERR: (DependencyError, "cannot be read or written", "check its disk"),
}


def _meaning(url: str, error: DBAPIError) -> PipelineError | None:
    """What a database error means for whoever runs us; None where it is a fault of ours."""
    cause = error.orig
    where = f"config store {shown(url)}"
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        known = _SQLITE_MEANS.get(code & 0xFF)  # the low byte is the kind, the rest its variety
        if known is not None:
            kind, says, remedy = known
            return kind(f"{where} {says}: {cause}", remedy=remedy)
    if "no such table" in str(cause) or "UndefinedTable" in type(cause).__name__:
        return ConfigError(f"{where} is not set up: {cause}", remedy=_REMEDY_UPGRADE)
    if isinstance(error, IntegrityError):  # we look before we write: somebody else wrote in between
        return RetryableError(f"{where} was changed by another writer at the same time: {cause}", remedy="try again")
    if isinstance(error, OperationalError) and not isinstance(cause, sqlite3.Error):
        return RetryableError(f"{where} does not answer: {cause}", remedy="check that the database is up and reachable")
    return None


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Database errors leave as ours: `ConfigError`, `DependencyError` or `RetryableError`, with what to do."""
    try:
        yield
    except DBAPIError as error:
        meaning = _meaning(url, error)
        if meaning is None:
            raise
        raise meaning from error
    except PoolTimeout as error:
        raise RetryableError(f"config store {shown(url)} has no free connection", remedy="try again") from error


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
        raise ConfigError(f"config store {shown(url)} is not set up", remedy=_REMEDY_UPGRADE)
    if found in REVISIONS:
        raise ConfigError(
            f"config store {shown(url)} has revision {found}, this code reads {REVISIONS[-1]}", remedy=_REMEDY_UPGRADE
        )
    raise _newer(url, found)


def _newer(url: str, found: str) -> ConfigError:
    return ConfigError(
        f"config store {shown(url)} has revision {found}, this code knows up to {REVISIONS[-1]}",
        remedy="a newer version has upgraded it: run that version, or restore a copy from before",
    )


def _make_place(url: str) -> None:
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite":
        return
    directory = Path(parsed.database or "").parent
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the directory of the config store, {directory}: {error.strerror}",
            remedy="set PANDA_DATA_DIR or PANDA_DATABASE__URL to a place that is yours",
        ) from error


def migrate(url: str, target: str = "head") -> None:
    """Bring the store to a revision, in one transaction; `base` removes every table.

    Makes the store where there is none. Two processes that do this at once wait for each other.
    Raises: `ConfigError` for a store of a newer version or a place that cannot be written, `DependencyError`.
    """
    from alembic import command
    from alembic.config import Config

    _make_place(url)
    engine = open_engine(url)
    script = Config()
    script.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    script.set_main_option("path_separator", "os")
    try:
        with translated(url):
            if engine.dialect.name == "sqlite":
                _write_ahead(engine)
            with engine.execution_options(writes=True).begin() as connection:
                found = revision(connection)
                if found is not None and found not in REVISIONS:
                    raise _newer(url, found)
                script.attributes["connection"] = connection
                (command.downgrade if target == "base" else command.upgrade)(script, target)
    finally:
        engine.dispose()


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
