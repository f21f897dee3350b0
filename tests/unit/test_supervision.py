"""Keeping flows: when one is started again, and what the supervisor does with real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from deploy.flows.control import Control
from deploy.flows.declared import Flow
from deploy.flows.environment import declared_environment
from deploy.flows.keeper import Keeper
from deploy.flows.records import Request, read_report, request_file
from deploy.flows.voice import Voice, kafka_of
from deploy.plan.flows import _state
from deploy.services.places import PROJECT
from deploy.supervisor import Child, ChildDied, Supervisor
from functions.events import SystemAlert
from tests.kept import LEAVES, STAYS, flow
from tests.waiting import until

# --- kept: real processes ---------------------------------------------------------------------------------------------


@pytest.fixture
def keeper(tmp_path):
    """A keeper that loses no time between restarts; it gives up after two."""
    made = Keeper(tmp_path, tmp_path / "logs", "v1", first_s=0.05, limit=2)
    yield made
    made.stop()


def states(keeper):
    return {f.name: f.state for f in read_report(keeper.run).flows}


def work(keeper, condition):
    def done():
        keeper.round()
        return condition()

    until(done)


def test_a_flow_waits_for_those_before_it_and_not_for_one_that_has_failed(keeper):
    keeper.take(Request("r", [flow("wrong", "exit(2)"), flow("first", STAYS), flow("second", STAYS)]))
    keeper.round()
    assert states(keeper) == {"wrong": "starting", "first": "waiting", "second": "waiting"}

    work(keeper, lambda: states(keeper) == {"wrong": "failed", "first": "live", "second": "live"})


@pytest.mark.parametrize(("code", "why"), [(2, "wrong configuration"), (4, "unsafe to continue")])
def test_what_is_wrong_or_unsafe_is_not_started_again_and_says_so_with_its_last_lines(keeper, code, why):
    keeper.take(Request("r", [flow("a", f"print('the reason', flush=True); exit({code})")]))

    work(keeper, lambda: states(keeper) == {"a": "failed"})
    [told] = read_report(keeper.run).flows
    assert (told.restarts, told.exit_code, told.last_lines) == (0, code, "  | the reason")
    assert told.reason == f"ended with exit code {code}, {why}: not started again by itself"


def test_a_flow_that_ends_again_and_again_is_left_alone_until_it_is_asked_for_anew(keeper):
    keeper.take(Request("r", [flow("a", "exit(1)")]))

    work(keeper, lambda: states(keeper) == {"a": "failed"})
    [told] = read_report(keeper.run).flows
    assert (told.restarts, told.reason) == (2, "ended with exit code 1, after 2 restarts in a row: left alone")

    keeper.take(Request("again", [flow("a", STAYS)]))
    work(keeper, lambda: states(keeper) == {"a": "live"})


def test_a_flow_whose_dependency_is_down_is_never_given_up(keeper):
    keeper.first_s = 0.001
    keeper.take(Request("r", [flow("a", "exit(3)")]))

    work(keeper, lambda: read_report(keeper.run).flows[0].restarts > keeper.limit + 1)
    assert read_report(keeper.run).flows[0].state != "failed"


def test_a_flow_that_is_killed_is_started_again(keeper):
    keeper.take(Request("r", [flow("a", STAYS)]))
    work(keeper, lambda: states(keeper) == {"a": "live"})
    before = read_report(keeper.run).flows[0].pid
    os.kill(before, signal.SIGKILL)

    work(keeper, lambda: states(keeper) == {"a": "restarting"})
    assert read_report(keeper.run).flows[0].reason == "killed by signal 9; started again after 0.05 s"
    work(keeper, lambda: states(keeper) == {"a": "live"})
    [after] = read_report(keeper.run).flows
    assert (after.restarts, after.pid == before) == (1, False)


def test_a_flow_that_has_been_live_for_long_is_forgiven_its_earlier_deaths(keeper):
    ahead = 0.0
    keeper.now = lambda: time.monotonic() + ahead
    keeper.take(Request("r", [flow("a", STAYS)]))
    for times in range(4):  # of which two in a row would be one too many
        work(keeper, lambda: states(keeper) == {"a": "live"})
        ahead += 400.0
        keeper.round()
        os.kill(read_report(keeper.run).flows[0].pid, signal.SIGKILL)
        work(keeper, lambda times=times: read_report(keeper.run).flows[0].restarts == times + 1)


def test_a_report_that_cannot_be_written_stops_no_flow_and_is_written_once_it_can(keeper, tmp_path):
    keeper.take(Request("r", [flow("a", STAYS)]))
    work(keeper, lambda: states(keeper) == {"a": "live"})
    pid = read_report(keeper.run).flows[0].pid
    keeper.run = tmp_path / "gone"
    keeper.take(Request("s", [flow("a", STAYS)]))
    keeper.round()
    assert psutil.pid_exists(pid)

    keeper.run.mkdir()
    keeper.round()
    assert (read_report(keeper.run).request, read_report(keeper.run).flows[0].pid) == ("s", pid)


def test_a_flow_gets_what_it_is_declared_with_and_nothing_of_its_supervisors_environment(keeper, monkeypatch, tmp_path):
    monkeypatch.setenv("FROM_THE_SHELL", "x")
    said = f"import os, json; print(json.dumps(sorted(os.environ)), flush=True); {STAYS}"
    keeper.take(Request("r", [flow("a", said, PANDA_LOG__LEVEL="INFO", **declared_environment())]))
    work(keeper, lambda: states(keeper) == {"a": "live"})

    assert set(json.loads((keeper.logs / "a.log").read_text())) == {
        "PANDA_LOG__LEVEL", "PANDA_READY_FILE", "PANDA_FLOWS_REPORT",
        "HOME", "LANG", "OPENBLAS_NUM_THREADS", "PATH", "PYTHONPATH", "TZ",
    }  # fmt: skip


def test_a_user_whom_the_system_does_not_list_lives_where_it_works(monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)

    assert declared_environment()["HOME"] == os.getcwd()


def test_a_request_stops_what_it_leaves_out_starts_anew_what_it_changes_and_leaves_the_rest(keeper):
    a, b, c = flow("a", STAYS), flow("b", LEAVES), flow("c", STAYS)
    keeper.take(Request("r", [a, b, c]))
    work(keeper, lambda: set(states(keeper).values()) == {"live"})
    before = {f.name: f.pid for f in read_report(keeper.run).flows}

    keeper.take(Request("s", [replace(a, environment={"X": "1"}), c]))
    work(keeper, lambda: states(keeper) == {"a": "live", "c": "live"})
    after = {f.name: f.pid for f in read_report(keeper.run).flows}
    assert after["c"] == before["c"]
    assert after["a"] != before["a"]
    assert not psutil.pid_exists(before["b"])
    assert (keeper.logs / "b.log").read_text() == "left cleanly\n"


# --- the supervisor's process -----------------------------------------------------------------------------------------


@pytest.fixture
def control(tmp_path):
    made = Control(tmp_path)
    yield made
    made.down()


def test_apply_starts_a_supervisor_whose_flows_go_with_it_and_down_leaves_no_process(control, tmp_path):
    control.apply([flow("a", STAYS), flow("b", STAYS)], patience_s=30)

    pids = [f.pid for f in control.report().flows]
    supervisor = psutil.Process(pids[0]).ppid()
    assert request_file(tmp_path / "run").stat().st_mode & 0o777 == 0o600
    assert control.down() == ["a", "b"]
    assert not any(psutil.pid_exists(pid) for pid in [supervisor, *pids])
    assert control.report() is None
    assert not request_file(tmp_path / "run").exists()


def test_flows_do_not_outlive_a_supervisor_that_is_killed_and_apply_starts_all_again(control):
    control.apply([flow("a", STAYS)], patience_s=30)
    pid = control.report().flows[0].pid
    psutil.Process(psutil.Process(pid).ppid()).kill()

    until(lambda: not psutil.pid_exists(pid))
    assert control.report() is None
    control.apply([flow("a", STAYS)], patience_s=30)
    assert [f.state for f in control.report().flows] == ["live"]


def test_a_second_supervisor_of_the_same_root_is_refused(control, tmp_path):
    control.apply([flow("a", STAYS)], patience_s=30)

    second = subprocess.run(
        [sys.executable, "-m", "deploy.flows.supervisor", str(tmp_path)], cwd=PROJECT, capture_output=True, text=True
    )

    assert second.returncode == 2
    assert "are kept by process" in second.stderr
    assert [f.state for f in control.report().flows] == ["live"]


def test_apply_says_why_a_flow_failed_with_its_exit_code_and_the_others_run_on(control):
    with pytest.raises(ChildDied, match="no such account") as failed:
        control.apply([flow("a", "print('no such account', flush=True); exit(2)"), flow("b", STAYS)], patience_s=30)

    assert failed.value.exit_code == 2
    assert {f.name: f.state for f in control.report().flows} == {"a": "failed", "b": "live"}


# --- heartbeats -------------------------------------------------------------------------------------------------------

BEATS = """
import os, pathlib, signal, sys, time
from connectors import dependencies, heartbeat
heartbeat.EVERY_S = 0.02
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
heartbeat.beat()
pathlib.Path(os.environ['PANDA_READY_FILE']).write_text('')
while True:
    if pathlib.Path('away').exists():
        dependencies.circuit('redis').open('refused')
    else:
        dependencies.circuit('redis').answered()
    heartbeat.beat()
    time.sleep(0.02)
