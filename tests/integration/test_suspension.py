"""A strategy that never comes to an end, or that cannot be kept, is suspended on the log, which holds together."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from bytewax.testing import run_main

from connectors.kafka import journal as writing
from connectors.kafka.embedded import start_embedded
from connectors.kafka.source import fetch_all
from connectors.settings import Settings
from dataflows import backtest, pipeline, recovery
from dataflows.process import READY_FILE
from dataflows.suspension import FlowHost
from functions.assignment import Seat
from functions.codec import decode
from functions.events import PaperVenue, StrategyConfig
from functions.journal import Copies, Suspension, standing
from functions.topics import SYSTEM_ALERTS, outputs
from tests.chaos.checks import faults_of
from tests.chaos.history import History
from tests.crash import Crash
from tests.desk import account
from tests.e2e.processes import wait_until_read
from tests.market import walk
from tests.recorded import config_events, tick_events
from tests.traded import ACCOUNT, INSTRUMENTS, STRATEGIES, TOKENS, write
from tests.waiting import until

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parents[2]
TICKS = walk(2_000, len(TOKENS), 0.0006, 5, step_ns=20_000_000)
EVENTS = tick_events(TICKS, TOKENS)
OTHER = account("other", venue=PaperVenue())
LIMIT_S = 0.5

GUESTS = """
import time
from strategies.protocol import strategy

AT = 150

class Guest:
    fields = ("price",)
    def __init__(self, calm: bool = False):
        self.calm, self.seen = calm, 0
    def on_tick(self, tick):
        self.seen += 1
        if self.seen == AT and not self.calm:
            self.begin()
        return 1 if self.seen % 10 == 0 else 0

class Loops(Guest):
    def begin(self):
        while True:
            try:
                time.sleep(0.01)
            except BaseException:
                pass

class KeepsTooMuch(Guest):
    def begin(self):
        self.kept = lambda: 0

@strategy(state=[("seen", "i8")], calm=0)
def compiled(state, tick, params):
    state.seen += 1
    step = state.seen
    while params.calm == 0 and state.seen == 150 and step < 200:
        step = 150 + (step + 1) % 7
    return 1 if state.seen % 10 == 0 else 0
