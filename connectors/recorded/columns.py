"""Columns: what to ask of a file, and which of its rows can be read.

A row that cannot be read is kept whole, with the reason in words.
"""

import gzip
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from connectors.errors import DataError
from connectors.recorded.forms import DEPTH_COLUMNS, Table
from functions.arrays import Booleans, Integers
from functions.calendar import IST_OFFSET

_LATEST: Final = 9_000_000_000_000_000  # microseconds since 1970 that are int64 nanoseconds
_LARGEST: Final = 4e12  # rupees that are int64 micro-rupees, and more shares than there are


class Unreadable(NamedTuple):
    """A row that nobody can read, whole. `row` counts from 1, the header not counted."""

    file: str
    row: int
    text: str
    reason: str


def selection(table: Table) -> dict[str, str]:
    """What to ask of a file: typed columns, and which of its rows are broken and why."""
    have = table.columns
    select = {"time": _time_sql(table)}
    wanted = ["open", "high", "low", "close"] if table.is_bars else ["price"]
    for name in wanted:
        select[name] = f"coalesce(try_cast({have[name]} AS DOUBLE), 'nan')"
    optional = ["volume", "oi"] if table.is_bars else ["volume", "oi", "bid", "ask", "bid_quantity", "ask_quantity"]
    if not table.is_bars and table.shows_depth:
        optional += [name for name in DEPTH_COLUMNS if name in have]
    optional = [name for name in optional if name in have]
    for name in optional:
        select[name] = f"coalesce(try_cast({have[name]} AS DOUBLE), 0)"
    wrong = [f"({have[name]} IS NOT NULL AND try_cast({have[name]} AS DOUBLE) IS NULL)" for name in optional]
    if "token" in have:
        select["token"] = f"coalesce(try_cast({have['token']} AS BIGINT), -1)"
        wrong.append(f"try_cast({have['token']} AS BIGINT) IS NULL")
    nameless = []
    if "symbol" in have:
        select["symbol"] = f"coalesce(trim({have['symbol']}), '')"
        nameless = [f"coalesce(trim({have['symbol']}), '') = ''"] if "token" not in have else []
    select["nameless"] = " OR ".join(nameless) or "false"
    select["wrong"] = " OR ".join(wrong) or "false"
    others = [f"{have[name]} IS NULL" for name in ("volume", "bid", "ask") if name in have]
    only_interest = not table.is_bars and "oi" in have and others
    empty = " AND ".join(others)
    select["oi_only"] = (
        f"{have['price']} IS NULL AND {have['oi']} IS NOT NULL AND {empty}" if only_interest else "false"
    )
    return select


def _time_sql(table: Table) -> str:
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


def _microseconds(table: Table, sample: str) -> str:
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


def judged(table: Table, columns: dict[str, Any]) -> tuple[Booleans, list[Unreadable]]:
    """Which rows are good, and the others but for those with open interest only, which are left out and reported."""
    prices = [columns[name] for name in ("open", "high", "low", "close", "price") if name in columns]
    for name, values in columns.items():
        if isinstance(values, np.ma.MaskedArray):
            columns[name] = values.filled()
    no_time = (columns["time"] <= 0) | (columns["time"] > _LATEST)
    no_price = ~np.all([np.isfinite(p) for p in prices], axis=0)
    wrong = np.asarray(columns.pop("wrong"), bool)
    nameless = np.asarray(columns.pop("nameless"), bool)
    large = np.any([np.abs(v) > _LARGEST for v in columns.values() if v.dtype.kind == "f"], axis=0) & ~no_price
    oi_only = np.asarray(columns.pop("oi_only"), bool) & ~no_time & ~wrong
    columns["oi_only_count"] = np.broadcast_to(np.int64(oi_only.sum()), no_time.shape)
    bad = ((no_time | no_price | wrong | large) & ~oi_only) | nameless
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
        fault = "has a number that is too large" if large[n] and not no_time[n] else fault
        fault = "has no symbol" if nameless[n] and not no_time[n] else fault
        unreadable.append(Unreadable(str(table.path), row, text, fault))
    return good, sorted(unreadable, key=lambda row: row.row)


def _texts(table: Table, numbers: Integers, rejected: set[int]) -> Iterator[tuple[int, str]]:
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
