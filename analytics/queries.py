"""Queries: what the archive is asked, by the API, the command line and anyone with SQL.

A connection reads the lake and nothing else, and writes nowhere: it may open files under the lake only, its
configuration is locked, and a query has to be one SELECT. What the lake has no file of yet has no rows.
"""

import glob
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, Final, get_args

import duckdb

from connectors.errors import ConfigError, DataError
from connectors.lake.stores import Lake, Store, literal, store_at
from connectors.settings import Broker, LakeSettings
from functions.money import rupees
from functions.topics import archived

VIEWS: Final = (
    "ticks", "clocks", "quality", "signals", "validated", "rejections", "fills", "orders", "pnl", "strategy_pnl",
    "alerts", "commands", "dead_letters",
)  # fmt: skip

Cursor = tuple[str, str]  # timestamp and id of the last item of the page before


# --- connecting -------------------------------------------------------------------------------------------------------


def _store(lake: Lake) -> Store:
    settings = lake if isinstance(lake, LakeSettings) else LakeSettings(path=str(lake))
    if settings.bucket:
        return store_at(settings)
    return store_at(Path(settings.path).expanduser().resolve())


def _refuse_where_there_is_none(store: Store) -> None:
    """Raises: `ConfigError` where no topic of ours has a file."""
    if _holds_topics(store):
        return
    path, what, remedy = Path(store.url), "", "`panda demo` or `panda run archive` makes one"
    if path.is_file():
        what = ": it is a file"
    elif path.exists():
        what = ": no topic has a file there"
        below = [
            inner for inner in (path / "lake", path / "demo" / "lake", path.parent) if _holds_topics(store_at(inner))
        ]
        remedy = f"there is one at {below[0]}" if below else remedy
    raise ConfigError(f"there is no lake at {store.url}{what}", remedy=remedy)


def _holds_topics(store: Store) -> bool:
    return not store.topics().isdisjoint(archived(get_args(Broker)))


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection with the views of `views.sql` over this lake. Raises: `ConfigError` where there is none."""
    store = _store(lake)
    _refuse_where_there_is_none(store)
    return _connected(store)


def _connected(store: Store) -> duckdb.DuckDBPyConnection:
    spill = f"{os.environ.get('TMPDIR', '/tmp')}/panda-sql-{os.getpid()}"  # only of what does not fit memory; removed
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False, "autoload_known_extensions": False, "memory_limit": "2GB",
            "temp_directory": spill,
        }
    )  # fmt: skip
    connection.execute("SET enable_progress_bar = false")  # it would be written to standard output
    store.attach(connection)
    _point_at(connection, store)
    connection.execute(resources.files("analytics").joinpath("views.sql").read_text(encoding="utf-8"))
    connection.execute(f"SET allowed_directories = [{literal(store.url)}, {literal(_pattern(store))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _point_at(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    connection.execute("SET VARIABLE lake = ?", [_pattern(store)])


def _pattern(store: Store) -> str:
    """The lake where files are looked for by patterns: its name stands for itself, whatever is in it."""
    return store.url if "://" in store.url else glob.escape(store.url)


# --- any question -----------------------------------------------------------------------------------------------------


def sql(
    connection: duckdb.DuckDBPyConnection, query: str, store: Store | None = None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of one SELECT; the lake's store tells whether a failed reading was its own fault.

    Raises: `ConfigError` with DuckDB's message for any other statement and for what it does not take; `DataError` where
    a file of the lake cannot be read, `DependencyError` where the store does not answer.
    """
    remedy = "ask one SELECT over " + ", ".join(VIEWS)
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise ConfigError(f"the query cannot run: {error}", remedy=remedy) from error
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        raise ConfigError(f"a query is one SELECT, this is {' and '.join(kinds) or 'empty'}", remedy=remedy)
    try:
        answer = connection.execute(statements[0])
        return [column[0] for column in answer.description or []], answer.fetchall()
    except duckdb.Error as error:
        trouble = store.trouble() if store is not None else None
        if trouble is not None:
            raise trouble from error
        if _is_damage(error):
            raise _damaged(error) from error
        raise ConfigError(f"the query cannot run: {error}", remedy=remedy) from error


_HOLDS_ANY: Final = "SELECT file FROM glob(getvariable('lake') || '/*/*/*.parquet') LIMIT 1"
_COUNTS: Final = """
    SELECT regexp_extract(file_name, '/([^/]+)/date=[^/]+/[^/]+$', 1) AS topic, CAST(sum(num_rows) AS BIGINT) AS records
    FROM parquet_file_metadata(getvariable('lake') || '/*/*/*.parquet') GROUP BY topic ORDER BY topic
"""


def counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Records archived of each topic, copies included; from the files' footers. Raises: `DataError`."""
    return dict(sql(connection, _COUNTS)[1]) if sql(connection, _HOLDS_ANY)[1] else {}


_OF_THE_QUESTION: Final = (
    duckdb.PermissionException, duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException,
)  # fmt: skip


def _is_damage(error: duckdb.Error) -> bool:
    """Whether a file is at fault and not the question."""
    return ".parquet" in str(error) and not isinstance(error, _OF_THE_QUESTION)


