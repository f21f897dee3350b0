"""From a record written to its copy read back, through a flow of source and sink on the embedded broker.

    python -m benchmarks.kafka_latency [--rate 2000] [--seconds 5] [--json]

One process writes at a steady rate to twelve partitions; a second runs the flow; the first reads the copies. Both
clocks are one machine's, so a time in the record is enough. p50 and p99 in milliseconds, each over two hops of Kafka.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from connectors.kafka.embedded import start_embedded
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import KafkaSink, Writer
from connectors.kafka.source import KafkaSource, Reader, end_offsets
from connectors.settings import KafkaSettings
from functions.topics import MARKET_TICKS, SIGNALS_RAW

INPUT, OUTPUT = MARKET_TICKS.name, SIGNALS_RAW.of("paper").name
WARM_UP_S = 2.0


def copy(bootstrap: str) -> None:
    """The flow under measurement; runs until it is terminated."""
    kafka = KafkaSettings(bootstrap=bootstrap, embedded=True)
    flow = Dataflow("latency")
    source = KafkaSource(kafka, [INPUT], group="latency", positions=lambda: end_offsets(kafka, [INPUT]))
    read = op.input("in", flow, source)
    copied = op.map_value("copied", read, lambda records: [Outgoing(OUTPUT, r.key, r.value) for r in records])
    op.output("out", copied, KafkaSink(kafka))
    cli_main(flow, epoch_interval=timedelta(seconds=0.25))


def write(kafka: KafkaSettings, rate: int, until: float) -> None:
    """One record every 1/rate seconds, as they fall due, each with the time of its writing."""
    writer = Writer(kafka)
    began = time.monotonic()
    written = 0
    while time.monotonic() < until:
        due = int((time.monotonic() - began) * rate) - written
        if due:
            writer.write([Outgoing(INPUT, str(written + n).encode(), str(time.time_ns()).encode()) for n in range(due)])
            written += due
        time.sleep(0.0005)
    writer.flush()


def measure(kafka: KafkaSettings, rate: int, seconds: float) -> list[float]:
    """Milliseconds from writing to reading the copy, for each record after the warm-up."""
    until = time.monotonic() + WARM_UP_S + seconds
    reader = Reader(kafka, [OUTPUT], "latency-reader", end_offsets(kafka, [OUTPUT]))
    writing = threading.Thread(target=write, args=(kafka, rate, until))
    writing.start()
    latencies: list[float] = []
    warm = time.time_ns() + int(WARM_UP_S * 1e9)
    while time.monotonic() < until + 1:
        records = reader.read(1000, 0.01)
        now = time.time_ns()
        latencies += [(now - at) / 1e6 for record in records if (at := int(record.value or b"0")) > warm]
    writing.join()
    reader.close()
    return sorted(latencies)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rate", type=int, default=2_000, help="records a second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--copy", metavar="BOOTSTRAP", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.copy:
        copy(given.copy)
        return
    with tempfile.TemporaryDirectory() as directory, start_embedded(Path(directory)) as broker:
        flow = subprocess.Popen([sys.executable, "-m", "benchmarks.kafka_latency", "--copy", broker.bootstrap])
        try:
            latencies = measure(broker.settings, given.rate, given.seconds)
        finally:
            flow.kill()
            flow.wait()
    found = {
        "rate": given.rate,
        "records": len(latencies),
        "expected": int(given.rate * given.seconds),
        "p50_ms": round(latencies[len(latencies) // 2], 3),
        "p99_ms": round(latencies[len(latencies) * 99 // 100], 3),
        "max_ms": round(latencies[-1], 3),
    }
    print(json.dumps(found) if given.json else "  ".join(f"{name} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
