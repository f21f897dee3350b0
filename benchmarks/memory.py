"""Resident memory of the pipeline process while five million ticks go through it.

Goals: never above 250 MB, and flat: after the first fifth it grows by no more than a twentieth. The embedded broker
keeps 5 MiB a partition, so the producer holds back on what the pipeline's consumer group has read. Run `panda compile`
first: a process that compiles keeps about 100 MiB more.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

import psutil

from benchmarks.processes import live_pipeline
from benchmarks.workload import TOKENS, Figure, arguments, in_batches, market, report, tick_records
from connectors.errors import DependencyError, FatalError
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.kafka.source import Offsets
from connectors.settings import KafkaSettings
from functions.ticks import Rows
from functions.topics import MARKET_CLOCK, MARKET_TICKS

CHUNK: Final = 10_000
IN_FLIGHT: Final = 60_000  # records not yet read: compressed less than 2 MiB in the fullest partition
PATIENCE_S: Final = 60.0
MIB: Final = 1024 * 1024


class Backlog:
    """How many input records the pipeline has not read yet, as its group says."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._offsets = Offsets(kafka, "pipeline-paper-0", [MARKET_TICKS.name, MARKET_CLOCK.name])

    def wait(self, written: int, at_most: int, alive: Callable[[], bool]) -> None:
        """Until no more than so many are left. Raises: `FatalError`, `DependencyError` where that does not happen."""
        deadline = time.monotonic() + PATIENCE_S
        while (left := written - sum(self._offsets.committed().values())) > at_most:
            if not alive():
                raise FatalError(f"the pipeline ended with {left} of {written} records unread")
            if time.monotonic() > deadline:
                raise DependencyError(f"{left} records were still unread after {PATIENCE_S:g} s")
            time.sleep(0.02)


def day(ticks: int, name: str) -> Iterator[Rows]:
    """The market in parts of a million ticks, one after the other in time and price."""
    rows = market(name, ticks)
    yield from (rows[n : n + 1_000_000] for n in range(0, ticks, 1_000_000))


def feed(ticks: int, name: str) -> Iterator[list[Outgoing]]:
    """Chunks of numbered records, without clocks: ticks tell the time often enough."""
    first = 0
    for part in day(ticks, name):
        yield from in_batches(tick_records(part, first=first, clocks=False), CHUNK)
        first += len(part)


def measure(ticks: int, name: str) -> list[Figure]:
    sizes: list[float] = []
    with live_pipeline() as (kafka, process):
        seen = psutil.Process(process.pid)
        writer, backlog, written = Writer(kafka, linger_ms=5), Backlog(kafka), 0
        began, cpu = time.perf_counter(), sum(seen.cpu_times()[:2])
        for chunk in feed(ticks, name):
            writer.write(chunk)
            written += len(chunk)
            backlog.wait(written, IN_FLIGHT, lambda: process.poll() is None)
            sizes.append(seen.memory_info().rss / MIB)
        writer.flush()
        backlog.wait(written, 0, lambda: process.poll() is None)
        sizes.append(seen.memory_info().rss / MIB)
        took, cpu = time.perf_counter() - began, sum(seen.cpu_times()[:2]) - cpu
    early = max(sizes[: max(len(sizes) // 5, 1)])
    return [
        Figure("rss_max", max(sizes), "MiB", 250e6 / MIB),
        Figure("rss_first_fifth", early, "MiB"),
        Figure("rss_end", sizes[-1], "MiB"),
        Figure("growth_after_first_fifth", max(sizes) / early - 1, "", 0.05),
        Figure("ticks", written, "ticks"),
        Figure("instruments", len(TOKENS), ""),
        Figure("pipeline_ticks_per_s_cpu", written / cpu, "ticks/s"),
        Figure("pipeline_ticks_per_s_wall", written / took, "ticks/s"),
    ]


def main() -> None:
    given = arguments(__doc__, ticks=(5_000_000, "ticks"), market=("sparse", "sparse or dense"))
    report("memory", measure(given.ticks, given.market), json=given.json)


if __name__ == "__main__":
    main()
