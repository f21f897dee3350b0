"""Recorded market data: CSV or Parquet files of ticks or bars, as one array of ticks in event-time order.

    files ─► form (from the column names) ─► columns (DuckDB) ─► rows, unreadable rows ─► merged by time ─► reports

What a file is, is seen from its column names; `docs/market-data.md` lists the forms. Times without an offset are India's.
A file that cannot be trusted as a whole is refused: missing columns, corrupt, empty, not in order of time. A row that
cannot be read is refused too (`strict`), or kept whole in `unreadable`. Rows that can be read but are wrong (a price of
zero, a duplicate) are passed on: the pipeline's gate judges them, as it does live.
"""

import datetime as dt
import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import xxhash

from connectors.errors import DataError
from functions.bars import TICKS_A_BAR, ticks_of_bars
from functions.calendar import DAY, INDIA, IST_OFFSET, MINUTE, SECOND, day_of
from functions.events import InstrumentConfig, InstrumentKind, QualityReport
from functions.silences import silences
from functions.symbols import kind_of, lot_size_of, same_name, symbol_of, tick_size_of, tick_size_text
from functions.ticks import DEPTH, LEVELS, NO_DEPTH, NO_TICKS, TICK, Rows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")
_MAX_I4: Final = 2**31 - 1


class Unreadable(NamedTuple):
    """A row that nobody can read, whole. `row` counts from 1, the header not counted."""

    file: str
    row: int
    text: str
    reason: str


@dataclass(frozen=True)
class Recording:
    """Everything that was read, in order of event time.

    `instrument` of a tick is an index into `instruments`. `depth` has a DEPTH row for each tick, or is empty where no
    file shows depth. Equal times keep the order of the files, and within a file that of its rows.
    """

    instruments: list[InstrumentConfig]
    ticks: Rows
    depth: Rows
    reports: list[QualityReport]
    unreadable: list[Unreadable]


def read(
    paths: Sequence[Path], *, instruments: Sequence[InstrumentConfig] | None = None, start: dt.date | None = None,
    end: dt.date | None = None, strict: bool = True,
) -> Recording:  # fmt: skip
    """Reads files and folders (their `.csv`, `.csv.gz` and `.parquet` files, by name) as one recording.

    `instruments` are those to number the ticks by; what the files hold beyond them is added, not enabled. Without them
    they are made up from columns, instrument lists and file names. `start` and `end` are dates of India, both
    inclusive, or moments (`datetime`, without an offset India's, the end exclusive). With `strict` an unreadable row is
    an error.
    Raises: `DataError` naming file, row and value.
    """
    roster = _Roster(instruments)
    window = (_moment(start, end=False), _moment(end, end=True))
    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'Asia/Kolkata'")
        tables = [_Table.open(connection, path) for path in _files(paths)]
        for table in tables:
            if table.is_list:
                roster.add_list(table)
        parts = [_load(table, roster, window, strict) for table in tables if not table.is_list]
    finally:
        connection.close()
    if not parts:
        raise DataError(
            f"{paths[0]} holds lists of instruments only", remedy="name files of ticks or bars as well"
        )  # fmt: skip
    rows, depth = _merged(parts)
    if not len(rows):
        raise DataError(
            f"no rows between {start or 'the beginning'} and {end or 'the end'} in {', '.join(map(str, paths))}",
            remedy="choose dates that the files cover",
        )
    configs = roster.configs(rows, depth)
    notes = [note for part in parts for note in part.notes]
    spacing = _spacing(len(configs), parts)
    reports = [_named(note, configs) for note in notes] + list(silences(rows, configs, spacing))
    return Recording(configs, rows, depth, reports, [row for part in parts for row in part.unreadable])


# --- files and their forms --------------------------------------------------------------------------------------------


