"""Lists of instruments: what brokers and exchanges publish about what they trade, every column of it.

Kite, OpenAlgo, Angel, Dhan, Upstox and NSE name their columns differently; `names` knows them. Those that write ticks and
strikes in paise are known by their columns.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Final, NamedTuple

from connectors.recorded.names import plain
from connectors.recorded.tables import Table
from connectors.recorded.time_texts import read_text
from functions.derivatives import Contract, contracts
from functions.events import Exchange, InstrumentKind
from functions.symbols import exchange_of, kind_of, plain_name, same_name

_COLUMNS: Final = (
    "token",
    "symbol",
    "lot_size",
    "tick_size",
    "right",
    "type",
    "segment",
    "exchange",
    "expiry",
    "strike",
    "name",
    "price",
)
_EXCHANGES: Final[dict[str, Exchange]] = {
    name: exchange
    for exchange, names in (
        ("NSE", ("NSE", "NSE_EQ", "NSE_CM", "NSECM", "NSE_INDEX")),
        ("BSE", ("BSE", "BSE_EQ", "BSE_CM", "BSECM", "BSE_INDEX")),
        ("NFO", ("NFO", "NSE_FO", "NSEFO")),
        ("BFO", ("BFO", "BSE_FO", "BSEFO")),
    )
    for name in names
}
_INDEX_WORDS: Final = ("INDICES", "NSE_INDEX", "BSE_INDEX", "INDEX", "AMXIDX", "UNDIND")
_RIGHTS: Final[dict[str, InstrumentKind]] = {"CE": "CE", "CALL": "CE", "C": "CE", "PE": "PE", "PUT": "PE", "P": "PE"}
_FUTURES: Final = ("FUT", "STF", "IDF")  # beginnings of types; the others are NSE's for stocks and indices
_ELSEWHERE: Final = ("CUR", "COM", "IRC", "IRF", "IRT")  # ends of types: currencies, commodities, interest rates
_SINCE_1980: Final = 315_532_800  # s; NSE's contract files count from 1980
_SHARES: Final = ("EQ", "EQUITY", "ES", "STK")


@dataclass(frozen=True)
class Listed:
    """One instrument of a list. `lot_size` 0 and `tick_size` "" where it does not tell them."""

    token: int | None
    symbol: str
    exchange: Exchange
    kind: InstrumentKind
    lot_size: int = 0
    tick_size: str = ""
    expiry: dt.date | None = None
    strike: Decimal | None = None
    underlying: str = ""
    last_price: float = 0.0


class _Row(NamedTuple):
    """A line of a list, not looked at yet. `paise`: what its strikes and its ticks are to be divided by."""

    cells: dict[str, str]
    paise: tuple[int, int]


class Lists:
    """All instruments of all lists, found by token, by name or by contract. A line is looked at when it is asked for."""

    def __init__(self) -> None:
        self._by_token: dict[int, _Row] = {}
        self._by_name: dict[str, list[_Row]] = {}
        self._derivatives: list[_Row] = []

    def add(self, table: Table) -> None:
        """Takes a file's lines."""
        self.__dict__.pop("_by_contract", None)
        for row in _rows(table):
            token = row.cells.get("token", "")
            if token.isdigit():
                self._by_token[int(token)] = row
            self._by_name.setdefault(same_name(row.cells["symbol"]), []).append(row)
            if row.cells.get("expiry"):
                self._derivatives.append(row)

    def of_token(self, token: int) -> Listed | None:
        row = self._by_token.get(token)
        return _listed(row) if row is not None else None

    def of_symbol(self, symbol: str, exchange: Exchange | None = None) -> Listed | None:
        """The instrument of a symbol however it is spelled; `None` where there is none, or where two derivatives fit."""
        named = [listed for row in self._by_name.get(same_name(symbol), ()) if (listed := _listed(row)) is not None]
        for wanted in (exchange, "NSE", "NFO", "BFO", "BSE"):
            if found := next((listed for listed in named if listed.exchange == wanted), None):
                return found
        for contract in contracts(plain_name(symbol)) if self._derivatives else ():
            fitting = [
                listed
                for listed in self._by_contract.get((contract.underlying, contract.kind, contract.strike), [])
                if contract.agrees(Contract(contract.underlying, contract.kind, listed.expiry, None, contract.strike))
            ]
            if len(fitting) == 1:
                return fitting[0]
        return None

    @cached_property
    def _by_contract(self) -> dict[tuple[str, str, Decimal | None], list[Listed]]:
        found: dict[tuple[str, str, Decimal | None], list[Listed]] = {}
        for row in self._derivatives:
            if (listed := _listed(row)) is not None:
                strike = listed.strike if listed.kind != "FUT" else None
                found.setdefault((listed.underlying, listed.kind, strike), []).append(listed)
        return found

    def has_futures(self, symbol: str) -> bool:
        """Whether a share has futures, by any of the lists."""
        return (symbol, "FUT", None) in self._by_contract

    def foreign_exchange(self, name: str) -> str:
        """The exchange of a token or symbol that trades where we do not."""
        rows = [self._by_token[int(name)]] if name.isdigit() and int(name) in self._by_token else ()
        rows = rows or self._by_name.get(same_name(name), ())
        if not rows or any(_listed(row) is not None for row in rows):
            return ""
        return rows[0].cells.get("exchange", "")


