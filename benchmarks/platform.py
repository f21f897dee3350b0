"""The deployed platform: services, deploy, configuration changes, and ticks through Kafka, pipeline, Kafka and Redis.

Everything runs natively on this machine: Kafka with users and rights, Connect, Postgres, Redis, and the flows under their
supervisor, as `just up && just deploy` leaves them; the load comes from a process beside them. Goals: services up in 15 s
from an empty folder within 500 MB; a second `deploy apply` in 5 s; a configuration change effective within 250 ms (p95) of
its commit; 100 k ticks/s from Kafka through the pipeline to Kafka and Redis without growing lag, told with and without the
archive beside them. At 10 k ticks/s the delay from tick to trade is told.
"""

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from benchmarks.latency import AFTERWARDS_S, WARM_UP_S, delays_ms, read_events
from benchmarks.workload import Figure, arguments, desk, load, market, percentile, report, tick_records
from connectors.database.store import ConfigStore
from connectors.kafka.records import Outgoing
from connectors.kafka.sink import Writer
from connectors.kafka.source import Reader, committed, end_offsets
from connectors.redis import connect
from connectors.settings import KafkaSettings, RedisSettings
from deploy.flows.control import Control
from deploy.flows.records import read_request
from deploy.services.native import Native
from deploy.services.places import PROJECT
from functions.blotter import Keys
from functions.codec import decode
from functions.topics import MARKET_CLOCK, MARKET_TICKS, ORDERS_FILLED, SYSTEM_ALERTS
from tests.e2e.runs import Deployment
from tests.platform_services import Platform, free_ports

MARKET: Final = [MARKET_TICKS.name, MARKET_CLOCK.name]
PIECE: Final = 500  # records handed to the producer at once under load
SECOND_NS: Final = 1_000_000_000


@contextmanager
def services(figures: list[Figure]) -> Iterator[Platform]:
    """All of them, from an empty folder."""
    root = Path(tempfile.mkdtemp(prefix=f"panda-platform-{os.getpid()}-"))
    native = Native(root, free_ports(), jars=PROJECT / ".services" / "kafka")
    try:
        began = time.monotonic()
        native.up()
        figures.append(Figure("services_up", time.monotonic() - began, "s", 15))
        rows = native.status()
        pids = {row.pid for row in rows if row.pid}
        family = pids | {child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)}
        own = sum(psutil.Process(pid).memory_full_info().uss for pid in family)
        figures.append(Figure("services_memory", own / 1e6, "MB", 500))
        yield Platform(native)
    finally:
        native.down()
        shutil.rmtree(root)


def configure(platform: Platform) -> None:
    made = desk()
    with ConfigStore(platform.postgres_url) as store:
        store.seed(made.instruments, made.accounts, made.strategies)


def deploys(deployment: Deployment, figures: list[Figure]) -> None:
    for name, goal in (("deploy_first", None), ("deploy_second", 5.0)):
        began = time.monotonic()
        deployment.must("deploy", "apply")
        figures.append(Figure(name, time.monotonic() - began, "s", goal))


def changes(platform: Platform, count: int) -> list[float]:
    """Milliseconds from the commit of a strategy's new parameters to the pipeline's word that they are in force."""
    [strategy] = desk().strategies
    reader = Reader(platform.kafka, [SYSTEM_ALERTS.name], "platform-benchmark", {})
    took: list[float] = []
    with ConfigStore(platform.postgres_url) as store:
        for n in range(count):
            changed = msgspec.structs.replace(strategy, parameters={**strategy.parameters, "quantity": 2 + n % 2})
            store.put_strategy(changed)
            committed_at = time.monotonic()
            while not _applied(reader.read(100, 0.002)):
                if time.monotonic() - committed_at > 30:
                    raise TimeoutError(f"change {n} did not take effect")
            took.append((time.monotonic() - committed_at) * 1000)
            time.sleep(0.1)
    reader.close()
    return took[2:]  # the first ones open connections


def _applied(records: Sequence[Any]) -> bool:
    return any(decode(r.value or b"").data.code == "configuration_applied" for r in records)


