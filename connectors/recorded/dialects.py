"""Dialects: how a text file separates its columns, where its header stands, and what it calls its columns.

    title lines ─► header ─► rows ─► footer lines

The header is the line whose names say most about market data. What stands above it is passed over.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.errors import DataError
from connectors.recorded.names import BARS, meanings
from connectors.recorded.numbers import is_number
from connectors.recorded.time_texts import read_text

DELIMITERS: Final = (",", ";", "\t", "|")
_TITLES: Final = 30  # a header stands within so many lines
_SAMPLE: Final = 40  # rows that are looked at


@dataclass(frozen=True)
class Dialect:
    """The shape of a text file. `skip` counts the lines above the first row."""

    delimiter: str
    names: list[str]
    skip: int
    header: str  # the line as it stands; empty where there is none
    rows: list[list[str]]  # the first ones, those of the right width
    symbol: str = ""  # of all rows, where the header tells it


def dialect_of(
    path: Path, lines: Sequence[str], told: Mapping[str, str], order: Sequence[str] = ()
) -> Dialect:  # fmt: skip
    """The dialect of a file's first lines.

    `told` says what some columns mean by their names. `order` names the columns of a file that has no header.
    Raises: `DataError` for a file without a header where `order` does not say what its columns are.
    """
    if not any(line.strip() for line in lines):
        raise DataError(f"{path} has no rows that can be read", remedy="leave it out, or record it again")
    if order:
        return _by_order(lines, order)
    used = [delimiter for delimiter in DELIMITERS if any(delimiter in line for line in lines[:_TITLES])]
    found = [dialect for delimiter in used if (dialect := _with_header(path, lines, delimiter, told)) is not None]
    best = max(found, key=lambda dialect: _worth(dialect.names, told), default=None) if len(found) != 1 else found[0]
    if best is None or not _worth(best.names, told)[0]:
        _refuse_headless(path, lines)
    if best is None:
        line = next(line for line in lines if line.strip())
        return Dialect(",", [line.strip()[:80]], 1, line, [])
    return best


def _worth(names: Sequence[str], told: Mapping[str, str]) -> tuple[bool, int, int]:
    """How much a header tells: whether it is one of market data or of instruments, and how many columns are known."""
    found = meanings(names, told)
    has_time = not {"time", "date", "clock", "index"}.isdisjoint(found)
    has_price = "price" in found or all(name in found for name in BARS)
    is_list = "symbol" in found and bool({"token", "lot_size", "tick_size"} & found.keys())
    return (has_time and has_price) or is_list, len(found), len(names)


def _with_header(path: Path, lines: Sequence[str], delimiter: str, told: Mapping[str, str]) -> Dialect | None:
    records = _records(lines, delimiter)
    wide = [(n, cells) for n, (_, cells) in enumerate(records[:_TITLES]) if len(cells) > 1]
    if not wide:
        return None
    sure = (found for found in wide if _worth(found[1], told)[0])
    at, cells = next(sure, None) or max(wide, key=lambda found: (_worth(found[1], told)[:2], -found[0]))
    names, skip, symbol = [cell.strip() for cell in cells], records[at][0], ""
    if at + 2 < len(records) and _is_of_yahoo(cells, records[at + 1][1], records[at + 2][1]):
        symbols = sorted({cell.strip() for cell in records[at + 1][1][1:] if cell.strip()})
        if len(symbols) > 1:
            raise DataError(
                f"{path} has several tickers side by side: {', '.join(symbols)}",
                remedy="write one ticker to a file, or one below the other: frame.stack(level=1).to_csv(...)",
            )
        names, symbol = [records[at + 2][1][0].strip(), *names[1:]], "".join(symbols)
        at += 2
        skip = records[at][0]
    rows = [cells for _, cells in records[at + 1 : at + 1 + _SAMPLE]]
    names = _fitted(names, rows)
    begins = records[at - 1][0] if at else 0
    header = "\n".join(lines[begins:skip]).strip("\r\n")
    return Dialect(delimiter, names, skip, header, [row for row in rows if len(row) == len(names)], symbol)


def _records(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """Rows of cells with the number of the line on which each ends; blank lines left out."""
    reader = csv.reader((line + "\n" for line in lines[: _TITLES + _SAMPLE + 10]), delimiter=delimiter)
    found: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                found.append((reader.line_num, cells))
    except csv.Error:
        return found
    return found


def _fitted(names: list[str], rows: list[list[str]]) -> list[str]:
    """The names in the width of the rows: a delimiter too many at the end of header or rows tells nothing."""
    widths = Counter(len(row) for row in rows if len(row) >= min(len(names) - 1, 2))  # what is shorter is a footer
    if not widths:
        return names
    width, _ = widths.most_common(1)[0]
    if width == len(names) - 1 and not names[-1]:
        return names[:-1]
    more = width - len(names)
    if more > 0 and not any(cell.strip() for row in rows if len(row) == width for cell in row[len(names) :]):
        return [*names, *[""] * more]
    return names


def _is_of_yahoo(first: Sequence[str], second: Sequence[str], third: Sequence[str]) -> bool:
    """The three lines of a header that `yfinance` writes: names, symbols, and the name of the index."""
    starts = [row[0].strip().lower() if row else "" for row in (first, second, third)]
    return (
        starts[:2] == ["price", "ticker"] and starts[2] in ("date", "datetime") and not any(map(str.strip, third[1:]))
    )


def _by_order(lines: Sequence[str], order: Sequence[str]) -> Dialect:
    """A file whose columns the user names; a header that is there all the same is passed over.

    The delimiter is the one by which most lines are rows: commas may also stand within numbers and times, and of a file of
    few rows most lines may be a source and a remark.
    """
    best = Dialect(",", list(order), 0, "", [])
    most = 0
    for delimiter in (*DELIMITERS, " "):
        records = _records(lines, delimiter)
        fitting = [(line, cells) for line, cells in records if len(cells) in (len(order), len(order) + 1)]
        if not fitting:
            continue
        names = _fitted(list(order), [cells for _, cells in fitting])
        data = [(line, cells) for line, cells in fitting if _is_row(cells, order) and not _is_numbering(cells)]
        if len(data) > most:
            skip = max((line for line, _ in records if line < data[0][0]), default=0)
            best, most = Dialect(delimiter, names, skip, "", [cells for _, cells in data[:_SAMPLE]]), len(data)
    return best


def _is_row(cells: Sequence[str], order: Sequence[str]) -> bool:
    """Whether numbers stand where the user says that numbers are, and something with figures where the times are."""
    told = meanings(order)
    prices = [cells[place].strip() for name, place in told.items() if name in ("price", *BARS)]
    counts = [cells[place].strip() for name, place in told.items() if name in ("volume", "oi")]
    times = [cells[place] for name, place in told.items() if name in ("time", "date", "clock")]
    return (
        all(map(is_number, prices))
        and all(not text or is_number(text) for text in counts)
        and all(any(sign.isdigit() for sign in text) for text in times)
    )


def _is_numbering(cells: Sequence[str]) -> bool:
    """Whether a header only counts its columns, as pandas writes those of a list of lists."""
    told = [cell.strip() for cell in cells if cell.strip()]
    return len(told) > 2 and told == [str(n) for n in range(len(told))]


def _refuse_headless(path: Path, lines: Sequence[str]) -> None:
    """Raises: `DataError` where the first line is a row already."""
    for delimiter in DELIMITERS:
        first = next(iter(_records(lines, delimiter)), (0, []))[1]
        times = [cell for cell in first if (form := read_text(cell)) and (form.unit or form.format)]
        numbers = [cell for cell in first if is_number(cell.strip())]
        if _is_numbering(first):
            raise DataError(
                f"{path} has numbers for the names of its columns: {delimiter.join(first)!r}",
                remedy="say what they are (- for one of no use), e.g. --columns time,open,high,low,close,volume",
            )
        if len(first) > 1 and times and numbers:
            raise DataError(
                f"{path} has no header, its first line is {delimiter.join(first)!r}",
                remedy="say what its columns are, e.g. --columns date,time,open,high,low,close,volume",
            )
