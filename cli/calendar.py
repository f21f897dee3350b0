"""`panda calendar` and `panda charges`: what the market tables say, and whether a file of one's own can be used."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from functions.calendar import Calendar, Part, Special
    from functions.costs import Stated, Tariff
    from functions.table_text import Fault

calendar = typer.Typer(help="The trading calendar: which days trade, and when.", no_args_is_help=True)
charges = typer.Typer(help="Charges: what a trade costs, by date.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON, last on standard output.")]
File = Annotated[Path, typer.Argument(help="A file as PANDA_CALENDAR or PANDA_CHARGES names it.")]
ASSUMED = "assumed: no source gives it"


@calendar.command("show")
def show_calendar(
    when: Annotated[str, typer.Argument(metavar="[YEAR|DATE]", help="A year or a day; all years if not given.")] = "",
    json: Json = False,
) -> None:
    """All years, one year or one day, with the files that PANDA_CALENDAR adds."""
    from connectors.market_tables import ending, in_force, today

    known = in_force().calendar
    if not when:
        told, lines = _years(known)
    elif when.isdecimal() and len(when) == 4:
        told, lines = _year(known, int(when))
    else:
        told, lines = _day(known, _date(when))
    _print(told, lines, as_json=json)
    if words := ending(known, today()):
        typer.echo(f"warning: {words}", err=True)


@calendar.command("check")
def check_calendar(file: File, json: Json = False) -> None:
    """Whether a file can be used as a calendar, and what it would change; every fault with its line."""
    from connectors.market_tables import built_in, file_bytes
    from functions.calendar_text import read_calendar
    from functions.table_text import Unusable

    known = built_in().calendar
    try:
        wanted = read_calendar(file_bytes(str(file), "PANDA_CALENDAR"), known)
    except Unusable as unusable:
        _refuse(file, unusable.faults, "calendar", as_json=json)
        return
    there = {year.year: year for year in known.years}
    changed = [year.year for year in wanted.years if there.get(year.year) is not year]
    rows = [[str(year), "added" if year not in there else "changed", *_counts(wanted, year)] for year in changed]
    told = {
        "file": str(file), "ok": True, "faults": [], "first_date": str(wanted.first_date), "last_date": str(wanted.last_date),
        "years": [{"year": year, "sessions": len(list(wanted.trading_days(year)))} for year in changed],
    }  # fmt: skip
    lines = [f"{file} can be used: the calendar then knows {wanted.first_date} to {wanted.last_date}"]
    _print(told, lines + (_table(["year", "", "sessions", "holidays", "special"], rows) if rows else []), as_json=json)


@charges.command("show")
def show_charges(
    when: Annotated[str, typer.Argument(metavar="[DATE]", help="A day; every rate with its date if not given.")] = "",
    json: Json = False,
) -> None:
    """The rates of one day, or all with their dates and sources, with the files that PANDA_CHARGES adds."""
    from connectors.market_tables import in_force

    tariff = in_force().tariff
    told, lines = _rates_of(tariff, _date(when)) if when else _stated(tariff)
    _print(told, lines, as_json=json)


@charges.command("check")
def check_charges(file: File, json: Json = False) -> None:
    """Whether a file can be used for charges, and what it would change; every fault with its line."""
    from connectors.market_tables import built_in, file_bytes
    from functions.charges_text import read_charges
    from functions.table_text import Unusable

    known = built_in().tariff
    try:
        wanted = read_charges(file_bytes(str(file), "PANDA_CHARGES"), known)
    except Unusable as unusable:
        _refuse(file, unusable.faults, "charges", as_json=json)
        return
    new = [rate for rate in wanted.stated if rate not in set(known.stated)]
    told = {"file": str(file), "ok": True, "faults": [], "rates": [_rate(rate) for rate in new]}
    _print(told, [f"{file} can be used: {len(new)} rates differ from ours", *_rate_rows(new)], as_json=json)


# --- the calendar in words -------------------------------------------------------------------------------------------------


Told = tuple[Any, list[str]]


def _years(known: "Calendar") -> Told:
    told = [
        {
            "year": year.year, "sessions": len(list(known.trading_days(year.year))), "holidays": len(year.holidays),
            "special": len(year.special), "assumed": sum(s.assumed for s in year.special.values()), "source": year.source,
        }
        for year in known.years
    ]  # fmt: skip
    rows = [[str(value) for value in year.values()] for year in told]
    return told, [*_table(list(told[0]), rows), f"The calendar knows {known.first_date} to {known.last_date}."]


def _counts(known: "Calendar", number: int) -> list[str]:
    year = known.year(dt.date(number, 1, 1))
    return [str(len(list(known.trading_days(number)))), str(len(year.holidays)), str(len(year.special))]


def _year(known: "Calendar", number: int) -> Told:
    first = _covered(known, dt.date(number, 1, 1))
    year = known.year(first)
    days = sorted([*year.holidays, *year.special])
    told = {
        "year": number, "sessions": len(list(known.trading_days(number))), "source": year.source,
        "days": [_of_day(known, day) for day in days],
        "hours": [_of_hours(known, since) for since in _changes(known, number)],
    }  # fmt: skip
    rows = [
        [str(day), f"{day:%a}", year.holidays.get(day) or year.special[day].name, *_hours(known, day)] for day in days
    ]
    lines = [f"{number}: {told['sessions']} sessions; {year.source}", ""]
    lines += _table(["date", "", "what", "session", "MIS until", ""], rows)
    for since in _changes(known, number):
        regular = known.regular_hours(since)
        lines += ["", f"regular hours from {max(regular.since, first)}"]
        lines += _table(["class", "session", "MIS until", ""], _classes(known, since, regular=True))
    return told, lines


def _changes(known: "Calendar", number: int) -> list[dt.date]:
    """The first day of the year, and the days on which regular hours change in it."""
    return [
        dt.date(number, 1, 1),
        *(h.since for h in known.hours if h.since.year == number and h.since.strftime("%j") != "001"),
    ]


def _day(known: "Calendar", day: dt.date) -> Told:
    _covered(known, day)
    told = _of_day(known, day)
    lines = [f"{day}, {day:%A}: {told['what']}" + (f" ({ASSUMED})" if told["assumed"] else "")]
    if told["classes"]:
        lines += _table(["class", "session", "MIS until", ""], _classes(known, day))
    return told, [*lines, *([f"source: {told['source']}"] if told["source"] else [])]


def _of_day(known: "Calendar", day: dt.date) -> dict[str, Any]:
    from functions.calendar import CLASSES

    year = known.year(day)
    special = year.special.get(day)
    what = year.holidays.get(day) or (special.name if special else "")
    classes = {}
    if known.is_trading_day(day):
        cut_offs = known.cut_offs[known.row(day)].tolist()
        for n, name in enumerate(CLASSES):
            parts = _parts(known, day, n)
            classes[name] = {"session": _text(parts), "mis_until": _mis(cut_offs[n], parts)}
    return {
        "date": str(day), "weekday": f"{day:%A}", "what": what or ("as on other days" if classes else "weekend"),
        "open": bool(classes), "classes": classes, "assumed": bool(special and special.assumed),
        "source": (special.source if special else "") or year.source,
    }  # fmt: skip


def _of_hours(known: "Calendar", since: dt.date) -> dict[str, Any]:
    from functions.calendar import CLASSES

    hours = known.regular_hours(since)
    return {
        "from": str(hours.since), "source": hours.source, "mis_assumed": hours.cut_offs_assumed,
        "classes": {
            name: {"session": _text([hours.parts[n]]), "mis_until": _mis(hours.cut_offs[n], [hours.parts[n]])}
            for n, name in enumerate(CLASSES)
        },
    }  # fmt: skip


def _hours(known: "Calendar", day: dt.date) -> list[str]:
    """Session, MIS and note of a day; each class apart where they differ."""
    from functions.calendar import CLASSES

    if not known.is_trading_day(day):
        return ["closed", "", ""]
    parts = [_parts(known, day, n) for n in range(len(CLASSES))]
    sessions = [_text(of_class) for of_class in parts]
    cut_offs = [_mis(at, parts[n]) for n, at in enumerate(known.cut_offs[known.row(day)].tolist())]
    special: Special | None = known.year(day).special.get(day)
    return [_once(sessions), _once(cut_offs), ASSUMED if special and special.assumed else ""]


def _once(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def _classes(known: "Calendar", day: dt.date, *, regular: bool = False) -> list[list[str]]:
    from functions.calendar import CLASSES

    hours = known.regular_hours(day)
    parts = [[hours.parts[n]] if regular else _parts(known, day, n) for n in range(len(CLASSES))]
    cut_offs = hours.cut_offs if regular else known.cut_offs[known.row(day)].tolist()
    note = f"MIS {ASSUMED}" if hours.cut_offs_assumed and tuple(cut_offs) == hours.cut_offs else ""
    return [[name, _text(parts[n]), _mis(cut_offs[n], parts[n]), note] for n, name in enumerate(CLASSES)]


def _parts(known: "Calendar", day: dt.date, n: int) -> "list[Part]":
    return [(opens, closes) for opens, closes in known.sessions[known.row(day), n].tolist() if closes]


def _mis(cut_off: int, parts: "list[Part]") -> str:
    """Until when, or that there was none."""
    from functions.calendar import clock

    return clock(cut_off) if cut_off > parts[0][0] else "none"


def _text(parts: "list[Part]") -> str:
    from functions.calendar import clock

    return " ".join(f"{clock(opens)}-{clock(closes)}" for opens, closes in parts)


def _covered(known: "Calendar", day: dt.date) -> dt.date:
    """Raises: `ConfigError` for a day that the calendar does not know."""
    from connectors.errors import ConfigError
    from connectors.market_tables import EXTEND

    if not known.covers(day):
        raise ConfigError(
            f"{day} is not in the calendar, which knows {known.first_date} to {known.last_date}", remedy=EXTEND
        )
    return day


def _date(text: str) -> dt.date:
    from connectors.errors import ConfigError

    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"a year or a day, YYYY-MM-DD, was {text!r}", remedy="e.g. 2026 or 2026-11-20") from error


# --- charges in words -------------------------------------------------------------------------------------------------------


def _rates_of(tariff: "Tariff", day: dt.date) -> Told:
    from connectors.errors import ConfigError
    from functions.charges_text import ITEMS
    from functions.costs import SEGMENTS, VENUES, Unpriced

    try:
        tariff.version(day)
    except Unpriced as unpriced:
        raise ConfigError(str(unpriced), remedy="PANDA_CHARGES names a file of yours (docs/calendar.md)") from unpriced
    cells = [(segment, venue) for venue in VENUES for segment in SEGMENTS]
    held = {(r.item, r.venue, r.segment): r for r in sorted(tariff.stated, key=lambda r: r.since) if r.since <= day}
    told = {
        "date": str(day),
        "rates": [_rate(held[item, venue, segment]) for item in ITEMS for segment, venue in cells],
    }
    rows = [[item, *(_value(held[item, venue, segment]) for segment, venue in cells)] for item in ITEMS]
    head = ["", *(f"{venue} {segment}" for segment, venue in cells)]
    lines = [f"Charges of {day}, per cent of the turnover; brokerage_cap and brokerage_flat in rupees an order"]
    notes = ["* assumed: a source names the rate, but not its day"] if any(r.assumed for r in held.values()) else []
    return told, [*lines, *_table(head, rows), *notes]


def _stated(tariff: "Tariff") -> Told:
    rates = sorted(tariff.stated, key=lambda r: (r.item, r.since))
    return [_rate(rate) for rate in rates], _rate_rows(rates)


def _rate(rate: "Stated") -> dict[str, Any]:
    return rate._asdict() | {"since": str(rate.since), "value": None if rate.value is None else str(rate.value)}


def _value(rate: "Stated") -> str:
    return ("unknown" if rate.value is None else f"{rate.value:f}") + ("*" if rate.assumed else "")


def _rate_rows(rates: "list[Stated]") -> list[str]:
    """One line for what was stated together."""
    together: dict[tuple[str, dt.date, str, bool], dict[str, list[str]]] = {}
    for rate in rates:
        values = together.setdefault((rate.item, rate.since, rate.source, rate.assumed), {})
        segments = values.setdefault(f"{rate.segment} {_value(rate)}", [])
        segments.append(rate.venue)
    rows = []
    for (item, since, source, _), values in together.items():
        venues = {venue for each in values.values() for venue in each}
        rows.append([item, str(since), "+".join(sorted(venues)), ", ".join(values), source])
    return _table(["item", "from", "exchange", "per cent, or rupees an order", "source"], rows)


# --- printing ---------------------------------------------------------------------------------------------------------------


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]


def _print(told: Any, lines: list[str], *, as_json: bool) -> None:
    from cli.commands import as_line

    if as_json:
        as_line(told)
    else:
        typer.echo("\n".join(lines))


def _refuse(file: Path, faults: "list[Fault]", kind: str, *, as_json: bool) -> None:
    """Raises: `ConfigError` with every fault."""
    from cli.commands import as_line
    from connectors.market_tables import refused
    from functions.table_text import Unusable

    if as_json:
        as_line({"file": str(file), "ok": False, "faults": [fault._asdict() for fault in faults]})
    raise refused(str(file), Unusable(faults), kind)
