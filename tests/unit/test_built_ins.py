"""The built-in strategies, against sums written out here; compiled or not, in any batches."""

import math
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from strategies.protocol import StrategyError
from strategies.registry import built_ins, configure, load, parameters_of
from tests.strategies import INSTRUMENTS, MARKET_DAY, asked, prices, signed


def momentum_by_hand(path, window, threshold):
    for n in range(window - 1, len(path)):
        change = path[n] / path[n - window + 1] - 1.0
        if abs(change) > threshold:
            yield n, 1 if change > 0 else -1


def mean_reversion_by_hand(path, window, deviations):
    alpha, average, variance = 2.0 / (window + 1), path[0], 0.0
    for n, price in enumerate(path):
        distance = price - average
        average += alpha * distance
        variance = (1.0 - alpha) * (variance + alpha * distance * distance)
        if n + 1 >= window and variance > 0 and abs(distance / math.sqrt(variance)) > deviations:
            yield n, -1 if distance > 0 else 1


def crossover_by_hand(path, fast, slow, band):
    quick = long = path[0]
    side = 0
    for n, price in enumerate(path):
        quick += 2.0 / (fast + 1) * (price - quick)
        long += 2.0 / (slow + 1) * (price - long)
        gap = quick - long
        now = 1 if gap > band * price else -1 if gap < -band * price else side
        if n + 1 >= slow and now != side:
            if side:
                yield n, now
            side = now


@pytest.mark.parametrize(
    ("name", "by_hand", "parameters"),
    [
        ("momentum", momentum_by_hand, {"window": 5, "threshold": 0.002}),
        ("momentum", momentum_by_hand, {"window": 20, "threshold": 0.004}),
        ("mean_reversion", mean_reversion_by_hand, {"window": 20, "deviations": 1.5}),
        ("mean_reversion", mean_reversion_by_hand, {"window": 2, "deviations": 0.5}),
        ("moving_average_crossover", crossover_by_hand, {"fast": 5, "slow": 20, "band": 0.0002}),
        ("moving_average_crossover", crossover_by_hand, {"fast": 2, "slow": 3, "band": 0.0}),
    ],
)
def test_a_built_in_wants_what_its_formula_says(name, by_hand, parameters):
    expected = []
    for i in range(3):
        path = MARKET_DAY["price"][i::3].tolist()
        expected += [(3 * n + i, i, 4 * side) for n, side in by_hand(path, **parameters)]

    assert asked(name, MARKET_DAY, quantity=4, **parameters) == sorted(expected)
    assert len(expected) > 20


def test_momentum_follows_a_move_of_more_than_the_threshold_over_its_window():
    wanted = asked("momentum", prices(100, 100, 100.99, 102, 101, 99), window=3, threshold=0.01, quantity=7)

    assert wanted == [(3, 0, 7), (5, 0, -7)]  # 102/100 and 99/102; 100.99/100 is not more than one per cent


def test_mean_reversion_fades_a_jump_and_not_a_market_that_stands_still():
    wanted = asked("mean_reversion", prices(*[100.0] * 30, 105.0, 95.0), window=20, deviations=3.0, quantity=3)

    assert wanted == [(30, 0, -3)]  # the jump has widened the deviation: the way back is within it


def test_a_crossover_is_told_once_and_the_first_side_taken_is_none():
    wanted = asked(
        "moving_average_crossover", prices(*range(100, 110), *range(110, 95, -1), *range(95, 115)),
        fast=2, slow=5, band=0.0, quantity=2,
    )  # fmt: skip

    assert [quantity for _, _, quantity in wanted] == [-2, 2]


def test_a_strategy_keeps_a_memory_for_each_instrument():
    both = np.concatenate([prices(100, 100, 102), prices(100, 100, 102, instrument=1)])

    assert asked("momentum", both, window=3, threshold=0.01, quantity=1) == [(2, 0, 1), (5, 1, 1)]


def test_the_strategies_of_the_tree_are_listed():
    assert built_ins() == ["mean_reversion", "momentum", "moving_average_crossover"]


@pytest.mark.parametrize("name", built_ins())
def test_a_built_in_explains_itself(name):
    author = load(name)

    assert all(parameter.summary for parameter in parameters_of(author).values())
    assert "Source:" in (author.__doc__ or "")


@pytest.mark.parametrize("name", built_ins())
def test_any_split_into_batches_gives_the_same_signals(name):
    made = configure(name, {})
    whole = signed(made.ask(made.start(INSTRUMENTS), MARKET_DAY).signals)
    cuts = [0, 1, 2, 50, 50, 799, 1_499, 1_500]

    state = made.start(INSTRUMENTS)
    parts = []
    for first, last in pairwise(cuts):
        parts += [(first + r, i, q) for r, i, q in signed(made.ask(state, MARKET_DAY[first:last]).signals)]

    assert parts == whole
    assert whole


DIGEST = """
import hashlib
from strategies.registry import built_ins, configure
from tests.strategies import INSTRUMENTS, MARKET_DAY
for name in built_ins():
    made = configure(name, {"quantity": 3})
    state = made.start(INSTRUMENTS)
    signals = made.ask(state, MARKET_DAY).signals
    print(name, len(signals), hashlib.sha256(signals.tobytes() + state.tobytes()).hexdigest())
"""


@pytest.mark.timeout(600)
def test_a_compiled_built_in_is_the_plain_python_one_byte_for_byte():
    compiled, plain = (
        subprocess.run(
            [sys.executable, "-c", DIGEST], env={**os.environ, "NUMBA_DISABLE_JIT": switch}, capture_output=True, text=True,
            check=True,
        ).stdout
        for switch in ("0", "1")
    )  # fmt: skip

    assert compiled == plain
    assert [line.split()[0] for line in plain.splitlines()] == built_ins()


def test_a_built_ins_parameters_are_checked_when_it_is_configured():
    with pytest.raises(StrategyError, match="parameter window is at least 2, was 1"):
        configure("momentum", {"window": 1})
