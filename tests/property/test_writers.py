"""Whatever happens, a pipeline writes to the topics of which the topic table names it a writer, and to no other.

So no trade is ever made up on a real broker's topics: its acks, fills and failures are its gateway's to write.
"""

import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import ConfigError
from connectors.kafka.feed import Inputs
from connectors.kafka.records import Record
from dataflows import steps
from dataflows.desk import configuration, refuse_unanswered
from dataflows.recovery import input_topics
from functions import configuration as rules
from functions.codec import decode, encode, envelope
from functions.events import AccountConfig, Command, InstrumentConfig, PaperVenue, StrategyConfig
from functions.topics import COMMANDS, MARKET_TICKS, ORDERS_FILLED, SYSTEM_ALERTS, all_topics
from tests.desk import TEN, account, instrument, lax, strategy, tick, tick_rows
from tests.effort import examples
from tests.recorded import clock_event, config_events, tick_events

BROKERS = ("paper", "zerodha")
NAMES = ("a", "b", "z")
TOKENS = (1, 2)
EACH_WAY = f"{__name__}:EachWay"


class EachWay:
    """Buys one at every odd rupee, sells one at every even one."""

    fields = ("price",)

    def on_tick(self, tick):
        return 1 if int(tick.price) % 2 else -1


def may_write(broker):
    return {topic.name for topic in all_topics((broker,)) if "pipeline" in topic.writers}


# --- what may happen --------------------------------------------------------------------------------------------------

accounts = st.builds(
    lambda name, broker, venue, enabled: AccountConfig(
        name, broker, limits=lax(max_orders_per_second=9, max_orders_per_day=5_000), venue=venue, enabled=enabled
    ),
    st.sampled_from(NAMES), st.sampled_from(BROKERS), st.sampled_from([PaperVenue(price="last"), PaperVenue(latency_ms=400)]),
    st.sampled_from([True, True, True, False]),
)  # fmt: skip
strategies = st.builds(
    lambda name, followed, flag, enabled, end: strategy(
        name, TOKENS, followed, implementation=EACH_WAY, zerodha_trading_enabled=flag, enabled=enabled, on_disable=end
    ),
    st.sampled_from(["s", "t"]), st.sampled_from([list(NAMES), list(NAMES), ["a"], ["z"]]), st.booleans(),
    st.sampled_from([True, True, True, False]), st.sampled_from(["hold", "flatten"]),
)  # fmt: skip
instruments = st.builds(lambda token, lot: instrument(token, lot=lot), st.sampled_from(TOKENS), st.integers(1, 2))
commands = st.builds(
    Command,
    st.sampled_from(["arm", "arm", "disarm", "kill", "resume", "flatten"]),
    st.sampled_from(NAMES),
    st.just("desk"),
)
happenings = st.one_of(
    st.tuples(st.just("ticks"), st.lists(st.integers(100, 103), min_size=4, max_size=8)),
    st.tuples(st.just("ticks"), st.lists(st.integers(100, 103), min_size=4, max_size=8)),
    st.tuples(st.just("clock")),
    st.tuples(st.just("command"), commands),
    st.tuples(st.just("change"), st.one_of(accounts, strategies, instruments)),
    st.tuples(st.just("delete"), st.one_of(accounts, strategies)),
    st.tuples(st.just("ticks"), st.lists(st.integers(100, 103), min_size=4, max_size=8)),
    st.tuples(st.just("garbage"), st.integers(0, 5), st.binary(max_size=20)),
)


