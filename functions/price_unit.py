"""Price unit: whether prices that call themselves rupees are paise.

Exchanges' own feeds and some brokers count in paise. A file does not say so; its prices do: all of them are whole, and a
hundred times as high as the instrument trades. Shares above 5,000 rupees are few, and known here by name.
"""

from typing import Final

from functions.derivatives import contracts
from functions.events import InstrumentKind
from functions.symbols import is_index, plain_name, same_name

USUAL: Final = 5_000  # rupees: what hardly a share and no option is above
DEAR: Final = 500_000  # what no index and no share is above
_WITHOUT_PAISE: Final = 20  # so many different prices in whole rupees are none of an instrument that trades in paise

# Shares that have traded above `USUAL` since 2015.
_DEAR_SHARES: Final = """
MRF PAGEIND HONAUT BOSCHLTD 3MINDIA SHREECEM ABBOTINDIA NESTLEIND MARUTI ULTRACEMCO BAJAJHLDNG BAJAJ-AUTO BAJFINANCE BAJAJFINSV
EICHERMOT DIXON SOLARINDS APOLLOHOSP DIVISLAB BRITANNIA INDIGO HEROMOTOCO PERSISTENT OFSS KAYNES POWERINDIA ATUL LMW LAXMIMACH
TATAELXSI LTIM LTTS SANOFI PGHH GILLETTE CRISIL NAUKRI POLYCAB LINDEINDIA COFORGE ABB SIEMENS ENRIN DMART ALKEM TORNTPHARM
TRENT HAL MCX BSE VSTIND FORCEMOT TVSHLTD TASTYBITE KICL ELCIDIN NEULANDLAB JSWHL MAHSCOOTER BAYERCROP GRWRHITECH CERA AMBER
SKFINDIA VOLTAMP GODFRYPHLP PIIND AIAENG ESCORTS CUMMINSIND SUNDARMFIN TITAN TIINDIA SRF NAVINFLUOR DEEPAKNTR CAMS
THANGAMAYL ECLERX PFIZER GLAXO AKZOINDIA WHIRLPOOL RATNAMANI GRINDWELL ANANDRATHI HDFCAMC MUTHOOTFIN MAZDOCK APARINDS
CEATLTD BALKRISIND JKCEMENT DALBHARAT SUPREMEIND ASTRAL SCHAEFFLER TIMKEN KIRLOSENG INGERRAND FINEORG CLEAN VINATIORGA
"""
_DEAR_NAMES: Final = frozenset(_DEAR_SHARES.split())


def why_paise(
    symbol: str, kind: InstrumentKind, lowest: float, different: int, *, tick: float = 0.0, last: float = 0.0
) -> str:  # fmt: skip
    """Why whole prices of an instrument must be paise; empty where they may well be rupees.

    `lowest` of its prices, all of them whole, and how many `different` ones there are. A list of instruments tells `tick`
    and `last` (price) in rupees; 0 = not told.

    >>> why_paise("SBIN", "EQ", 86505, 4), why_paise("MRF", "EQ", 132000, 4)
    ('all prices are whole numbers from 86,505 on, and SBIN does not trade above 5,000', '')
    """
    if last > 0:
        is_hundredfold = 20 < lowest / last < 500
        return f"the list of instruments has {symbol} at {last:,g}, here it is {lowest:,.0f}" if is_hundredfold else ""
    limit = DEAR if _is_dear(symbol, kind) else USUAL
    if lowest >= limit:
        return f"all prices are whole numbers from {lowest:,.0f} on, and {symbol} does not trade above {limit:,}"
    if 0 < tick < 1 and different >= _WITHOUT_PAISE and lowest >= USUAL / 10:
        return f"{symbol} trades in steps of {tick:g}, and none of its {different} different prices has paise"
    return ""


def _is_dear(symbol: str, kind: InstrumentKind) -> bool:
    name = plain_name(symbol)
    if kind in ("CE", "PE"):
        return False
    if kind == "FUT":
        name = next((contract.underlying for contract in contracts(name)), name)
    return kind == "INDEX" or is_index(name) or same_name(name) in _DEAR_NAMES
