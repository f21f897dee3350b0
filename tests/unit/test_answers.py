"""What a strategy may want: an answer that is none costs its own tick, in every form that a strategy may have."""

from enum import IntEnum
from typing import ClassVar

import numpy as np
import pytest

from functions.kernel import COMPILED
from functions.orders import LIMIT, SL, SLM
from functions.signals import SIGNAL
from strategies.answers import MAX_SIGNALS, shown, words_of
from strategies.protocol import Parameter, Signal, StrategyError, strategy
from strategies.roster import MAX_FAILURES, Roster
from tests.desk import strategy as following
from tests.strategies import INSTRUMENTS, TOKENS, prices

HERE = __name__
MOST = 10_000_000
HUGE = 10**30


class Two(IntEnum):
    TWO = 2


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unshowable:
    def __repr__(self) -> str:
        raise SystemExit(3)


class Undecided:
    def __bool__(self) -> bool:
        raise KeyError("neither")


def five(*values):
    """Five ticks, of which the third carries what is tried."""
    return prices(*(values or (1, 2, 3, 4, 5)))


def asked_on_the_third(implementation, **parameters):
    """(row, signed quantity) of the signals over five ticks, and (row, class, words) of the failures."""
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=implementation, parameters=parameters)])
    signals, failures = made.on_batch(five())
    return (
        [(int(s["row"]), int(s["side"] * s["quantity"])) for s in signals],
        [(f.row, f.error, f.message) for f in failures],
    )


# --- on_tick ----------------------------------------------------------------------------------------------------------

NO_ANSWER = {
    "a float": (1.0, "TypeError", "on_tick returned 1.0, wanted a signed int"),
    "not a number": (float("nan"), "TypeError", "on_tick returned nan"),
    "a NumPy float": (np.float64(2), "TypeError", "on_tick returned np.float64(2.0)"),
    "a NumPy integer": (np.int64(2), "TypeError", "on_tick returned np.int64(2)"),
    "true": (True, "TypeError", "on_tick returned True"),
    "text": ("BUY", "TypeError", "on_tick returned 'BUY'"),
    "a tuple": ((1, 2), "TypeError", "on_tick returned (1, 2)"),
    "a set": ({1}, "TypeError", "on_tick returned {1}"),
    "a dict": ({"side": "BUY"}, "TypeError", "on_tick returned {'side': 'BUY'}"),
    "an array": (np.array([1, 2]), "ValueError", "ambiguous"),
    "a huge number": (HUGE, "ValueError", f"a quantity is from -{MOST} to {MOST}, was 1000000000"),
    "a number beyond what Python shows": (10**5000, "ValueError", "was something of class int that cannot be shown"),
    "one more than the most": (MOST + 1, "ValueError", f"was {MOST + 1}"),
    "one less than the least": (-MOST - 1, "ValueError", f"was -{MOST + 1}"),
    "the least of 64 bits": (-(2**63), "ValueError", "was -9223372036854775808"),
    "a list with none in it": ([1, None], "TypeError", "on_tick returned None"),
    "a list in a list": ([[1]], "TypeError", "on_tick returned [1]"),
    "too many": ([1] * (MAX_SIGNALS + 1), "ValueError", "on_tick returned 1001 signals, at most 1000"),
    "what cannot be shown": (Unshowable(), "TypeError", "something of class Unshowable that cannot be shown"),
    "what cannot decide whether it is": (Undecided(), "KeyError", "'neither'"),
    "a class": (Signal, "TypeError", "on_tick returned <class 'strategies.answers.Signal'>"),
    "a fraction of a share": (Signal(1.5), "TypeError", "a quantity is a signed int, was 1.5"),  # type: ignore[arg-type]
    "a whole float": (Signal(2.0), "TypeError", "a quantity is a signed int, was 2.0"),  # type: ignore[arg-type]
    "no quantity": (Signal(None), "TypeError", "a quantity is a signed int, was None"),  # type: ignore[arg-type]
    "a quantity in text": (Signal("5"), "TypeError", "was '5'"),  # type: ignore[arg-type]
    "a true quantity": (Signal(True), "TypeError", "was True"),
    "a quantity that is no number": (Signal(float("nan")), "TypeError", "was nan"),  # type: ignore[arg-type]
    "a huge quantity": (Signal(HUGE), "ValueError", f"a quantity is from -{MOST} to {MOST}"),
    "an unknown kind": (Signal(1, "IOC"), "ValueError", "order kind 'IOC' is none of MARKET, LIMIT, SL, SL-M"),
    "a kind in lower case": (Signal(1, "limit", 5.0), "ValueError", "order kind 'limit'"),
    "a kind that is no text": (Signal(1, ["LIMIT"]), "ValueError", "order kind ['LIMIT']"),  # type: ignore[arg-type]
    "an unknown product": (Signal(1, product="BO"), "ValueError", "product 'BO' is none of MIS, CNC, NRML"),
    "a limit that is none": (Signal(1, "LIMIT", limit=None), "TypeError", "a limit is a number of rupees, was None"),  # type: ignore[arg-type]
    "a limit in text": (Signal(1, "LIMIT", limit="5"), "TypeError", "a limit is a number of rupees, was '5'"),  # type: ignore[arg-type]
    "a limit that is no number": (Signal(1, "LIMIT", limit=float("nan")), "ValueError", "a limit is a price from 0 to"),
    "an endless limit": (Signal(1, "LIMIT", limit=float("inf")), "ValueError", "a limit is a price"),
    "a huge limit": (Signal(1, "LIMIT", limit=1e300), "ValueError", "a limit is a price from 0 to 10000000 rupees"),
    "a huge whole limit": (Signal(1, "LIMIT", limit=10**400), "OverflowError", "too large"),
    "a limit above the most": (Signal(1, "LIMIT", limit=10_000_000.01), "ValueError", "a limit is a price"),
    "a negative limit": (Signal(1, "LIMIT", limit=-5.0), "ValueError", "a limit is a price"),
    "a limit of a market order that is none": (Signal(1, limit=1e300), "ValueError", "a limit is a price"),
    "no limit": (Signal(1, "LIMIT"), "ValueError", "needs a limit, had none"),
    "a limit that is rounded to none": (Signal(1, "LIMIT", limit=4e-7), "ValueError", "needs a limit, had none"),
    "a stop without a limit": (Signal(1, "SL", trigger=5.0), "ValueError", "needs a limit, had none"),
    "a stop without a trigger": (Signal(1, "SL", limit=5.0), "ValueError", "needs a trigger, had none"),
    "a stop at market without a trigger": (Signal(1, "SL-M"), "ValueError", "needs a trigger, had none"),
    "a trigger that is no number": (Signal(1, "SL-M", trigger=float("nan")), "ValueError", "a trigger is a price"),
    "a foreign instrument": (Signal(1, instrument_token=44), "ValueError", "instrument 44 is not one of the strategy's own"),
    "an instrument in a list": (Signal(1, instrument_token=[11]), "TypeError", "unhashable"),  # type: ignore[arg-type]
    "one good and one bad": ([Signal(1), Signal(1.5)], "TypeError", "was 1.5"),  # type: ignore[arg-type]
}  # fmt: skip

