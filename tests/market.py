"""Markets for tests: random walks on the tick grid, and random orders for them."""

from datetime import UTC, datetime

import numpy as np

from functions.orders import KINDS
from functions.signals import SIGNAL
from functions.ticks import TICK

TEN = int(datetime(2026, 5, 6, 4, 30, tzinfo=UTC).timestamp()) * 1_000_000_000


def walk(
    count: int, instruments: int, sigma: float, seed: int, *, step_ns: int = 1_000_000, start: int = TEN
) -> np.ndarray:
    """TICK rows of geometric walks from 1000 + 100·i, instruments in turn, rounded to five paise."""
    rng = np.random.default_rng(seed)
    ticks = np.zeros(count, TICK)
    ticks["instrument"] = np.arange(count) % instruments
    ticks["time"] = start + np.arange(count) * step_ns
    for i in range(instruments):
        mine = ticks["price"][i::instruments]
        path = (1000 + 100 * i) * np.exp(np.cumsum(sigma * rng.standard_normal(len(mine))))
        ticks["price"][i::instruments] = np.round(np.round(path / 0.05) * 0.05, 2)
    ticks["bid"] = np.round(ticks["price"] - 0.05, 2)
    ticks["ask"] = np.round(ticks["price"] + 0.05, 2)
    ticks["bid_quantity"] = rng.integers(1, 40, count)
    ticks["ask_quantity"] = rng.integers(1, 40, count)
    ticks["volume"] = np.arange(count)
    return ticks


def orders_for(ticks: np.ndarray, count: int, strategies: int, seed: int) -> np.ndarray:
    """Random SIGNAL rows of all four kinds with prices on the grid around the market."""
    rng = np.random.default_rng(seed)
    signals = np.zeros(count, SIGNAL)
    signals["row"] = np.sort(rng.integers(0, len(ticks), count))
    signals["quantity"] = rng.integers(0, 12, count)
    signals["strategy"] = rng.integers(0, strategies, count)
    signals["side"] = rng.choice([-1, 1], count)
    signals["kind"] = rng.integers(0, len(KINDS), count)
    signals["product"] = rng.integers(-1, 3, count)
    signals["instrument"] = ticks["instrument"][signals["row"]]
    around = np.rint(ticks["price"][signals["row"]] * 20).astype(np.int64) * 50_000
    has_limit = (signals["kind"] == 1) | (signals["kind"] == 2)
    has_trigger = signals["kind"] >= 2
    signals["limit"] = np.where(has_limit, around + rng.integers(-6, 7, count) * 50_000, 0)
    signals["trigger"] = np.where(has_trigger, around + rng.integers(-6, 7, count) * 50_000, 0)
    signals = signals[np.lexsort((signals["strategy"], signals["row"]))]
    same = np.zeros(count, np.int32)
    for n in range(1, count):
        if signals["row"][n] == signals["row"][n - 1] and signals["strategy"][n] == signals["strategy"][n - 1]:
            same[n] = same[n - 1] + 1
    signals["nth"] = same
    return signals
