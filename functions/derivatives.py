"""Derivatives: what the name of a future or an option says about its contract, in every common spelling.

One name may have several readings: `RELIANCE26APR24780CE` is a strike of 24780 in April 2026 to Kite and a strike of
780 on 26 April 2024 to OpenAlgo. Which of them is meant, a list of instruments tells; the kind is the same in all.
"""

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Literal, NamedTuple

Kind = Literal["FUT", "CE", "PE"]

MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTH: Final = r"(?P<month>JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)"
_LONG_MONTH: Final = re.compile(
    r"(?<![A-Z])(JANUARY|FEBRUARY|MARCH|APRIL|JUNE|JULY|AUGUST|SEPT|SEPTEMBER|OCTOBER|NOVEMBER|DECEMBER)(?![A-Z])"
)
_CODES: Final = "FGHJKMNQUVXZ"  # months of futures on TradingView
_WEEKS: Final = "123456789OND"  # months of weekly options at Kite
_UNDERLYING: Final = r"(?P<underlying>[A-Z0-9&][A-Z0-9&.-]*?)"
_YEAR: Final = r"(?P<year>20\d{2}|\d{2})"
_STRIKE: Final = r"(?P<strike>\d+(?:\.\d+)?)"
_RIGHT: Final = r"(?P<right>CE|PE|CALL|PUT)"
_SIDE: Final = r"(?P<right>CE|PE|C|P)"

# Names in one piece; where several fit, the first is the likeliest.
_COMPACT: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_UNDERLYING}(?P<day>\d{{1,2}}){_MONTH}{_YEAR}F(?:UT)?",  # NIFTY28APR26FUT (OpenAlgo), …F (Finvasia)
        rf"{_UNDERLYING}(?P<year>\d{{2}}){_MONTH}FUT",  # NIFTY26APRFUT (Kite)
        rf"{_UNDERLYING}(?P<date>20\d{{6}}|\d{{6}})FUT",
        rf"{_UNDERLYING}(?P<code>[{_CODES}])(?P<year>20\d{{2}})",  # NIFTYJ2026 (TradingView)
        rf"{_UNDERLYING}(?P<year>\d{{2}}){_MONTH}{_STRIKE}{_RIGHT}",  # NIFTY26APR22500CE (Kite, of the month)
        rf"{_UNDERLYING}(?P<day>\d{{1,2}}){_MONTH}{_YEAR}{_STRIKE}{_RIGHT}",  # NIFTY28APR2622500CE (OpenAlgo)
        rf"{_UNDERLYING}(?P<day>\d{{1,2}}){_MONTH}{_YEAR}{_SIDE}{_STRIKE}",  # NIFTY28APR26C22500 (Finvasia)
        rf"{_UNDERLYING}(?P<year>\d{{2}})(?P<week>[{_WEEKS}])(?P<day>\d{{2}}){_STRIKE}{_RIGHT}",  # NIFTY2640722500CE
        rf"{_UNDERLYING}(?P<date>20\d{{6}}|\d{{6}}){_STRIKE}{_RIGHT}",  # NIFTY26042822500CE (TrueData)
        rf"{_UNDERLYING}(?P<date>20\d{{6}}|\d{{6}}){_SIDE}{_STRIKE}",  # NIFTY260428C22500 (TradingView)
    )
)
# A future of the next month or the one after, behind the name of its underlying: NIFTY-I, NIFTY F1, NIFTY1!.
_CONTINUOUS: Final = re.compile(r"(?P<underlying>.+?)(?:[ -](?:I{1,3}|F[1-3])|[123]!)")
# Names without any date.
_UNDATED: Final = (
    re.compile(r"(?P<underlying>NIFTY|BANKNIFTY|FINNIFTY|MIDCPNIFTY|NIFTYNXT50|SENSEX|BANKEX)FUT"),
    re.compile(rf"(?P<underlying>[A-Z0-9&-]*[A-Z&]){_MONTH}FUT"),
    re.compile(rf"{_UNDERLYING}{_STRIKE}{_RIGHT}"),
    _CONTINUOUS,
)
_FUTURE_WORDS: Final = {"FUT", "FUTURE", "FUTURES", "FUTIDX", "FUTSTK"}
_OPTION_WORDS: Final[dict[str, Kind]] = {"CE": "CE", "CALL": "CE", "PE": "PE", "PUT": "PE"}
_TYPES: Final = {"OPTIDX", "OPTSTK", "OPT", "FUTIDX", "FUTSTK"}  # NSE's names of instrument types
# Between the words of a name: not the hyphen within BAJAJ-AUTO, but those of a date and before month, kind or strike.
_BETWEEN_WORDS: Final = re.compile(r"[ ,/]+|-(?=\d)|(?<=\d)-|-(?=(?:CE|PE|FUT|[A-Z]{3}\d+)\b)")


class Contract(NamedTuple):
    """A future or an option, as far as a name tells. `month` is year and month where the name has no day of expiry."""

    underlying: str
    kind: Kind
    expiry: dt.date | None = None
    month: tuple[int, int] | None = None
    strike: Decimal | None = None

    def agrees(self, other: "Contract") -> bool:
        """Whether both can be the same contract; what only one of them tells does not part them, but a strike does."""
        if (self.underlying, self.kind, self.strike) != (other.underlying, other.kind, other.strike):
            return False
        if self.expiry and other.expiry:
            return self.expiry == other.expiry
        months = [c.month or ((c.expiry.year, c.expiry.month) if c.expiry else None) for c in (self, other)]
        return months[0] == months[1] or None in months