AN_ANSWER = {
    "none": (None, []),
    "nothing": (0, []),
    "false": (False, []),
    "no float": (0.0, []),
    "an empty list": ([], []),
    "a list of nothing": ([0, Signal(0)], []),
    "a signal of nothing": (Signal(0, "LIMIT", limit=5.0), []),
    "the most": (MOST, [MOST]),
    "the least": (-MOST, [-MOST]),
    "the most as a signal": (Signal(-MOST), [-MOST]),
    "a named number": (Two.TWO, [2]),
    "the highest limit": (Signal(1, "LIMIT", limit=1e7), [1]),
    "the lowest limit": (Signal(1, "LIMIT", limit=1e-6), [1]),
    "a whole limit": (Signal(1, "LIMIT", limit=5), [1]),
    "a NumPy limit": (Signal(1, "LIMIT", limit=np.float64(5.0)), [1]),
    "a stop": (Signal(-1, "SL", limit=5.0, trigger=5.5), [-1]),
    "a stop at market": (Signal(-1, "SL-M", trigger=5.5), [-1]),
    "as many as may be": ([1] * MAX_SIGNALS, [1] * MAX_SIGNALS),
    "several, with nothing between": ([1, 0, -2], [1, -2]),
}


class Says:
    """Buys one on every tick, but says something else on the third; keeps the prices that it was shown."""

    fields = ("price",)
    per_instrument = False

    def __init__(self, what: str = "") -> None:
        self.what = what
        self.seen: list[float] = []
        LAST.append(self)

    def on_tick(self, tick):
        self.seen.append(tick.price)
        return (NO_ANSWER | AN_ANSWER)[self.what][0] if tick.price == 3.0 else 1


LAST: list[Says] = []


@pytest.mark.parametrize("what", NO_ANSWER)
def test_an_answer_that_is_none_costs_its_tick_and_nothing_else(what):
    _, error, words = NO_ANSWER[what]

    signals, failures = asked_on_the_third(f"{HERE}:Says", what=what)

    assert signals == [(0, 1), (1, 1), (3, 1), (4, 1)]
    assert [(row, raised) for row, raised, _ in failures] == [(2, error)]
    assert words in failures[0][2]
    assert LAST[-1].seen == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("what", AN_ANSWER)
