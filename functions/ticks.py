"""Ticks: one update of one instrument is one row of 64 bytes; a batch is one array of rows in log order.

Prices are floats in rupees only here and in indicators; money is int64 micro-rupees everywhere else.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from functions import codec
from functions.events import Bar, Depth, Quote
from functions.ids import ID_PATTERN
from functions.versions import version_of

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
        (
            "quality",
            "u4",
        ),  # faults, bits of `functions.quality`, and marks: what print of a bar it is; 0 = a clean tick
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

RANGE: Final = np.dtype(  # of the bar that a closing print ends; zeros on every other tick
    [
        ("start", "i8"),  # event time at which the bar begins, ns
        ("high", "i8"),  # micro-rupees; 0 = the bar shows no range
        ("low", "i8"),
    ]
)

# Marks of a tick that was made of a bar (`functions.bars`).
FAULTS: Final = np.uint32(0xFFFF)  # the lower bits are the gate's
OPENING, CLOSING, UNTRADED = (np.uint32(1 << n) for n in (16, 17, 18))
MARKS: Final = np.uint32(OPENING | CLOSING | UNTRADED)

UNKNOWN: Final = np.int64(-1)  # `instrument` of a tick whose token is not in the instrument table
CLOCK: Final = np.int64(-2)  # `instrument` of a row that only says what time it is

NO_TICKS: Final[Rows] = np.empty(0, TICK)
NO_DEPTH: Final[Rows] = np.empty(0, DEPTH)
NO_RANGES: Final[Rows] = np.empty(0, RANGE)
_MAX_I4 = 2**31 - 1
MAX_LEVEL: Final = 1e7  # rupees, as the gate has it for the best bid and ask


def copied(ticks: Rows) -> Rows:
    """Rows of one's own, by words: NumPy copies structured rows field by field, which takes ten times as long.

    >>> rows = np.zeros(2, TICK)
    >>> copied(rows)["price"].tolist(), copied(rows) is rows
    ([0.0, 0.0], False)
    """
    return np.ascontiguousarray(ticks).view("i8").copy().view(TICK)


_VERSION: Final = version_of("market_tick")
UNREADABLE: Final = (*codec.UNREADABLE, OverflowError, struct.error)


class _Needed(Quote, frozen=True):
    """The fields of `market_tick` that a decision needs; the rest of the JSON is skipped unread."""

    bar: Bar | None = None
    session: Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)] = 0
    sequence: Annotated[int, msgspec.Meta(ge=-1, le=2**62)] = -1


class _NeededTick(msgspec.Struct, gc=False, tag_field="type", tag="market_tick"):
    id: Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
    version: Annotated[int, msgspec.Meta(ge=_VERSION, le=_VERSION)]
    data: _Needed


class _DepthOnly(msgspec.Struct, gc=False):
    depth: Depth | None = None


class _DepthTick(msgspec.Struct, gc=False):
    version: Annotated[int, msgspec.Meta(ge=_VERSION, le=_VERSION)]
    data: _DepthOnly


class _BarOnly(msgspec.Struct, gc=False):
    exchange_timestamp: int
    bar: Bar | None = None


class _BarTick(msgspec.Struct, gc=False):
    data: _BarOnly


_decode = msgspec.json.Decoder(_NeededTick).decode
_decode_depth = msgspec.json.Decoder(_DepthTick).decode
_decode_bar = msgspec.json.Decoder(_BarTick).decode
_pack = struct.Struct("<qdddiiqqiI").pack_into


def pack(raws: Iterable[bytes], index_of: Callable[[int, int], int], count: int) -> tuple[Rows, list[int], list[int]]:
    """`count` raw `market_tick` events as TICK rows, with their feed sessions and sequences.

    `index_of(token, UNKNOWN)` gives the dense index. A quantity beyond 31 bits is stored as the largest one.
    Raises: one of `UNREADABLE` for the first record that is no tick, or has a number beyond 64 bits; the caller then
    decodes one by one.
    """
    buffer = bytearray(64 * count)
    sessions: list[int] = []
    sequences: list[int] = []
    offset = 0
    unknown = int(UNKNOWN)
    for raw in raws:
        try:
            t = _decode(raw).data
        except msgspec.ValidationError:
            t = _earlier(raw, _decode).data
        try:
            _pack(
                buffer, offset, t.exchange_timestamp * 1000, t.last_price, t.bid, t.ask, t.bid_quantity, t.ask_quantity,
                t.volume_traded, t.oi, index_of(t.instrument_token, unknown), 0 if t.bar is None else _marks(t.bar),
            )  # fmt: skip
        except struct.error:
            _pack(
                buffer, offset, _int64(t.exchange_timestamp * 1000), t.last_price, t.bid, t.ask,
                _int32(min(t.bid_quantity, _MAX_I4)), _int32(min(t.ask_quantity, _MAX_I4)), _int64(t.volume_traded),
                _int64(t.oi), index_of(t.instrument_token, unknown), 0 if t.bar is None else _marks(t.bar),
            )  # fmt: skip
        sessions.append(t.session)
        sequences.append(t.sequence)
        offset += 64
    return np.frombuffer(buffer, TICK), sessions, sequences


def _marks(bar: Bar) -> int:
    """The marks of the print that a bar says it is."""
    return int(OPENING if bar.at == "open" else CLOSING) | (0 if bar.traded else int(UNTRADED))


def bar_of(marks: int, start: int, high: int, low: int) -> Bar:
    """What a print of a bar says of it, from the marks of its tick and the numbers of its RANGE row.

    >>> bar_of(int(OPENING), 0, 0, 0)
    Bar(at='open', start=0, high=0.0, low=0.0, traded=True)
    >>> bar_of(int(CLOSING | UNTRADED), 60_000_000_000, 101_500_000, 99_000_000)
    Bar(at='close', start=60000000, high=101.5, low=99.0, traded=False)
    """
    traded = not marks & UNTRADED
    if marks & OPENING:
        return Bar("open", start // 1000, traded=traded)
    return Bar("close", start // 1000, high / 1e6, low / 1e6, traded)


def _earlier(raw: bytes, decoder: Callable[[bytes], Any]) -> Any:
    """A tick of an earlier version, read as one of today's. Raises: one of `UNREADABLE` for what is no tick in any version."""
    return decoder(codec.current(raw))


