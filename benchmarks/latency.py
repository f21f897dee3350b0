"""From a tick handed to the producer to its `order_filled` read by another process.

2000 ticks/s for 25 s go through the embedded broker and the real pipeline process; a reader, a process of its own,
notes when each trade arrives. A fill carries the time of the tick that filled it, and no two ticks share a time, so each
delay is that of one tick. Goals: half of the fills within 10 ms, 99 of 100 within 30 ms. The first seconds warm up and
do not count. Broker, pipeline, producer and reader share the machine.

The embedded broker looks for an offset by walking all record sets of a partition, so its share of a core grows with the
time; the producer waits for company as a feed does there (`feed_linger_ms`), which is most of the delay.
"""

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Final

from benchmarks.processes import live_pipeline
from benchmarks.workload import Figure, arguments, load, market, percentile, report, tick_records
from connectors.errors import FatalError
from connectors.kafka.client import feed_linger_ms
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.kafka.source import Reader
from connectors.settings import KafkaSettings
from functions.codec import decode
from functions.topics import ORDERS_FILLED

WARM_UP_S: Final = 3.0
AFTERWARDS_S: Final = 2.0


def read_events(kafka: KafkaSettings, topic: str, stop: Connection) -> None:
    """The reader: sends `[(event's timestamp, monotonic ns)]` when it is told to stop."""
    reader = Reader(kafka, [topic], "latency", {})
    seen: list[tuple[bytes, int]] = []
    stop.send(None)  # it reads
    while not stop.poll():
        records = reader.read(1000, 0.02)
        now = time.monotonic_ns()
        seen += [(record.value or b"", now) for record in records]
    reader.close()
    stop.send([(decode(value).timestamp, at) for value, at in seen])


def produce(writer: Writer, records: Sequence[Outgoing], per_s: int) -> list[int]:
    """Writes the records evenly in time, each when it is due; monotonic ns at which each was handed over."""
    produced: list[int] = []
    began = time.monotonic_ns()
    step = 1_000_000_000 // per_s
    for n, record in enumerate(records):
        wait = began + n * step - time.monotonic_ns()
        if wait > 0:
            time.sleep(wait / 1e9)
        produced.append(time.monotonic_ns())
        writer.write([record])
    writer.flush()
    return produced


def delays_ms(records: Sequence[Outgoing], produced: Sequence[int], fills: Sequence[tuple[str, int]]) -> list[float]:
    """Of each fill whose tick came after the warm-up, milliseconds since its tick was handed over."""
    at = {decode(record.value or b"").timestamp: sent for record, sent in zip(records, produced, strict=True)}
    counted_from = produced[0] + int(WARM_UP_S * 1e9)
    return [(seen - at[stamp]) / 1e6 for stamp, seen in fills if at[stamp] >= counted_from]


def measure(name: str, seconds: float, per_s: int) -> list[Figure]:
    ticks = market(name, int((seconds + WARM_UP_S) * per_s), step_ns=1_000_000_000 // per_s)
    records = list(tick_records(ticks, clocks=False))
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    with live_pipeline() as (kafka, _):
        reader = multiprocessing.get_context("spawn").Process(
            target=read_events, args=(kafka, ORDERS_FILLED.of("paper").name, theirs), daemon=True
        )
        reader.start()
        mine.recv()
        before = load()
        produced = produce(Writer(kafka, linger_ms=feed_linger_ms(kafka, hurries=False)), records, per_s)
        time.sleep(AFTERWARDS_S)
        mine.send(None)
        fills = mine.recv()
        reader.join()
    delays = delays_ms(records, produced, fills)
    if not delays:
        raise FatalError(f"no fill came out of {len(records)} ticks", remedy="the market is too short to trade")
    late = [(sent - produced[0]) / 1e6 - n * 1000 / per_s for n, sent in enumerate(produced)]
    print(f"  load before: {before}")
    return [
        Figure("p50", percentile(delays, 50), "ms", 10),
        Figure("p90", percentile(delays, 90), "ms"),
        Figure("p99", percentile(delays, 99), "ms", 30),
        Figure("max", max(delays), "ms"),
        Figure("fills", len(delays), "fills"),
        Figure("ticks_per_s", (len(produced) - 1) / (produced[-1] - produced[0]) * 1e9, "ticks/s"),
        Figure("producer_late_p99", percentile(late, 99), "ms"),
    ]


def main() -> None:
    given = arguments(
        __doc__, market=("sparse", "sparse or dense"), seconds=(25.0, "seconds that count"), rate=(2000, "ticks/s")
    )
    report("latency", measure(given.market, given.seconds, given.rate), json=given.json)


if __name__ == "__main__":
    main()
