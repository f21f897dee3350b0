"""Numbers: how a file writes its numbers, and the SQL that reads them.

A file has one decimal sign. Plain numbers are read by DuckDB's own cast; thousands (`1,234` or `1,23,456` as in India),
currency signs and quantities like `1.2M` cost a pattern for each field, and are looked for only where there are any.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from connectors.errors import DataError

Decimal = Literal["point", "comma"]

_SPACES: Final = " \u00a0\u202f"
_CURRENCY: Final = r"(?:₹|Rs\.?|INR|\$|€)"
_FACTORS: Final = {"k": 1e3, "m": 1e6, "b": 1e9, "l": 1e5, "lac": 1e5, "lakh": 1e5, "cr": 1e7, "crore": 1e7}
_BLANKS: Final = ("-", "--", "na", "n/a", "#n/a", "null", "none", "nan", "nil")
_PLAIN: Final = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")


def _pattern(decimal: Decimal) -> str:
    """A number with everything that may stand around it: its digits with their signs, and its factor."""
    point, group = (r"\.", "," + _SPACES + "'’") if decimal == "point" else (",", "." + _SPACES + "'’")
    whole = rf"(?:\d+|\d{{1,3}}(?:[{group}]\d{{2,3}})*[{group}]\d{{3}})"
    number = rf"([+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?)"
    factor = "|".join(sorted(_FACTORS, key=len, reverse=True))
    return rf"\s*{_CURRENCY}?\s*{number}\s*({factor})?s?\s*(?:{_CURRENCY}|/-)?\s*"


@dataclass(frozen=True)
class NumberForm:
    """How a file writes numbers."""

    decimal: Decimal = "point"
    is_plain: bool = True

    def sql(self, text: str) -> str:
        """A text column as DOUBLE, NULL where it is no number."""
        if self.is_plain:
            return f"try_cast({text} AS DOUBLE)"
        pattern = "(?i)" + _pattern(self.decimal).replace("'", "''")
        parts = f"regexp_extract({text}, '^(?:{pattern})$', ['number', 'factor'])"
        keep = "[^0-9.eE+-]" if self.decimal == "point" else "[^0-9,eE+-]"
        digits = f"replace(regexp_replace({parts}.number, '{keep}', '', 'g'), ',', '.')"
        cases = " ".join(f"WHEN '{name}' THEN {factor:.0f}" for name, factor in _FACTORS.items())
        number = f"try_cast({digits} AS DOUBLE)"
        return f"CASE WHEN {parts}.factor = '' THEN {number} ELSE round({number} * CASE lower({parts}.factor) {cases} END) END"

    def optional_sql(self, text: str) -> str:
        """The same, 0 where nothing stands."""
        blank = f"{text} IS NULL"
        if not self.is_plain:
            listed = ", ".join(f"'{word}'" for word in ("", *_BLANKS))
            blank += f" OR lower(trim({text})) IN ({listed})"
        return f"CASE WHEN {blank} THEN 0.0 ELSE {self.sql(text)} END"


class TwoReadings(DataError):
    """The numbers of a file may be read in two ways."""


def is_number(text: str) -> bool:
    """Whether a text is a number in any of the forms.

    >>> [is_number(t) for t in ("865.05", "1,23,456.50", "₹ 865", "1.2M", "soon", "2026-04-01")]
    [True, True, True, True, False, False]
    """
    return bool(_PLAIN.fullmatch(text)) or any(
        re.fullmatch(_pattern(decimal), text, re.IGNORECASE) for decimal in ("point", "comma")
    )


def form_of(
    texts: Iterable[str], where: str, *, told: Decimal | None = None, dots_may_group: bool = False
) -> NumberForm:
    """How a file writes its numbers, of samples from all its columns of numbers.

    `told` is the user's word for the decimal sign. `dots_may_group`: of a file with `;` or tabs `1.234` alone tells nothing.
    Raises: `TwoReadings` where they allow two, `DataError` where there are two ways of writing them.
    """
    distinct = dict.fromkeys(text.strip() for text in texts)
    plain = [text for text in distinct if _PLAIN.fullmatch(text)]
    others = [text for text in distinct if text and not _PLAIN.fullmatch(text)] if len(plain) < len(distinct) else []
    known = [text for text in others if is_number(text)]
    is_plain = not known and not any(text.lower() in _BLANKS for text in others)
    if is_plain and told != "comma" and any(sign_of(text) == "point" for text in plain):
        return NumberForm()
    signs = {text: sign_of(text) for text in plain + known}
    decided = {sign for sign in signs.values() if sign in ("point", "comma")}
    if told is not None:
        return NumberForm(told, is_plain and told == "point")
    if len(decided) > 1:
        one, other = (next(text for text, sign in signs.items() if sign == which) for which in ("point", "comma"))
        raise DataError(
            f"{where} writes numbers in two ways: {one!r} and {other!r}", remedy="write all of them with one decimal sign"
        )  # fmt: skip
    unclear = [text for text, sign in signs.items() if sign == "unclear" and ("," in text or dots_may_group)]
    if unclear and not decided:
        either = unclear[0].replace(",", "").replace(".", ""), unclear[0].replace(",", ".")
        raise TwoReadings(
            f"{where}: {unclear[0]!r} may be {' or '.join(either)}, and no other number of the file decides it",
            remedy="--decimal point or --decimal comma",
        )
    decimal: Decimal = "comma" if "comma" in decided else "point"
    return NumberForm(decimal, is_plain and decimal == "point")


def decides_sql(text: str) -> str:
    """Of a text column: whether a number tells the decimal sign, or may."""
    return f"regexp_matches({text}, '[.,]') AND NOT regexp_full_match({text}, '\\d{{1,3}}[.,]\\d{{3}}')"


def sign_of(text: str) -> str:
    """What one number tells of the decimal sign of its file: `point`, `comma`, `unclear`, or nothing.

    >>> [sign_of(t) for t in ("865.05", "865,05", "1,234.5", "1.234,5", "1,23,456", "1,234", "865")]
    ['point', 'comma', 'point', 'comma', 'point', 'unclear', '']
    """
    digits = re.sub(r"(?i)^\s*(?:₹|Rs\.?|INR|\$|€)|e[+-]?\d+\s*$|[^0-9.,]", "", text)
    dots, commas = digits.count("."), digits.count(",")
    if not dots and not commas:
        return ""
    if dots and commas:
        return "point" if digits.rfind(".") > digits.rfind(",") else "comma"
    sign, other = ("point", "comma") if dots else ("comma", "point")
    if dots + commas > 1:
        return other
    before, _, after = digits.replace(",", ".").partition(".")
    return "unclear" if len(after) == 3 and 1 <= len(before) <= 3 and before != "0" else sign
