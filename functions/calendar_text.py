"""Calendar text: a calendar as people write it, in TOML; a user's file replaces or adds years of another calendar.

    [[hours]]                                  # regular hours from a day on
    from = 2010-10-18
    shares = "09:15-15:30"                     # and auction_shares, derivatives
    mis = { shares = "15:20", auction_shares = "15:20", derivatives = "15:25" }

    [2027]
    source = "NSE circular …"
    [2027.holidays]
    01-26 = "Republic Day"
    [2027.sessions]
    10-29 = { name = "Muhurat", hours = "18:00-19:00" }

A year in a user's file stands in place of the other calendar's; with `extends = true` its days are added to it. A session
takes a holiday's place and a holiday a session's.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, Final

from functions.calendar import CLASSES, DAY, MINUTE, PARTS, Calendar, Hours, Part, Special, Year
from functions.table_text import Document, Fault, Unusable, document, unknown

REGULAR: Final = "regular"
NO_MIS: Final = "none"

_OF_HOURS: Final = ("from", *CLASSES, "mis", "mis_assumed", "source")
_OF_YEAR: Final = ("source", "extends", "holidays", "sessions")
_OF_SESSION: Final = ("name", "hours", "mis", "assumed", "source")
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_DAY: Final = re.compile(r"(\d\d)-(\d\d)")
_NATIONAL: Final = ((1, 26, "Republic Day"), (8, 15, "Independence Day"), (10, 2, "Gandhi Jayanti"))
_FORM: Final = 'write e.g. "09:15-15:30", two parts with a space between them'


class _Wrong(Exception):
    """A value that cannot be: what, and the remedy."""


def read_calendar(raw: bytes, other: Calendar | None = None) -> Calendar:
    """A calendar from the text of a file; with `other` the file replaces or adds years of it.

    Raises: `Unusable` with every fault found.
    """
    read = _Reader(document(raw), other)
    return read.calendar()


class _Reader:
    def __init__(self, source: Document, other: Calendar | None) -> None:
        self.source = source
        self.other = other
        self.faults: list[Fault] = []

    def calendar(self) -> Calendar:
        values = self.source.values
        known = [name for name in values if name == "hours" or (name.isdecimal() and len(name) == 4)]
        for name in values.keys() - set(known):
            self.fault("a table is a year or hours", "write [2027], [2027.holidays] or [[hours]]", name)
        years = {year.year: year for year in (self.other.years if self.other else ())}
        for name in sorted(set(known) - {"hours"}):
            if (year := self.year(name, years.get(int(name)))) is not None:
                years[year.year] = year
        hours = {h.since: h for h in (self.other.hours if self.other else ())}
        hours |= {h.since: h for h in self.all_hours(values.get("hours", []))}
        if not self.faults:
            self.together(years, hours)
        if self.faults:
            raise Unusable(self.faults)
        return Calendar([years[number] for number in sorted(years)], [hours[since] for since in sorted(hours)])

    def fault(self, what: str, remedy: str, *path: str | int) -> None:
        self.faults.append(Fault(self.source.line(*path), what, remedy))

    def together(self, years: Mapping[int, Year], hours: Mapping[dt.date, Hours]) -> None:
        """What can be wrong although each part is right."""
        if not years:
            self.fault("there is no year", "add one: [2027], [2027.holidays]")
            return
        missing = sorted(set(range(min(years), max(years))) - years.keys())
        if missing:
            self.fault(
                f"{', '.join(map(str, missing))} between other years is missing", "add it, or leave the others out"
            )
        if not hours or min(hours) > dt.date(min(years), 1, 1):
            self.fault(
                f"no regular hours are known for {min(years)}-01-01", "add [[hours]] from that day on", "hours", 0
            )

    # --- hours ------------------------------------------------------------------------------------------------------------

    def all_hours(self, tables: Any) -> list[Hours]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.fault("hours is no list of tables", "write [[hours]] above each", "hours")
            return []
        read = [hours for n, table in enumerate(tables) if (hours := self.hours(n, table)) is not None]
        days = [hours.since for hours in read]
        for n, hours in enumerate(read):
            if hours.since in days[:n]:
                self.fault(f"two hours begin on {hours.since}", "keep one of the two", "hours", n)
        return read

    def hours(self, n: int, table: dict[str, Any]) -> Hours | None:
        if faults := unknown(self.source, ("hours", n), table, _OF_HOURS):
            self.faults += faults
            return None
        before = len(self.faults)
        since = table.get("from")
        if not isinstance(since, dt.date) or isinstance(since, dt.datetime):
            self.fault(f"hours are from a day on, was {since!r}", "write from = 2027-01-01", "hours", n, "from")
            return None
        parts, cut_offs = [], []
        mis = table.get("mis")
        if not isinstance(mis, dict) or set(mis) != set(CLASSES):
            self.fault(
                f"mis names {', '.join(CLASSES)}, was {mis!r}", 'mis = { shares = "15:20", … }', "hours", n, "mis"
            )
            return None
        for name in CLASSES:
            try:
                of_class = _parts(table.get(name))
                if len(of_class) != 1:
                    raise _Wrong("regular hours have one part", _FORM)
                parts.append(of_class[0])
                cut_offs.append(_within(_time(mis[name]), of_class))
            except _Wrong as wrong:
                self.fault(f"{name}: {wrong.args[0]}", wrong.args[1], "hours", n, name)
        source, assumed = table.get("source", ""), table.get("mis_assumed", False)
        if not isinstance(source, str) or not isinstance(assumed, bool):
            self.fault("source is text and mis_assumed true or false", "correct it", "hours", n)
        if len(self.faults) > before:
            return None
        return Hours(since, (parts[0], parts[1], parts[2]), (cut_offs[0], cut_offs[1], cut_offs[2]), source, assumed)

    # --- a year -----------------------------------------------------------------------------------------------------------

    def year(self, name: str, there: Year | None) -> Year | None:
        table = self.source.values[name]
        number = int(name)
        if not isinstance(table, dict) or not 1990 <= number <= 2100:
            self.fault(f"{name} is no year from 1990 to 2100", "write [2027]", name)
            return None
        self.faults += unknown(self.source, (name,), table, _OF_YEAR)
        before = len(self.faults)
        extends, source = table.get("extends", False), table.get("source", "")
        if not isinstance(extends, bool) or not isinstance(source, str):
            self.fault("source is text and extends true or false", "correct it", name)
        if extends is True and there is None:
            self.fault(f"there is no {name} that it could extend", "leave extends out and list the whole year", name)
        special = self.special(number, self.days(number, name, "sessions"))
        holidays = self.holidays(number, self.days(number, name, "holidays"), special, whole=extends is not True)
        if len(self.faults) > before:
            return None
        if extends and there is not None:
            kept_holidays = {day: what for day, what in there.holidays.items() if day not in special}
            kept_special = {day: what for day, what in there.special.items() if day not in holidays}
            joined = "; ".join(text for text in (there.source, source) if text)
            return Year(number, kept_holidays | holidays, kept_special | special, joined)
        return Year(number, holidays, special, source)

    def days(self, year: int, name: str, kind: str) -> dict[dt.date, tuple[str, Any]]:
        """Each day with its key and what the file says of it."""
        table = self.source.values[name].get(kind, {})
        if not isinstance(table, dict):
            self.fault(f"{kind} is no table of days", f"write [{name}.{kind}], then 01-26 = …", name, kind)
            return {}
        found = {}
        for key, value in table.items():
            try:
                if not (parts := _DAY.fullmatch(key)):
                    raise ValueError
                found[dt.date(year, int(parts[1]), int(parts[2]))] = (key, value)
            except ValueError:
                self.fault(f"{key!r} is no day of {year}", "write month and day: 01-26", name, kind, key)
        return found

    def holidays(
        self, year: int, days: Mapping[dt.date, tuple[str, Any]], special: Mapping[dt.date, Special], *, whole: bool
    ) -> dict[dt.date, str]:  # fmt: skip
        name = str(year)
        holidays = {}
        for day, (key, value) in days.items():
            at = (name, "holidays", key)
            if not isinstance(value, str):
                self.fault(f"a holiday has a name, was {value!r}", '01-26 = "Republic Day"', *at)
            elif day.weekday() >= 5:
                self.fault(
                    f"{day} is a {day:%A}, closed without being a holiday", "leave it out; check month and day", *at
                )
            elif day in special:
                self.fault(f"{day} is a holiday and has a session", "keep one of the two", *at)
            else:
                holidays[day] = value
        if whole and not holidays:
            self.fault(f"{year} has no holiday: no year of the exchange is like that", "list them all", name)
        elif whole:
            for month, of_month, what in _NATIONAL:
                day = dt.date(year, month, of_month)
                if day.weekday() < 5 and day not in holidays and day not in special:
                    self.fault(f"{day} is {what}, and neither holiday nor session", "add it", name, "holidays")
        return holidays

    def special(self, year: int, days: Mapping[dt.date, tuple[str, Any]]) -> dict[dt.date, Special]:
        read = {}
        for day, (key, value) in days.items():
            at = (str(year), "sessions", key)
            if not isinstance(value, dict):
                self.fault(f"a session is a table, was {value!r}", f'{key} = {{ name = "…", hours = "…" }}', *at)
                continue
            if faults := unknown(self.source, at, value, _OF_SESSION):
                self.faults += faults
                continue
            try:
                read[day] = _special(value)
            except _Wrong as wrong:
                self.fault(f"session {key}: {wrong.args[0]}", wrong.args[1], *at)
        return read


def _special(value: Mapping[str, Any]) -> Special:
    name, assumed, source = value.get("name", ""), value.get("assumed", False), value.get("source", "")
    if not isinstance(name, str) or not name:
        raise _Wrong("it has no name", 'name = "Muhurat"')
    if not isinstance(assumed, bool) or not isinstance(source, str):
        raise _Wrong("source is text and assumed true or false", "correct it")
    hours = value.get("hours")
    parts = () if hours == REGULAR else tuple(_parts(hours))
    mis = value.get("mis")
    if mis is None:
        return Special(name, parts, None, assumed, source)
    if not parts:
        raise _Wrong("mis is given beside regular hours", "leave it out, or write the hours")
    return Special(name, parts, parts[0][0] if mis == NO_MIS else _within(_time(mis), parts), assumed, source)


def _time(text: Any) -> int:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise _Wrong(f"{text!r} is no time of day", 'write hours and minutes in India, 24 hours: "09:15"')
    return (int(found[1]) * 60 + int(found[2])) * MINUTE


def _parts(text: Any) -> list[Part]:
    if not isinstance(text, str):
        raise _Wrong(f"hours are text, was {text!r}", _FORM)
    parts: list[Part] = []
    for part in text.split():
        opens, dash, closes = part.partition("-")
        if not dash:
            raise _Wrong(f"{part!r} is no open and close", _FORM)
        parts.append((_time(opens), _time(closes)))
    if not 1 <= len(parts) <= PARTS:
        raise _Wrong(f"a session has one part or {PARTS}, was {text!r}", _FORM)
    end = -DAY
    for opens, closes in parts:
        if closes <= opens:
            raise _Wrong(f"{text!r} closes before it opens", _FORM)
        if opens < end:
            raise _Wrong(f"the parts of {text!r} overlap, or the later one comes first", _FORM)
        end = closes
    return parts


def _within(time: int, parts: list[Part] | tuple[Part, ...]) -> int:
    if not parts[0][0] <= time <= parts[-1][1]:
        raise _Wrong("MIS ends outside the session", f"between the open and the close, or {NO_MIS!r} for a special one")
    return time
