"""Numbering: a run's ticks and strikes of the clock as events, numbered together in their order.

A reader restores this order over all partitions. What nobody will be able to decode carries no number.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from msgspec import UNSET

from functions.bad_ticks import CLEAN, MISSING_FIELD, UNDECODABLE, UNKNOWN_TOKEN, UNREADABLE
from functions.codec import encode, envelope
from functions.events import Depth, EventEnvelope, MarketClock, MarketTick
from functions.ids import event_id, tick_id
from functions.stretches import Stretch
from functions.ticks import MARKS, Rows, bar_of
from functions.timestamps import timestamp
from functions.topics import MARKET_CLOCK, MARKET_TICKS
from functions.versions import version_of

SOURCE: Final = "feed"
BROKER: Final = "shared"  # market data is of no broker
NOT_A_NUMBER: Final = -1  # the sequence of what carries none
NO_RANGE: Final = (0, 0, 0)

_TICKS: Final = MARKET_TICKS.name
_CLOCK: Final = MARKET_CLOCK.name
_MARKS: Final = int(MARKS)
_VERSION: Final = version_of("market_tick")
_PRICE_FIELD: Final = re.compile(rb'"last_price":[^,]*,')

Numbered = tuple[str, bytes, bytes]  # topic, key, the event's JSON


class Numbering:
    """One counter over all events of one run. `tokens` are the instruments in the order in which rows number them."""

    def __init__(self, tokens: Sequence[int], session: int) -> None:
        self._tokens = [*tokens, UNKNOWN_TOKEN]  # UNKNOWN is -1
        self._keys = [str(token).encode() for token in self._tokens]
        self._session = session
        self._sequence = 0
        self._last = [(-1, 0)] * len(self._tokens)  # time and ordinal of the last tick

    def events(self, stretch: Stretch) -> Iterator[Numbered]:
        """The events of the stretch that follows the last one."""
        mine = stretch.ticks
        chunk = stretch.chunk
        ticks = iter(chunk.ticks[mine].tolist())
        faults = iter(chunk.faults[mine].tolist())
        depths = _depths(chunk.depth[mine]) if len(chunk.depth) else iter([None] * len(mine))
        ranges = iter(chunk.ranges[mine].tolist()) if len(chunk.ranges) else iter([NO_RANGE] * len(mine))
        for row, time in zip(stretch.rows.tolist(), stretch.times.tolist(), strict=True):
            if row < 0:
                yield self._clock(time)
            else:
                yield self._tick(next(ticks), next(depths), next(ranges), next(faults))

    def _number(self) -> int:
        number = self._sequence
        self._sequence = number + 1
        return number

    def _tick(
        self, row: tuple[Any, ...], levels: Depth | None, extent: tuple[int, int, int], fault: int
    ) -> Numbered:  # fmt: skip
        at, price, bid, ask, bid_quantity, ask_quantity, volume, interest, instrument, quality = row
        token = self._tokens[instrument]
        last, ordinal = self._last[instrument]
        ordinal = ordinal + 1 if at == last else 0
        self._last[instrument] = (at, ordinal)
        number = NOT_A_NUMBER if fault in UNREADABLE else self._number()
        data = MarketTick(
            token, price, at // 1000, volume, interest, bid, ask, bid_quantity, ask_quantity, self._session, number, levels,
            bar_of(quality, *extent) if quality & _MARKS else UNSET,
        )  # fmt: skip
        id = tick_id(token, at, ordinal)
        value = encode(EventEnvelope(id, "market_tick", timestamp(at), id, None, SOURCE, _VERSION, BROKER, data))
        return _TICKS, self._keys[instrument], value if fault == CLEAN else _spoilt(value, fault)

    def _clock(self, at: int) -> Numbered:
        data = MarketClock(at // 1000, self._session, self._number())
        event = envelope(data, id=event_id(at, "clock", "feed"), time_ns=at, source=SOURCE, broker=BROKER)
        return _CLOCK, b"clock", encode(event)


def _depths(rows: Rows) -> Iterator[Depth | None]:
    """The levels of each row that are there; `None` for a row that shows none."""
    bids = zip((rows["bid"] / 1e6).tolist(), rows["bid_quantity"].tolist(), strict=True)
    asks = zip((rows["ask"] / 1e6).tolist(), rows["ask_quantity"].tolist(), strict=True)
    shown = cast(list[bool], (rows["bid"].any(axis=1) | rows["ask"].any(axis=1)).tolist())
    full = cast(list[bool], ((rows["bid"] > 0).all(axis=1) & (rows["ask"] > 0).all(axis=1)).tolist())
    for some, all_there, bid, ask in zip(shown, full, bids, asks, strict=True):
        if all_there:
            yield Depth(list(zip(*bid, strict=True)), list(zip(*ask, strict=True)))
        elif some:
            yield Depth(_levels(*bid), _levels(*ask))
        else:
            yield None


def _levels(prices: list[float], quantities: list[int]) -> list[tuple[float, int]]:
    return [(price, quantity) for price, quantity in zip(prices, quantities, strict=True) if price > 0]


def _spoilt(value: bytes, fault: int) -> bytes:
    """A sound record made unreadable in the way of its fault; a missing price (NaN) is null in JSON already."""
    if fault == UNDECODABLE:
        return value[: len(value) // 2] + b"\xff"
    return _PRICE_FIELD.sub(b"", value) if fault == MISSING_FIELD else value
