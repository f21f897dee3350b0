"""The backtest core: gate, strategy, risk, venue and books over rows in memory, on one core.

Goals: 15 M ticks/s sparse and 5 M dense with the built-in momentum, 1.2 M and 0.8 M with the same strategy as a plain
Python class; 200 bytes and 1 µs a filled order; every fill and all money equal to an independent account in plain
Python (`tests/oracle.py`). Batches of 10 000; compiled and run once before the clock starts.
"""

import tracemalloc
from datetime import date

from benchmarks.workload import (
    PLAIN,
    SIGMA,
    TOKENS,
    Figure,
    Spent,
    arguments,
    desk,
    market,
    median,
    rates,
    report,
    spent,
)
from connectors.errors import FatalError
from dataflows.backtest import Outcome, run
from functions.ticks import Rows
from tests.market import TEN
from tests.oracle import Oracle

GOALS = {
    ("momentum", "sparse"): 15e6, ("momentum", "dense"): 5e6,
    (PLAIN, "sparse"): 1.2e6, (PLAIN, "dense"): 0.8e6,
}  # fmt: skip
NAMES = {"momentum": "built_in", PLAIN: "plain"}


def backtest(ticks: Rows, implementation: str) -> Outcome:
    made = desk(implementation)
    return run(ticks, made.instruments, made.accounts[0], made.strategies)


def kept_bytes(ticks: Rows) -> tuple[int, int]:
    """(bytes that a finished backtest keeps, its fills)."""
    tracemalloc.start()
    try:
        outcome = backtest(ticks, "momentum")
        return tracemalloc.get_traced_memory()[0], len(outcome.fills)
    finally:
        tracemalloc.stop()


def check(ticks: Rows, outcome: Outcome) -> int:
    """Number of fills, all of them and all totals equal to the oracle's. Raises: `FatalError` at the first that is not."""
    oracle = Oracle(date(2026, 5, 6))
    for n, (i, price) in enumerate(zip(ticks["instrument"].tolist(), ticks["price"].tolist(), strict=True)):
        oracle.tick(n, i, price)
    names = ["time", "instrument", "side", "quantity", "price", "charges", "realised", "position"]
    step = int(ticks["time"][1] - ticks["time"][0])
    fills = [
        ((time - TEN) // step, i, side * q, p, c, g, at)
        for time, i, side, q, p, c, g, at in outcome.fills[names].tolist()
    ]
    _equal("fills", len(fills), len(oracle.fills))
    for mine, theirs in zip(fills, oracle.fills, strict=True):
        _equal(f"fill at tick {theirs[0]}", mine, theirs)
    account = outcome.shard.accounts[0]
    for field, expected in (
        ("signals", oracle.signals), ("rejected", oracle.refused), ("realised", oracle.realised),
        ("charges", oracle.charges), ("unrealised", oracle.unrealised),
    ):  # fmt: skip
        _equal(field, int(account[field]), expected)
    _equal("rules that refused", sorted(outcome.refusals), ["position_limit"] if oracle.refused else [])
    return len(fills)


def _equal(what: str, engine: object, oracle: object) -> None:
    if engine != oracle:
        raise FatalError(f"{what}: the engine has {engine}, the oracle {oracle}")


def measure(ticks: int, repeats: int) -> list[Figure]:
    """All figures, for markets of this many ticks."""
    markets = {name: market(name, ticks) for name in SIGMA}
    figures: list[Figure] = []
    took: dict[tuple[str, str], Spent] = {}
    fills: dict[str, int] = {}
    for (implementation, name), goal in GOALS.items():
        rows = markets[name]
        outcome = backtest(rows, implementation)  # compiles, and is what the oracle checks
        fills[name] = check(rows, outcome)
        runs = [spent(lambda rows=rows, made_of=implementation: backtest(rows, made_of)) for _ in range(repeats)]
        took[implementation, name] = median(runs)
        figures += rates(f"{NAMES[implementation]}_{name}", ticks, took[implementation, name], goal)
    return figures + per_fill(markets, fills, took["momentum", "sparse"], took["momentum", "dense"])


def per_fill(markets: dict[str, Rows], fills: dict[str, int], sparse: Spent, dense: Spent) -> list[Figure]:
    """What one more fill costs: the dense market against the sparse one."""
    kept = {name: kept_bytes(rows)[0] for name, rows in markets.items()}
    more = max(fills["dense"] - fills["sparse"], 1)
    return [
        Figure("bytes_per_fill", (kept["dense"] - kept["sparse"]) / more, "B", 200),
        Figure("us_per_fill", (dense.cpu - sparse.cpu) / more * 1e6, "µs", 1.0),
        Figure("fills_sparse_equal_to_oracle", fills["sparse"], "fills"),
        Figure("fills_dense_equal_to_oracle", fills["dense"], "fills"),
        Figure("instruments", len(TOKENS), ""),
    ]


def main() -> None:
    given = arguments(__doc__, ticks=(1_000_000, "ticks a market"), repeats=(5, "runs, of which the median"))
    report("engine", measure(given.ticks, given.repeats), json=given.json)


if __name__ == "__main__":
    main()
