"""The demo's supervisor: who has died, who may end, and who is live."""

import sys

import pytest

from connectors.errors import DependencyError
from deploy.services.places import PROJECT
from deploy.supervisor import Child, ChildDied, Supervisor
from tests.kept import LIVE, STAYS
from tests.waiting import until


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(tmp_path)
    yield made
    made.stop_all()


def child(name, program, **more):
    return Child(name, [sys.executable, "-c", program], **more)


def ended(one):
    return until(lambda: one.process.poll() is not None)


def test_what_may_end_and_has_ended_before_the_others_are_live_is_waited_for_no_longer(supervisor):
    feed, flow = child("feed", "pass", ends=True), child("flow", STAYS)
    supervisor.start(feed)
    ended(feed)
    supervisor.start(flow)

    assert supervisor.wait_until_live(feed, flow)
    supervisor.check()
    assert supervisor.stop(feed) == 0


def test_what_may_end_but_fails_has_died_with_its_own_exit_code(supervisor):
    feed = child("feed", "print('no such file'); exit(2)", ends=True)
    supervisor.start(feed)
    ended(feed)

    with pytest.raises(ChildDied, match=r"feed ended with exit code 2; its last lines:\n  \| no such file") as died:
        supervisor.wait_until_live(feed)
    assert died.value.exit_code == 2


def test_what_may_not_end_has_died_even_with_code_0(supervisor):
    flow = child("flow", LIVE)
    supervisor.start(flow)
    ended(flow)

    with pytest.raises(ChildDied, match="flow ended with exit code 0"):
        supervisor.check()


def test_a_stop_that_is_asked_for_ends_the_waiting(supervisor):
    flow = child("flow", "import time; time.sleep(600)")
    supervisor.start(flow)

    assert supervisor.wait_until_live(flow, stop=lambda: True) is False


# --- a child that takes its time --------------------------------------------------------------------------------------

COMPILES = """
import os, pathlib, sys, time
from connectors.heartbeat import busy
with busy("engine", lambda: "compiles the engine"):
    while not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.01)
pathlib.Path(os.environ['PANDA_READY_FILE']).touch()
time.sleep(600)
"""


def compiling(path, **more):
    return Child("pipeline", [sys.executable, "-c", COMPILES, str(path)], {"PYTHONPATH": str(PROJECT)}, **more)


def test_a_child_that_says_what_takes_it_so_long_is_waited_for_beyond_its_time(supervisor, tmp_path):
    flow = compiling(tmp_path / "compiled", start_s=10.0)
    supervisor.start(flow)
    until(lambda: supervisor.remarks(flow))
    assert supervisor.remarks(flow) == ["compiles the engine"]
    flow.started -= 60.0
    looks = 0

    def look():
        nonlocal looks
        looks += 1
        if looks == 5:
            (tmp_path / "compiled").touch()
        return False

    assert supervisor.wait_until_live(flow, stop=look)
    assert looks >= 5


def test_a_child_that_is_silent_for_its_time_is_late_and_so_is_one_that_is_never_done(supervisor, tmp_path):
    silent = child("api", "import time; print('begun', flush=True); time.sleep(600)", start_s=0.2)
    supervisor.start(silent)
    with pytest.raises(DependencyError, match=r"api is not live after \d+ s; its last lines:"):
        supervisor.wait_until_live(silent)
    supervisor.stop(silent)

    flow = compiling(tmp_path / "compiled", start_s=0.2)
    supervisor.start(flow)
    until(lambda: supervisor.remarks(flow))
    flow.started -= 1_000.0
    with pytest.raises(DependencyError, match=r"pipeline is not live after 1\d{3} s, it compiles the engine; its last"):
        supervisor.wait_until_live(flow)


# Asked to stop it ends itself with 3 the first times, as a pipeline that has just suspended a strategy does.
TIRES = """
import os, pathlib, signal, sys, time
ends = pathlib.Path(sys.argv[1])
def end(*_):
    ends.write_text(ends.read_text() + "x")
    sys.exit(3 if len(ends.read_text()) <= int(sys.argv[2]) else 0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(os.environ["PANDA_READY_FILE"]).touch()
while True: time.sleep(0.01)
"""


@pytest.mark.parametrize(("times", "code", "asked"), [(0, 0, 1), (2, 0, 3), (3, 3, 3)])
def test_who_ends_itself_to_be_started_again_while_it_is_asked_to_stop_is_started_and_asked_again(
    supervisor, tmp_path, times, code, asked
):
    ends, waited = tmp_path / "ends", []
    ends.touch()
    one = Child("flow", [sys.executable, "-c", TIRES, str(ends), str(times)], restarts=2)
    supervisor.start(one)
    supervisor.wait_until_live(one)

    assert supervisor.end(one, lambda: waited.append(len(ends.read_text()))) == code

    assert waited == list(range(asked)), "before each stop"
    assert ended(one)
    assert supervisor.children == []
