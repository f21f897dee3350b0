"""Sizing at its boundaries, from both sides."""

import numpy as np
import pytest

from functions.kernel import entry, records
from functions.portfolio import SUBSCRIPTION
from functions.sizing import CEILING, EQUITY_SHARE, MAX_UNITS, UNITS, VALUE, notional, share, sized, whole_lots

LARGEST = 10_000_000  # units of one signal


@entry
def the_notional(price, quantity):
    return notional(price, quantity)


@entry
def the_share(money, millionths):
    return share(money, millionths)


@entry
def the_lots(quantity, lot):
    return whole_lots(quantity, lot)


@entry
def the_size(units, subscriptions, equity, price):
    return sized(units, subscriptions[0], equity, price, 1)


@pytest.mark.parametrize(
    ("price", "quantity", "expected"),
    [
        (3, 2**62 // 3, 2**62 - 1), (3, 2**62 // 3 + 1, 2**62), (1, 2**62, 2**62), (1, 2**62 + 1, 2**62), (0, 2**62 + 1, 0),
        (2, 2**61, 2**62), (2, 2**61 + 1, 2**62), (100, 7, 700),
    ],
)  # fmt: skip
def test_a_product_is_exact_up_to_the_ceiling_and_the_ceiling_beyond_it(price, quantity, expected):
    assert the_notional(price, quantity) == expected
    assert CEILING == 2**62


@pytest.mark.parametrize(
    ("money", "millionths", "expected"),
    [
        (1_000_000, 1, 1), (999_999, 1, 0), (1_000_001, 999_999, 999_999), (2_000_001, 500_000, 1_000_000),
        (10**17 + 1, 1_000_000, 10**17 + 1), (1_000_001_000_001, 1, 1_000_001),
    ],
)  # fmt: skip
def test_a_share_of_money_is_rounded_down_to_the_micro_rupee(money, millionths, expected):
    assert the_share(money, millionths) == expected


@pytest.mark.parametrize(
    ("quantity", "lot", "expected"), [(7, 0, 7), (7, 1, 7), (7, 2, 6), (8, 2, 8), (7, 3, 6), (2, 3, 0), (0, 2, 0)]
)
def test_a_quantity_is_cut_to_whole_lots(quantity, lot, expected):
    assert the_lots(quantity, lot) == expected


@pytest.mark.parametrize(
    ("method", "amount", "units", "equity", "price", "expected"),
    [
        (UNITS, 1_000_000, LARGEST, 0, 100, LARGEST), (UNITS, 1_000_000, LARGEST + 1, 0, 100, LARGEST),
        (VALUE, 10, 1, 0, 1, 10), (VALUE, 10, 1, 0, 0, 0), (VALUE, 10, 1, 0, -1, 0),
        (EQUITY_SHARE, 1_000_000, 1, 1, 1, 1), (EQUITY_SHARE, 1_000_000, 1, 0, 1, 0), (EQUITY_SHARE, 1_000_000, 1, -5, 1, 0),
    ],
)  # fmt: skip
def test_what_a_signal_comes_to(method, amount, units, equity, price, expected):
    subscription = np.zeros(1, SUBSCRIPTION)
    subscription["sizing"], subscription["amount"] = method, amount
    assert the_size(units, records(subscription), equity, price) == expected
    assert MAX_UNITS == LARGEST
