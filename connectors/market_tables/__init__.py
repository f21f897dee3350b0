"""Market tables from their files: the calendar and the charges of the project, with what a user's files add or replace.

`PANDA_CALENDAR` and `PANDA_CHARGES` name one file each. A process reads them once and keeps what it read.
"""

import datetime as dt
import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connectors.errors import ConfigError
from functions.calendar import INDIA, Calendar
from functions.calendar_text import read_calendar
from functions.charges_text import read_charges
from functions.costs import Tariff, Unpriced
from functions.market_tables import MarketTables
from functions.table_text import Unusable

if TYPE_CHECKING:
    from connectors.settings import Settings

CALENDAR: Final = Path(__file__).with_name("calendar.toml")
CHARGES: Final = Path(__file__).with_name("charges.toml")
WARNED_DAYS: Final = 60  # before the calendar's end
SETTINGS: Final = ("PANDA_CALENDAR", "PANDA_CHARGES", "PANDA_CHARGES_AS_OF")
MOST_BYTES: Final = 4_000_000  # of a file; ours have 20 000


def built_in() -> MarketTables:
    """The tables of the project alone."""
    return _read("", "", "")


def tables(settings: "Settings") -> MarketTables:
    """The tables that these settings ask for. Raises: `ConfigError` with every fault of a user's file."""
    return _read(settings.calendar, settings.charges, settings.charges_as_of)


def in_force(*, charges_as_of: str = "") -> MarketTables:
    """The tables that this process' settings ask for, the charges as of another day if one is given.

    Raises: `ConfigError`.
    """
    if not any(name in os.environ for name in SETTINGS) and not Path(os.environ.get("PANDA_ENV_FILE", ".env")).exists():
        return _read("", "", charges_as_of)  # nothing is set: what reads settings takes a third of a second to import
    from connectors.settings import load

    settings = load()
    return _read(settings.calendar, settings.charges, charges_as_of or settings.charges_as_of)


@cache
def _read(calendar: str, charges: str, charges_as_of: str) -> MarketTables:
    digest = hashlib.blake2b(digest_size=6)
    raw = [CALENDAR.read_bytes(), CHARGES.read_bytes()]
    known = read_calendar(raw[0])
    tariff = read_charges(raw[1])
    if calendar:
        raw.append(b"calendar\0" + file_bytes(calendar, "PANDA_CALENDAR"))
        known = parsed(Path(calendar), known)
    if charges:
        raw.append(b"charges\0" + file_bytes(charges, "PANDA_CHARGES"))
        try:
            tariff = read_charges(file_bytes(charges, "PANDA_CHARGES"), tariff)
        except Unusable as unusable:
            raise refused(charges, unusable, "charges") from unusable
    if charges_as_of:
        tariff = _as_of(tariff, charges_as_of)
        raw.append(f"as of\0{charges_as_of}".encode())
    for part in raw:
        digest.update(len(part).to_bytes(8) + part)
    return MarketTables(known, tariff, digest.hexdigest())


def _as_of(tariff: Tariff, text: str) -> Tariff:
    try:
        return tariff.as_of(dt.date.fromisoformat(text))
    except Unpriced as unpriced:
        raise ConfigError(
            f"charges as of {text}: {unpriced}", remedy="panda charges show lists what is known"
        ) from unpriced
    except ValueError as error:
        raise ConfigError(f"charges are as of a day, was {text!r}", remedy="e.g. --charges-as-of 2026-04-01") from error


def parsed(path: Path, other: Calendar) -> Calendar:
    """A user's calendar over another one. Raises: `ConfigError` with every fault."""
    try:
        return read_calendar(file_bytes(str(path), "PANDA_CALENDAR"), other)
    except Unusable as unusable:
        raise refused(str(path), unusable, "calendar") from unusable


def file_bytes(path: str, setting: str) -> bytes:
    """What a user's file holds. Raises: `ConfigError` where it cannot be read or is far too large."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}", remedy=f"name a readable file with {setting}, or none"
        ) from error
    if len(raw) > MOST_BYTES:
        raise ConfigError(f"{path} has more than {MOST_BYTES:,} bytes", remedy=f"{setting} names a file of a few pages")
    return raw


def refused(path: str, unusable: Unusable, kind: str) -> ConfigError:
    """The faults of a user's file, one a line."""
    faults = "\n  ".join(map(str, unusable.faults))
    return ConfigError(
        f"{path} cannot be used as {kind}\n  {faults}",
        remedy=f"correct it: docs/calendar.md has the form; panda {kind} check {path}",
    )


# --- the end of the calendar ------------------------------------------------------------------------------------------------


EXTEND: Final = "add the year to a file of yours and name it with PANDA_CALENDAR (docs/calendar.md)"


def today() -> dt.date:
    """In India."""
    return dt.datetime.now(INDIA).date()


def ending(calendar: Calendar, now: dt.date) -> str:
    """Words for a calendar that ends soon or has ended, nothing otherwise.

    >>> ending(built_in().calendar, dt.date(2026, 11, 1))
    ''
    """
    left = calendar.days_left(now)
    if left > WARNED_DAYS:
        return ""
    when = f"in {left} days" if left > 1 else "tomorrow" if left == 1 else "today" if left == 0 else "it is over"
    return f"the trading calendar ends on {calendar.last_date} ({when}): {EXTEND}"


def warn_of_end(calendar: Calendar, now: dt.date | None = None) -> None:
    """One line on standard error where the calendar ends soon or has ended."""
    if words := ending(calendar, now or today()):
        print(f"warning: {words}", file=sys.stderr)  # noqa: T201 - what a user reads


def refuse_ended(calendar: Calendar, now: dt.date | None = None) -> None:
    """Raises: `ConfigError` where the calendar has ended: without it nobody knows when the exchange trades."""
    if calendar.days_left(now or today()) < 0:
        raise ConfigError(f"the trading calendar ended on {calendar.last_date}", remedy=EXTEND)
