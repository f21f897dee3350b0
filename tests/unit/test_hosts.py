"""What a process does for its strategies: it puts back what they change, and ends what never comes to an end."""

import contextlib
import decimal
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from connectors.output import kept_for_the_result
from dataflows.hosts import BacktestHost, ReplayHost
from dataflows.surroundings import Surroundings, unchanged
from functions.kernel import COMPILED
from strategies.protocol import strategy
from strategies.roster import Roster
from tests.desk import strategy as following
from tests.strategies import INSTRUMENTS, SAMPLES, TOKENS, prices, signed

HERE = __name__
ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 0.3


def beside(implementation, ticks, limit_s=LIMIT_S, **parameters):
    """Signals of an innocent strategy and failures of everybody, with this one beside it in a backtest."""
    configured = [
        following("a", TOKENS, implementation=implementation, parameters=parameters),
        following("z", TOKENS, implementation=f"{SAMPLES}:Counter"),
    ]
    with BacktestHost(limit_s) as host:
        made = Roster(INSTRUMENTS, configured, host)
        signals, failures = made.on_batch(ticks)
    return signed(signals[signals["strategy"] == 1]), failures


INNOCENT = [(n, 0, 1) for n in range(1, 6)]  # of six ticks


# --- surroundings -----------------------------------------------------------------------------------------------------


class Changes:
    """Changes one thing of the process that it runs in, on its third tick."""

    fields = ("price",)

    def __init__(self, what: str = "") -> None:
        self.what = what

    def on_tick(self, tick):
        if tick.price == 3.0:
            CHANGES[self.what]()
        return 0


def _swap_streams():
    sys.stdout = sys.stderr = sys.stdin = None


def _set_locale():
    import locale

    locale.setlocale(locale.LC_ALL, "C")


