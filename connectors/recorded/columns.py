"""Columns: what to ask of a file, and in which form its times and numbers stand.

The forms are taken from the file's first rows. Where a row is not of them, the file is looked at again: it may write some
of its times and numbers in another way that means the same.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from connectors.recorded.clocks import Clock, clock_of
from connectors.recorded.names import BARS
from connectors.recorded.numbers import NumberForm, TwoReadings, decides_sql, form_of
from connectors.recorded.tables import DEPTH_COLUMNS, Table

IDENTITY: Final = ("symbol", "exchange", "series", "expiry", "strike", "right", "type")
BETWEEN: Final = "\x1f"  # the parts of an identity
_FIRST_ROWS: Final = 8_192  # of a text file: the symbols of most files stand in them
_MANY: Final = 5_000  # symbols; of more of them DuckDB writes each as text


class Fetched(NamedTuple):
    """What a query gave. The column `symbol` holds places in `symbols`, masked where a row has none."""

    columns: dict[str, Any]
    symbols: list[str]


@dataclass(frozen=True)
class Selection:
    """What is asked of a file."""

    table: Table
    clock: Clock
    numbers: NumberForm

    @property
    def prices(self) -> list[str]:
        return list(BARS) if self.table.is_bars else ["price"]

    @property
    def optional(self) -> list[str]:
        """Fields that a row may lack."""
        wanted = ["volume", "oi"]
        if not self.table.is_bars:
            wanted += ["bid", "ask", "bid_quantity", "ask_quantity"]
            wanted += DEPTH_COLUMNS if self.table.shows_depth else []
        return [name for name in wanted if name in self.table.columns]

    @property
    def identity(self) -> list[str]:
        """The columns that tell of which instrument a row is, beside its token."""
        return [name for name in IDENTITY if name in self.table.columns] if "symbol" in self.table.columns else []

    def sql(self) -> dict[str, str]:
        """Typed columns; NULL where a field cannot be read, or a symbol is blank."""
        have = self.table.columns
        select = {"time": self.clock.sql}
        select |= {name: self._number(name) for name in self.prices}
        select |= {name: self._number(name, optional=True) for name in self.optional}
        if "token" in have:
            select["token"] = f"try_cast({have['token']} AS BIGINT)"
        if parts := self.identity:
            texts = [
                f"trim({have[name]}{'' if self.table.types[name] == 'VARCHAR' else '::VARCHAR'})" for name in parts
            ]
            select["symbol"] = f"nullif({texts[0]}, '')"
            if len(texts) > 1:
                joined = ", ".join(f"coalesce({text}, '')" for text in texts)
                select["symbol"] = f"CASE WHEN {texts[0]} <> '' THEN concat_ws('{BETWEEN}', {joined}) END"
        return select

    def fetched(self, more: dict[str, str] | None = None) -> Fetched:
        """The columns of the file, and `more` of them. Raises: `DataError` where it breaks off or is corrupt."""
        select = self.sql() | (more or {})
        if "symbol" not in select:
            return Fetched(self.table.query(select), [])
        symbol, known = select["symbol"], self._first_symbols(select["symbol"])
        if known:
            listed = ", ".join("'" + name.replace("'", "''") + "'" for name in known)
            place = f"enum_code(try_cast({symbol} AS ENUM({listed})))"
            select |= {"place": place, "symbol": f"CASE WHEN {place} IS NULL THEN {symbol} END"}
        columns = self.table.query(select)
        columns["symbol"], symbols = _numbered(known, columns.pop("place", None), columns["symbol"])
        return Fetched(columns, symbols)

    def _first_symbols(self, symbol: str) -> list[str]:
        """Symbols that the file is known to have: to number them is a third of the work of writing each row's as text."""
        table = self.table
        if table.text is None:
            found = table.distinct(symbol, "", _MANY)
        else:
            found = list(dict.fromkeys(name for (name,) in table.rows({"s": symbol}, limit=_FIRST_ROWS) if name))
        return found if len(found) < _MANY and not any("\0" in name for name in found) else []

    def _number(self, name: str, *, optional: bool = False) -> str:
        column = self.table.columns[name]
        if self.table.types[name] != "VARCHAR":
            return f"coalesce({column}::DOUBLE, 0)" if optional else f"{column}::DOUBLE"
        return self.numbers.optional_sql(column) if optional else self.numbers.sql(column)

    def widened(self, failing: Iterable[str]) -> "Selection":
        """What to ask where fields could not be read in the form of the first rows."""
        texts = _number_texts(self.table, [*self.prices, *self.optional])
        for name in failing:
            if name == "time" and self.clock.text:
                odd = self.table.distinct(self.clock.text, f"{self.clock.sql} IS NULL")
                self = replace(self, clock=self.clock.widened(odd))  # noqa: PLW0642 - the same question, wider
            elif name in texts:
                column = self.table.columns[name]
                texts[name] += self.table.distinct(column, f"{self.numbers.sql(column)} IS NULL")
        return replace(self, numbers=_number_form(self.table, texts))


def _numbered(known: list[str], place: Any, others: Any) -> tuple[Any, list[str]]:
    """The places of symbols, and the symbols, of which the first is that of rows without one.

    `place` is where a row's symbol stands in `known`, masked where it stands not there; then `others` has it, if anything.
    """
    symbols, blank = ["", *known], np.ma.getmaskarray(others)
    if place is None or np.ma.is_masked(place):
        numbers = np.zeros(len(blank), np.int32)
        if place is not None:
            numbers[:] = np.ma.filled(place.astype(np.int32) + 1, 0)
        texts = np.ma.getdata(others)[~blank].tolist()
        more = {text: n for n, text in enumerate(dict.fromkeys(texts), start=len(symbols))}
        numbers[~blank] = np.fromiter(map(more.__getitem__, texts), np.int32, len(texts))
        return np.ma.MaskedArray(numbers, numbers == 0), [*symbols, *more]
    return place.astype(np.int32) + 1, symbols


def selection(table: Table) -> Selection:
    """Raises: `DataError` where times or numbers allow two readings."""
    asked = Selection(table, clock_of(table), NumberForm())
    texts = _number_texts(table, [*asked.prices, *asked.optional])
    return replace(asked, numbers=_number_form(table, texts))


def _number_texts(table: Table, names: Iterable[str]) -> dict[str, list[str]]:
    return {name: list(table.samples[name]) for name in names if name in table.samples}


def _number_form(table: Table, texts: dict[str, list[str]]) -> NumberForm:
    dots_may_group = table.dialect is not None and table.dialect.delimiter in (";", "\t")
    every = [text for column in texts.values() for text in column]
    where, told = str(table.path), table.options.decimal
    with suppress(TwoReadings):
        form = form_of(every, where, told=told, dots_may_group=dots_may_group)
        if told or not dots_may_group or any("." in text or "," in text for text in every):
            return form
    for column in (table.columns[name] for name in texts):  # the first rows do not decide it, any other may
        every += table.distinct(column, decides_sql(column), 20)
        every += table.distinct(column, f"contains({column}, '.')", 1) if dots_may_group else []
    return form_of(every, where, dots_may_group=dots_may_group)


def failing(asked: Selection, columns: dict[str, Any]) -> list[str]:
    """The columns with fields that could not be read."""
    names = ["time", *asked.prices, *asked.optional]
    return [name for name in names if isinstance(columns[name], np.ma.MaskedArray) and columns[name].mask.any()]
