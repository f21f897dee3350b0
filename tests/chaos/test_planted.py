"""The checks judge real components: ours pass, and each deliberately broken variant of them is found out."""

import time

import bytewax.operators as op
import pytest
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage
from bytewax.dataflow import Dataflow

from connectors.kafka import journal as writing
from connectors.kafka.embedded import start_embedded
from connectors.kafka.journal import DecisionLog, Replaced
from connectors.kafka.source import end_offsets
from connectors.settings import Settings
from dataflows import pipeline
from functions.topics import decided
from tests.chaos import checks, load
from tests.chaos.by_hand import ByHand, history, market, run_to_the_end, write
from tests.chaos.relay import Network

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]


class Crash(Exception):
    """A process that ends here and now."""


@pytest.fixture
def log(tmp_path):
    """Settings of an embedded broker with half of a market on it."""
    with start_embedded(tmp_path) as broker:
        settings = Settings(data_dir=tmp_path, kafka=broker.settings)
        write(settings, load.configuration(1))
        write(settings, market()[:300])
        yield settings


def finished(settings):
    """The rest of the market, read by a worker as it should be."""
    write(settings, market()[300:])
    run_to_the_end(settings)


def found(settings, **more):
    return set(checks.faults_of(history(settings, **more)))


def worker(settings, request):
    made = ByHand(settings)
    request.addfinalizer(made.close)
    return made


def once(monkeypatch, of, name, broken):
    """This method is broken the first time that it is called with several events."""
    whole = getattr(of, name)
    left = [1]

    def maybe(events, *rest):
        left[0] -= len(events) > 1
        return broken(whole, events, *rest) if left[0] == 0 and len(events) > 1 else whole(events, *rest)

    monkeypatch.setattr(of, name, maybe)


def test_as_they_are_the_components_pass(log):
    run_to_the_end(log)
    finished(log)

    assert found(log) == set()


def test_a_sink_that_drops_one_output_is_found_out(log, monkeypatch):
    with monkeypatch.context() as broken:
        once(broken, writing, "_marked", lambda whole, events, prefix: whole(events[:-1], prefix))
        run_to_the_end(log)
    finished(log)

    assert "outputs_are_what_the_journal_says" in found(log)


def test_a_sink_that_writes_one_output_twice_is_found_out(log, monkeypatch):
    with monkeypatch.context() as broken:
        once(broken, writing, "_marked", lambda whole, events, prefix: whole([*events, events[-1]], prefix))
        run_to_the_end(log)
    finished(log)

    assert "outputs_are_what_the_journal_says" in found(log)


def test_a_log_that_publishes_before_the_journal_is_found_out_by_its_first_crash(log, monkeypatch, request):
    whole = DecisionLog.write

    def publish_first(self, batches, events):
        if not events:
            return whole(self, batches, events)
        self._writer.write(writing._marked(events, writing.mark_prefix(self.key, self.following)))
        self._writer.flush()
        raise Crash

    hasty = worker(log, request)
    monkeypatch.setattr(DecisionLog, "write", publish_first)
    with pytest.raises(Crash):
        hasty.decide_something()
    monkeypatch.undo()
    finished(log)

    assert "outputs_are_what_the_journal_says" in found(log)


def test_the_stock_kafka_sink_in_place_of_ours_is_found_out(log, monkeypatch):
    """Bytewax's own, at least once: no journal, no marks, no snapshots."""

    def stock(inputs, decisions, gate, signals, account, publish):
        flow = Dataflow("pipeline")
        received = op.input("inputs", flow, inputs)
        decided = op.map("decide", received, lambda item: publish(account(signals(gate(item[1])))))
        messages = op.flat_map(
            "messages", decided, lambda item: [KafkaSinkMessage(k, v, topic=t) for t, k, v, _ in item[1].events]
        )
        op.output("decisions", messages, KafkaSink([log.kafka.bootstrap], "system.alerts"))
        return flow

    with monkeypatch.context() as broken:
        broken.setattr(pipeline, "build", stock)
        run_to_the_end(log)
    finished(log)

    assert "outputs_are_what_the_journal_says" in found(log)


# --- ghosts and zombies -----------------------------------------------------------------------------------------------


def written(settings):
    """How many records its decisions are on the log."""
    return sum(end_offsets(settings.kafka, [topic.name for topic in decided("paper")]).values())


def until_still(count):
    """Waits until there is something and no more comes; how much."""
    deadline = time.monotonic() + 60
    last, since = 0, time.monotonic()
    while time.monotonic() < deadline:
        now = count()
        if now != last:
            last, since = now, time.monotonic()
        if last and time.monotonic() - since > 1.0:
            return last
        time.sleep(0.02)
    raise AssertionError(f"{last} after a minute")


def left_by_a_ghost(settings, monkeypatch, request):
    """A log on which a dead worker's outputs arrive after its successor has written them."""
    with Network() as network:
        relay = network.relay(int(settings.kafka.bootstrap.rpartition(":")[2]))
        behind = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"bootstrap": relay.bootstrap})})
        dying = worker(behind, request)
        dying.decide_something()
        dying.log.flush()
        dying.log._writer._producer.list_topics(
            timeout=10
        )  # a topic that it still had to ask about would be all it says
        # Held only once an entry has outputs: after one without, the next could never be acknowledged.
        waiting = dying.log._waiting
        monkeypatch.setattr(
            writing, "reached", lambda step: relay.hold() if step == "journalled" and waiting[0] else None
        )
        dying.decide_something()
        monkeypatch.undo()
        until_still(lambda: relay.kept)  # what it says reaches the relay
        relay.dead()
        finished(settings)
        before = written(settings)
        assert relay.deliver() > 0
        assert until_still(lambda: written(settings) - before) > 0


def test_what_a_ghost_leaves_is_found_by_readers_that_do_not_drop_it_and_is_nothing_to_those_that_do(
    log, monkeypatch, request
):
    left_by_a_ghost(log, monkeypatch, request)

    assert found(log) == set()
    assert "outputs_are_what_the_journal_says" in found(log, copies_count=True)


def woken(settings, request):
    """A worker that was paused, has been replaced, and wakes up to decide on what it had read."""
    zombie = worker(settings, request)
    zombie.decide_something()
    successor = worker(settings, request)
    successor.decide_something()
    zombie.decide_something()


def test_a_zombie_stops_at_its_next_entry_and_leaves_nothing(log, request):
    with pytest.raises(Replaced):
        woken(log, request)
    finished(log)

    assert found(log) == set()


def test_a_zombie_that_goes_on_is_found_out(log, monkeypatch, request):
    def whatever_lies_between(self, offset):
        self.following = offset + 1

    with monkeypatch.context() as broken:
        broken.setattr(DecisionLog, "_due", whatever_lies_between)
        woken(log, request)
        time.sleep(0.5)
    finished(log)

    assert "outputs_are_what_the_journal_says" in found(log)


def test_a_successor_that_does_not_write_what_was_cut_off_is_found_out(log, monkeypatch, request):
    dying = worker(log, request)
    with monkeypatch.context() as broken:
        broken.setattr(DecisionLog, "_publish", lambda self: (self._answers.clear(), self._waiting.clear()))
        dying.decide_something()
    with monkeypatch.context() as broken:
        broken.setattr(DecisionLog, "republish", lambda self, events, offset, missing: 0)
        run_to_the_end(log)
    finished(log)

    assert "outputs_are_what_the_journal_says" in found(log)
