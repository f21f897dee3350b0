"""Nights: what happens to an instrument between two days of a recording: a split, or its expiry."""

import datetime as dt
from collections.abc import Iterator

from connectors.recorded.series import Series
from functions.arrays import Floats
from functions.calendar import date_of, day_of
from functions.events import InstrumentConfig, QualityReport
from functions.splits import suspected_splits


def nights(
    series: Series, price: Floats, configs: list[InstrumentConfig], expiries: dict[int, dt.date]
) -> Iterator[QualityReport]:  # fmt: skip
    """Suspected splits of shares, and derivatives that are traded after their expiry.

    `price` is by instrument, as the times of `series`; of a bar both are those of its start.
    """
    time, instrument = series.times, series.whose
    for split in suspected_splits(time, price, instrument):
        config = configs[split.instrument]
        if config.kind == "EQ":
            parts = f"{split.factor} to 1" if split.is_down else f"1 to {split.factor}"
            detail = (
                f"{config.tradingsymbol} goes from {split.price_before:,.2f} to {split.price_after:,.2f} over the night to "
                f"{date_of(day_of(split.after))}, {parts}: a split or bonus? Nothing is adjusted"
            )
            times = split.before // 1000, split.after // 1000
            yield QualityReport("suspected_split", 1, detail, config.instrument_token, *times)
    for n, expiry in expiries.items():
        mine = time[instrument == n]
        late = mine[day_of(mine) > (expiry - dt.date(1970, 1, 1)).days]
        if len(late):
            detail = f"{len(late)} ticks of {configs[n].tradingsymbol} lie behind its expiry, {expiry}"
            first, last = int(late[0]) // 1000, int(late[-1]) // 1000
            yield QualityReport("after_expiry", len(late), detail, configs[n].instrument_token, first, last)