def _files(paths: Sequence[Path]) -> list[Path]:
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
_DEPTH_COLUMNS: Final = [
    f"{side}{what}{n}" for n in range(1, LEVELS + 1) for side in ("bid", "ask") for what in ("", "_quantity")
]


@dataclass(frozen=True)
class _Table:
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
    def is_text(self) -> bool:
        return not self.path.name.lower().endswith(".parquet")

    @classmethod
    def open(cls, connection: duckdb.DuckDBPyConnection, path: Path) -> "_Table":
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty", remedy="leave it out, or record it again")
        table = (
            cls._parquet(connection, path) if path.name.lower().endswith(".parquet") else cls._text(connection, path)
        )
        if not table.is_list:
            table._refuse_missing()
        return table

    @classmethod
    def _parquet(cls, connection: duckdb.DuckDBPyConnection, path: Path) -> "_Table":
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
    def _text(cls, connection: duckdb.DuckDBPyConnection, path: Path) -> "_Table":
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


# --- one file ---------------------------------------------------------------------------------------------------------


@dataclass
class _Part:
    """One file's rows, in order of time."""

    rows: Rows
    depth: Rows  # as long as the rows, or empty
    unreadable: list[Unreadable]
    notes: list["_Note"] = field(default_factory=list)
    bar: int = 0  # length of its bars, ns; 0 = ticks


class _Note(NamedTuple):
    """A report before the instruments have their names."""

    kind: str
    count: int
    detail: str
    instrument: int
    first: int
    last: int


def _load(table: _Table, roster: "_Roster", window: tuple[int, int], strict: bool) -> _Part:
    columns = table.query(_selection(table))
    good, unreadable = _judged(table, columns)
    if unreadable and strict:
        first = min(unreadable, key=lambda row: row.row)
        more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        raise DataError(
            f"{table.path}: row {first.row} (line {first.row + 1}) {first.reason}: {first.text!r}{more}",
            remedy="correct or remove the row",
        )
    columns = {name: values[good] for name, values in columns.items()}
    if not len(columns["time"]):
        raise DataError(f"{table.path} has no rows that can be read", remedy="leave it out, or record it again")
    instrument = roster.index(table, columns)
    time = np.ascontiguousarray(columns["time"]).astype(np.int64) * 1000
    _refuse_unsorted(table, time, instrument, np.flatnonzero(good))
    if window[0] > time[0] or window[1] <= time[-1]:
        inside = (time >= window[0]) & (time < window[1])
        columns = {name: values[inside] for name, values in columns.items()}
        time, instrument = time[inside], instrument[inside]
    notes = list(_notes(columns, time, instrument, table.is_bars))
    if table.is_bars:
        return _bars(table, columns, time, instrument, unreadable, notes)
    return _ticks(table, columns, time, instrument, unreadable, notes)


def _selection(table: _Table) -> dict[str, str]:
    """What to ask of a file: typed columns, and which of its rows are broken and why."""
    have = table.columns
    select = {"time": _time_sql(table)}
    wanted = ["open", "high", "low", "close"] if table.is_bars else ["price"]
    for name in wanted:
        select[name] = f"coalesce(try_cast({have[name]} AS DOUBLE), 'nan')"
    optional = ["volume", "oi"] if table.is_bars else ["volume", "oi", "bid", "ask", "bid_quantity", "ask_quantity"]
    if not table.is_bars and _shows_depth(table):
        optional += [name for name in _DEPTH_COLUMNS if name in have]
    optional = [name for name in optional if name in have]
    for name in optional:
        select[name] = f"coalesce(try_cast({have[name]} AS DOUBLE), 0)"
    wrong = [f"({have[name]} IS NOT NULL AND try_cast({have[name]} AS DOUBLE) IS NULL)" for name in optional]
    if "token" in have:
        select["token"] = f"coalesce(try_cast({have['token']} AS BIGINT), -1)"
        wrong.append(f"try_cast({have['token']} AS BIGINT) IS NULL")
    if "symbol" in have:
        select["symbol"] = f"coalesce(trim({have['symbol']}), '')"
    select["wrong"] = " OR ".join(wrong) or "false"
    others = [f"{have[name]} IS NULL" for name in ("volume", "bid", "ask") if name in have]
    only_interest = not table.is_bars and "oi" in have and others
    empty = " AND ".join(others)
    select["oi_only"] = (
        f"{have['price']} IS NULL AND {have['oi']} IS NOT NULL AND {empty}" if only_interest else "false"
    )
    return select