def kind_of_derivative(name: str) -> Kind | None:
    """Whether a name is that of a future, a call or a put; `None` where it is of none.

    >>> [kind_of_derivative(n) for n in ("NIFTY26APRFUT", "NIFTY 22500 CE", "NIFTY28APR26P22500", "NIFTYBEES", "RELIANCE")]
    ['FUT', 'CE', 'PE', None, None]
    """
    found = contracts(name)
    return found[0].kind if found else None


def contracts(name: str) -> list[Contract]:
    """The contracts that a name can mean, the likeliest first; none where it names no derivative.

    >>> [str(c.expiry) for c in contracts("NIFTY 22500 CE 28 APR 26")]
    ['2026-04-28']
    """
    text = _LONG_MONTH.sub(lambda month: month[0][:3], " ".join(name.upper().replace("_", " ").split()))
    found = list(_compact(text)) if " " not in text else []
    if not found and (spaced := _spaced(text)):
        return [spaced]
    undated = () if found else _UNDATED if " " not in text else (_CONTINUOUS,)
    for pattern in undated:
        if match := pattern.fullmatch(text):
            part = match.groupdict()
            kind, strike = _kind(part.get("right")), _decimal(part.get("strike"))
            return [Contract(_name(part["underlying"]), kind, strike=strike)]
    return sorted(found, key=lambda contract: not _plausible(contract))


def _compact(text: str) -> Iterator[Contract]:
    for pattern in _COMPACT:
        if (match := pattern.fullmatch(text)) is None:
            continue
        part = match.groupdict()
        expiry, month = _when(part)
        if expiry is None and month is None:
            continue  # the digits are no date
        yield Contract(_name(part["underlying"]), _kind(part.get("right")), expiry, month, _decimal(part.get("strike")))


def _when(part: dict[str, str | None]) -> tuple[dt.date | None, tuple[int, int] | None]:
    """Expiry, or year and month, of the groups of a pattern; nothing where they are no date."""
    if digits := part.get("date"):
        digits = digits if len(digits) == 8 else f"20{digits}"
        return _date(int(digits[:4]), int(digits[4:6]), int(digits[6:])), None
    year = int(part["year"][-2:]) + 2000 if part.get("year") else 0  # type: ignore[index]
    if code := part.get("code"):
        return None, (year, _CODES.index(code) + 1)
    if week := part.get("week"):
        return _date(year, _WEEKS.index(week) + 1, int(part["day"] or 0)), None
    number = MONTHS.index(part["month"]) + 1 if part.get("month") else 0  # type: ignore[arg-type]
    if part.get("day"):
        return _date(year, number, int(part["day"] or 0)), None
    return None, (year, number) if year and number else None


def _spaced(text: str) -> Contract | None:
    """A name in several words, in any order: underlying, date, strike, kind."""
    words = [word for word in _BETWEEN_WORDS.split(text) if word]
    types = [word for word in words if word in _TYPES or word in _FUTURE_WORDS or word in _OPTION_WORDS]
    right = next((_OPTION_WORDS[word] for word in types if word in _OPTION_WORDS), None)
    if len(words) < 2 or not (right or any(word in _FUTURE_WORDS for word in types)):
        return None
    rest = [word for word in words if word not in types]
    expiry, month, rest = _taken_date(rest)
    numbers = [w for w in rest if re.fullmatch(r"\d+(\.\d+)?", w)]
    strike = numbers[-1] if right and numbers and rest[0] != numbers[-1] else None
    underlying = " ".join(w for w in rest if w is not strike)
    return Contract(_name(underlying), right or "FUT", expiry, month, _decimal(strike))


def _taken_date(words: list[str]) -> tuple[dt.date | None, tuple[int, int] | None, list[str]]:
    """The date among the words, and the other words."""
    text = " ".join(words)
    for pattern in (
        r"\b(?P<year>20\d{2}) (?P<number>\d{2}) (?P<day>\d{2})\b",
        r"\b(?P<day>\d{2}) (?P<number>\d{2}) (?P<year>20\d{2})\b",
        r"\b(?P<date>20\d{6})\b",
        rf"\b(?P<day>\d{{1,2}})(?:ST|ND|RD|TH)?[ -]?{_MONTH}[ -]?{_YEAR}(?![\d.])",
        rf"\b{_MONTH}[ -]?(?P<year>20\d{{2}})\b",
        rf"\b(?P<day>\d{{1,2}})(?:ST|ND|RD|TH)? ?{_MONTH}\b",
        rf"(?:(?P<year>\b\d{{2}})|\b){_MONTH}(?: (?P<after>\d{{2}}))?(?![\d.])",
    ):
        match = re.search(pattern, text)
        if match is None or match.start() == 0:
            continue
        part = match.groupdict()
        part["year"] = part.get("year") or part.get("after")
        if part.get("number"):
            part["month"] = MONTHS[int(part["number"]) - 1] if 1 <= int(part["number"]) <= 12 else None
            if part["month"] is None:
                continue
        left = (text[: match.start()] + " " + text[match.end() :]).split()
        if part.get("day") and not part.get("year"):
            return None, None, left  # a day and a month of no year
        expiry, month = _when(part)
        return expiry, month, left
    return None, None, words


def _date(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def _kind(right: str | None) -> Kind:
    return "FUT" if not right else "CE" if right.startswith("C") else "PE"


def _decimal(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def _name(underlying: str) -> str:
    return re.sub(r"[ _]", "", underlying).strip("-.")


def _plausible(contract: Contract) -> bool:
    """Whether the strike is one that the underlying can have."""
    if contract.strike is None:
        return True
    index = contract.underlying in ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "SENSEX", "BANKEX")
    return (3_000 if index else 1) <= contract.strike <= 200_000
