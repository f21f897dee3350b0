"""Clocks: which columns of a file tell the time of a row, and how.

A column with instants is enough; a column with days and one with times of day make one together. What a column holds is
seen from its type or from its texts, not from its name alone.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from connectors.errors import DataError
from connectors.recorded.names import zone_in
from connectors.recorded.tables import TIMES, Table
from connectors.recorded.time_texts import read_text
from connectors.recorded.times import (
    TimeForm,
    dates_sql,
    form_of,
    needs_order,
    order_of,
    shifted_sql,
    why_not,
)  # fmt: skip

Holds = Literal["instants", "days", "clocks", "nothing"]

_INTEGERS: Final = re.compile(r"U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|DECIMAL\(\d+,0\)")
_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,:]\d{1,9})?)?( ?[AaPp][Mm])?")
_SHORT_CLOCK: Final = re.compile(r"\d{3,6}")
_NO_CLOCK: Final = "days without a time of day: bars of a day cannot be traded within it"


@dataclass(frozen=True)
class Clock:
    """The time of the rows of a file: microseconds since 1970 by `sql`."""

    text: str  # SQL: the text of a row's time; empty where it is no text
    form: TimeForm
    typed: str = ""  # SQL: the time where the column has a type of its own
    zone: str = ""  # of times that tell none
    is_told: bool = False  # whether the zone is certain: in the texts, in the type, in a name, or by the user
    order: str = ""
    has_clock: bool = True

    @property
    def sql(self) -> str:
        return self.typed or self.form.sql(self.text, self.zone)

    def widened(self, texts: list[str]) -> "Clock":
        """The same clock, with the forms that further texts of the column have."""
        if self.typed:
            return self
        form = form_of(texts, self.order, self.form)
        return replace(self, form=form, has_clock=self.has_clock and (bool(self.form.formats) or form.has_clock))


def clock_of(table: Table) -> Clock:
    """Raises: `DataError` where no column tells an instant, or where the dates allow two readings."""
    names = [name for name in TIMES if name in table.columns]
    holds = {name: _holds(table, name) for name in names}
    whole = next((name for name in ("time", "clock", "date", "index", "traded") if holds.get(name) == "instants"), None)
    if "time" in table.options.columns and holds.get("time") == "instants":
        whole = "time"
    if whole is not None:
        return _of_column(table, whole)
    day = next((name for name in ("date", "time", "clock", "index") if holds.get(name) == "days"), None)
    clock = next((name for name in ("clock", "time", "traded") if holds.get(name) == "clocks"), None)
    if day is not None and clock is not None:
        return _of_two(table, day, clock)
    if day is not None:
        return replace(_of_column(table, day), has_clock=False)
    return _of_nothing(table, clock or names[0])


def _holds(table: Table, name: str) -> Holds:
    kind = table.types[name]
    if "TIMESTAMP" in kind:
        return "instants"
    if kind == "DATE" or kind.startswith("TIME"):
        return "days" if kind == "DATE" else "clocks"
    texts = [text.strip() for text in _texts(table, name) if text.strip()]
    if table.options.strptime and name in ("time", "date") and texts:
        return "instants" if "%H" in table.options.strptime or "%I" in table.options.strptime else "days"
    forms = [form for text in texts if (form := read_text(text)) is not None]
    clocks = [text for text in texts if _CLOCK.fullmatch(text)]
    if len(forms) * 2 > len(texts):
        has_clock = [form for form in forms if form.has_clock]
        if len(has_clock) * 2 > len(forms):
            return "instants"
        return "clocks" if name == "clock" and all(form.date == "{}" and form.format == "{}" for form in forms) and all(
            text.isdigit() for text in texts
        ) else "days"  # fmt: skip
    short = name == "clock" and all(_SHORT_CLOCK.fullmatch(text) for text in texts)
    return "clocks" if texts and (len(clocks) * 2 > len(texts) or short) else "nothing"


def _texts(table: Table, name: str) -> list[str]:
    if name in table.samples:
        return table.samples[name]
    rows = table.rows({name: _text_sql(table, name)}, f"{table.columns[name]} IS NOT NULL", 200)
    return [str(text) for (text,) in rows]


def _text_sql(table: Table, name: str) -> str:
    column, kind = table.columns[name], table.types[name]
    if kind == "DOUBLE":
        return f"format('{{:.6f}}', {column})"
    return column if kind == "VARCHAR" else f"{column}::VARCHAR"  # strptime and casts skip blanks around a text


def _of_column(table: Table, name: str) -> Clock:
    kind, column = table.types[name], table.columns[name]
    zone = table.options.time_zone or zone_in(table.names[name])
    if "TIMESTAMP" in kind:
        is_zoned = "TIME ZONE" in kind or "TIMESTAMPTZ" in kind
        number = f"epoch_ns({column}) // 1000" if kind in ("TIMESTAMP_NS", "TIMESTAMPTZ_NS") else (
            f"epoch_us({column}{'' if is_zoned else '::TIMESTAMP'})"
        )  # fmt: skip
        typed = number if is_zoned else shifted_sql(number, zone or "IST")
        return Clock("", TimeForm(), typed, zone, is_zoned or bool(zone))
    if kind == "DATE":
        return Clock("", TimeForm(), shifted_sql(f"epoch_us({column}::TIMESTAMP)", zone or "IST"), zone, bool(zone))
    if kind == "FLOAT":
        raise DataError(
            f"{table.path}: column {name} holds times as 32-bit floats, which are minutes apart",
            remedy="write times as timestamps",
        )
    clock = _of_text(table, _text_sql(table, name), _texts(table, name), zone)
    return replace(clock, text=column) if clock.form.unit and _INTEGERS.fullmatch(kind) else clock


def _of_two(table: Table, day: str, clock: str) -> Clock:
    """A date in one column, the time of day in another."""
    zone = table.options.time_zone or zone_in(table.names[clock]) or zone_in(table.names[day])
    columns = [table.columns[name] for name in (day, clock)]
    if table.types[day] == "DATE" and table.types[clock].startswith("TIME"):
        typed = shifted_sql(f"epoch_us({columns[0]} + {columns[1]}::TIME)", zone or "IST")
        return Clock("", TimeForm(), typed, zone, bool(zone))
    of_day, of_clock = (f"trim({column}::VARCHAR)" for column in columns)
    clocks = [text.strip() for text in _texts(table, clock)]
    if all(_SHORT_CLOCK.fullmatch(text) for text in clocks if text):
        width = 6 if max(map(len, clocks)) > 4 else 4
        of_clock = f"lpad({of_clock}, greatest({width}, length({of_clock}))::INTEGER, '0')"
        clocks = [text.rjust(width, "0") for text in clocks]
    texts = [f"{a.strip()} {b}" for a, b in zip(_texts(table, day), clocks, strict=False) if a.strip() and b]
    return _of_text(table, f"({of_day} || ' ' || {of_clock})", texts, zone)


def _of_text(table: Table, text: str, texts: list[str], zone: str) -> Clock:
    if form := table.options.strptime:
        shown = "offset" if "%z" in form or "%Z" in form else ""
        return Clock(text, TimeForm(((shown, form),)), zone=zone, is_told=bool(shown or zone))
    order = ""
    if needs_order(texts):
        order = table.options.order_of_dates or _order(table, text, texts)
    form = form_of(texts, order)
    return Clock(text, form, "", zone, form.tells_zone or bool(zone), order, form.has_clock)


def _order(table: Table, text: str, texts: list[str]) -> str:
    """The order of the numbers of a date: told by the first rows where they decide it, else by all dates of the file."""
    found = [match[1] for text in texts if (match := re.search(r"^\D*(\d+[-/. ]\d+[-/. ]\d+|\d{6})", text.strip()))]
    try:
        return order_of(found, str(table.path))
    except DataError:
        return order_of(table.distinct(dates_sql(text), f"{dates_sql(text)} <> ''", 20_000), str(table.path))


def _of_nothing(table: Table, name: str) -> Clock:
    """Raises: `DataError` where it is known why no row has a time; else no row has one, and each is told."""
    texts = [text.strip() for text in _texts(table, name) if text.strip()]
    for text in texts[:1]:
        if reason := why_not(text):
            raise DataError(f"{table.path}: {reason[0]}", remedy=reason[1])
    return Clock(f"{table.columns[name]}::VARCHAR", TimeForm())