def _shows_depth(table: _Table) -> bool:
    return all(name in table.columns for name in ("bid2", "ask2", "bid_quantity2", "ask_quantity2"))


def _time_sql(table: _Table) -> str:
    """Microseconds since the epoch, -1 where there is no time to be read."""
    column, kind = table.columns["time"], table.types["time"]
    if kind.startswith("TIMESTAMP WITH TIME ZONE"):
        return f"coalesce(epoch_us({column}), -1)"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"coalesce(epoch_us({column}::TIMESTAMP) - {IST_OFFSET // 1000}, -1)"
    sample = table.query({"first": f"any_value({column})"})["first"][0]
    if not re.fullmatch(r"\d+(\.\d+)?", str(sample)):
        return f"coalesce(epoch_us(try_cast({column} AS TIMESTAMPTZ)), -1)"
    factor = _microseconds(table, str(sample))
    return f"coalesce(trunc(try_cast({column} AS DECIMAL(29, 9)) * {factor})::BIGINT, -1)"


def _microseconds(table: _Table, sample: str) -> str:
    """What to multiply a number since the epoch with to get microseconds: its size tells seconds from nanoseconds."""
    size = float(sample)
    for below, at_least, factor in (
        (1e10, 1e8, "1000000"),
        (1e13, 1e11, "1000"),
        (1e16, 1e14, "1"),
        (1e19, 1e17, "0.001"),
    ):
        if at_least <= size < below:
            return factor
    raise DataError(
        f"{table.path}: {sample} is no time in s, ms, µs or ns since 1970", remedy="write times in ISO 8601"
    )  # fmt: skip


def _judged(table: _Table, columns: dict[str, Any]) -> tuple[Booleans, list[Unreadable]]:
    """Which rows are good, and the others but for those with open interest only, which are left out and reported."""
    prices = [columns[name] for name in ("open", "high", "low", "close", "price") if name in columns]
    for name, values in columns.items():
        if isinstance(values, np.ma.MaskedArray):
            columns[name] = values.filled()
    no_time = columns["time"] <= 0
    no_price = ~np.all([np.isfinite(p) for p in prices], axis=0)
    wrong = np.asarray(columns.pop("wrong"), bool)
    oi_only = np.asarray(columns.pop("oi_only"), bool) & ~no_time & ~wrong
    columns["oi_only_count"] = np.broadcast_to(np.int64(oi_only.sum()), no_time.shape)
    bad = (no_time | no_price | wrong) & ~oi_only
    good = ~(bad | oi_only)
    rejected = table.rejected()
    if not bad.any() and not rejected:
        return good, []
    unreadable = [Unreadable(str(table.path), line - 1, text, message) for line, text, message in rejected]
    numbers = np.flatnonzero(bad)
    texts = _texts(table, numbers, {line for line, _, _ in rejected})
    for n, (row, text) in zip(numbers.tolist(), texts, strict=True):
        fault = "has no time that can be read" if no_time[n] else "has no price that is a number"
        fault = fault if no_time[n] or no_price[n] else "has a field that is no number"
        unreadable.append(Unreadable(str(table.path), row, text, fault))
    return good, sorted(unreadable, key=lambda row: row.row)


