"""Feed: a market's ticks and its clock into the log, in one numbered order.

market (simulated or recorded, paced) ─► events ─► log

An item is a stretch of market time. Ticks and clock events of a run are numbered together in the order of event time, so
that a reader restores this order over all partitions; what nobody will be able to decode carries no number. The clock
strikes every whole second of market time, from the first tick of a day until its last session closes.
"""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from connectors.errors import ConfigError
from connectors.kafka.client import feed_linger_ms
from connectors.kafka.configuration import read_configuration_topics
from connectors.kafka.following import READER_WAIT_S, Following
from connectors.kafka.records import Outgoing, Record, dead_letter
from connectors.kafka.sink import KafkaSink
from connectors.kafka.source import Offsets
from connectors.logging import logger
from connectors.market import KEY, NO_NOTICES, Ended, Item, MarketSource, Notices
from connectors.market_tables import tables
from connectors.recorded.options import AS_THEY_SAY, ReadingOptions
from connectors.recorded.reading import read
from connectors.settings import Settings
from connectors.settings import load as load_settings
from dataflows.process import ready, stopping
from functions.bad_ticks import CLEAN, FAULTS
from functions.calendar import INDIA, Calendar
from functions.codec import encode, envelope
from functions.events import InstrumentConfig, SystemAlert
from functions.ids import event_id
from functions.numbering import BROKER, SOURCE, Numbering
from functions.poison import GROWING, told
from functions.price_paths import Market
from functions.simulator import Chunk, day
from functions.stretches import Stretch, replayed, with_clock
from functions.timestamps import timestamp
from functions.topics import CONFIG_INSTRUMENTS, MARKET_CLOCK, MARKET_QUALITY, MARKET_TICKS, SYSTEM_ALERTS

PROGRESS_S: Final = 10.0


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
    reading: ReadingOptions = AS_THEY_SAY  # of a recording: what its files do not say themselves

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


# --- the simulated market -----------------------------------------------------------------------------------------------


def simulated(feed: FeedSettings, today: dt.date, calendar: Calendar) -> Iterator[Chunk]:
    """The simulated day, and with `loop` the trading days after it, each from its own seed.

    Raises: `ConfigError` for a day without a session.
    """
    date = feed.date if feed.date is not None else _last_trading_day(today, calendar)
    seed = feed.seed
    while True:
        try:
            yield from day(feed.market, date, seed, calendar, bad_tick_rate=feed.bad_tick_rate)
        except ValueError as error:
            raise ConfigError(f"cannot simulate {date}: {error}", remedy="choose a trading day with --date") from error
        if not feed.loop or not calendar.covers(date + dt.timedelta(days=31)):
            return
        date, seed = calendar.next_trading_day(date), seed + 1


def _last_trading_day(today: dt.date, calendar: Calendar) -> dt.date:
    today = min(today, calendar.last_date)  # a drawn day may well lie before the end of the calendar
    if not calendar.covers(today):
        raise ConfigError(f"the calendar does not cover {today}", remedy="name a day with --date")
    return today if calendar.is_trading_day(today) else calendar.previous_trading_day(today)


# --- events -------------------------------------------------------------------------------------------------------------


class Events:
    """Makes the records of a run, and counts and tells what it made."""

    def __init__(
        self, tokens: Sequence[int], session: int, *, alert_above: int = 100, now: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self._alert_above = alert_above  # so many unreadable rows; 0 = none
        self._numbering = Numbering(tokens, session)
        self._session = session
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
        out = [Outgoing(*event) for event in self._numbering.events(stretch)]
        ticks = stretch.ticks
        if len(stretch.times):
            self.market_time = int(stretch.times[-1])
        self.ticks += len(ticks)
        self.clocks += len(stretch.rows) - len(ticks)
        faults = stretch.chunk.faults[ticks]
        self.faults.update(FAULTS[fault] for fault in faults[faults != CLEAN].tolist())
        return out

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
            record = Record(
                MARKET_TICKS.name, -1, row.row, row.file.encode(errors="replace"), row.text.encode(errors="replace")
            )
            out.append(dead_letter(record, "feed", "unreadable_row", f"{row.file} row {row.row}: {row.reason}"))
        if 0 < self._alert_above < self.unreadable:
            out.append(self._many_unreadable(notices))
        return out

    def _many_unreadable(self, notices: Notices) -> Outgoing:
        files = Counter(row.file for row in notices.unreadable)
        text = f"{self.unreadable} dead letters of {MARKET_TICKS.name}: unreadable_row: {told(files)}"
        at = self._session * 1_000_000  # its start, before any market time
        event = envelope(
            SystemAlert("warning", GROWING, text, SOURCE), id=event_id(at, f"feed:{self._session}", GROWING), time_ns=at,
            source=SOURCE, broker=BROKER,
        )  # fmt: skip
        return Outgoing(SYSTEM_ALERTS.name, KEY.encode(), encode(event))

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
    found = read_configuration_topics(settings.kafka, {CONFIG_INSTRUMENTS.name: InstrumentConfig})
    newest = {each.record.key: each.payload for each in found}
    return sorted((c for c in newest.values() if isinstance(c, InstrumentConfig)), key=lambda c: c.instrument_token)


def live(
    settings: Settings, feed: FeedSettings, *, stop: Callable[[], bool] = stopping, on_live: Callable[[], None] = ready,
    session: int | None = None,
) -> Dataflow:  # fmt: skip
    """The flow on the broker of these settings. `session` numbers this run; if not given, the start in milliseconds.

    Raises: `ConfigError` for a day that cannot be simulated, `DataError` for files that cannot be read, `DependencyError`
    where the broker does not answer.
    """
    calendar = tables(settings).calendar
    if feed.source == "sim":
        chunks = simulated(feed, dt.datetime.now(INDIA).date(), calendar)
        configs, notices = feed.market.configs, NO_NOTICES
    else:
        known = list(feed.instruments) if feed.instruments is not None else configured_instruments(settings)
        recording = read(feed.paths, instruments=known or None, strict=False, options=feed.reading, calendar=calendar)
        chunks = replayed(recording.ticks, recording.depth, recording.ranges, loop=feed.loop)
        configs, notices = recording.instruments, Notices(recording.reports, recording.unreadable)
    number = session if session is not None else time.time_ns() // 1_000_000
    hurries = feed.speed is None or feed.speed > 1
    group = feed.follow if hurries else None
    market = MarketSource(
        lambda: with_clock(chunks, calendar, feed.market_seconds), speed=feed.speed, seconds=feed.seconds, batch=feed.batch,
        notices=notices, stop=stop, on_live=on_live,
        following=(lambda: _following(settings, group, feed)) if group is not None else None,
    )  # fmt: skip
    logger().info(
        "feed.started", session=number, source=feed.source, instruments=len(configs), speed=feed.speed, follow=group
    )
    events = Events(
        [config.instrument_token for config in configs], number, alert_above=settings.dead_letters.alert_per_minute
    )
    return build(market, events, KafkaSink(settings.kafka, linger_ms=feed_linger_ms(settings.kafka, hurries=hurries)))


def _following(settings: Settings, group: str, feed: FeedSettings) -> Following:
    offsets = Offsets(settings.kafka, group, [MARKET_TICKS.name, MARKET_CLOCK.name])
    return Following(offsets, group, feed.max_lag, wait_s=feed.reader_wait_s)


def __getattr__(name: str) -> Any:
    """`flow`, made when it is asked for, so that `python -m bytewax.run dataflows.feed` works."""
    if name == "flow":
        return live(load_settings(), FeedSettings())
    raise AttributeError(name)
