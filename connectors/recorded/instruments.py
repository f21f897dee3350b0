"""Instruments: whose prices a recording holds, by column, by a list of instruments, or by the name of a file."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, inf
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash

from connectors.errors import DataError
from connectors.recorded.columns import BETWEEN, Selection
from connectors.recorded.lists import Listed, Lists, day_in, exchange_in, kind_in
from connectors.recorded.names import meanings
from connectors.recorded.tables import Table
from functions.arrays import Floats, Integers
from functions.calendar import session_class
from functions.derivatives import kind_of_derivative
from functions.events import Exchange, InstrumentConfig, InstrumentKind
from functions.file_names import read_name, symbol_of
from functions.lot_and_tick import finer_than_five_paise, lots_of
from functions.price_unit import why_paise
from functions.symbols import exchange_of, kind_of, plain_name, same_name

_GENERATED: Final = ("part", "data", "file", "chunk", "batch")  # names that programs give to parts of a table
_NO_RIGHT: Final = (
    "",
    "XX",
    "FUT",
    "OTHERS",
    "NA",
    "N/A",
    "-",
    "NONE",
    "NULL",
    "NAN",
)  # what stands for it in rows of futures
_OF_DERIVATIVES: Final = ("NFO", "BFO", "NSE_FO", "BSE_FO", "NSEFO", "BSEFO", "NSE_FNO", "BSE_FNO")


@dataclass
class _Known:
    """What is known of an instrument before its prices are looked at."""

    token: int
    symbol: str
    exchange: Exchange
    kind: InstrumentKind
    listed: Listed | None = None
    given: InstrumentConfig | None = None
    seen_lot: int = 0  # the largest number that divides every quantity that was seen; 0 = none was
    finer: int = 0  # prices that are no multiple of five paise
    with_paise: int = 0  # prices that are not whole
    lowest: float = inf
    different: int = 0  # of whole prices


class Roster:
    """The instruments of a recording, numbered in the order in which they are met; the given ones first."""

    def __init__(self, given: Sequence[InstrumentConfig] | None) -> None:
        self._given = given is not None
        self._known: list[_Known] = []
        self._by_token: dict[int, int] = {}
        self._by_symbol: dict[tuple[str, Exchange | None], int] = {}
        self._classes: list[int] = []
        self.lists = Lists()
        for config in given or ():
            self._add(
                _Known(config.instrument_token, config.tradingsymbol, config.exchange, config.kind, given=config)
            )  # fmt: skip

    @property
    def names(self) -> list[str]:
        return [known.symbol for known in self._known]

    def session_classes(self) -> Integers:
        """The session class of every instrument that is known so far."""
        return np.array(self._classes, np.int64)

    def _closing_auction(self, known: _Known) -> bool:
        if known.given is not None:
            return known.given.closing_auction
        return known.kind == "EQ" and known.exchange == "NSE" and self.lists.has_futures(same_name(known.symbol))

    def _add(self, known: _Known) -> int:
        n = len(self._known)
        self._known.append(known)
        self._classes.append(session_class(known.kind, self._closing_auction(known)))
        self._by_token.setdefault(known.token, n)
        self._by_symbol.setdefault((same_name(known.symbol), known.exchange), n)
        self._by_symbol.setdefault((same_name(known.symbol), None), n)
        return n

    def index(self, asked: Selection, columns: dict[str, Any], symbols: Sequence[str]) -> Integers:
        """Which instrument each row is of, `symbols` by their numbers. Takes token and symbol out of the columns."""
        tokens, places = columns.pop("token", None), columns.pop("symbol", None)
        table, count = asked.table, len(columns["time"])
        if tokens is None and places is None:
            return np.full(count, self.of_file(table), np.int64)
        if tokens is not None:
            distinct, first, inverse = _distinct(tokens)
            numbers = [
                self._token(int(token), symbols[places[at]] if places is not None else "", asked, len(distinct))
                for token, at in zip(distinct.tolist(), first.tolist(), strict=True)
            ]
            return np.array(numbers, np.int64)[inverse]
        numbers = np.zeros(len(symbols), np.int64)
        for place in _as_they_come(places, len(symbols)):
            numbers[place] = self._identity(symbols[place], asked)
        return numbers[places]

    def of_file(self, table: Table) -> int:
        """The instrument that a whole file is about."""
        if table.dialect is not None and table.dialect.symbol:
            return self._symbol(table.dialect.symbol)
        told = read_name(table.path.name)
        if told.token is not None:
            if told.token in self._by_token:
                return self._by_token[told.token]
            if listed := self.lists.of_token(told.token):
                return self._listed(listed)
        return self._symbol(_name_of(table.path), token=told.token)

    def _token(self, token: int, identity: str, asked: Selection, tokens: int) -> int:
        if token in self._by_token:
            return self._by_token[token]
        if listed := self.lists.of_token(token):
            return self._listed(listed)
        _refuse_foreign(self.lists, str(token), asked.table)
        if identity.strip(BETWEEN):
            symbol, exchange, kind = _described(identity, asked)
        else:
            symbol = _name_of(asked.table.path) if tokens == 1 else str(token)
            kind = kind_of(symbol)
            exchange = exchange_of(symbol, kind)
        return self._add(_Known(token, symbol, exchange, kind))

    def _identity(self, identity: str, asked: Selection) -> int:
        """The number of the instrument that the columns of a row tell."""
        if BETWEEN not in identity:
            _refuse_foreign(self.lists, identity.upper(), asked.table)
            return self._symbol(identity)
        symbol, exchange, kind = _described(identity, asked)
        return self._symbol(symbol, exchange=exchange, kind=kind)

    def _symbol(
        self, symbol: str, *, token: int | None = None, exchange: Exchange | None = None, kind: InstrumentKind | None = None
    ) -> int:  # fmt: skip
        told = exchange or _told_exchange(symbol)
        name = same_name(symbol)
        if (found := self._by_symbol.get((name, told))) is not None:
            return found
        if listed := self.lists.of_symbol(symbol, told):
            return self._listed(listed, symbol)
        kind = kind or kind_of(symbol)
        exchange = exchange or exchange_of(symbol, kind)
        if (found := self._by_symbol.get((name, exchange))) is not None:
            return found
        number = token if token is not None else _made_up(symbol, exchange)
        while number in self._by_token:
            number += 1
        return self._add(_Known(number, symbol, exchange, kind))

    def _listed(self, listed: Listed, spelled: str = "") -> int:
        n = self._by_symbol.get((same_name(listed.symbol), listed.exchange))
        if n is None:
            token = listed.token if listed.token is not None else _made_up(listed.symbol, listed.exchange)
            n = self._add(_Known(token, listed.symbol, listed.exchange, listed.kind, listed))
        if spelled:
            self._by_symbol.setdefault((same_name(spelled), None), n)
        return n

    def measure(self, columns: dict[str, Any], instrument: Integers) -> None:
        """Learns from one file's prices and quantities in which steps its instruments trade."""
        count = len(self._known)
        here = [self._known[n] for n in np.flatnonzero(np.bincount(instrument)).tolist()]
        for name in ("price", "open", "high", "low", "close"):
            if name in columns and not all(known.finer for known in here):
                finer = finer_than_five_paise(columns[name], instrument, count)
                for n in np.flatnonzero(finer).tolist():
                    self._known[n].finer += int(finer[n])
        has_lots = any(known.kind not in ("EQ", "INDEX") for known in here)
        for name in ("volume", "oi", "bid_quantity", "ask_quantity") if has_lots else ():
            if name in columns:
                lots = lots_of(np.nan_to_num(columns[name]).astype(np.int64), instrument, count)
                for n in np.flatnonzero(lots).tolist():
                    self._known[n].seen_lot = gcd(self._known[n].seen_lot, int(lots[n]))
        self._measure_whole(columns["price" if "price" in columns else "close"], instrument)

    def _measure_whole(self, prices: Floats, instrument: Integers) -> None:
        """Learns which instruments have whole prices only."""
        with_paise = np.bincount(instrument[prices != np.rint(prices)], minlength=len(self._known))
        for n in np.flatnonzero(with_paise).tolist():
            self._known[n].with_paise += int(with_paise[n])
        if (with_paise > 0)[np.bincount(instrument, minlength=len(with_paise)) > 0].all():
            return
        whole = (with_paise[instrument] == 0) & (prices > 0)
        if not whole.any():
            return
        for n in np.unique(instrument[whole]).tolist():
            different = np.unique(prices[whole & (instrument == n)])
            self._known[n].lowest = min(self._known[n].lowest, float(different[0]))
            self._known[n].different += len(different)

    def refuse_paise(self) -> None:
        """Raises: `DataError` for prices that must be paise."""
        for known in self._known:
            if known.with_paise or not known.different:
                continue
            told = known.listed.tick_size if known.listed else known.given.tick_size if known.given else ""
            reason = why_paise(
                plain_name(known.symbol), known.kind, known.lowest, known.different, tick=float(told or 0),
                last=known.listed.last_price if known.listed else 0.0,
            )  # fmt: skip
            if reason:
                raise DataError(
                    f"the prices of {plain_name(known.symbol)} seem to be paise: {reason}",
                    remedy="--unit paise, or --unit rupees if they are rupees all the same",
                )

    def expiries(self) -> dict[int, dt.date]:
        """When listed derivatives expire, by their number."""
        return {n: known.listed.expiry for n, known in enumerate(self._known) if known.listed and known.listed.expiry}

    def configs(self) -> list[InstrumentConfig]:
        """The instruments; of those that nobody described, the tick and lot size that their prices and quantities keep to."""
        return [known.given or self._config(known) for known in self._known]

    def _config(self, known: _Known) -> InstrumentConfig:
        symbol, enabled = plain_name(known.symbol), not self._given
        listed = known.listed
        if known.kind == "INDEX":
            return InstrumentConfig(known.token, symbol, known.exchange, "INDEX", "0", 0, enabled=enabled)
        lot = (listed.lot_size if listed else 0) or (known.seen_lot if known.kind != "EQ" else 1) or 1
        tick = (listed.tick_size if listed else "") or ("0.01" if known.finer else "0.05")
        auction = self._closing_auction(known)
        return InstrumentConfig(known.token, symbol, known.exchange, known.kind, tick, lot, auction, enabled)


