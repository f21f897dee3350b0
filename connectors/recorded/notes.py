"""Notes: what a reader of recorded data should know about it, by instrument; nothing here is wrong enough to stop for."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from functions.arrays import Booleans, Integers
from functions.calendar import INDIA, SECOND, day_of
from functions.events import InstrumentConfig, QualityReport


class Note(NamedTuple):
    """A report before the instruments have their names."""

    kind: str
    count: int
    detail: str
    instrument: int
    first: int
    last: int


def notes_of(columns: dict[str, Any], time: Integers, instrument: Integers, bars: bool) -> Iterator[Note]:
    """What is peculiar about the rows of one file."""
    price = columns["close" if bars else "price"]
    volume = columns.get("volume")
    for n in np.unique(instrument).tolist():
        mine = instrument == n
        times, prices = time[mine], price[mine]
        volumes = volume[mine] if volume is not None else None

        def note(kind: str, where: Booleans, detail: str, n: int = n, times: Integers = times) -> Iterator[Note]:
            if count := int(where.sum()):
                at = times[where]
                yield Note(kind, count, detail.format(count=count, all=len(times)), n, int(at[0]), int(at[-1]))

        yield from note("non_positive_price", prices <= 0, "{count} of {all} prices are zero or negative")
        if bars:
            if volumes is not None and volumes.any():
                yield from note("zero_volume", volumes == 0, "{count} of {all} bars have no volume")
            yield from note(
                "impossible_bar", _impossible(columns, mine), "{count} bars open or close beyond their high or low"
            )
            continue
        same_price = np.diff(prices, prepend=np.nan) == 0
        if volumes is None or not volumes.any():
            yield from note("repeated_price", same_price, "{count} of {all} ticks repeat the price before them")
        else:
            steps = np.diff(volumes, prepend=-1.0)
            yield from note(
                "quote_only", (steps == 0) & same_price, "{count} of {all} ticks change neither price nor volume"
            )
            same_day = np.diff(day_of(times), prepend=-1) == 0
            yield from note(
                "volume_decreases", (steps < 0) & same_day, "{count} of {all} ticks have less volume than before"
            )


_PASSED_OVER: Final = {
    "oi_only": "packets with nothing but open interest were left out",
    "footer_lines": "lines behind the last row were passed over",
    "repeated_header": "the header stands between the rows again and was passed over",
}


def passed_over_note(kind: str, count: int, time: Integers) -> Note:
    """What was no row of the file."""
    return Note(kind, count, _PASSED_OVER[kind], -1, int(time[0]), int(time[-1]))


def _impossible(columns: dict[str, Any], mine: Booleans) -> Booleans:
    open_, high, low, close = (columns[name][mine] for name in ("open", "high", "low", "close"))
    return (np.maximum(open_, close) > high) | (np.minimum(open_, close) < low)


def named(note: Note, configs: list[InstrumentConfig]) -> QualityReport:
    """The note as a report, once the instruments have their names."""
    token = configs[note.instrument].instrument_token if note.instrument >= 0 else None
    return QualityReport(note.kind, note.count, note.detail, token, note.first // 1000, note.last // 1000)


def clock_text(time: int) -> str:
    """Day and minute in India of a time in ns since the epoch."""
    return dt.datetime.fromtimestamp(time / SECOND, INDIA).strftime("%Y-%m-%d %H:%M")
