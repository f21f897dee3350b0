"""Feed: a market's ticks and its clock into the log, in one numbered order.

market (simulated or recorded, paced) ─► events ─► log

An item is a stretch of market time. Ticks and clock events of a run are numbered together in the order of event time, so
that a reader restores this order over all partitions; what nobody will be able to decode carries no number. The clock
strikes every whole second of market time, from the first tick of a day until its last session closes.
"""

import datetime as dt
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast

import bytewax.operators as op
import numpy as np
import numpy.typing as npt
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, Source, StatefulSourcePartition
from bytewax.outputs import Sink

from connectors.errors import ConfigError, DependencyError
from connectors.kafka.records import Outgoing, Record, dead_letter
from connectors.kafka.sink import KafkaSink
from connectors.kafka.source import Offsets, fetch_all
from connectors.logging import logger
from connectors.recorded import Recording, Unreadable, read
from connectors.settings import Settings
from connectors.settings import load as load_settings
from dataflows.process import ready, stopping
from functions.calendar import (
    DAY,
    INDIA,
    SECOND,
    covers,
    day_of,
    is_trading_day,
    next_trading_day,
    previous_trading_day,
    seconds_passed,
)
from functions.events import (
    VERSION,
    Depth,
    EventEnvelope,
    InstrumentConfig,
    MarketClock,
    MarketTick,
    QualityReport,
    SystemAlert,
    decode,
    encode,
    envelope,
    event_id,
    tick_id,
    timestamp,
)  # fmt: skip
from functions.simulator import CLEAN, FAULTS, MISSING_FIELD, UNDECODABLE, UNKNOWN_TOKEN, UNREADABLE, Chunk, Market, day
from functions.ticks import NO_DEPTH, NO_TICKS, Rows
from functions.topics import CONFIG_INSTRUMENTS, MARKET_CLOCK, MARKET_QUALITY, MARKET_TICKS, SYSTEM_ALERTS

Integers = npt.NDArray[np.int64]

SOURCE: Final = "feed"
BROKER: Final = "shared"  # market data is of no broker
KEY: Final = "feed"
WEEK: Final = 7 * DAY
PROGRESS_S: Final = 10.0
HOLD_S: Final = 0.01  # how long a held feed waits before it asks again
READER_WAIT_S: Final = 5.0  # how long it waits for a reader that has not yet shown itself
NAP_S: Final = 0.05  # a paced feed looks at least this often whether it is to stop
NOT_A_NUMBER: Final = -1  # the sequence of what carries none


@dataclass(frozen=True)
class FeedSettings:
    """What is fed, and how fast.

    `speed` is market seconds a second; `None` = as fast as possible. `seconds` ends the feed after so much time of the
    wall, `market_seconds` after so much of the market. `loop` begins again at the end: the next trading day of the
    simulator, a recording moved on by whole weeks. Faster than real time, the feed is held back while the group
    `follow` is more than `max_lag` records behind it; a market in real time waits for nobody. A group that has read
    nothing within `reader_wait_s` is taken as not being there, and nothing is held.
    """

    source: Literal["sim", "file"] = "sim"
    paths: tuple[Path, ...] = ()
    speed: float | None = 1.0
    seed: int = 1
    date: dt.date | None = None  # of the simulated day; None = the last trading day
    bad_tick_rate: float = 0.0
    seconds: float | None = None
    market_seconds: float | None = None
    loop: bool = False
    batch: int = 2_000  # events of an item, at most
    follow: str | None = "pipeline-paper-0"
    max_lag: int = 15_000  # the embedded broker keeps some 30 000 ticks with depth of one instrument
    reader_wait_s: float = READER_WAIT_S
    market: Market = field(default_factory=Market)
    instruments: tuple[InstrumentConfig, ...] | None = None  # of a recording; None = those of the log

    def __post_init__(self) -> None:
        """Raises: `ConfigError` for a value that cannot be."""
        rates = (("seconds", self.seconds), ("market_seconds", self.market_seconds), ("speed", self.speed))
        for wrong, what, remedy in (
            (self.source not in ("sim", "file"), f"source is sim or file, was {self.source!r}", "--source sim"),
            (self.source == "file" and not self.paths, "source file names no file", "--data FILE_OR_FOLDER"),
            (not 0 <= self.bad_tick_rate <= 1, f"bad_tick_rate is from 0 to 1, was {self.bad_tick_rate}", "e.g. 0.001"),
            (self.seed < 0, f"seed is 0 or more, was {self.seed}", "e.g. --seed 1"),
            (self.batch < 1, f"batch is 1 or more, was {self.batch}", "leave it out"),
            (self.max_lag < 1, f"max_lag is 1 or more, was {self.max_lag}", "leave it out"),
            *((v is not None and not 0 < v < 1e9, f"{name} is above 0, was {v}", "leave it out") for name, v in rates),
        ):  # fmt: skip
            if wrong:
                raise ConfigError(f"feed: {what}", remedy=remedy)


