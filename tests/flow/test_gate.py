"""The gate: what is no tick is dropped and told, and too much of it trips, at the same tick wherever batches end."""

import numpy as np
import pytest

from connectors.kafka.feed import Broken
from functions.poison import Limit
from functions.topics import (
    MARKET_TICKS,
)  # fmt: skip
from tests.desk import instrument, tick
from tests.flow.script import KEY, Log, dead, desk, loop, pieces_of, told, topics_of


def test_a_record_nobody_can_read_leaves_whole_with_the_reason(run):
    log = Log()
    junk = log.record(MARKET_TICKS.name, b"1", b"\xff{")
    received = log.ticks(tick(100.0))
    received.broken.append(Broken(junk, "DecodeError", "JSON is malformed"))

    assert dead(run(desk(), [received])) == [("gate", "DecodeError", "JSON is malformed", b"\xff{")]


def test_the_gate_drops_a_tick_that_is_no_price_and_names_every_reason(run):
    log = Log()
    received = log.ticks(tick(100.0, 1), tick(-5.0, 0.5), tick(100.0, 1), tick(101.0, 2))
    bad, twin = received.records[1], received.records[2]

    batches = run(desk(), [received])

    assert dead(batches) == [
        ("gate", "bad_price", "bad_price, time_backwards", bad.value), ("gate", "duplicate", "duplicate", twin.value),
    ]  # fmt: skip
    assert "signals.raw" in topics_of(batches)  # the tick after them is decided on


def test_the_gate_counts_what_it_drops_by_reason():
    made = desk()

    loop(made, [Log().ticks(tick(100.0, 1), tick(-5.0, 2), tick(0.0, 3), tick(100.0, 0.5))])

    assert made.gate.dropped == {"bad_price": 2, "time_backwards": 1}


def test_a_tick_of_2099_is_a_dead_letter_and_those_behind_it_are_traded(run):
    log = Log()
    in_2099 = 73 * 365.25 * 86_400
    received = log.ticks(tick(100.0, 1), tick(100.0, in_2099), tick(101.0, 2), tick(101.0, 3))

    batches = run(desk(), [received])

    assert dead(batches) == [("gate", "from_the_future", "from_the_future", received.records[1].value)]
    [(_, fill)] = [(topic, event) for topic, event in told(batches) if topic == "orders.filled"]
    assert (fill.data.side, fill.data.quantity, fill.data.price) == ("BUY", 10, "101.00")


def test_a_gates_memory_of_fewer_instruments_is_refused():
    with pytest.raises(ValueError, match="gate: 64 bytes in the snapshot, 128 here"):
        desk().gate.load(bytes(64))


def test_the_gate_leaves_rows_it_was_lent_as_they_are():
    received = Log().ticks(tick(-1.0))
    frozen = received.ticks.copy()
    frozen.flags.writeable = False
    received.ticks = frozen

    desk().gate(received)

    assert not np.any(frozen["quality"])


def watched(most, among, a_minute=0):
    """A desk whose gate has this limit."""
    made = desk()
    made.begin(Limit(most, among, a_minute))
    return made


def poisoned(batches):
    return [n for n, published in enumerate(batches) if published.poisoned]


def test_the_gate_trips_at_the_same_tick_wherever_batches_end(run):
    prices = [100.0, -1.0, 100.5, -1.0, -2.0, 101.0, -3.0, 101.5]
    ticks = [tick(price, n) for n, price in enumerate(prices)]
    whole, single = Log(), Log()

    [at_once] = run(watched(2, 4), [whole.ticks(*ticks)])
    one_by_one = run(watched(2, 4), pieces_of(single, ticks))

    assert poisoned(one_by_one) == [4]
    assert one_by_one[4].poisoned == at_once.poisoned
    assert at_once.poisoned == (
        "3 of the last 4 records of market.ticks are of no use, up to market.ticks:0:4: bad_price 3; the limit is 2 of 4"
    )
    [alert] = [e for _, e in told([at_once]) if e.type == "system_alert"]
    assert [e for _, e in told(one_by_one) if e.type == "system_alert"] == [alert]
    assert (alert.data.severity, alert.data.code, alert.data.subject) == ("critical", "dead_letters_tripped", KEY)
    assert alert.timestamp == "2026-05-06T04:30:02.000000Z"  # of the last tick of use before it


def test_a_gate_restored_in_the_middle_trips_at_the_same_tick():
    ticks = [tick(price, n) for n, price in enumerate([100.0, -1.0, -1.0, -1.0])]
    for cut in range(4):
        made, again = watched(2, 4), desk()
        pieces = pieces_of(Log(), ticks)
        before = loop(made, pieces[:cut])
        again.gate.load(made.gate.to_bytes())
        after = loop(again, pieces[cut:])
        assert poisoned(before + after) == [3]
        assert again.gate.to_bytes() != made.gate.to_bytes()


def test_a_gate_of_before_there_were_limits_has_none_until_a_session_begins():
    made, old = watched(2, 4), desk()
    old.gate.load(made.gate.to_bytes()[: old.gate.seen.nbytes])
    ticks = pieces_of(Log(), [tick(-1.0, n) for n in range(9)])

    assert poisoned(loop(old, ticks)) == []
    assert old.gate.to_bytes() == _loaded(old).gate.to_bytes()
    old.begin(Limit(2, 4, 0))
    assert poisoned(loop(old, ticks)) == [2]


def _loaded(made):
    again = desk()
    again.gate.load(made.gate.to_bytes())
    return again


def test_what_is_not_its_state_is_refused_by_the_gate():
    made = desk()

    with pytest.raises(ValueError, match="gate: 129 bytes in the snapshot, 128 here"):
        made.gate.load(bytes(128) + b"\xc1")


def test_configured_instruments_leave_what_was_counted_as_it_is():
    made = watched(2, 4)
    loop(made, pieces_of(Log(), [tick(-1.0, n) for n in range(2)]))

    more = made.with_instruments([instrument(1), instrument(2)])

    assert more.gate.watch.to_bytes() == made.gate.watch.to_bytes()


def test_configured_instruments_leave_the_clock_where_it_has_struck():
    made = watched(2, 4)
    made.gate.seen["time"][-1] = 7

    more = made.with_instruments([instrument(1), instrument(2)])

    assert more.gate.seen["time"].tolist() == [0, 0, 7]
