"""Judging: which rows of a file can be read, and what the others are.

A row that cannot be read is kept whole, with the reason in words. What is no row at all is passed over and reported: lines
behind the last row that say something about the file, a header that stands there again, rows without a single field.
"""

import csv
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from connectors.recorded.columns import Selection
from connectors.recorded.numbers import is_number
from connectors.recorded.tables import Table, rejected
from functions.arrays import Booleans, Floats, Integers

_EARLIEST: Final = 631_152_000_000_000  # microseconds since 1970: a time before 1990 is a number misread
_LATEST: Final = 4_102_444_800_000_000  # and so is one after 2100
_LARGEST: Final = 4e12  # rupees that are int64 micro-rupees, and more shares than there are
_FOOTER_LINES: Final = 20


class Unreadable(NamedTuple):
    """A row that nobody can read, whole. `row` counts from 1, the header not counted."""

    file: str
    row: int
    text: str
    reason: str
    line: int = 0


class Judged(NamedTuple):
    """Which rows are good; the others that a user should correct; and what was passed over: kind -> how many."""

    good: Booleans
    unreadable: list[Unreadable]
    passed_over: dict[str, int]


class _Row(NamedTuple):
    """A row as it stands in the file. `n` is its place among the rows of the query, -1 where it is not among them."""

    n: int
    line: int
    text: str
    cells: list[str]
    fault: str


def judged(asked: Selection, columns: dict[str, Any]) -> Judged:
    """Judges the rows of a query; leaves plain arrays in `columns`."""
    table = asked.table
    faults = _faults(asked, columns)
    bad = np.zeros(len(columns["time"]), bool)
    for where in faults.values():
        bad |= where
    lines = rejected(table, lambda: table.query(asked.sql()))
    if not bad.any() and not lines:
        return Judged(~bad, [], {})
    rows = list(_rows(table, np.flatnonzero(bad), faults, lines))
    last_good = _line_of_last(table, ~bad, lines)
    unreadable, passed_over = [], {}
    footers = _footers(asked, rows, last_good)
    for row in rows:
        if (kind := _what_else(asked, row)) or row in footers:
            passed_over[kind or "footer_lines"] = passed_over.get(kind or "footer_lines", 0) + 1
        else:
            number = row.line - (table.dialect.skip if table.dialect else 0)
            unreadable.append(Unreadable(str(table.path), number, row.text, row.fault, row.line))
    passed_over.pop("blank", None)
    return Judged(~bad, unreadable, passed_over)


def _faults(asked: Selection, columns: dict[str, Any]) -> dict[str, Booleans]:
    """By reason: the rows that it spoils. The first reason that fits a row is told."""
    masks = {}
    for name, values in columns.items():
        if isinstance(values, np.ma.MaskedArray):
            masks[name] = np.ma.getmaskarray(values)
            columns[name] = values.filled("" if values.dtype.kind == "O" else 0)
    time = columns["time"]
    none = np.zeros(len(time), bool)
    no_time = masks.get("time", none) | (time < _EARLIEST) | (time >= _LATEST)
    no_price, too_large = none.copy(), none.copy()
    for name in asked.prices:
        no_price |= masks.get(name, none)
        if not _all_within(columns[name]):
            no_price |= ~np.isfinite(columns[name])
            too_large |= (np.abs(columns[name]) > _LARGEST) & np.isfinite(columns[name])
    for name in asked.optional:
        if not _all_within(columns[name]):
            too_large |= np.abs(columns[name]) > _LARGEST
    no_number = none.copy()
    for name in (*asked.optional, "token"):
        no_number |= masks.get(name, none)
    faults = {
        "has no time that can be read": no_time,
        "has a number that is too large": too_large,
        "has no price that is a number": no_price,
        "has a field that is no number": no_number,
    }
    if "symbol" in masks and "token" not in columns:
        faults = {"has no time that can be read": no_time, "has no symbol": masks["symbol"]} | faults
    return faults


def _all_within(values: Floats) -> bool:
    """Whether there is neither a number that is too large nor one that is none."""
    return bool(values.min(initial=0.0) >= -_LARGEST and values.max(initial=0.0) <= _LARGEST)