"""


@pytest.fixture
def beating(keeper, tmp_path):
    """A keeper of one flow that beats, whose heartbeat may be three seconds old; and what it has alerted."""
    told = []
    keeper.alert = told.append
    one = flow("a", BEATS)
    one = replace(one, directory=str(tmp_path), environment=one.environment | {"PYTHONPATH": str(PROJECT)})
    keeper.take(Request("r", [one], stuck_s=3.0))
    work(keeper, lambda: states(keeper) == {"a": "live"})
    return told


def test_a_flow_that_stands_still_is_killed_and_started_again_with_an_alert(keeper, beating):
    before = read_report(keeper.run).flows[0].pid
    os.kill(before, signal.SIGSTOP)
    began = time.monotonic()

    work(keeper, lambda: states(keeper) == {"a": "restarting"})
    assert 2.0 < time.monotonic() - began < 12
    assert not psutil.pid_exists(before)
    [told] = read_report(keeper.run).flows
    assert told.reason in [f"stuck: no heartbeat for {n} s, killed; started again after 0.05 s" for n in range(3, 9)]
    work(keeper, lambda: states(keeper) == {"a": "live"})

    [after] = read_report(keeper.run).flows
    assert (after.restarts, after.stuck, after.pid == before) == (1, 1, False)
    assert [(alert.severity, alert.code, alert.subject) for alert in beating] == [("warning", "flow.stuck", "a")]


def test_a_flow_that_beats_lives_on_and_a_wall_clock_that_jumps_kills_nobody(keeper, beating, monkeypatch):
    before = read_report(keeper.run).flows[0].pid
    for jump in (-86_400, 86_400):
        monkeypatch.setattr("time.time", lambda jump=jump: 1.8e9 + jump)
        until_s = time.monotonic() + 4.0
        while time.monotonic() < until_s:
            keeper.round()
            time.sleep(0.05)

    assert (states(keeper), read_report(keeper.run).flows[0].pid) == ({"a": "live"}, before)
    assert beating == []


def test_a_supervisor_that_stood_still_itself_gives_its_flows_time_to_beat(keeper, beating):
    before = read_report(keeper.run).flows[0].pid
    os.kill(before, signal.SIGSTOP)
    real = time.monotonic
    keeper.now = lambda: real() + 100.0
    keeper.round()
    os.kill(before, signal.SIGCONT)
    until_s = real() + 4.0
    while real() < until_s:
        keeper.round()
        time.sleep(0.05)

    assert (states(keeper), read_report(keeper.run).flows[0].pid) == ({"a": "live"}, before)


def test_a_flow_says_for_what_it_waits_and_status_says_it_until_it_is_over(keeper, beating, tmp_path):
    (tmp_path / "away").touch()
    work(keeper, lambda: read_report(keeper.run).flows[0].waits_for)
    [told] = read_report(keeper.run).flows
    assert [(one.name, one.reason) for one in told.waits_for] == [("redis", "refused")]
    state = _state(flow("a", BEATS), told, None)
    assert not state.ok
    assert state.detail.endswith(f"; waits for redis since {told.waits_for[0].since}: refused")

    (tmp_path / "away").unlink()
    work(keeper, lambda: not read_report(keeper.run).flows[0].waits_for)
    assert _state(flow("a", BEATS), read_report(keeper.run).flows[0], None).ok


SLOW = """
import os, pathlib, time
from connectors import heartbeat
heartbeat.EVERY_S = 0.0
with heartbeat.busy("journal", lambda: f"decides its journal again: {pathlib.Path('lines').read_text()} of 9 lines"):
    while not pathlib.Path('decided').exists():
        heartbeat.beat()
        time.sleep(0.02)
