"""Where the config store is: its URL, read, and shown without its password."""

from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from connectors.errors import ConfigError

WAIT_S: Final = 5.0  # for another writer, a connection, a free place in the pool


def parsed(url: str) -> URL:
    """The parts of a database URL; Postgres is spoken to by psycopg. Raises: `ConfigError`."""
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            "PANDA_DATABASE__URL is no database URL (not shown: it may hold a password)",
            remedy="sqlite:///path/of/file or postgresql+psycopg://user:password@host/database",
        ) from error
    if parts.drivername == "postgresql":
        return parts.set(drivername="postgresql+psycopg")
    return parts


def shown(url: str) -> str:
    """A database URL without its password.

    >>> shown("postgresql://panda:secret@db/panda")
    'postgresql+psycopg://panda:***@db/panda'
    """
    return parsed(url).render_as_string(hide_password=True)


def is_postgres(url: str) -> bool:
    """Whether the config store is a Postgres database.

    >>> is_postgres("postgresql://panda:secret@db/panda"), is_postgres("sqlite:///panda.sqlite")
    (True, False)
    """
    return parsed(url).get_backend_name() == "postgresql"
