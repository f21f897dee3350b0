"""Strategies: the built-ins against plain sums, finding and configuring, failures kept apart, batches that never show."""

import math
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from itertools import pairwise

import numpy as np
import pytest

from functions.orders import CNC, LIMIT, MARKET, SL
from functions.signals import SIGNAL
from functions.ticks import TICK
from strategies import registry
from strategies.protocol import (
    TICK_FIELDS,
    Parameter,
    PlainStrategy,
    Signal,
    Strategy,
    StrategyError,
    StrategyFailed,
    checked,
    sources,
    strategy,
)  # fmt: skip
from strategies.registry import built_ins, configure, load, parameters_of
from strategies.roster import MAX_FAILURES, Roster
from tests.desk import TEN, clock, instrument, tick, tick_rows
from tests.desk import strategy as following
from tests.market import walk

HERE = __name__
TOKENS = [11, 22, 33]
INSTRUMENTS = [instrument(t) for t in TOKENS]
MARKET_DAY = walk(1_500, 3, 0.0012, 21, step_ns=20_000_000)


def asked(implementation, ticks, instruments=INSTRUMENTS, **parameters):
    """(row, instrument, signed quantity) of every signal of one strategy over one batch."""
    made = configure(implementation, parameters)
    return signed(made.on_batch(made.start(instruments), ticks))


def signed(signals):
    return [(int(s["row"]), int(s["instrument"]), int(s["side"] * s["quantity"])) for s in signals]


def prices(*values, instrument=0):
    return tick_rows([tick(price, 0.1 * n, instrument=instrument) for n, price in enumerate(values)])


# --- the built-ins, against sums written out here ---------------------------------------------------------------------


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
def test_a_built_in_keeps_the_protocol_and_explains_itself(name):
    author = load(name)

    assert isinstance(configure(name, {}), Strategy)
    assert all(parameter.summary for parameter in parameters_of(author).values())
    assert "Source:" in (author.__doc__ or "")


@pytest.mark.parametrize("name", built_ins())
def test_any_split_into_batches_gives_the_same_signals(name):
    made = configure(name, {})
    whole = signed(made.on_batch(made.start(INSTRUMENTS), MARKET_DAY))
    cuts = [0, 1, 2, 50, 50, 799, 1_499, 1_500]

    state = made.start(INSTRUMENTS)
    parts = []
    for first, last in pairwise(cuts):
        parts += [(first + r, i, q) for r, i, q in signed(made.on_batch(state, MARKET_DAY[first:last]))]

    assert parts == whole
    assert whole


