"""Instruments: what is tradable, and the market as the engine last saw it.

The static half comes from `config.instruments`; the moving half is the newest accepted tick.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from functions.calendar import session_class
from functions.costs import DELIVERY, FUTURES, INTRADAY, OPTIONS, SEGMENTS, Segment
from functions.events import InstrumentConfig
from functions.kernel import kernel
from functions.money import micro
from functions.orders import CNC
from functions.ticks import Rows

EQUITY, FUTURE, OPTION, INDEX = (np.int64(n) for n in range(4))
_KINDS: Final = {"EQ": EQUITY, "FUT": FUTURE, "CE": OPTION, "PE": OPTION, "INDEX": INDEX}
_SEGMENTS: Final[dict[str, tuple[Segment, ...]]] = {
    "EQ": ("delivery", "intraday"), "FUT": ("futures",), "CE": ("options",), "PE": ("options",),
}  # fmt: skip
_VENUES: Final = {"NSE": 0, "NFO": 0, "BSE": 1, "BFO": 1}

INSTRUMENT: Final = np.dtype(
    [
        ("last", "i8"),  # micro-rupees; 0 = no price yet
        ("bid", "i8"),  # micro-rupees; 0 = none shown
        ("ask", "i8"),
        ("bid_quantity", "i8"),
        ("ask_quantity", "i8"),
        ("time", "i8"),  # event time of the last tick, ns
        ("tick_size", "i8"),  # micro-rupees; 0 = not tradable
        ("lot", "i8"),
        ("kind", "i4"),
        ("venue", "i4"),  # 0 NSE, 1 BSE: the row of the charges table
        ("session_class", "i4"),
        ("tradable", "i4"),
        ("held", "i4"),  # first book with a position here, -1 = none
        ("working", "i4"),  # first working order here, oldest first, -1 = none
        ("newest", "i4"),  # last working order here
        ("segments", "i4"),  # in which it may trade, bit venue · 4 + segment of the charges
    ],
    align=True,
)


def venue(exchange: str) -> int:
    """Whose charges hold on an exchange: an index into `costs.VENUES`."""
    return _VENUES[exchange]


def segments(kind: str) -> tuple[Segment, ...]:
    """The segments of the charges in which an instrument may trade, by its product.

    >>> segments("EQ"), segments("CE")
    (('delivery', 'intraday'), ('options',))
    """
    return _SEGMENTS.get(kind, ())


def charge_rows(config: InstrumentConfig) -> list[int]:
    """The places in a version of the charges at which an instrument may trade; an index trades nowhere."""
    return [venue(config.exchange) * len(SEGMENTS) + SEGMENTS.index(segment) for segment in segments(config.kind)]


def instrument_table(configs: Sequence[InstrumentConfig]) -> Rows:
    """INSTRUMENT rows in the order given, nothing seen yet.

    Raises: `ValueError` for a tick size that is no amount in rupees.
    """
    table = np.zeros(len(configs), INSTRUMENT)
    table["held"] = table["working"] = table["newest"] = -1
    for row, config in zip(table, configs, strict=True):
        row["tick_size"] = micro(config.tick_size)
        row["lot"] = max(config.lot_size, 1)
        row["kind"] = _KINDS[config.kind]
        row["venue"] = _VENUES[config.exchange]
        row["session_class"] = session_class(config.kind, config.closing_auction)
        row["segments"] = sum(1 << cell for cell in charge_rows(config))
        row["tradable"] = config.enabled and config.kind != "INDEX" and row["tick_size"] > 0
    return table


@kernel
def micro_price(price):
    """A float price in rupees as integer micro-rupees: exact for prices of at most four decimals."""
    return int(price * 1e6 + 0.5) if price > 0.0 else 0


@kernel
def rate_index(instrument, product):
    """Row of the charges table for a trade of this instrument under this product."""
    segment = INTRADAY
    if instrument.kind == FUTURE:
        segment = FUTURES
    elif instrument.kind == OPTION:
        segment = OPTIONS
    elif product == CNC:
        segment = DELIVERY
    return instrument.venue * len(SEGMENTS) + segment


@kernel
def quote(instrument, tick):
    """The instrument takes a tick; returns the change of its last price, micro-rupees."""
    last = micro_price(tick.price)
    change = last - instrument.last if instrument.last > 0 else 0
    instrument.last = last
    instrument.bid = micro_price(tick.bid)
    instrument.ask = micro_price(tick.ask)
    instrument.bid_quantity = tick.bid_quantity
    instrument.ask_quantity = tick.ask_quantity
    instrument.time = tick.time
    return change
