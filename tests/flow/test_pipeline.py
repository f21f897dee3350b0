"""The pipeline's graph: one spec, two engines. A plain loop over the four steps and the dataflow publish the same."""

from itertools import pairwise

import pytest

from connectors.errors import FatalError
from connectors.kafka.feed import Marker, Received
from dataflows import backtest, steps
from dataflows.desk import Configuration
from dataflows.recovery import input_topics
from functions.codec import decode, encode, envelope
from functions.events import Depth, MarketTick, PaperVenue
from functions.ids import tick_id
from functions.topics import (
    MARKET_TICKS,
    SYSTEM_ALERTS,
    outputs,
)  # fmt: skip
from tests.desk import TEN, account, instrument, lax, strategy, tick
from tests.flow.script import KEY, SCRIPT, Log, dead, desk, loop, pieces_of, told, topics_of
from tests.market import walk
from tests.recorded import tick_events


def test_a_signal_becomes_an_order_on_its_tick_and_a_trade_on_the_next(run):
    batches = run(desk(), [Log().ticks(tick(100.0, 0), tick(101.0, 0.1), tick(101.5, 0.2), tick(101.5, 0.3))])

    assert topics_of(batches) == [
        "signals.raw", "signals.validated", "orders.submitted", "orders.ack", "orders.placed", "orders.filled",
    ]  # fmt: skip
    filled = told(batches)[-1][1]
    assert (filled.data.quantity, filled.data.price, filled.data.position) == (10, "101.50", 10)
    assert filled.timestamp == "2026-05-06T04:30:00.200000Z"


def test_every_event_names_its_cause_back_to_the_tick(run):
    log = Log()
    received = log.ticks(tick(101.0, 0.1), tick(101.5, 0.2))
    first = decode(received.records[0].value or b"").id

    events = [event for _, event in told(run(desk(), [received]))]

    signal, validated, submitted, *of_order = events
    assert signal.causation_id == first == tick_id(1, TEN + 100_000_000, 0)
    assert (validated.causation_id, submitted.causation_id) == (signal.id, validated.id)
    assert {event.causation_id for event in of_order} == {submitted.id}
    assert {event.correlation_id for event in events} == {first}
    assert len({event.id for event in events}) == len(events)


def test_the_account_is_told_at_the_boundary_after_it_changed(run):
    batches = run(desk(), [Log().ticks(tick(101.0, 0.1), tick(101.5, 0.2), tick(103.5, 0.9), tick(104.0, 1.1))])

    topic, snapshot = told(batches)[-1]
    assert (topic, snapshot.timestamp) == ("pnl.snapshots", "2026-05-06T04:30:01.000000Z")
    assert (snapshot.data.unrealised, snapshot.data.cash, snapshot.data.equity) == ("20.00", "998985.00", "1000020.00")


def test_where_batches_end_shows_in_no_byte(run):
    prices = [100.0, 101.0, 101.5, 102.0, 101.0, 13.0, 101.0, 102.0, 102.5, 100.0]
    ticks = [tick(price, 0.4 * n) for n, price in enumerate(prices)]
    whole, single = Log(), Log()

    at_once = run(desk(), [whole.ticks(*ticks)])
    one_by_one = run(desk(), pieces_of(single, ticks))

    assert [event for _, event in told(at_once) if event.type != "system_alert"] == [
        event for _, event in told(one_by_one) if event.type != "system_alert"
    ]
    assert [(step, error) for step, error, *_ in dead(at_once)] == [
        (step, error) for step, error, *_ in dead(one_by_one)
    ]


