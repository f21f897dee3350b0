"""The whole desk, trading: as the demo with embedded parts, or deployed on the real platform and fed.

Both are worked on by the commands that users have, and answer the same questions.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from itertools import accumulate, repeat
from typing import NamedTuple

import psutil

from analytics.queries import connect
from analytics.queries import counts as lake_counts
from connectors.database.seed import demo_seed
from connectors.database.store import ConfigStore
from connectors.kafka.source import committed, end_offsets, fetch_all
from connectors.settings import LakeSettings
from deploy.flows.records import SUPERVISOR, read_report
from deploy.tally import Tally
from functions.codec import decode
from functions.events import StrategyConfig
from functions.topics import MARKET_CLOCK, MARKET_TICKS, SYSTEM_ALERTS, outputs
from tests.e2e.processes import ROOT, stop
from tests.tables import CALENDAR
from tests.waiting import until

PAPER = [topic.name for topic in outputs("paper")]
FED = [MARKET_TICKS.name, MARKET_CLOCK.name]


class Rival(NamedTuple):
    """A command that must not run beside what runs: how it ends, and what it says."""

    arguments: list[str]
    environment: dict[str, str]
    code: int
    says: str

    def start(self, environment):
        return subprocess.Popen(
            [sys.executable, *self.arguments], cwd=ROOT, env=environment | self.environment, stderr=subprocess.PIPE, text=True
        )  # fmt: skip


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class _Run:
    """What runs now. `flows` are its processes by name, `head` ends with them, `broker` is Kafka's."""

    head: psutil.Process

    def __init__(self, desk):
        self.desk = desk

    def counts(self):
        """Records of each topic, as the API tells them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.desk.port}/api/v1/counts", timeout=60) as answer:
            return json.load(answer)["items"]

    def fills(self):
        return self.counts().get("paper.orders.filled", 0)

    def until_trading(self, beyond=0):
        def trades():
            with suppress(OSError):  # its API may not listen yet
                return self.fills() > beyond

        until(trades, what="trading")

    def replayed(self):
        """How much of the log was decided on again, to the same events and the same state; fails where they differ."""
        where = {
            name: value for name, value in self.flows["pipeline"].environ().items() if name.startswith("PANDA_KAFKA")
        }
        again = self.desk.panda("rebuild", "--verify", "--json", **where)
        assert again.returncode == 0, again.stderr
        return json.loads(again.stdout.strip().splitlines()[-1])

    def log(self, flow):
        return (self.desk.logs / f"{flow}.log").read_text()


class _Desk:
    def __init__(self, directory):
        self.directory = directory
        self.port = free_port()

    def panda(self, *arguments, seconds=300, **more):
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments], cwd=self.cwd, env=self.environment | more, capture_output=True,
            text=True, timeout=seconds,
        )  # fmt: skip

    def rows(self, query):
        """What a query over the lake answers."""
        asked = self.panda("sql", query, "--json")
        assert asked.returncode == 0, asked.stderr
        return json.loads(asked.stdout.strip().splitlines()[-1])


# --- the demo ---------------------------------------------------------------------------------------------------------


class DemoRun(_Run):
    def __init__(self, desk, process):
        super().__init__(desk)
        self.process = process
        self.head = psutil.Process(process.pid)

    @property
    def flows(self):
        return {c.cmdline()[-1]: c for c in self.head.children(recursive=True) if c.cmdline()[-2:-1] == ["run"]}

    @property
    def broker(self):
        return next(c for c in self.head.children(recursive=True) if "connectors.kafka.embedded" in c.cmdline())

    @property
    def rivals(self):
        elsewhere = {"PANDA_DATA_DIR": str(self.desk.directory / "other")}
        return [
            Rival(["-m", "cli", "demo", "--port", str(free_port())], {}, 2, "another demo is running"),
            Rival(
                ["-m", "cli", "demo", "--port", str(self.desk.port)],
                elsewhere,
                2,
                f"port {self.desk.port} on 127.0.0.1 is in use",
            ),
        ]

    def end(self):
        """The summary; that log, lake and API agree is the demo's own promise."""
        if "--seconds" not in self.process.args:
            self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=200)
        assert self.process.returncode == 0, err
        return json.loads(out.strip().splitlines()[-1])


class Demo(_Desk):
    """`panda demo`; each run begins afresh."""

    @property
    def environment(self):
        return {**os.environ, "PANDA_DATA_DIR": str(self.directory), "COLUMNS": "160"}

    cwd = ROOT

    @property
    def logs(self):
        return self.directory / "demo" / "logs"

    @contextmanager
    def trading(self, seconds=None, strategy=None, speed=30) -> Iterator[DemoRun]:
        """A running demo, stopped with what it started when the test leaves it."""
        command = [sys.executable, "-m", "cli", "demo", "--json", "--port", str(self.port), "--speed", str(speed)]
        command += ["--seconds", str(seconds)] if seconds else []
        command += ["--strategy", strategy] if strategy else []
        with subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield DemoRun(self, process)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    try:
                        process.communicate(timeout=60)
                    except subprocess.TimeoutExpired:
                        process.kill()


# --- a deployment -----------------------------------------------------------------------------------------------------


