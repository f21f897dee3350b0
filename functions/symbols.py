"""Symbols: what the name of an instrument says about it, however brokers, exchanges and charts spell it.

For recordings that nobody described. A future or option is told by `derivatives`, an index by its list of names here,
everything else is a share (or a fund, which trades like one).
"""

import re
from typing import Final

from functions.derivatives import contracts, kind_of_derivative
from functions.events import Exchange, InstrumentKind

_VENUE: Final = "NSE|BSE|NFO|BFO|NSEFO|NSECM|BSEFO|BSECM|NSEEQ|BSEEQ|NSE_EQ|BSE_EQ|NSE_FO|BSE_FO|NSE_INDEX|BSE_INDEX"
_BEFORE: Final = re.compile(rf"(?:{_VENUE})[:|]")  # NSE:TCS, NSE_INDEX|Nifty 50
_BEHIND: Final = re.compile(r"(?<=.)\.(?P<venue>NSE|NS|BSE|BO|NFO|BFO)$")  # TCS.NS, NIFTY-I.NFO
_SERIES: Final = re.compile(r"(?<=.)[-_ ](?:EQ|INDEX)$")  # TCS-EQ, NIFTY50-INDEX
_VENUES: Final[dict[str, Exchange]] = {"NS": "NSE", "BO": "BSE"}

# Indices by their names without spaces. In several words, whatever begins with NIFTY is one.
_INDICES: Final = """
NIFTY NIFTY50 NIFTYNEXT50 NIFTYNXT50 NIFTYJR NIFTYJUNIOR NIFTY100 NIFTY200 NIFTY500 NIFTYMIDCAP50 NIFTYMIDCAP100
NIFTYMIDCAP150 NIFTYSMLCAP50 NIFTYSMLCAP100 NIFTYSMLCAP250 NIFTYSMALLCAP50 NIFTYSMALLCAP100 NIFTYSMALLCAP250
NIFTYMICROCAP250 NIFTYMIDSML400 NIFTYLARGEMID250 NIFTYTOTALMKT NIFTYTOTALMARKET NIFTYMIDSELECT NIFTYMIDCAPSELECT
NIFTYMIDCPSELECT MIDCPNIFTY NIFTYBANK BANKNIFTY NIFTYFINSERVICE NIFTYFINANCIALSERVICES FINNIFTY NIFTYPSUBANK
NIFTYPVTBANK NIFTYPRIVATEBANK NIFTYIT NIFTYAUTO NIFTYPHARMA NIFTYFMCG NIFTYMETAL NIFTYMEDIA NIFTYREALTY NIFTYENERGY
NIFTYINFRA NIFTYINFRASTRUCTURE NIFTYCOMMODITIES NIFTYCONSUMPTION NIFTYMNC NIFTYPSE NIFTYCPSE NIFTYSERVSECTOR
NIFTYHEALTHCARE NIFTYOILANDGAS NIFTYCONSRDURBL NIFTYALPHA50 NIFTYDIVOPPS50 NIFTYINDDEFENCE NIFTYCONGLOMERATE
INDIAVIX NIFTYVIX VIX GIFTNIFTY NSEI NSEBANK CNXIT CNXAUTO CNXPHARMA CNXFMCG CNXMETAL CNXREALTY CNXENERGY CNXINFRA
CNXMEDIA CNXPSUBANK CNXFINANCE CNXNIFTYJUNIOR CNX100 CNX200 CNX500 CNXMIDCAP CNXSMALLCAP S&PCNXNIFTY CNXNIFTY
SENSEX SENSEX50 SNSX50 BANKEX S&PBSESENSEX BSESENSEX BSESN BSE100 BSE200 BSE500 BSEMIDCAP BSESMALLCAP BSEBANKEX
"""
_INDEX_NAMES: Final = frozenset(_INDICES.split())
_INDEX_WORDS: Final = re.compile(r"(?:S&P )?(?:CNX )?NIFTY\d* [A-Z0-9 &]+")
_FUND: Final = re.compile(r"\b(?:ETF|BEES|FUND|IETF)\b")
_OF_BSE: Final = ("SENSEX", "BANKEX", "SNSX50", "BSESN", "S&PBSE", "BSE")


def plain_name(symbol: str) -> str:
    """A symbol in capitals, without the exchange before or behind it and without the series of ordinary shares.

    >>> plain_name("NSE:TCS-EQ"), plain_name("tcs.ns"), plain_name("^NSEI"), plain_name("BAJAJ-AUTO")
    ('TCS', 'TCS', 'NSEI', 'BAJAJ-AUTO')
    """
    name = " ".join(symbol.upper().split()).lstrip("^$")
    if match := _BEFORE.match(name):
        name = name[match.end() :]
    return _SERIES.sub("", _BEHIND.sub("", name)) or symbol.upper()


def same_name(symbol: str) -> str:
    """The form in which two spellings of one symbol agree.

    >>> same_name("Nifty 50"), same_name("NIFTY_50"), same_name("NSE:NIFTY50-INDEX")
    ('NIFTY50', 'NIFTY50', 'NIFTY50')
    """
    return re.sub(r"[\s_]", "", plain_name(symbol))


def kind_of(symbol: str) -> InstrumentKind:
    """What a name says about an instrument.

    >>> [kind_of(s) for s in ("RELIANCE", "NIFTY 50", "BANKNIFTY", "NIFTY25DECFUT", "NIFTY25O1422850CE", "PUT 10932226")]
    ['EQ', 'INDEX', 'INDEX', 'FUT', 'CE', 'PE']
    """
    told = symbol.upper()
    name = plain_name(symbol).replace("_", " ")
    if told.startswith(("NSE_INDEX", "BSE_INDEX", "^")) or told.endswith("-INDEX"):
        return "INDEX"
    if is_index(name):
        return "INDEX"
    return kind_of_derivative(name) or "EQ"


def is_index(name: str) -> bool:
    """Whether a name, as `plain_name` gives it, is that of an index.

    >>> [is_index(n) for n in ("NIFTY MIDCAP 150", "NIFTYIT", "NIFTYBEES", "NIFTY FUT", "NIFTY 50 ETF")]
    [True, True, False, False, False]
    """
    if re.sub(r"[\s_-]", "", name) in _INDEX_NAMES:
        return True
    return bool(_INDEX_WORDS.fullmatch(name)) and not contracts(name) and not _FUND.search(name)


def exchange_of(symbol: str, kind: InstrumentKind) -> Exchange:
    """Where an instrument trades: what stands before or behind its name tells, else NSE but for BSE's own indices.

    >>> exchange_of("TCS", "EQ"), exchange_of("TCS.BO", "EQ"), exchange_of("SENSEX26APRFUT", "FUT")
    ('NSE', 'BSE', 'BFO')
    """
    told = symbol.upper().strip()
    before, behind = _BEFORE.match(told), _BEHIND.search(told)
    if before:
        of_bse = told.startswith("B")
    elif behind:
        of_bse = _VENUES.get(behind["venue"], behind["venue"]).startswith("B")
    else:
        of_bse = kind != "EQ" and plain_name(symbol).replace(" ", "").startswith(_OF_BSE)
    if kind in ("FUT", "CE", "PE"):
        return "BFO" if of_bse else "NFO"
    return "BSE" if of_bse else "NSE"
