"""Prints: a file's ticks as TICK rows, its depth as DEPTH rows, and prices as the exchange prints them."""

from typing import Any, Final

import numpy as np

from connectors.recorded.notes import Note
from connectors.recorded.series import Series
from connectors.recorded.tables import Table
from functions.arrays import Floats, Integers
from functions.ticks import DEPTH, LEVELS, NO_DEPTH, TICK, Rows

_MAX_I4: Final = 2**31 - 1


def ticks_of(table: Table, columns: dict[str, Any], series: Series, notes: list[Note]) -> tuple[Rows, Rows]:
    """TICK rows in order of time, and as many DEPTH rows where the file shows depth; adds to `notes`."""
    rows = np.zeros(len(series.time), TICK)
    rows["time"], rows["instrument"] = series.time, series.instrument
    rows["price"] = printed(columns["price"], notes, series.time)
    for name in ("bid", "ask"):
        if name in columns:
            rows[name] = printed(columns[name])
    for name, source in (("volume", "volume"), ("open_interest", "oi")):
        if source in columns:
            rows[name] = whole(columns[source])
    for name in ("bid_quantity", "ask_quantity"):
        if name in columns:
            rows[name] = np.clip(np.nan_to_num(columns[name]), 0, _MAX_I4)
    depth = _depth(columns, len(rows)) if table.shows_depth else NO_DEPTH
    if (series.time[1:] >= series.time[:-1]).all():
        return rows, depth
    order = np.argsort(series.time, kind="stable")
    return rows.take(order), depth.take(order) if len(depth) else depth


def _depth(columns: dict[str, Any], count: int) -> Rows:
    depth = np.zeros(count, DEPTH)
    for side in ("bid", "ask"):
        for n in range(LEVELS):
            if (price := columns.get(f"{side}{n + 1}")) is not None:
                depth[side][:, n] = np.rint(printed(price) * 1e6)
            if (quantity := columns.get(f"{side}_quantity{n + 1}")) is not None:
                depth[f"{side}_quantity"][:, n] = np.nan_to_num(quantity)
    return depth


def whole(quantities: Floats) -> Integers:
    """Quantities in whole numbers, 0 where there is none; none of them is infinite."""
    none = np.isnan(quantities)
    return (np.where(none, 0.0, quantities) if none.any() else quantities).astype(np.int64)


def printed(prices: Floats, notes: list[Note] | None = None, time: Integers | None = None) -> Floats:
    """Prices as the exchange prints them: those that went through 32 bits get their two decimals back."""
    rounded = np.round(prices, 2)
    narrow = rounded != prices
    if not narrow.any():
        return prices
    with np.errstate(over="ignore", invalid="ignore"):
        narrow &= rounded.astype(np.float32) == prices
    count = int(narrow.sum())
    if not count:
        return prices
    if notes is not None and time is not None:
        detail = f"{count} prices had passed through 32-bit floats and are paise again, e.g. {float(prices[narrow][0])}"
        notes.append(Note("float32_price", count, detail, -1, int(time[narrow][0]), int(time[narrow][-1])))
    return np.where(narrow, rounded, prices)