# --- the market, in chunks of event time --------------------------------------------------------------------------------


def simulated(feed: FeedSettings, today: dt.date) -> Iterator[Chunk]:
    """The simulated day, and with `loop` the trading days after it, each from its own seed.

    Raises: `ConfigError` for a day without a session.
    """
    date = feed.date if feed.date is not None else _last_trading_day(today)
    seed = feed.seed
    while True:
        try:
            yield from day(feed.market, date, seed, bad_tick_rate=feed.bad_tick_rate)
        except ValueError as error:
            raise ConfigError(f"cannot simulate {date}: {error}", remedy="choose a trading day with --date") from error
        if not feed.loop or not covers(date + dt.timedelta(days=31)):
            return
        date, seed = next_trading_day(date), seed + 1


def _last_trading_day(today: dt.date) -> dt.date:
    if not covers(today):
        raise ConfigError(f"the calendar does not cover {today}", remedy="name a day with --date")
    return today if is_trading_day(today) else previous_trading_day(today)


def recorded(recording: Recording, *, loop: bool = False, rows: int = 8_192) -> Iterator[Chunk]:
    """A recording's rows in chunks within one day, then the second after its last tick."""
    weeks = int(day_of(recording.ticks["time"][-1]) - day_of(recording.ticks["time"][0])) // 7 + 1
    shift = 0
    while True:
        yield from _once(recording, shift, rows)
        if not loop:
            return
        shift += weeks * WEEK


