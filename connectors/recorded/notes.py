"""Notes: what a reader of recorded data should know about it, by instrument; nothing here is wrong enough to stop for."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from connectors.recorded.series import Series
from functions.arrays import Booleans, Floats, Integers
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


_PASSED_OVER: Final = {
    "oi_only": "packets with nothing but open interest were left out",
    "quote_without_price": "packets with a bid or an ask and no price were left out",
    "footer_lines": "lines behind the last row were passed over",
    "repeated_header": "the header stands between the rows again and was passed over",
}


def passed_over_note(kind: str, count: int, time: Integers) -> Note:
    """What was no row of the file."""
    return Note(kind, count, _PASSED_OVER[kind], -1, int(time[0]), int(time[-1]))


def notes_of(columns: dict[str, Any], series: Series, bars: bool) -> list[Note]:
    """What is peculiar about the rows of one file, by instrument and by kind."""
    marks = _of_bars(columns, series) if bars else _of_ticks(columns, series)
    all_of = np.bincount(series.whose)
    found = [
        Note(kind, count, detail.format(count=count, all=all_of[n]), n, first, last)
        for kind, detail, mask in marks
        for n, count, first, last in series.where(mask)
    ]
    return sorted(found, key=lambda note: note.instrument)


def _of_bars(columns: dict[str, Any], series: Series) -> Iterator[tuple[str, str, Booleans]]:
    open_, high, low, close = (columns[name][series.order] for name in ("open", "high", "low", "close"))
    yield "non_positive_price", "{count} of {all} prices are zero or negative", close <= 0
    if "volume" in columns:
        volume = columns["volume"][series.order]
        yield "zero_volume", "{count} of {all} bars have no volume", (volume == 0) & _traded(volume, series)
    impossible = (np.maximum(open_, close) > high) | (np.minimum(open_, close) < low)
    yield "impossible_bar", "{count} bars open or close beyond their high or low", impossible


def _of_ticks(columns: dict[str, Any], series: Series) -> Iterator[tuple[str, str, Booleans]]:
    price, follows = columns["price"][series.order], series.followers()
    yield "non_positive_price", "{count} of {all} prices are zero or negative", price <= 0
    same_price = follows & _equals_last(price)
    repeated = "{count} of {all} ticks repeat the price before them"
    if "volume" not in columns:
        yield "repeated_price", repeated, same_price
        return
    volume = columns["volume"][series.order]
    traded = _traded(volume, series)
    yield "repeated_price", repeated, same_price & ~traded
    yield (
        "quote_only",
        "{count} of {all} ticks change neither price nor volume",
        same_price & _equals_last(volume) & traded,
    )
    fewer = np.zeros(len(volume), bool)
    np.less(volume[1:], volume[:-1], out=fewer[1:])
    if (fewer & follows).any():
        yield "volume_decreases", "{count} of {all} ticks have less volume than before", (
            fewer & follows & traded & _equals_last(day_of(series.times))
        )  # fmt: skip


def _equals_last(values: Any) -> Booleans:
    same = np.zeros(len(values), bool)
    np.equal(values[1:], values[:-1], out=same[1:])
    return same


def _traded(volume: Floats, series: Series) -> Booleans:
    """Of each row: whether its instrument has any volume."""
    begins = np.append(0, np.flatnonzero(series.whose[1:] != series.whose[:-1]) + 1)
    some = np.logical_or.reduceat(volume != 0, begins)
    return np.repeat(some, np.diff(begins, append=len(volume)))


def named(note: Note, configs: list[InstrumentConfig]) -> QualityReport:
    """The note as a report, once the instruments have their names."""
    token = configs[note.instrument].instrument_token if note.instrument >= 0 else None
    return QualityReport(note.kind, note.count, note.detail, token, note.first // 1000, note.last // 1000)


def clock_text(time: int) -> str:
    """Day and minute in India of a time in ns since the epoch."""
    return dt.datetime.fromtimestamp(time / SECOND, INDIA).strftime("%Y-%m-%d %H:%M")
