"""Tables: one file, opened as far as the names of its columns, text or Parquet alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import duckdb

from connectors.errors import DataError
from connectors.recorded import text_files
from connectors.recorded.dialects import Dialect, dialect_of
from connectors.recorded.names import BARS, is_of_orders, meanings
from connectors.recorded.options import ReadingOptions
from connectors.recorded.text_files import TextFile
from functions.ticks import LEVELS

DEPTH_COLUMNS: Final = [
    f"{side}{what}{n}" for n in range(1, LEVELS + 1) for side in ("bid", "ask") for what in ("", "_quantity")
]
TIMES: Final = ("time", "date", "clock", "index", "traded")
_SAMPLE: Final = 200  # rows of files that are alike
_PARQUET: Final = (".parquet", ".parq", ".pq")


_TYPES: Final = (
    "EQ",
    "CE",
    "PE",
    "XX",
    "EQUITY",
    "INDEX",
    "STK",
    "STF",
    "STO",
    "IDF",
    "IDO",
    "ETF",
    "TICK",
    "QUOTE",
    "FULL",
)


class Foreign(DataError):
    """A file that is no market data: within a folder it is named and passed over."""


@dataclass
class Table:
    """A file whose columns are known. In SQL its columns are the expressions of `columns`."""

    connection: duckdb.DuckDBPyConnection
    path: Path
    found: list[str]  # the column names as they stand in the file
    columns: dict[str, str]  # what a column means -> how SQL says it
    types: dict[str, str]  # and its SQL type
    names: dict[str, str]  # and its name in the file
    options: ReadingOptions
    relation: str  # SQL: the rows of the file
    text: TextFile | None = None  # None = Parquet
    dialect: Dialect | None = None
    scratch: Path = field(default_factory=Path)  # for copies
    _rejects: bool = False  # whether lines of the wrong width are set aside

    @property
    def is_bars(self) -> bool:
        return "price" not in self.columns and set(BARS) <= self.columns.keys()

    @property
    def has_time(self) -> bool:
        return not self.columns.keys().isdisjoint(TIMES)

    @property
    def is_list(self) -> bool:
        """A list of instruments: names with what they are, and neither time nor price."""
        has_prices = self.is_bars or "price" in self.columns
        return "symbol" in self.columns and not (self.has_time and has_prices) and self._describes

    @property
    def _describes(self) -> bool:
        return not self.columns.keys().isdisjoint(("token", "lot_size", "tick_size"))

    @property
    def shows_depth(self) -> bool:
        """Whether there is more than the best bid and ask."""
        return all(name in self.columns for name in ("bid2", "ask2", "bid_quantity2", "ask_quantity2"))

    @classmethod
    def open(
        cls, connection: duckdb.DuckDBPyConnection, path: Path, options: ReadingOptions, scratch: Path
    ) -> "Table":  # fmt: skip
        """Raises: `Foreign` for a file that is no market data, `DataError` for one that is empty or cannot be read."""
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty", remedy="leave it out, or record it again")
        is_parquet = path.name.lower().endswith(_PARQUET)
        table = (_parquet if is_parquet else _text)(connection, path, options, scratch)
        table._adopt_symbol()
        table._refuse_foreign()
        return table

    def _adopt_symbol(self) -> None:
        """A column called `instrument` or `name` holds symbols where nothing else does, and no types of instruments."""
        if "symbol" in self.columns or "token" in self.columns:
            return
        for name in ("type", "name"):
            texts = [text.strip().upper() for text in self.samples.get(name, []) if text.strip()]
            if texts and not all(text in _TYPES or text.startswith(("FUT", "OPT")) for text in texts):
                for about in (self.columns, self.types, self.names, self.samples):
                    about["symbol"] = about.pop(name)  # type: ignore[attr-defined]
                return

    def _refuse_foreign(self) -> None:
        if is_of_orders(self.found):
            raise Foreign(
                f"{self.path} is a list of orders or trades and no market data; its columns are {', '.join(self.found)}",
                remedy="leave it out",
            )
        has_prices = self.is_bars or "price" in self.columns
        if (self.has_time and has_prices) or self.is_list:
            return
        missing = [] if self.has_time else ["a time"]
        missing += [] if has_prices else ["a price (last_price, ltp) or all of open, high, low, close"]
        example = "time" if not self.has_time else "price"
        looks_like_market = self.has_time and not self.columns.keys().isdisjoint(("price", *BARS))
        raise (DataError if looks_like_market else Foreign)(
            f"{self.path} has no column for {' and for '.join(missing)}; it has {', '.join(self.found)}",
            remedy=f"say which column it is, e.g. --column {example}=NAME, or leave the file out"
            if len(self.found) > 1
            else "say what its columns are, e.g. --columns date,time,open,high,low,close,volume, or leave the file out",
        )

    def query(self, select: dict[str, str], where: str = "") -> dict[str, Any]:
        """Columns as arrays, in the order of the file. Raises: `DataError` where the file breaks off or is corrupt."""
        return self._executed(select, where).fetchnumpy()

    def rows(self, select: dict[str, str], where: str = "", limit: int = 1_000) -> list[tuple[Any, ...]]:
        """The first rows of a query, as values."""
        return self._executed(select, where, f" LIMIT {limit}").fetchall()

    def distinct(self, text: str, where: str, limit: int = 1_000) -> list[str]:
        """Different values of one expression over the whole file."""
        found = self._executed({"value": f"DISTINCT {text}"}, where, f" LIMIT {limit}").fetchall()
        return [str(value) for (value,) in found if value is not None]

    def select(self, select: dict[str, str], where: str = "", tail: str = "") -> str:
        """The text of a query."""
        listed = ", ".join(
            sql if sql.startswith("DISTINCT ") else f'{sql} AS "{name}"' for name, sql in select.items()
        )  # fmt: skip
        return f"SELECT {listed} FROM {self.relation}{f' WHERE {where}' if where else ''}{tail}"

    def _executed(self, select: dict[str, str], where: str, tail: str = "") -> duckdb.DuckDBPyConnection:
        while True:
            try:
                if self._rejects:
                    self.connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
                return self.connection.execute(self.select(select, where, tail))
            except duckdb.Error as error:
                if not self._easier(error):
                    raise _unusable(self.path, error) from error

    def _easier(self, error: duckdb.Error) -> bool:
        """Whether there is an easier way to read the file: lines of the wrong width set aside, or from a copy."""
        if self.text is None or self.dialect is None or isinstance(error, duckdb.IOException | duckdb.BinderException):
            return False
        if not self._rejects and "state machine" not in str(error):
            self._rejects = True
        elif self.text.readable == self.path:
            self.text = self.text.copied(self.scratch)
        else:
            return False
        self.relation = _relation([self.text], self.dialect, rejects=self._rejects)
        return True

    def rejected(self) -> list[tuple[int, str, str]]:
        """Lines of the last query that have too few or too many columns: line number, text, reason."""
        if not self._rejects:
            return []
        found = self.connection.execute(
            "SELECT line, any_value(csv_line), any_value(error_message), any_value(error_type::VARCHAR) "
            "FROM reject_errors GROUP BY line ORDER BY line"
        ).fetchall()
        if self.text is not None and any(kind == "INVALID ENCODING" for *_, kind in found):
            raise _NotUtf8
        return [(int(line), str(text), str(message).splitlines()[0]) for line, text, message, _ in found]

    def as_copied(self) -> None:
        """Reads from a copy from now on: for a file that is not in UTF-8 somewhere behind its first lines."""
        if self.text is not None and self.dialect is not None:
            self.text = self.text.copied(self.scratch)
            self.relation = _relation([self.text], self.dialect, rejects=self._rejects)

    @cached_property
    def samples(self) -> dict[str, list[str]]:
        """Some texts of each column that is text, by what it means."""
        texts = {name: sql for name, sql in self.columns.items() if self.types[name] == "VARCHAR"}
        if self.dialect is not None and self.dialect.rows:
            places = {name: int(sql[1:]) for name, sql in texts.items()}
            return {name: [row[place] for row in self.dialect.rows] for name, place in places.items()}
        if not texts:
            return {}
        rows = self.rows(texts, limit=200)
        return {name: [row[n] or "" for row in rows] for n, name in enumerate(texts)}


class _NotUtf8(Exception):
    """Lines of the file are not in UTF-8."""


def rejected(table: Table, requery: Any) -> list[tuple[int, str, str]]:
    """The lines that a query set aside; where they only were in another encoding, the query is made again first."""
    try:
        return table.rejected()
    except _NotUtf8:
        table.as_copied()
        requery()
        return table.rejected()


def _parquet(connection: duckdb.DuckDBPyConnection, path: Path, options: ReadingOptions, scratch: Path) -> Table:
    relation = f"read_parquet({_quoted(path)}, hive_partitioning=false)"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except duckdb.Error as error:
        raise _unusable(path, error) from error
    names = [str(row[0]) for row in described]
    columns, types, called = {}, {}, {}
    for meaning, place in meanings(names, options.columns).items():
        kind = str(described[place][1])
        sql = '"' + names[place].replace('"', '""') + '"'
        if kind.startswith("ENUM") or kind in ("VARCHAR", "UUID"):
            sql, kind = f"{sql}::VARCHAR", "VARCHAR"
        elif kind == "BLOB":
            sql, kind = f"decode({sql})", "VARCHAR"
        columns[meaning], types[meaning], called[meaning] = sql, kind, names[place]
    return Table(connection, path, names, columns, types, called, options, relation, scratch=scratch)


def _text(connection: duckdb.DuckDBPyConnection, path: Path, options: ReadingOptions, scratch: Path) -> Table:
    text = text_files.opened(path, scratch)
    dialect = dialect_of(path, text.head, options.columns, options.order)
    places = meanings(dialect.names, options.columns)
    columns = {meaning: f"c{place}" for meaning, place in places.items()}
    called = {meaning: dialect.names[place] for meaning, place in places.items()}
    types, relation = dict.fromkeys(columns, "VARCHAR"), _relation([text], dialect, rejects=False)
    return Table(connection, path, dialect.names, columns, types, called, options, relation, text, dialect, scratch)


def _relation(texts: Sequence[TextFile], dialect: Dialect, *, rejects: bool) -> str:
    declared = "{" + ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(dialect.names))) + "}"
    tolerant = ", ignore_errors=true, store_rejects=true" if rejects else ""
    return (
        f"read_csv([{', '.join(_quoted(text.readable) for text in texts)}], header=false, auto_detect=false, "
        f"columns={declared}, skip={dialect.skip}, delim='{dialect.delimiter}', quote='\"', escape='\"', "
        f"compression='{texts[0].compression}'{tolerant})"
    )


def form_of(table: Table) -> tuple[Any, ...] | None:
    """What files have in common that can be read in one query; `None` for what is read by itself."""
    if table.text is None or table.dialect is None or table.is_list:
        return None
    dialect = table.dialect
    return dialect.delimiter, tuple(dialect.names), dialect.skip, dialect.header, dialect.symbol, table.text.compression


def alike(tables: Sequence[Table]) -> Table:
    """Files of one form as one table: the rows of all of them, one file behind the other."""
    first = tables[0]
    if first.dialect is None:
        raise ValueError("Parquet files are read one by one")
    each = max(_SAMPLE // len(tables), 1)
    rows = [row for table in tables if table.dialect is not None for row in table.dialect.rows[:each]]
    dialect = replace(first.dialect, rows=rows)
    relation = _relation([table.text for table in tables if table.text is not None], dialect, rejects=False)
    made = replace(first, dialect=dialect, relation=relation)
    made.__dict__.pop("samples", None)
    return made


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _unusable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read: {str(error).splitlines()[0]}",
        remedy="where another program opens it, save it from there as CSV; else it is cut off: record or copy it again",
    )
