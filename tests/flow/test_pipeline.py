"""The pipeline's graph: one spec, two engines. A plain loop over the four steps and the dataflow publish the same."""

from itertools import pairwise

import numpy as np
import pytest
from bytewax.testing import TestingSink, TestingSource, run_main

from connectors.errors import ConfigError, FatalError
from connectors.kafka.decisions import Published
from connectors.kafka.feed import Broken, Decoder, Marker, Received
from connectors.kafka.records import Outgoing, Record
from dataflows import backtest, pipeline, steps
from dataflows.desk import Configuration, configuration
from dataflows.recovery import input_topics
from functions.codec import decode, encode, envelope
from functions.events import Command, Depth, MarketTick, PaperVenue
from functions.ids import tick_id
from functions.poison import Limit
from functions.topics import (
    COMMANDS,
    CONFIG_ACCOUNTS,
    CONFIG_STRATEGIES,
    MARKET_TICKS,
    SYSTEM_ALERTS,
    outputs,
)  # fmt: skip
from tests.desk import TEN, Tick, account, instrument, lax, strategy, tick, tick_rows
from tests.market import walk
from tests.recorded import tick_events

KEY = "paper-0"


class Script:
    """Buys ten at 101, sells ten at 102, has no answer to 13."""

    fields = ("price",)

    def on_tick(self, tick):
        if tick.price == 13.0:
            raise LookupError("thirteen is not in the script")
        return {101.0: 10, 102.0: -10}.get(tick.price)


SCRIPT = f"{__name__}:Script"


def loop(made, items):
    """The four steps by hand."""
    return [made.publish(made.account(made.signals(made.gate(item))))[1] for item in items]


def dataflow(made, items):
    """The graph that runs live, its ends on lists."""
    out: list[tuple[str, Published]] = []
    source = TestingSource([(KEY, item) for item in items], batch_size=3)  # a step runs ahead of the next one
    run_main(pipeline.build(source, TestingSink(out), made.gate, made.signals, made.account, made.publish))
    return [published for _, published in out]


@pytest.fixture(params=[loop, dataflow], ids=["loop", "dataflow"])
def run(request):
    """Either engine; answers with the batches that it published."""
    return request.param


def desk(*, venue=None, limits=None, names=("a",), strategies=None, instruments=None):
    """The parts of a shard: last-price fills without charges, one instrument, the script above."""
    free = PaperVenue(price="last", charges=False)
    accounts = [account(name, venue=venue or free, limits=limits or lax()) for name in names]
    configured = Configuration(
        instruments or [instrument(1)], accounts, strategies or [strategy("s", (1,), names, implementation=SCRIPT)]
    )
    return steps.parts(configured, "paper", KEY)


class Log:
    """Gives records their offsets and hands them out as the source does."""

    def __init__(self, index_of=None):
        self.tokens = list(index_of or {1: 0})
        self.decoder = Decoder({1: 0} if index_of is None else index_of)
        self.ends = {}

    def record(self, topic, key, value, partition=0):
        offset = self.ends.get(topic, 0)
        self.ends[topic] = offset + 1
        return Record(topic, partition, offset, key, value)

    def ticks(self, *ticks: Tick):
        events = tick_events(tick_rows(ticks), self.tokens, clocks=False)
        broken: list[Broken] = []
        records = [self.record(e.topic, e.key, e.value) for e in events]
        rows, kept, _, _ = self.decoder.ticks(records, broken)
        return Received(rows, kept, broken)

    def command(self, command, who="a", *ticks: Tick):
        event = envelope(
            Command(command, who, "desk", "drill"), id=f"c-{command}", time_ns=TEN, source="cli", broker="paper"
        )
        received = self.ticks(*ticks) if ticks else Received()
        received.events.append((self.record(COMMANDS.of("paper").name, who.encode(), encode(event)), event))
        return received


def told(batches):
    """(topic without its broker, the event) of everything decided, dead letters apart."""
    return [
        (topic.removeprefix("paper."), decode(value))
        for published in batches
        for topic, _, value, _ in published.events
        if not topic.endswith(".dlq")
    ]


def topics_of(batches):
    return [topic for topic, _ in told(batches)]


def dead(batches):
    """(step, error, message, bytes) of every dead letter."""
    letters = [Outgoing(*out) for published in batches for out in published.events if out[0].endswith(".dlq")]
    return [(*(dict(x.headers)[f].decode() for f in ("step", "error", "message")), x.value) for x in letters]


