"""Kernels, compiled and plain: what a chain answers, and what is compiled for it."""

from contextlib import contextmanager

import numpy as np
import psutil
import pytest
from numba.core.errors import UnsupportedError

from functions.kernel import COMPILED, entry, kernel, records

FILL = np.dtype([("price", "i8"), ("quantity", "i4"), ("side", "i1")])


@kernel
def value(price, quantity):
    return price * quantity


@kernel
def signed(fill):
    return value(fill.price, fill.quantity) * fill.side


@kernel
def fee(fill):
    if fill.quantity < 0:
        raise ValueError("a quantity is not negative")
    return value(fill.price, 2) // 100


@kernel
def rising(price, quantity):
    prices = np.zeros(quantity)
    for n in range(quantity):
        prices[n] = price + n
    return prices


@kernel
def median(price, quantity):
    return np.median(np.array([p for p in rising(price, quantity) if p > price]))


@entry
def net(fills):
    total = 0
    for n in range(fills.shape[0]):
        total += signed(fills[n]) - fee(fills[n])
    return total


@entry
def gross(fills):
    return value(fills[0].price, fills[0].quantity)


@entry
def middle(price, quantity):
    return median(price, quantity)


@entry
def changes(fills):
    by_row = np.zeros(fills.shape[0], np.int64)
    for n in range(1, fills.shape[0]):
        by_row[n] = fills[n].price - fills[n - 1].price
    return by_row


@entry
def prices_from(price, quantity):
    return rising(price, quantity)[1:], {1: price}


@kernel
def factorial(n):
    return 1 if n <= 1 else n * factorial(n - 1)


@kernel
def even(n):
    if n == 0:
        return True
    return odd(n - 1)


@kernel
def odd(n):
    if n == 0:
        return False
    return even(n - 1)


@entry
def ways(n):
    return factorial(n)


@entry
def in_pairs(n):
    return even(n)


def fills(*rows):
    return records(np.array(list(rows), FILL))


def test_a_chain_of_kernels_answers_as_its_source_reads():
    assert net(fills((10_000, 3, 1), (10_100, 2, -1))) == 30_000 - 200 - 20_200 - 202
    assert gross(fills((10_000, 3, 1))) == 30_000


def test_what_an_inner_kernel_raises_reaches_the_caller():
    with pytest.raises(ValueError, match="a quantity is not negative"):
        net(fills((10_000, -3, 1)))


def test_a_product_of_narrow_integers_is_not_cut():
    assert gross(fills((4_000_000_000, 2_000_000_000, 1))) == 8_000_000_000_000_000_000


def test_who_watches_is_told_once_for_every_entry_that_is_compiled_and_never_for_one_that_is_there(monkeypatch):
    told = []

    @contextmanager
    def watched():
        told.append("begun")
        yield
        told.append("over")

    monkeypatch.setattr("functions.kernel_compiler._watched", watched)
    new = entry(lambda fills: value(fills[0].price, fills[0].quantity))
    for _ in range(2):
        assert new(fills((10_000, 3, 1))) == 30_000
    assert told == (["begun", "over"] if COMPILED else [])


def test_a_kernel_is_compiled_once_whatever_constant_or_narrow_integer_it_is_given():
    net(fills((10_000, 3, 1)))
    gross(fills((10_000, 3, 1)))
    assert not COMPILED or [str(each) for each in value.overloads] == ["(int64, int64)"]


def test_any_kernel_may_make_arrays_and_lists():
    assert middle(100.0, 4) == 102.0


def test_an_entry_may_answer_with_what_it_or_an_inner_kernel_has_made():
    assert changes(fills((10_000, 3, 1), (10_100, 2, -1))).tolist() == [0, 100]

    prices, first = prices_from(100.0, 4)
    assert (prices.tolist(), dict(first)) == ([101.0, 102.0, 103.0], {1: 100.0})


@pytest.mark.compiled
def test_what_kernels_make_is_given_back():
    prices_from(100.0, 4)
    before = psutil.Process().memory_info().rss

    for _ in range(20):
        prices_from(100.0, 1_000_000)  # 8 MB each

    assert psutil.Process().memory_info().rss - before < 80_000_000


def test_a_kernel_may_call_itself():
    assert ways(5) == 120


@pytest.mark.compiled
def test_kernels_that_call_each_other_in_a_circle_are_refused_in_words():
    with pytest.raises(UnsupportedError, match="kernels that call each other in a circle"):
        in_pairs(5)
