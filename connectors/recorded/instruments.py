"""Instruments: whose prices a recording holds, by column, by a list of instruments, or by the name of a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from connectors.recorded.forms import Table
from functions.arrays import Integers
from functions.events import InstrumentConfig, InstrumentKind
from functions.symbols import kind_of, lot_size_of, same_name, symbol_of, tick_size_of, tick_size_text
from functions.ticks import Rows


@dataclass
class _Known:
    """What is known of an instrument before its prices are looked at."""

    token: int
    symbol: str
    lot_size: int = 0
    tick_size: str = ""
    kind: InstrumentKind = "EQ"
    given: InstrumentConfig | None = None


class Roster:
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

    def add_list(self, table: Table) -> None:
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

    def index(self, table: Table, columns: dict[str, Any]) -> Integers:
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
