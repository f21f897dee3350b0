"""Recovery on the embedded broker: after a crash at any step the log equals that of an undisturbed run."""

from collections import Counter, defaultdict
from datetime import timedelta

import msgspec
import pytest
from bytewax.testing import run_main

from connectors import lease
from connectors.errors import FatalError
from connectors.kafka import journal as writing
from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing
from connectors.kafka.source import fetch_all
from connectors.settings import Settings
from dataflows import backtest, pipeline, rebuilding, recovery
from dataflows.feed import configured_instruments
from functions.assignment import Seat
from functions.codec import decode, encode, envelope
from functions.events import Command
from functions.journal import Copies, Opening, standing
from functions.money import micro
from functions.topics import COMMANDS, PIPELINE_SNAPSHOTS, outputs
from tests.crash import Crash, crash_at
from tests.market import walk
from tests.recorded import config_events, tick_events
from tests.traded import ACCOUNT, INSTRUMENTS, STRATEGIES, TOKENS, write

pytestmark = pytest.mark.kafka

TICKS = walk(6_000, len(TOKENS), 0.0006, 5, step_ns=20_000_000)
EVENTS = tick_events(TICKS, TOKENS)
THIRD = len(EVENTS) // 3


@pytest.fixture
def log(tmp_path):
    with start_embedded(tmp_path) as broker:
        settings = Settings(data_dir=tmp_path, kafka={"bootstrap": broker.bootstrap, "embedded": True})
        write(settings, config_events(INSTRUMENTS, [ACCOUNT], STRATEGIES))
        yield settings


@pytest.fixture(scope="module")
def wanted():
    """What a backtest decides, by topic and key in order."""
    published = []
    backtest.run(TICKS, INSTRUMENTS, ACCOUNT, STRATEGIES, on_events=published.extend)
    by_topic = defaultdict(lambda: defaultdict(list))
    for topic, key, value, _ in published:
        by_topic[topic][key].append(value)
    return by_topic


def run(settings, **more):
    run_main(pipeline.live(settings, until_end=True, **more), epoch_interval=timedelta(seconds=0.1))


