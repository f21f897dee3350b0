"""Every service gone for some seconds under load, then for good: flows wait, say so, go on by themselves, stop in time.

`OUTAGE_S=30 pytest -s …` takes each away for longer; the figures are printed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress

import psutil
import pytest

from connectors.kafka.source import end_offsets, fetch_all
from functions.codec import decode
from functions.topics import SYSTEM_ALERTS, outputs
from tests.platform.test_flows import FILLED, FLOWS, deployed
from tests.waiting import runs, until

pytestmark = [pytest.mark.platform, pytest.mark.timeout(1500)]

OUTAGE_S = float(os.environ.get("OUTAGE_S", "4"))
RECOVERY_S = 90.0  # generous: a machine may have other work
ENDS_S = 12.0  # five seconds by itself; here both cores have other work. Its exit code says that it ended by itself
STUCK_S = 40.0  # a machine under load may compile for long
PIPELINE, CACHE = "pipeline-paper", "cache-paper"
DAYS = iter(
    [
        f"2026-{month:02}-{day:02}"
        for month, day in ((9, 7), (9, 8), (9, 9), (9, 10), (9, 11), (9, 15), (9, 16), (9, 17))
    ]
)
# Whom the loss of a service concerns, and by what name it says so.
WHO_WAITS = {
    "redis": {CACHE: "redis"},
    "postgres": {PIPELINE: "lease", "connectors": "postgres"},
    "connect": {"connectors": "connect"},
    "kafka": {
        PIPELINE: "kafka (",
        CACHE: "kafka (",
        "archive": "kafka (",
    },  # whichever of its clients had something to do
}


@pytest.fixture(scope="module")
def desk(platform, tmp_path_factory):
    with deployed(platform, tmp_path_factory.mktemp("desk")) as desk:
        desk.panda("deploy", "apply", PANDA_DEPLOY__STUCK_S=f"{STUCK_S:g}")
        yield desk


def log_of(desk, name):
    return (desk.directory / ".services" / "logs" / "flows" / f"{name}.log").read_text()


def health(desk):
    port = re.findall(r'"url":"http://127\.0\.0\.1:(\d+)/', log_of(desk, "api"))[-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20) as answer:
        return json.load(answer)


@contextmanager
def feeding(desk, speed="5", seconds="1200"):
    """A feed beside us until the end of the block, where it is asked to stop; each of a day after the one before."""
    command = [
        sys.executable, "-m", "cli", "feed", "--source", "sim", "--speed", speed, "--seconds", seconds,
        "--date", next(DAYS),
    ]  # fmt: skip
    with (desk.directory / "feed.log").open("ab") as log:
        feed = subprocess.Popen(command, cwd=desk.directory, env=os.environ | desk.environment, stdout=log, stderr=log)
    try:
        before = sum(end_offsets(desk.platform.kafka, [FILLED]).values())
        until(lambda: sum(end_offsets(desk.platform.kafka, [FILLED]).values()) > before, what="the first fill")
        yield feed
        if feed.poll() is None:
            assert ends(feed)[0] == 0, (desk.directory / "feed.log").read_text()[-2000:]
    finally:
        feed.kill()
        feed.wait()


def ends(process):
    """Exit code, and seconds from SIGTERM to the end."""
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    return process.wait(60), round(time.monotonic() - began, 1)


@contextmanager
def gone(platform, service):
    """A service killed; at the end of the block it is there again."""
    [row] = platform.native.status([service])
    parent = psutil.Process(row.pid)
    family = parent.children(recursive=True)
    parent.kill()  # first: it would start others in their place
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    try:
        yield
    finally:
        platform.native.up([service])


def waits(desk):
    """What each flow says it waits for."""
    return {name: ", ".join(one.name for one in flow.waits_for) for name, flow in desk.flows().items()}


def well(desk):
    return all(flow.state == "live" and not flow.waits_for for flow in desk.flows().values())


def exactly_once(desk, since, counted):
    """Every fill of the log is there once, in Redis and in the lake; the state is what the journal folds to."""
    desk.traded()
    fills = desk.fills(since)
    assert len(fills) > 0
    assert len(set(fills)) == len(fills)
    assert desk.counted_fills() - counted == len(fills)
    until(lambda: desk.archived(fills) == len(fills), what="the last fill's way into the lake")
    return len(fills)


@pytest.mark.parametrize("service", ["redis", "connect", "postgres", "kafka"])
def test_a_service_that_is_gone_is_waited_for_and_nothing_is_lost_or_doubled(platform, desk, service):
    until(lambda: well(desk), what="a well desk")
    desk.traded()
    since, counted = end_offsets(platform.kafka, [FILLED]), desk.counted_fills()
    before = {name: flow.pid for name, flow in desk.flows().items()}
    with feeding(desk):
        with gone(platform, service):
            began = time.monotonic()
            until(
                lambda: all(name in waits(desk)[flow] for flow, name in WHO_WAITS[service].items()),
                60, f"that the flows say they wait for {service}: {waits(desk)}",
            )  # fmt: skip
            noticed_s = time.monotonic() - began
            said = health(desk)
            assert said["status"] == "degraded"
            assert {name for name, flow in said["flows"].items() if flow["waits_for"]} >= set(WHO_WAITS[service])
            down = [one["name"] for one in said["dependencies"] if one["state"] == "down"]
            assert down == [service] if service in ("redis", "kafka") else down == []
            time.sleep(max(0.0, OUTAGE_S - (time.monotonic() - began)))
        back = time.monotonic()
        until(lambda: well(desk), RECOVERY_S, f"recovery from the loss of {service}: {waits(desk)}")
        recovered_s = time.monotonic() - back
        if service in ("redis", "kafka"):
            until(lambda: health(desk)["status"] == "ok", RECOVERY_S, "health")
        time.sleep(2.0)
    fills = exactly_once(desk, since, counted)

    print(f"{service}: away {OUTAGE_S:g} s, noticed after {noticed_s:.1f} s, recovered {recovered_s:.1f} s after its return, "
          f"{fills} fills, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    assert {name: flow.pid for name, flow in desk.flows().items()} == before  # they waited, nobody died
    if service in ("connect", "postgres"):
        until(lambda: all(state["ok"] for state in desk.status()["connectors"]), 180, "the connectors' return")
    for flow in WHO_WAITS[service]:  # said once, and once that it is over
        lines = [json.loads(line) for line in log_of(desk, flow).splitlines() if line.startswith("{")]
        lost = [line["event"] for line in lines if line["event"].endswith(("reachable", "unreachable"))]
        assert lost, flow


def test_a_redis_and_a_broker_that_never_return_cost_no_memory_and_a_stop_takes_five_seconds(platform, desk):
    desk.traded()
    since, counted = end_offsets(platform.kafka, [FILLED]), desk.counted_fills()
    with feeding(desk, speed="60") as feed:
        with gone(platform, "redis"):
            grown = growth(desk, feed, 12.0)
            code, took = stopped(desk, CACHE)
            print(f"redis gone for good: MB grown {grown}; SIGTERM to {CACHE}: {took:.1f} s, exit code {code}")
            assert (code, took < ENDS_S) == (3, True)
            assert max(grown.values()) < 120
        until(lambda: well(desk), RECOVERY_S, "the cache's return")
        with gone(platform, "kafka"):
            grown = growth(desk, feed, 12.0)
            ended = {name: stopped(desk, name) for name in (PIPELINE, "archive", CACHE)}
            ended["feed"] = ends(feed)
            print(f"kafka gone for good: MB grown {grown}; SIGTERM: {ended}")
            assert ended[PIPELINE][0] == ended["feed"][0] == 3
            assert {code for code, _ in ended.values()} <= {0, 3}  # 0: all that it had read was written
            assert max(took for _, took in ended.values()) < ENDS_S
            assert max(grown.values()) < 120
    until(lambda: well(desk), 180, f"the flows' return: {desk.flows()}")
    exactly_once(desk, since, counted)


def growth(desk, feed, seconds):
    """How many MB more each process holds after these seconds; a warm-up of three is left out."""
    time.sleep(3.0)
    pids = {PIPELINE: desk.flows()[PIPELINE].pid, CACHE: desk.flows()[CACHE].pid, "feed": feed.pid}
    held = {name: psutil.Process(pid).memory_info().rss for name, pid in pids.items()}
    time.sleep(seconds)
    return {name: round((psutil.Process(pid).memory_info().rss - held[name]) / 1e6) for name, pid in pids.items()}


def stopped(desk, name):
    """Exit code, and seconds from SIGTERM to the end, of a flow that its supervisor starts again."""

    def deaths():
        return [line["exit_code"] for line in told(desk, "flow.died") if line["name"] == name]

    pid, before = desk.flows()[name].pid, len(deaths())
    os.kill(pid, signal.SIGTERM)
    began = time.monotonic()
    until(lambda: not runs(pid), 40, f"the end of {name}")
    took = round(time.monotonic() - began, 1)
    until(lambda: len(deaths()) > before, 10, "its report")
    return deaths()[-1], took


def told(desk, event):
    """What the supervisor has logged under this name."""
    lines = (desk.directory / ".services" / "logs" / "flows.out").read_text().splitlines()
    return [json.loads(line) for line in lines if f'"event":"{event}"' in line]


def test_a_flow_that_stands_still_is_killed_and_goes_on_without_loss_and_a_human_is_told(platform, desk):
    until(lambda: well(desk), what="a well desk")
    desk.traded()
    since, counted = end_offsets(platform.kafka, [FILLED]), desk.counted_fills()
    alerts = end_offsets(platform.kafka, [SYSTEM_ALERTS.name])
    with feeding(desk):
        before = desk.flows()[PIPELINE]
        os.kill(before.pid, signal.SIGSTOP)
        began = time.monotonic()
        until(lambda: desk.flows()[PIPELINE].stuck == before.stuck + 1, 60, "the killing")
        killed_s = time.monotonic() - began
        until(lambda: well(desk), RECOVERY_S, "the pipeline's return")
        print(
            f"stuck pipeline: killed after {killed_s:.1f} s (limit {STUCK_S:g}), live after {time.monotonic() - began:.1f} s"
        )
        assert STUCK_S - 5 < killed_s < STUCK_S + 40
    exactly_once(desk, since, counted)

    read = [decode(record.value).data for record in fetch_all(platform.kafka, [SYSTEM_ALERTS.name], alerts)]
    assert [(alert.severity, alert.subject) for alert in read if alert.code == "flow.stuck"] == [("warning", PIPELINE)]
    [state] = [s for s in desk.status()["flows"] if s["what"] == f"flow {PIPELINE}"]
    assert "because it was stuck" in state["detail"]


def test_under_load_every_flow_ends_by_itself_and_nothing_comes_after(platform, desk):
    until(lambda: well(desk), what="a well desk")
    with feeding(desk, speed="60"):
        assert desk.panda("deploy", "down") == f"stopped {', '.join(FLOWS)}\n"
        ends = end_offsets(platform.kafka, [topic.name for topic in outputs("paper")])
        lines = told(desk, "flow.stopped")[-len(FLOWS) :]
        print({line["name"]: (line["exit_code"], line["took_s"]) for line in lines})
        assert {line["name"]: line["exit_code"] for line in lines} == dict.fromkeys(FLOWS, 0)
        assert max(line["took_s"] for line in lines) < ENDS_S
    assert end_offsets(platform.kafka, [topic.name for topic in outputs("paper")]) == ends

    desk.panda("deploy", "apply")
    desk.traded()
    fills = desk.fills({})
    assert len(set(fills)) == len(fills) == desk.counted_fills()