def _described(identity: str, asked: Selection) -> tuple[str, Exchange, InstrumentKind]:
    """Symbol, exchange and kind of an instrument that several columns tell together."""
    row = dict(zip(asked.identity, identity.split(BETWEEN), strict=True))
    symbol = row["symbol"].upper()
    if kind_of_derivative(plain_name(symbol)) is None:
        expiry, strike = day_in(row.get("expiry", "")), _strike(row.get("strike", ""))
        kind = kind_in(row)
        if kind == "EQ" or kind == "INDEX":
            of_derivatives = expiry is not None or row.get("exchange", "").upper() in _OF_DERIVATIVES
            kind = "FUT" if of_derivatives and not strike and row.get("right", "").upper() in _NO_RIGHT else kind
        if kind in ("CE", "PE", "FUT"):
            day = f"{expiry:%d %b %y}" if expiry else row.get("expiry", "")
            words = [symbol, strike if kind != "FUT" else "", kind, day]
            symbol = " ".join(word for word in words if word).upper()
    else:
        kind = kind_of(symbol)
    exchange = exchange_in(row, symbol, kind)
    if exchange is None:
        raise _foreign(symbol, row.get("exchange", ""), asked.table)
    series = row.get("series", "").upper()
    if kind == "EQ" and series not in ("", "EQ", "XX"):
        symbol = f"{symbol}-{series}"
    return symbol, exchange, kind


