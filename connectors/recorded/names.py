"""Names of columns: what a column means, in the words of brokers, exchanges, charts and data vendors.

Compared are letters and digits alone, in lower case: `Last Price`, `<LAST_PRICE>` and `lastPrice` are one name.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from functions.ticks import LEVELS

# What a column may mean: its names, the likeliest first; where several are there, the first that is there counts.
_NAMES: Final[dict[str, str]] = {
    # an instant, or a day alone; then what else the two columns `date` and `clock` may be called
    "time": "exchangetimestamp timestamp datetime dateandtime datetimestamp exchangetime candletime bartime starttime "
    "opentime transacttime exchfeedtime ts localtimestamp t",
    "date": "date tradedate tradingdate traddt bizdt date1 day dt yyyymmdd",
    "clock": "time clock timeofday hhmm hhmmss tradetime",
    "index": "index",  # what pandas calls a time that is its index
    "traded": "lasttradetime lasttradedtime ltt",
    "token": "instrumenttoken token symboltoken securityid semsmstsecurityid fininstrmid scripcode",
    "symbol": "tradingsymbol trdsym semtradingsymbol fininstrmnm stocknm "
    "symbol ticker tckrsymb stockcode scrip scripname symbolname contract stock "
    "instrumentname instrumentkey isin",
    "exchange": "exchange exch exchangecode exchseg exchangesegment semexmexchid",
    "series": "series sctysrs",
    "expiry": "expiry expirydate expirydt xprydt expdate semexpirydate",
    "strike": "strike strikeprice strikepr strkpric semstrikeprice",
    "right": "optiontype optiontyp optntp cepe callput right semoptiontype",
    "type": "instrumenttype instrument fininstrmtp insttype seminstrumentname semexchinstrumenttype",
    "segment": "segment sgmt semsegment",
    "name": "name underlying smsymbolname undrlygfininstrmnm",
    "price": "lastprice ltp lasttradedprice lasttradeprice tradedprice tradeprice lastrate price",
    "volume": "volumetraded volumetradedtoday volume vol totalvolume ttq tottrdqty ttltradgvol totaltradedquantity "
    "totaltradequantity totaltradedvolume volumetradefortheday sharestraded ttltrdqnty voltradedtoday vtt intv "
    "v tickvol tickvolume noofshares",
    "oi": "oi openinterest openint opnintrst intoi",
    "open": "open openprice opnpric into o",
    "high": "high highprice hghpric inth h",
    "low": "low lowprice lwpric intl l",
    "close": "close closeprice clspric intc c",
    "last": "last lastpric",
    "bid": "bid bestbid bidprice bestbidprice buyprice bbp",
    "ask": "ask bestask askprice bestaskprice sellprice offer offerprice bap",
    "bid_quantity": "bidquantity bidqty bidsize bestbidqty bestbidquantity buyqty",
    "ask_quantity": "askquantity askqty asksize bestaskqty bestaskquantity sellqty offerqty",
    "lot_size": "lotsize lot marketlot minlot boardlot boardlotqty newbrdlotqty semlotunits",
    "tick_size": "ticksize tick semticksize bidintrvl",
} | {
    f"{side}{what}{n}": " ".join(pattern.format(side=side, n=n) for pattern in patterns)
    for side in ("bid", "ask")
    for what, patterns in (("", ("{side}price{n}",)), ("_quantity", ("{side}quantity{n}", "{side}qty{n}")))
    for n in range(1, LEVELS + 1)
}
_MEANINGS: Final = {
    name: (place, meaning) for meaning, names in _NAMES.items() for place, name in enumerate(names.split())
}  # fmt: skip
_ZONES: Final = ("utc", "gmt", "ist")  # at the end of a time's name
_UNNAMED: Final = re.compile(r"|unnamed\d+|column0|level\d+")  # what pandas writes for its index into CSV
_INDEX_LEVEL: Final = re.compile(r"indexlevel\d+")  # and into Parquet, where it stands last

# What only a list of orders, trades or holdings has: no market data, whatever else is in it.
_ORDERS: Final = """
orderid tradeid transactiontype ordertype buysell orderstatus fillid signalid avgcost pnl curval
realisedpnl unrealisedpnl realizedpnl unrealizedpnl ordertimestamp fillprice filledquantity orderno tradeno
"""
_OF_ORDERS: Final = frozenset(_ORDERS.split())
_AVERAGES: Final = frozenset(
    ("averageprice", "avgprice")
)  # of a position; of the day where volume or quotes stand beside it

TOLD: Final = tuple(_NAMES)  # what a user may name a column for
BARS: Final = ("open", "high", "low", "close")


@lru_cache(maxsize=4_096)
def plain(name: str) -> str:
    """The form in which names of columns are compared.

    >>> plain(" <LAST_PRICE> "), plain("Vol."), plain("Close (₹)"), plain("4. close")
    ('lastprice', 'vol', 'close', 'close')
    """
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\((?:₹|rs|inr|in rs|in inr)\.?\)|^\s*\d+\.\s+(?=[a-z])", "", name.lower()))


def meanings(names: Sequence[str], told: Mapping[str, str] | None = None) -> dict[str, int]:
    """What is in which column: meaning -> place. `told` says it for some by their names, and goes before all else.

    >>> meanings(["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"])
    {'date': 0, 'open': 1, 'high': 2, 'low': 3, 'close': 4, 'volume': 6}
    >>> meanings(["when", "LTP", "price"], {"time": "when", "price": "price"})
    {'time': 0, 'price': 2}
    """
    found: dict[str, tuple[int, int]] = {}
    keys = [plain(name) for name in names]
    for place, key in enumerate(keys):
        is_index = _INDEX_LEVEL.fullmatch(key) or (place == 0 and _UNNAMED.fullmatch(key))
        rank, meaning = (0, "index") if is_index else _MEANINGS.get(_without_zone(key), (0, ""))
        if meaning and (meaning not in found or rank < found[meaning][0]):
            found[meaning] = (rank, place)
    places = {meaning: place for meaning, (_, place) in found.items()}
    for meaning, name in (told or {}).items():
        if plain(name) in keys:
            places = {other: place for other, place in places.items() if place != keys.index(plain(name))}
            places[meaning] = keys.index(plain(name))
    return _settled(places, told or {})


def _settled(places: dict[str, int], told: Mapping[str, str]) -> dict[str, int]:
    """Bars and ticks apart: `price` beside open, high and low is the close where nothing else is, and so is `last`."""
    ohl = all(name in places for name in ("open", "high", "low"))
    for other in ("price", "last"):
        if ohl and "close" not in places and other in places and "close" not in told:
            places["close"] = places.pop(other)
    if "price" not in places and "last" in places and not ohl:
        places["price"] = places["last"]
    for side in ("bid", "ask", "bid_quantity", "ask_quantity"):  # the first level is the best
        if side not in places and f"{side}1" in places:
            places[side] = places[f"{side}1"]
    places.pop("last", None)
    return dict(sorted(places.items(), key=lambda item: item[1]))


def _without_zone(key: str) -> str:
    for zone in _ZONES:
        if key.endswith(zone) and key[: -len(zone)] in _MEANINGS:
            return key[: -len(zone)]
    return key


def zone_in(name: str) -> str:
    """The zone that a time's column names, `UTC` or `IST`; empty where it names none.

    >>> zone_in("timestamp_utc"), zone_in("Time (IST)"), zone_in("datetime")
    ('UTC', 'IST', '')
    """
    key = plain(name)
    zone = next((zone for zone in _ZONES if key.endswith(zone) and key != zone), "")
    return {"gmt": "UTC"}.get(zone, zone.upper())


def is_of_orders(names: Sequence[str]) -> bool:
    """Whether a file is a list of orders, trades or positions, and no market data.

    >>> is_of_orders(["order_timestamp", "tradingsymbol", "transaction_type", "price"]), is_of_orders(["time", "price"])
    (True, False)
    """
    keys = {plain(name) for name in names}
    is_of_market = not {"volume", "bid", "ask", "open", "oi"}.isdisjoint(meanings(names))
    return not _OF_ORDERS.isdisjoint(keys) or (not _AVERAGES.isdisjoint(keys) and not is_of_market)