CHANGES = {
    "streams": _swap_streams,
    "recursion": lambda: sys.setrecursionlimit(5_000),
    "filters": lambda: warnings.simplefilter("ignore"),
    "no filters": warnings.resetwarnings,
    "other filters": lambda: setattr(warnings, "filters", []),
    "interrupts": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "ends": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "deaf": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}),
    "hooks": lambda: setattr(threading, "excepthook", None),
    "errors": lambda: setattr(sys, "excepthook", None),
    "folder": lambda: os.chdir("/"),
    "locale": _set_locale,
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_strategy_changes_around_itself_is_put_back_before_anybody_else_is_asked(what, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # so that a fault leaves nothing behind
    before = Surroundings.now()
    seen = []
    monkeypatch.setattr("tests.strategies.Counter.on_tick", lambda self, tick: seen.append(Surroundings.now()))

    _, failures = beside(f"{HERE}:Changes", prices(1, 2, 3, 4), what=what)

    assert failures == []
    assert [now == before for now in seen] == [True] * 4
    assert Surroundings.now() == before


class Precise:
    """Sets the contexts in which it computes, and keeps them to itself."""

    fields = ("price",)

    def __init__(self) -> None:
        decimal.getcontext().prec = 3
        np.seterr(all="ignore")

    def on_tick(self, tick):
        return int(decimal.getcontext().prec == 3 and np.geterr()["over"] == "ignore")


def test_a_strategys_decimal_and_numpy_contexts_are_its_own_from_batch_to_batch():
    before = decimal.getcontext().prec, np.geterr()
    made = Roster(INSTRUMENTS, [following("a", TOKENS, implementation=f"{HERE}:Precise")])

    wanted = [signed(made.on_batch(prices(1))[0]) for _ in range(2)]

    assert wanted == [[(0, 0, 1)]] * 2
    assert (decimal.getcontext().prec, np.geterr()) == before


def test_a_block_may_leave_the_surroundings_as_they_were():
    before = Surroundings.now()

    with contextlib.suppress(SystemExit), unchanged():
        sys.setrecursionlimit(3_000)
        raise SystemExit

    assert Surroundings.now() == before


class Forks:
    fields = ("price",)

    def on_tick(self, tick):
        if tick.price == 3.0:
            FORKED.append(os.fork())
        return 1


FORKED: list[int] = []


def test_a_copy_of_the_process_that_a_strategy_makes_ends_with_its_answer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of later Pythons: threads and fork
        beside(f"{HERE}:Forks", prices(1, 2, 3, 4))

    _, status = os.waitpid(FORKED[-1], 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_standard_output_is_for_the_result(capfd):
    with kept_for_the_result():
        print("print")
        os.write(1, b"write\n")
        os.system("echo system")
    print("result")

    out, err = capfd.readouterr()
    assert out == "result\n"
    assert sorted(err.splitlines()) == ["print", "system", "write"]


# --- time -------------------------------------------------------------------------------------------------------------


class Endless:
    """On its third tick it never comes to an end, in one way or another."""

    fields = ("price",)

    def __init__(self, how: str = "loops") -> None:
        self.how = how

    def on_tick(self, tick):
        if tick.price == 3.0:
            getattr(self, self.how)()
        return 1

    def loops(self):
        while True:
            pass

    def sleeps(self):
        time.sleep(1e6)

    def catches_errors(self):
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.01)

    def catches_some_more(self):
        """Only the third interrupt comes through."""
        for _ in range(2):
            with contextlib.suppress(BaseException):
                time.sleep(1e6)
        time.sleep(1e6)


@pytest.mark.parametrize("how", ["loops", "sleeps", "catches_errors", "catches_some_more"])
def test_a_strategy_that_never_comes_to_an_end_is_interrupted_and_suspended(how):
    began = time.monotonic()

    wanted, failures = beside(f"{HERE}:Endless", prices(1, 2, 3, 4, 5, 6), how=how)

    assert wanted == INNOCENT
    assert [(f.row, f.strategy, f.error, f.suspended) for f in failures] == [(2, "a", "Overdue", True)]
    assert failures[0].message == "no end of it within 0.3 s"
    assert time.monotonic() - began >= LIMIT_S


class Slow:
    fields = ("price",)

    def on_tick(self, tick):
        time.sleep(0.001)
        return 0


def test_a_strategy_that_is_slow_and_comes_to_an_end_has_its_time_for_each_thousand_ticks():
    _, failures = beside(f"{HERE}:Slow", prices(*[1.0] * 2_500), limit_s=30.0)

    assert failures == []


def test_a_limit_of_nothing_is_none():
    _, failures = beside(f"{HERE}:Slow", prices(*[1.0] * 20), limit_s=0)

    assert failures == []


class Alarms:
    """Sets an alarm clock that rings while another strategy is asked."""

    fields = ("price",)

    def on_tick(self, tick):
        if tick.price == 3.0:
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        return 1


def test_a_strategys_alarm_clock_rings_for_nobody_else(monkeypatch):
    monkeypatch.setattr("tests.strategies.Counter.on_tick", lambda self, tick: time.sleep(0.03) or 1)

    wanted, failures = beside(f"{HERE}:Alarms", prices(1, 2, 3, 4), limit_s=30.0)

    assert (len(wanted), failures) == (4, [])
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


class Naps:
    """Says that it begins, and takes a fraction of its time."""

    fields = ("price",)

    def on_tick(self, tick):
        if tick.price == 3.0:
            time.sleep(0.8)
        return 1


def test_a_process_that_is_stopped_itself_suspends_nobody_for_it():
    process = started("backtest", 2.0, f"{HERE}:Naps")
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"

    process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)  # longer than a strategy may take
    process.send_signal(signal.SIGCONT)

    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "4 []\n")


class OfBatches:
    def start(self, instruments):
        return []

    def on_batch(self, state, ticks):
        time.sleep(1e6)


def test_a_batch_that_is_never_answered_is_lost_and_the_strategy_suspended():
    wanted, failures = beside(f"{HERE}:OfBatches", prices(1, 2, 3, 4, 5, 6))

    assert wanted == INNOCENT
    assert [(f.row, f.error, f.suspended) for f in failures] == [(0, "Overdue", True)]


