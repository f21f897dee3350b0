"""Strategies as plain Python classes: what they see, what they may answer, which arguments they take."""

import pytest

from functions.orders import CNC, LIMIT, MARKET, SL
from strategies.plain import TICK_FIELDS, PlainStrategy
from strategies.protocol import Signal, StrategyError
from strategies.registry import configure, parameters_of
from strategies.roster import Roster
from tests.desk import TEN, tick, tick_rows
from tests.desk import strategy as following
from tests.strategies import INSTRUMENTS, SAMPLES, TOKENS, Counter, Pair, asked, prices, signed

HERE = __name__


class Everything:
    """Buys when every field of the tick is as expected."""

    def on_tick(self, tick):
        fields = [getattr(tick, f) for f in TICK_FIELDS]
        return 1 if fields == [11, TEN, 100.0, 99.0, 101.0, 3, 4, 5, 6] else None


def test_a_plain_class_gets_one_object_an_instrument():
    both = tick_rows([tick(1.0, instrument=n % 2) for n in range(5)])

    assert asked(f"{SAMPLES}:Counter", both, quantity=3) == [(2, 0, 3), (3, 1, 3), (4, 0, 3)]


def test_a_plain_class_may_be_one_object_for_all_its_instruments():
    ticks = tick_rows([tick(5.0), tick(4.0, instrument=1), tick(6.0, instrument=2)])

    assert asked(f"{SAMPLES}:Pair", ticks) == [(1, 1, 1)]


def test_a_plain_class_sees_every_field_of_the_tick():
    rows = tick_rows([tick(100.0, bid=99.0, ask=101.0, bid_quantity=3, ask_quantity=4)])
    rows["volume"], rows["open_interest"] = 5, 6

    assert asked(f"{HERE}:Everything", rows) == [(0, 0, 1)]


def test_a_plain_answer_may_be_a_number_a_signal_or_several():
    made = configure(f"{SAMPLES}:Talker", {})
    signals = made.ask(made.start(INSTRUMENTS), prices(1, 2, 0, 3)).signals

    names = ["row", "nth", "side", "quantity", "kind", "limit", "trigger", "product", "instrument"]
    assert signals[names].tolist() == [
        (0, 0, -1, 4, LIMIT, 99_950_000, 0, CNC, 0), (1, 0, 1, 1, MARKET, 0, 0, -1, 0),
        (1, 1, -1, 2, MARKET, 0, 0, -1, 0), (1, 2, 1, 3, SL, 5_000_000, 4_900_000, -1, 0),
        (3, 0, 1, 1, MARKET, 0, 0, -1, 2),
    ]  # fmt: skip


def test_an_answer_that_is_no_signal_is_a_failure_of_that_tick():
    made = configure(f"{SAMPLES}:Talker", {})

    answered = made.ask(made.start(INSTRUMENTS), prices(0, 4))

    assert [(each.row, each.error, each.message) for each in answered.lost] == [
        (1, "TypeError", "on_tick returned 'buy', wanted a signed int, a Signal, a list of them or None")
    ]


def test_an_answer_that_is_no_signal_costs_only_its_own_tick():
    """The signals of the ticks before it and after it leave as if it had not been."""
    signals, failures = Roster(INSTRUMENTS, [following("t", TOKENS, implementation=f"{SAMPLES}:Talker")]).on_batch(
        prices(1, 4, 2, 0)
    )

    assert [(f.row, f.error) for f in failures] == [(1, "TypeError")]
    assert signed(signals) == [(0, 0, -4), (2, 0, 1), (2, 0, -2), (2, 0, 3)]


def test_a_wrong_kind_of_order_costs_only_its_own_tick():
    class Odd:
        def on_tick(self, tick):
            return Signal(1, "ICEBERG") if tick.price == 2.0 else 1

    made = PlainStrategy(Odd, {})

    signals, lost, shown = made.ask(made.start(INSTRUMENTS), prices(1, 2, 1))

    assert ([each.row for each in lost], shown, signed(signals)) == ([1], 2, [(0, 0, 1)])


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
    assert asked(f"{SAMPLES}:Scored", prices(1, 5, 2), above=1.5) == [(1, 0, 1), (2, 0, 1)]
