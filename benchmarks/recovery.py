"""After a kill -9: how soon a pipeline is live again, and how fast its state is made anew from the log alone.

Live again: 2000 ticks/s flow; the pipeline is killed and started at once, again and again. The time is from the kill until it
has decided on all that lay on the log when it was back, Python's start included. Goal: 3 s.

Rebuild: a million ticks lie on the log, and the journal of a worker that has read them; `panda rebuild --verify` fetches
them, decides on them again and compares every entry and the state. Goal: 200 k inputs a second.
"""

import os
import signal
import sys
import threading
import time
from subprocess import Popen
from typing import Any, Final

from benchmarks.latency import produce
from benchmarks.processes import Place, at_work, configure, real_kafka
from benchmarks.workload import Figure, arguments, load, market, percentile, report, tick_records
from connectors.kafka.sink import Writer
from dataflows.process import READY_FILE
from dataflows.rebuilding import verified
from tests.e2e.processes import ROOT, stop, until, wait_until_read

PER_S: Final = 2_000
HOUR_NS: Final = 3_600_000_000_000


def live_again(place: Place, kills: int, every_s: float) -> list[float]:
    """Seconds from each kill to the next worker that is live."""
    records = list(tick_records(market("sparse", int(PER_S * kills * (every_s + 4)), step_ns=1_000_000_000 // PER_S)))
    ended = threading.Event()
    feed = threading.Thread(target=_feed, args=(Writer(place.settings.kafka), records, ended), daemon=True)
    feed.start()
    took: list[float] = []
    worker = _started(place, "first")
    for n in range(kills):
        time.sleep(every_s)
        began = time.monotonic()
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker = _started(place, f"{n}")
        took.append(time.monotonic() - began)
    ended.set()
    feed.join()
    stop(worker)
    return took


def _feed(writer: Writer, records: list[Any], ended: threading.Event) -> None:
    for n in range(0, len(records), PER_S // 4):
        if ended.is_set():
            return
        produce(writer, records[n : n + PER_S // 4], PER_S)


def _started(place: Place, name: str) -> "Popen[Any]":
    ready = place.directory / f"{name}.ready"
    environment = place.environment("pipeline") | {READY_FILE: str(ready)}
    worker = Popen([sys.executable, "-m", "cli", "run", "pipeline"], cwd=ROOT, env=environment)
    until(lambda: ready.exists() or worker.poll() is not None, 60, "the pipeline's start")
    assert worker.poll() is None, f"exit code {worker.returncode}"
    return worker


def rebuilds(place: Place, ticks: int) -> tuple[int, float]:
    """(inputs, seconds) of making anew what a worker has come to."""
    kafka = place.settings.kafka
    verified(place.settings, "paper")  # what the kills have left: loads the engine
    with at_work(place):
        writer = Writer(kafka, linger_ms=50)
        later = market("sparse", ticks)
        later["time"] += HOUR_NS
        writer.write(list(tick_records(later, session=2)))
        writer.flush()
        wait_until_read(kafka)
    proof = verified(place.settings, "paper")
    return proof.records, proof.seconds


def measure(kills: int, every_s: float, ticks: int) -> list[Figure]:
    with real_kafka() as place:
        configure(place.settings.kafka)
        os.environ |= {"PANDA_DATA_DIR": str(place.directory)}
        print(f"  load before the kills: {load()}")
        took = live_again(place, kills, every_s)
        print(f"  load before the rebuild: {load()}")
        records, seconds = rebuilds(place, ticks)
    return [
        Figure("live_again_p50", percentile(took, 50), "s", 3),
        Figure("live_again_max", max(took), "s", 3),
        Figure("kills", len(took), "kills"),
        Figure("rebuilt", records, "inputs"),
        Figure("rebuild", records / seconds, "inputs/s", 200_000, at_least=True),
    ]


def main() -> None:
    given = arguments(
        __doc__, kills=(10, "kills"), every=(4.0, "seconds of trading before each"), ticks=(1_000_000, "ticks of the rebuild")
    )  # fmt: skip
    report("recovery", measure(given.kills, given.every, given.ticks), json=given.json)


if __name__ == "__main__":
    main()
