"""Options: what a user says about recorded files that the files do not say themselves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from connectors.errors import ConfigError
from connectors.recorded.names import TOLD, meanings
from connectors.recorded.numbers import Decimal
from connectors.recorded.times import ORDERS
from functions.calendar import MINUTE

_LENGTH: Final = re.compile(r"(\d+) ?(m|min|mins|minute|minutes|h|hour|hours)?")
_DAY: Final = re.compile(r"\d* ?(d|day|days|daily|w|week|weekly)")


@dataclass(frozen=True)
class ReadingOptions:
    """How recorded files are to be read. The default: as they say themselves, and refused where they do not say it."""

    columns: dict[str, str] = field(default_factory=dict)  # meaning -> name in the file
    order: tuple[str, ...] = ()  # meanings of the columns of files without a header; empty: passed over
    time_format: str = ""  # of strptime, or one of ORDERS
    time_zone: str = ""  # of times without one; a zone's name, UTC or an offset
    sort: bool = False
    bar: int = 0  # ns; 0 = as the times tell
    bar_time: str = ""  # what the time of a bar marks: start or end; empty: start, where the times allow it
    unit: str = ""  # of prices: rupees or paise
    decimal: Decimal | None = None

    @property
    def order_of_dates(self) -> str:
        return self.time_format if self.time_format in ORDERS else ""

    @property
    def strptime(self) -> str:
        return "" if self.time_format in ORDERS else self.time_format


AS_THEY_SAY: Final = ReadingOptions()


def reading_options(
    *, column: Sequence[str] = (), columns: str = "", time_format: str = "", time_zone: str = "", sort: bool = False,
    bar: str = "", bar_time: str = "", unit: str = "", decimal: str = "",
) -> ReadingOptions:  # fmt: skip
    """The options of a command line. Raises: `ConfigError` for what cannot be.

    >>> reading_options(column=["price=LTP"], bar="15m").bar // 60_000_000_000
    15
    """
    for name, value, allowed in (
        ("--bar-time", bar_time, ("start", "end")),
        ("--unit", unit, ("rupees", "paise")),
        ("--decimal", decimal, ("point", "comma")),
    ):
        if value and value not in allowed:
            raise ConfigError(f"{name} is {' or '.join(allowed)}, was {value!r}", remedy=f"{name} {allowed[-1]}")
    order = tuple(word.strip().lower() for word in columns.split(",")) if columns else ()
    _check_order(order)
    _check_format(time_format)
    return ReadingOptions(
        _told(column), order, time_format, _zone(time_zone), sort, _length(bar), bar_time, unit,
        decimal or None,  # type: ignore[arg-type]
    )  # fmt: skip


def words_of(options: ReadingOptions) -> list[str]:
    """The options as words of a command line, for another process that reads the same files.

    >>> words_of(reading_options(column=["price=LTP"], sort=True, bar="15m"))
    ['--column', 'price=LTP', '--bar', '15m', '--sort']
    """
    words = [word for meaning, name in options.columns.items() for word in ("--column", f"{meaning}={name}")]
    for name, value in (
        ("--columns", ",".join(options.order)),
        ("--time-format", options.time_format),
        ("--time-zone", options.time_zone),
        ("--bar", f"{options.bar // MINUTE}m" if options.bar else ""),
        ("--bar-time", options.bar_time),
        ("--unit", options.unit),
        ("--decimal", options.decimal or ""),
    ):
        words += [name, value] if value else []
    return [*words, "--sort"] if options.sort else words


def _told(column: Sequence[str]) -> dict[str, str]:
    told = {}
    for pair in column:
        meaning, equals, name = pair.partition("=")
        meaning = meaning.strip().lower()
        if not equals or not name.strip():
            raise ConfigError(f"--column takes meaning=name, was {pair!r}", remedy="e.g. --column price=LTP")
        _check_meaning("--column", meaning)
        told[meaning] = name.strip()
    return told


def _check_order(order: Sequence[str]) -> None:
    for word in order:
        if word not in ("", "-", "_") and not meanings([word]):
            _check_meaning("--columns", word)
    if order and not {"time", "date", "clock"} & meanings(order).keys():
        raise ConfigError("--columns names no time", remedy="e.g. --columns date,time,open,high,low,close,volume")


def _check_meaning(option: str, meaning: str) -> None:
    if meaning not in TOLD:
        known = ", ".join(name for name in TOLD if not name[-1].isdigit())
        raise ConfigError(f"{option}: no column means {meaning!r}", remedy=f"there is {known}")


def _check_format(time_format: str) -> None:
    if time_format and time_format not in ORDERS and "%" not in time_format:
        raise ConfigError(
            f"--time-format is {', '.join(ORDERS)} or a format like '%d/%m/%Y %H:%M', was {time_format!r}",
            remedy="--time-format day-first",
        )


def _zone(name: str) -> str:
    if not name or re.fullmatch(r"[+-]\d{2}:?\d{2}", name):
        return name
    if name.upper() in ("UTC", "GMT", "IST"):
        return "IST" if name.upper() == "IST" else "UTC"
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"--time-zone: there is no zone {name!r}", remedy="e.g. UTC, Asia/Kolkata or +05:30"
        ) from error


def _length(text: str) -> int:
    """The length of a bar in ns."""
    if not text:
        return 0
    if _DAY.fullmatch(text.lower()):
        raise ConfigError(f"--bar is a part of a day, was {text!r}", remedy="e.g. --bar 15m")
    match = _LENGTH.fullmatch(text.strip().lower())
    length = int(match[1]) * (60 if match and match[2] and match[2].startswith("h") else 1) if match else 0
    if not 0 < length <= 375:
        raise ConfigError(f"--bar is 1m to 375m, or hours, was {text!r}", remedy="e.g. --bar 15m")
    return length * MINUTE
