"""Symbols: what the name of an instrument, and of a file about it, says about the instrument.

For recordings that nobody described: the kind from the name, tick and lot size from the prices and quantities.
"""

import re
from typing import Final

import numpy as np

from functions.events import InstrumentKind
from functions.ticks import Rows

_INDICES: Final = re.compile(r"(NIFTY|SENSEX|BANKEX|INDIAVIX)(50|BANK|NEXT50|IT|AUTO|100|500)?|(BANK|FIN|MIDCP)NIFTY")
_OPTION: Final = re.compile(r"\d(CE|PE)$")
_FUTURE: Final = re.compile(r"\d{2}[A-Z]{3}FUT$|\bFUTURES?\b|\bFUT\b")
_NOISE: Final = re.compile(r"(?i)^(ticks?|quotes?|data|minute|1min|min|kiteconnect|kite|dhan|zerodha|nse|bse|\d{6,})$")


def kind_of(symbol: str) -> InstrumentKind:
    """What a name says about an instrument.

    >>> [kind_of(s) for s in ("RELIANCE", "NIFTY 50", "BANKNIFTY", "NIFTY25DECFUT", "NIFTY25O1422850CE", "PUT 10932226")]
    ['EQ', 'INDEX', 'INDEX', 'FUT', 'CE', 'PE']
    """
    name = symbol.upper().replace("_", " ")
    if option := _OPTION.search(name):
        return "CE" if option[1] == "CE" else "PE"
    words = name.split()
    if "CALL" in words or "PUT" in words:
        return "CE" if "CALL" in words else "PE"
    if _FUTURE.search(name):
        return "FUT"
    return "INDEX" if _INDICES.fullmatch(name.replace(" ", "")) else "EQ"


def same_name(symbol: str) -> str:
    """The form in which two spellings of one symbol agree.

    >>> same_name("Nifty 50"), same_name("NIFTY_50")
    ('NIFTY50', 'NIFTY50')
    """
    return re.sub(r"[\s_]", "", symbol.upper())


def tick_size_text(text: str) -> str:
    """A tick size as its shortest text; none where it is zero.

    >>> tick_size_text("0.0500"), tick_size_text("5.0000"), tick_size_text("0.0000")
    ('0.05', '5.00', '')
    """
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(2, "0")
    return f"{whole}.{fraction}" if f"{whole}{fraction}".strip("0") else ""


def symbol_of(file_name: str) -> str:
    """An instrument's name from a file's: without dates, tokens and words that name no instrument.

    >>> symbol_of("ticks_NIFTY50_256265_20251008.csv"), symbol_of("BAJAJ-AUTO.csv")
    ('NIFTY50', 'BAJAJ-AUTO')
    """
    stem = file_name.split(".")[0]
    words = [word for word in stem.split("_") if not _NOISE.match(word)]
    return " ".join(words).upper() or stem.upper()


def tick_size_of(prices: Rows) -> str:
    """0.05 where all prices keep to it, else 0.01."""
    paise = np.rint(prices * 100).astype(np.int64)
    return "0.05" if (paise % 5 == 0).all() else "0.01"


def lot_size_of(rows: Rows) -> int:
    """The largest number that divides every quantity that was seen; 1 where none was."""
    names = ("volume", "bid_quantity", "ask_quantity", "open_interest")
    return (
        max(int(np.gcd.reduce([np.gcd.reduce(rows[name].astype(np.int64)) for name in names])), 1) if len(rows) else 1
    )