def _strike(text: str) -> str:
    number = text.rstrip("0").rstrip(".") if "." in text else text
    return number if number.replace(".", "", 1).isdigit() and float(number) > 0 else ""


def _told_exchange(symbol: str) -> Exchange | None:
    """The exchange that stands before or behind a symbol."""
    name = symbol.upper()
    if plain_name(name) == name:
        return None
    told = any(name.startswith(e) for e in ("NSE", "BSE", "NFO", "BFO")) or name.endswith(
        (".NS", ".BO", ".NFO", ".BFO", ".NSE", ".BSE")
    )
    return exchange_of(symbol, kind_of(symbol)) if told else None


def _made_up(symbol: str, exchange: Exchange) -> int:
    """A token that is always the same for a symbol; that of another exchange is another one."""
    text = plain_name(symbol) if exchange in ("NSE", "NFO") else f"{exchange}:{plain_name(symbol)}"
    return xxhash.xxh32_intdigest(text.encode()) & 0x7FFF_FFFF


def _name_of(path: Path) -> str:
    """The instrument of a file by its own name, or by those of the folders it lies in."""
    for folder in path.absolute().parents:
        key, equals, value = folder.name.partition("=")
        if equals and "symbol" in meanings([key]):
            return value
    name = path.name
    if read_name(name).symbol.split("-")[0].split(" ")[0].lower() in _GENERATED:
        name = ""
    return symbol_of(name or "data.csv", path.absolute().parent.name)


def _refuse_foreign(lists: Lists, name: str, table: Table) -> None:
    if exchange := lists.foreign_exchange(name):
        raise _foreign(name, exchange, table)


def _foreign(name: str, exchange: str, table: Table) -> DataError:
    return DataError(
        f"{table.path}: {name} trades at {exchange}, which is none of NSE, BSE, NFO and BFO", remedy="leave it out"
    )  # fmt: skip


def _distinct(tokens: Integers) -> tuple[Integers, Integers, Integers]:
    """Different tokens in the order in which they come, where each comes first, and which of them each row has."""
    if (tokens == tokens[0]).all():
        return tokens[:1], np.zeros(1, np.int64), np.zeros(len(tokens), np.int64)
    ascending = np.unique(tokens)
    codes = np.searchsorted(ascending, tokens)
    first = np.empty(len(ascending), np.int64)
    first[codes[::-1]] = np.arange(len(tokens) - 1, -1, -1)  # of several the last assignment stays
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return ascending[order], first[order], rank[codes]


def _as_they_come(places: Integers, count: int) -> list[int]:
    """The different ones of `count` places, in the order in which they come."""
    first = np.full(count, len(places), np.int64)
    first[places[::-1]] = np.arange(len(places) - 1, -1, -1)  # of several the last assignment stays
    return [n for n in np.argsort(first).tolist() if first[n] < len(places)]
