"""The feed: what it writes, in which order and when; then the whole of it on the embedded broker."""

import datetime as dt
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from bytewax.testing import TestingSink, TestingSource, run_main
from confluent_kafka import Consumer, TopicPartition

from connectors.errors import ConfigError, DataError, DependencyError
from connectors.kafka.client import consumer_config
from connectors.kafka.embedded import start_embedded
from connectors.kafka.following import Following
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import KafkaSink, Writer
from connectors.kafka.source import Offsets, end_offsets, fetch_all
from connectors.market import Ended, MarketSource, Notices
from connectors.recorded.columns import Unreadable
from connectors.recorded.reading import Recording, read
from connectors.settings import KafkaSettings, Settings
from dataflows import backtest
from dataflows.feed import Events, FeedSettings, build, configured_instruments, live, simulated
from functions.calendar import INDIA, SECOND
from functions.events import InstrumentConfig, QualityReport, decode
from functions.ordering import Reorder
from functions.simulator import FAULTS, UNREADABLE, Market, day
from functions.stretches import replayed, with_clock
from functions.ticks import CLOCK, DEPTH, NO_DEPTH, TICK, pack
from functions.topics import MARKET_CLOCK, MARKET_QUALITY, MARKET_TICKS, SYSTEM_ALERTS
from tests.recorded import config_events

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
    source = MarketSource(lambda: with_clock(replayed(data.ticks, data.depth, rows=rows)), notices=notices, **options)
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


# --- order, numbers, ids ------------------------------------------------------------------------------------------------


def test_ticks_and_the_seconds_between_them_are_numbered_together_in_the_order_of_time():
    records = fed(recording(
        ("2026-11-20 10:00:00.250", TOKEN, 100.0), ("2026-11-20 10:00:02", OTHER, 50.0),
        ("2026-11-20 10:00:02", TOKEN, 100.05),
    ))  # fmt: skip
    assert told(records) == [
        (0, "20 10:00:00.250000", "tick", 100.0),
        (1, "20 10:00:01.000000", "clock", None),
        (2, "20 10:00:02.000000", "clock", None),
        (3, "20 10:00:02.000000", "tick", 50.0),
        (4, "20 10:00:02.000000", "tick", 100.05),
    ]


def test_the_market_reaches_the_second_after_the_last_tick():
    records = fed(recording(("2026-11-20 10:00:00.250", TOKEN, 100.0)))
    assert told(records)[-1] == (1, "20 10:00:01.000000", "clock", None)


def test_over_a_night_the_clock_runs_to_the_close_and_goes_on_with_the_next_tick():
    records = fed(recording(("2026-11-20 15:39:57.5", TOKEN, 1.0), ("2026-11-23 09:15:00.5", TOKEN, 1.05)))
    assert [(time, name) for _, time, name, _ in told(records)] == [
        ("20 15:39:57.500000", "tick"),
        ("20 15:39:58.000000", "clock"),
        ("20 15:39:59.000000", "clock"),
        ("20 15:40:00.000000", "clock"),
        ("23 09:15:00.000000", "clock"),
        ("23 09:15:00.500000", "tick"),
        ("23 09:15:01.000000", "clock"),
    ]


def test_every_second_of_a_silent_hour_is_told_once():
    records = fed(recording(("2026-11-20 10:00:00", TOKEN, 1.0), ("2026-11-20 11:00:00", TOKEN, 1.05)))
    assert Counter(record.topic for record in records)[MARKET_CLOCK.name] == 3_601


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 4])
def test_how_the_rows_are_cut_changes_nothing(rows, batch):
    times = ["10:00:00.1", "10:00:00.1", "10:00:01", "10:00:01", "10:00:03.9", "10:00:03.9"]
    data = recording(*((f"2026-11-20 {time}", TOKEN, 100.0 + n) for n, time in enumerate(times)))
    assert fed(data, rows=rows, batch=batch) == fed(data)


