"""Sizing: units, rupees and shares of the equity become whole lots, rounded down, never up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.events import Sizing
from functions.kernel import entry, records
from functions.money import micro
from functions.portfolio import SUBSCRIPTION
from functions.sizing import CEILING, MAX_UNITS, METHODS, notional, sized, whole_lots
from tests.desk import Desk, instrument, strategy, tick

LAKH = 100_000 * 1_000_000  # micro-rupees


@entry
def compiled_sized(units, subscriptions, equity, price, lot):
    return sized(units, subscriptions[0], equity, price, lot)


@entry
def compiled_notional(price, quantity):
    return notional(price, quantity)


@entry
def compiled_whole_lots(quantity, lot):
    return whole_lots(quantity, lot)


def shares(method, amount, *, units=1, equity=LAKH, price=100.0, lot=1):
    subscription = np.zeros(1, SUBSCRIPTION)
    subscription["sizing"], subscription["amount"] = METHODS[method], micro(amount)
    return int(compiled_sized(units, records(subscription), equity, round(price * 1e6), lot))


@pytest.mark.parametrize(
    ("amount", "units", "lot", "expected"),
    [
        ("1", 7, 1, 7), ("1", 7, 5, 7),  # the strategy's own number: its lots are checked, not mended
        ("3", 7, 1, 21), ("3", 7, 5, 20), ("0.5", 7, 1, 3), ("0.5", 1, 1, 0), ("0", 7, 1, 0), ("2.000001", 1, 1, 2),
    ],
)  # fmt: skip
def test_units_multiply_the_signal(amount, units, lot, expected):
    assert shares("units", amount, units=units, lot=lot) == expected


@pytest.mark.parametrize(
    ("amount", "price", "units", "lot", "expected"),
    [
        ("1000", 100.0, 1, 1, 10), ("1000", 100.05, 1, 1, 9), ("999.99", 100.0, 1, 1, 9), ("1000", 100.0, 3, 1, 30),
        ("1000", 1000.0, 1, 1, 1), ("1000", 1000.05, 1, 1, 0), ("1000", 3.0, 1, 50, 300), ("100", 3.0, 1, 50, 0),
    ],
)  # fmt: skip
def test_a_value_buys_as_many_whole_lots_as_it_covers(amount, price, units, lot, expected):
    assert shares("value", amount, price=price, units=units, lot=lot) == expected


@pytest.mark.parametrize(
    ("amount", "equity", "expected"),
    [
        ("0.1", LAKH, 100),
        ("0.1", LAKH - 1, 99),
        ("1", LAKH, 1_000),
        ("0.1", 0, 0),
        ("0.1", -LAKH, 0),
        ("2", LAKH, 2_000),
        ("0.000001", 100_000_000 * 1_000_000, 1),  # a millionth of ten crore is a hundred rupees
        ("0.000001", 100_000_000 * 1_000_000 - 1, 0),
        ("0.999999", 101_000_102, 1),  # 101.000102 rupees: a micro-rupee less would not do
        ("0.999999", 100_000_100, 0),
        ("0.999999", 100_000_101, 1),
        ("10", 100_000_000_000 * 1_000_000, 10_000_000_000),
    ],
)
def test_a_share_of_the_equity_is_a_value(amount, equity, expected):
    assert shares("equity", amount, equity=equity) == expected


@pytest.mark.parametrize("method", ["value", "equity"])
@pytest.mark.parametrize("price", [0.0, -0.05])
def test_without_a_price_nothing_can_be_sized(method, price):
    assert shares(method, "1", price=price) == 0
    assert shares(method, "1", price=0.05) != 0


def test_a_signal_of_absurd_size_is_capped_and_does_not_overflow():
    assert shares("units", "1", units=2**60) == MAX_UNITS
    assert shares("units", "1000000", units=2**60) == CEILING // 1_000_000  # 10 million units a million times: too many
    assert shares("value", "100000000", units=2**60, price=0.05) == CEILING // 50_000
    assert shares("equity", "10", units=2**60, equity=10**17, price=0.05) == CEILING // 50_000


compiled_notional(0, 0)  # compiled here, not within an example's deadline
compiled_whole_lots(0, 0)
shares("units", "1")


@given(price=st.integers(0, 2**62), quantity=st.integers(0, 2**62))
def test_a_product_that_would_leave_64_bits_is_the_ceiling(price, quantity):
    product = int(compiled_notional(price, quantity))

    assert product == min(price * quantity, CEILING)


@given(
    units=st.integers(1, 10**7), amount=st.integers(1, 10**7), equity=st.integers(0, 10**17), price=st.integers(1, 10**13),
)  # fmt: skip
def test_a_share_of_the_equity_is_exact_to_the_micro_rupee(units, amount, equity, price):
    subscription = np.zeros(1, SUBSCRIPTION)
    subscription["sizing"], subscription["amount"] = METHODS["equity"], amount

    quantity = int(compiled_sized(units, records(subscription), equity, price, 1))

    budget = equity * amount // 10**6
    assert quantity == min(budget * units, CEILING) // price


@given(quantity=st.integers(0, 10**9), lot=st.integers(0, 10_000))
def test_whole_lots_are_the_largest_multiple_that_is_not_more(quantity, lot):
    whole = int(compiled_whole_lots(quantity, lot))

    assert whole % max(lot, 1) == 0
    assert whole <= quantity < whole + max(lot, 1)


def test_the_desk_orders_what_the_subscription_says_and_refuses_less_than_a_lot():
    lots = [instrument(1, kind="FUT", exchange="NFO", lot=50)]
    desk = Desk(lots, strategies=[strategy("s", sizing=Sizing("value", "6000"))])

    desk.run(tick(100.0, 1).buy(1), tick(100.0, 2).buy(2), tick(100.0, 3))

    assert desk.fills == [(50, 100.0), (100, 100.0)]
    too_dear = Desk(lots, strategies=[strategy("s", sizing=Sizing("value", "4999"))]).run(tick(100.0, 1).buy(1))
    assert too_dear.refused == [["lot_multiple"]]


def test_a_share_of_the_equity_follows_the_equity():
    desk = Desk(capital="1000", strategies=[strategy("s", sizing=Sizing("equity", "0.5"))])

    desk.run(tick(100.0, 1).buy(1), tick(100.0, 2), tick(300.0, 3).buy(1), tick(300.0, 4))

    assert desk.fills == [(5, 100.0), (3, 300.0)]  # half of 1 000 at 100; half of 2 000 at 300
