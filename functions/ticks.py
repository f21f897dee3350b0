"""Ticks: one update of one instrument is one row of 64 bytes; a batch is one array of rows in log order.

Prices are floats in rupees only here and in indicators; money is int64 micro-rupees everywhere else.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from functions.events import Depth

Rows = npt.NDArray[Any]  # a structured array; its dtype is said where it is made

TICK: Final = np.dtype(
    [
        ("time", "i8"),  # event time, ns since the epoch, UTC
        ("price", "f8"),  # last price, rupees
        ("bid", "f8"),  # best bid, rupees; 0 where the feed has none
        ("ask", "f8"),
        ("bid_quantity", "i4"),
        ("ask_quantity", "i4"),
        ("volume", "i8"),  # cumulative of the day
        ("open_interest", "i8"),
        ("instrument", "i4"),  # dense index into the instrument table; UNKNOWN and CLOCK are no instruments
        ("quality", "u4"),  # bits of `functions.quality`; 0 = clean
    ],
)
assert TICK.itemsize == 64

LEVELS: Final = 5
DEPTH: Final = np.dtype(
    [
        ("bid", "i8", LEVELS),  # micro-rupees, best first; 0 = no level
        ("ask", "i8", LEVELS),
        ("bid_quantity", "i8", LEVELS),
        ("ask_quantity", "i8", LEVELS),
    ]
)

UNKNOWN: Final = np.int64(-1)  # `instrument` of a tick whose token is not in the instrument table
CLOCK: Final = np.int64(-2)  # `instrument` of a row that only says what time it is

NO_TICKS: Final[Rows] = np.empty(0, TICK)
NO_DEPTH: Final[Rows] = np.empty(0, DEPTH)
_MAX_I4 = 2**31 - 1


class _Needed(msgspec.Struct, gc=False):
    """The fields of `market_tick` that a decision needs; the rest of the JSON is skipped unread."""

    instrument_token: int
    last_price: float
    exchange_timestamp: int
    volume_traded: int = 0
    oi: int = 0
    bid: float = 0.0
    ask: float = 0.0
    bid_quantity: int = 0
    ask_quantity: int = 0
    session: int = 0
    sequence: int = -1


class _NeededTick(msgspec.Struct, gc=False):
    type: str
    version: int
    data: _Needed


class _DepthOnly(msgspec.Struct, gc=False):
    depth: Depth | None = None


class _DepthTick(msgspec.Struct, gc=False):
    data: _DepthOnly


_decode = msgspec.json.Decoder(_NeededTick).decode
_decode_depth = msgspec.json.Decoder(_DepthTick).decode
_pack = struct.Struct("<qdddiiqqiI").pack_into