def test_an_id_says_which_of_the_ticks_at_one_instant_it_is_as_a_backtest_counts_them():
    data = recording(*(("2026-11-20 10:00:00", token, 1.0) for token in (TOKEN, OTHER, TOKEN, TOKEN)))
    ids = [decode(r.value or b"").id for r in fed(data, rows=1) if r.topic == MARKET_TICKS.name]
    names = backtest._tick_names(data.ticks, [TOKEN, OTHER])
    assert ids == [names(n) for n in range(4)]
    assert len(set(ids)) == 4


def test_the_key_of_a_tick_is_its_token_and_that_of_the_clock_is_clock():
    records = fed(recording(("2026-11-20 10:00:00.5", TOKEN, 1.0)))
    assert [(r.topic, r.key) for r in records[:2]] == [("market.ticks", b"738561"), ("market.clock", b"clock")]


def test_a_tick_says_everything_that_was_recorded():
    data = recording(("2026-11-20 10:00:00", TOKEN, 100.05))
    row = data.ticks[0]
    row["bid"], row["ask"], row["bid_quantity"], row["ask_quantity"] = 100.0, 100.1, 30, 40
    row["volume"], row["open_interest"] = 5_000_000_000, 17
    event = json.loads(fed(data)[1].value or b"")
    assert event == {
        "id": event["id"], "type": "market_tick", "timestamp": "2026-11-20T04:30:00.000000Z", "correlation_id": event["id"],
        "causation_id": None, "source": "feed", "version": 1, "broker": "shared",
        "data": {
            "instrument_token": 738561, "last_price": 100.05, "exchange_timestamp": 1795149000000000,
            "volume_traded": 5_000_000_000, "oi": 17, "bid": 100.0, "ask": 100.1, "bid_quantity": 30,
            "ask_quantity": 40, "session": 7, "sequence": 1, "depth": None,
        },
    }  # fmt: skip


def test_depth_is_told_level_by_level_and_an_empty_side_is_empty():
    depth = np.zeros(3, DEPTH)
    for row in depth[:2]:
        row["bid"], row["bid_quantity"] = [100_000_000 - n * 50_000 for n in range(5)], [1, 2, 3, 4, 5]
    depth[0]["ask"], depth[0]["ask_quantity"] = [100_050_000 + n * 50_000 for n in range(5)], [6, 7, 8, 9, 10]
    data = recording(*((f"2026-11-20 10:00:00.{n}", TOKEN, 100.0) for n in range(3)), depth=depth)
    depths = [json.loads(r.value or b"")["data"]["depth"] for r in fed(data) if r.topic == MARKET_TICKS.name]
    bids = [[100.0, 1], [99.95, 2], [99.9, 3], [99.85, 4], [99.8, 5]]
    assert depths == [
        {"buy": bids, "sell": [[100.05, 6], [100.1, 7], [100.15, 8], [100.2, 9], [100.25, 10]]},
        {"buy": bids, "sell": []},
        None,
    ]


# --- what is wrong with the data ----------------------------------------------------------------------------------------


def test_reports_go_to_quality_and_unreadable_rows_whole_to_the_dead_letters():
    report = QualityReport("gap", 3, "3 gaps", TOKEN, 1_795_149_000_000_000, 1_795_149_009_000_000)
    row = Unreadable("ticks.csv", 17, "2026-11-20 10:00:00,738561,abc", "has no price that is a number")
    records = fed(recording(("2026-11-20 10:00:00", TOKEN, 1.0), reports=[report], unreadable=[row]))
    assert (records[0].topic, records[0].key) == (MARKET_QUALITY.name, b"738561")
    assert decode(records[0].value or b"").data == report
    assert (records[1].topic, records[1].value) == ("market.ticks.dlq", b"2026-11-20 10:00:00,738561,abc")
    assert dict(records[1].headers or [])["message"] == b"ticks.csv row 17: has no price that is a number"