@pytest.mark.compiled
def test_a_backtest_of_the_same_ticks_publishes_the_same_bytes(run):
    tokens = [11, 22, 33]
    instruments = [instrument(t) for t in tokens]
    trader = account("paper-1", limits=lax(max_position=30), venue=PaperVenue(slippage_bps="1"))
    strategies = [
        strategy("fade", tokens, ["paper-1"], implementation="mean_reversion", parameters={"quantity": 3}),
        strategy("follow", tokens[:2], ["paper-1"], parameters={"quantity": 2}),
    ]
    ticks = walk(900, 3, 0.002, 4, step_ns=100_000_000)
    made = steps.parts(Configuration(instruments, [trader], strategies), "paper", KEY)
    log = Log(made.index_of)
    events = tick_events(ticks, tokens, clocks=False)
    items = []
    for piece in (events[:300], events[300:301], events[301:]):
        rows, kept, _, _ = log.decoder.ticks([log.record(e.topic, e.key, e.value) for e in piece], [])
        items.append(Received(rows, kept))

    batches = run(made, items)

    expected = []
    backtest.run(ticks, instruments, trader, strategies, on_events=expected.extend)
    assert [out for p in batches for out in p.events] == expected
    assert len({topic for topic, _, _, _ in expected}) == 8  # all of them but orders.failed