def _texts(table: _Table, numbers: Integers, rejected: set[int]) -> Iterator[tuple[int, str]]:
    """Row number and text of the n-th rows that the query returned, which skips blank and rejected lines."""
    if not table.is_text:
        for n in numbers.tolist():
            found = table.connection.execute(f"SELECT * FROM {table.relation} LIMIT 1 OFFSET {n}").fetchone() or ()
            yield n + 1, ",".join("" if value is None else str(value) for value in found)
        return
    wanted = set(numbers.tolist())
    opened = gzip.open if table.path.name.lower().endswith(".gz") else open
    n = -1
    with opened(table.path, "rt", encoding="utf-8-sig", errors="backslashreplace", newline="\n") as file:
        for line, text in enumerate(file, start=1):
            if line == 1 or line in rejected or not text.strip("\r\n"):
                continue
            n += 1
            if n in wanted:
                yield line - 1, text.rstrip("\r\n")


def _refuse_unsorted(table: _Table, time: Integers, instrument: Integers, numbers: Integers) -> None:
    """Times may be equal, and each instrument may have its own run of them, but none may go back."""
    if (np.diff(time) >= 0).all():
        return
    order = np.argsort(instrument, kind="stable")
    back = np.zeros(len(time), bool)
    back[order[1:]] = (np.diff(time[order]) < 0) & (np.diff(instrument[order]) == 0)
    if not back.any():
        return
    row = int(np.flatnonzero(back)[0])
    at, before = (dt.datetime.fromtimestamp(t / SECOND, INDIA).isoformat(" ") for t in (time[row], time[:row].max()))
    raise DataError(
        f"{table.path}: row {numbers[row] + 1} is out of order: {at} comes after {before}",
        remedy="sort the file by time",
    )


def _ticks(
    table: _Table, columns: dict[str, Any], time: Integers, instrument: Integers, unreadable: list[Unreadable],
    notes: list[_Note],
) -> _Part:  # fmt: skip
    rows = np.zeros(len(time), TICK)
    rows["time"], rows["instrument"] = time, instrument
    rows["price"] = _printed(columns["price"], notes, time)
    for name, values in (("bid", "bid"), ("ask", "ask")):
        if values in columns:
            rows[name] = _printed(columns[values])
    for name, source in (("volume", "volume"), ("open_interest", "oi")):
        if source in columns:
            rows[name] = np.nan_to_num(columns[source]).astype(np.int64)
    for name in ("bid_quantity", "ask_quantity"):
        if name in columns:
            rows[name] = np.clip(np.nan_to_num(columns[name]), 0, _MAX_I4)
    part = _Part(rows, _depth(table, columns, len(rows)), unreadable, notes)
    if not (np.diff(time) >= 0).all():
        order = np.argsort(time, kind="stable")
        part.rows, part.depth = rows[order], part.depth[order] if len(part.depth) else part.depth
    return part


def _depth(table: _Table, columns: dict[str, Any], count: int) -> Rows:
    if not _shows_depth(table):
        return NO_DEPTH
    depth = np.zeros(count, DEPTH)
    for side in ("bid", "ask"):
        for n in range(LEVELS):
            if (price := columns.get(f"{side}{n + 1}")) is not None:
                depth[side][:, n] = np.rint(_printed(price) * 1e6)
            if (quantity := columns.get(f"{side}_quantity{n + 1}")) is not None:
                depth[f"{side}_quantity"][:, n] = np.nan_to_num(quantity)
    return depth


def _printed(prices: Floats, notes: list[_Note] | None = None, time: Integers | None = None) -> Floats:
    """Prices as the exchange prints them: those that went through 32 bits get their two decimals back."""
    rounded = np.round(prices, 2)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = (rounded != prices) & (rounded.astype(np.float32) == prices)
    count = int(narrow.sum())
    if not count:
        return prices
    if notes is not None and time is not None:
        detail = f"{count} prices had passed through 32-bit floats and are paise again, e.g. {float(prices[narrow][0])}"
        notes.append(_Note("float32_price", count, detail, -1, int(time[narrow][0]), int(time[narrow][-1])))
    return np.where(narrow, rounded, prices)


