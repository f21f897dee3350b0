"""Instruments: whose prices a recording holds, by column, by a list of instruments, or by the name of a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from connectors.recorded.tables import Table
from functions.arrays import Integers
from functions.events import InstrumentConfig, InstrumentKind
from functions.file_names import symbol_of
from functions.lot_and_tick import finer_than_five_paise, lots_of, tick_size_text
from functions.symbols import exchange_of, kind_of, plain_name, same_name


@dataclass
class _Known:
    """What is known of an instrument before its prices are looked at."""

    token: int
    symbol: str
    lot_size: int = 0
    tick_size: str = ""
    kind: InstrumentKind = "EQ"
    given: InstrumentConfig | None = None
    seen_lot: int = 0  # the largest number that divides every quantity that was seen; 0 = none was
    finer: int = 0  # prices that are no multiple of five paise


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

    @property
    def names(self) -> list[str]:
        return [known.symbol for known in self._known]

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
            return np.full(count, self._symbol(symbol_of(table.path.name, _folder(table.path))), np.int64)
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
        symbol = symbol or (symbol_of(path.name, _folder(path)) if tokens == 1 else str(token))
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

    def measure(self, columns: dict[str, Any], instrument: Integers) -> None:
        """Learns from one file's prices and quantities in which steps its instruments trade."""
        count = len(self._known)
        for name in ("price", "open", "high", "low", "close"):
            if name in columns:
                finer = finer_than_five_paise(columns[name], instrument, count)
                for n in np.flatnonzero(finer).tolist():
                    self._known[n].finer += int(finer[n])
        for name in ("volume", "oi", "bid_quantity", "ask_quantity"):
            if name in columns:
                lots = lots_of(np.nan_to_num(columns[name]).astype(np.int64), instrument, count)
                for n in np.flatnonzero(lots).tolist():
                    self._known[n].seen_lot = gcd(self._known[n].seen_lot, int(lots[n]))

    def configs(self) -> list[InstrumentConfig]:
        """The instruments; of those that nobody described, the tick and lot size that their prices and quantities keep to."""
        return [known.given or self._config(known) for known in self._known]

    def _config(self, known: _Known) -> InstrumentConfig:
        symbol, enabled = plain_name(known.symbol), not self._given
        exchange = exchange_of(known.symbol, known.kind)
        if known.kind == "INDEX":
            return InstrumentConfig(known.token, symbol, exchange, "INDEX", "0", 0, enabled=enabled)
        lot = known.lot_size or (known.seen_lot if known.kind != "EQ" else 1) or 1
        tick = known.tick_size or ("0.01" if known.finer else "0.05")
        return InstrumentConfig(known.token, symbol, exchange, known.kind, tick, lot, enabled=enabled)


def _distinct(tokens: Integers) -> tuple[Integers, Integers, Integers]:
    if (tokens == tokens[0]).all():
        return tokens[:1], np.zeros(1, np.int64), np.zeros(len(tokens), np.int64)
    return np.unique(tokens, return_index=True, return_inverse=True)


def _folder(path: Path) -> str:
    return path.absolute().parent.name