class DeployedRun(_Run):
    def __init__(self, desk, feed, ends_by_itself):
        super().__init__(desk)
        self.feed = feed
        self.ends_by_itself = ends_by_itself
        self.began = time.monotonic()
        self.had = self.fills()
        self.head = psutil.Process(desk.pid(SUPERVISOR))
        self.broker = psutil.Process(next(row.pid for row in desk.platform.native.status(["kafka"])))

    @property
    def flows(self):
        return {flow.name.removesuffix("-paper"): psutil.Process(flow.pid) for flow in self.desk.flows() if flow.pid}

    def log(self, flow):
        return super().log(flow if flow in ("archive", "api", "connectors") else f"{flow}-paper")

    @property
    def rivals(self):
        root, port = self.desk.root, str(self.desk.port)
        return [
            Rival(["-m", "cli", "run", "pipeline"], {}, 4, "shard paper-0 is held by panda pipeline paper-0"),
            Rival(["-m", "deploy.flows.supervisor", str(root)], {}, 2, f"the flows of {root} are kept by process"),
            Rival(["-m", "cli", "run", "api"], {"PANDA_API__PORT": port}, 2, f"port {port} is in use"),
        ]

    def until_trading(self, beyond=None):
        super().until_trading(self.had if beyond is None else beyond)

    def end(self):
        """The summary, when Redis and the lake have what the log has: all of it, and nothing twice."""
        first_fill_s = None
        if self.ends_by_itself:
            self.until_trading()
            first_fill_s = time.monotonic() - self.began
            assert self.feed.wait(120) == 0
        else:
            fed = self.desk.fed()
            until(lambda: self.desk.fed() != fed, what="more ticks")  # one that waits for its broker ends with 3
            stop(self.feed)
        until(self.desk.read, 120, "the end of the input")
        log = self.desk.log_counts()
        until(lambda: self.counted() == log, 120, "all of the log in Redis")
        until(
            lambda: self.desk.archived() == log | dict.fromkeys(FED, 0) | self.desk.fed(),
            120,
            "all of the log in the lake",
        )
        tally = Tally("paper")
        for record in fetch_all(self.desk.platform.kafka, PAPER):
            tally.add(record)
        counts = log | self.desk.fed() | {"market.ticks.dlq": self.desk.dead_ticks()}
        return {"counts": counts, "strategies": tally.as_json(), "first_fill_s": first_fill_s}

    def counted(self):
        counts = self.counts()
        return {name: counts.get(name, 0) for name in PAPER}


class Deployment(_Desk):
    """`panda deploy apply` on the platform, and a `panda feed` of another day for each run; the log goes on."""

    def __init__(self, platform, directory):
        super().__init__(directory)
        self.platform = platform
        self.cwd = directory
        self.root = directory / ".services"
        self.logs = self.root / "logs" / SUPERVISOR
        self.days = accumulate(repeat(date(2026, 11, 13)), lambda day, _: CALENDAR.next_trading_day(day))
        self.environment = os.environ | platform.env | {
            "PANDA_API__PORT": str(self.port),
            "PANDA_DATA_DIR": str(directory / "panda"),
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def must(self, *arguments):
        ran = self.panda(*arguments)
        assert ran.returncode == 0, f"{arguments}: {ran.stdout}{ran.stderr}"

    def flows(self):
        return read_report(self.root / "run").flows

    def pid(self, name):
        return int((self.root / "run" / f"{name}.pid").read_text().split()[0])

    @contextmanager
    def trading(self, seconds=None, strategy=None, speed=30) -> Iterator[DeployedRun]:
        """Every flow live, and a feed, which ends when the test leaves it."""
        if not self._all_live():
            self.must("deploy", "apply")
        if strategy:
            self._configure(strategy)
        command = [sys.executable, "-m", "cli", "feed", "--speed", str(speed), "--date", str(next(self.days))]
        command += ["--seconds", str(seconds)] if seconds else []
        feed = subprocess.Popen(command, cwd=self.cwd, env=self.environment)
        try:
            yield DeployedRun(self, feed, ends_by_itself=seconds is not None)
        finally:
            if feed.poll() is None:
                feed.terminate()
                feed.wait(60)

    def _all_live(self):
        report = read_report(self.root / "run")
        return (
            report is not None
            and psutil.pid_exists(self.pid(SUPERVISOR))
            and all(flow.state == "live" for flow in report.flows)
        )

    def _configure(self, strategy):
        """A strategy into the config store, over all shares; the pipeline takes it up while it runs."""
        tokens = [i.instrument_token for i in demo_seed()[0] if i.kind == "EQ"]
        name = strategy.rpartition(":")[2].lower()
        with ConfigStore(self.platform.postgres_url) as store:
            store.put_strategy(StrategyConfig(name, strategy, {}, tokens, ["paper-1"]))

        def applied():
            alerts = [decode(record.value).data for record in fetch_all(self.platform.kafka, [SYSTEM_ALERTS.name])]
            return any(alert.code == "configuration_applied" and alert.subject == name for alert in alerts)

        until(applied, 60, "the strategy's way into the pipeline")

    # --- where everything is ------------------------------------------------------------------------------------------

    def read(self):
        """Whether the pipeline has read what was fed."""
        done = committed(self.platform.kafka, "pipeline-paper-0", FED)
        return all(done.get(at, 0) >= end for at, end in end_offsets(self.platform.kafka, FED).items())

    def log_counts(self):
        return self._ends(PAPER)

    def fed(self):
        return self._ends(FED)

    def dead_ticks(self):
        return sum(self._ends([MARKET_TICKS.dead_letters.name]).values())

    def archived(self):
        found = lake_counts(connect(LakeSettings(path=str(self.directory / "panda" / "lake"))))
        return {name: found.get(name, 0) for name in (*PAPER, *FED)}

    def _ends(self, names):
        counts = dict.fromkeys(names, 0)
        for (topic, _), end in end_offsets(self.platform.kafka, names).items():
            counts[topic] += end
        return counts


@contextmanager
def deployed(platform, directory):
    """A deployment on an empty platform, its flows gone at the end."""
    desk = Deployment(platform, directory)
    desk.must("db", "upgrade")
    desk.must("db", "seed")
    try:
        yield desk
    finally:
        desk.must("deploy", "down")
