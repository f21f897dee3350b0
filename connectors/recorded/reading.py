"""Reading: files and folders of recorded data as one recording, in order of event time."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import numpy as np

from connectors.errors import DataError
from connectors.market_tables import built_in
from connectors.recorded.files import files
from connectors.recorded.instruments import Roster
from connectors.recorded.judging import Unreadable
from connectors.recorded.nights import nights
from connectors.recorded.notes import named
from connectors.recorded.options import AS_THEY_SAY, ReadingOptions
from connectors.recorded.rows import Part, load, load_alike
from connectors.recorded.series import merged
from connectors.recorded.tables import Foreign, Table, form_of
from functions.arrays import Integers
from functions.calendar import DAY, INDIA, IST_OFFSET, Calendar
from functions.events import InstrumentConfig, QualityReport
from functions.silences import silences
from functions.ticks import DEPTH, NO_DEPTH, NO_RANGES, NO_TICKS, RANGE, Rows

_REMARKABLE: Final = ("passed_over", "suspected_split", "after_expiry", "footer_lines", "repeated_header")


@dataclass(frozen=True)
class Recording:
    """Everything that was read, in order of event time.

    `instrument` of a tick is an index into `instruments`. `depth` has a DEPTH row for each tick, or is empty where no
    file shows depth; `ranges` a RANGE row, or is empty where no file holds bars. Equal times keep the order of the files,
    and within a file that of its rows.
    """

    instruments: list[InstrumentConfig]
    ticks: Rows
    depth: Rows
    reports: list[QualityReport]
    unreadable: list[Unreadable]
    ranges: Rows = field(default_factory=lambda: NO_RANGES)

    @property
    def remarks(self) -> list[str]:
        """What whoever trades on this recording should be told, in words."""
        return [report.detail for report in self.reports if report.kind in _REMARKABLE]


def read(
    paths: Sequence[Path], *, instruments: Sequence[InstrumentConfig] | None = None, start: dt.date | None = None,
    end: dt.date | None = None, strict: bool = True, options: ReadingOptions = AS_THEY_SAY,
    calendar: Calendar | None = None,
) -> Recording:  # fmt: skip
    """Reads files and folders (their `.csv`, `.csv.gz` and `.parquet` files, by name) as one recording.

    `instruments` are those to number the ticks by; what the files hold beyond them is added, not enabled. Without them
    they are made up from columns, instrument lists and file names. `start` and `end` are dates of India, both
    inclusive, or moments (`datetime`, without an offset India's, the end exclusive). With `strict` an unreadable row is
    an error. What is missing is told against `calendar`, that of the project if none is given.
    Raises: `DataError` naming file, row and value.
    """
    calendar = calendar or built_in().calendar
    roster = Roster(instruments)
    window = (_moment(start, end=False), _moment(end, end=True))
    with TemporaryDirectory(prefix="panda-") as scratch, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Kolkata'")
        connection.execute("SET enable_progress_bar = false")  # it would be written to standard output
        tables, passed_over = _opened(connection, paths, options, Path(scratch))
        for table in tables:
            if table.is_list:
                roster.lists.add(table)
        parts: list[Part] = []
        for several in _alike([table for table in tables if not table.is_list]):
            together = load_alike(several, roster, window, calendar) if len(several) > 1 else None
            parts += [together] if together else [load(one, roster, window, strict, calendar) for one in several]
    if not parts:
        raise DataError(
            f"{paths[0]} holds lists of instruments only", remedy="name files of ticks or bars as well"
        )  # fmt: skip
    rows, depth, ranges = _merged(parts)
    if not len(rows):
        raise DataError(
            f"no rows between {start or 'the beginning'} and {end or 'the end'} in {', '.join(map(str, paths))}",
            remedy="choose dates that the files cover",
        )
    if not options.unit:
        roster.refuse_paise()
    configs = roster.configs()
    notes = [note for part in parts for note in part.notes]
    spacing = _spacing(len(configs), parts)
    reports = passed_over + [named(note, configs) for note in notes]
    series, prices = merged([part.series for part in parts], [part.prices for part in parts])
    reports += silences(series.times, series.whose, configs, spacing, calendar)
    reports += nights(series, prices, configs, roster.expiries())
    return Recording(configs, rows, depth, reports, [row for part in parts for row in part.unreadable], ranges)


def _opened(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], options: ReadingOptions, scratch: Path
) -> tuple[list[Table], list[QualityReport]]:
    """The files as tables, and which files of a folder are no market data. Raises: `DataError` where none is."""
    tables, passed_over = [], []
    found, inside = files(paths)
    for path in found:
        try:
            tables.append(Table.open(connection, path, options, scratch))
        except Foreign as error:
            if path not in inside:
                raise
            passed_over.append(QualityReport("passed_over", 1, f"passed over: {error.message}"))
    if not tables:
        raise DataError(
            f"{paths[0]} holds no market data; {passed_over[0].detail}", remedy="name files of ticks or bars"
        )  # fmt: skip
    return tables, passed_over


def _alike(tables: Sequence[Table]) -> Iterator[list[Table]]:
    """Files that are one behind the other and of one form."""
    for form, group in groupby(tables, form_of):
        several = list(group)
        yield from [several] if form is not None else ([table] for table in several)


def _moment(when: dt.date | None, *, end: bool) -> int:
    """Where a window begins or ends (exclusive), ns since the epoch."""
    if when is None:
        return 2**63 - 1 if end else 0
    if isinstance(when, dt.datetime):
        aware = when if when.tzinfo else when.replace(tzinfo=INDIA)
        return int(aware.timestamp() * 1_000_000) * 1000
    day = (when - dt.date(1970, 1, 1)).days + (1 if end else 0)
    return day * DAY - IST_OFFSET


def _merged(parts: list[Part]) -> tuple[Rows, Rows, Rows]:
    """Ticks in order of time, with their depth and their ranges where some have them."""
    if len(parts) == 1:
        return parts[0].rows, parts[0].depth, parts[0].ranges
    rows = np.concatenate([NO_TICKS, *(part.rows for part in parts)])
    depth, ranges = NO_DEPTH, NO_RANGES
    if any(len(part.depth) for part in parts):
        depth = np.concatenate([p.depth if len(p.depth) else np.zeros(len(p.rows), DEPTH) for p in parts])
    if any(len(part.ranges) for part in parts):
        ranges = np.concatenate([p.ranges if len(p.ranges) else np.zeros(len(p.rows), RANGE) for p in parts])
    time = np.ascontiguousarray(rows["time"])
    if (time[1:] >= time[:-1]).all():
        return rows, depth, ranges
    order = np.argsort(time, kind="stable")  # take copies rows whole, an index field by field
    return rows.take(order), depth.take(order) if len(depth) else depth, ranges.take(order) if len(ranges) else ranges


def _spacing(count: int, parts: list[Part]) -> Integers:
    """How far apart an instrument's rows usually are: its bars, or 0 for ticks."""
    spacing = np.zeros(count, np.int64)
    for part in parts:
        np.maximum(spacing[: len(part.lengths)], part.lengths, out=spacing[: len(part.lengths)])
    return spacing
