"""The pipeline's own dataflow without a broker, on one core.

Rows: batches of 10 000 rows in, decided rows out, through gate, signals and account. Goal: 10 M ticks/s sparse.
JSON: records of 1000 as the log holds them in, the JSON of every decided event out, through the same source, steps and
publication as live. Goals: 500 k ticks/s sparse, 200 k dense, over the first 200 000 ticks.

Times are of the whole `run_main`, the flow's own start and end and its last snapshot among them.
"""

import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSink, TestingSource, run_main

from benchmarks.workload import (
    SIGMA,
    Figure,
    Spent,
    arguments,
    desk,
    in_batches,
    market,
    median,
    rates,
    report,
    spent,
    tick_records,
)
from connectors.errors import FatalError
from connectors.kafka.feed import FeedSource, Inputs, Received
from connectors.kafka.records import Record
from dataflows import pipeline, steps
from dataflows.backtest import run as backtest
from dataflows.recovery import input_topics
from functions.shard import Decisions
from functions.ticks import Rows
from functions.topics import ORDERS_FILLED

KEY: Final = "paper-0"
FILLED: Final = ORDERS_FILLED.of("paper").name
ROWS_A_BATCH, RECORDS_A_BATCH = 10_000, 1_000
GOALS: Final = {("rows", "sparse"): 10e6, ("rows", "dense"): None, ("json", "sparse"): 500e3, ("json", "dense"): 200e3}


class _Counting(StatelessSinkPartition[Any]):
    def __init__(self, sink: "CountingSink") -> None:
        self._sink = sink

    def write_batch(self, items: list[Any]) -> None:
        counts = self._sink.counts
        for _, published in items:
            for topic, _, _, _ in published.events:
                counts[topic] += 1


class CountingSink(DynamicSink[Any]):
    """Looks at every event once and lets it go, as a producer does."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Counting:
        return _Counting(self)


def rows_flow(received: list[Received]) -> tuple[Dataflow, list[Decisions]]:
    """The pipeline up to its account; the decided rows are kept."""
    made = steps.parts(desk(), "paper", KEY)
    kept: list[Decisions] = []
    flow = Dataflow("pipeline")
    items = op.input("inputs", flow, TestingSource([(KEY, each) for each in received]))
    gated = op.map("gate", items, lambda item: made.gate(item[1]))
    decided = op.map("account", op.map("signals", gated, made.signals), made.account)
    op.output("decisions", op.map("rows", decided, lambda work: work.decisions), TestingSink(kept))
    return flow, kept


def json_flow(batches: list[list[Record]]) -> tuple[Dataflow, CountingSink]:
    """The pipeline as it is, between a list of records and a sink that counts."""
    made = steps.parts(desk(), "paper", KEY)
    sink = CountingSink()
    read = Inputs(input_topics("paper"), made.index_of)
    inputs = FeedSource(TestingSource([(KEY, batch) for batch in batches]), read, KEY)
    return pipeline.build(inputs, sink, made.gate, made.signals, made.account, made.publish), sink


def log(ticks: Rows) -> list[list[Record]]:
    """The market as records, a thousand a batch."""
    ends: dict[str, int] = {}

    def records() -> Iterator[Record]:
        for out in tick_records(ticks):
            offset = ends.get(out.topic, 0)
            ends[out.topic] = offset + 1
            yield Record(out.topic, 0, offset, out.key, out.value)

    return list(in_batches(records(), RECORDS_A_BATCH))


def rows_run(ticks: Rows) -> tuple[Spent, int]:
    """(what a run of fresh parts costs, its fills)."""
    copies = ticks.copy()
    received = [Received(copies[n : n + ROWS_A_BATCH]) for n in range(0, len(copies), ROWS_A_BATCH)]
    flow, decided = rows_flow(received)
    took = spent(lambda: run_main(flow))
    return took, sum(len(each.fills) for each in decided)


def json_run(batches: list[list[Record]]) -> tuple[Spent, Counter[str]]:
    """(what a run of fresh parts costs, its events by topic)."""
    flow, sink = json_flow(batches)
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()  # both as `dataflows.process.run` does before a flow starts
    gc.set_threshold(100_000, 20, 50)
    try:
        return spent(lambda: run_main(flow)), sink.counts
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


def measure(ticks: int, json_ticks: int, repeats: int) -> list[Figure]:
    """All figures, for markets of these many ticks; the fills of every run are counted against a backtest."""
    made = desk()
    figures: list[Figure] = []
    for name in SIGMA:
        rows = market(name, ticks)
        part = rows[:json_ticks]
        expected = [len(backtest(r, made.instruments, made.accounts[0], made.strategies).fills) for r in (rows, part)]
        runs = [rows_run(rows) for _ in range(repeats)]
        _check({fills for _, fills in runs}, expected[0])
        figures += rates(f"rows_{name}", len(rows), median([took for took, _ in runs]), GOALS["rows", name])
        batches = log(part)
        answers = [json_run(batches) for _ in range(repeats)]
        _check({counts[FILLED] for _, counts in answers}, expected[1])
        figures += rates(f"json_{name}", len(part), median([took for took, _ in answers]), GOALS["json", name])
        figures.append(Figure(f"json_{name}_events", answers[0][1].total(), "events"))
    return figures


def _check(fills: set[int], expected: int) -> None:
    if fills != {expected}:
        raise FatalError(f"the flow filled {sorted(fills)} orders, the backtest {expected}")


def main() -> None:
    given = arguments(
        __doc__, ticks=(1_000_000, "ticks a market, as rows"), json_ticks=(200_000, "of these as JSON"),
        repeats=(5, "runs, of which the median"),
    )  # fmt: skip
    report("flow", measure(given.ticks, given.json_ticks, given.repeats), json=given.json)


if __name__ == "__main__":
    main()
