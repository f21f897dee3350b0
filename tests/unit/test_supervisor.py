"""The demo's supervisor: who has died, who may end, and who is live."""

import sys

import pytest

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