def test_an_answer_that_is_one_counts(what):
    signals, failures = asked_on_the_third(f"{HERE}:Says", what=what)

    assert signals == [(0, 1), (1, 1), *((2, quantity) for quantity in AN_ANSWER[what][1]), (3, 1), (4, 1)]
    assert failures == []


def test_nothing_among_several_does_not_count_as_one_of_them():
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:Says",
                                          parameters={"what": "several, with nothing between"})])  # fmt: skip

    signals, _ = made.on_batch(prices(3))

    assert signals["nth"].tolist() == [0, 1]


# --- compiled ---------------------------------------------------------------------------------------------------------


@strategy(state=[("seen", "i8")], quantity=1, kind=0.0, product=-1.0, limit=0.0, trigger=0.0)
def orders(state, tick, params, order):
    """Buys one on every tick, but asks for what its parameters say on the third."""
    if tick.price != 3.0:
        return 1
    order.kind = params.kind
    order.product = params.product
    order.limit = params.limit
    order.trigger = params.trigger
    return params.quantity


@strategy(state=[("seen", "i8")], quantity=1)
def plainly(state, tick, params):
    return params.quantity if tick.price == 3.0 else 1


@strategy(state=[("seen", "i8")])
def seldom(state, tick, params):
    """Says nothing at all but on the third tick."""
    if tick.price != 3.0:
        return None
    return -2


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"quantity": MOST + 1}, f"a quantity is from -{MOST} to {MOST}, was {MOST + 1}"),
        ({"quantity": -(2**63)}, "was -9223372036854775808"),
        ({"kind": 4.0}, "an order's kind is one of 0 to 3 (MARKET, LIMIT, SL, SL-M), was 4.0"),
        ({"kind": -1.0}, "an order's kind is one of 0 to 3"),
        ({"kind": 1.5}, "an order's kind is one of 0 to 3 (MARKET, LIMIT, SL, SL-M), was 1.5"),
        ({"product": 3.0}, "an order's product is -1 or one of 0 to 2 (MIS, CNC, NRML), was 3.0"),
        ({"product": -2.0}, "an order's product is -1 or one of 0 to 2"),
        ({"limit": -0.01}, "a limit is a price from 0 to 10000000 rupees, was -0.01"),
        ({"limit": 1e300}, "a limit is a price"),
        ({"limit": float("inf")}, "a limit is a price"),
        ({"trigger": 10_000_000.01}, "a trigger is a price"),
        ({"kind": 1.0}, "needs a limit, had none"),
        ({"kind": 2.0, "limit": 5.0}, "needs a trigger, had none"),
        ({"kind": 2.0, "trigger": 5.0}, "needs a limit, had none"),
        ({"kind": 3.0, "limit": 5.0}, "needs a trigger, had none"),
    ],
)
def test_a_compiled_answer_that_is_none_costs_its_tick_and_nothing_else(parameters, words):
    signals, failures = asked_on_the_third(f"{HERE}:orders", **parameters)

    assert signals == [(0, 1), (1, 1), (3, 1), (4, 1)]
    assert [(row, error) for row, error, _ in failures] == [(2, "ValueError")]
    assert words in failures[0][2]


def test_a_limit_that_is_no_number_is_none_in_compiled_code_either():
    """A parameter cannot be one."""
    signals, failures = asked_on_the_third(f"{HERE}:without_a_number")

    assert (len(signals), [(row, error) for row, error, _ in failures]) == (4, [(2, "ValueError")])


NO_NUMBER = float("nan")


@strategy(state=[("seen", "i8")])
def without_a_number(state, tick, params, order):
    if tick.price == 3.0:
        order.kind = 1
        order.limit = NO_NUMBER
    return 1


@pytest.mark.parametrize("quantity", [MOST, -MOST])
@pytest.mark.parametrize("name", ["orders", "plainly"])
def test_a_compiled_quantity_may_reach_its_bounds(name, quantity):
    signals, failures = asked_on_the_third(f"{HERE}:{name}", quantity=quantity)

    assert (signals[2], failures) == ((2, quantity), [])


@pytest.mark.parametrize("quantity", [MOST + 1, -MOST - 1])
def test_a_compiled_quantity_beyond_its_bounds_is_none_without_an_order_as_well(quantity):
    signals, failures = asked_on_the_third(f"{HERE}:plainly", quantity=quantity)

    assert (len(signals), [(row, error) for row, error, _ in failures]) == (4, [(2, "ValueError")])