def run_to_the_crash(settings, events=()):
    """Runs over these events, a part at a time, until it has come to the step so often; all of them are written then.

    How many entries a run writes is the scheduler's to say, so there are several runs.
    """
    size = max(len(events) // 4, 1)
    parts = [events[n : n + size] for n in range(0, len(events), size)] or [()]
    for n, part in enumerate(parts):
        write(settings, part)
        if crashes(settings):
            write(settings, [event for later in parts[n + 1 :] for event in later])
            return
    raise AssertionError("it did not come to that step")


def crashes(settings):
    """Whether a run ends in a crash. What leaves Bytewax may be no `Exception`; behind it is ours."""
    try:
        run(settings)
    except BaseException as error:
        ended: BaseException | None = error
        while ended is not None and not isinstance(ended, Crash):
            ended = ended.__cause__ or ended.__context__
        if not isinstance(ended, Crash):
            raise
        return True
    return False


def once(settings, topic):
    """The records of a topic without second copies."""
    copies = Copies()
    return [r for r in fetch_all(settings.kafka, [topic]) if not copies.is_copy(r.topic, r.partition, r.headers)]


def found(settings, topic):
    by_key = defaultdict(list)
    for record in once(settings, topic):
        by_key[record.key].append(record.value)
    return by_key


def equals(settings, wanted):
    for topic in outputs("paper"):
        assert found(settings, topic.name) == wanted.get(topic.name, {}), topic.name


@pytest.mark.parametrize(
    "step", ["started", "journalled", "half_written", "written", "before_snapshot", "after_snapshot"]
)
@pytest.mark.parametrize("times", [1, 2])
def test_after_a_crash_at_any_step_the_log_equals_that_of_an_undisturbed_run(log, wanted, monkeypatch, step, times):
    crash_at(monkeypatch, step, times)
    run_to_the_crash(log, EVENTS[:THIRD])
    write(log, EVENTS[THIRD:])

    run(log)

    equals(log, wanted)


def test_a_crash_during_the_replay_of_a_crash_changes_nothing(log, wanted, monkeypatch):
    crash_at(monkeypatch, "journalled", 2)
    run_to_the_crash(log, EVENTS[:THIRD])
    crash_at(monkeypatch, "replaying", 1)
    run_to_the_crash(log)
    write(log, EVENTS[THIRD:])

    run(log)

    equals(log, wanted)


def command(name):
    event = envelope(Command(name, "paper-1", "desk"), id=f"c-{name}", time_ns=0, source="cli", broker="paper")
    return Outgoing(COMMANDS.of("paper").name, b"paper-1", encode(event))


def test_the_state_is_what_the_journal_says_to_the_byte_with_commands_in_between(log, monkeypatch):
    crash_at(monkeypatch, "half_written", 2)
    run_to_the_crash(log, EVENTS[:THIRD])
    write(log, [command("kill"), *EVENTS[THIRD : 2 * THIRD], command("resume"), Outgoing(EVENTS[0].topic, b"11", b"{")])
    run(log)
    write(log, EVENTS[2 * THIRD :])
    run(log)

    fold, snapshot = rebuilding.rebuilt(recovery.Journal.of(log.kafka, "paper", Seat()), log)

    assert rebuilding.differences(fold, snapshot) == []
    assert snapshot.positions
    assert fold.made.desk.shard.accounts["fills"][0] > 0


def test_a_state_that_is_not_what_its_journal_says_is_found_out_and_made_anew(log, wanted):
    write(log, EVENTS[:THIRD])
    run(log)
    [blob] = [r.value for r in fetch_all(log.kafka, [PIPELINE_SNAPSHOTS.name])][-1:]
    kept = msgspec.msgpack.decode(blob)
    gate = bytearray(kept["state"]["gate"])
    gate[9] ^= 1
    kept["state"]["gate"] = bytes(gate)
    assert rebuilding.verified(log, "paper").records == len(EVENTS[:THIRD])
    write(log, [Outgoing(PIPELINE_SNAPSHOTS.name, b"paper-0", msgspec.msgpack.encode(kept))])

    with pytest.raises(FatalError, match="is not what its journal says: gate differ") as refused:
        rebuilding.verified(log, "paper")
    assert refused.value.exit_code == 4
    made = rebuilding.made_anew(log, "paper")
    assert rebuilding.verified(log, "paper").entries == made.entries
    write(log, EVENTS[THIRD:])
    run(log)

    equals(log, wanted)


def test_nothing_is_made_anew_while_a_worker_holds_the_lease(log):
    write(log, EVENTS[:100])
    run(log)

    with lease.hold(log, "paper-0"), pytest.raises(FatalError, match="shard paper-0 is held"):
        rebuilding.made_anew(log, "paper")


def delete_snapshots(settings):
    keys = {record.key for record in fetch_all(settings.kafka, [PIPELINE_SNAPSHOTS.name])}
    write(settings, [Outgoing(PIPELINE_SNAPSHOTS.name, key, None) for key in keys])


def test_with_the_snapshots_gone_the_journal_alone_is_enough(log, wanted, monkeypatch):
    write(log, EVENTS[:THIRD])
    run(log)
    crash_at(monkeypatch, "journalled", 3)
    run_to_the_crash(log, EVENTS[THIRD : 2 * THIRD])
    delete_snapshots(log)
    write(log, EVENTS[2 * THIRD :])

    run(log)

    equals(log, wanted)


def test_told_to_rebuild_it_does_not_look_at_the_snapshot(log, wanted):
    write(log, EVENTS[:THIRD])
    run(log)
    write(log, [Outgoing(PIPELINE_SNAPSHOTS.name, b"paper-0", b"no snapshot"), *EVENTS[THIRD:]])
    with pytest.raises(FatalError, match="cannot be restored"):
        run(log)

    run(log, rebuild=True)

    equals(log, wanted)


def test_a_rule_that_has_changed_since_is_noticed_before_anything_is_written(log, monkeypatch):
    crash_at(monkeypatch, "journalled", 2)
    run_to_the_crash(log, EVENTS[:THIRD])
    before = Counter(r.value for topic in outputs("paper") for r in fetch_all(log.kafka, [topic.name]))
    monkeypatch.setattr("dataflows.steps._id_of", lambda record: "0" * 36)

    with pytest.raises(recovery.Diverged, match=r"led to \d+ events with checksum") as refused:
        run(log)

    assert refused.value.exit_code == 4
    assert "start the version that decided it" in refused.value.remedy
    after = Counter(r.value for topic in outputs("paper") for r in fetch_all(log.kafka, [topic.name]))
    assert after == before


def test_after_a_change_of_rules_books_and_money_come_from_the_recorded_fills(log, monkeypatch):
    crash_at(monkeypatch, "journalled", 2)
    run_to_the_crash(log, EVENTS[:THIRD])
    monkeypatch.setattr("dataflows.steps._id_of", lambda record: "0" * 36)
    with pytest.raises(recovery.Diverged):
        run(log)

    proof = rebuilding.from_fills(log, "paper")

    fills = [decode(r.value).data for r in once(log, "paper.orders.filled")]
    assert proof.records == len(fills) > 0
    held = {}
    cash = micro(ACCOUNT.capital)
    for fill in fills:
        signed = fill.quantity if fill.side == "BUY" else -fill.quantity
        held[fill.strategy, fill.instrument_token] = held.get((fill.strategy, fill.instrument_token), 0) + signed
        cash -= signed * micro(fill.price) + micro(fill.charges)
    fold, snapshot = rebuilding.rebuilt(recovery.Journal.of(log.kafka, "paper", Seat()), log)
    assert rebuilding.differences(fold, snapshot) == []
    shard = fold.made.desk.shard
    assert int(shard.accounts["cash"][0]) == cash
    books = {
        (shard.subscription_names[b["subscription"]][1], shard.tokens[b["instrument"]]): int(b["position"])
        for b in shard.books[: int(shard.shard["booked"][0])]
    }
    assert books == held
    submitted = {decode(r.value).data.order_id for r in once(log, "paper.orders.submitted")}
    ended = {decode(r.value).data.order_id for r in once(log, "paper.orders.failed")}
    ended |= {fill.order_id for fill in fills if fill.remaining == 0}
    assert submitted == ended
    write(log, EVENTS[THIRD:])
    run(log)
    assert rebuilding.verified(log, "paper").records >= len(EVENTS) - THIRD
    assert len(once(log, "paper.orders.filled")) > len(fills)


def test_a_fill_that_is_missing_on_the_log_is_noticed(log):
    write(log, EVENTS[:THIRD])
    run(log)
    [first, *_] = once(log, "paper.orders.filled")
    event = decode(first.value)
    odd = msgspec.structs.replace(event, id="f" * 36, data=msgspec.structs.replace(event.data, quantity=1))
    write(log, [Outgoing(first.topic, first.key, encode(odd))])

    with pytest.raises(FatalError, match="those before it lead to"):
        rebuilding.from_fills(log, "paper")


def test_configuration_that_nobody_can_read_blocks_no_start_and_changes_nothing(log, wanted):
    for topic, key in (("config.strategies", b"fade"), ("config.accounts", b"paper-1"), ("config.instruments", b"11")):
        write(log, [Outgoing(topic, key, b'{"id":'), Outgoing(topic, key, b"\xff"), Outgoing(topic, key, b"")])
    write(log, EVENTS)

    run(log)

    equals(log, wanted)
    assert [i.instrument_token for i in configured_instruments(log)] == TOKENS


def test_a_worker_that_has_been_replaced_writes_nothing_more(log):
    """It was paused, another has taken over: its next entry lies behind the other's start."""
    place = recovery.Journal.of(log.kafka, "paper", Seat())
    paused, successor = place.log(), place.log()
    paused.start(["market.ticks"])
    successor.start(["market.ticks"])

    paused.write([], [("paper.orders.filled", b"k", b"{}", None)])
    with pytest.raises(writing.Replaced, match="another worker of shard paper-0 has started") as refused:
        paused.settle()
    assert refused.value.exit_code == 4
    with pytest.raises(writing.Replaced):
        paused.write([], [("paper.orders.filled", b"k", b"{}", None)])

    successor.write([], [("paper.orders.filled", b"k", b"[]", None)])
    successor.flush()
    successor.close()
    assert [r.value for r in fetch_all(log.kafka, ["paper.orders.filled"])] == [b"[]"]


def test_a_shard_that_has_moved_away_has_no_state_in_its_journal(log):
    write(log, EVENTS[:THIRD])
    run(log)
    place = recovery.Journal.of(log.kafka, "paper", Seat())
    leaving = place.log()
    began = leaving.start(["market.ticks"])
    assert len(place.openings(began)) == 1

    leaving.leave()

    _, end = writing.journal_ends(log.kafka, place.partition)
    assert place.openings(end) == []
    lines = standing(writing.read_lines(log.kafka, "paper-0", place.partition, 0, end), -1)
    assert isinstance(lines[-1][1], Opening)