def test_the_end_of_the_data_is_an_alert():
    last = fed(recording(("2026-11-20 10:00:00.5", TOKEN, 1.0)))[-1]
    alert = decode(last.value or b"").data
    assert (last.topic, alert.severity, alert.code) == (SYSTEM_ALERTS.name, "info", "feed.finished")
    assert alert.message == "1 ticks (0 bad) and 1 seconds fed, 0 rows unreadable; the data ends here"


def simulated_minutes(rate: float, minutes: int = 5) -> tuple[list[Outgoing], Events]:
    written: list[tuple[str, list[Outgoing]]] = []
    market = Market()
    events = Events([c.instrument_token for c in market.configs], session=7)
    chunks = day(market, FRIDAY, 1, bad_tick_rate=rate)
    run_main(build(MarketSource(lambda: with_clock(chunks, minutes * 60.0)), events, TestingSink(written)))
    return [record for _, records in written for record in records], events


def test_bad_ticks_arrive_bad_and_leave_no_hole_in_the_numbers():
    records, events = simulated_minutes(rate=0.05)
    assert set(events.faults) == set(FAULTS.values())
    numbers, undecodable = [], 0
    for record in records:
        if record.topic not in (MARKET_TICKS.name, MARKET_CLOCK.name):
            continue
        try:
            numbers.append(decode(record.value or b"").data.sequence)
        except msgspec.DecodeError:
            undecodable += 1
    assert numbers == list(range(len(numbers)))
    assert undecodable == sum(events.faults[FAULTS[fault]] for fault in UNREADABLE)


def test_a_reader_of_twelve_partitions_gets_back_the_order_in_which_it_was_fed():
    """Ticks by partition and clocks apart, in any interleaving: `Reorder` restores the feed's order."""
    records, _ = simulated_minutes(rate=0.0, minutes=2)
    index = {c.instrument_token: n for n, c in enumerate(Market().configs)}
    by_key: dict[bytes, list[Outgoing]] = {}
    for record in records:
        if record.topic in (MARKET_TICKS.name, MARKET_CLOCK.name):
            by_key.setdefault(record.key or b"", []).append(record)
    reorder, times, count = Reorder(), [], 0
    for key, mine in by_key.items():
        if key == b"clock":
            clocks = [decode(r.value or b"").data for r in mine]
            rows = np.zeros(len(mine), TICK)
            rows["time"], rows["instrument"] = [c.exchange_timestamp * 1000 for c in clocks], CLOCK
            ordered = reorder.push(rows, mine, [c.session for c in clocks], [c.sequence for c in clocks])
        else:
            rows, sessions, sequences = pack([r.value or b"" for r in mine], index.get, len(mine))  # type: ignore[bad-argument-type]  # dict.get is the reader's own choice
            ordered = reorder.push(rows, mine, sessions, sequences)
        times += ordered.rows["time"].tolist()
        count += len(mine)
    assert reorder.held == 0
    assert len(times) == count
    assert times == sorted(times)


# --- pace -----------------------------------------------------------------------------------------------------------------


class Wall:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


def partition(data: Recording, wall: Wall, **options: Any):
    source = MarketSource(lambda: with_clock(replayed(data.ticks, data.depth)), now=wall, **options)
    opened = source.build_part("market", "market", None)
    opened.next_batch()  # notices
    return opened


def due(opened) -> list[str]:
    """What the feed hands out now, as times of the minute."""
    times = []
    while batch := opened.next_batch():
        for _, item in batch:
            if isinstance(item, Ended):
                return [*times, item.reason]
            times += [f"{time % (60 * SECOND) / SECOND:g}" for time in item.times.tolist()]
    return times


TEN = [(f"2026-11-20 10:00:{n:02d}.5", TOKEN, 1.0) for n in range(3)]


