"""A feed in a few words: recordings of some ticks, and what the flow writes for them."""

import datetime as dt
from functools import partial
from typing import Any

import numpy as np
from bytewax.testing import TestingSink, run_main

from connectors.kafka.records import Outgoing
from connectors.market import MarketSource, Notices
from connectors.recorded.reading import Recording
from dataflows.feed import Events, build
from functions.calendar import INDIA, SECOND
from functions.codec import decode
from functions.events import InstrumentConfig
from functions.stretches import replayed, with_clock
from functions.ticks import NO_DEPTH, TICK
from functions.topics import MARKET_CLOCK, MARKET_TICKS
from tests.tables import CALENDAR

FRIDAY = dt.date(2026, 11, 20)
TOKEN, OTHER = 738561, 2953217


def at(text: str) -> int:
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=INDIA)
    return int(moment.timestamp()) * SECOND + moment.microsecond * 1000


def recording(*rows: tuple[str, int, float], depth: np.ndarray = NO_DEPTH, **more: Any) -> Recording:
    """Ticks of `(time in India, token, price)`."""
    tokens = list(dict.fromkeys(token for _, token, _ in rows))
    ticks = np.zeros(len(rows), TICK)
    for row, (time, token, price) in zip(ticks, rows, strict=True):
        row["time"], row["instrument"], row["price"] = at(time), tokens.index(token), price
    configs = [InstrumentConfig(token, f"S{token}", "NSE", "EQ", "0.05", 1) for token in tokens]
    return Recording(configs, ticks, depth, more.get("reports", []), more.get("unreadable", []))


def fed(data: Recording, **options: Any) -> list[Outgoing]:
    """Everything that the flow writes for a recording, as fast as possible."""
    written: list[tuple[str, list[Outgoing]]] = []
    rows = options.pop("rows", 8_192)
    notices = Notices(data.reports, data.unreadable)
    chunks = partial(replayed, data.ticks, data.depth, data.ranges, rows=rows)
    source = MarketSource(lambda: with_clock(chunks(), CALENDAR), notices=notices, **options)
    events = Events([config.instrument_token for config in data.instruments], session=7)
    run_main(build(source, events, TestingSink(written)))
    return [record for _, records in written for record in records]


def told(records: list[Outgoing]) -> list[tuple[int, str, str, float | None]]:
    """(sequence, time in India, tick or clock, price) of what is numbered, in the order written."""
    out = []
    for record in records:
        if record.topic in (MARKET_TICKS.name, MARKET_CLOCK.name):
            data = decode(record.value or b"").data
            time = dt.datetime.fromtimestamp(data.exchange_timestamp / 1e6, INDIA).strftime("%d %H:%M:%S.%f")
            name = "clock" if record.topic == MARKET_CLOCK.name else "tick"
            out.append((data.sequence, time, name, getattr(data, "last_price", None)))
    return out


class Wall:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time
