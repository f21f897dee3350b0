"""The pipeline's inputs: records in any order come out decoded and in the feed's order, with the cuts to start from."""

import numpy as np
import pytest
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.kafka import feed
from connectors.kafka.feed import GAP_POLLS, FeedSource, Inputs, Marker, Received
from connectors.kafka.records import Record
from functions.codec import encode, envelope
from functions.events import Command, MarketClock, MarketTick
from functions.ticks import CLOCK, UNKNOWN
from functions.topics import COMMANDS, CONFIG_ACCOUNTS, MARKET_CLOCK, MARKET_TICKS
from tests.desk import TEN, tick_name

KEY = "paper-0"
PARTITIONS = 12
COMMAND_TOPIC = COMMANDS.of("paper").name


class _ScriptPartition(StatefulSourcePartition):
    def __init__(self, script):
        self.script = script

    def next_batch(self):
        if not self.script.batches:
            raise StopIteration
        return self.script.batches.pop(0)

    def next_awake(self):
        return self.script.awake

    def snapshot(self):
        self.script.calls.append("snapshot")

    def close(self):
        self.script.calls.append("close")


class Script(FixedPartitionedSource):
    """Hands out what it was given, batch by batch, then ends; an idle poll is an empty list."""

    def __init__(self, *batches):
        self.batches = list(batches)
        self.calls: list[str] = []
        self.awake = None

    def list_parts(self):
        return ["all"]

    def build_part(self, step_id, for_part, resume_state):
        return _ScriptPartition(self)


class Clock:
    """Time that passes when it is told to, by `step` at every look."""

    def __init__(self, step: float = 0.0) -> None:
        self.at = 100.0
        self.step = step

    def __call__(self) -> float:
        self.at += self.step
        return self.at


