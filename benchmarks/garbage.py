"""A flow of nothing but garbage: seeded fuzzed records over all input topics of a pipeline, and none of them stops it.

Good records of every kind, each after one to three mutations (`tests/fuzz/mutations.py`), over twelve partitions of ticks,
clocks, commands and configuration, through the same source, steps and dead letters as live. Every record is then counted:
decided on, by luck still valid, or one dead letter, whole, with a reason. Anything else is no result but an error.

The limit on poison is off, as it would stop the flow after the first thousand. What the records cost to make is taken off.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import structlog
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSource, run_main

from benchmarks.workload import Figure, Spent, arguments, report
from connectors.errors import FatalError
from connectors.kafka.feed import FeedSource, Inputs
from connectors.kafka.records import Record
from dataflows import pipeline, steps
from dataflows.recovery import input_topics
from dataflows.steps import Work
from functions.events import Command, MarketClock
from functions.poison import Limit
from functions.topics import (
    COMMANDS,
    CONFIG_ACCOUNTS,
    CONFIG_INSTRUMENTS,
    CONFIG_STRATEGIES,
    MARKET_CLOCK,
    MARKET_TICKS,
)
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import configuration, event, market_tick, of_topics

KEY: Final = "paper-0"
RECORDS_A_BATCH: Final = 1_000
NO_STOP: Final = Limit(most=0)  # the rest of the watch counts as it does live
PARTITIONS: Final = MARKET_TICKS.partitions
SHARES: Final = {  # of a hundred records
    MARKET_TICKS.name: 85, MARKET_CLOCK.name: 5, COMMANDS.of("paper").name: 5, CONFIG_ACCOUNTS.name: 2,
    CONFIG_STRATEGIES.name: 2, CONFIG_INSTRUMENTS.name: 1,
}  # fmt: skip
DELETIONS: Final = 50  # one record of so many has no value
WANTED, DECIDED, DEAD = 0, 1, 2

Place = tuple[str, int, int]


def records(count: int, seed: int) -> Iterator[Record]:
    """Fuzzed records with places of their own; the same for the same seed."""
    chance = Random(seed)
    topics = [topic for topic, share in SHARES.items() for _ in range(share)]
    good: dict[str, list[bytes]] = {}
    for topic, raw in of_topics():
        good.setdefault(topic, []).append(raw)
    ends: Counter[tuple[str, int]] = Counter()
    sequence = 0
    for _ in range(count):
        topic = chance.choice(topics)
        partition = chance.randrange(PARTITIONS) if topic == MARKET_TICKS.name else 0
        if topic == MARKET_TICKS.name:
            raw = market_tick(sequence, 100.0 + sequence % 7, 1 + partition % 2)
            sequence += 1
        elif topic == MARKET_CLOCK.name:
            raw = event(MarketClock(1_778_041_800_000_000 + sequence * 100_000, 1, sequence), sequence)
            sequence += 1
        else:
            raw = chance.choice(good[topic])
        offset = ends[topic, partition]
        ends[topic, partition] += 1
        value = None if not chance.randrange(DELETIONS) else mutated(raw, chance)
        yield Record(topic, partition, offset, chance.choice((b"a", b"s", b"1", b"\xff", None)), value)


class Timed:
    """Batches as they are asked for, and how long it took to make them."""

    def __init__(self, count: int, seed: int) -> None:
        self._records = records(count, seed)
        self._left = count
        self.spent = Spent(0.0, 0.0)
        self.values: dict[Place, bytes | None] = {}  # of what has been handed out and not answered

    def __iter__(self) -> Iterator[tuple[str, list[Record]]]:
        while self._left > 0:
            cpu, wall = time.process_time(), time.perf_counter()
            size = min(RECORDS_A_BATCH, self._left)
            batch = [next(self._records) for _ in range(size)]
            self.values.update((record[:3], record.value) for record in batch)
            self._left -= size
            self.spent = Spent(
                self.spent.cpu + time.process_time() - cpu, self.spent.wall + time.perf_counter() - wall
            )  # fmt: skip
            yield KEY, batch


class Ledger:
    """What became of every record: it is taken from the values that wait for an answer, once."""

    def __init__(self, values: dict[Place, bytes | None]) -> None:
        self._values = values
        self.decided: Counter[str] = Counter()
        self.dead: Counter[str] = Counter()  # by step and cause
        self.commands = COMMANDS.of("paper").name

    def decide(self, work: Work) -> None:
        """What the steps have taken: ticks and clocks in order, commands, changes of configuration."""
        dead = {_place(dict(letter.headers or ())) for letter in work.dead}
        for record in work.records:
            self._decided(record, dead)
        for record, found in work.received.events:
            if record[:3] not in dead:
                if record.topic == self.commands and (found is None or not isinstance(found.data, Command)):
                    raise FatalError(f"{record[:3]} is no command and no dead letter")
                self._decided(record, dead)

    def _decided(self, record: Record, dead: set[Place]) -> None:
        if record[:3] in dead:
            raise FatalError(f"{record[:3]} was decided on and is a dead letter as well")
        self._answer(record[:3])
        self.decided[record.topic] += 1

    def letter(self, topic: str, value: bytes | None, headers: Any) -> None:
        facts = dict(headers)
        place = _place(facts)
        if self._answer(place) != value or topic != f"{place[0]}.dlq":
            raise FatalError(f"{place} is not whole in its dead letter")
        if not facts["error"] or not facts["message"]:
            raise FatalError(f"{place} is a dead letter without a reason")
        self.dead[f"{facts['step'].decode()} {facts['error'].decode()}"] += 1

    def _answer(self, place: Place) -> bytes | None:
        if place not in self._values:
            raise FatalError(f"{place} was answered twice, or never read")
        return self._values.pop(place)

    def close(self) -> None:
        if self._values:
            raise FatalError(f"{len(self._values)} records have no answer, the first is {next(iter(self._values))}")


def _place(facts: dict[str, bytes]) -> Place:
    return facts["topic"].decode(), int(facts["partition"]), int(facts["offset"])


class _Letters(StatelessSinkPartition[Any]):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def write_batch(self, items: list[Any]) -> None:
        for _, published in items:
            for topic, _, value, headers in published.events:
                if topic.endswith(".dlq"):
                    self._ledger.letter(topic, value, headers)


class LedgerSink(DynamicSink[Any]):
    """Enters every dead letter, and lets the rest go."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Letters:
        return _Letters(self._ledger)


