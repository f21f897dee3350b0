"""Queries: what the archive is asked, by the API, the command line and anyone with SQL.

A connection reads the lake and nothing else, and writes nowhere: it may open files under the lake only, its
configuration is locked, and a query has to be one SELECT.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, Final

import duckdb

from connectors.errors import ConfigError, DataError
from connectors.lake.files import prepare
from connectors.lake.stores import Lake, Store, literal, store_at
from connectors.settings import LakeSettings
from functions.money import rupees
from functions.topics import archived

VIEWS: Final = (
    "ticks", "clocks", "quality", "signals", "validated", "rejections", "fills", "orders", "pnl", "strategy_pnl",
    "alerts", "commands", "dead_letters",
)  # fmt: skip
_SOME_BROKER: Final = ("paper",)  # every view finds at least the empty files of one broker

Cursor = tuple[str, str]  # timestamp and id of the last item of the page before


# --- connecting -------------------------------------------------------------------------------------------------------


def found(lake: Lake) -> Store:
    """The store of a lake that is there. Raises: `ConfigError` where it is not."""
    settings = lake if isinstance(lake, LakeSettings) else LakeSettings(path=str(lake))
    if settings.bucket:
        return store_at(settings)
    path = Path(settings.path).expanduser().resolve()
    if not path.is_dir():
        raise ConfigError(f"there is no lake at {path}", remedy="`panda demo` or `panda run archive` makes one")
    return store_at(path)


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection with the views of `views.sql` over this lake.

    Raises: `ConfigError` where there is no such lake, `DependencyError` where its empty files cannot be made.
    """
    return _connected(found(lake))


def _connected(store: Store) -> duckdb.DuckDBPyConnection:
    prepare(store, archived(_SOME_BROKER))
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False, "memory_limit": "2GB"}
    )
    store.attach(connection)
    _point_at(connection, store)
    connection.execute(resources.files("analytics").joinpath("views.sql").read_text(encoding="utf-8"))
    connection.execute(f"SET allowed_directories = [{literal(store.url)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _point_at(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    connection.execute("SET VARIABLE lake = ?", [store.url])


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


_COUNTS: Final = """
    SELECT regexp_extract(file_name, '/([^/]+)/date=[^/]+/[^/]+$', 1) AS topic, CAST(sum(num_rows) AS BIGINT) AS records
    FROM parquet_file_metadata(getvariable('lake') || '/*/*/*.parquet') GROUP BY topic ORDER BY topic
"""


def counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Records archived of each topic, copies included; from the files' footers. Raises: `DataError`."""
    return dict(sql(connection, _COUNTS)[1])


def _is_damage(error: duckdb.Error) -> bool:
    """Whether a file is at fault and not the question."""
    text = str(error)
    return ".parquet" in text and not isinstance(error, (duckdb.PermissionException, duckdb.ParserException))


def _damaged(error: duckdb.Error) -> DataError:
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
    """The read functions over one lake; any thread may call them."""

    def __init__(self, lake: Lake) -> None:
        self._store = found(lake)
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
        return {row["topic"]: row["records"] for row in self._rows(_COUNTS, [])}

    def close(self) -> None:
        self._connection.close()
