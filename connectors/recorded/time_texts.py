"""Time texts: in which form one text writes a time, as a format of `strptime`.

    22-Apr-2024 09:15:00.5 AM +0530 ─► %d-%b-%Y  %I:%M:%S.%f %p  %z

Which of the first two numbers of `04/05/2024` is the day, the text does not say: its whole column does (`times`).
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

_MONTH: Final = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)"
)
_WEEKDAY: Final = r"(?P<weekday>(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?P<comma>,?) )?"
_YEAR: Final = r"(?:\d{4}|\d{2})"
_DATE: Final = (
    rf"{_WEEKDAY}(?:(?P<ymd>\d{{4}}(?P<s1>[-/.])\d{{1,2}}(?P=s1)\d{{1,2}})"
    rf"|(?P<xyz>\d{{1,2}}(?P<s2>[-/. ])\d{{1,2}}(?P=s2){_YEAR})"
    rf"|(?P<dby>\d{{1,2}}(?P<s3>[-/. ]?){_MONTH}(?P=s3){_YEAR})"
    rf"|(?P<ybd>\d{{4}}(?P<s4>[-/. ]?){_MONTH}(?P=s4)\d{{1,2}})"
    rf"|(?P<bdy>{_MONTH} \d{{1,2}}(?P<s5>,?) \d{{4}})"
    r"|(?P<digits>\d{8}|\d{6}))"
)
_CLOCK: Final = (
    r"(?:(?P<hm>\d{1,2}:\d{2})(?P<s>:\d{2})?|(?P<compact>\d{6}|\d{4}))"
    r"(?:(?P<point>[.,:])(?P<fraction>\d{1,9}))?(?P<half>(?P<gap> ?)[AaPp][Mm])?"
)
_ZONE: Final = (
    r"(?P<zone>(?P<before> ?)(?:(?P<name>Z|UTC|GMT|IST)|(?P<utc>UTC|GMT)?(?P<offset>[+-]\d{2}(?::?\d{2})?)"
    r"(?P<words> \([A-Za-z ]+\))?|(?P<region>[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+)))?"
)
_TEXT: Final = re.compile(rf"{_DATE}(?:(?P<between>T|[ ,_:-]| ?, ?|(?<=^\d{{8}})){_CLOCK}{_ZONE})?", re.IGNORECASE)
_EPOCH: Final = re.compile(r"(?P<whole>\d{9,19})(?P<fraction>\.\d+)?")
_SINCE, _UNTIL = 631_152_000, 4_102_444_800  # seconds since 1970: from 1990 to 2100
_UNITS: Final = (10**9, 10**6, 10**3, 1)


class TimeText(NamedTuple):
    """How one text writes a time.

    `format` has `{}` for a date of three numbers, the year not first: `separator` stands between them, and the year has
    two digits where `short_year`. `zone` is empty, `offset` (in the text), `UTC` or `IST`. A number since 1970 has no
    format but a unit.
    """

    date: str = ""  # the part of the format that is the date
    format: str = ""
    separator: str | None = None
    short_year: bool = False
    zone: str = ""
    has_clock: bool = True
    unit: int = 0  # ns; 0 = no number since 1970
    has_fraction: bool = False  # of a number
    is_long: bool = False  # more than six digits behind the second


@lru_cache(maxsize=2_048)
def read_text(text: str) -> TimeText | None:
    """The form of one text, `None` where it is none that we know.

    >>> [read_text(t).format for t in ("2024-04-22 09:15:00+05:30", "22-Apr-24 9:15 AM", "22/04/2024", "20240422 091500")]
    ['%Y-%m-%d %H:%M:%S%z', '%d-%b-%y %I:%M %p', '{}', '%Y%m%d %H%M%S']
    >>> read_text("1713757500123").unit, read_text("soon")
    (1000000, None)
    """
    text = text.strip()
    if (number := _EPOCH.fullmatch(text)) and (unit := _unit(int(number["whole"]))):
        return TimeText(unit=unit, has_fraction="." in text)
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    part = match.groupdict()
    separator = part["s2"] if part["xyz"] else "" if len(part["digits"] or "") == 6 else None
    date = _date_form(part)
    form = TimeText(date, date, separator, separator is not None and not re.search(r"\d{4}$", part["xyz"] or ""))
    if part["between"] is None:
        return form._replace(has_clock=False)
    clock, is_long = _clock_form(part)
    zone, form_of_zone = _zone_form(part)
    return form._replace(format=form.format + part["between"] + clock + form_of_zone, zone=zone, is_long=is_long)


def _unit(whole: int) -> int:
    """What a number since 1970 counts, in ns, by its size; 0 where it would be no time from 1990 to 2100."""
    return next((unit for unit in _UNITS if _SINCE <= whole * unit // 10**9 < _UNTIL), 0)


def _date_form(part: dict[str, str | None]) -> str:
    before = "" if not part["weekday"] else "%a, " if part["comma"] else "%a "
    if part["ymd"]:
        return before + "%Y{0}%m{0}%d".format(part["s1"])
    if part["xyz"]:
        return before + "{}"
    if digits := part["digits"]:
        if len(digits) == 6:
            return "{}"
        return "%Y%m%d" if digits[:2] in ("19", "20") and digits[4:6] <= "12" else "%d%m%Y"
    if named := part["bdy"]:
        return f"{before}{_month(named)} %d{part['s5']} %Y"
    if named := part["dby"]:
        year = "%Y" if re.search(r"\d{4}$", named) else "%y"
        return f"{before}%d{part['s3']}{_month(named)}{part['s3']}{year}"
    return f"{before}%Y{part['s4']}{_month(part['ybd'] or '')}{part['s4']}%d"


def _month(text: str) -> str:
    return "%B" if len("".join(re.findall("[A-Za-z]", text))) > 3 else "%b"


def _clock_form(part: dict[str, str | None]) -> tuple[str, bool]:
    hour = "%I" if part["half"] else "%H"
    if compact := part["compact"]:
        form = f"{hour}%M%S" if len(compact) == 6 else f"{hour}%M"
    else:
        form = f"{hour}:%M:%S" if part["s"] else f"{hour}:%M"
    is_long = bool(part["fraction"] and len(part["fraction"]) > 6)
    if part["fraction"]:
        form += f"{part['point']}{'%n' if is_long else '%f'}"
    return form + (f"{part['gap']}%p" if part["half"] else ""), is_long


def _zone_form(part: dict[str, str | None]) -> tuple[str, str]:
    if not part["zone"]:
        return "", ""
    if name := part["name"]:
        return ("IST" if name.upper() == "IST" else "UTC"), f"{part['before']}{name}"
    if part["region"]:
        return "offset", f"{part['before']}%Z"
    return "offset", f"{part['before']}{part['utc'] or ''}%z{part['words'] or ''}"
