"""The feed: its settings, its graph, and the whole of it on the embedded broker."""

import datetime as dt
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bytewax.testing import TestingSink, TestingSource, run_main
from confluent_kafka import Consumer, TopicPartition

from connectors.errors import ConfigError, DataError
from connectors.kafka.client import consumer_config
from connectors.kafka.embedded import start_embedded
from connectors.kafka.following import Following
from connectors.kafka.sink import KafkaSink, Writer
from connectors.kafka.source import Offsets, end_offsets, fetch_all
from connectors.market import Ended, MarketSource
from connectors.recorded.reading import read
from connectors.settings import KafkaSettings, Settings
from dataflows.feed import Events, FeedSettings, build, configured_instruments, live
from functions.calendar import SECOND
from functions.codec import decode
from functions.events import InstrumentConfig
from functions.price_paths import Market
from functions.simulator import day
from functions.stretches import with_clock
from functions.topics import MARKET_CLOCK, MARKET_QUALITY, MARKET_TICKS, SYSTEM_ALERTS
from tests.feed import FRIDAY, TOKEN
from tests.recorded import config_events
from tests.tables import CALENDAR


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"source": "kite"}, "was 'kite'"),
        ({"source": "file"}, "names no file"),
        ({"speed": 0.0}, "speed is above 0, was 0.0"),
        ({"bad_tick_rate": 2.0}, "was 2.0"),
        ({"seconds": -1.0}, "seconds is above 0, was -1.0"),
        ({"seed": -1}, "was -1"),
        ({"max_lag": 0}, "max_lag is 1 or more, was 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        FeedSettings(**wrong)


def test_the_flow_is_the_graph_of_its_module():
    written: list[Any] = []
    flow = build(TestingSource([("feed", Ended("nothing to do"))]), Events([], 1), TestingSink(written))
    run_main(flow)
    assert [record.topic for _, records in written for record in records] == [SYSTEM_ALERTS.name]


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"no file nowhere\.csv"):
        read([Path("nowhere.csv")])


def test_a_market_may_be_replaced_whole():
    quiet = replace(Market(), circuit_s=0, halt_s=0)
    assert FeedSettings(market=quiet).market.configs == Market().configs


# --- on the embedded broker -------------------------------------------------------------------------------------------