def _once(recording: Recording, shift: int, rows: int) -> Iterator[Chunk]:
    ticks, depth = recording.ticks, recording.depth
    days = day_of(ticks["time"])
    edges = sorted({0, len(ticks), *(np.flatnonzero(np.diff(days)) + 1).tolist()})
    for first, last in pairwise(edges):
        for start in range(first, last, rows):
            part = ticks[start : min(start + rows, last)]
            if shift:
                part = part.copy()
                part["time"] += shift
            levels = depth[start : start + len(part)] if len(depth) else NO_DEPTH
            yield Chunk(int(part["time"][-1]), part, levels, np.zeros(len(part), np.uint8))
    end = -(-(int(ticks["time"][-1]) + shift) // SECOND) * SECOND
    yield Chunk(end, NO_TICKS, NO_DEPTH, np.empty(0, np.uint8))


class Stretch(NamedTuple):
    """Events in their order: `rows` indexes the chunk's ticks, -1 is a strike of the clock; `times` never go back."""

    times: Integers
    rows: Integers
    chunk: Chunk

    def part(self, start: int, end: int) -> "Stretch":
        return Stretch(self.times[start:end], self.rows[start:end], self.chunk)


def with_clock(chunks: Iterator[Chunk], market_seconds: float | None = None) -> Iterator[Stretch]:
    """Chunks with the clock's seconds among their ticks; at the same time the clock comes first."""
    reached: int | None = None  # how far market time has come
    until: int | None = None
    for chunk in chunks:
        ticks = np.maximum.accumulate(chunk.ticks["time"]) if len(chunk.ticks) else chunk.ticks["time"]
        if reached is None:
            reached = (int(ticks[0]) if len(ticks) else chunk.until) - 1
            until = reached + 1 + int(market_seconds * SECOND) if market_seconds is not None else None
        first = max(int(ticks[0]), reached) if len(ticks) else reached
        clock = np.concatenate([seconds_passed(reached, first), seconds_passed(first, chunk.until)])
        times = np.concatenate([clock, ticks])
        rows = np.concatenate([np.full(len(clock), -1), np.arange(len(ticks))])
        order = np.argsort(times, kind="stable")
        stretch = Stretch(times[order], rows[order], chunk)
        reached = max(chunk.until, reached)
        if until is not None and reached > until:
            yield stretch.part(0, int(np.searchsorted(stretch.times, until, "right")))
            return
        yield stretch


# --- pace ---------------------------------------------------------------------------------------------------------------


class Notices(NamedTuple):
    """What is known about a recording before its first tick."""

    reports: Sequence[QualityReport] = ()
    unreadable: Sequence[Unreadable] = ()


NO_NOTICES: Final = Notices()


class Ended(NamedTuple):
    """The market has no more; `reason` in words."""

    reason: str


Item = Stretch | Notices | Ended


class Following:
    """Whether a reader of our records is too far behind. Its group's offsets are asked for once in a while only.

    A group that has read nothing within `wait_s` is taken as not being there, and nothing is held any more.
    """

    def __init__(
        self, offsets: Offsets, group: str, max_lag: int, *, now: Callable[[], float] = time.monotonic,
        wait_s: float = READER_WAIT_S,
    ) -> None:  # fmt: skip
        self._offsets = offsets
        self._group = group
        self._max_lag = max_lag
        self._now = now
        self._wait_s = wait_s
        self._base = offsets.ends()
        self._asked_at = 0  # records written when it was asked last, and was near enough
        self._held_since: float | None = None
        self._told = False
        self._absent = False

    def holds(self, written: int) -> bool:
        """Whether to wait now that so many records have been written."""
        if self._absent or written - self._asked_at < self._max_lag // 4:
            return False
        held_since = self._held_since if self._held_since is not None else self._now()
        try:
            committed = self._offsets.committed()
        except DependencyError:  # the sink says it
            self._held_since = held_since
            return True
        behind = written + sum(base - committed.get(at, base) for at, base in self._base.items())
        if behind <= self._max_lag:
            self._asked_at, self._held_since, self._told = written, None, False
            return False
        self._held_since = held_since
        waited = self._now() - held_since
        if not committed and waited >= self._wait_s:
            logger().warning("feed.reader_not_found", group=self._group, waited_s=round(waited, 1))
            self._absent = True
            return False
        if committed and waited >= self._wait_s and not self._told:
            logger().warning("feed.waits_for_reader", group=self._group, behind_records=behind, max_lag=self._max_lag)
            self._told = True
        return True

    def close(self) -> None:
        self._offsets.close()


class _MarketPartition(StatefulSourcePartition[tuple[str, Item], None]):
    def __init__(self, source: "MarketSource") -> None:
        self._source = source
        self._stretches = source.stretches()
        self._stretch: Stretch | None = None
        self._at = 0
        self._written = 0
        self._anchor: tuple[float, int] | None = None  # a moment of ours, and the market's time at it
        self._deadline = source.now() + source.seconds if source.seconds is not None else None
        self._awake: dt.datetime | None = None
        self._noticed = False
        self._following = source.following() if source.following is not None else None
        self._ended = False

    def next_batch(self) -> list[tuple[str, Item]]:
        source = self._source
        if self._ended or source.stop():
            raise StopIteration
        self._awake = None
        if not self._noticed:
            self._noticed = True
            source.on_live()
            return [(KEY, source.notices)]
        if self._deadline is not None and source.now() >= self._deadline:
            return self._end("its time was up")
        if self._following is not None and self._following.holds(self._written):
            return self._nap(HOLD_S)
        if self._stretch is None or self._at == len(self._stretch.times):
            self._stretch, self._at = next(self._stretches, None), 0
        if self._stretch is None:
            return self._end("the data ends here")
        return self._due(self._stretch)

    def _due(self, stretch: Stretch) -> list[tuple[str, Item]]:
        end = min(self._at + self._source.batch, len(stretch.times))
        if self._source.speed is not None and end > self._at:
            horizon = self._horizon(int(stretch.times[self._at]), self._source.speed)
            end = min(end, int(np.searchsorted(stretch.times, horizon, "right")))
            if end <= self._at:
                return self._nap((int(stretch.times[self._at]) - horizon) / SECOND / self._source.speed)
        part = stretch.part(self._at, end)
        self._at = end
        self._written += len(part.times)
        return [(KEY, part)] if len(part.times) else []

    def _horizon(self, due: int, speed: float) -> int:
        """How far market time has come; a new day begins at once, whatever the night."""
        now = self._source.now()
        if self._anchor is None or day_of(due) != day_of(self._anchor[1]):
            self._anchor = (now, due)
        return self._anchor[1] + int((now - self._anchor[0]) * speed * SECOND)

    def _nap(self, seconds: float) -> list[tuple[str, Item]]:
        self._awake = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=min(max(seconds, 0.0), NAP_S))
        return []

    def _end(self, reason: str) -> list[tuple[str, Item]]:
        self._ended = True
        return [(KEY, Ended(reason))]

    def next_awake(self) -> dt.datetime | None:
        return self._awake

    def snapshot(self) -> None:
        """Nothing: a feed that starts again is a new session."""

    def close(self) -> None:
        if self._following is not None:
            self._following.close()