@pytest.mark.parametrize(
    ("kind", "more"), [(LIMIT, {"limit": 1e7}), (SL, {"limit": 5.0, "trigger": 1e-6}), (SLM, {"trigger": 1e7})]
)
def test_a_compiled_order_of_every_kind_counts(kind, more):
    signals, failures = asked_on_the_third(f"{HERE}:orders", kind=float(kind), **more)

    assert (len(signals), failures) == (5, [])


def test_a_compiled_function_that_says_nothing_wants_nothing():
    assert asked_on_the_third(f"{HERE}:seldom") == ([(2, -2)], [])


@strategy(state=[("seen", "i8")])
def of_fractions(state, tick, params):
    return tick.price / 2.0 if tick.price == 3.0 else 0


@strategy(state=[("seen", "i8")])
def of_truth(state, tick, params):
    return tick.price == 3.0


@pytest.mark.parametrize(("name", "kind"), [("of_fractions", "float64"), ("of_truth", "bool")])
def test_a_compiled_function_that_returns_no_whole_number_is_refused_or_loses_the_tick(name, kind):
    """The compiler knows it beforehand; without the compiler it shows when it is returned."""
    if COMPILED:
        with pytest.raises(
            StrategyError, match=rf"{name} returns {kind}, wanted a signed whole number: wrap it in int"
        ):
            asked_on_the_third(f"{HERE}:{name}")
        return
    signals, failures = asked_on_the_third(f"{HERE}:{name}")

    assert signals == []
    assert (2, "TypeError") in [(row, error) for row, error, _ in failures]


# --- on_batch ---------------------------------------------------------------------------------------------------------


class Rows:
    """Buys one on every tick, but its row for the third is changed as `field` and `value` say."""

    parameters: ClassVar = {"field": Parameter(""), "value": Parameter(0)}

    def __init__(self, field: str = "", value: int = 0) -> None:
        self.field, self.value = field, value

    def start(self, instruments):
        return []

    def on_batch(self, state, ticks):
        state += ticks["price"].tolist()
        SHOWN[:] = state
        rows = np.zeros(len(ticks), SIGNAL)
        rows["row"], rows["instrument"] = np.arange(len(ticks)), ticks["instrument"]
        rows["quantity"], rows["side"], rows["product"] = 1, 1, -1
        if self.field and len(rows) > 2:
            rows[self.field][2] = self.value
        return rows


SHOWN: list[float] = []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("quantity", 0, "the quantity of a SIGNAL row is from 1 to 10000000, was 0"),
        ("quantity", -5, "the quantity of a SIGNAL row is from 1 to 10000000, was -5"),
        ("quantity", MOST + 1, f"was {MOST + 1}"),
        ("side", 0, "a side is 1 or -1, was 0"),
        ("side", 2, "a side is 1 or -1, was 2"),
        ("side", -(2**31), "a side is 1 or -1, was -2147483648"),
        ("kind", 4, "an order's kind is one of 0 to 3"),
        ("kind", -1, "an order's kind is one of 0 to 3"),
        ("kind", 1, "needs a limit, had none"),
        ("kind", 3, "needs a trigger, had none"),
        ("product", 3, "an order's product is -1 or one of 0 to 2"),
        ("product", -2, "an order's product is -1 or one of 0 to 2"),
        ("limit", -1, "a limit is a price"),
        ("limit", 10_000_000_000_001, "a limit is a price"),
        ("trigger", -(2**63), "a trigger is a price"),
        ("instrument", 3, "instrument 3 is not one of the strategy's own"),
        ("instrument", -1, "instrument -1 is not one of the strategy's own"),
        ("follower", 1, "follower is 0, was 1: which accounts follow is configuration"),
    ],
)
def test_a_row_that_is_no_signal_costs_its_tick_and_nothing_else(field, value, words):
    signals, failures = asked_on_the_third(f"{HERE}:Rows", field=field, value=value)

    assert signals == [(0, 1), (1, 1), (3, 1), (4, 1)]
    assert [(row, error) for row, error, _ in failures] == [(2, "ValueError")]
    assert words in failures[0][2]
    assert SHOWN == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("field", ["price", "strategy", "nth", "spare"])
def test_what_a_strategy_has_no_say_in_is_written_over(field):
    made = Roster(
        INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:Rows", parameters={"field": field, "value": 7})]
    )

    signals, failures = made.on_batch(five())

    assert (signals[field].tolist(), failures) == ([0] * 5, [])


def _unsorted(rows):
    return rows[::-1]


def _beyond(rows):
    rows["row"] += 1
    return rows


