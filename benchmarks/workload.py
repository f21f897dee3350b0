"""What all benchmarks share: two markets, one desk, a clock for CPU and wall, and a report.

The markets are ten instruments in turn, a millisecond apart, from 10:00 IST of 2026-05-06: geometric walks from
1000 + 100·i rupees with a deviation a tick of 0.02 % (sparse) or 0.05 % (dense), rounded to five paise. The desk is
momentum (20 ticks, 0.2 %, one share) with every risk rule on and limits of which only ten shares a position refuse.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from connectors.kafka.records import Outgoing
from dataflows.desk import Configuration
from functions.codec import encode, envelope
from functions.events import MarketTick, PaperVenue
from functions.ids import tick_id
from functions.ticks import Rows
from functions.topics import MARKET_TICKS
from tests.desk import account, instrument, lax, strategy
from tests.market import walk
from tests.recorded import clock_event

SIGMA: Final = {"sparse": 0.0002, "dense": 0.0005}  # deviation of one tick
TOKENS: Final = list(range(1, 11))
SEED: Final = 1
SECOND: Final = 1_000_000_000
R = TypeVar("R")
PLAIN: Final = "benchmarks.plain_momentum:PlainMomentum"


def market(name: str, ticks: int, *, step_ns: int = 1_000_000) -> Rows:
    """TICK rows of one of the two markets."""
    return walk(ticks, len(TOKENS), SIGMA[name], SEED, step_ns=step_ns)


def desk(implementation: str = "momentum") -> Configuration:
    """Ten instruments, one paper account that fills at the next tick and pays charges, one strategy."""
    return Configuration(
        [instrument(token) for token in TOKENS],
        [account("a", limits=lax(max_position=10), venue=PaperVenue(price="last"))],
        [strategy("momentum", TOKENS, ["a"], implementation=implementation)],
    )


def tick_records(ticks: Rows, *, session: int = 1, first: int = 0, clocks: bool = True) -> Iterator[Outgoing]:
    """The market as a feed writes it: numbered ticks, and a clock at every full second between two of them.

    `first` is the number of the first record. No two ticks of the rows share instrument and time.
    """
    numbers = count(first)
    second = -1
    names = ("time", "instrument", "price", "bid", "ask", "bid_quantity", "ask_quantity", "volume")
    for at, i, price, bid, ask, bid_quantity, ask_quantity, volume in zip(
        *(ticks[name].tolist() for name in names), strict=True
    ):
        if clocks and 0 <= second < at // SECOND:
            yield clock_event(at // SECOND * SECOND, session, next(numbers))
        second = at // SECOND
        token = TOKENS[i]
        data = MarketTick(
            token, price, at // 1000, volume, 0, bid, ask, bid_quantity, ask_quantity, session, next(numbers)
        )
        event = envelope(data, id=tick_id(token, at, 0), time_ns=at, source="feed", broker="shared")
        yield Outgoing(MARKET_TICKS.name, str(token).encode(), encode(event))


class Spent(NamedTuple):
    """Seconds of one run, or medians of several."""

    cpu: float
    wall: float


def spent(work: Callable[[], Any]) -> Spent:
    """What one call costs: CPU of the whole process, and by the clock on the wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)


def median(runs: Sequence[Spent]) -> Spent:
    return Spent(*(statistics.median(each) for each in zip(*runs, strict=True)))


@dataclass(frozen=True)
class Figure:
    """One measured number. `goal` is what it should reach, `at_least` says on which side."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def rates(name: str, ticks: int, took: Spent, goal: float | None) -> list[Figure]:
    """Ticks a second: the goal is for CPU time, as the machine may be shared."""
    return [
        Figure(f"{name}_cpu", ticks / took.cpu, "ticks/s", goal, at_least=True),
        Figure(f"{name}_wall", ticks / took.wall, "ticks/s"),
    ]


def load() -> str:
    """What else the machine does: the kernel's averages over 1, 5 and 15 minutes."""
    return " ".join(Path("/proc/loadavg").read_text().split()[:3])


def arguments(about: str | None, **sizes: tuple[float | str, str]) -> argparse.Namespace:
    """`--json` and one option a size: name=(default, meaning)."""
    parser = argparse.ArgumentParser(description=(about or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one line of JSON last")
    for name, (default, meaning) in sizes.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{meaning} (default {default})")
    return parser.parse_args()


def report(benchmark: str, figures: Sequence[Figure], *, json: bool) -> None:
    """A table, and with `json` the same as one line."""
    print(f"{benchmark}, load {load()}")
    for f in figures:
        goal = "" if f.goal is None else f"{'>=' if f.at_least else '<='} {_number(f.goal)}"
        verdict = {None: "", True: "met", False: "MISSED"}[f.met]
        print(f"  {f.name:<32} {_number(f.value):>14} {f.unit:<10} {goal:<15} {verdict}".rstrip())
    if json:
        line = {
            "benchmark": benchmark,
            "figures": {f.name: f.value for f in figures},
            "missed": [f.name for f in figures if f.met is False],
            "load": load(),
        }
        print(msgspec.json.encode(line).decode())


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:,.3f}"


def percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(np.asarray(values), percent))


def in_batches(records: Iterator[R], size: int) -> Iterator[list[R]]:
    while batch := list(islice(records, size)):
        yield batch