DIGEST = """
import hashlib
from strategies.registry import built_ins, configure
from tests.unit.test_strategies import INSTRUMENTS, MARKET_DAY
for name in built_ins():
    made = configure(name, {"quantity": 3})
    state = made.start(INSTRUMENTS)
    signals = made.on_batch(state, MARKET_DAY)
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


def test_a_built_ins_parameters_are_checked_when_it_is_configured():
    with pytest.raises(StrategyError, match="parameter window is at least 2, was 1"):
        configure("momentum", {"window": 1})


# --- compiled strategies ----------------------------------------------------------------------------------------------

FEE = 0.25


def half(price):
    return price * 0.5 - FEE


@strategy(state=[("seen", "i8")])
def every_third(state, tick, params):
    """Buys on every third tick."""
    state.seen += 1
    return 1 if state.seen % 3 == 0 else 0


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


@strategy(state=[("seen", "i8")], lots=3)
def breaks_on_thirteen(state, tick, params):
    if tick.price == 13.0:
        raise ValueError("thirteen")
    state.seen += 1
    return params.lots


def test_a_strategy_without_parameters_runs():
    assert asked(f"{HERE}:every_third", prices(1, 1, 1, 1, 1, 1, 1)) == [(2, 0, 1), (5, 0, 1)]


def test_an_order_may_say_its_kind_its_prices_and_its_product_for_one_signal():
    made = configure(f"{HERE}:with_limits", {"offset": 0.1})
    signals = made.on_batch(made.start(INSTRUMENTS), prices(100, 101, 102))

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

    parts = [made.on_batch(state, ticks[a:b]) for a, b in pairwise(cuts)]

    assert np.concatenate(parts)[["kind", "limit", "trigger"]].tolist() == [(MARKET, 0, 0)]


def test_a_batch_beyond_the_first_buffer_is_answered_whole():
    assert len(asked(f"{HERE}:every_third", prices(*[1.0] * 1_200))) == 400


def test_a_failure_carries_the_row_and_the_signals_before_it():
    made = configure(f"{HERE}:breaks_on_thirteen", {})

    with pytest.raises(StrategyFailed, match="ValueError: thirteen") as failed:
        made.on_batch(made.start(INSTRUMENTS), prices(1, 2, 13, 4))

    assert failed.value.row == 2
    assert signed(failed.value.signals) == [(0, 0, 3), (1, 0, 3)]


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


# --- plain Python classes ---------------------------------------------------------------------------------------------


class Counter:
    """Buys on every tick from the `start`-th on."""

    def __init__(self, start: int = 2, quantity: int = 1) -> None:
        self.start, self.quantity, self.seen = start, quantity, 0

    def on_tick(self, tick):
        self.seen += 1
        return self.quantity if self.seen >= self.start else None


class Talker:
    """Answers in every way there is."""

    fields = ("price", "instrument_token")

    def on_tick(self, tick):
        match tick.price:
            case 1.0:
                return Signal(-4, "LIMIT", limit=99.95, product="CNC")
            case 2.0:
                return [Signal(1), -2, Signal(3, "SL", limit=5.0, trigger=4.9)]
            case 3.0:
                return Signal(1, instrument_token=33 if tick.instrument_token == 11 else 11)
            case 4.0:
                return "buy"
        return 0


class Pair:
    """One object for both instruments: buys the one that is cheaper than the other was."""

    per_instrument = False

    def __init__(self) -> None:
        self.last = {}

    def on_tick(self, tick):
        self.last[tick.instrument_token] = tick.price
        return 1 if tick.price < max(self.last.values()) else None


class Everything:
    """Buys when every field of the tick is as expected."""

    def on_tick(self, tick):
        fields = [getattr(tick, f) for f in TICK_FIELDS]
        return 1 if fields == [11, TEN, 100.0, 99.0, 101.0, 3, 4, 5, 6] else None


class Scored:
    """A model that scores whole batches: the protocol itself."""

    def __init__(self, above: float = 0.0) -> None:
        self.above = above

    parameters = {"above": Parameter(0.0)}  # noqa: RUF012 - a plain class, as an author would write it

    def start(self, instruments):
        return {"batches": 0}

    def on_batch(self, state, ticks):
        state["batches"] += 1
        if (ticks["price"] == 13.0).any():
            raise RuntimeError("thirteen in the batch")
        rows = np.flatnonzero(ticks["price"] > self.above)
        signals = np.zeros(len(rows), SIGNAL)
        signals["row"], signals["instrument"] = rows, ticks["instrument"][rows]
        signals["quantity"], signals["side"], signals["product"] = 1, 1, -1
        return signals


class Unstarted:
    def on_batch(self, state, ticks):
        return ticks


def test_a_plain_class_gets_one_object_an_instrument():
    both = tick_rows([tick(1.0, instrument=n % 2) for n in range(5)])

    assert asked(f"{HERE}:Counter", both, quantity=3) == [(2, 0, 3), (3, 1, 3), (4, 0, 3)]


def test_a_plain_class_may_be_one_object_for_all_its_instruments():
    ticks = tick_rows([tick(5.0), tick(4.0, instrument=1), tick(6.0, instrument=2)])

    assert asked(f"{HERE}:Pair", ticks) == [(1, 1, 1)]


def test_a_plain_class_sees_every_field_of_the_tick():
    rows = tick_rows([tick(100.0, bid=99.0, ask=101.0, bid_quantity=3, ask_quantity=4)])
    rows["volume"], rows["open_interest"] = 5, 6

    assert asked(f"{HERE}:Everything", rows) == [(0, 0, 1)]


def test_a_plain_answer_may_be_a_number_a_signal_or_several():
    made = configure(f"{HERE}:Talker", {})
    signals = made.on_batch(made.start(INSTRUMENTS), prices(1, 2, 0, 3))

    names = ["row", "nth", "side", "quantity", "kind", "limit", "trigger", "product", "instrument"]
    assert signals[names].tolist() == [
        (0, 0, -1, 4, LIMIT, 99_950_000, 0, CNC, 0), (1, 0, 1, 1, MARKET, 0, 0, -1, 0),
        (1, 1, -1, 2, MARKET, 0, 0, -1, 0), (1, 2, 1, 3, SL, 5_000_000, 4_900_000, -1, 0),
        (3, 0, 1, 1, MARKET, 0, 0, -1, 2),
    ]  # fmt: skip


def test_an_answer_that_is_no_signal_is_a_failure_of_that_tick():
    made = configure(f"{HERE}:Talker", {})

    with pytest.raises(StrategyFailed, match="on_tick returned 'buy', wanted a signed int, a Signal, a list") as failed:
        made.on_batch(made.start(INSTRUMENTS), prices(0, 4))

    assert failed.value.row == 1


def test_an_answer_that_is_no_signal_costs_only_its_own_tick():
    """The signals of the ticks before it and after it leave as if it had not been."""
    signals, failures = Roster(INSTRUMENTS, [following("t", TOKENS, implementation=f"{HERE}:Talker")]).on_batch(
        prices(1, 4, 2, 0)
    )

    assert [(f.row, f.error) for f in failures] == [(1, "TypeError")]
    assert signed(signals) == [(0, 0, -4), (2, 0, 1), (2, 0, -2), (2, 0, 3)]


def test_a_wrong_kind_of_order_costs_only_its_own_tick():
    class Odd:
        def on_tick(self, tick):
            return Signal(1, "ICEBERG") if tick.price == 2.0 else 1

    made = PlainStrategy(Odd, {})

    with pytest.raises(StrategyFailed) as failed:
        made.on_batch(made.start(INSTRUMENTS), prices(1, 2, 1))

    assert (failed.value.row, signed(failed.value.signals)) == (1, [(0, 0, 1)])


def test_the_parameters_of_a_class_are_its_arguments_with_defaults():
    assert {name: p.default for name, p in parameters_of(Counter).items()} == {"start": 2, "quantity": 1}
    assert parameters_of(Pair) == {}


def test_an_argument_without_a_plain_default_is_refused():
    class Needy:
        def __init__(self, model) -> None:
            self.model = model

        def on_tick(self, tick):
            return 0

    with pytest.raises(StrategyError, match="Needy: argument model needs a default that is a number, text or bool"):
        parameters_of(Needy)


def test_a_class_that_asks_for_a_field_no_tick_has_is_refused():
    class Dreamer:
        fields = ("price", "mood")

        def on_tick(self, tick):
            return 0

    with pytest.raises(StrategyError, match="Dreamer: no tick has mood; known: instrument_token, time, price"):
        PlainStrategy(Dreamer, {})


def test_whatever_keeps_the_protocol_is_a_strategy():
    assert asked(f"{HERE}:Scored", prices(1, 5, 2), above=1.5) == [(1, 0, 1), (2, 0, 1)]


# --- finding them -----------------------------------------------------------------------------------------------------


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(
        StrategyError, match="unknown strategy 'momentun'; built in are mean_reversion, momentum, moving"
    ):
        load("momentun")


def test_a_strategy_outside_the_tree_is_found_as_a_module_of_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my_module_idea.py").write_text("class Mine:\n    def on_tick(self, tick):\n        return 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    assert asked("my_module_idea:Mine", prices(1)) == [(0, 0, 1)]


def test_a_strategy_outside_the_tree_is_found_as_a_file_and_compiled_like_any(tmp_path):
    (tmp_path / "my_file_idea.py").write_text(
        "from strategies.protocol import strategy\n"
        "def twice(x):\n"
        "    return 2 * x\n"
        "@strategy(state=[('seen', 'i8')], every=2)\n"
        "def mine(state, tick, params):\n"
        "    state.seen = state.seen + 1\n"
        "    return params.every if state.seen % params.every == 0 else 0\n"
    )
    implementation = f"{tmp_path}/my_file_idea.py:mine"

    assert asked(implementation, prices(1, 1, 1, 1)) == [(1, 0, 2), (3, 0, 2)]
    assert load(implementation) is load(implementation)


def test_an_installed_packages_entry_point_is_found(monkeypatch):
    point = EntryPoint("my_point", f"{HERE}:Counter", registry.GROUP)
    monkeypatch.setattr(
        registry, "entry_points", lambda group, name: [point] if (group, name) == (point.group, point.name) else []
    )

    assert asked("my_point", prices(1, 1)) == [(1, 0, 1)]


@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        ("no_such_module:Idea", "no module 'no_such_module'.*looked in"),
        ("momentum:", "unknown strategy 'momentum:'"),
        ("/nowhere/idea.py:Idea", "no file '/nowhere/idea.py', looked from"),
        (f"{HERE}:Missing", "the module has no Missing"),
        (f"{HERE}:HERE", "is no strategy: wanted @strategy, a class with on_tick, or one with start and on_batch"),
        (f"{HERE}:Unstarted", "has on_batch but no start"),
    ],
)
def test_what_cannot_be_loaded_says_why(implementation, message):
    with pytest.raises(StrategyError, match=message):
        configure(implementation, {})


def test_a_module_or_a_file_that_fails_to_import_says_with_what(tmp_path, monkeypatch):
    (tmp_path / "broken_idea.py").write_text("1 / 0\n")
    (tmp_path / "needs_idea.py").write_text("import no_such_library_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(StrategyError, match="cannot be imported: ZeroDivisionError"):
        load("broken_idea:X")
    with pytest.raises(StrategyError, match="no module 'needs_idea': No module named 'no_such_library_anywhere'"):
        load("needs_idea:X")
    with pytest.raises(StrategyError, match="cannot be imported: ZeroDivisionError"):
        load(f"{tmp_path}/broken_idea.py:X")
    assert "broken_idea" not in sys.modules


def test_a_file_named_as_a_module_that_is_loaded_already_is_refused(tmp_path):
    (tmp_path / "json.py").write_text("class X:\n    def on_tick(self, tick):\n        return 1\n")

    with pytest.raises(StrategyError, match=r"a module named 'json' is already loaded from .*: rename the file"):
        load(f"{tmp_path}/json.py:X")


# --- the roster -------------------------------------------------------------------------------------------------------


class Moody:
    """Buys, but not at thirteen."""

    fields = ("price",)

    def __init__(self) -> None:
        self.bought = 0

    def on_tick(self, tick):
        if tick.price == 13.0:
            raise KeyError("thirteen")
        self.bought += 1
        return self.bought


def roster(*strategies, instruments=INSTRUMENTS):
    return Roster(instruments, strategies)


def moody(name="m", tokens=TOKENS, **more):
    return following(name, tokens, implementation=f"{HERE}:Moody", **more)


def wanted(made, ticks):
    """(row, strategy, instrument, signed quantity) in the order that the accounts get."""
    signals, _ = made.on_batch(ticks)
    return [
        (int(s["row"]), made.names[s["strategy"]], int(s["instrument"]), int(s["side"] * s["quantity"]))
        for s in signals
    ]


def test_signals_come_by_tick_and_then_by_the_strategies_name():
    made = roster(moody("z"), moody("a", [22]))
    ticks = tick_rows([tick(1.0), tick(1.0, instrument=1), tick(1.0)])

    assert wanted(made, ticks) == [(0, "z", 0, 1), (1, "a", 1, 1), (1, "z", 1, 1), (2, "z", 0, 2)]


def test_a_strategy_sees_its_own_instruments_and_no_other_and_no_clock():
    made = roster(moody("m", [33, 11]), following("n", [22], implementation=f"{HERE}:Counter", parameters={"start": 1}))
    ticks = tick_rows([tick(1.0, instrument=2), clock(1), tick(1.0, instrument=1), tick(1.0, instrument=0)])

    assert wanted(made, ticks) == [(0, "m", 2, 1), (2, "n", 1, 1), (3, "m", 0, 1)]


def test_a_strategy_alone_on_all_instruments_is_not_given_the_clock_either():
    assert wanted(roster(moody()), tick_rows([tick(1.0), clock(1), tick(1.0, 2)])) == [(0, "m", 0, 1), (2, "m", 0, 2)]


def test_a_signal_for_another_instrument_of_the_strategy_keeps_its_meaning():
    made = roster(following("t", [33, 11], implementation=f"{HERE}:Talker"), moody("z", [22]))

    assert wanted(made, prices(3)) == [(0, "t", 2, 1)]


def test_a_disabled_strategy_gets_nothing():
    assert wanted(roster(moody("m", enabled=False), moody("n")), prices(1, 1)) == [(0, "n", 0, 1), (1, "n", 0, 2)]


def test_no_ticks_and_no_strategies_want_nothing():
    assert wanted(roster(moody()), prices()) == []
    assert wanted(roster(), prices(1)) == []


def test_more_ticks_than_the_first_buffer_holds_reach_everybody():
    made = roster(moody("m", [11]), moody("n", [11, 22]))

    assert len(wanted(made, prices(*[1.0] * 1_500))) == 3_000


def test_a_strategy_that_raises_loses_that_tick_and_the_others_never_notice():
    made, alone = roster(moody("m"), following("n", TOKENS, implementation=f"{HERE}:every_third")), roster(
        following("n", TOKENS, implementation=f"{HERE}:every_third")
    )  # fmt: skip
    ticks = prices(1, 13, 1, 13, 1, 1)

    signals, failures = made.on_batch(ticks)

    assert [tuple(f) for f in failures] == [
        (1, "m", "KeyError", "'thirteen'", False),
        (3, "m", "KeyError", "'thirteen'", False),
    ]
    assert signed(signals[signals["strategy"] == 0]) == [(0, 0, 1), (2, 0, 2), (4, 0, 3), (5, 0, 4)]
    assert signed(signals[signals["strategy"] == 1]) == signed(alone.on_batch(ticks)[0])


def test_failures_are_counted_in_the_rows_of_the_whole_batch():
    made = roster(moody("m", [22]), moody("n", [11]))
    ticks = tick_rows([tick(1.0), tick(13.0, instrument=1), tick(13.0), tick(1.0, instrument=1)])

    signals, failures = made.on_batch(ticks)

    assert [(f.row, f.strategy) for f in failures] == [(1, "m"), (2, "n")]
    assert signed(signals) == [(0, 0, 1), (3, 1, 1)]


def test_a_strategy_is_suspended_at_its_tenth_failure_and_stays_so():
    made = roster(moody("m"), moody("n", [22]))
    bad = prices(*[13.0] * (MAX_FAILURES - 1), 1.0)

    _, first = made.on_batch(bad)
    signals, last = made.on_batch(prices(13.0, 1.0))

    assert [f.suspended for f in first + last] == [False] * 9 + [True]
    assert signed(signals) == []
    assert wanted(made, prices(1.0, 1.0)) == []
    assert wanted(made, prices(1.0, instrument=1)) == [(0, "n", 1, 1)]


def test_the_others_never_notice_a_suspension_in_the_middle_of_a_batch():
    def counting(name):
        return following(name, [11, 22], implementation=f"{HERE}:Counter", parameters={"start": 1})

    bad = [13.0] * MAX_FAILURES
    made, alone = roster(counting("a"), moody("m", [11]), counting("z")), roster(counting("a"), counting("z"))

    signals = wanted(made, prices(1.0, *bad, 1.0))

    assert [s for s in signals if s[1] != "m"] == wanted(alone, prices(1.0, *bad, 1.0))


def test_a_compiled_strategy_that_raises_loses_that_tick_only():
    signals, failures = roster(following("b", TOKENS, implementation=f"{HERE}:breaks_on_thirteen")).on_batch(
        prices(1, 13, 1)
    )

    assert signed(signals) == [(0, 0, 3), (2, 0, 3)]
    assert [(f.row, f.error, f.message) for f in failures] == [(1, "ValueError", "thirteen")]


def test_a_model_that_raises_on_a_batch_is_named_and_goes_on():
    signals, failures = roster(following("q", TOKENS, implementation=f"{HERE}:Scored")).on_batch(prices(13, 1, 2))

    assert [(f.row, f.strategy, f.error) for f in failures] == [(0, "q", "RuntimeError")]
    assert signed(signals) == [(1, 0, 1), (2, 0, 1)]


def test_a_roster_that_cannot_be_made_names_the_strategy():
    with pytest.raises(StrategyError, match="strategy m: unknown instrument 44, 55"):
        roster(moody("m", [11, 44, 55]))
    with pytest.raises(StrategyError, match="strategy f: parameter window is at least 2, was 1"):
        roster(following("f", TOKENS, parameters={"window": 1}))


# --- state ------------------------------------------------------------------------------------------------------------


def everybody():
    return roster(
        *(following(name, TOKENS, implementation=name, parameters={"quantity": 2}) for name in built_ins()),
        moody("plain", [22]), following("pair", TOKENS, implementation=f"{HERE}:Pair"),
    )  # fmt: skip


@pytest.mark.parametrize("cut", [1, 100, 901])
def test_a_roster_restored_from_its_blob_goes_on_as_if_nothing_had_happened(cut):
    made, again = everybody(), everybody()
    made.on_batch(MARKET_DAY[:cut].copy())

    again.load(made.to_bytes())

    rest = MARKET_DAY[cut:]
    assert wanted(again, rest.copy()) == wanted(made, rest.copy())
    assert again.to_bytes() == made.to_bytes()


def test_failures_and_suspension_survive_a_restart():
    made, again, third = roster(moody()), roster(moody()), roster(moody())
    made.on_batch(prices(*[13.0] * 9))
    again.load(made.to_bytes())

    _, failures = again.on_batch(prices(13.0))
    third.load(again.to_bytes())

    assert [f.suspended for f in failures] == [True]
    assert wanted(third, prices(1.0)) == []


def test_a_strategy_disabled_since_the_snapshot_stays_disabled():
    made, again = roster(moody()), roster(moody(enabled=False))

    again.load(made.to_bytes())

    assert wanted(again, prices(1.0)) == []


def test_a_strategy_that_is_new_or_configured_otherwise_starts_anew():
    before = roster(moody("kept"), moody("changed"), moody("gone"))
    after = roster(moody("kept"), moody("changed", [11]), moody("new"))
    before.on_batch(prices(*[13.0] * (MAX_FAILURES - 1), 1.0, 1.0))

    after.load(before.to_bytes())

    assert wanted(after, prices(1.0)) == [(0, "changed", 0, 1), (0, "kept", 0, 3), (0, "new", 0, 1)]
    _, failures = after.on_batch(prices(13.0))
    assert [(f.strategy, f.suspended) for f in failures] == [("changed", False), ("kept", True), ("new", False)]


def test_a_state_of_another_layout_under_the_same_configuration_is_refused():
    made, again = (roster(following("f", TOKENS, implementation=f"{HERE}:every_third")) for _ in range(2))
    blob = made.to_bytes()
    again._members[0].state = np.zeros(3, [("seen", "i8"), ("since", "i8")])

    with pytest.raises(StrategyError, match="strategy f: its state in the snapshot has another layout"):
        again.load(blob)


def test_a_tick_row_is_lent_and_comes_back_unchanged():
    ticks = MARKET_DAY.copy()
    everybody().on_batch(ticks)

    assert ticks.tobytes() == MARKET_DAY.tobytes()
    assert ticks.dtype == TICK