# --- what is published ------------------------------------------------------------------------------------------------


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
    one_by_one = run(desk(), _pieces(single, ticks))

    assert [event for _, event in told(at_once) if event.type != "system_alert"] == [
        event for _, event in told(one_by_one) if event.type != "system_alert"
    ]
    assert [(step, error) for step, error, *_ in dead(at_once)] == [
        (step, error) for step, error, *_ in dead(one_by_one)
    ]


def _pieces(log, ticks):
    """One batch a tick, the ticks numbered as in one recording."""
    whole = log.ticks(*ticks)
    return [Received(whole.ticks[n : n + 1], whole.records[n : n + 1]) for n in range(len(ticks))]


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


# --- what is refused --------------------------------------------------------------------------------------------------


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


def test_a_tick_on_which_a_strategy_raises_is_dead_lettered_and_told(run):
    received = Log().ticks(tick(101.0, 0.1), tick(13.0, 0.2), tick(102.0, 0.3))
    bad = received.records[1]

    batches = run(desk(), [received])

    assert dead(batches) == [("strategy:s", "LookupError", "thirteen is not in the script", bad.value)]
    alert = next(event for topic, event in told(batches) if topic == SYSTEM_ALERTS.name)
    assert (alert.data.severity, alert.data.code, alert.data.subject) == ("warning", "strategy_failed", "s")
    assert alert.data.message == (
        "s raised LookupError: thirteen is not in the script on market.ticks[0] at offset 1"
    )  # fmt: skip
    assert topics_of(batches).count("signals.raw") == 2  # before it and after it


def test_the_tenth_failure_suspends_the_strategy_and_is_critical(run):
    bad = [tick(13.0, 0.1 * n, bid=12.0 + 0.05 * n) for n in range(12)]

    batches = run(desk(), [Log().ticks(*bad), Log().ticks(tick(101.0, 9))])

    alerts = [e.data for topic, e in told(batches) if topic == SYSTEM_ALERTS.name]
    assert [(a.severity, a.code) for a in alerts] == [("warning", "strategy_failed")] * 9 + [
        ("critical", "strategy_suspended")
    ]
    assert "signals.raw" not in topics_of(batches)


# --- commands and configuration ---------------------------------------------------------------------------------------


def test_a_kill_acts_before_the_ticks_of_its_batch_and_resume_undoes_it(run):
    log = Log()
    items = [
        log.command("kill", "a", tick(101.0, 1)),
        log.command("resume"),
        log.ticks(tick(101.0, 2), tick(101.5, 2.5)),
    ]

    batches = run(desk(), items)

    rejected = [e.data for topic, e in told(batches) if topic == "signals.rejected"]
    assert [[r.rule for r in x.reasons] for x in rejected] == [["kill_switch"]]
    assert topics_of(batches).count("orders.filled") == 1
    alerts = [e.data for topic, e in told(batches) if topic == SYSTEM_ALERTS.name]
    assert [(a.code, a.message, a.subject) for a in alerts] == [
        ("command_kill", "kill by desk: drill", "a"), ("command_resume", "resume by desk: drill", "a"),
    ]  # fmt: skip


def test_arm_and_disarm_reach_the_account():
    made, log = desk(), Log()

    loop(made, [log.command("arm")])
    armed = int(made.account.shard.accounts["armed"][0])
    loop(made, [log.command("disarm")])

    assert (armed, int(made.account.shard.accounts["armed"][0])) == (1, 0)


def test_a_command_for_another_shards_account_is_not_ours(run):
    batches = run(desk(), [Log().command("kill", "b", tick(101.0, 1))])

    assert topics_of(batches) == [
        "signals.raw", "signals.validated", "orders.submitted", "orders.ack", "orders.placed",
    ]  # fmt: skip


def test_a_command_that_the_account_does_not_know_is_dead_lettered(run):
    received = Log().command("flatten")
    raw = received.events[0][0].value

    assert dead(run(desk(), [received])) == [("account", "unsupported_command", "flatten", raw)]


def test_an_event_of_another_kind_among_the_commands_is_dead_lettered_and_the_flow_goes_on(run):
    log = Log()
    stray = envelope(account("a", "5"), id="x", time_ns=TEN, source="config", broker="shared")
    received = log.ticks(tick(101.0, 1))
    received.events.append((log.record(COMMANDS.of("paper").name, b"a", encode(stray)), stray))

    batches = run(desk(), [received])

    assert [(step, raw) for step, _, _, raw in dead(batches)] == [("account", encode(stray))]
    assert "signals.raw" in topics_of(batches)