def test_at_real_time_a_tick_comes_when_its_time_has_come():
    wall = Wall()
    opened = partition(recording(*TEN), wall, speed=1.0)
    assert due(opened) == ["0.5"]
    wall.time += 0.49
    assert due(opened) == []
    wall.time += 0.02
    assert due(opened) == ["1"]
    wall.time += 10
    assert due(opened) == ["1.5", "2", "2.5", "3", "the data ends here"]


def test_ten_times_as_fast_takes_a_tenth_of_the_time():
    wall = Wall()
    opened = partition(recording(*TEN), wall, speed=10.0)
    due(opened)
    wall.time += 0.101
    assert due(opened) == ["1", "1.5"]


def test_a_night_takes_no_time_at_all():
    wall = Wall()
    opened = partition(
        recording(("2026-11-20 15:39:59.5", TOKEN, 1.0), ("2026-11-23 09:15:00.5", TOKEN, 1.0)), wall, speed=1.0
    )
    assert due(opened) == ["59.5"]
    wall.time += 0.6
    assert due(opened) == ["0", "0"]  # the close on Friday, the open on Monday
    wall.time += 0.6
    assert due(opened) == ["0.5"]


def test_the_feed_naps_no_longer_than_a_twentieth_of_a_second_so_that_it_can_be_stopped():
    opened = partition(recording(*TEN), Wall(), speed=0.001)
    due(opened)
    assert opened.next_awake() - dt.datetime.now(dt.UTC) <= timedelta(seconds=0.05)


def test_the_feed_ends_when_its_seconds_are_over():
    wall = Wall()
    opened = partition(recording(*TEN), wall, speed=1.0, seconds=1.2)
    assert due(opened) == ["0.5"]
    wall.time += 1.3
    assert due(opened) == ["its time was up"]


def test_market_seconds_are_counted_from_the_first_tick():
    data = recording(*TEN)
    stretches = list(with_clock(replayed(data.ticks, data.depth), 1.0))
    assert [time % (60 * SECOND) / SECOND for s in stretches for time in s.times.tolist()] == [0.5, 1.0, 1.5]


def test_a_stop_ends_the_feed_at_once():
    data = recording(*TEN)
    source = MarketSource(lambda: with_clock(replayed(data.ticks, data.depth)), stop=lambda: True)
    opened = source.build_part("market", "market", None)
    with pytest.raises(StopIteration):
        opened.next_batch()


# --- holding back ---------------------------------------------------------------------------------------------------------


class Log:
    """Stands for the broker's offsets: what a group has read of one partition."""

    def __init__(self, end: int = 0) -> None:
        self.end = end
        self.read: int | None = None
        self.down = False

    def ends(self):
        return {("market.ticks", 0): self.end}

    def committed(self):
        if self.down:
            raise DependencyError("no answer")
        return {} if self.read is None else {("market.ticks", 0): self.read}

    def close(self) -> None: ...


def follower(log: Log, wall: Wall) -> Following:
    return Following(log, "pipeline-paper-0", 100, now=wall)  # type: ignore[bad-argument-type]  # only three methods are used


def test_the_feed_waits_while_its_reader_is_further_behind_than_allowed():
    log, wall = Log(end=1_000), Wall()
    following = follower(log, wall)
    log.read = 1_000
    assert [following.holds(n) for n in (0, 50, 100, 101)] == [False, False, False, False]  # 101: asked at 100 just now
    assert following.holds(130)
    log.read = 1_029
    assert following.holds(130)
    log.read = 1_030
    assert not following.holds(130)


def test_a_backlog_from_before_the_feed_counts():
    log, wall = Log(end=1_000), Wall()
    following = follower(log, wall)
    log.read = 920
    assert following.holds(30)
    log.read = 930
    assert not following.holds(30)


def test_a_reader_that_never_shows_itself_is_waited_for_five_seconds():
    log, wall = Log(), Wall()
    following = follower(log, wall)
    assert following.holds(200)
    wall.time += 4.9
    assert following.holds(200)
    wall.time += 0.2
    assert not following.holds(200)
    assert not following.holds(1_000_000)