def _damaged(error: duckdb.Error) -> DataError:
    if "schema mismatch" in str(error):
        return DataError(
            f"a file of the lake has other columns than those before it: {error}",
            remedy="another version wrote it: ask with that version, or archive anew into an empty directory",
        )
    return DataError(
        f"a file of the lake cannot be read: {error}",
        remedy="restart the archive: it sets the file aside and reads it again",
    )


# --- the questions of the API -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fill:
    """One trade; money as text in rupees."""

    id: str
    timestamp: str
    broker: str
    order_id: str
    account: str
    strategy: str
    instrument_token: int
    tradingsymbol: str
    side: str
    quantity: int
    remaining: int
    price: str
    value: str
    charges: str
    realised_pnl: str
    position: int
    average_price: str
    slippage: str


@dataclass(frozen=True)
class PnlPoint:
    """An account at one boundary; money as text in rupees."""

    id: str
    timestamp: str
    account: str
    cash: str
    realised: str
    unrealised: str
    charges: str
    net_pnl: str
    equity: str
    gross_exposure: str
    peak_equity: str
    max_drawdown: str


def _plain(value: Any) -> Any:
    """As JSON has it: money as `money.rupees` writes it, times in RFC 3339."""
    if isinstance(value, Decimal):
        return rupees(int(value.scaleb(6)))
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value


def _naive(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp).astimezone(UTC).replace(tzinfo=None)


class Queries:
    """The read functions over one lake; any thread may call them.

    One that is `awaited` need not be there: it is empty until its archive has made it. Raises: `ConfigError`.
    """

    def __init__(self, lake: Lake, *, awaited: bool = False) -> None:
        self._store = _store(lake)
        if not awaited:
            _refuse_where_there_is_none(self._store)
        self._connection = _connected(self._store)
        self._opening = threading.Lock()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._opening:
            cursor = self._connection.cursor()
        try:
            _point_at(cursor, self._store)
            yield cursor
        finally:
            cursor.close()

    def _rows(self, query: str, parameters: list[Any]) -> list[dict[str, Any]]:
        """Rows as JSON has them. A file that compaction removed meanwhile is looked for again once."""
        for attempt in (1, 2):
            with self._cursor() as cursor:
                try:
                    answer = cursor.execute(query, parameters)
                    names = [column[0] for column in answer.description or []]
                    return [dict(zip(names, map(_plain, row), strict=True)) for row in answer.fetchall()]
                except duckdb.Error as error:
                    trouble = self._store.trouble()
                    if trouble is not None:
                        raise trouble from error
                    if attempt == 2:
                        raise _damaged(error) from error
        raise AssertionError("unreachable")

    def sql(self, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """As `sql` above."""
        with self._cursor() as cursor:
            return sql(cursor, query, self._store)

    def fills(
        self, broker: str, account: str | None = None, after: Cursor | None = None, limit: int = 100
    ) -> list[Fill]:
        """Trades, newest first, those after a cursor."""
        where = ["broker = ?"]
        parameters: list[Any] = [broker]
        if account is not None:
            where.append("account = ?")
            parameters.append(account)
        if after is not None:
            where.append("(timestamp, id) < (?, ?)")
            parameters += [_naive(after[0]), after[1]]
        names = ", ".join(Fill.__dataclass_fields__)
        rows = self._rows(
            f"SELECT {names} FROM fills WHERE {' AND '.join(where)} ORDER BY timestamp DESC, id DESC LIMIT ?",
            [*parameters, limit],
        )
        return [Fill(**row) for row in rows]

    def pnl_series(
        self, broker: str, account: str, start: str | None = None, end: str | None = None, limit: int = 500,
        after: Cursor | None = None,
    ) -> list[PnlPoint]:  # fmt: skip
        """Snapshots of an account, oldest first, from `start` (inclusive) to `end` (exclusive), RFC 3339."""
        where = ["broker = ?", "account = ?"]
        parameters: list[Any] = [broker, account]
        for bound, condition in ((start, "timestamp >= ?"), (end, "timestamp < ?")):
            if bound is not None:
                where.append(condition)
                parameters.append(_naive(bound))
        if after is not None:
            where.append("(timestamp, id) > (?, ?)")
            parameters += [_naive(after[0]), after[1]]
        names = ", ".join(PnlPoint.__dataclass_fields__)
        rows = self._rows(
            f"SELECT {names} FROM pnl WHERE {' AND '.join(where)} ORDER BY timestamp, id LIMIT ?", [*parameters, limit]
        )
        return [PnlPoint(**row) for row in rows]

    def order(self, broker: str, order_id: str) -> dict[str, Any] | None:
        """One order, however long ago, in the columns of the view; None where there is none."""
        rows = self._rows("SELECT * EXCLUDE (date) FROM orders WHERE broker = ? AND order_id = ?", [broker, order_id])
        return rows[0] if rows else None

    def counts(self) -> dict[str, int]:
        """Records archived of each topic, copies included."""
        counted = self._rows(_COUNTS, []) if self._rows(_HOLDS_ANY, []) else []
        return {row["topic"]: row["records"] for row in counted}

    def check(self) -> None:
        """Raises: `PipelineError` where the lake is not there (yet), or its files cannot be read."""
        _refuse_where_there_is_none(self._store)
        self.counts()

    def close(self) -> None:
        self._connection.close()
