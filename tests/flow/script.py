"""A shard that trades by a script, and what it has published: for tests of the pipeline, in a loop or in its graph."""

from bytewax.testing import TestingSink, TestingSource, run_main

from connectors.kafka.decisions import Published
from connectors.kafka.feed import Broken, Decoder, Received
from connectors.kafka.records import Outgoing, Record
from dataflows import pipeline, steps
from dataflows.desk import Configuration
from functions.codec import decode, encode, envelope
from functions.events import Command, PaperVenue
from functions.topics import (
    COMMANDS,
)  # fmt: skip
from tests.desk import TEN, Tick, account, instrument, lax, strategy, tick_rows
from tests.recorded import tick_events

KEY = "paper-0"


class Script:
    """Buys ten at 101, sells ten at 102, has no answer to 13."""

    fields = ("price",)

    def on_tick(self, tick):
        if tick.price == 13.0:
            raise LookupError("thirteen is not in the script")
        return {101.0: 10, 102.0: -10}.get(tick.price)


SCRIPT = f"{__name__}:Script"


def loop(made, items):
    """The four steps by hand."""
    return [made.publish(made.account(made.signals(made.gate(item))))[1] for item in items]


def dataflow(made, items):
    """The graph that runs live, its ends on lists."""
    out: list[tuple[str, Published]] = []
    source = TestingSource([(KEY, item) for item in items], batch_size=3)  # a step runs ahead of the next one
    run_main(pipeline.build(source, TestingSink(out), made.gate, made.signals, made.account, made.publish))
    return [published for _, published in out]


def desk(*, venue=None, limits=None, names=("a",), strategies=None, instruments=None):
    """The parts of a shard: last-price fills without charges, one instrument, the script above."""
    free = PaperVenue(price="last", charges=False)
    accounts = [account(name, venue=venue or free, limits=limits or lax()) for name in names]
    configured = Configuration(
        instruments or [instrument(1)], accounts, strategies or [strategy("s", (1,), names, implementation=SCRIPT)]
    )
    return steps.parts(configured, "paper", KEY)


class Log:
    """Gives records their offsets and hands them out as the source does."""

    def __init__(self, index_of=None):
        self.tokens = list(index_of or {1: 0})
        self.decoder = Decoder({1: 0} if index_of is None else index_of)
        self.ends = {}

    def record(self, topic, key, value, partition=0):
        offset = self.ends.get(topic, 0)
        self.ends[topic] = offset + 1
        return Record(topic, partition, offset, key, value)

    def ticks(self, *ticks: Tick):
        events = tick_events(tick_rows(ticks), self.tokens, clocks=False)
        broken: list[Broken] = []
        records = [self.record(e.topic, e.key, e.value) for e in events]
        rows, kept, _, _ = self.decoder.ticks(records, broken)
        return Received(rows, kept, broken)

    def command(self, command, who="a", *ticks: Tick):
        event = envelope(
            Command(command, who, "desk", "drill"), id=f"c-{command}", time_ns=TEN, source="cli", broker="paper"
        )
        received = self.ticks(*ticks) if ticks else Received()
        received.events.append((self.record(COMMANDS.of("paper").name, who.encode(), encode(event)), event))
        return received


def told(batches):
    """(topic without its broker, the event) of everything decided, dead letters apart."""
    return [
        (topic.removeprefix("paper."), decode(value))
        for published in batches
        for topic, _, value, _ in published.events
        if not topic.endswith(".dlq")
    ]


def topics_of(batches):
    return [topic for topic, _ in told(batches)]


def dead(batches):
    """(step, error, message, bytes) of every dead letter."""
    letters = [Outgoing(*out) for published in batches for out in published.events if out[0].endswith(".dlq")]
    return [(*(dict(x.headers)[f].decode() for f in ("step", "error", "message")), x.value) for x in letters]


def pieces_of(log, ticks):
    """One batch a tick, the ticks numbered as in one recording."""
    whole = log.ticks(*ticks)
    return [Received(whole.ticks[n : n + 1], whole.records[n : n + 1]) for n in range(len(ticks))]