def _bars(
    table: _Table, columns: dict[str, Any], time: Integers, instrument: Integers, unreadable: list[Unreadable],
    notes: list[_Note],
) -> _Part:  # fmt: skip
    bar = _bar_length(table, time, instrument)
    prices = [_printed(columns[name]) for name in ("open", "high", "low", "close")]
    volume = np.nan_to_num(columns["volume"]).astype(np.int64) if "volume" in columns else np.zeros(len(time), np.int64)
    order = np.lexsort((np.arange(len(time)), time, instrument))
    facts = np.stack([instrument[order], time[order], volume[order], *(p[order] for p in prices)])
    repeats = np.zeros(len(time), bool)
    repeats[1:] = (facts[:, 1:] == facts[:, :-1]).all(axis=0)
    once = order[~repeats]
    opens, highs, lows, closes = (p[once] for p in prices)
    rows = ticks_of_bars(time[once], opens, highs, lows, closes, volume[once], instrument[once], bar=bar)
    again = np.cumsum(~repeats) - 1  # a bar that is there twice is its ticks twice, not its volume twice
    rows = rows.reshape(-1, TICKS_A_BAR)[again].reshape(-1)
    for at in np.flatnonzero(repeats).tolist():
        when = int(time[order[at]])
        detail = f"the bar of {_clock(when)} is there twice"
        notes.append(_Note("duplicate_bar", 1, detail, int(instrument[order[at]]), when, when))
    by_time = np.argsort(rows["time"], kind="stable")
    return _Part(rows[by_time], NO_DEPTH, unreadable, notes, bar)


def _bar_length(table: _Table, time: Integers, instrument: Integers) -> int:
    """The commonest distance of two bars. Raises: `DataError` where it is no whole minutes, or a day."""
    order = np.argsort(instrument, kind="stable")
    steps = np.diff(time[order])
    steps = steps[(steps > 0) & (np.diff(instrument[order]) == 0)]
    if not len(steps):
        return MINUTE
    lengths, counts = np.unique(steps, return_counts=True)
    bar = int(lengths[counts.argmax()])
    if bar % MINUTE or bar >= DAY // 4:
        raise DataError(
            f"{table.path} has bars of {bar / MINUTE:g} minutes",
            remedy="use bars of one minute, or of a few whole minutes",
        )
    return bar


# --- what is peculiar about a file ------------------------------------------------------------------------------------


def _notes(columns: dict[str, Any], time: Integers, instrument: Integers, bars: bool) -> Iterator[_Note]:
    """What a reader of the data should know, by instrument; nothing here is wrong enough to stop for."""
    oi_only = columns.pop("oi_only_count")
    if len(oi_only) and int(oi_only[0]):
        detail = "packets with nothing but open interest were left out"
        yield _Note("oi_only", int(oi_only[0]), detail, -1, int(time[0]), int(time[-1]))
    price = columns["close" if bars else "price"]
    volume = columns.get("volume")
    for n in np.unique(instrument).tolist():
        mine = instrument == n
        times, prices = time[mine], price[mine]
        volumes = volume[mine] if volume is not None else None

        def note(kind: str, where: Booleans, detail: str, n: int = n, times: Integers = times) -> Iterator[_Note]:
            if count := int(where.sum()):
                at = times[where]
                yield _Note(kind, count, detail.format(count=count, all=len(times)), n, int(at[0]), int(at[-1]))

        yield from note("non_positive_price", prices <= 0, "{count} of {all} prices are zero or negative")
        if bars:
            if volumes is not None and volumes.any():
                yield from note("zero_volume", volumes == 0, "{count} of {all} bars have no volume")
            yield from note(
                "impossible_bar", _impossible(columns, mine), "{count} bars open or close beyond their high or low"
            )
            continue
        same_price = np.diff(prices, prepend=np.nan) == 0
        if volumes is None or not volumes.any():
            yield from note("repeated_price", same_price, "{count} of {all} ticks repeat the price before them")
        else:
            steps = np.diff(volumes, prepend=-1.0)
            yield from note(
                "quote_only", (steps == 0) & same_price, "{count} of {all} ticks change neither price nor volume"
            )
            same_day = np.diff(day_of(times), prepend=-1) == 0
            yield from note(
                "volume_decreases", (steps < 0) & same_day, "{count} of {all} ticks have less volume than before"
            )


