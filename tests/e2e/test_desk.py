"""The whole desk end to end, by the demo and deployed: every process real, every count the same wherever it is asked for."""

import signal
from typing import Any, NamedTuple

import psutil
import pytest

from tests.e2e.runs import Demo, deployed
from tests.ground import PLACES
from tests.waiting import runs, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PAPER = ("signals.raw", "signals.rejected", "orders.submitted", "orders.filled", "pnl.snapshots")


@pytest.fixture(scope="module", params=PLACES)
def place(request, tmp_path_factory):
    """Makes a desk for a folder: demos begin afresh each time, a deployment is one for all tests."""
    if request.param == "embedded":
        yield Demo
        return
    with deployed(request.getfixturevalue("platform"), tmp_path_factory.mktemp("desk")) as desk:
        yield lambda directory: desk


@pytest.fixture
def desk(place, tmp_path):
    return place(tmp_path)


# --- a run of half a minute, which ends by itself, with a strategy of one's own beside the built-in ones ----------------

MINE = """
class Mine:
    fields = ('price',)
    def __init__(self):
        self.seen = 0
    def on_tick(self, tick):
        self.seen += 1
        return (1 if self.seen % 100 else -1) if self.seen % 50 == 0 else 0
"""


class Traded(NamedTuple):
    """A desk after a run, and the summary of the run."""

    desk: Any
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def traded(place, tmp_path_factory):
    directory = tmp_path_factory.mktemp("traded")
    (directory / "mine.py").write_text(MINE)
    desk = place(directory / "desk")
    with desk.trading(seconds=25, speed=15, strategy=f"{directory / 'mine.py'}:Mine") as run:
        return Traded(desk, run.end())


def test_it_trades_and_log_lake_and_api_agree(traded):
    counts = traded.summary["counts"]
    assert all(counts[f"paper.{name}"] > 0 for name in PAPER), counts
    active = [s for s in traded.summary["strategies"].values() if s["signals"] and s["orders"] and s["fills"]]
    assert len(active) >= 4
    for strategy in traded.summary["strategies"].values():
        assert strategy["signals"] == strategy["rejected"] + strategy["orders"]
    assert 0 < traded.summary["first_fill_s"] < 60
    assert counts["market.ticks.dlq"] > 0  # the simulator sends bad ticks
    for view, topic in (("pnl", "pnl.snapshots"), ("fills", "orders.filled"), ("signals", "signals.raw")):
        rows = traded.desk.rows(f"select count(*) as n from {view}")
        assert rows == [{"n": counts[f"paper.{topic}"]}]
    (rejected,) = traded.desk.rows("select count(distinct id) as n from rejections")
    assert rejected["n"] == counts["paper.signals.rejected"]


def test_a_strategy_of_ones_own_trades(traded):
    mine = traded.summary["strategies"]["mine"]
    assert mine["signals"] > 0
    assert mine["fills"] > 0


# --- a run to which things happen, until it is told to end --------------------------------------------------------------


class Eventful(NamedTuple):
    """What was seen of a run: a replay of its log, how its rivals ended, its fills before its broker went and at the end."""

    proof: dict[str, Any]
    rivals: list[tuple[Any, int, str]]
    fills_before: int
    fills: int


@pytest.fixture(scope="module")
def eventful(place, tmp_path_factory):
    with place(tmp_path_factory.mktemp("eventful")).trading(speed=5) as run:  # slow: the embedded broker forgets
        run.until_trading()
        proof = until(lambda: of_more_than(20, run.replayed()), 90, "a snapshot behind twenty entries", pause=4.0)
        rivals = beside(run)
        run.until_trading(beyond=run.fills())
        before = run.fills()
        run.broker.suspend()
        try:
            until(lambda: "kafka.unreachable" in run.log("pipeline"), 60, "word of the broker's absence")
        finally:
            run.broker.resume()
        run.until_trading(beyond=before)
        return Eventful(proof, rivals, before, run.end()["counts"]["paper.orders.filled"])


def of_more_than(entries, proof):
    """A replay, if it was long enough."""
    return proof if proof["entries"] > entries else None


def beside(run):
    """Every command that must not run beside it, started at once: how each ended, and what it said."""
    started = [(rival, rival.start(run.desk.environment)) for rival in run.rivals]
    return [(rival, process.wait(90), process.communicate()[1]) for rival, process in started]


def test_its_log_decided_on_again_gives_the_events_that_were_published(eventful):
    assert eventful.proof["shard"] == "paper-0"
    assert eventful.proof["records"] > eventful.proof["entries"]


def test_whatever_would_run_beside_it_is_refused_and_it_goes_on(eventful):
    assert len(eventful.rivals) >= 2
    for rival, code, said in eventful.rivals:
        assert (code, rival.says in said) == (rival.code, True), said
    assert eventful.fills_before > 0


def test_a_broker_that_is_away_is_waited_for_and_said(eventful):
    assert eventful.fills > eventful.fills_before


def test_nothing_outlives_what_started_it_and_was_killed(desk):
    with desk.trading() as run:
        run.until_trading()
        everyone = list(run.flows.values())
        assert len(everyone) >= 4
        run.head.kill()

        _, alive = psutil.wait_procs(everyone, timeout=20)
        assert [process.cmdline() for process in alive] == []


@pytest.mark.parametrize("place", PLACES[:1], indirect=True)
@pytest.mark.parametrize("begun", ["connectors.kafka.embedded", "pipeline"])
def test_an_interrupt_while_it_starts_ends_a_demo_at_once_and_all_that_it_has_started(desk, begun):
    with desk.trading() as run:
        until(lambda: any(begun in started.cmdline() for started in run.head.children()), what=f"the start of {begun}")
        everyone = run.head.children()
        run.process.send_signal(signal.SIGINT)
        out, err = run.process.communicate(timeout=60)

    assert (run.process.returncode, out, err.removeprefix("demo: starting\n")) == (130, "", "")
    assert not [process for process in everyone if runs(process.pid)]


@pytest.mark.parametrize("place", PLACES[:1], indirect=True)
def test_a_dead_flow_ends_a_demo_which_says_its_name_and_last_lines(desk):
    with desk.trading() as run:
        run.until_trading()
        everyone = run.head.children(recursive=True)
        run.flows["cache"].kill()
        _, err = run.process.communicate(timeout=90)

    assert run.process.returncode != 0
    assert "cache ended with exit code -9" in err
    assert not [process for process in everyone if runs(process.pid)]


@pytest.mark.parametrize("place", PLACES[1:], indirect=True)
def test_a_dead_flow_of_a_deployment_is_named_and_started_again_and_nothing_is_lost_or_counted_twice(desk):
    with desk.trading() as run:
        run.until_trading()
        before = {flow.name: flow for flow in desk.flows()}
        for name in ("cache-paper", "archive"):
            psutil.Process(before[name].pid).kill()
        run.until_trading(beyond=run.fills())
        run.end()  # log, lake and API agree

    again = {flow.name: flow for flow in desk.flows()}
    assert [name for name in again if again[name].restarts > before[name].restarts] == ["archive", "cache-paper"]
    assert [again[name].exit_code for name in ("archive", "cache-paper")] == [-9, -9]
    assert '"event":"flow.died","name":"cache-paper"' in (desk.root / "logs" / "flows.out").read_text()
