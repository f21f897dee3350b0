"""Forms: what a file of recorded data is, seen from its suffix and its column names."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from connectors.errors import DataError
from functions.ticks import LEVELS

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")


def files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and those within the folders named, by name. Raises: `DataError` where there is none to read."""
    if not paths:
        raise DataError("no file to read was named", remedy="name a file or a folder")
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name.lower().endswith(SUFFIXES))
            if not inside:
                raise DataError(f"{path} holds no {', '.join(SUFFIXES)} file", remedy="name a folder of recorded data")
            found += inside
        elif not path.exists():
            raise DataError(f"there is no file {path}", remedy="check the path")
        elif not path.name.lower().endswith(SUFFIXES):
            raise DataError(f"{path} is none of {', '.join(SUFFIXES)}", remedy="convert it to CSV or Parquet")
        else:
            found.append(path)
    return found


def _levels(*patterns: str) -> dict[str, tuple[str, ...]]:
    return {f"{n}": tuple(p.format(n=n) for p in patterns) for n in range(1, LEVELS + 1)}


# Names that a column may have, in lower case; the first that is there counts.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "time": ("exchange_timestamp", "timestamp", "datetime", "time", "date", "ts"),
    "token": ("instrument_token", "token"),
    "symbol": ("tradingsymbol", "trading_symbol", "symbol", "ticker"),
    "price": ("last_price", "ltp", "price"),
    "volume": ("volume_traded", "volume", "vol"),
    "oi": ("oi", "open_interest"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "bid": ("bid", "best_bid", "bid_price", "bid_price_1"),
    "ask": ("ask", "best_ask", "ask_price", "ask_price_1"),
    "bid_quantity": ("bid_quantity", "bid_qty", "bid_size", "bid_quantity_1", "bid_qty_1"),
    "ask_quantity": ("ask_quantity", "ask_qty", "ask_size", "ask_quantity_1", "ask_qty_1"),
    "lot_size": ("lot_size",),
    "tick_size": ("tick_size",),
    "kind": ("instrument_type", "option_type"),
    "exchange": ("exchange",),
} | {
    f"{side}{what}{n}": names
    for side in ("bid", "ask")
    for what, patterns in (("", ("_price_{n}",)), ("_quantity", ("_quantity_{n}", "_qty_{n}")))
    for n, names in _levels(*(side + pattern for pattern in patterns)).items()
}
_NEEDED: Final = {
    "time": "a time",
    "price": "a price (last_price, ltp) or all of open, high, low, close",
}
DEPTH_COLUMNS: Final = [
    f"{side}{what}{n}" for n in range(1, LEVELS + 1) for side in ("bid", "ask") for what in ("", "_quantity")
]


@dataclass(frozen=True)
class Table:
    """One file, opened as far as its column names."""

    connection: duckdb.DuckDBPyConnection
    path: Path
    found: list[str]  # the column names as they stand in the file
    columns: dict[str, str]  # what a column means -> how SQL says it
    types: dict[str, str]  # and its SQL type
    relation: str  # SQL: the rows of the file

    @property
    def is_bars(self) -> bool:
        return "price" not in self.columns and {"open", "high", "low", "close"} <= self.columns.keys()

    @property
    def is_list(self) -> bool:
        """A list of instruments: tokens and names, and no time."""
        return "time" not in self.columns and {"token", "symbol"} <= self.columns.keys()

    @property
    def shows_depth(self) -> bool:
        """Whether there is more than the best bid and ask."""
        return all(name in self.columns for name in ("bid2", "ask2", "bid_quantity2", "ask_quantity2"))

    @property
    def is_text(self) -> bool:
        return not self.path.name.lower().endswith(".parquet")

    @classmethod
    def open(cls, connection: duckdb.DuckDBPyConnection, path: Path) -> "Table":
        """Raises: `DataError` for a file that is empty or corrupt, or lacks a column that is needed."""
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty", remedy="leave it out, or record it again")
        table = (
            cls._parquet(connection, path) if path.name.lower().endswith(".parquet") else cls._text(connection, path)
        )
        if not table.is_list:
            table._refuse_missing()
        return table

    @classmethod
    def _parquet(cls, connection: duckdb.DuckDBPyConnection, path: Path) -> "Table":
        relation = f"read_parquet({_quoted(path)})"
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        except duckdb.Error as error:
            raise _unusable(path, error) from error
        names = [str(row[0]) for row in described]
        columns = _meanings(names, ['"' + name.replace('"', '""') + '"' for name in names])
        types = {meaning: str(described[names.index(_plain(sql))][1]) for meaning, sql in columns.items()}
        return cls(connection, path, names, columns, types, relation)

    @classmethod
    def _text(cls, connection: duckdb.DuckDBPyConnection, path: Path) -> "Table":
        header = _header(path)
        delimiter = max(",;\t", key=header.count)
        names = [name.strip().strip('"') for name in header.split(delimiter)]
        places = [f"c{n}" for n in range(len(names))]
        columns = _meanings(names, places)
        declared = "{" + ", ".join(f"'{place}': 'VARCHAR'" for place in places) + "}"
        relation = (
            f"read_csv({_quoted(path)}, header=true, auto_detect=false, columns={declared}, delim='{delimiter}', "
            "quote='\"', escape='\"', ignore_errors=true, store_rejects=true)"
        )
        return cls(connection, path, names, columns, dict.fromkeys(columns, "VARCHAR"), relation)

    def _refuse_missing(self) -> None:
        missing = [words for name, words in _NEEDED.items() if name not in self.columns]
        if self.is_bars:
            missing = [words for words in missing if words != _NEEDED["price"]]
        if missing:
            raise DataError(
                f"{self.path} has no column for {' and for '.join(missing)}; it has {', '.join(self.found)}",
                remedy="name the columns as docs/market-data.md says",
            )

    def query(self, select: dict[str, str]) -> dict[str, Any]:
        """Columns as arrays, in the order of the file. Raises: `DataError` where the file breaks off or is corrupt."""
        listed = ", ".join(f'{sql} AS "{name}"' for name, sql in select.items())
        try:
            self.connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
            return self.connection.execute(f"SELECT {listed} FROM {self.relation}").fetchnumpy()
        except duckdb.Error as error:
            raise _unusable(self.path, error) from error

    def rejected(self) -> list[tuple[int, str, str]]:
        """Lines of the last query that have too few or too many columns: line number, text, reason."""
        if not self.is_text:
            return []
        found = self.connection.execute(
            "SELECT line, any_value(csv_line), any_value(error_message) FROM reject_errors GROUP BY line ORDER BY line"
        ).fetchall()
        return [(int(line), str(text), str(message).splitlines()[0]) for line, text, message in found]


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _plain(sql: str) -> str:
    return sql[1:-1].replace('""', '"')


def _unusable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read: {str(error).splitlines()[0]}",
        remedy="it is corrupt or cut off: record or copy it again",
    )


def _header(path: Path) -> str:
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as file:
            return file.readline().rstrip("\r\n")
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise DataError(f"{path} is no text in UTF-8: {error}", remedy="save it as CSV in UTF-8") from error


def _meanings(names: list[str], places: list[str]) -> dict[str, str]:
    lower = {name.strip().lower(): place for name, place in reversed(list(zip(names, places, strict=True)))}
    return {
        meaning: lower[next(name for name in known if name in lower)]
        for meaning, known in _NAMES.items()
        if any(name in lower for name in known)
    }
