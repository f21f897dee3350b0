"""Every flow on the real services: started by one command, fed, killed, started again, stopped."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest
import redis

from connectors.kafka.source import committed, end_offsets, fetch_all
from deploy.flows.records import read_report
from deploy.services.places import PROJECT
from functions.blotter import Keys
from functions.codec import decode
from functions.topics import MARKET_CLOCK, MARKET_TICKS, ORDERS_FILLED, outputs
from tests.waiting import runs, until

pytestmark = [pytest.mark.platform, pytest.mark.timeout(1500)]

KEYS = Keys("paper")
FILLED = ORDERS_FILLED.of("paper").name
FED = [MARKET_TICKS.name, MARKET_CLOCK.name]
OTHER_SHELL = {
    "VIRTUAL_ENV": sys.prefix, "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "HOME": "/", "LANG": "de_DE.UTF-8",
    "TZ": "Asia/Tokyo", "OPENBLAS_NUM_THREADS": "7", "TERM": "xterm-256color",
}  # fmt: skip
FLOWS = ["connectors", "archive", "cache-paper", "api", "pipeline-paper"]


class Desk:
    """A deployment in a folder of its own, worked on by commands."""

    def __init__(self, platform, directory):
        self.platform = platform
        self.directory = directory
        self.environment = platform.env | {
            "PANDA_API__PORT": "0",
            "PANDA_DATA_DIR": str(directory / "panda"),
            "PANDA_ENV_FILE": os.devnull,
            "PANDA_CALENDAR": os.environ["PANDA_CALENDAR"],  # a setting, whatever the shell
            "PYTHONPATH": str(PROJECT),
        }

    def panda(self, *arguments, shell=os.environ, **more):
        """A command's result in this shell; it is expected to succeed."""
        command = [sys.executable, "-m", "cli", *arguments]
        ran = subprocess.run(
            command, cwd=self.directory, env=dict(shell) | self.environment | more, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        assert ran.returncode == 0, f"{arguments}: {ran.stdout}{ran.stderr}{self.logs()}"
        return ran.stdout

    def logs(self):
        return "".join(
            f"\n{path}\n{path.read_text()[-1500:]}" for path in (self.directory / ".services").rglob("*.log")
        )

    def flows(self):
        return {flow.name: flow for flow in read_report(self.directory / ".services" / "run").flows}

    def feed(self, day):
        self.panda("feed", "--source", "sim", "--seconds", "5", "--speed", "60", "--date", day)

    def fills(self, since):
        """The ids of the fills on the log from these positions on."""
        return [decode(record.value).id for record in fetch_all(self.platform.kafka, [FILLED], since)]

    def counted_fills(self):
        """How many fills Redis has counted."""
        with redis.Redis.from_url(self.platform.redis_url, decode_responses=True) as client:
            return sum(json.loads(row)["fills"] for row in client.hgetall(KEYS.strategies).values())

    def cached(self):
        """Whether Redis is behind all that the pipeline has written."""
        topics = [topic.name for topic in outputs("paper")]
        with redis.Redis.from_url(self.platform.redis_url, decode_responses=True) as client:
            taken = client.hgetall(KEYS.offsets)
        ends = end_offsets(self.platform.kafka, topics)
        return all(int(taken.get(f"{topic}:{part}", 0)) >= end for (topic, part), end in ends.items())

    def traded(self):
        """Until the pipeline has read what was fed, and Redis has what came of it."""
        ends = end_offsets(self.platform.kafka, FED)

        def read():
            done = committed(self.platform.kafka, "pipeline-paper-0", FED)
            return all(done.get(at, 0) >= end for at, end in ends.items())

        until(read, what="the end of the input")
        until(self.cached, what="the end of the pipeline's output")

    def archived(self, ids):
        """How many of these events the lake has, copies counted too."""
        named = ", ".join(f"'{one}'" for one in ids)
        return json.loads(self.panda("sql", f"select count(*) n from fills where id in ({named})", "--json"))[0]["n"]

    def status(self):
        return {step["step"]: step["states"] for step in json.loads(self.panda("deploy", "status", "--json"))["steps"]}


@contextmanager
def deployed(platform, directory):
    desk = Desk(platform, directory)
    desk.panda("db", "upgrade")
    desk.panda("db", "seed")
    try:
        yield desk
    finally:
        desk.panda("deploy", "down")


def test_all_flows_are_started_by_apply_survive_a_kill_without_loss_and_are_gone_after_down(platform, tmp_path):
    with deployed(platform, tmp_path) as desk:
        desk.panda("deploy", "apply")
        assert [(flow.name, flow.state) for flow in desk.flows().values()] == [(name, "live") for name in FLOWS]

        until(desk.cached, what="what others have left on the log")
        since, counted = end_offsets(platform.kafka, [FILLED]), desk.counted_fills()

        desk.feed("2026-11-18")
        desk.traded()
        first = desk.fills(since)
        assert len(first) > 0
        assert len(set(first)) == len(first) == desk.counted_fills() - counted

        psutil.Process(desk.flows()["cache-paper"].pid).kill()
        desk.feed("2026-11-19")
        until(lambda: desk.flows()["cache-paper"].state == "live", what="the cache's return")
        assert desk.flows()["cache-paper"].restarts == 1
        desk.traded()
        both = desk.fills(since)
        assert len(both) > len(first)
        assert len(set(both)) == len(both) == desk.counted_fills() - counted
        until(lambda: desk.archived(both) == len(both), what="the last fill's way into the lake")

        before = {name: flow.pid for name, flow in desk.flows().items()}
        again = json.loads(desk.panda("deploy", "apply", "--json"))
        assert {step["step"]: step["outcome"] for step in again["steps"]} == dict.fromkeys(
            ("migrations", "configuration", "topics", "access", "connectors", "flows"), "nothing to do"
        )
        assert {name: flow.pid for name, flow in desk.flows().items()} == before
        for shell in ({}, OTHER_SHELL):
            planned = json.loads(desk.panda("deploy", "plan", "--json", shell=shell))
            assert [step["changes"] for step in planned["steps"]] == [[]] * 6

        states = desk.status()
        assert [state["what"].partition(" ")[0] for state in states["services"]] == [
            "kafka",
            "redis",
            "config",
            "connect",
        ]
        assert all(state["ok"] for step in states.values() for state in step)
        assert [state["what"] for state in states["flows"]] == [f"flow {name}" for name in FLOWS]
        assert states["flows"][-1]["detail"].endswith(", 0 records behind")

        supervisor = psutil.Process(before["archive"]).ppid()
        assert desk.panda("deploy", "down") == f"stopped {', '.join(FLOWS)}\n"
        assert [pid for pid in (supervisor, *before.values()) if runs(pid)] == []
