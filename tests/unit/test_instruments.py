"""Instruments: the static table from configuration, and the market as the last tick left it."""

import numpy as np
import pytest

from functions.calendar import CASH, CASH_WITH_AUCTION, DERIVATIVES
from functions.costs import SEGMENTS
from functions.instruments import INSTRUMENT, instrument_table, micro_price, quote, rate_index
from functions.kernel import entry, records
from functions.orders import PRODUCTS
from tests.desk import TEN, instrument, tick, tick_rows


@entry
def compiled_quote(instruments, ticks, changes):
    for row in range(ticks.shape[0]):
        changes[row] = quote(instruments[0], ticks[row])


@entry
def compiled_rate_index(instruments, product):
    return rate_index(instruments[0], product)


@entry
def compiled_micro_price(price):
    return micro_price(price)


def test_an_instrument_begins_unseen_with_its_rules():
    [row] = instrument_table([instrument(7, tick="0.05", lot=75, kind="FUT", exchange="NFO")])

    assert {name: int(row[name]) for name in ("tick_size", "lot", "last", "held", "working", "newest", "tradable")} == {
        "tick_size": 50_000, "lot": 75, "last": 0, "held": -1, "working": -1, "newest": -1, "tradable": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "tradable"),
    [
        ({}, 1), ({"enabled": False}, 0), ({"kind": "INDEX"}, 0), ({"tick": "0"}, 0), ({"kind": "CE", "exchange": "NFO"}, 1),
    ],
)  # fmt: skip
def test_an_index_and_what_is_disabled_or_has_no_tick_size_is_observed_and_not_traded(given, tradable):
    assert int(instrument_table([instrument(1, **given)])["tradable"][0]) == tradable


def test_a_lot_is_at_least_one():
    assert int(instrument_table([instrument(1, lot=0)])["lot"][0]) == 1


def test_a_tick_size_that_is_no_amount_is_refused():
    with pytest.raises(ValueError, match="not an amount in rupees with at most six decimals: 'five'"):
        instrument_table([instrument(1, tick="five")])


@pytest.mark.parametrize(
    ("kind", "auction", "expected"),
    [
        ("EQ", False, CASH), ("EQ", True, CASH_WITH_AUCTION), ("INDEX", False, CASH), ("FUT", False, DERIVATIVES),
        ("CE", True, DERIVATIVES), ("PE", False, DERIVATIVES),
    ],
)  # fmt: skip
def test_each_kind_trades_in_its_session(kind, auction, expected):
    config = instrument(1, kind=kind, closing_auction=auction)

    assert int(instrument_table([config])["session_class"][0]) == expected


@pytest.mark.parametrize(
    ("kind", "exchange", "product", "segment"),
    [
        ("EQ", "NSE", "MIS", "intraday"), ("EQ", "NSE", "NRML", "intraday"), ("EQ", "NSE", "CNC", "delivery"),
        ("FUT", "NFO", "NRML", "futures"), ("FUT", "NFO", "CNC", "futures"), ("CE", "NFO", "MIS", "options"),
        ("PE", "BFO", "NRML", "options"), ("EQ", "BSE", "CNC", "delivery"), ("FUT", "BFO", "MIS", "futures"),
    ],
)  # fmt: skip
def test_charges_go_by_segment_and_exchange(kind, exchange, product, segment):
    table = instrument_table([instrument(1, kind=kind, exchange=exchange)])
    venue = {"NSE": 0, "NFO": 0, "BSE": 1, "BFO": 1}[exchange]

    index = int(compiled_rate_index(records(table), PRODUCTS.index(product)))

    assert index == venue * len(SEGMENTS) + SEGMENTS.index(segment)


def test_the_market_is_what_the_last_tick_said():
    table = instrument_table([instrument(1)])
    ticks = tick_rows([tick(100.05, 1, bid=100.0, ask=100.1, bid_quantity=3, ask_quantity=4)])

    compiled_quote(records(table), records(ticks), np.zeros(len(ticks), np.int64))

    names = ["last", "bid", "ask", "bid_quantity", "ask_quantity", "time"]
    assert [int(table[0][n]) for n in names] == [100_050_000, 100_000_000, 100_100_000, 3, 4, TEN + 10**9]


def test_a_side_that_disappears_is_no_longer_shown():
    table = instrument_table([instrument(1)])

    ticks = tick_rows([tick(100.0, bid=99.0, ask=101.0), tick(100.0, bid=99.0)])
    compiled_quote(records(table), records(ticks), np.zeros(2, np.int64))

    assert [int(table[0][n]) for n in ("bid", "ask")] == [99_000_000, 0]


def test_the_first_price_is_no_change():
    changes = np.zeros(2, np.int64)
    compiled_quote(records(instrument_table([instrument(1)])), records(tick_rows([tick(100.0), tick(99.95)])), changes)

    assert changes.tolist() == [0, -50_000]


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (0.05, 50_000),
        (0.1 + 0.2, 300_000),
        (99999.95, 99_999_950_000),
        (83.4575, 83_457_500),
        (0.0, 0),
        (-1.0, 0),
        (1e7, 10**13),
    ],
)
def test_a_price_of_four_decimals_is_exact_in_micro_rupees(price, expected):
    assert int(compiled_micro_price(price)) == expected


def test_a_table_of_nothing_is_empty():
    assert (len(instrument_table([])), instrument_table([]).dtype) == (0, INSTRUMENT)