@dataclass
class MarketSource(FixedPartitionedSource[tuple[str, Item], None]):
    """A market's stretches, when they are due: one partition, one order. `stop` ends it, `on_live` hears of its start."""

    stretches: Callable[[], Iterator[Stretch]]
    speed: float | None = None
    seconds: float | None = None
    batch: int = 2_000
    notices: Notices = NO_NOTICES
    following: Callable[[], Following] | None = None
    stop: Callable[[], bool] = lambda: False
    on_live: Callable[[], None] = lambda: None
    now: Callable[[], float] = time.monotonic

    def list_parts(self) -> list[str]:
        return ["market"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _MarketPartition:
        return _MarketPartition(self)


# --- events -------------------------------------------------------------------------------------------------------------

_PRICE_FIELD: Final = re.compile(rb'"last_price":[^,]*,')


class Events:
    """Numbers a run's ticks and clock strikes and makes their records; counts what it made."""

    def __init__(self, tokens: Sequence[int], session: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._tokens = [*tokens, UNKNOWN_TOKEN]  # UNKNOWN is -1
        self._keys = [str(token).encode() for token in self._tokens]
        self._session = session
        self._sequence = 0
        self._last = [(-1, 0)] * len(self._tokens)  # time and ordinal of the last tick
        self._now = now
        self._began = self._told_at = now()
        self._told_ticks = 0
        self.market_time = 0
        self.ticks = 0
        self.clocks = 0
        self.faults: Counter[str] = Counter()
        self.reports = 0
        self.unreadable = 0

    def __call__(self, item: tuple[str, Item]) -> tuple[str, list[Outgoing]]:
        key, what = item
        match what:
            case Stretch():
                records = self._stretch(what)
            case Notices():
                records = self._notices(what)
            case Ended():
                records = [self._finished(what)]
        if self._now() - self._told_at >= PROGRESS_S:
            self._tell()
        return key, records

    def _stretch(self, stretch: Stretch) -> list[Outgoing]:
        rows = stretch.rows
        mine = rows[rows >= 0]
        chunk = stretch.chunk
        ticks = iter(chunk.ticks[mine].tolist())
        faults = iter(chunk.faults[mine].tolist())
        depths = _depths(chunk.depth[mine]) if len(chunk.depth) else iter([None] * len(mine))
        out = [
            self._clock(time) if row < 0 else self._tick(next(ticks), next(depths), next(faults))
            for row, time in zip(rows.tolist(), stretch.times.tolist(), strict=True)
        ]
        if len(stretch.times):
            self.market_time = int(stretch.times[-1])
        self.ticks += len(mine)
        self.clocks += len(rows) - len(mine)
        return out

    def _number(self) -> int:
        number = self._sequence
        self._sequence = number + 1
        return number

    def _tick(self, row: tuple[Any, ...], levels: Depth | None, fault: int) -> Outgoing:
        at, price, bid, ask, bid_quantity, ask_quantity, volume, interest, instrument, _ = row
        token = self._tokens[instrument]
        last, ordinal = self._last[instrument]
        ordinal = ordinal + 1 if at == last else 0
        self._last[instrument] = (at, ordinal)
        number = NOT_A_NUMBER if fault in UNREADABLE else self._number()
        data = MarketTick(
            token,
            price,
            at // 1000,
            volume,
            interest,
            bid,
            ask,
            bid_quantity,
            ask_quantity,
            self._session,
            number,
            levels,
        )
        id = tick_id(token, at, ordinal)
        value = encode(EventEnvelope(id, "market_tick", timestamp(at), id, None, SOURCE, VERSION, BROKER, data))
        if fault != CLEAN:
            self.faults[FAULTS[fault]] += 1
            value = _spoilt(value, fault)
        return Outgoing(_TICKS, self._keys[instrument], value)

    def _clock(self, at: int) -> Outgoing:
        data = MarketClock(at // 1000, self._session, self._number())
        event = envelope(data, id=event_id(at, "clock", "feed"), time_ns=at, source=SOURCE, broker=BROKER)
        return Outgoing(MARKET_CLOCK.name, b"clock", encode(event))

    def _notices(self, notices: Notices) -> list[Outgoing]:
        self.reports, self.unreadable = len(notices.reports), len(notices.unreadable)
        out = []
        for n, report in enumerate(notices.reports):
            at = (report.first_timestamp or 0) * 1000
            subject = KEY if report.instrument_token is None else str(report.instrument_token)
            id = event_id(at, f"{subject}:{report.kind}", f"quality:{n}")
            event = envelope(report, id=id, time_ns=at, source=SOURCE, broker=BROKER)
            out.append(Outgoing(MARKET_QUALITY.name, subject.encode(), encode(event)))
        for row in notices.unreadable:
            record = Record(_TICKS, -1, row.row, row.file.encode(errors="replace"), row.text.encode(errors="replace"))
            out.append(dead_letter(record, "feed", "unreadable_row", f"{row.file} row {row.row}: {row.reason}"))
        return out

    def _finished(self, ended: Ended) -> Outgoing:
        faults = sum(self.faults.values())
        fed = f"{self.ticks} ticks ({faults} bad) and {self.clocks} seconds fed"
        text = f"{fed}, {self.unreadable} rows unreadable; {ended.reason}"
        logger().info("feed.finished", reason=ended.reason, **self._counts(), faults=dict(self.faults))
        alert = SystemAlert("info", "feed.finished", text, SOURCE)
        id = event_id(self.market_time, f"feed:{self._session}", "finished")
        event = envelope(alert, id=id, time_ns=self.market_time, source=SOURCE, broker=BROKER)
        return Outgoing(SYSTEM_ALERTS.name, KEY.encode(), encode(event))

    def _counts(self) -> dict[str, Any]:
        return {
            "session": self._session, "ticks": self.ticks, "clocks": self.clocks, "bad": sum(self.faults.values()),
            "unreadable": self.unreadable, "reports": self.reports, "market_time": timestamp(self.market_time),
        }  # fmt: skip

    def _tell(self) -> None:
        now = self._now()
        rate = (self.ticks - self._told_ticks) / (now - self._told_at)
        logger().info(
            "feed.progress", **self._counts(), ticks_per_s=round(rate, 1), running_s=round(now - self._began, 1)
        )
        self._told_at, self._told_ticks = now, self.ticks


_TICKS: Final = MARKET_TICKS.name


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


# --- the flow -----------------------------------------------------------------------------------------------------------


def build(market: Source[tuple[str, Item]], events: Events, log: Sink[tuple[str, list[Outgoing]]]) -> Dataflow:
    """The graph of this module's docstring."""
    flow = Dataflow("feed")
    stretches = op.input("market", flow, market)
    records = op.map("events", stretches, events)
    op.output("log", records, log)
    return flow


def configured_instruments(settings: Settings) -> list[InstrumentConfig]:
    """The instruments on the log, newest of each token, by token."""
    newest: dict[bytes | None, InstrumentConfig | None] = {}
    for record in fetch_all(settings.kafka, [CONFIG_INSTRUMENTS.name]):
        newest[record.key] = decode(record.value).data if record.value else None
    return sorted(
        (config for config in newest.values() if config is not None), key=lambda config: config.instrument_token
    )


def live(
    settings: Settings, feed: FeedSettings, *, stop: Callable[[], bool] = stopping, on_live: Callable[[], None] = ready,
    session: int | None = None,
) -> Dataflow:  # fmt: skip
    """The flow on the broker of these settings. `session` numbers this run; if not given, the start in milliseconds.

    Raises: `ConfigError` for a day that cannot be simulated, `DataError` for files that cannot be read, `DependencyError`
    where the broker does not answer.
    """
    if feed.source == "sim":
        chunks = simulated(feed, dt.datetime.now(INDIA).date())
        configs, notices = feed.market.configs, NO_NOTICES
    else:
        known = list(feed.instruments) if feed.instruments is not None else configured_instruments(settings)
        recording = read(feed.paths, instruments=known or None, strict=False)
        chunks = recorded(recording, loop=feed.loop)
        configs, notices = recording.instruments, Notices(recording.reports, recording.unreadable)
    number = session if session is not None else time.time_ns() // 1_000_000
    hurries = feed.speed is None or feed.speed > 1
    group = feed.follow if hurries else None
    market = MarketSource(
        lambda: with_clock(chunks, feed.market_seconds), speed=feed.speed, seconds=feed.seconds, batch=feed.batch,
        notices=notices, stop=stop, on_live=on_live,
        following=(lambda: _following(settings, group, feed)) if group is not None else None,
    )  # fmt: skip
    logger().info(
        "feed.started", session=number, source=feed.source, instruments=len(configs), speed=feed.speed, follow=group
    )
    events = Events([config.instrument_token for config in configs], number)
    return build(market, events, KafkaSink(settings.kafka, linger_ms=5 if hurries else 0))


def _following(settings: Settings, group: str, feed: FeedSettings) -> Following:
    offsets = Offsets(settings.kafka, group, [MARKET_TICKS.name, MARKET_CLOCK.name])
    return Following(offsets, group, feed.max_lag, wait_s=feed.reader_wait_s)


def __getattr__(name: str) -> Any:
    """`flow`, made when it is asked for, so that `python -m bytewax.run dataflows.feed` works."""
    if name == "flow":
        return live(load_settings(), FeedSettings())
    raise AttributeError(name)