def press(kafka: KafkaSettings, per_s: int, seconds: float, first: int, at: Connection) -> None:
    """The load: a market at this rate, made before; sends the delay of its last piece, in ms."""
    step = SECOND_NS // per_s
    ticks = market("sparse", int(per_s * seconds), step_ns=step)
    ticks["time"] += first * SECOND_NS
    records = list(tick_records(ticks, session=first + 2))
    writer = Writer(kafka, linger_ms=5)
    at.send(len(records))
    at.recv()
    began = time.monotonic()
    late = 0.0
    for n in range(0, len(records), PIECE):
        wait = began + n / per_s - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        late = max(late, -wait)
        writer.write(records[n : n + PIECE])
    writer.flush()
    at.send((len(records) / (time.monotonic() - began), late * 1000))


def lag_under(platform: Platform, per_s: int, seconds: float, first: int) -> tuple[float, list[int], float]:
    """(rate that the producer reached, the pipeline's lag twice a second, seconds until all was read)."""
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=press, args=(platform.kafka, per_s, seconds, first, theirs), daemon=True
    )
    child.start()
    mine.recv()
    mine.send(None)
    lags: list[int] = []
    while not mine.poll(0.5):
        lags.append(_lag(platform.kafka))
    reached, _ = mine.recv()
    drained_s = _until_read(platform.kafka)
    child.join()
    return reached, lags, drained_s


def _until_read(kafka: KafkaSettings) -> float:
    """Seconds until the pipeline has read all that is there."""
    began = time.monotonic()
    while _lag(kafka):
        if time.monotonic() - began > 120:
            raise TimeoutError("the pipeline does not catch up")
        time.sleep(0.05)
    return time.monotonic() - began


def _lag(kafka: KafkaSettings) -> int:
    done = committed(kafka, "pipeline-paper-0", MARKET)
    return sum(end - done.get(at, 0) for at, end in end_offsets(kafka, MARKET).items())


def leave_out(deployment: Deployment, *names: str) -> None:
    """Stops some flows, for good."""
    request = read_request(deployment.root / "run")
    assert request is not None
    Control(deployment.root).apply([flow for flow in request.flows if flow.name not in names])


def under_load(
    deployment: Deployment, name: str, rates: Sequence[int], seconds: float, first: int
) -> list[Figure]:  # fmt: skip
    """Each rate in turn, the most that was kept up with, and how far Redis was behind at the end."""
    figures: list[Figure] = []
    kept = 0
    for n, per_s in enumerate(rates, first):
        before = spent(deployment)
        reached, lags, drained_s = lag_under(deployment.platform, per_s, seconds, n * 600)
        cores = {who: (at - before[who]) / seconds for who, at in spent(deployment).items()}
        print(
            f"  {name}, {per_s} ticks/s: reached {reached:.0f}, lag {lags}, read {drained_s:.2f} s after, load {load()}"
        )
        print(
            f"    CPU seconds a second: {', '.join(f'{who} {used:.2f}' for who, used in cores.items() if used > 0.01)}"
        )
        if steady(lags, per_s) and reached > 0.97 * per_s:
            kept = per_s
        figures.append(Figure(f"{name}_lag_at_{per_s // 1000}k", max(lags, default=0), "ticks"))
    return [
        *figures,
        Figure(f"{name}_without_growing_lag", kept, "ticks/s", 100_000, at_least=True),
        Figure(f"{name}_cache_behind", _cache_behind(deployment.platform), "s"),
    ]


def spent(deployment: Deployment) -> dict[str, float]:
    """CPU seconds so far of each flow and service."""
    pids = {flow.name: flow.pid for flow in deployment.flows() if flow.pid}
    pids |= {row.name: row.pid for row in deployment.platform.native.status() if row.pid}
    return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in pids.items()}


def steady(lags: Sequence[int], per_s: int) -> bool:
    """Whether the lag has not grown in the second half by more than a tenth of a second of ticks, whatever its height."""
    if len(lags) < 6:
        return False
    third = len(lags) // 3
    early, late = lags[third : 2 * third], lags[2 * third :]
    return sum(late) / len(late) <= sum(early) / len(early) + 0.1 * per_s