class Log:
    """Numbers what a feed writes and spreads it over its partitions."""

    def __init__(self) -> None:
        self.sequence = 0
        self.ends: dict[tuple[str, int], int] = {}

    def record(self, topic, value, partition=0, key=b"k"):
        offset = self.ends.get((topic, partition), 0)
        self.ends[topic, partition] = offset + 1
        return Record(topic, partition, offset, key, value)

    def _number(self):
        self.sequence += 1
        return self.sequence - 1

    def tick(self, token=1, partition=0, session=1, sequence=None, price=100.0):
        sequence = self._number() if sequence is None else sequence
        data = MarketTick(token, price, TEN // 1000 + sequence, session=session, sequence=sequence)
        event = envelope(data, id=tick_name(abs(sequence) % 10**8), time_ns=TEN, source="feed", broker="shared")
        return self.record(MARKET_TICKS.name, encode(event), partition)

    def clock(self, session=1):
        sequence = self._number()
        data = MarketClock(TEN // 1000 + sequence, session, sequence)
        event = envelope(data, id=f"c{sequence}", time_ns=TEN, source="feed", broker="shared")
        return self.record(MARKET_CLOCK.name, encode(event))

    def command(self):
        event = envelope(Command("kill", "a", "desk"), id="c", time_ns=TEN, source="cli", broker="paper")
        return self.record(COMMAND_TOPIC, encode(event))


READ = (MARKET_TICKS.name, MARKET_CLOCK.name, COMMAND_TOPIC, CONFIG_ACCOUNTS.name)


def reader(*batches, clock=None, positions=None, session=-1, following=0, held=(), marker_s: float = 1e9, **more):
    """The one partition of a source over these batches of records."""
    script = Script(*batches)
    inputs = Inputs(READ, {1: 0, 2: 1}, positions=positions, session=session, following=following)
    inputs.hold(list(held))
    source = FeedSource(script, inputs, KEY, now=clock or Clock(), marker_s=marker_s, **more)
    assert source.list_parts() == ["all"]
    return source.build_part("inputs", "all", None)


def read_all(part) -> list[Received]:
    items = []
    try:
        while True:
            for key, received in part.next_batch():
                assert key == KEY
                items.append(received)
    except StopIteration:
        return items


def sequences(items: list[Received]) -> list[int]:
    """The feed's numbers in the order handed out; every row stands beside its own record."""
    numbers = []
    for received in items:
        assert len(received.ticks) == len(received.records)
        for row, _ in zip(received.ticks, received.records, strict=True):
            numbers.append((int(row["time"]) - TEN // 1000 * 1000) // 1000)
    return numbers


def batch(*records):
    return [(KEY, list(records))]


# --- order ------------------------------------------------------------------------------------------------------------


def test_ticks_and_clocks_come_out_as_rows_in_the_feeds_order():
    log = Log()
    first, beat, second = log.tick(1), log.clock(), log.tick(2, partition=3)

    [received, last] = read_all(reader(batch(second, first, beat)))

    assert sequences([received]) == [0, 1, 2]
    assert received.ticks["instrument"].tolist() == [0, CLOCK, 1]
    assert received.records == [first, beat, second]
    assert last.marker == Marker({("market.ticks", 3): 1, ("market.ticks", 0): 1, ("market.clock", 0): 1}, 1, 3, True)


def test_what_is_early_waits_for_the_batch_that_brings_the_missing_one():
    log = Log()
    records = [log.tick(partition=n % PARTITIONS) for n in range(6)]

    items = read_all(reader(batch(*records[3:]), batch(*records[:3])))

    assert [len(r.ticks) for r in items] == [0, 6, 0]
    assert sequences(items) == [0, 1, 2, 3, 4, 5]


def test_an_instrument_nobody_configured_comes_through_for_the_gate_to_judge():
    [received, _] = read_all(reader(batch(Log().tick(token=99))))

    assert received.ticks["instrument"].tolist() == [UNKNOWN]


def test_rows_can_be_written_to_by_the_gate():
    log = Log()

    items = read_all(reader(batch(log.tick(), log.clock()), batch(log.tick())))
    for received in items:
        received.ticks["quality"] = 1

    assert [received.ticks["quality"].tolist() for received in items] == [[1, 1], [1], []]


def test_a_repeated_record_is_handed_on_for_the_gate_to_judge():
    log = Log()
    first = log.tick()
    copy = first._replace(offset=1)

    items = read_all(reader(batch(first), batch(copy, log.tick())))

    assert sequences(items) == [0, 0, 1]


# --- other topics -----------------------------------------------------------------------------------------------------


def test_commands_and_configuration_come_decoded_and_a_deletion_as_none():
    log = Log()
    command, deleted = log.command(), log.record(CONFIG_ACCOUNTS.name, None, key=b"a")

    [received, _] = read_all(reader(batch(command, deleted, log.tick())))

    assert [(record, event and event.data.command) for record, event in received.events] == [
        (command, "kill"),
        (deleted, None),
    ]
    assert sequences([received]) == [0]


def test_what_nobody_can_read_is_kept_whole_with_the_reason():
    log = Log()
    junk, empty = log.record(MARKET_TICKS.name, b"{"), log.record(MARKET_CLOCK.name, None)
    odd = log.record(COMMAND_TOPIC, b'{"type":"unknown"}')
    good = [log.tick(), log.tick(partition=1), log.clock()]

    [received, _] = read_all(reader(batch(junk, good[0], empty, odd, *good[1:])))

    assert {broken.record for broken in received.broken} == {junk, empty, odd}
    assert all(broken.error in {"DecodeError", "ValidationError"} and broken.message for broken in received.broken)
    assert received.events == []
    assert sequences([received]) == [0, 1, 2]


def test_a_batch_of_junk_alone_is_no_ticks():
    log = Log()

    [received, _] = read_all(reader(batch(log.record(MARKET_TICKS.name, b""), log.record(MARKET_CLOCK.name, b"x"))))

    assert (len(received.ticks), received.records, len(received.broken)) == (0, [], 2)


def test_a_time_beyond_64_bits_is_broken_and_not_the_end():
    log = Log()
    raw = log.tick().value or b""
    late = log.record(MARKET_TICKS.name, raw.replace(str(TEN // 1000).encode(), b"9999999999999999999"))

    [received, _] = read_all(reader(batch(late, log.tick(sequence=0))))

    assert [b.record for b in received.broken] == [late]
    assert sequences([received]) == [0]


@pytest.mark.parametrize("numbers", [{"session": 2**63}, {"sequence": 2**63}, {"sequence": -(2**63) - 1}])
def test_a_tick_numbered_beyond_64_bits_is_broken_and_not_the_end(numbers):
    log = Log()
    odd = log.tick(sequence=7).value or b""
    for name, number in numbers.items():
        odd = odd.replace(f'"{name}":{ {"session": 1, "sequence": 7}[name] }'.encode(), f'"{name}":{number}'.encode())
    wild = log.record(MARKET_TICKS.name, odd)

    received, *_ = read_all(reader(batch(wild, log.tick(sequence=0))))

    assert [b.record for b in received.broken] == [wild]
    assert sequences([received]) == [0]


def test_a_clocks_time_beyond_64_bits_is_broken_and_not_the_end():
    log = Log()
    raw = log.clock().value or b""
    late = log.record(MARKET_CLOCK.name, raw.replace(str(TEN // 1000).encode(), b"9999999999999999999"))

    [received, _] = read_all(reader(batch(late, log.tick(sequence=0))))

    assert [b.record for b in received.broken] == [late]
    assert sequences([received]) == [0]


@pytest.mark.parametrize("topic", [MARKET_CLOCK.name, MARKET_TICKS.name])
def test_an_event_of_another_kind_among_the_ticks_or_clocks_is_broken(topic):
    log = Log()
    stray = log.command()._replace(topic=topic)

    [received, _] = read_all(reader(batch(stray, log.tick())))

    assert [b.record for b in received.broken] == [stray]
    assert sequences([received]) == [0]


# --- gaps -------------------------------------------------------------------------------------------------------------


def gap(polls, **more):
    """A log whose number one never comes, and so many idle polls after it."""
    log = Log()
    first = log.tick()
    log.tick()
    later = [log.tick(), log.tick()]
    return reader(batch(first, *later), *[[] for _ in range(polls)], **more)


def handed_out(part) -> list[int]:
    """What comes before the end of the source."""
    return sequences([item for item in read_all(part) if item.marker is None])


def test_a_number_that_never_comes_is_waited_for_two_seconds_and_two_hundred_looks():
    assert handed_out(gap(GAP_POLLS + 1, clock=Clock(step=1.0))) == [0, 2, 3]


def test_a_process_that_was_itself_held_up_has_not_looked_and_goes_on_waiting():
    assert handed_out(gap(GAP_POLLS - 1, clock=Clock(step=60.0))) == [0]


def test_many_looks_in_a_short_time_are_no_reason_to_give_up():
    assert handed_out(gap(GAP_POLLS * 3, clock=Clock(step=1e-6))) == [0]


def test_a_gap_that_fills_up_in_time_starts_no_waiting_for_the_next():
    log = Log()
    records = [log.tick() for _ in range(5)]
    idle = [[] for _ in range(GAP_POLLS - 5)]

    items = read_all(
        reader(batch(records[1]), *idle, batch(records[0]), batch(records[3]), *idle, batch(records[2], records[4]),
               clock=Clock(step=1.0))
    )  # fmt: skip

    assert sequences(items) == [0, 1, 2, 3, 4]


def test_after_a_gap_was_given_up_the_late_record_still_comes_through():
    log = Log()
    records = [log.tick() for _ in range(3)]
    idle = [[] for _ in range(GAP_POLLS + 1)]

    items = read_all(reader(batch(records[0], records[2]), *idle, batch(records[1]), clock=Clock(step=1.0)))

    assert sequences(items) == [0, 2, 1]


def test_a_gap_that_holds_too_much_is_given_up_at_once(monkeypatch):
    monkeypatch.setattr(feed, "MAX_HELD", 2)
    log = Log()
    records = [log.tick() for _ in range(4)]

    items = read_all(reader(batch(records[0], records[2]), batch(records[3]), clock=Clock(step=1e-6)))

    assert sequences([item for item in items if item.marker is None]) == [0, 2, 3]


# --- cuts -------------------------------------------------------------------------------------------------------------


def test_a_cut_comes_in_the_asked_for_rhythm_behind_what_it_stands_for():
    log = Log()
    clock = Clock()
    part = reader(batch(log.tick()), batch(log.tick()), [], clock=clock, marker_s=2.0)
    kinds = []
    for _ in range(3):
        clock.at += 1.0
        kinds.append([item.marker is not None for _, item in part.next_batch()])

    assert kinds == [[False], [False, True], []]


def test_a_cut_names_every_record_that_is_held_back():
    log = Log()
    early = [log.tick(partition=5) for _ in range(4)][1:]  # offsets 1, 2, 3 of partition 5; number 0 is missing
    other = log.tick(partition=2)
    part = reader(batch(other, *early), clock=Clock(step=1.0), marker_s=0.5)

    marker = next(item.marker for _, item in part.next_batch() if item.marker)

    held = [("market.ticks", 2, 0, 0), ("market.ticks", 5, 1, 3)]
    assert marker == Marker({("market.ticks", 5): 4, ("market.ticks", 2): 1}, -1, 0, held=held)


def test_a_start_from_a_cut_reads_again_what_was_held_and_goes_on_in_order():
    log = Log()
    records = [log.tick(partition=n % 3) for n in range(30)]
    shuffled = sorted(records, key=lambda r: (r.partition, r.offset))  # the worst order: one partition after the other
    first = read_all(reader(batch(*shuffled[:17])))
    marker = first[-1].marker
    assert marker is not None
    assert marker.final
    held = [r for topic, n, low, high in marker.held for r in shuffled if r.partition == n and low <= r.offset <= high]
    again = [r for r in shuffled if r.offset >= marker.positions.get((r.topic, r.partition), 0)]

    second = read_all(
        reader(batch(*again), positions=marker.positions, session=marker.session, following=marker.following, held=held)
    )

    assert sequences(first) + sequences(second) == list(range(30))


def test_positions_from_the_snapshot_stay_in_the_next_cut():
    [received] = read_all(reader(positions={("market.clock", 0): 7}, session=3, following=9))

    assert received.marker == Marker({("market.clock", 0): 7}, 3, 9, True)


def test_at_a_stop_what_is_held_back_is_left_for_the_next_start():
    log = Log()
    log.tick()
    [received, last] = read_all(reader(batch(log.tick(partition=1))))

    assert (len(received.ticks), len(last.ticks)) == (0, 0)
    assert last.marker == Marker({("market.ticks", 1): 1}, -1, 0, True, [("market.ticks", 1, 0, 0)])


def test_at_the_end_of_a_file_nothing_is_held_back():
    log = Log()
    log.tick()
    held = [log.tick(partition=1), log.tick(partition=2)]

    [received, last] = read_all(reader(batch(*held), drain=True))

    assert sequences([received, last]) == [1, 2]
    assert last.records == held
    assert last.marker == Marker({("market.ticks", 1): 1, ("market.ticks", 2): 1}, 1, 3, True)


def test_after_its_last_word_the_source_is_over():
    part = reader()
    part.next_batch()

    with pytest.raises(StopIteration):
        part.next_batch()


def test_the_raw_source_says_when_to_wake_and_is_told_of_epochs_and_the_end():
    script = Script()
    script.awake = np.datetime64("2026-05-06")
    part = FeedSource(script, Inputs(READ, {}), KEY, now=Clock()).build_part("inputs", "all", None)

    part.snapshot()
    part.close()

    assert (part.next_awake(), script.calls) == (script.awake, ["snapshot", "close"])
