"""Recovery as a machine of rules: workers crash at any step, replaced ones go on writing, and the log reads the same.

The journal and the outputs are lists here, as partitions are; the real broker has its own specs. A worker follows the
protocol of `connectors.kafka.journal`: an entry is on the journal before its outputs, and a newer start in front of an
entry ends it. Readers drop copies. What is left equals what one worker without any misfortune writes.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from functions.journal import (
    MARK,
    Batch,
    Copies,
    Entry,
    Start,
    checksum,
    decode_line,
    encode_line,
    mark_prefix,
    marks,
    named,
    standing,
)
from tests.effort import examples

TOPIC = "market.ticks"
Output = tuple[bytes, bytes]  # mark, value


@dataclass
class State:
    """What decides: each input leads to as many outputs as it says, which depend on all inputs before."""

    position: int = 0
    total: int = 0

    def decide(self, inputs: list[int]) -> list[bytes]:
        outputs: list[bytes] = []
        for n in inputs:
            self.position, self.total = self.position + 1, self.total * 31 + n
            outputs += [b"%d:%d" % (self.total % 10**9, k) for k in range(n)]
        return outputs


@dataclass
class Broker:
    inputs: list[int] = field(default_factory=list)
    journal: list[bytes] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    snapshot: tuple[int, int, int, int] = (0, -1, 0, 0)  # journal offset, session before it, position, total


@dataclass
class Worker:
    """One session; what it has decided and not written may wait for ever, or come late."""

    broker: Broker
    session: int
    state: State
    following: int
    under_way: list[Output] = field(default_factory=list)
    replaced: bool = False

    def read(self, count: int) -> None:
        """Reads a batch, journals it, and has its outputs under way, unless a newer worker has started."""
        at = self.state.position
        batch = self.broker.inputs[at : at + count]
        runs = (0, 0, at, at + len(batch) - 1) if batch else ()
        values = State(at, self.state.total).decide(batch)
        offset = len(self.broker.journal)
        self.broker.journal.append(
            encode_line(Entry(self.session, (Batch(runs, len(batch)),), len(values), checksum(values)))
        )  # fmt: skip
        between = [decode_line(raw) for raw in self.broker.journal[self.following : offset]]
        self.following = offset + 1
        if any(isinstance(line, Start) for line in between):
            self.replaced = True
            return
        self.state.decide(batch)
        self.under_way += zip(marks(mark_prefix("w", offset), 0, len(values)), values, strict=True)

    def write(self, count: int) -> None:
        self.broker.outputs += self.under_way[:count]
        del self.under_way[:count]


def started(broker: Broker, session: int, crash_after: int | None = None) -> Worker | None:
    """A worker where the journal ends; None where it crashed after writing so many of what was missing."""
    began = len(broker.journal)
    broker.journal.append(encode_line(Start(session, (TOPIC,))))
    at, before, position, total = broker.snapshot
    state = State(position, total)
    there = {mark for mark, _ in broker.outputs}
    lines = [(n, decode_line(raw)) for n, raw in enumerate(broker.journal[at:began], at)]
    written = 0
    for offset, line in standing(lines, before):
        if not isinstance(line, Entry):
            continue
        inputs = [
            n
            for batch in line.batches
            for _, _, first, last in named(batch, [TOPIC])
            for n in broker.inputs[first : last + 1]
        ]
        values = state.decide(inputs)
        assert (len(values), checksum(values)) == (line.outputs, line.checksum)
        for mark, value in zip(marks(mark_prefix("w", offset), 0, len(values)), values, strict=True):
            if mark in there:
                continue
            if written == crash_after:
                return None
            broker.outputs.append((mark, value))
            written += 1
    return Worker(broker, session, state, began + 1)


class Recoveries(RuleBasedStateMachine):
    """Inputs come, workers read, write, crash, are replaced; ghosts of them write later what they had under way."""

    @initialize()
    def begin(self):
        self.broker = Broker()
        self.sessions = 0
        self.ghosts: list[Worker] = []
        self.worker: Worker | None = None

    @rule(inputs=st.lists(st.integers(0, 3), min_size=1, max_size=6))
    def inputs_come(self, inputs):
        self.broker.inputs += inputs

    @rule(crash_after=st.none() | st.integers(0, 5))
    def start(self, crash_after):
        """A new worker, beside or after the one before, which becomes a ghost: it notices at its next entry."""
        if self.worker is not None:
            self.ghosts.append(self.worker)
        self.sessions += 1
        self.worker = started(self.broker, self.sessions, crash_after)

    @precondition(lambda self: self.worker is not None)
    @rule(count=st.integers(1, 4))
    def read(self, count):
        assert self.worker is not None
        self.worker.read(count)

    @precondition(lambda self: self.worker is not None)
    @rule(count=st.integers(1, 9))
    def write(self, count):
        assert self.worker is not None
        self.worker.write(count)

    @precondition(lambda self: self.worker is not None)
    @rule()
    def crash(self):
        """What was under way is lost."""
        self.worker = None

    @precondition(lambda self: self.worker is not None and not self.worker.under_way)
    @rule()
    def snapshot(self):
        worker = self.worker
        assert worker is not None
        self.broker.snapshot = (worker.following, worker.session, worker.state.position, worker.state.total)

    @precondition(lambda self: self.ghosts)
    @rule(which=st.integers(0, 9), count=st.integers(1, 4), reads=st.booleans())
    def a_ghost_goes_on(self, which, count, reads):
        ghost = self.ghosts[which % len(self.ghosts)]
        if reads and not ghost.replaced:
            ghost.read(count)
            assert ghost.replaced
        else:
            ghost.write(count)

    def teardown(self):
        if not hasattr(self, "broker"):
            return
        self.sessions += 1
        last = started(self.broker, self.sessions)
        assert last is not None
        while last.state.position < len(self.broker.inputs):
            last.read(3)
        last.write(len(last.under_way))
        for ghost in self.ghosts:
            ghost.write(len(ghost.under_way))
        copies = Copies()
        left = [value for mark, value in self.broker.outputs if not copies.is_copy(TOPIC, 0, [(MARK, mark)])]
        assert left == State().decide(self.broker.inputs)


TestRecoveries = Recoveries.TestCase
TestRecoveries.settings = settings(max_examples=examples(300), stateful_step_count=40, deadline=None)
