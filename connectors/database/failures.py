"""What a database's errors mean for whoever runs us: an error of ours, what it was about, and what to do.

A `RetryableError` may pass by itself, so a flow waits for it; a wrong password does not, so it ends the flow.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from connectors.database.address import WAIT_S, shown
from connectors.errors import ConfigError, DependencyError, PipelineError, RetryableError

UPGRADE: Final = "run: panda db upgrade"

Meaning = tuple[type[PipelineError], str, str]

_LOCKED: Final[Meaning] = (
    RetryableError,
    f"is locked by another process for more than {WAIT_S:g} s",
    "let the other process finish, or stop it; `fuser FILE` names it, on Postgres `select * from pg_stat_activity`",
)
_DISK_FULL: Final[Meaning] = (DependencyError, "cannot grow: the disk is full", "free space on its disk")

_SQLITE_MEANS: Final[dict[int, Meaning]] = {
    sqlite3.SQLITE_BUSY: _LOCKED,
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
    sqlite3.SQLITE_FULL: _DISK_FULL,
    sqlite3.SQLITE_IOERR: (DependencyError, "cannot be read or written", "check its disk"),
}

# SQLSTATE, or the beginning of one: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_MEANS: Final[dict[str, Meaning]] = {
    "42501": (
        ConfigError,
        "does not allow its user to do this",
        "give PANDA_DATABASE__URL the owner of the database, or grant the right",
    ),
    "25006": (DependencyError, "takes no changes: it is a standby", "give PANDA_DATABASE__URL the primary"),
    "53100": _DISK_FULL,
    "53300": (RetryableError, "has no connection left", "close some, or raise max_connections"),
    "55P03": _LOCKED,
    "40": (RetryableError, "gave way to another writer", "try again"),
}

# A connection that is refused carries no SQLSTATE, only what the server said.
_REFUSALS: Final[dict[str, Meaning]] = {
    "password authentication failed": (
        DependencyError,
        "refuses the password",
        "correct the user and the password in PANDA_DATABASE__URL; `panda services up` says which line of .env differs",
    ),
    "no password supplied": (
        DependencyError,
        "wants a password",
        "give one in PANDA_DATABASE__URL: postgresql+psycopg://user:password@host/database",
    ),
    "no pg_hba.conf entry": (
        DependencyError,
        "lets this user not in from here",
        "add a line to its pg_hba.conf, or correct the user in PANDA_DATABASE__URL",
    ),
    "permission denied for database": (
        DependencyError,
        "does not let this user in",
        "grant connect on the database to the user in PANDA_DATABASE__URL",
    ),
    "does not exist": (
        DependencyError,
        "is not there",
        "correct PANDA_DATABASE__URL, or make the database: createdb -O USER NAME; `panda services up` makes its own",
    ),
    "too many": _POSTGRES_MEANS["53300"],
}

_NOT_SET_UP: Final = ("no such table", "no such column", "has no column named")  # as SQLite says it
_ABSENT: Final = frozenset({"42P01", "42703"})  # a table, a column


def _known(cause: BaseException | None) -> Meaning | None:
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE_MEANS.get(code & 0xFF)  # the low byte is the kind, the rest its variety
    state = getattr(cause, "sqlstate", None)
    if state:
        return _POSTGRES_MEANS.get(state) or _POSTGRES_MEANS.get(state[:2])
    if isinstance(cause, sqlite3.Error):
        return None
    return next((meaning for said, meaning in _REFUSALS.items() if said in str(cause)), None)


def _lacks(cause: BaseException | None) -> str | None:
    """The table or column that is not there, in the database's words."""
    text = str(cause).splitlines()[0] if str(cause) else ""
    if getattr(cause, "sqlstate", None) in _ABSENT or any(words in text for words in _NOT_SET_UP):
        return text
    return None


def meaning(url: str, error: DBAPIError) -> PipelineError | None:
    """The error of ours that says the same; None where it is a fault of ours."""
    cause = error.orig
    where = f"config store {shown(url)}"
    lacks = _lacks(cause)
    if lacks is not None:
        table = "table" in lacks or "relation" in lacks
        return ConfigError(f"{where} {'is not set up' if table else 'lacks a column'}: {lacks}", remedy=UPGRADE)
    known = _known(cause)
    if known is not None:
        kind, says, remedy = known
        return kind(f"{where} {says}: {cause}", remedy=remedy)
    if isinstance(error, IntegrityError):  # we look before we write: somebody else wrote in between
        return RetryableError(f"{where} was changed by another writer at the same time: {cause}", remedy="try again")
    if isinstance(error, OperationalError | InterfaceError) and not isinstance(cause, sqlite3.Error):
        return RetryableError(
            f"{where} does not answer: {cause}",
            remedy="check that the database is up and reachable: panda services status",
        )
    return None


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Database errors leave as ours: `ConfigError`, `DependencyError` or `RetryableError`, with what to do."""
    try:
        yield
    except DBAPIError as error:
        ours = meaning(url, error)
        if ours is None:
            raise
        raise ours from error
    except PoolTimeout as error:
        raise RetryableError(f"config store {shown(url)} has no free connection", remedy="try again") from error
