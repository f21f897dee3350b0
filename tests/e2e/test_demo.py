"""The demo end to end: every process real, every count the same on the log, in the lake and over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
PAPER = ("signals.raw", "signals.rejected", "orders.submitted", "orders.filled", "pnl.snapshots")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(directory):
    return {**os.environ, "PANDA_DATA_DIR": str(directory), "COLUMNS": "160"}


@contextmanager
def demo(directory, *arguments, port=None):
    """A running demo, stopped with what it started when the test leaves it."""
    port = port or free_port()
    command = [sys.executable, "-m", "cli", "demo", "--json", "--port", str(port), *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(directory), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.port = port
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def rest(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def trading(process):
    return lambda: rest(process.port, "/api/v1/counts")["items"].get("paper.orders.filled", 0) > 0


def children(process):
    return {" ".join(c.cmdline()[-2:]): c for c in psutil.Process(process.pid).children(recursive=True)}


def sql(directory, query):
    out = subprocess.run(
        [sys.executable, "-m", "cli", "sql", query, "--json"], cwd=ROOT, env=environment(directory), text=True,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    return json.loads(out.strip().splitlines()[-1])


def test_a_demo_trades_and_log_lake_and_api_agree(tmp_path):
    with demo(tmp_path, "--seconds", "25") as process:
        out, err = process.communicate(timeout=180)

    assert process.returncode == 0, err
    summary = json.loads(out.strip().splitlines()[-1])
    counts = summary["counts"]
    assert all(counts[f"paper.{name}"] > 0 for name in PAPER), counts
    active = [s for s in summary["strategies"].values() if s["signals"] and s["orders"] and s["fills"]]
    assert len(active) >= 3
    for strategy in summary["strategies"].values():
        assert strategy["signals"] == strategy["rejected"] + strategy["orders"]
    assert 0 < summary["first_fill_s"] < 60
    assert counts["market.ticks.dlq"] > 0  # the simulator sends bad ticks
    for view, topic in (("pnl", "pnl.snapshots"), ("fills", "orders.filled"), ("signals", "signals.raw")):
        assert sql(tmp_path, f"select count(*) as n from {view}") == [{"n": counts[f"paper.{topic}"]}]
    (rejected,) = sql(tmp_path, "select count(distinct id) as n from rejections")
    assert rejected["n"] == counts["paper.signals.rejected"]


def test_a_strategy_of_ones_own_trades_in_the_demo(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "class Mine:\n"
        "    fields = ('price',)\n"
        "    def __init__(self):\n"
        "        self.seen = 0\n"
        "    def on_tick(self, tick):\n"
        "        self.seen += 1\n"
        "        return (1 if self.seen % 100 else -1) if self.seen % 50 == 0 else 0\n"
    )
    with demo(tmp_path, "--seconds", "12", "--strategy", f"{mine}:Mine") as process:
        out, err = process.communicate(timeout=180)

    assert process.returncode == 0, err
    mine = json.loads(out.strip().splitlines()[-1])["strategies"]["mine"]
    assert mine["signals"] > 0
    assert mine["fills"] > 0


def test_a_second_demo_is_refused_and_the_first_goes_on(tmp_path):
    with demo(tmp_path) as first:
        until(trading(first), 90, "trading")
        with demo(tmp_path) as second:
            _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "another demo is running" in err

        with demo(tmp_path / "other", port=first.port) as third:
            _, err = third.communicate(timeout=60)
        assert third.returncode == 2
        assert f"port {first.port} on 127.0.0.1 is in use" in err

        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert json.loads(out.strip().splitlines()[-1])["counts"]["paper.orders.filled"] > 0


def test_a_dead_child_stops_everything_with_its_name_and_last_lines(tmp_path):
    with demo(tmp_path) as process:
        until(trading(process), 90, "trading")
        everyone = children(process)
        everyone["run cache"].kill()
        _, err = process.communicate(timeout=90)

    assert process.returncode != 0
    assert "cache ended with exit code -9" in err
    assert not [c for c in everyone.values() if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]


def test_nothing_outlives_a_demo_that_is_killed(tmp_path):
    with demo(tmp_path) as process:
        until(trading(process), 90, "trading")
        everyone = list(children(process).values())
        process.kill()
        process.communicate()

    _, alive = psutil.wait_procs(everyone, timeout=20)
    assert [p.cmdline() for p in alive] == []


def test_a_broker_that_is_away_is_waited_for_and_said(tmp_path):
    with demo(tmp_path) as process:
        until(trading(process), 90, "trading")
        everyone = children(process)
        broker = next(c for name, c in everyone.items() if "--brokers paper" in name)
        before = rest(process.port, "/api/v1/counts")["items"]["paper.orders.filled"]
        broker.suspend()
        logs = tmp_path / "demo" / "logs"
        try:
            until(
                lambda: "kafka.unreachable" in (logs / "pipeline.log").read_text(), 60, "word of the broker's absence"
            )
        finally:
            broker.resume()
        until(
            lambda: rest(process.port, "/api/v1/counts")["items"]["paper.orders.filled"] > before,
            90,
            "trading going on",
        )
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=150)

    assert process.returncode == 0, err
    assert json.loads(out.strip().splitlines()[-1])["counts"]["paper.orders.filled"] > before
