"""What the feed writes of a tick or a second: its number, its id, its key, its bytes; and of what is wrong with the data."""

import json

import msgspec
import numpy as np
import pytest
from bytewax.testing import TestingSink, run_main

from connectors.kafka.records import Outgoing
from connectors.market import MarketSource
from connectors.recorded.judging import Unreadable
from dataflows import backtest
from dataflows.feed import Events, build
from functions.bad_ticks import FAULTS, UNREADABLE
from functions.codec import decode
from functions.events import QualityReport
from functions.ordering import Reorder
from functions.price_paths import Market
from functions.simulator import day
from functions.stretches import with_clock
from functions.ticks import CLOCK, DEPTH, TICK, pack
from functions.topics import MARKET_CLOCK, MARKET_QUALITY, MARKET_TICKS, SYSTEM_ALERTS
from tests.feed import FRIDAY, OTHER, TOKEN, fed, recording, told
from tests.tables import CALENDAR


def test_ticks_and_the_seconds_between_them_are_numbered_together_in_the_order_of_time():
    records = fed(recording(
        ("2026-11-20 10:00:00.250", TOKEN, 100.0), ("2026-11-20 10:00:02", OTHER, 50.0),
        ("2026-11-20 10:00:02", TOKEN, 100.05),
    ))  # fmt: skip
    assert told(records) == [
        (0, "20 10:00:00.000000", "clock", None),
        (1, "20 10:00:00.250000", "tick", 100.0),
        (2, "20 10:00:01.000000", "clock", None),
        (3, "20 10:00:02.000000", "clock", None),
        (4, "20 10:00:02.000000", "tick", 50.0),
        (5, "20 10:00:02.000000", "tick", 100.05),
    ]


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
    assert [(r.topic, r.key) for r in records[:2]] == [("market.clock", b"clock"), ("market.ticks", b"738561")]


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


# --- what is wrong with the data --------------------------------------------------------------------------------------


def test_reports_go_to_quality_and_unreadable_rows_whole_to_the_dead_letters():
    report = QualityReport("gap", 3, "3 gaps", TOKEN, 1_795_149_000_000_000, 1_795_149_009_000_000)
    row = Unreadable("ticks.csv", 17, "2026-11-20 10:00:00,738561,abc", "has no price that is a number")
    records = fed(recording(("2026-11-20 10:00:00", TOKEN, 1.0), reports=[report], unreadable=[row]))
    assert (records[0].topic, records[0].key) == (MARKET_QUALITY.name, b"738561")
    assert decode(records[0].value or b"").data == report
    assert (records[1].topic, records[1].value) == ("market.ticks.dlq", b"2026-11-20 10:00:00,738561,abc")
    assert dict(records[1].headers or [])["message"] == b"ticks.csv row 17: has no price that is a number"


def test_more_unreadable_rows_than_the_limit_are_an_alert_with_their_files():
    def alerts(count):
        rows = [Unreadable("ticks.csv", n, "?", "has no price that is a number") for n in range(count)]
        records = fed(recording(("2026-11-20 10:00:00", TOKEN, 1.0), unreadable=rows))
        return [decode(r.value or b"").data for r in records if r.topic == SYSTEM_ALERTS.name]

    assert [a.code for a in alerts(100)] == ["feed.finished"]
    many, _ = alerts(101)
    assert (many.severity, many.code) == ("warning", "dead_letters_growing")
    assert many.message == "101 dead letters of market.ticks: unreadable_row: ticks.csv 101"


def test_the_end_of_the_data_is_an_alert():
    last = fed(recording(("2026-11-20 10:00:00.5", TOKEN, 1.0)))[-1]
    alert = decode(last.value or b"").data
    assert (last.topic, alert.severity, alert.code) == (SYSTEM_ALERTS.name, "info", "feed.finished")
    assert alert.message == "1 ticks (0 bad) and 2 seconds fed, 0 rows unreadable; the data ends here"


def simulated_minutes(rate: float, minutes: int = 5) -> tuple[list[Outgoing], Events]:
    written: list[tuple[str, list[Outgoing]]] = []
    market = Market()
    events = Events([c.instrument_token for c in market.configs], session=7)
    chunks = day(market, FRIDAY, 1, CALENDAR, bad_tick_rate=rate)
    run_main(build(MarketSource(lambda: with_clock(chunks, CALENDAR, minutes * 60.0)), events, TestingSink(written)))
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