def test_a_venue_that_walks_the_book_reads_the_five_levels_from_the_record(run):
    walking = PaperVenue(walk_depth=True, charges=False)
    log = Log()
    levels = Depth(buy=[(101.0, 5)], sell=[(101.05, 4), (101.1, 3), (101.15, 9)])

    def with_levels(price, at, sequence):
        time = TEN + round(at * 1e9)
        data = MarketTick(1, price, time // 1000, 0, 0, 101.0, 101.05, 5, 4, 1, sequence, levels)
        event = envelope(data, id=tick_id(1, time, 0), time_ns=time, source="feed", broker="shared")
        return log.record(MARKET_TICKS.name, b"1", encode(event))

    records = [with_levels(101.0, 0.1, 0), with_levels(101.05, 0.2, 1)]
    rows, kept, _, _ = log.decoder.ticks(records, [])

    batches = run(desk(venue=walking), [Received(rows, kept)])

    fills = [e.data for topic, e in told(batches) if topic == "orders.filled"]
    assert [(f.quantity, f.price, f.remaining) for f in fills] == [
        (4, "101.05", 6), (3, "101.10", 3), (3, "101.15", 0),
    ]  # fmt: skip


def test_a_tick_on_which_a_strategy_raises_is_dead_lettered_and_told(run):
    received = Log().ticks(tick(101.0, 0.1), tick(13.0, 0.2), tick(102.0, 0.3))
    bad = received.records[1]

    batches = run(desk(), [received])

    assert dead(batches) == [("strategy:s", "LookupError", "thirteen is not in the script", bad.value)]
    alert = next(event for topic, event in told(batches) if topic == SYSTEM_ALERTS.name)
    assert (alert.data.severity, alert.data.code, alert.data.subject) == ("warning", "strategy_failed", "s")
    assert alert.data.message == (
        "s raised LookupError: thirteen is not in the script on market.ticks[0] at offset 1; "
        "further ticks that it loses are among the dead letters"
    )
    assert topics_of(batches).count("signals.raw") == 2  # before it and after it


def test_a_strategy_is_told_of_once_and_once_more_when_its_tenth_lost_tick_suspends_it(run):
    bad = [tick(13.0, 0.1 * n, bid=12.0 + 0.05 * n) for n in range(12)]

    batches = run(desk(), [Log().ticks(*bad), Log().ticks(tick(101.0, 9))])

    alerts = [e.data for topic, e in told(batches) if topic == SYSTEM_ALERTS.name]
    assert [(a.severity, a.code) for a in alerts] == [
        ("warning", "strategy_failed"), ("critical", "strategy_suspended"),
    ]  # fmt: skip
    assert alerts[1].message == (
        "s raised LookupError: thirteen is not in the script on market.ticks[0] at offset 9; "
        "it has lost 10 ticks and gets no more"
    )
    assert len(dead(batches)) == 10
    assert "signals.raw" not in topics_of(batches)


def market(count=700):
    tokens = [1, 2]
    ticks = walk(count, 2, 0.002, 9, step_ns=50_000_000)
    return tokens, tick_events(ticks, tokens, clocks=False)


def two_strategies():
    tokens = [1, 2]
    return desk(
        venue=PaperVenue(latency_ms=30), instruments=[instrument(t) for t in tokens],
        strategies=[
            strategy("fade", tokens, implementation="mean_reversion", parameters={"quantity": 3}),
            strategy("follow", tokens[:1], parameters={"quantity": 2}),
            strategy("script", tokens[1:], implementation=SCRIPT),
        ],
    )  # fmt: skip


def batches_of(events, cuts, mark_at=None):
    """The recording as batches; a marker rides at the end of batch `mark_at`."""
    log = Log({1: 0, 2: 1})
    items = []
    for n, (first, last) in enumerate(pairwise([0, *cuts, len(events)])):
        rows, kept, _, _ = log.decoder.ticks([log.record(e.topic, e.key, e.value) for e in events[first:last]], [])
        marker = Marker({(MARKET_TICKS.name, 0): last}, 1, last) if n == mark_at else None
        items.append(Received(rows, kept, marker=marker))
    return items


@pytest.mark.compiled
@pytest.mark.parametrize("cut", [1, 199, 400])
def test_the_state_gathered_at_a_marker_continues_in_another_process_to_the_byte(run, cut):
    _, events = market()
    whole = run(two_strategies(), batches_of(events, [cut], mark_at=0))
    cut_at = whole[0].cut

    again = steps.restored(cut_at.state, "paper", KEY)
    rest = run(again, batches_of(events, [cut])[1:])

    assert rest[0].events == whole[1].events
    assert len(rest[0].events) > 50
    assert cut_at.marker == Marker({(MARKET_TICKS.name, 0): cut}, 1, cut)


def test_a_cut_is_the_last_word_of_its_batch(run):
    _, events = market(40)

    batches = run(two_strategies(), batches_of(events, [20], mark_at=0))

    assert set(batches[0].cut.state) == {"gate", "desk", "account", "signals", "publish"}
    assert batches[1].cut is None


@pytest.mark.compiled
def test_a_marker_alone_snapshots_what_was_decided_before_it(run):
    _, events = market(400)
    items = batches_of(events, [], mark_at=None)
    alone = [*items, Received(marker=Marker({(MARKET_TICKS.name, 0): 400}, 1, 400))]

    apart = run(two_strategies(), alone)
    along = run(two_strategies(), batches_of(events, [], mark_at=0))

    a, b = (steps.restored(batches[-1].cut.state, "paper", KEY) for batches in (apart, along))
    assert a.account.shard.snapshot().keys() == b.account.shard.snapshot().keys()
    for name, array in a.account.shard.snapshot().items():
        assert array.tobytes() == b.account.shard.snapshot()[name].tobytes(), name


def test_a_state_that_is_not_of_these_steps_is_refused_as_unsafe():
    [published] = loop(two_strategies(), [Received(marker=Marker({}, -1, 0))])

    for part in ("gate", "desk", "account", "publish"):
        with pytest.raises(FatalError, match="cannot be restored") as refused:
            steps.restored(published.cut.state | {part: b"\xc1 no state"}, "paper", KEY)

        assert refused.value.exit_code == 4


def test_a_pipeline_reads_the_market_its_brokers_commands_and_the_configuration():
    assert input_topics("zerodha") == [
        "market.ticks", "market.clock", "zerodha.commands", "config.instruments", "config.accounts", "config.strategies",
    ]  # fmt: skip


@pytest.mark.compiled
def test_a_pipeline_writes_its_own_brokers_topics_only(run):
    _, events = market(400)

    written = {out[0] for published in run(two_strategies(), batches_of(events, [])) for out in published.events}

    assert written <= {topic.name for topic in outputs("paper")}
    assert {"paper.signals.raw", "paper.orders.submitted", "paper.orders.filled", "paper.pnl.snapshots"} <= written


def test_a_ticks_id_is_read_from_the_event_where_another_writer_put_it_elsewhere(run):
    log = Log()
    received = log.ticks(tick(101.0, 0.1), tick(101.5, 0.2))
    first = received.records[0]
    raw = first.value or b""
    id = decode(raw).id
    moved = b"{" + raw.removeprefix(f'{{"id":"{id}",'.encode())[:-1] + f',"id":"{id}"}}'.encode()
    received.records[0] = first._replace(value=moved)

    signal = told(run(desk(), [received]))[0][1]

    assert signal.causation_id == id