heartbeat.remark("strategies", lambda: pathlib.Path('suspended').read_text())
pathlib.Path(os.environ['PANDA_READY_FILE']).touch()
while True:
    heartbeat.beat()
    time.sleep(0.02)
"""


def test_status_says_why_a_flow_is_not_live_yet_and_what_of_a_live_one_does_not_work(keeper, tmp_path):
    def told():
        return read_report(keeper.run).flows[0]

    (tmp_path / "lines").write_text("3")
    (tmp_path / "suspended").write_text("")
    one = flow("a", SLOW, PYTHONPATH=str(PROJECT))
    keeper.take(Request("r", [replace(one, directory=str(tmp_path))]))
    work(keeper, lambda: told().remarks == ["decides its journal again: 3 of 9 lines"])
    state = _state(one, told(), None)
    assert (state.ok, state.detail) == (
        False, f"starting since {told().since}: decides its journal again: 3 of 9 lines",
    )  # fmt: skip
    (tmp_path / "lines").write_text("7")
    work(keeper, lambda: told().remarks == ["decides its journal again: 7 of 9 lines"])

    (tmp_path / "decided").touch()
    work(keeper, lambda: told().state == "live" and not told().remarks)
    (tmp_path / "suspended").write_text("strategy momentum is suspended")
    work(keeper, lambda: told().remarks)
    assert _state(one, told(), None).detail.endswith("0 restarts; strategy momentum is suspended")
    (tmp_path / "suspended").write_text("")
    work(keeper, lambda: not told().remarks)
    assert _state(one, told(), None).detail.endswith("0 restarts")


@pytest.mark.parametrize(
    ("code", "severity", "told"),
    [(4, "critical", "flow.failed"), (2, "critical", "flow.failed"), (3, "warning", "flow.died")],
)
def test_every_death_is_an_alert_and_one_that_is_not_started_again_is_critical(keeper, code, severity, told):
    alerts = []
    keeper.alert = alerts.append
    keeper.take(Request("r", [flow("a", f"exit({code})")]))
    work(keeper, lambda: alerts)

    assert (alerts[0].severity, alerts[0].code, alerts[0].subject) == (severity, told, "a")
    assert f"flow a ended with exit code {code}" in alerts[0].message


def test_the_supervisor_speaks_by_a_user_who_may_write_alerts():
    flows = [
        Flow(
            name,
            [],
            {
                "PANDA_KAFKA__BOOTSTRAP": "127.0.0.1:1",
                "PANDA_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "PANDA_KAFKA__USERNAME": name,
                "PANDA_KAFKA__PASSWORD": "p",
            },
            ".",
            "v",
        )
        for name in ("archive", "api", "pipeline-paper")
    ]
    voice = Voice()

    voice.lend(flows)

    assert voice._users == [kafka_of(flows[2])]
    voice.lend([])
    voice.say(SystemAlert("info", "x", "x", "x"))  # nobody to speak by: nothing raises
    voice.breathe()
    voice.close()


# --- a demo's children ------------------------------------------------------------------------------------------------


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(tmp_path)
    yield made
    made.stop_all()


def ended(child):
    until(lambda: child.process is not None and child.process.poll() is not None)


def test_a_child_that_may_end_with_what_passes_is_started_again_as_often_as_it_may(supervisor):
    child = Child("pipeline", [sys.executable, "-c", "raise SystemExit(3)"], restarts=2)
    supervisor.start(child)
    for _ in range(2):
        first = child.process
        ended(child)
        supervisor.check()
        assert child.process is not first
    ended(child)

    with pytest.raises(ChildDied, match="pipeline ended with exit code 3"):
        supervisor.check()


@pytest.mark.parametrize(("code", "restarts"), [(4, 2), (0, 2), (3, 0)])
def test_a_child_that_ends_otherwise_has_died(supervisor, code, restarts):
    child = Child("pipeline", [sys.executable, "-c", f"raise SystemExit({code})"], restarts=restarts)
    supervisor.start(child)
    ended(child)

    with pytest.raises(ChildDied, match=f"pipeline ended with exit code {code}"):
        supervisor.check()
