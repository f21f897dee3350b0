"""What a strategy is: its parameters, and the functions that are compiled."""

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from functions.orders import CNC, LIMIT, MARKET
from strategies.compiled import sources
from strategies.protocol import Parameter, StrategyError, checked, strategy
from strategies.registry import configure, load
from tests.strategies import INSTRUMENTS, SAMPLES, asked, every_third, prices, signed

HERE = __name__

# --- parameters -------------------------------------------------------------------------------------------------------

SPECIFICATION = {
    "window": Parameter(20, minimum=2, maximum=50),
    "share": Parameter(0.5, minimum=0.0),
    "loud": Parameter(False),
    "mood": Parameter("calm"),
}


def test_what_is_not_given_keeps_its_default_in_the_declared_order():
    assert list(checked(SPECIFICATION, {"mood": "wild"}).items()) == [
        ("window", 20), ("share", 0.5), ("loud", False), ("mood", "wild"),
    ]  # fmt: skip


@pytest.mark.parametrize("window", [2, 50])
def test_a_bound_may_be_reached(window):
    assert checked(SPECIFICATION, {"window": window})["window"] == window


def test_a_whole_number_will_do_for_a_fraction():
    value = checked(SPECIFICATION, {"share": 3})["share"]

    assert (value, type(value)) == (3.0, float)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"window": 1}, "parameter window is at least 2, was 1"),
        ({"window": 51}, "parameter window is at most 50, was 51"),
        ({"window": 20.0}, "parameter window takes int, was 20.0"),
        ({"window": True}, "parameter window takes int, was True"),
        ({"window": "20"}, "parameter window takes int, was '20'"),
        ({"share": float("nan")}, "parameter share must be a number, was nan"),
        ({"share": True}, "parameter share takes float, was True"),
        ({"loud": 1}, "parameter loud takes bool, was 1"),
        ({"mood": 1}, "parameter mood takes str, was 1"),
        ({"windwo": 5, "a": 1}, "unknown parameter a, windwo; known: window, share, loud, mood"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_would_do(given, message):
    with pytest.raises(StrategyError, match=message):
        checked(SPECIFICATION, given)


def test_a_strategy_without_parameters_says_so():
    with pytest.raises(StrategyError, match="unknown parameter x; known: none"):
        checked({}, {"x": 1})


# --- compiled strategies ----------------------------------------------------------------------------------------------

FEE = 0.25


def half(price):
    return price * 0.5 - FEE


@strategy(state=[("seen", "i8")], offset=0.05)
def with_limits(state, tick, params, order):
    """Buys at a limit under the market, in turn with plain sales."""
    state.seen += 1
    if state.seen % 2 == 1:
        order.kind = 1
        order.limit = tick.price - params.offset
        order.product = 1
        return 5
    return -5


@strategy(state=[("seen", "i8")])
def forgetful(state, tick, params, order):
    """Asks for a stop, then thinks better of it."""
    state.seen += 1
    if state.seen == 1:
        order.kind = 2
        order.limit = tick.price
        order.trigger = tick.price
        return 0
    return 1


def test_a_strategy_without_parameters_runs():
    assert asked(f"{SAMPLES}:every_third", prices(1, 1, 1, 1, 1, 1, 1)) == [(2, 0, 1), (5, 0, 1)]


def test_an_order_may_say_its_kind_its_prices_and_its_product_for_one_signal():
    made = configure(f"{HERE}:with_limits", {"offset": 0.1})
    signals = made.ask(made.start(INSTRUMENTS), prices(100, 101, 102)).signals

    names = ["kind", "limit", "trigger", "product", "side", "quantity"]
    assert signals[names].tolist() == [
        (LIMIT, 99_900_000, 0, CNC, 1, 5), (MARKET, 0, 0, -1, -1, 5), (LIMIT, 101_900_000, 0, CNC, 1, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("cuts", [[0, 2], [0, 1, 2]], ids=["one batch", "two batches"])
def test_an_order_that_was_not_sent_is_forgotten(cuts):
    """What `order` said on a tick holds for the signal of that tick only, whatever the batches are."""
    made = configure(f"{HERE}:forgetful", {})
    state = made.start(INSTRUMENTS)
    ticks = prices(100, 101)

    parts = [made.ask(state, ticks[a:b]).signals for a, b in pairwise(cuts)]

    assert np.concatenate(parts)[["kind", "limit", "trigger"]].tolist() == [(MARKET, 0, 0)]


def test_a_batch_beyond_the_first_buffer_is_answered_whole():
    assert len(asked(f"{SAMPLES}:every_third", prices(*[1.0] * 1_200))) == 400


def test_a_failure_carries_the_row_and_the_signals_before_it():
    made = configure(f"{SAMPLES}:breaks_on_thirteen", {})

    signals, lost, shown = made.ask(made.start(INSTRUMENTS), prices(1, 2, 13, 4))

    assert [(each.row, each.error, each.message) for each in lost] == [(2, "ValueError", "thirteen")]
    assert (shown, signed(signals)) == (3, [(0, 0, 3), (1, 0, 3)])


def test_a_compiled_strategy_can_still_be_called_as_the_function_it_is():
    state = np.zeros(1, [("seen", "i8")]).view(np.recarray)[0]

    assert [every_third(state, None, None) for _ in range(3)] == [0, 0, 1]


def test_a_state_field_named_as_one_of_numpys_is_refused():
    clash = strategy(state=[("mean", "f8"), ("ok", "i8"), ("sum", "f8")])(lambda state, tick, params: 0)

    with pytest.raises(StrategyError, match="state field mean, sum is a name of NumPy's, choose another"):
        clash.configure({})


def test_a_parameter_named_as_one_of_numpys_is_refused_or_means_what_it_says():
    """`params.size` of a record is NumPy's own where the compiler is off."""
    sized = strategy(state=[("seen", "i8")], size=3)(lambda state, tick, params: 0)

    with pytest.raises(StrategyError, match="size is a name of NumPy's, choose another"):
        sized.configure({})


def test_the_sources_of_a_strategy_are_its_file_and_those_of_what_it_calls(tmp_path, monkeypatch):
    (tmp_path / "inner_idea.py").write_text("def inner(x):\n    return x + 1\n")
    (tmp_path / "outer_idea.py").write_text(
        "from inner_idea import inner\n\ndef outer(x):\n    return [inner(y) for y in x]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    outer = load("outer_idea:outer")

    assert sources(outer) == {tmp_path / "inner_idea.py", tmp_path / "outer_idea.py"}
    assert sources(half) == {__import__("pathlib").Path(__file__)}


UNCOMPILABLE = """
from strategies.protocol import StrategyError
from strategies.registry import configure
from tests.desk import instrument
try:
    configure("{file}:wordy", {{}}).start([instrument()])
except StrategyError as error:
    print(error)
"""


def test_a_function_that_cannot_be_compiled_is_refused_at_the_start(tmp_path):
    (tmp_path / "wordy_idea.py").write_text(
        "from strategies.protocol import strategy\n"
        "@strategy(state=[('seen', 'i8')])\n"
        "def wordy(state, tick, params):\n"
        "    return 'buy'.undefined()\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", UNCOMPILABLE.format(file=tmp_path / "wordy_idea.py")],
        env={**os.environ, "NUMBA_DISABLE_JIT": "0"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert said.startswith("wordy cannot be compiled: ")