def _int32(value: int) -> int:
    if not -(2**31) <= value < 2**31:
        raise msgspec.ValidationError(f"{value} does not fit 32 bits")
    return value


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise msgspec.ValidationError(f"{value} does not fit 64 bits")
    return value


def depth(raws: Iterable[bytes | None], count: int) -> Rows:
    """The five levels of these ticks, in micro-rupees; zeros where a tick shows none, or none that can be read.

    Called only for batches in which a venue walks the book: decoding five levels costs five times the tick. So a tick has
    passed the gate before its levels are looked at: one whose levels are no prices trades at its best bid and ask.
    """
    rows = np.zeros(count, DEPTH)
    for row, raw in zip(rows, raws, strict=True):
        levels = _levels(raw) if raw is not None else None
        if levels is None:
            continue
        for side, prices, quantities in ((levels.buy, "bid", "bid_quantity"), (levels.sell, "ask", "ask_quantity")):
            for n, (price, quantity) in enumerate(side[:LEVELS]):
                row[prices][n] = int(price * 1e6 + 0.5)
                row[quantities][n] = quantity
    return rows


def _levels(raw: bytes) -> Depth | None:
    try:
        try:
            shown = _decode_depth(raw).data.depth
        except msgspec.ValidationError:
            shown = _earlier(raw, _decode_depth).data.depth
    except codec.UNREADABLE:
        return None
    if shown is None or all(0.0 <= price <= MAX_LEVEL and 0 <= n <= _MAX_I4 for price, n in [*shown.buy, *shown.sell]):
        return shown
    return None


def ranges(raws: Iterable[bytes], ticks: Rows) -> Rows:
    """A RANGE row for each of these ticks, or none at all where no tick is the closing print of a bar.

    `raws` are the events that the ticks were made of. A range that is none (a low above its high, no price, one that
    begins after its end) is left out: the print is then its price alone.
    """
    closing = np.flatnonzero(ticks["quality"] & CLOSING)
    if not len(closing):
        return NO_RANGES
    events = list(raws)
    rows = np.zeros(len(ticks), RANGE)
    for n in closing.tolist():
        data = _decode_bar(codec.current(events[n])).data
        if data.bar is not None and 0 <= data.bar.start <= data.exchange_timestamp:
            rows[n] = (data.bar.start * 1000, *range_of(data.bar.high, data.bar.low))
    return rows


def range_of(high: float, low: float) -> tuple[int, int]:
    """High and low in micro-rupees; zeros where they are no range of prices.

    >>> range_of(101.5, 99.0), range_of(99.0, 101.5), range_of(99.0, 0.0), range_of(float("inf"), 1.0)
    ((101500000, 99000000), (0, 0), (0, 0), (0, 0))
    """
    if not 0.0 < low <= high <= MAX_LEVEL:
        return 0, 0
    return int(high * 1e6 + 0.5), int(low * 1e6 + 0.5)
