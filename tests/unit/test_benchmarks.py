"""The benchmarks that run in one process do what they say on a small market; how fast is not asked here."""

import pytest

from benchmarks import engine, flow, garbage, reading, startup
from benchmarks.workload import PLAIN, Figure, desk, market, tick_records
from connectors.errors import FatalError
from functions.codec import decode
from tests.market import walk
from tests.recorded import tick_events

TOKENS = [i.instrument_token for i in desk().instruments]


def values(figures):
    return {figure.name: figure.value for figure in figures}


def test_the_engine_fills_as_the_oracle_does_in_both_markets():
    figures = values(engine.measure(20_000, 1))

    assert (figures["fills_sparse_equal_to_oracle"], figures["fills_dense_equal_to_oracle"]) == (297, 3_973)
    assert figures["bytes_per_fill"] < 200


def test_a_wrong_fill_is_no_result():
    ticks = market("dense", 20_000)
    outcome = engine.backtest(ticks, "momentum")
    outcome.fills["charges"][7] += 1

    with pytest.raises(FatalError, match="fill at tick"):
        engine.check(ticks, outcome)


def test_the_plain_class_fills_as_the_built_in_does():
    ticks = market("dense", 20_000)

    assert engine.backtest(ticks, PLAIN).fills.tobytes() == engine.backtest(ticks, "momentum").fills.tobytes()


def test_the_flow_fills_as_many_orders_as_a_backtest_in_rows_and_in_json():
    figures = flow.measure(20_000, 5_000, 1)

    assert values(figures)["json_dense_events"] > 1_000


def test_of_twenty_thousand_fuzzed_records_each_is_decided_on_or_a_dead_letter_once_whole_and_with_a_reason():
    figures, ledger = garbage.measure(20_000, 1)

    assert values(figures)["decided"] + values(figures)["dead_letters"] == 20_000
    assert values(figures)["dead_letters"] > 15_000
    assert set(ledger.decided) == set(garbage.SHARES)  # by luck still valid, of every topic
    assert all(len(cause.split()) == 2 for cause in ledger.dead)


def test_the_same_seed_makes_the_same_garbage_over_all_topics_and_partitions():
    first, again = (list(garbage.records(3_000, 7)) for _ in range(2))

    assert first == again
    assert first != list(garbage.records(3_000, 8))
    assert {record.topic for record in first} == set(garbage.SHARES)
    assert {record.partition for record in first} == set(range(garbage.PARTITIONS))


def test_a_record_without_an_answer_or_with_two_is_no_result():
    place = ("market.ticks", 3, 41)
    at = {"topic": b"market.ticks", "partition": b"3", "offset": b"41"}
    headers = {**at, "step": b"gate", "error": b"e", "message": b"m"}

    with pytest.raises(FatalError, match="1 records have no answer"):
        garbage.Ledger({place: b"{"}).close()
    ledger = garbage.Ledger({place: b"{"})
    ledger.letter("market.ticks.dlq", b"{", headers)
    with pytest.raises(FatalError, match="answered twice"):
        ledger.letter("market.ticks.dlq", b"{", headers)
    with pytest.raises(FatalError, match="not whole"):
        garbage.Ledger({place: b"{}"}).letter("market.ticks.dlq", b"{", headers)
    with pytest.raises(FatalError, match="without a reason"):
        garbage.Ledger({place: b"{"}).letter("market.ticks.dlq", b"{", headers | {"message": b""})


def test_the_market_is_written_as_the_feed_writes_it():
    ticks = walk(2_500, len(TOKENS), 0.0002, 4)

    assert list(tick_records(ticks)) == tick_events(ticks, TOKENS)


def test_a_later_part_of_the_market_goes_on_counting():
    whole = market("sparse", 40)
    first = list(tick_records(whole[:30], clocks=False))
    second = list(tick_records(whole[30:], first=30, clocks=False))

    assert [decode(record.value or b"").data.sequence for record in first + second] == list(range(40))


def test_help_appears():
    assert values(startup.measure(1, compiling=False))["help_wall"] > 0


@pytest.mark.parametrize(
    ("value", "at_least", "met"), [(10.0, True, True), (10.0, False, True), (9.9, True, False), (10.1, False, False)]
)
def test_a_goal_is_met_on_its_boundary(value, at_least, met):
    assert Figure("f", value, "s", 10.0, at_least=at_least).met is met


def test_reading_measures_every_form_against_duckdb():
    figures = values(reading.measure(2_000, 1))

    assert {name.removesuffix("_of_duckdb") for name in figures if name.endswith("_of_duckdb")} == {
        "bars_10", "bars_1000", "ticks", "ticks_since_1970", "bars_parquet", "ticks_parquet",
    }  # fmt: skip
    assert figures["thousand_of_ten_instruments"] > 0