def test_a_reader_that_is_there_is_waited_for_as_long_as_it_takes():
    log, wall = Log(), Wall()
    following = follower(log, wall)
    log.read = 10
    assert following.holds(200)
    wall.time += 3_600
    assert following.holds(200)


def test_a_broker_that_does_not_answer_holds_the_feed():
    log, wall = Log(), Wall()
    following = follower(log, wall)
    log.down = True
    assert following.holds(200)
    log.down, log.read = False, 150
    assert not following.holds(200)


# --- settings, loops --------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("date", [dt.date(2026, 11, 24), dt.date(2027, 1, 4), dt.date(2026, 11, 21)])
def test_a_day_without_a_session_cannot_be_simulated(date):
    with pytest.raises(ConfigError, match=f"cannot simulate {date}"):
        next(simulated(FeedSettings(date=date), FRIDAY))


def test_without_a_date_the_last_trading_day_is_simulated():
    chunk = next(simulated(FeedSettings(), dt.date(2026, 11, 22)))  # a Sunday
    assert chunk.until == at("2026-11-20 09:15:01")
    with pytest.raises(ConfigError, match="does not cover 2031-01-01"):
        next(simulated(FeedSettings(), dt.date(2031, 1, 1)))


def test_a_loop_of_the_simulator_goes_on_with_the_next_trading_day():
    hour = FeedSettings(date=dt.date(2025, 10, 21), loop=True)  # Muhurat: an hour, then a holiday
    chunks = simulated(hour, FRIDAY)
    starts = [chunk.until for chunk, _ in zip(chunks, range(3_601), strict=False)]
    assert (starts[0], starts[-1]) == (at("2025-10-21 13:45:01"), at("2025-10-23 09:15:01"))


def test_a_loop_of_a_recording_moves_on_by_whole_weeks():
    data = recording(("2026-11-19 10:00:00", TOKEN, 1.0), ("2026-11-20 10:00:00", TOKEN, 2.0))
    chunks: Iterator = replayed(data.ticks, data.depth, loop=True)
    times = [int(c.ticks["time"][0]) for c, _ in zip((c for c in chunks if len(c.ticks)), range(4), strict=False)]
    assert times == [at(f"2026-11-{d} 10:00:00") for d in ("19", "20", "26", "27")]


def test_the_flow_is_the_graph_of_its_module():
    written: list[Any] = []
    flow = build(TestingSource([("feed", Ended("nothing to do"))]), Events([], 1), TestingSink(written))
    run_main(flow)
    assert [record.topic for _, records in written for record in records] == [SYSTEM_ALERTS.name]


# --- on the embedded broker -----------------------------------------------------------------------------------------------

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
    chunks = [chunk for chunk, _ in zip(day(Market(), FRIDAY, 3), range(62), strict=False)]
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
    chunks = day(market, FRIDAY, 1)
    source = MarketSource(
        lambda: with_clock(chunks, 1_200.0),
        batch=500,
        following=lambda: Following(Offsets(log.kafka, "pipeline-slow-0", topics), "pipeline-slow-0", 2_000),
    )
    run_main(build(source, events, KafkaSink(log.kafka, linger_ms=5)), epoch_interval=timedelta(seconds=0.1))
    over.set()
    reader.join(20)
    assert not reader.is_alive()
    assert events.ticks > 20_000
    assert 500 < max(furthest) <= 2_000 + 500 + 500  # allowed, asked for every 500, and one batch
    assert furthest[-1] == 0


@pytest.mark.kafka
def test_the_configured_instruments_are_the_newest_of_each(log: Settings):
    assert configured_instruments(log) == INSTRUMENTS


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"no file nowhere\.csv"):
        read([Path("nowhere.csv")])


def test_a_market_may_be_replaced_whole():
    quiet = replace(Market(), circuit_s=0, halt_s=0)
    assert FeedSettings(market=quiet).market.configs == Market().configs
