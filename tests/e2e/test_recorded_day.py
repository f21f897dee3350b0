"""Recorded NSE data through the real processes: the fills are those of a backtest, to the byte."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from connectors.kafka.sink import Writer
from connectors.kafka.source import end_offsets, fetch_all
from connectors.recorded.reading import read
from dataflows import backtest
from functions.events import AccountConfig, PaperVenue, RiskLimits, StrategyConfig
from functions.topics import MARKET_QUALITY, MARKET_TICKS, outputs
from tests.e2e.processes import pipeline_process, stop, wait_until_read
from tests.recorded import config_events

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".." / "shared" / "data"
ACCOUNT = AccountConfig(
    "paper-1", "paper", "10000000", RiskLimits(max_order_value="2000000", max_gross_exposure="9000000"),
    PaperVenue(slippage_bps="1"),
)  # fmt: skip


def feed(ground, path):
    command = [sys.executable, "-m", "cli", "feed", "--source", "file", "--data", str(path), "--speed", "0"]
    fed = subprocess.run(command, cwd=ROOT, env=ground.environment("feed"), capture_output=True, text=True, timeout=600)
    assert fed.returncode == 0, fed.stderr


@pytest.mark.parametrize(
    ("path", "quantity", "ticks", "reported"),
    [
        ("ticks/nifty_options_2025-10-08", 75, 103_312, "gap"),
        ("nse_1min/nse12_2025-01-06_2025-01-10", 5, 39_638, "missing_minutes"),
    ],
    ids=["a day of option ticks", "a week of twelve shares"],
)
def test_recorded_data_fills_the_same_through_every_process_as_in_a_backtest(ground, path, quantity, ticks, reported):
    recording = read([DATA / path])
    tradable = [i.instrument_token for i in recording.instruments if i.kind != "INDEX"]
    strategies = [
        StrategyConfig("follow", "momentum", {"quantity": quantity}, tradable, ["paper-1"]),
        StrategyConfig("fade", "mean_reversion", {"quantity": quantity}, tradable, ["paper-1"]),
    ]
    published = []
    outcome = backtest.run(
        recording.ticks, recording.instruments, ACCOUNT, strategies, on_events=published.extend, levels=recording.depth,
        ranges=recording.ranges,
    )  # fmt: skip

    kafka = ground.kafka
    writer = Writer(kafka)
    writer.write(config_events(recording.instruments, [ACCOUNT], strategies))
    writer.flush()
    with pipeline_process(ground) as process:
        feed(ground, DATA / path)
        wait_until_read(kafka)
        stop(process)

    written = end_offsets(kafka, [MARKET_TICKS.name])
    assert sum(written.values()) == len(recording.ticks) == ticks
    for topic in outputs("paper"):
        expected = Counter(value for name, _, value, _ in published if name == topic.name)
        found = Counter(r.value for r in fetch_all(kafka, [topic.name]))
        if topic is outputs("paper")[-1]:  # the last second is told only when a later one begins
            assert not expected - found
        else:
            assert found == expected, topic.name
    dead = sum(1 for _ in fetch_all(kafka, [MARKET_TICKS.dead_letters.name]))
    assert dead == sum(outcome.dropped.values())
    assert any(reported.encode() in (r.value or b"") for r in fetch_all(kafka, [MARKET_QUALITY.name]))
    assert outcome.summary()["fills"] > 100