def _before(rows):
    rows["row"] -= 1
    return rows


NO_ROWS = {
    "a list": (lambda rows: rows.tolist(), "TypeError", "wanted one array of functions.signals.SIGNAL"),
    "an array of numbers": (lambda rows: rows["row"], "TypeError", "on_batch returned an array of int64"),
    "a table": (lambda rows: rows.reshape(1, -1), "TypeError", "wanted one array"),
    "one row": (lambda rows: rows[0], "TypeError", "wanted one array"),
    "rows that are not sorted": (_unsorted, "ValueError", "rows that are not sorted by row"),
    "rows behind the batch": (_beyond, "ValueError", "on_batch returned rows from 1 to 5 for 5 ticks"),
    "rows before the batch": (_before, "ValueError", "on_batch returned rows from -1 to 3 for 5 ticks"),
}


class Flood(Rows):
    """Buys one so often on the third tick."""

    parameters: ClassVar = {"times": Parameter(0)}

    def __init__(self, times: int = 0) -> None:
        super().__init__()
        self.times = times

    def on_batch(self, state, ticks):
        rows = super().on_batch(state, ticks)
        return np.repeat(rows, np.where(ticks["price"] == 3.0, self.times, 1))


def test_one_tick_has_as_many_rows_as_signals_and_no_more():
    most, _ = asked_on_the_third(f"{HERE}:Flood", times=MAX_SIGNALS)
    none, failures = asked_on_the_third(f"{HERE}:Flood", times=MAX_SIGNALS + 1)

    assert most == [(0, 1), (1, 1), *[(2, 1)] * MAX_SIGNALS, (3, 1), (4, 1)]
    assert none == [(0, 1), (1, 1), (3, 1), (4, 1)]
    assert failures == [(2, "ValueError", "on_batch returned more than 1000 signals for one tick")]


class Whole(Rows):
    """Returns something in place of the rows of its first batch."""

    parameters: ClassVar = {"what": Parameter("")}

    def __init__(self, what: str = "") -> None:
        super().__init__()
        self.what, self.first = what, True

    def on_batch(self, state, ticks):
        rows = super().on_batch(state, ticks)
        if self.first and len(ticks):
            self.first = False
            return NO_ROWS[self.what][0](rows)
        return rows


@pytest.mark.parametrize("what", NO_ROWS)
def test_what_is_no_array_of_signals_costs_the_batch_that_it_was_the_answer_to(what):
    _, error, words = NO_ROWS[what]
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:Whole", parameters={"what": what})])

    signals, failures = made.on_batch(five())
    later, none = made.on_batch(five(6, 7))

    assert (len(signals), [(f.row, f.error) for f in failures]) == (0, [(0, error)])
    assert words in failures[0].message
    assert (later["row"].tolist(), none, SHOWN) == ([0, 1], [], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])


class Nothing(Rows):
    def on_batch(self, state, ticks):
        return None


def test_a_batch_may_be_answered_with_nothing():
    assert asked_on_the_third(f"{HERE}:Nothing") == ([], [])


class Always(Rows):
    """Every second row is none."""

    def on_batch(self, state, ticks):
        rows = super().on_batch(state, ticks)
        rows["quantity"][::2] = 0
        return rows


def test_signals_behind_the_tenth_bad_row_are_not_taken():
    made = Roster(INSTRUMENTS, [following("s", TOKENS, implementation=f"{HERE}:Always")])

    signals, failures = made.on_batch(prices(*range(1, 40)))

    assert [f.row for f in failures] == list(range(0, 20, 2))
    assert [(f.count, f.suspended) for f in failures[-2:]] == [(MAX_FAILURES - 1, False), (MAX_FAILURES, True)]
    assert signals["row"].tolist() == list(range(1, 18, 2))


# --- words ------------------------------------------------------------------------------------------------------------


def test_what_is_shown_of_a_value_is_one_short_line_that_is_the_same_in_every_process():
    assert shown("a\n\tb" + "c" * 1_000) == "'a\\n\\tb" + "c" * 92 + "…"
    assert shown(object()) == "<object object at 0x…>"
    assert shown("\ud800") == "'\\ud800'"


def test_an_error_is_told_in_words_whatever_it_makes_of_it():
    assert words_of(ValueError("three\nlines\n\there")) == ("ValueError", "three lines here")
    assert words_of(Wordless()) == ("Wordless", "an error that cannot be shown")
    assert words_of(KeyError("\ud800 at 0x7f00aa11")) == ("KeyError", "'\\ud800 at 0x…'")
    assert len(words_of(ValueError("x" * 10_000))[1]) == 500
