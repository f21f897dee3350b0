"""File names: which instrument the name of a file is about, and what else stands in it.

A name like `ticks_NIFTY50_256265_20251008.csv` has words that say what the file is, the day of the recording, and the
instrument's token; `TCS_2026-04-01.csv` and `TCS_2026-04-02.csv` are one instrument on two days. The date of a future or an
option is part of its name.
"""

import datetime as dt
import re
from typing import Final, NamedTuple

from functions.derivatives import MONTHS, kind_of_derivative

# What a file is, whose it is and how long its bars are: words that name no instrument.
_NOISE: Final = """
tick ticks quote quotes data dataset trade trades candle candles bar bars ohlc ohlcv price prices ltp market export history
historical hist intraday minute minutes min hour hourly day daily raw clean cleaned adjusted full sample live feed log
recording recorded copy of from to with nse bse nfo bfo nseeq nsefo equity eq cash spot ist utc csv kite kiteconnect
zerodha dhan upstox angel angelone fyers breeze icicidirect openalgo truedata gdfl gfdl gfdlnfo gfdlcm yahoo yfinance
tradingview investing nsepy jugaad stock stocks last
"""
_WORDS: Final = frozenset(_NOISE.split())
_LENGTH: Final = re.compile(
    r"\d{1,3} ?(?:m|min|mins|minute|minutes|h|hr|hour|hours|d|day|days|s|sec|second|seconds|t|tf)"
    r"|m(?:[1-6]|10|12|15|20|30)|h[1-4]|d1"  # MetaTrader's
)
_BETWEEN: Final = re.compile(r"[_ ,]+|\.(?!\d|(?:NSE|NS|BSE|BO|NFO|BFO)(?![A-Z]))|-(?=\d{1,2}[mh]\b)", re.IGNORECASE)
_SPACED_LENGTH: Final = re.compile(r"(?<=\w)[_ ]\d{1,3}[_ -](?:mins?|minutes?|hours?|days?)(?![A-Za-z])", re.IGNORECASE)
_SUFFIX: Final = re.compile(r"(?i)\.(?:csv|txt|tsv|parquet|parq|pq|feather|arrow|gz|zst|zip|xlsx?)$")
_CHART: Final = re.compile(r"^(?:NSE|BSE|NFO|BFO)_(?:DLY_)?(?P<symbol>.+?), ?\d+[A-Z]?(?:_[0-9a-f]+)?$", re.IGNORECASE)
_MONTH: Final = "|".join(MONTHS)
_DATES: Final = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:19|20)\d\d([-_.])[01]\d\1[0-3]\d|[0-3]\d([-_.])[01]\d\2(?:19|20)\d\d|(?:19|20)\d\d[-_.][01]\d"
    rf"|[0-3]?\d[-_. ]?(?:{_MONTH})[-_. ]?(?:19|20)?\d\d|(?:{_MONTH})[-_. ]?(?:19|20)\d\d"
    rf"|(?:19|20)\d\d[-_. ]?(?:{_MONTH}))(?:T[\d.-]+Z?)?(?![A-Za-z0-9])",
    re.IGNORECASE,
)


class FileName(NamedTuple):
    """What the name of a file tells. `symbol` is empty where it names no instrument."""

    symbol: str
    token: int | None = None


def read_name(name: str) -> FileName:
    """Symbol and token of a file's name.

    >>> read_name("ticks_NIFTY50_256265_20251008.csv"), read_name("BAJAJ-AUTO.csv")
    (FileName(symbol='NIFTY50', token=256265), FileName(symbol='BAJAJ-AUTO', token=None))
    >>> [read_name(n).symbol for n in ("TCS_2026-04-01.csv", "NIFTY 22500 CE 28 APR 26.csv", "2026-04-01.csv")]
    ['TCS', 'NIFTY 22500 CE 28 APR 26', '']
    """
    stem = _SPACED_LENGTH.sub("", _stem(name))
    if chart := _CHART.match(stem):
        stem = chart["symbol"]
    told = [word for word in _words(stem) if word.lower() not in _WORDS]
    derivative = kind_of_derivative(" ".join(told)) is not None or any(kind_of_derivative(word) for word in told)
    words = _words(_without_day(stem) if derivative else _DATES.sub(" ", stem))
    tokens = [word for word in words if len(word) >= (7 if derivative else 5) and word.isdigit() and not _is_date(word)]
    symbol = " ".join(word for word in words if word not in tokens and not (_is_noise(word) or _is_date(word)))
    symbol = symbol.upper().strip(" -.")
    if tokens and symbol in ("", "CALL", "PUT", "CE", "PE", "FUT", "FUTURES"):
        symbol = f"{symbol} {tokens[0]}".strip()
    return FileName(symbol, int(tokens[0]) if len(set(tokens)) == 1 and int(tokens[0]) < 2**31 else None)


def symbol_of(name: str, folder: str = "") -> str:
    """The instrument that a file is about: from its own name, else from that of its folder.

    >>> symbol_of("2026-04-01.csv", folder="TCS"), symbol_of("data.csv", folder="recordings")
    ('TCS', 'DATA')
    """
    found = read_name(name).symbol
    if not found and folder:
        of_folder = folder.rpartition("=")[2] if "=" in folder else folder
        found = read_name(of_folder).symbol if _names_one(of_folder) else ""
    return found or _stem(name).upper()


def _names_one(folder: str) -> bool:
    """Whether a folder is called like an instrument, and not like a place where files are kept."""
    return bool(re.fullmatch(r"[A-Z0-9&][A-Z0-9&. _-]*", folder))


def _stem(name: str) -> str:
    stem = name
    while match := _SUFFIX.search(stem):
        stem = stem[: match.start()]
    return re.sub(r" ?\(\d+\)$", "", stem).strip()


def _words(text: str) -> list[str]:
    return [word for word in _BETWEEN.split(text) if word.strip("-.^")]


def _without_day(stem: str) -> str:
    """The name of a derivative without the day of its recording: digits alone, behind all else."""
    dates = [match for match in _DATES.finditer(stem) if match.end() == len(stem) and match[0][-2:].isdigit()]
    before = stem[: dates[-1].start()] if dates and not re.search(_MONTH, dates[-1][0].upper()) else stem
    return before if kind_of_derivative(" ".join(_words(before))) else stem


def _is_noise(word: str) -> bool:
    lower = word.lower().strip("-.()[]")
    return not lower or lower in _WORDS or bool(_LENGTH.fullmatch(lower))


def _is_date(word: str) -> bool:
    """Whether digits are a day: 20260401, 01042026, 260401."""
    for form, length in (("%Y%m%d", 8), ("%d%m%Y", 8), ("%y%m%d", 6), ("%d%m%y", 6)):
        if len(word) != length or not word.isdigit():
            continue
        try:
            year = dt.datetime.strptime(word, form).year  # noqa: DTZ007 - a day, no instant
        except ValueError:
            continue
        if 1990 <= year <= 2060:
            return True
    return False