INSTRUMENTS = [InstrumentConfig(TOKEN, "RELIANCE", "NSE", "EQ", "0.10", 1, closing_auction=True)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with start_embedded(tmp_path_factory.mktemp("kafka")) as broker:
        settings = Settings(kafka=KafkaSettings(bootstrap=broker.bootstrap, embedded=True))
        writer = Writer(settings.kafka)
        writer.write(config_events(INSTRUMENTS, [], []))
        writer.flush()
        yield settings


def run(settings: Settings, feed: FeedSettings, session: int) -> list[bool]:
    lived: list[bool] = []
    flow = live(settings, feed, stop=lambda: False, on_live=lambda: lived.append(True), session=session)
    run_main(flow, epoch_interval=timedelta(seconds=0.1))
    return lived


def of_session(settings: Settings, session: int) -> list[Any]:
    events = [decode(r.value or b"").data for r in fetch_all(settings.kafka, [MARKET_TICKS.name, MARKET_CLOCK.name])]
    return sorted((e for e in events if e.session == session), key=lambda e: e.sequence)


@pytest.mark.kafka
def test_a_recorded_file_lies_whole_in_the_log_under_the_tokens_that_are_configured(log: Settings, tmp_path: Path):
    lines = [f"2026-11-20 10:{n // 60:02d}:{n % 60:02d},{1480 + n % 7}" for n in range(3_000)]
    lines.insert(5, "2026-11-20 10:00:04,oops")
    (tmp_path / "RELIANCE.csv").write_text("\n".join(["timestamp,ltp", *lines]) + "\n")

    feed = FeedSettings(source="file", paths=(tmp_path / "RELIANCE.csv",), speed=None, follow=None)
    assert run(log, feed, session=1) == [True]

    events = of_session(log, 1)
    assert [e.sequence for e in events] == list(range(6_000))
    ticks = [e for e in events if hasattr(e, "last_price")]
    assert {t.instrument_token for t in ticks} == {TOKEN}
    assert [t.last_price for t in ticks] == [1480.0 + n % 7 for n in range(3_000)]
    [letter] = fetch_all(log.kafka, ["market.ticks.dlq"])
    assert (letter.value, dict(letter.headers or [])["error"]) == (b"2026-11-20 10:00:04,oops", b"unreadable_row")
    alerts = [decode(r.value or b"").data for r in fetch_all(log.kafka, [SYSTEM_ALERTS.name])]
    assert alerts[-1].code == "feed.finished"
    kinds = {decode(r.value or b"").data.kind for r in fetch_all(log.kafka, [MARKET_QUALITY.name])}
    assert kinds == {"starts_late", "ends_early"}


@pytest.mark.kafka
def test_a_simulated_minute_lies_in_the_log_as_it_was_drawn(log: Settings):
    run(log, FeedSettings(speed=None, date=FRIDAY, seed=3, market_seconds=60.0, follow=None), session=2)
    ticks = [e for e in of_session(log, 2) if hasattr(e, "last_price")]
    chunks = [chunk for chunk, _ in zip(day(Market(), FRIDAY, 3, CALENDAR), range(62), strict=False)]
    drawn = np.concatenate([chunk.ticks for chunk in chunks])
    drawn = drawn[drawn["time"] <= drawn["time"][0] + 60 * SECOND]
    assert [(t.exchange_timestamp * 1000, t.last_price, t.volume_traded) for t in ticks] == [
        (int(row["time"]), float(row["price"]), int(row["volume"])) for row in drawn[: len(ticks)]
    ]
    assert abs(len(ticks) - len(drawn)) <= 1  # the tick on the last microsecond


@pytest.mark.kafka
def test_a_feed_whose_reader_never_comes_goes_on_without_it(log: Settings):
    """No group has ever read here."""
    feed = FeedSettings(speed=None, date=FRIDAY, market_seconds=30.0, max_lag=100, batch=50, reader_wait_s=0.5)
    began = dt.datetime.now(dt.UTC)
    run(log, feed, session=3)
    assert timedelta(seconds=0.5) <= dt.datetime.now(dt.UTC) - began < timedelta(seconds=12)
    assert len(of_session(log, 3)) > 500


@pytest.mark.kafka
def test_a_feed_at_full_speed_is_never_further_ahead_of_a_slow_reader_than_allowed(log: Settings):
    """A group that reads a few hundred records at a time, and says how far it is."""
    topics = [MARKET_TICKS.name, MARKET_CLOCK.name]
    market = Market()
    events = Events([config.instrument_token for config in market.configs], session=4)
    start = end_offsets(log.kafka, topics)
    furthest: list[int] = []
    over = threading.Event()

    def read_slowly() -> None:
        consumer = Consumer(consumer_config(log.kafka, "pipeline-slow-0"))
        consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in start.items()])
        read = 0
        while not over.is_set() or read < events.ticks + events.clocks:
            messages = [m for m in consumer.consume(300, 0.01) if m.error() is None]
            read += len(messages)
            furthest.append(events.ticks + events.clocks - read)
            if messages:
                consumer.commit(offsets=consumer.position(consumer.assignment()), asynchronous=False)
        consumer.close()

    reader = threading.Thread(target=read_slowly)
    reader.start()
    chunks = day(market, FRIDAY, 1, CALENDAR)
    source = MarketSource(
        lambda: with_clock(chunks, CALENDAR, 1_200.0),
        batch=500,
        following=lambda: Following(Offsets(log.kafka, "pipeline-slow-0", topics), "pipeline-slow-0", 2_000, wait_s=60),
    )
    run_main(build(source, events, KafkaSink(log.kafka, linger_ms=5)), epoch_interval=timedelta(seconds=0.1))
    over.set()
    reader.join(60)
    assert not reader.is_alive()
    assert events.ticks > 20_000
    assert 500 < max(furthest) <= 2_000 + 500 + 500  # allowed, asked for every 500, and one batch
    assert furthest[-1] == 0


@pytest.mark.kafka
def test_the_configured_instruments_are_the_newest_of_each(log: Settings):
    assert configured_instruments(log) == INSTRUMENTS
