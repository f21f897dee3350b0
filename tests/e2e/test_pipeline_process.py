"""The pipeline as a process: the plain Bytewax command, a clean stop, and kill -9."""

import time
from collections import Counter, defaultdict

import pytest

from connectors.kafka.sink import Writer
from connectors.kafka.source import fetch_all
from dataflows import backtest
from functions.journal import Copies
from functions.topics import outputs
from tests.e2e.processes import pipeline_process, stop, wait_until_read
from tests.market import walk
from tests.recorded import config_events, tick_events
from tests.traded import ACCOUNT, INSTRUMENTS, STRATEGIES, TOKENS
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TICKS = walk(9_000, len(TOKENS), 0.0006, 5, step_ns=20_000_000)
EVENTS = tick_events(TICKS, TOKENS)


@pytest.fixture
def log(ground):
    """A ground whose log holds the configuration, and who writes to it."""
    writer = Writer(ground.kafka)
    writer.write(config_events(INSTRUMENTS, [ACCOUNT], STRATEGIES))
    writer.flush()
    return ground, writer


def expected():
    published = []
    backtest.run(TICKS, INSTRUMENTS, ACCOUNT, STRATEGIES, on_events=published.extend)
    wanted = defaultdict(Counter)
    for topic, _, value, _ in published:
        wanted[topic][value] += 1
    return wanted


def found(kafka, topic):
    """What a reader that drops second copies finds."""
    copies = Copies()
    records = (r for r in fetch_all(kafka, [topic]) if not copies.is_copy(r.topic, r.partition, r.headers))
    return Counter(record.value for record in records)


def test_python_m_bytewax_run_works_from_the_root_and_stops_cleanly(log):
    ground, writer = log
    kafka = ground.kafka
    with pipeline_process(ground, "-m", "bytewax.run", "dataflows.pipeline") as process:
        writer.write(EVENTS)
        writer.flush()
        until(
            lambda: sum(found(kafka, "paper.pnl.snapshots").values()) >= len(TICKS) // 50 - 2, 300, "the last snapshot"
        )
        stop(process)

    wanted = expected()
    for topic in outputs("paper"):
        assert found(kafka, topic.name) == wanted[topic.name], topic.name


def test_killed_in_the_middle_it_goes_on_and_no_event_is_lost_doubled_or_contradicted(log):
    ground, writer = log
    kafka = ground.kafka
    for part in (EVENTS[:3_000], EVENTS[3_000:6_000]):
        with pipeline_process(ground) as process:
            writer.write(part)
            writer.flush()
            time.sleep(0.7)
            process.kill()
            process.wait()
    with pipeline_process(ground) as process:
        writer.write(EVENTS[6_000:])
        writer.flush()
        wait_until_read(kafka)
        stop(process)

    wanted = expected()
    for topic in outputs("paper"):
        assert found(kafka, topic.name) == wanted[topic.name], topic.name


def test_without_an_account_it_is_live_and_waits_and_trades_when_there_is_one(ground):
    with pipeline_process(ground) as process:
        writer = Writer(ground.kafka)
        writer.write(EVENTS[:3_000])
        writer.write(config_events(INSTRUMENTS, [ACCOUNT], STRATEGIES))
        writer.flush()
        until(lambda: found(ground.kafka, "paper.orders.filled"), 300, "the first trade")
        stop(process)


def test_told_to_stop_while_it_waits_it_stops(ground):
    with pipeline_process(ground) as process:
        stop(process)
