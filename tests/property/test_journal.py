"""What must hold of the journal for every input: any reading that it recorded is read again, any copy is dropped once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kafka.feed import Inputs
from functions.codec import encode, envelope
from functions.events import Command
from functions.journal import Copies, named
from tests.desk import TEN
from tests.unit.test_feed_source import COMMAND_TOPIC, READ, Log

PARTITIONS = 3


@st.composite
def readings(draw):
    """Records of a feed over three partitions and commands beside it, cut into batches in an order a reader may see."""
    log = Log()
    queues = {n: [] for n in range(PARTITIONS)}
    for _ in range(draw(st.integers(1, 25))):
        queues[draw(st.integers(0, PARTITIONS - 1))].append(_tick(log, draw))
    lanes = _placed(queues)
    command = envelope(Command("kill", "a", "desk"), id="c", time_ns=TEN, source="cli", broker="paper")
    lanes.append([log.record(COMMAND_TOPIC, encode(command)) for _ in range(draw(st.integers(0, 3)))])
    batches = []
    while any(lanes):
        batch = []
        for _ in range(draw(st.integers(1, 4))):
            lane = draw(st.sampled_from([lane for lane in lanes if lane]))
            count = draw(st.integers(1, len(lane)))
            batch += lane[:count]
            del lane[:count]
            if not any(lanes):
                break
        batches.append((batch, draw(st.booleans()) and draw(st.booleans())))
    return batches


def _tick(log, draw):
    kind = draw(st.sampled_from(["tick", "tick", "tick", "clock", "junk"]))
    if kind == "clock":
        return log.clock()
    if kind == "junk":
        return log.record("market.ticks", b"{", 0)
    return log.tick(draw(st.integers(1, 2)))


def _placed(queues):
    """Ticks of a queue lie in its partition, in order; clocks in their own."""
    lanes, clocks = [], []
    for number, queue in queues.items():
        lane = []
        for record in queue:
            if record.topic == "market.clock":
                clocks.append(record)
            else:
                lane.append(record._replace(partition=number, offset=len(lane)))
        lanes.append(lane)
    return [*lanes, [record._replace(offset=n) for n, record in enumerate(sorted(clocks, key=lambda r: r.offset))]]


def received(inputs, batches):
    return [inputs.receive(list(records), lambda given_up=given_up: given_up) for records, given_up in batches]


def meaning(items):
    return [
        (item.ticks.tobytes(), item.records, item.broken, item.events, item.batch) for item in items if item.batch
    ]  # fmt: skip


def stored(batches):
    return {(r.topic, r.partition, r.offset): r for records, _ in batches for r in records}


def again(inputs, items, log):
    """The journalled batches, read by their runs."""
    out = []
    for item in items:
        if item.batch is not None:
            runs = named(item.batch, READ)
            records = [log[topic, n, at] for topic, n, first, last in runs for at in range(first, last + 1)]
            assert len(records) == item.batch.count
            out.append(inputs.receive(records, lambda given_up=item.batch.given_up: given_up))
    return out


@settings(deadline=None)
@given(readings())
def test_any_reading_that_was_journalled_is_read_again_the_same(batches):
    live = received(Inputs(READ, {1: 0, 2: 1}), batches)

    replayed = again(Inputs(READ, {1: 0, 2: 1}), live, stored(batches))

    assert meaning(replayed) == meaning(live)


@settings(deadline=None)
@given(readings(), st.data())
def test_it_is_read_again_the_same_from_any_cut_on(batches, data):
    cut = data.draw(st.integers(0, len(batches)))
    log = stored(batches)
    whole = Inputs(READ, {1: 0, 2: 1})
    received(whole, batches[:cut])
    marker = whole.marker()
    rest = received(whole, batches[cut:])

    later = Inputs(READ, {1: 0, 2: 1}, positions=marker.positions, session=marker.session, following=marker.following)
    later.hold([log[topic, n, at] for topic, n, first, last in marker.held for at in range(first, last + 1)])

    assert meaning(again(later, rest, log)) == meaning(rest)
    assert later.marker() == whole.marker()


@given(st.integers(1, 30), st.lists(st.booleans()), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_however_two_writers_of_one_sequence_mix_each_output_is_left_once_and_none_is_lost(
    count, turns, visible, seen, dies
):
    """The successor writes what it did not find on the log; what the first still had under way comes in between or later."""
    marks = [b"w@%013d.%07d" % (n // 3, n % 3) for n in range(count)]
    visible = min(visible, count)
    under_way, successor = marks[visible : visible + dies], marks[min(seen, visible) :]
    partition = marks[:visible]
    for first in turns:
        queue = under_way if first else successor
        if queue:
            partition.append(queue.pop(0))
    partition += successor + under_way
    copies = Copies()

    assert [mark for mark in partition if not copies.is_copy("t", 0, [("q", mark)])] == marks