"""


@pytest.fixture
def log(tmp_path):
    (tmp_path / "guests.py").write_text(GUESTS)
    with start_embedded(tmp_path) as broker:
        settings = Settings(data_dir=tmp_path, kafka={"bootstrap": broker.bootstrap, "embedded": True})
        write(settings, config_events(INSTRUMENTS, [ACCOUNT, OTHER], STRATEGIES))
        yield settings


def guest(settings, name, **parameters):
    """Configures a guest, beside the others and with an account of its own."""
    implementation = f"{settings.data_dir}/guests.py:{name}"
    write(settings, config_events([], [], [StrategyConfig("guest", implementation, parameters, TOKENS, ["other"])]))


class Worker:
    """The process of a pipeline."""

    def __init__(self, settings, name):
        self.ready = settings.data_dir / f"{name}.ready"
        environment = {**os.environ, READY_FILE: str(self.ready), "PANDA_DATA_DIR": str(settings.data_dir),
                       "PANDA_KAFKA__BOOTSTRAP": settings.kafka.bootstrap, "PANDA_KAFKA__EMBEDDED": "true",
                       "PANDA_STRATEGIES__LIMIT_S": str(LIMIT_S)}  # fmt: skip
        command = [sys.executable, "-m", "cli", "run", "pipeline"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)

    def until_live(self):
        until(lambda: self.ready.exists() or self.process.poll() is not None, 120, "the worker's start")
        return self

    def ended(self):
        """Its exit code and what it said."""
        _, err = self.process.communicate(timeout=120)
        return self.process.returncode, err

    def stopped(self):
        self.process.terminate()
        return self.ended()[0]


@pytest.fixture
def worker(log):
    started = []

    def start(name):
        started.append(Worker(log, name))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


def run(settings):
    run_main(pipeline.live(settings, until_end=True), epoch_interval=timedelta(seconds=0.1))


def crashes(settings):
    """Whether a run ends in a crash. What leaves Bytewax may be no `Exception`; behind it is ours."""
    try:
        run(settings)
    except BaseException as error:
        ended: BaseException | None = error
        while ended is not None and not isinstance(ended, Crash):
            ended = ended.__cause__ or ended.__context__
        return ended is not None
    return False


def of_the_others(settings):
    """What all others have decided, by topic and key in order; the guest has an account of its own."""
    copies = Copies()
    found = {}
    for topic in outputs("paper"):
        for r in fetch_all(settings.kafka, [topic.name]):
            if not copies.is_copy(r.topic, r.partition, r.headers) and b'"guest"' not in r.value and r.key != b"other":
                found.setdefault(topic.name, {}).setdefault(r.key, []).append(r.value)
    return found


@pytest.fixture(scope="module")
def undisturbed():
    """The same without the guest."""
    found = {}
    published = []
    backtest.run(TICKS, INSTRUMENTS, ACCOUNT, STRATEGIES, on_events=published.extend)
    for topic, key, value, _ in published:
        found.setdefault(topic, {}).setdefault(key, []).append(value)
    return found


def suspensions(settings):
    """The alerts of it."""
    alerts = [decode(r.value).data for r in fetch_all(settings.kafka, [SYSTEM_ALERTS.name])]
    return [(a.severity, a.subject, a.message) for a in alerts if a.code == "strategy_suspended"]


def wanted_by_the_guest(settings):
    signals = [decode(r.value).data for r in fetch_all(settings.kafka, ["paper.signals.raw"])]
    return sum(signal.strategy == "guest" for signal in signals)


def holds_together(settings):
    """The judge of the chaos tests: nothing lost, doubled or contradicted; the state is what the journal says."""
    return faults_of(History.read(settings.kafka, [Seat()]))


@pytest.mark.parametrize("name", ["Loops", "compiled"])
def test_a_strategy_that_never_comes_to_an_end_is_suspended_and_the_others_decide_on_every_tick_once(
    log, worker, undisturbed, name
):
    guest(log, name)
    write(log, EVENTS[:500])
    first = worker("first").until_live()
    write(log, EVENTS[500:])

    code, said = first.ended()
    assert code == 3, said
    second = worker("second").until_live()
    wait_until_read(log.kafka)

    assert "error: strategy guest had not come to an end on market.ticks[" in said
    assert "after 0.5 s: it is suspended" in said
    assert second.stopped() == 0
    assert of_the_others(log) == undisturbed
    [(severity, subject, message)] = suspensions(log)
    assert (severity, subject) == ("critical", "guest")
    assert message.startswith("guest had not come to an end on market.ticks[")
    assert holds_together(log) == {}


def test_a_strategy_that_cannot_be_kept_is_suspended_at_the_next_snapshot(log, worker, undisturbed):
    guest(log, "KeepsTooMuch")
    write(log, EVENTS)
    code, said = worker("first").ended()
    assert code == 3, said
    second = worker("second").until_live()
    wait_until_read(log.kafka)

    assert second.stopped() == 0
    assert "error: strategy guest keeps what cannot be kept (" in said
    assert of_the_others(log) == undisturbed
    assert len(suspensions(log)) == 1
    assert holds_together(log) == {}


def test_a_strategy_that_cannot_be_kept_after_a_crash_is_suspended_at_the_start(log, undisturbed, monkeypatch):
    """The crash came before it was written that it cannot be kept."""
    guest(log, "KeepsTooMuch")
    write(log, EVENTS)

    def crash(host, strategy, reason):
        raise Crash(strategy)

    with monkeypatch.context() as crashing:
        crashing.setattr(FlowHost, "suspend", crash)
        assert crashes(log)

    run(log)

    assert of_the_others(log) == undisturbed
    assert len(suspensions(log)) == 1
    assert holds_together(log) == {}


def test_a_crash_between_a_suspension_and_its_alert_leaves_one_alert(log, undisturbed):
    guest(log, "Loops", calm=True)
    write(log, EVENTS[:1_000])
    run(log)
    recovered = recovery.recover(log, "paper")
    recovered.log.suspend("guest", "was told so")
    recovered.log.close()
    before = wanted_by_the_guest(log)
    write(log, EVENTS[1_000:])

    run(log)
    run(log)

    assert suspensions(log) == [
        ("critical", "guest", "guest was told so: it gets no more ticks, until its configuration changes")
    ]
    assert wanted_by_the_guest(log) == before > 0
    assert of_the_others(log) == undisturbed
    assert holds_together(log) == {}


def test_another_configuration_lifts_a_suspension(log):
    guest(log, "Loops", calm=True)
    write(log, EVENTS[:1_000])
    run(log)
    recovered = recovery.recover(log, "paper")
    recovered.log.suspend("guest", "was told so")
    recovered.log.close()
    run(log)
    before = wanted_by_the_guest(log)

    guest(log, "compiled", calm=1)
    write(log, EVENTS[1_000:])
    run(log)

    assert wanted_by_the_guest(log) > before
    assert holds_together(log) == {}


def test_a_worker_that_has_been_replaced_suspends_nobody(log):
    place = recovery.Journal.of(log.kafka, "paper", Seat())
    paused, successor = place.log(), place.log()
    paused.start(["market.ticks"])
    successor.start(["market.ticks"])

    with pytest.raises(writing.Replaced):
        paused.suspend("guest", "was slow")

    _, end = writing.journal_ends(log.kafka, place.partition)
    lines = [line for _, line in standing(writing.read_lines(log.kafka, "paper-0", place.partition, 0, end), -1)]
    assert not any(isinstance(line, Suspension) for line in lines)


def test_a_strategy_that_could_not_be_kept_from_the_beginning_is_refused(log):
    (log.data_dir / "locked.py").write_text(
        "import threading\n"
        "class Locked:\n"
        "    def __init__(self):\n"
        "        self.lock = threading.Lock()\n"
        "    def on_tick(self, tick):\n"
        "        return 1\n"
    )
    write(log, EVENTS[:200])
    run(log)
    locked = StrategyConfig("locked", f"{log.data_dir}/locked.py:Locked", {}, TOKENS, ["other"])
    write(log, config_events([], [], [locked, msgspec.structs.replace(locked, strategy="again")]))

    run(log)

    alerts = [decode(r.value).data for r in fetch_all(log.kafka, [SYSTEM_ALERTS.name])]
    refused = [a for a in alerts if a.code == "configuration_refused"]
    assert [a.subject for a in refused] == ["locked", "again"]
    assert (
        "strategy locked keeps what cannot be kept (TypeError: cannot pickle '_thread.lock' object)"
        in refused[0].message
    )
