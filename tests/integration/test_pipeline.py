"""The pipeline on the embedded broker: what goes in comes out decided, once, the same as a backtest decides it."""

from collections import Counter
from datetime import timedelta

import numpy as np
import pytest
from bytewax.testing import run_main

from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing
from connectors.kafka.source import fetch_all
from connectors.settings import Settings
from dataflows import backtest, pipeline
from functions.codec import decode, encode, envelope
from functions.events import Command, StrategyConfig
from functions.topics import COMMANDS, MARKET_TICKS, ORDERS_FILLED, outputs
from tests.market import walk
from tests.recorded import config_events, tick_events
from tests.traded import ACCOUNT, INSTRUMENTS, STRATEGIES, TOKENS, write

pytestmark = pytest.mark.kafka


@pytest.fixture
def log(tmp_path):
    """Settings of an embedded broker that holds the configuration."""
    with start_embedded(tmp_path) as broker:
        settings = Settings(kafka={"bootstrap": broker.bootstrap, "embedded": True})
        write(settings, config_events(INSTRUMENTS, [ACCOUNT], STRATEGIES))
        yield settings


def run(settings):
    run_main(pipeline.live(settings, until_end=True), epoch_interval=timedelta(seconds=0.1))


def read(settings, topic):
    return list(fetch_all(settings.kafka, [topic]))


def by_key(records):
    """Values in order, by key: the order that a topic keeps."""
    kept = {}
    for record in records:
        kept.setdefault(record.key, []).append(record.value)
    return kept


def test_every_event_equals_the_backtests_byte_for_byte(log):
    """Five instruments over twelve partitions, two strategies: the log's order of arrival does not show."""
    ticks = walk(20_000, len(TOKENS), 0.0006, 4, step_ns=20_000_000)
    write(log, tick_events(ticks, TOKENS))

    run(log)

    published = []
    backtest.run(ticks, INSTRUMENTS, ACCOUNT, STRATEGIES, on_events=published.extend)
    for topic in outputs("paper"):
        expected = {}
        for name, key, value, _ in published:
            if name == topic.name:
                expected.setdefault(key, []).append(value)
        assert by_key(read(log, topic.name)) == expected, topic.name
    assert len(read(log, ORDERS_FILLED.of("paper").name)) > 100


def test_a_stop_and_a_start_in_the_middle_lose_nothing_and_double_nothing(log):
    ticks = walk(9_000, len(TOKENS), 0.0006, 5, step_ns=20_000_000)
    events = tick_events(ticks, TOKENS)
    for part in (events[:3_000], events[3_000:3_001], events[3_001:]):
        write(log, part)
        run(log)

    published = []
    backtest.run(ticks, INSTRUMENTS, ACCOUNT, STRATEGIES, on_events=published.extend)

    for topic in outputs("paper"):
        expected = Counter(value for name, _, value, _ in published if name == topic.name)
        assert Counter(r.value for r in read(log, topic.name)) == expected, topic.name


def test_what_no_decision_may_rest_on_is_dead_lettered_whole_with_its_reason(log):
    ticks = walk(50, len(TOKENS), 0.0006, 5)
    good = tick_events(ticks, TOKENS, clocks=False)
    unknown = tick_events(ticks[:1], [99], session=2)[0]
    free = tick_events(walk(1, 1, 0.0, 1), [11], session=3)[0]
    free_price = free._replace(value=free.value.replace(b'"last_price":1000.0', b'"last_price":0'))
    nan_price = free._replace(value=free.value.replace(b'"last_price":1000.0', b'"last_price":null'))
    junk = Outgoing(MARKET_TICKS.name, b"11", b"\x00\xff not json")
    empty = Outgoing(MARKET_TICKS.name, b"11", b"")
    write(log, [*good, junk, empty, unknown, free_price, nan_price, good[-1]])

    run(log)

    dead = read(log, MARKET_TICKS.dead_letters.name)
    assert Counter(r.value for r in dead) == Counter(
        x.value for x in (junk, empty, unknown, free_price, nan_price, good[-1])
    )


def test_a_strategy_that_raises_is_named_and_the_others_go_on(log, tmp_path, monkeypatch):
    (tmp_path / "touchy.py").write_text(
        "class Moody:\n"
        "    def on_tick(self, tick):\n"
        "        if tick.price > 1000.2:\n"
        "            raise ZeroDivisionError('too dear')\n"
        "        return 1\n"
    )
    moody = StrategyConfig("moody", f"{tmp_path}/touchy.py:Moody", {}, TOKENS[:1], ["paper-1"])
    write(log, config_events([], [], [moody]))
    ticks = walk(4_000, len(TOKENS), 0.0006, 4, step_ns=20_000_000)
    ticks["price"][0] = 1000.0
    write(log, tick_events(ticks, TOKENS, clocks=False))

    run(log)

    dead = read(log, MARKET_TICKS.dead_letters.name)
    assert len(dead) == 10  # then it is suspended
    assert all(decode(r.value).data.last_price > 1000.2 for r in dead)
    alerts = [decode(r.value).data for r in read(log, "system.alerts")]
    assert [a.code for a in alerts] == ["strategy_failed", "strategy_suspended"]
    assert "moody raised ZeroDivisionError: too dear" in alerts[0].message
    fills = Counter(decode(r.value).data.strategy for r in read(log, ORDERS_FILLED.of("paper").name))
    assert fills["fade"] > 0
    assert fills["follow"] > 0


def test_a_kill_command_acts_where_it_stands_in_the_log(log):
    ticks = walk(8_000, len(TOKENS), 0.0006, 4, step_ns=20_000_000)
    events = tick_events(ticks, TOKENS, clocks=False)
    write(log, events[:4_000])
    run(log)
    before = len(read(log, ORDERS_FILLED.of("paper").name))
    command = envelope(Command("kill", "paper-1", "desk"), id="c", time_ns=0, source="cli", broker="paper")
    write(log, [Outgoing(COMMANDS.of("paper").name, b"paper-1", encode(command))])
    run(log)
    write(log, events[4_000:])
    run(log)

    submitted = {decode(r.value).timestamp for r in read(log, "paper.orders.submitted")}
    assert before > 0
    assert max(submitted) < str(np.datetime64(int(ticks["time"][4_000]), "ns"))
    rejected = [decode(r.value).data for r in read(log, "paper.signals.rejected")]
    assert {"kill_switch"} <= {reason.rule for r in rejected for reason in r.reasons}