class Raises:
    """Raises what looks like the user's Ctrl-C, and is its own."""

    fields = ("price",)

    def on_tick(self, tick):
        if tick.price == 3.0:
            raise KeyboardInterrupt
        return 1


@strategy(state=[("seen", "i8")])
def endless(state, tick, params):
    state.seen += 1
    step = state.seen
    while state.seen == 3 and step < 10:
        step = (step + 1) % 7
    return 1


# --- processes that have to end ---------------------------------------------------------------------------------------

RUN = """
import sys, threading, time
from connectors.ending import interruptible
from dataflows.hosts import BacktestHost, ReplayHost
from strategies.roster import Roster
from tests.desk import strategy as following
from tests.strategies import INSTRUMENTS, TOKENS, prices

def tell():
    while looking._call is None or looking._call.at() != 2:
        time.sleep(0.01)
    print("there", flush=True)

host, limit, implementation = sys.argv[1:]
try:
    with interruptible(), {"backtest": BacktestHost, "replay": ReplayHost}[host](float(limit)) as looking:
        looking.place = "tick {} of the day".format
        made = Roster(INSTRUMENTS, [following("guest", TOKENS, implementation=implementation)], looking)
        threading.Thread(target=tell, daemon=True).start()
        signals, failures = made.on_batch(prices(1, 2, 3, 4))
        print(len(signals), [tuple(f) for f in failures])
except KeyboardInterrupt:
    sys.exit(130)
"""


class Stubborn:
    """Takes every interrupt for an error of its own."""

    fields = ("price",)

    def on_tick(self, tick):
        while tick.price == 3.0:
            try:
                time.sleep(0.01)
            except BaseException:
                time.sleep(0.0)
        return 1


class Deaf:
    """Keeps a Ctrl-C to itself, and comes to an end."""

    fields = ("price",)

    def on_tick(self, tick):
        if tick.price == 3.0:
            with contextlib.suppress(BaseException):
                time.sleep(60)
        return 1


class Waits:
    fields = ("price",)

    def on_tick(self, tick):
        if tick.price == 3.0:
            time.sleep(60)
        return 1


def started(host, limit_s, implementation):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, host, str(limit_s), implementation], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


ENDLESS = ["Stubborn", "endless"] if COMPILED else ["Stubborn"]  # without the compiler there is nothing like the second


@pytest.mark.parametrize("name", ENDLESS)
def test_a_backtest_of_what_cannot_be_interrupted_ends_with_1_and_says_where(name):
    process = started("backtest", LIMIT_S, f"{HERE}:{name}")

    out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (1, "there\n")
    assert (
        "error: strategy guest has not come to an end on tick 2 of the day within 0.3 s, and cannot be interrupted"
        in err
    )
    assert "\n  → look there for a loop without end" in err
    assert "Traceback" not in err


def test_a_replay_in_which_a_strategy_never_comes_to_an_end_is_unsafe():
    process = started("replay", LIMIT_S / ReplayHost.MORE, f"{HERE}:Waits")

    _, err = process.communicate(timeout=120)

    assert process.returncode == 4
    assert "error: strategy guest does not come to an end on tick 2 of the day, where it did before\n  → " in err


@pytest.mark.parametrize("name", [*ENDLESS, "Deaf", "Waits"])
def test_a_users_ctrl_c_ends_a_backtest_whatever_the_strategy_does(name):
    process = started("backtest", 0, f"{HERE}:{name}")
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"

    process.send_signal(signal.SIGINT)

    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_a_ctrl_c_that_a_strategy_makes_up_costs_it_the_tick():
    process = started("backtest", 60, f"{HERE}:Raises")

    out, _ = process.communicate(timeout=120)

    assert process.returncode == 0
    assert out.splitlines()[-1] == "3 [(2, 'guest', 'KeyboardInterrupt', '', False, 1)]"