class World:
    """One log, read by one pipeline of one broker."""

    def __init__(self, broker, configured):
        self.broker = broker
        self.ends = {}
        self.count = itertools.count()
        self.topics = input_topics(broker)
        events = [(r.topic, r.key, decode(r.value).data) for r in configured]
        made_of = configuration(events, broker)
        refuse_unanswered(made_of.accounts)  # as `recovery.read_configuration`
        self.made = steps.parts(made_of, broker, f"{broker}-0")
        self.inputs = Inputs(self.topics, self.made.index_of)
        self.written = []

    def take(self, topic, key, value):
        offset = self.ends[topic] = self.ends.get(topic, -1) + 1
        received = self.inputs.receive([Record(topic, 0, offset, key, value)], lambda: False)
        self.written += [event[0] for event in self.made.decide(received).events]

    def happen(self, what, *more):
        n = next(self.count)
        match what, more:
            case "ticks", (prices,):
                for price in prices:
                    self.happen("tick", TOKENS[price % 2], price)
            case "tick", (token, price):
                shown = {"bid": price - 0.5, "ask": price + 0.5, "bid_quantity": 9, "ask_quantity": 9}
                rows = tick_rows([tick(float(price), n * 0.3, **shown)])
                [event] = tick_events(rows, [token], session=-1, clocks=False)
                self.take(event.topic, event.key, event.value)
            case "clock", ():
                event = clock_event(TEN + n * 300_000_000, -1, -1)
                self.take(event.topic, event.key, event.value)
            case "command", (command,):
                event = envelope(command, id=f"c-{n}", time_ns=TEN, source="api", broker=self.broker)
                self.take(COMMANDS.of(self.broker).name, command.account.encode(), encode(event))
            case "change" | "delete", (payload,):
                [event] = configured(payload)
                self.take(event.topic, event.key, event.value if what == "change" else None)
            case "garbage", (number, raw):
                self.take(self.topics[number % len(self.topics)], b"k", raw)


def configured(*payloads):
    by_type = [
        [p for p in payloads if isinstance(p, kind)] for kind in (InstrumentConfig, AccountConfig, StrategyConfig)
    ]
    return config_events(*by_type)


def run(broker, payloads, history):
    """Where this pipeline has written; nowhere, where it refused to start."""
    try:
        world = World(broker, configured(*map(instrument, TOKENS), *payloads))
    except ConfigError:
        return []
    for happening in history:
        world.happen(*happening)
    return world.written


@settings(max_examples=examples(150), deadline=None)
@given(
    st.sampled_from(BROKERS),
    st.lists(accounts, min_size=1, max_size=3),
    st.lists(strategies, min_size=1, max_size=2),
    st.booleans(),
    st.lists(happenings, min_size=4, max_size=16),
)
def test_a_pipeline_writes_where_it_is_named_a_writer_and_nowhere_else(broker, held, traded, armed, history):
    arms = [("command", Command("arm", name, "desk")) for name in NAMES if armed]

    assert set(run(broker, [*held, *traded], [*arms, *history])) <= may_write(broker)


# --- the same world, with the answer written out -------------------------------------------------------------------------

REAL = AccountConfig("z", "zerodha", limits=lax(max_orders_per_second=9, max_orders_per_day=5_000))
FOLLOWED = strategy("s", TOKENS, ["a", "z"], implementation=EACH_WAY, zerodha_trading_enabled=True)
TRADING = [
    ("command", Command("arm", "z", "desk")),
    ("command", Command("arm", "a", "desk")),
    ("tick", 1, 101), ("tick", 1, 102), ("tick", 2, 101), ("tick", 2, 102), ("clock",),
]  # fmt: skip


def test_of_an_armed_account_of_a_real_broker_nothing_is_written_and_paper_fills_orders():
    assert run("zerodha", [REAL, FOLLOWED], TRADING) == []
    assert ORDERS_FILLED.of("paper").name in run("paper", [account("a"), REAL, FOLLOWED], TRADING)


def test_were_it_not_refused_the_paper_venue_would_answer_on_the_gateways_topics(monkeypatch):
    """That the property can fail: this is what it keeps from happening."""
    monkeypatch.setattr(rules, "ANSWERED", BROKERS)

    written = set(run("zerodha", [REAL, FOLLOWED], TRADING))

    assert written - may_write("zerodha") == {f"zerodha.orders.{stage}" for stage in ("ack", "placed", "filled")}


def test_an_account_of_a_real_broker_that_is_configured_while_paper_trades_is_refused_and_told_once():
    enabled, put_away = ("change", REAL), ("change", msgspec.structs.replace(REAL, enabled=False))

    written = run("paper", [account("a"), FOLLOWED], [*TRADING, enabled])
    assert written.count("config.accounts.dlq") == 1
    assert written.count(SYSTEM_ALERTS.name) == 2  # the arm command of its own account, and the refusal

    assert "config.accounts.dlq" not in run("paper", [account("a"), FOLLOWED], [*TRADING, put_away])
    assert MARKET_TICKS.dead_letters.name not in written