def delays(platform: Platform, per_s: int, seconds: float, first: int) -> list[float]:
    """Milliseconds from a tick handed to the producer to its trade read by another process."""
    ticks = market("sparse", int((seconds + WARM_UP_S) * per_s), step_ns=SECOND_NS // per_s)
    ticks["time"] += first * SECOND_NS
    records = list(tick_records(ticks, session=first + 2, clocks=False))
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    reader = multiprocessing.get_context("spawn").Process(
        target=read_events, args=(platform.kafka, ORDERS_FILLED.of("paper").name, theirs), daemon=True
    )
    reader.start()
    mine.recv()
    produced = _produce(Writer(platform.kafka), records, per_s)
    _until_read(platform.kafka)
    time.sleep(AFTERWARDS_S)
    mine.send(None)
    found = mine.recv()
    reader.join()
    ours = {decode(record.value or b"").timestamp for record in records}
    return delays_ms(records, produced, [(stamp, at) for stamp, at in found if stamp in ours])


def _produce(writer: Writer, records: Sequence[Outgoing], per_s: int) -> list[int]:
    """Ten ticks every millisecond at 10 k ticks/s; monotonic ns at which each was handed over."""
    at_once = max(per_s // 1000, 1)
    produced: list[int] = []
    began = time.monotonic_ns()
    for n in range(0, len(records), at_once):
        wait = began + n * SECOND_NS // per_s - time.monotonic_ns()
        if wait > 0:
            time.sleep(wait / 1e9)
        piece = records[n : n + at_once]
        produced += [time.monotonic_ns()] * len(piece)
        writer.write(piece)
    writer.flush()
    return produced


def measure(rates: Sequence[int], seconds: float, count: int) -> list[Figure]:
    figures: list[Figure] = []
    with services(figures) as platform, tempfile.TemporaryDirectory() as folder:
        deployment = Deployment(platform, Path(folder))
        deployment.must("db", "upgrade")
        configure(platform)
        try:
            deploys(deployment, figures)
            print(f"  load before the changes: {load()}")
            took = changes(platform, count)
            figures += [
                Figure("change_p50", percentile(took, 50), "ms"),
                Figure("change_p95", percentile(took, 95), "ms", 250),
                Figure("change_max", max(took), "ms"),
            ]
            print(f"  load before 10 k ticks/s: {load()}")
            each = delays(platform, 10_000, seconds, 0)
            figures += [
                Figure("fill_p50_at_10k", percentile(each, 50), "ms"),
                Figure("fill_p99_at_10k", percentile(each, 99), "ms"),
                Figure("fills_at_10k", len(each), "fills"),
            ]
            figures += under_load(deployment, "with_archive", rates, seconds, 1)
            leave_out(deployment, "archive")
            figures += under_load(deployment, "kafka_pipeline_redis", rates, seconds, 1 + len(rates))
        finally:
            deployment.must("deploy", "down")
    return figures


def _cache_behind(platform: Platform) -> float:
    """Seconds until Redis has what the log has."""
    began = time.monotonic()
    names = [ORDERS_FILLED.of("paper").name]
    with connect(RedisSettings(url=platform.redis_url)) as client:
        ends = {f"{topic}:{number}": end for (topic, number), end in end_offsets(platform.kafka, names).items()}
        while any(int(client.hget(Keys("paper").offsets, place) or 0) < end for place, end in ends.items()):
            if time.monotonic() - began > 60:
                raise TimeoutError("Redis does not catch up")
            time.sleep(0.05)
    return time.monotonic() - began


def main() -> None:
    given = arguments(
        __doc__, rates=("25000,50000,75000,100000", "ticks/s, joined by commas"),
        seconds=(12.0, "seconds of each rate"), changes=(40, "changes of configuration"),
    )  # fmt: skip
    rates = [int(each) for each in given.rates.split(",")]
    report("platform", measure(rates, given.seconds, given.changes), json=given.json)


if __name__ == "__main__":
    main()
