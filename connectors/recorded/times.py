"""Times: in which form a whole column writes its times, and the SQL that makes microseconds since 1970 of it.

A column has one form: what is not of it is no time that can be read. Which number of `04/05/2024` is the day is decided
by all the dates of the column, and refused where they allow both.
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from connectors.errors import DataError
from connectors.recorded.time_texts import TimeText, read_text
from functions.calendar import IST_OFFSET

ORDERS: Final = {"day-first": "%d{0}%m{0}%{1}", "month-first": "%m{0}%d{0}%{1}", "year-first": "%{1}{0}%m{0}%d"}
_DIGITS: Final = r"^\D*(\d+[-/. ]\d+[-/. ]\d+|\d{6})"  # the three numbers of a date, or six digits
_SPREADSHEET: Final = re.compile(r"\d{5}(\.\d+)?|\d(\.\d+)?E\+\d+", re.IGNORECASE)
_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}(:\d{2})?([.,]\d+)?( ?[AaPp][Mm])?")
_ROUNDED: Final = re.compile(r"\d{2}:\d{2}\.\d")  # minutes, seconds and a tenth: how Excel shows what has milliseconds
_FORMAT_IT: Final = "format the column as yyyy-mm-dd hh:mm:ss before it is saved as CSV"
INDIA_US: Final = IST_OFFSET // 1000


@dataclass(frozen=True)
class TimeForm:
    """The form of a column: formats of `strptime` by the zone that they stand in, or the unit of numbers since 1970."""

    formats: tuple[tuple[str, str], ...] = ()  # zone and format, in the order in which they are tried
    unit: int = 0  # ns
    has_fraction: bool = False
    has_clock: bool = True

    @property
    def tells_zone(self) -> bool:
        return bool(self.formats) and all(zone for zone, _ in self.formats)

    def sql(self, text: str, zone: str) -> str:
        """Microseconds since 1970 of a text column, NULL where it is not of this form. `zone` is that of what tells none."""
        if self.unit:
            return shifted_sql(_number_sql(text, self.unit, self.has_fraction), zone or "UTC")
        if not self.formats:
            return "NULL::BIGINT"
        parts = []
        for told in dict.fromkeys(zone for zone, _ in self.formats):
            formats = [form for z, form in self.formats if z == told]
            listed = ", ".join("'" + form.replace("'", "''") + "'" for form in formats)
            is_long = any("%n" in form for form in formats)
            parsed = f"try_strptime({text}, [{listed}])"
            number = f"epoch_ns({parsed}) // 1000" if is_long else f"epoch_us({parsed})"
            if told in ("", "IST"):
                number = shifted_sql(number, "IST" if told else zone or "IST")
            parts.append(number)
        return parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"


def form_of(texts: Iterable[str], order: str = "", fallback: TimeForm | None = None) -> TimeForm:
    """The form that most of the texts have; the empty one where none is known.

    `order` is one of `ORDERS`, for dates of three numbers. With `fallback` the texts only add to that form.
    """
    found = [form for text in texts if (form := read_text(text)) is not None]
    if not found:
        return fallback or TimeForm()
    family = Counter(_family(form) for form in found).most_common(1)[0][0]
    same = list(dict.fromkeys(form for form in found if _family(form) == family))
    first = same[0]
    if first.unit:
        return TimeForm(unit=first.unit, has_fraction=any(form.has_fraction for form in same))
    formats: dict[tuple[str, str], None] = dict.fromkeys(fallback.formats if fallback else ())
    for form in same:
        date = ORDERS[order].format(form.separator, "y" if form.short_year else "Y") if order else form.date
        whole = form.format.replace("{}", date)
        formats[form.zone, whole] = None
        for fraction in ("%f", "%n"):  # a whole second is often written without its zeros
            formats[form.zone, re.sub(rf"[.,:]{fraction}", "", whole)] = None
    return TimeForm(tuple(formats), has_clock=first.has_clock)


def _family(form: TimeText) -> tuple[object, ...]:
    twelve = "%I" in form.format
    return form.date.replace("%B", "%b"), form.separator, form.short_year, form.has_clock, twelve, form.unit


def needs_order(texts: Iterable[str]) -> bool:
    """Whether there are dates of three numbers, the year not first."""
    return any(form is not None and form.separator is not None for form in map(read_text, texts))


def dates_sql(text: str) -> str:
    """The dates of three numbers in a text column."""
    return f"regexp_extract({text}, '{_DIGITS}', 1)"


def order_of(dates: Sequence[str], where: str) -> str:
    """Which of `ORDERS` the dates of a column are written in.

    A year of two digits stands last, but for six digits without anything between them.
    Raises: `DataError` where the dates allow two readings, or none.

    >>> order_of(["13/04/2024", "02/05/2024"], "a.csv"), order_of(["04-22-24"], "a.csv")
    ('day-first', 'month-first')
    """
    read = {order: [_date(text, order) for text in dates] for order in ORDERS}
    possible = {order: days for order, days in read.items() if days and all(days)}
    short = not any(text.isdigit() or re.search(r"\d{4}$", text) for text in dates)
    if "year-first" in possible and len(possible) > 1 and short and not _strange(possible):
        del possible["year-first"]
    if len(possible) == 1 or (possible and len({tuple(days) for days in possible.values()}) == 1):
        return next(iter(possible))
    example = dates[0] if dates else ""
    if not possible:
        raise DataError(
            f"{where} writes its dates in more than one way, e.g. {example!r}",
            remedy="write all of them alike, best as 2024-04-22",
        )  # fmt: skip
    readings = " or ".join(f"{days[0]:%d %B %Y}" for days in possible.values() if days[0])
    raise DataError(
        f"{where}: {example!r} may be {readings}, and no other date of the file decides it",
        remedy=" or ".join(f"--time-format {order}" for order in possible),
    )


def _strange(possible: dict[str, list[dt.date | None]]) -> bool:
    """Whether the year seems to stand first after all: so read, the days lie much nearer together, or none on a weekend."""
    first, last = (sorted(day for day in possible.get(o, []) if day) for o in ("year-first", "day-first"))
    if not last:
        last = sorted(day for day in possible.get("month-first", []) if day)
    spans = [(days[-1] - days[0]).days + 1 for days in (first, last)]
    weekends = [any(day.weekday() > 4 for day in days) for days in (first, last)]
    return spans[0] * 5 < spans[1] or (weekends[1] and not weekends[0])


def _date(text: str, order: str) -> dt.date | None:
    numbers = re.split(r"[-/. ]", text) if not text.isdigit() else re.findall("..", text)
    places = {"day-first": (2, 1, 0), "month-first": (2, 0, 1), "year-first": (0, 1, 2)}[order]
    if len(numbers) != 3 or len(numbers[places[0]]) not in (2, 4) or any(len(numbers[n]) > 2 for n in places[1:]):
        return None
    year, month, day = (int(numbers[n]) for n in places)
    try:
        return dt.date(year + 2000 if year < 69 else year + 1900 if year < 100 else year, month, day)
    except ValueError:
        return None


def why_not(text: str) -> tuple[str, str] | None:
    """Why a text that is no time stands where a time should be, and what to do about it."""
    if set(text) == {"#"}:
        return (
            f"{text!r} is what a spreadsheet shows where a column is too narrow",
            "widen it before it is saved as CSV",
        )
    if _ROUNDED.fullmatch(text):
        return f"{text!r} is what a spreadsheet shows of a time, its date and hour are lost", _FORMAT_IT
    if _CLOCK.fullmatch(text):
        return f"{text!r} is a time of day without a date", "add a column with the date"
    if _SPREADSHEET.fullmatch(text):
        return (
            f"{text!r} is a time as a spreadsheet counts or rounds it",
            _FORMAT_IT,
        )
    return None


def ahead_of_utc(zone: str) -> int | None:
    """What a zone is ahead of UTC, in microseconds; `None` where that changes with the season."""
    if zone in ("", "IST", "Asia/Kolkata", "Asia/Calcutta"):
        return INDIA_US
    if zone == "UTC":
        return 0
    if offset := re.fullmatch(r"([+-])(\d{2}):?(\d{2})", zone):
        seconds = int(offset[2]) * 3600 + int(offset[3]) * 60
        return seconds * (-1_000_000 if offset[1] == "-" else 1_000_000)
    offsets = {dt.datetime(2024, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() for month in range(1, 13)}
    fixed = offsets.pop() if len(offsets) == 1 else None
    return None if fixed is None else int(fixed.total_seconds()) * 1_000_000


def shifted_sql(number: str, zone: str) -> str:
    """Microseconds of a clock in a zone as microseconds since 1970."""
    ahead = ahead_of_utc(zone)
    if ahead is None:
        return f"epoch_us(timezone('{zone}', make_timestamp({number})))"
    return f"{number} - {ahead}" if ahead else number


def _number_sql(text: str, unit: int, has_fraction: bool) -> str:
    """A number since 1970 in microseconds, cut, exact."""
    if not has_fraction:
        whole = f"try_cast({text} AS BIGINT)"
        return f"{whole} * {unit // 1000}" if unit >= 1000 else f"{whole} // {1000 // unit}"
    digits = {10**9: 6, 10**6: 3}.get(unit, 0)
    whole, part = f"try_cast(split_part(trim({text}), '.', 1) AS BIGINT)", f"split_part(trim({text}), '.', 2)"
    if not digits:
        return f"{whole} // {1000 // unit}" if unit < 1000 else whole
    cut = f"rpad(substr({part}, 1, {digits}), {digits}, '0')"
    return f"({whole} * {unit // 1000} + try_cast({cut} AS BIGINT))"
