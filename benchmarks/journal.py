"""What the journal costs: the same pipeline with it and without it, in one run, on real Kafka.

Throughput: a log of ticks is there, the pipeline reads it in batches of a thousand, decides and writes; the time is that of
its process from the first record read to the last one mirrored. Goal: at most 15 % more CPU with the journal.

Latency: at 1500 ticks/s, from a tick handed to the producer to its order read by another process; of the dense market,
where every fifth tick leads to an order, or of the sparse one. The two pipelines take turns, the first of each does not
count. Goals with the journal: p50 2 ms, p99 at most a fifth above that without.
"""

import multiprocessing
import time
from typing import Any, Final

import psutil
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from benchmarks.latency import AFTERWARDS_S, WARM_UP_S, delays_ms, produce, read_events
from benchmarks.processes import Place, at_work, configure, real_kafka
from benchmarks.workload import Figure, arguments, load, market, percentile, report, tick_records
from connectors.kafka.admin import Administrator
from connectors.kafka.decisions import Published
from connectors.kafka.feed import FeedSource
from connectors.kafka.sink import Writer
from connectors.kafka.source import KafkaSource, committed, end_offsets
from connectors.kafka.topics import create_topics
from connectors.settings import KafkaSettings
from connectors.settings import load as load_settings
from dataflows import process
from dataflows.pipeline import build
from dataflows.recovery import recover
from functions.topics import MARKET_CLOCK, MARKET_TICKS, ORDERS_SUBMITTED, all_topics

MARKET: Final = [MARKET_TICKS.name, MARKET_CLOCK.name]
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "journal": (),
    "plain": ("-m", "benchmarks.journal", "--worker", "plain"),
}


class _Plain(StatefulSinkPartition[Published, None]):
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write_batch(self, values: list[Published]) -> None:
        for published in values:
            self._writer.write(published.events)

    def snapshot(self) -> None:
        self._writer.flush()


class PlainSink(FixedPartitionedSink[Published, None]):
    """Writes what was decided, and no journal: a crash would decide anew."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    def list_parts(self) -> list[str]:
        return ["decisions"]

    def part_fn(self, item_key: str) -> int:
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _Plain:
        return _Plain(Writer(self._kafka))


def plain_worker() -> None:
    """The pipeline of `panda run pipeline` with the other sink."""
    settings = load_settings()
    process.stop_on_signals()
    made = recover(settings, "paper")
    raw = KafkaSource(
        settings.kafka, list(made.inputs.topics), group="pipeline-paper-0", key="paper-0",
        positions=lambda: made.inputs.positions, stop=process.stopping, on_live=process.ready,
    )  # fmt: skip
    steps = made.made
    inputs = FeedSource(raw, made.inputs, "paper-0")
    process.run(build(inputs, PlainSink(settings.kafka), steps.gate, steps.signals, steps.account, steps.publish))


def begin_anew(kafka: KafkaSettings) -> None:
    admin = Administrator(kafka, timeout_s=30)
    topics = all_topics(("paper",))
    for name, future in admin.client.delete_topics([t.name for t in topics], operation_timeout=30).items():
        admin.result(future, f"delete topic {name}")
    admin.until(lambda: not admin.partitions().keys() & {t.name for t in topics}, "topics deleted")
    create_topics(admin, topics)
    configure(kafka)


def throughput(place: Place, kind: str, ticks: int) -> tuple[float, float]:
    """(CPU seconds, seconds) that a pipeline needs for a log that is there."""
    kafka = place.settings.kafka
    begin_anew(kafka)
    with at_work(place, *COMMANDS[kind]) as worker:
        time.sleep(1.0)
        mine = psutil.Process(worker.pid)
        idle = sum(mine.cpu_times()[:2])
        writer = Writer(kafka, linger_ms=50)
        began = time.monotonic()
        writer.write(list(tick_records(market("sparse", ticks))))
        writer.flush()
        ends = end_offsets(kafka, MARKET)
        while any(committed(kafka, "pipeline-paper-0", MARKET).get(at, 0) < end for at, end in ends.items()):
            time.sleep(0.05)
        return sum(mine.cpu_times()[:2]) - idle, time.monotonic() - began


def latency(place: Place, kind: str, name: str, seconds: float, per_s: int) -> list[float]:
    """Milliseconds from each tick that led to an order to that order."""
    kafka = place.settings.kafka
    begin_anew(kafka)
    ticks = market(name, int((seconds + WARM_UP_S) * per_s), step_ns=1_000_000_000 // per_s)
    records = list(tick_records(ticks, clocks=False))
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    with at_work(place, *COMMANDS[kind]):
        submitted = ORDERS_SUBMITTED.of("paper").name
        reader = multiprocessing.get_context("spawn").Process(
            target=read_events, args=(kafka, submitted, theirs), daemon=True
        )
        reader.start()
        mine.recv()
        produced = produce(Writer(kafka), records, per_s)
        time.sleep(AFTERWARDS_S)
        mine.send(None)
        found = mine.recv()
        reader.join()
    return delays_ms(records, produced, found)


def measure(ticks: int, name: str, seconds: float, per_s: int, turns: int) -> list[Figure]:
    figures: list[Figure] = []
    with real_kafka() as place:
        spent: dict[str, list[float]] = {"plain": [], "journal": []}
        walls: dict[str, list[float]] = {"plain": [], "journal": []}
        for _ in range(turns):
            for kind in spent:
                cpu, wall = throughput(place, kind, ticks)
                spent[kind].append(cpu)
                walls[kind].append(wall)
        cost = min(spent["journal"]) / min(spent["plain"]) - 1
        for kind in spent:
            figures.append(Figure(f"{kind}_cpu", ticks / min(spent[kind]), "ticks/s"))
            figures.append(Figure(f"{kind}_wall", ticks / min(walls[kind]), "ticks/s"))
        figures.append(Figure("journal_costs", cost * 100, "%", 15))
        for kind in spent:  # the broker's compiler has most of its work in the first minute of single records
            latency(place, kind, name, seconds, per_s)
        delays: dict[str, list[float]] = {"plain": [], "journal": []}
        for _ in range(turns):
            for kind in delays:
                print(f"  {kind}: load before {load()}")
                delays[kind] += latency(place, kind, name, seconds, per_s)
        for kind, each in delays.items():
            figures += [
                Figure(f"{kind}_p50", percentile(each, 50), "ms", 2 if kind == "journal" else None),
                Figure(f"{kind}_p99", percentile(each, 99), "ms"),
                Figure(f"{kind}_max", max(each), "ms"),
                Figure(f"{kind}_orders", len(each), "orders"),
            ]
        tail = percentile(delays["journal"], 99) / percentile(delays["plain"], 99) - 1
        figures.append(Figure("p99_costs", tail * 100, "%", 20))
    return figures


def main() -> None:
    given = arguments(
        __doc__, ticks=(300_000, "ticks of the log"), seconds=(15.0, "seconds of a turn that count"),
        rate=(1500, "ticks/s"), market=("dense", "sparse or dense"), turns=(2, "turns of each"),
        worker=("", "run a worker of this kind"),
    )  # fmt: skip
    if given.worker:
        plain_worker()
    else:
        report("journal", measure(given.ticks, given.market, given.seconds, given.rate, given.turns), json=given.json)


if __name__ == "__main__":
    main()