def garbage_flow(batches: Timed, ledger: Ledger) -> Dataflow:
    """The pipeline as it is; what its account has folded is entered as well."""
    made = steps.parts(configuration(), "paper", KEY).begin(NO_STOP)
    read = Inputs(input_topics("paper"), made.index_of)
    inputs = FeedSource(TestingSource(batches), read, KEY, gap_s=0.0, drain=True)

    def account(work: Work) -> Work:
        done = made.account(work)
        ledger.decide(done)
        return done

    account.name = made.account.name  # type: ignore[attr-defined] - a step has a name
    return pipeline.build(inputs, LedgerSink(ledger), made.gate, made.signals, account, made.publish)


def measure(count: int, seed: int) -> tuple[list[Figure], Ledger]:
    """Raises: `FatalError` for a record without an answer, with two, or whose dead letter is not whole."""
    batches = Timed(count, seed)
    ledger = Ledger(batches.values)
    flow = garbage_flow(batches, ledger)
    cpu, wall = time.process_time(), time.perf_counter()
    run_main(flow)
    took = Spent(time.process_time() - cpu - batches.spent.cpu, time.perf_counter() - wall - batches.spent.wall)
    ledger.close()
    decided, dead = ledger.decided.total(), ledger.dead.total()
    if decided + dead != count:
        raise FatalError(f"{count} records, {decided} were decided on and {dead} are dead letters")
    return [
        Figure("records_cpu", count / took.cpu, "records/s"),
        Figure("records_wall", count / took.wall, "records/s"),
        Figure("decided", decided, "records"),
        Figure("dead_letters", dead, "records"),
    ], ledger


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # each change is a line
    given = arguments(__doc__, records=(1_000_000, "fuzzed records"), seed=(1, "of chance"))
    figures, ledger = measure(given.records, given.seed)
    report("garbage", figures, json=given.json)
    for cause, count in ledger.dead.most_common():
        print(f"  {cause:<48} {count:>12,}")
    for topic, count in ledger.decided.most_common():
        print(f"  decided on {topic:<37} {count:>12,}")


if __name__ == "__main__":
    main()