def _impossible(columns: dict[str, Any], mine: Booleans) -> Booleans:
    open_, high, low, close = (columns[name][mine] for name in ("open", "high", "low", "close"))
    return (np.maximum(open_, close) > high) | (np.minimum(open_, close) < low)


def _spacing(count: int, parts: list[_Part]) -> Integers:
    """How far apart an instrument's rows usually are: its bars, or 0 for ticks."""
    spacing = np.zeros(count, np.int64)
    for part in parts:
        if part.bar:
            spacing[np.unique(part.rows["instrument"])] = part.bar
    return spacing


def _named(note: _Note, configs: list[InstrumentConfig]) -> QualityReport:
    token = configs[note.instrument].instrument_token if note.instrument >= 0 else None
    return QualityReport(note.kind, note.count, note.detail, token, note.first // 1000, note.last // 1000)


def _clock(time: int) -> str:
    return dt.datetime.fromtimestamp(time / SECOND, INDIA).strftime("%Y-%m-%d %H:%M")


# --- merging ----------------------------------------------------------------------------------------------------------


def _moment(when: dt.date | None, *, end: bool) -> int:
    """Where a window begins or ends (exclusive), ns since the epoch."""
    if when is None:
        return 2**63 - 1 if end else 0
    if isinstance(when, dt.datetime):
        aware = when if when.tzinfo else when.replace(tzinfo=INDIA)
        return int(aware.timestamp() * 1_000_000) * 1000
    day = (when - dt.date(1970, 1, 1)).days + (1 if end else 0)
    return day * DAY - IST_OFFSET


def _merged(parts: list[_Part]) -> tuple[Rows, Rows]:
    with_depth = any(len(part.depth) for part in parts)
    rows = np.concatenate([NO_TICKS, *(part.rows for part in parts)])
    depth = NO_DEPTH
    if with_depth:
        depth = np.concatenate([p.depth if len(p.depth) else np.zeros(len(p.rows), DEPTH) for p in parts])
    if len(parts) == 1 or (np.diff(rows["time"]) >= 0).all():
        return rows, depth
    order = np.argsort(rows["time"], kind="stable")
    return rows[order], depth[order] if with_depth else depth


# --- instruments ------------------------------------------------------------------------------------------------------


@dataclass
class _Known:
    """What is known of an instrument before its prices are looked at."""

    token: int
    symbol: str
    lot_size: int = 0
    tick_size: str = ""
    kind: InstrumentKind = "EQ"
    given: InstrumentConfig | None = None


class _Roster:
    """The instruments of a recording, numbered in the order in which they are met; the given ones first."""

    def __init__(self, given: Sequence[InstrumentConfig] | None) -> None:
        self._given = given is not None
        self._known: list[_Known] = []
        self._by_token: dict[int, int] = {}
        self._by_symbol: dict[str, int] = {}
        self._listed: dict[int, _Known] = {}
        for config in given or ():
            self._add(_Known(config.instrument_token, config.tradingsymbol, given=config))

    def _add(self, known: _Known) -> int:
        n = len(self._known)
        self._known.append(known)
        self._by_token[known.token] = n
        self._by_symbol.setdefault(same_name(known.symbol), n)
        return n

    def add_list(self, table: _Table) -> None:
        """Takes names, lot and tick sizes from a list of instruments; it decides on no row."""
        have = table.columns
        select = {
            "token": f"coalesce(try_cast({have['token']} AS BIGINT), -1)",
            "symbol": f"coalesce(trim({have['symbol']}), '')",
            "lot": f"coalesce(try_cast({have['lot_size']} AS DOUBLE), 0)" if "lot_size" in have else "0.0",
            "tick": f"coalesce(try_cast({have['tick_size']} AS DECIMAL(12, 4))::VARCHAR, '')"
            if "tick_size" in have
            else "''",
        }
        columns = table.query(select)
        for token, symbol, lot, tick in zip(*(columns[name].tolist() for name in select), strict=True):
            if token >= 0 and symbol:
                self._listed[token] = _Known(token, symbol, int(lot), tick_size_text(tick), kind_of(symbol))

    def index(self, table: _Table, columns: dict[str, Any]) -> Integers:
        """Which instrument each row is of."""
        tokens, symbols = columns.pop("token", None), columns.pop("symbol", None)
        count = len(columns["time"])
        if tokens is None and symbols is None:
            return np.full(count, self._symbol(symbol_of(table.path.name)), np.int64)
        if tokens is not None:
            distinct, first, inverse = _distinct(tokens)
            numbers = [
                self._token(int(token), str(symbols[at]) if symbols is not None else "", table.path, len(distinct))
                for token, at in zip(distinct.tolist(), first.tolist(), strict=True)
            ]
            return np.array(numbers, np.int64)[inverse]
        names = symbols.tolist() if symbols is not None else []
        numbers_of = {name: self._symbol(name) for name in dict.fromkeys(names)}
        return np.fromiter((numbers_of[name] for name in names), np.int64, count)

    def _token(self, token: int, symbol: str, path: Path, tokens: int) -> int:
        if token in self._by_token:
            return self._by_token[token]
        if listed := self._listed.get(token):
            return self._add(listed)
        symbol = symbol or (symbol_of(path.name) if tokens == 1 else str(token))
        return self._add(_Known(token, symbol, kind=kind_of(symbol)))

    def _symbol(self, symbol: str) -> int:
        if same_name(symbol) in self._by_symbol:
            return self._by_symbol[same_name(symbol)]
        for listed in self._listed.values():
            if same_name(listed.symbol) == same_name(symbol):
                return self._add(listed)
        token = xxhash.xxh32_intdigest(symbol.encode()) & 0x7FFF_FFFF
        while token in self._by_token:
            token += 1
        return self._add(_Known(token, symbol, kind=kind_of(symbol)))

    def configs(self, rows: Rows, depth: Rows) -> list[InstrumentConfig]:
        """The instruments; of those that nobody described, the tick and lot size that their prices and quantities keep to."""
        return [known.given or self._config(n, known, rows) for n, known in enumerate(self._known)]

    def _config(self, n: int, known: _Known, rows: Rows) -> InstrumentConfig:
        mine = rows["instrument"] == n
        derivative = known.kind in ("FUT", "CE", "PE")
        bse = known.symbol.upper().startswith(("SENSEX", "BANKEX"))
        exchange = ("BFO" if bse else "NFO") if derivative else ("BSE" if bse else "NSE")
        if known.kind == "INDEX":
            return InstrumentConfig(known.token, known.symbol, exchange, "INDEX", "0", 0, enabled=not self._given)
        lot = known.lot_size or (lot_size_of(rows[mine]) if derivative else 1)
        tick = known.tick_size or tick_size_of(rows["price"][mine])
        return InstrumentConfig(known.token, known.symbol, exchange, known.kind, tick, lot, enabled=not self._given)


def _distinct(tokens: Integers) -> tuple[Integers, Integers, Integers]:
    if (tokens == tokens[0]).all():
        return tokens[:1], np.zeros(1, np.int64), np.zeros(len(tokens), np.int64)
    return np.unique(tokens, return_index=True, return_inverse=True)