def _rows(
    table: Table, numbers: Integers, faults: dict[str, Booleans], lines: list[tuple[int, str, str]]
) -> Iterator[_Row]:  # fmt: skip
    """The rows of these numbers of the query, and the lines that it set aside, in the order of the file."""
    reasons = {n: next(reason for reason, where in faults.items() if where[n]) for n in numbers.tolist()}
    if table.text is None:
        numbered = f"SELECT *, row_number() OVER () - 1 AS n FROM {table.relation}"
        query = f"SELECT * FROM ({numbered}) WHERE n IN (SELECT unnest(?)) ORDER BY n"
        for *found, n in table.connection.execute(query, [numbers.tolist()]).fetchall():
            cells = ["" if value is None else str(value) for value in found]
            yield _Row(n, n + 1, ",".join(cells), cells, reasons[n])
        return
    aside = {line: (text, reason) for line, text, reason in lines}
    for n, line, text in _numbered(table, aside):
        if line in aside:
            yield _Row(-1, line, aside[line][0].strip("\r\n"), _cells(table, text), aside[line][1])
        elif n in reasons:
            yield _Row(n, line, text, _cells(table, text), reasons[n])


def _numbered(table: Table, aside: Iterable[int]) -> Iterator[tuple[int, int, str]]:
    """Number within the query, number of the line and text of every line that is a row or was set aside."""
    if table.text is None or table.dialect is None:
        return
    n = -1
    for line, text in enumerate(table.text.lines(), start=1):
        if line <= table.dialect.skip or not text:
            continue
        if line in aside:
            yield -1, line, text
            continue
        n += 1
        yield n, line, text


def _cells(table: Table, text: str) -> list[str]:
    if table.dialect is None:
        return []
    return next(csv.reader([text], delimiter=table.dialect.delimiter), [])


def _line_of_last(table: Table, good: Booleans, lines: list[tuple[int, str, str]]) -> int:
    """The line of the last good row; 0 where there is none, or none to look for."""
    if not good.any() or table.text is None:
        return 0
    last = int(np.flatnonzero(good)[-1])
    aside = {line for line, _, _ in lines}
    return next((line for n, line, _ in _numbered(table, aside) if n == last), 0)


def _what_else(asked: Selection, row: _Row) -> str:
    """What a row is that cannot be read; nothing where it is just that."""
    if not any(cell.strip() for cell in row.cells):
        return "blank"
    dialect = asked.table.dialect
    if dialect is not None and dialect.header and row.text.strip() == dialect.header.strip():
        return "repeated_header"
    if row.n >= 0 and "price" in row.fault and not asked.table.is_bars:
        if _is_interest_only(asked, row.cells):
            return "oi_only"
        if _is_quote_only(asked, row.cells):
            return "quote_without_price"
    return ""


def _is_interest_only(asked: Selection, cells: list[str]) -> bool:
    """A packet with open interest, and with neither price, volume nor quote."""
    table = asked.table
    others = [name for name in ("price", "volume", "bid", "ask") if name in table.names]
    if "oi" not in table.names or len(others) < 2:
        return False
    places = {name: table.found.index(table.names[name]) for name in ("oi", *others)}
    return bool(cells[places["oi"]].strip()) and not any(cells[places[name]].strip() for name in others)


def _is_quote_only(asked: Selection, cells: list[str]) -> bool:
    """A packet with a bid or an ask and an empty price: nothing was traded, as MetaTrader writes it."""
    names = asked.table.names
    places = {name: asked.table.found.index(names[name]) for name in ("price", "bid", "ask") if name in names}
    has_quote = any(is_number(cells[places[name]].strip()) for name in ("bid", "ask") if name in places)
    return has_quote and not cells[places["price"]].strip()


def _footers(asked: Selection, rows: list[_Row], last_good: int) -> list[_Row]:
    """Lines behind the last good row that begin with no digit and have no price."""
    if not last_good:
        return []
    behind = [row for row in rows if row.line > last_good and row.text.strip(" ,;\t|\"'")]
    prices = [asked.table.found.index(asked.table.names[name]) for name in asked.prices]
    for row in behind:
        has_price = any(place < len(row.cells) and is_number(row.cells[place].strip()) for place in prices)
        if has_price or row.text.lstrip(" \"'")[:1].isdigit():
            return []
    return behind if len(behind) <= _FOOTER_LINES else []