def _rows(table: Table) -> Iterator[_Row]:
    """The lines of a list that name a symbol."""
    names = [name for name in _COLUMNS if name in table.columns]
    columns = table.query({name: f"coalesce(trim({table.columns[name]}::VARCHAR), '')" for name in names})
    found = [plain(name) for name in table.found]
    of_nse, of_angel, of_dhan = "bidintrvl" in found, "exchseg" in found, any(name.startswith("sem") for name in found)
    paise = (100 if of_nse or of_angel else 1, 100 if of_nse or of_angel or of_dhan else 1)
    for values in zip(*(columns[name].tolist() for name in names), strict=True):
        cells = dict(zip(names, values, strict=True))
        if of_nse and cells.get("expiry", "").isdigit():
            cells["expiry"] = str(int(cells["expiry"]) + _SINCE_1980)
        if cells["symbol"]:
            yield _Row(cells, paise)


def _listed(row: _Row) -> Listed | None:
    """The instrument of a line; `None` where it trades at none of our exchanges."""
    cells, paise = row
    symbol, kind, expiry = cells["symbol"].upper(), kind_in(cells), day_in(cells.get("expiry", ""))
    exchange = exchange_in(cells, symbol, kind)
    if exchange is None:
        return None
    strike, tick = (_amount(cells.get(name, "")) for name in ("strike", "tick_size"))
    strike = (strike / paise[0]).normalize() if strike is not None and strike > 0 else None
    underlying = same_name(cells.get("name", "")) if kind in ("FUT", "CE", "PE") else ""
    if kind in ("FUT", "CE", "PE") and (not underlying or expiry is None or (strike is None and kind != "FUT")):
        contract = next(iter(contracts(plain_name(symbol))), Contract(underlying, kind))
        underlying, expiry, strike = (
            underlying or contract.underlying,
            expiry or contract.expiry,
            strike or contract.strike,
        )
    return Listed(
        _whole(cells.get("token", "")), symbol, exchange, kind, _whole(cells.get("lot_size", "")) or 0,
        _tick(tick, paise[1]), expiry, strike, underlying, float(_amount(cells.get("price", "")) or 0),
    )  # fmt: skip


def kind_in(row: dict[str, str]) -> InstrumentKind:
    """What an instrument is, by the columns of a row: its type, its segment, its name."""
    words = [row.get(name, "").upper().strip() for name in ("right", "type", "segment", "exchange")]
    if right := next((_RIGHTS[word] for word in words if word in _RIGHTS), None):
        return right
    if any(word in _INDEX_WORDS for word in words):
        return "INDEX"
    if any(word.startswith(_FUTURES) or word.endswith("-FUT") for word in words[:3]):
        return "FUT"
    is_share = any(word in _SHARES for word in words[:2])
    if is_share and (_whole(row.get("lot_size", "")) or 0) > 0:
        return "EQ"
    by_name = kind_of(row.get("symbol", ""))
    return "EQ" if is_share and by_name != "INDEX" else by_name


def exchange_in(row: dict[str, str], symbol: str, kind: InstrumentKind) -> Exchange | None:
    """Where it trades, `None` where that is none of our exchanges."""
    if row.get("type", "").upper().endswith(_ELSEWHERE):
        return None
    told = (row.get("exchange", "") or row.get("segment", "")).upper().replace("-", "_")
    if not told or told in ("INDICES", "FUT", "OPT"):
        return exchange_of(symbol, kind)
    found = _EXCHANGES.get(told) or _EXCHANGES.get(told.split("_")[0])
    if found is None:
        return None
    of_bse = found.startswith("B")
    if kind in ("FUT", "CE", "PE"):
        return "BFO" if of_bse else "NFO"
    return "BSE" if of_bse else "NSE"


def day_in(text: str) -> dt.date | None:
    """A day in whatever form, `None` where it is none.

    >>> [str(day_in(t)) for t in ("2026-04-28", "28-APR-26", "28APR2026", "28/04/2026", "1777334400000", "")]
    ['2026-04-28', '2026-04-28', '2026-04-28', '2026-04-28', '2026-04-28', 'None']
    """
    form = read_text(text)
    if form is None:
        return None
    if form.unit:
        return dt.datetime.fromtimestamp(int(text.partition(".")[0]) * form.unit / 1e9, dt.UTC).date()
    date = form.date.format(f"%d{form.separator}%m{form.separator}%{'y' if form.short_year else 'Y'}")
    written = text.strip()
    for length in range(len(written), 0, -1):
        try:
            return dt.datetime.strptime(written[:length], date).date()  # noqa: DTZ007 - a day, no instant
        except ValueError:
            continue
    return None


def _tick(tick: Decimal | None, paise: int) -> str:
    if tick is None or tick <= 0:
        return ""
    text = f"{tick / paise:f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def _amount(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None


def _whole(text: str) -> int | None:
    amount = _amount(text)
    return int(amount) if amount is not None and amount.is_finite() and amount >= 0 else None