# --- snapshots --------------------------------------------------------------------------------------------------------


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


def test_a_gates_memory_of_fewer_instruments_is_refused():
    with pytest.raises(ValueError, match="gate: 64 bytes in the snapshot, 128 here"):
        desk().gate.load(bytes(64))


# --- configuration ----------------------------------------------------------------------------------------------------


def configured(*payloads, broker="paper"):
    topics = {"InstrumentConfig": "config.instruments", "AccountConfig": CONFIG_ACCOUNTS.name}
    events = []
    for payload in payloads:
        topic = topics.get(type(payload).__name__, CONFIG_STRATEGIES.name)
        name = getattr(payload, payload.__struct_fields__[0])
        events.append((topic, str(name).encode(), payload))
    return configuration(events, broker)


def test_the_newest_configuration_of_each_key_counts():
    kept = configured(account("a", "1"), instrument(2), instrument(1), strategy("s"), account("a", "2"))

    assert [(a.account, a.capital) for a in kept.accounts] == [("a", "2")]
    assert [i.instrument_token for i in kept.instruments] == [1, 2]
    assert [s.strategy for s in kept.strategies] == ["s"]


def test_deleted_disabled_and_other_brokers_configuration_is_left_out():
    events = [
        (CONFIG_ACCOUNTS.name, b"a", account("a")),
        (CONFIG_ACCOUNTS.name, b"a", None),
        (CONFIG_ACCOUNTS.name, b"b", account("b", enabled=False)),
        (CONFIG_ACCOUNTS.name, b"c", account("c")),
        (CONFIG_STRATEGIES.name, b"s", strategy("s", accounts=["a", "c"])),
        (CONFIG_STRATEGIES.name, b"t", strategy("t", accounts=["b"])),
        (CONFIG_STRATEGIES.name, b"u", strategy("u", accounts=["c"], enabled=False)),
    ]

    paper, real = configuration(events, "paper"), configuration(events, "zerodha")

    assert [a.account for a in paper.accounts] == ["c"]
    assert [(s.strategy, s.accounts) for s in paper.strategies] == [("s", ["c"])]
    assert (real.accounts, real.strategies) == ([], [])


def test_a_configuration_that_cannot_run_says_what_is_wrong():
    wrong = strategy("s", implementation="no_such_idea")

    with pytest.raises(ConfigError, match="configuration cannot run: strategy s: unknown strategy 'no_such_idea'"):
        desk(strategies=[wrong])
    with pytest.raises(ConfigError, match="no enabled paper account is configured"):
        steps.parts(Configuration([instrument(1)], [], []), "paper", KEY)


def test_a_pipeline_reads_the_market_its_brokers_commands_and_the_configuration():
    assert input_topics("zerodha") == [
        "market.ticks", "market.clock", "zerodha.commands", "config.instruments", "config.accounts", "config.strategies",
    ]  # fmt: skip


def test_a_pipeline_writes_its_own_brokers_topics_only(run):
    _, events = market(400)

    written = {out[0] for published in run(two_strategies(), batches_of(events, [])) for out in published.events}

    assert written <= {topic.name for topic in outputs("paper")}


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


def test_the_gate_leaves_rows_it_was_lent_as_they_are():
    received = Log().ticks(tick(-1.0))
    frozen = received.ticks.copy()
    frozen.flags.writeable = False
    received.ticks = frozen

    desk().gate(received)

    assert not np.any(frozen["quality"])


# --- too much of it ---------------------------------------------------------------------------------------------------


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
    one_by_one = run(watched(2, 4), _pieces(single, ticks))

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
        pieces = _pieces(Log(), ticks)
        before = loop(made, pieces[:cut])
        again.gate.load(made.gate.to_bytes())
        after = loop(again, pieces[cut:])
        assert poisoned(before + after) == [3]
        assert again.gate.to_bytes() != made.gate.to_bytes()


def test_a_gate_of_before_there_were_limits_has_none_until_a_session_begins():
    made, old = watched(2, 4), desk()
    old.gate.load(made.gate.to_bytes()[: old.gate.seen.nbytes])
    ticks = _pieces(Log(), [tick(-1.0, n) for n in range(9)])

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
    loop(made, _pieces(Log(), [tick(-1.0, n) for n in range(2)]))

    more = made.with_instruments([instrument(1), instrument(2)])

    assert more.gate.watch.to_bytes() == made.gate.watch.to_bytes()
