"""Orders in a bar: what each kind gets from its open, its range and its close, and what of it a strategy may know."""

import pytest

from functions.events import PaperVenue
from functions.orders import KINDS
from tests.desk import Desk, bar, instrument, tick

CALM = "100 100 100 100"


def after(order, *bars, desk=None, at=0.0):
    """The fills of an order that was sent on the close of a calm bar, in the bars of the minutes after it."""
    desk = desk or Desk()
    first = bar(at, CALM)
    order(first[1])
    desk.run(*first, *(print for n, prices in enumerate(bars) for print in bar(at + 60 * (n + 1), prices)))
    return desk.fills


def buys(**order):
    return lambda t: t.buy(10, **order)


def sells(**order):
    return lambda t: t.sell(10, **order)


def test_a_market_order_fills_at_the_next_open():
    assert after(buys(), "101 110 90 102") == [(10, 101.0)]


@pytest.mark.parametrize(
    ("order", "prices", "expected"),
    [
        (sells(kind="SL-M", trigger=99.5), "100 103 97 102", -99.5),  # passed within the bar
        (sells(kind="SL-M", trigger=97.0), "100 103 97 102", -97.0),  # the low itself is enough
        (sells(kind="SL-M", trigger=96.95), "100 103 97 102", None),
        (sells(kind="SL-M", trigger=99.5), "98 103 97 102", -98.0),  # opened beyond it: nobody traded at 99.50
        (buys(kind="SL-M", trigger=102.5), "100 103 97 102", 102.5),
        (buys(kind="SL-M", trigger=103.0), "100 103 97 102", 103.0),
        (buys(kind="SL-M", trigger=103.05), "100 103 97 102", None),
        (buys(kind="SL-M", trigger=102.5), "104 105 97 102", 104.0),
    ],
)
def test_a_stop_within_a_bar_fills_at_its_trigger_and_beyond_a_gap_at_the_open(order, prices, expected):
    assert [price * (1 if q > 0 else -1) for q, price in after(order, prices)] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("order", "prices", "expected"),
    [
        (buys(kind="LIMIT", limit=99.0), "100 103 98 102", 99.0),
        (buys(kind="LIMIT", limit=98.0), "100 103 98 102", 98.0),  # touching is enough
        (buys(kind="LIMIT", limit=97.95), "100 103 98 102", None),
        (buys(kind="LIMIT", limit=99.0), "98.5 103 98 102", 99.0),  # it waited, so a gap does not better it
        (sells(kind="LIMIT", limit=102.0), "100 103 98 100", -102.0),
        (sells(kind="LIMIT", limit=103.05), "100 103 98 100", None),
        (sells(kind="LIMIT", limit=102.0), "104 105 98 100", -102.0),
        (buys(kind="LIMIT", limit=100.5), "100.2 103 98 102", 100.2),  # marketable when it came: it takes the open
        (
            buys(kind="LIMIT", limit=100.5),
            "100.6 103 98 102",
            100.5,
        ),  # which has left it behind: it waits, and gets its own
    ],
)
def test_a_limit_within_a_bar_fills_at_itself(order, prices, expected):
    assert [price * (1 if q > 0 else -1) for q, price in after(order, prices)] == ([expected] if expected else [])


def test_a_stop_with_a_limit_fills_at_its_trigger_if_its_limit_allows():
    assert after(sells(kind="SL", trigger=99.0, limit=98.5), "100 103 97 102") == [(-10, 99.0)]
    assert after(sells(kind="SL", trigger=99.0, limit=99.0), "100 103 97 102") == [(-10, 99.0)]


def test_a_stop_whose_limit_is_beyond_its_trigger_waits_from_there_and_sees_of_its_bar_the_close_alone():
    order = sells(kind="SL", trigger=99.0, limit=99.5)

    assert after(order, "100 103 97 99") == []  # the high came before or after, nobody knows
    assert after(order, "100 103 97 101") == [(-10, 99.5)]
    assert after(order, "100 103 97 99", "99 99.5 98 98") == [(-10, 99.5)]


def test_of_stop_and_target_in_one_bar_the_stop_counts_first():
    desk = Desk()
    first = bar(0, CALM)
    first[1].buy(10)
    second = bar(60, CALM)
    second[1].sell(10, kind="LIMIT", limit=103.0).sell(10, kind="SL-M", trigger=98.0)
    desk.run(*first, *second, *bar(120, "100 104 97 104"))

    assert desk.fills == [(10, 100.0), (-10, 98.0), (-10, 103.0)]
    assert [f["realised"] for f in desk.rows("fills")] == [0, -20_000_000, 0]  # two orders: the second one sells short


def test_slippage_is_added_to_a_stops_trigger_and_to_no_limit():
    desk = Desk(venue=PaperVenue(price="last", charges=False, slippage_per_share="0.10"))
    assert after(sells(kind="SL-M", trigger=99.0), "100 103 97 102", desk=desk) == [(-10, 98.9)]

    desk = Desk(venue=PaperVenue(price="last", charges=False, slippage_per_share="0.10"))
    assert after(sells(kind="SL", trigger=99.0, limit=98.0), "100 103 97 102", desk=desk) == [(-10, 99.0)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_that_comes_within_a_bar_does_not_see_its_range(kind):
    """Sent on a tick of another instrument half a minute into the bar: only the close counts."""
    desk = Desk([instrument(1), instrument(2)])
    opening, closing = bar(60, "100 103 97 102")
    order = {"MARKET": {}, "LIMIT": {"limit": 98.0}, "SL": {"trigger": 99.0, "limit": 98.0}, "SL-M": {"trigger": 99.0}}

    desk.run(
        *bar(0, CALM), opening, tick(50.0, 90, instrument=1).buy(10, kind=kind, instrument=0, **order[kind])
        if kind == "LIMIT" else tick(50.0, 90, instrument=1).sell(10, kind=kind, instrument=0, **order[kind]), closing,
    )  # fmt: skip

    assert desk.fills == ([(-10, 102.0)] if kind == "MARKET" else [])


@pytest.mark.parametrize(("latency_ms", "filled"), [(60_000 + 0, True), (60_001, False)])
def test_an_order_sees_the_range_of_a_bar_that_begins_when_it_arrives_and_of_none_before(latency_ms, filled):
    desk = Desk(venue=PaperVenue(price="last", charges=False, latency_ms=latency_ms))
    first = bar(0, CALM, seconds=60 + 1e-6)  # its close is at the full minute
    first[1].sell(10, kind="SL-M", trigger=99.0)

    desk.run(*first, *bar(120, "100 103 97 102"))

    assert bool(desk.fills) is filled


def test_an_order_on_a_close_of_one_instrument_meets_the_close_of_another_at_the_same_moment():
    desk = Desk([instrument(1), instrument(2)])
    ours, theirs = bar(0, CALM), bar(0, "50 60 40 55", instrument=1)
    ours[1].buy(1, instrument=1).buy(1, kind="LIMIT", limit=45.0, instrument=1)

    desk.run(ours[0], theirs[0], ours[1], theirs[1])

    assert desk.fills == [(1, 55.0)]


def test_a_bar_that_traded_nothing_moves_the_price_and_fills_no_order():
    desk = Desk()
    first = bar(0, CALM)
    first[1].buy(10).buy(5, kind="LIMIT", limit=99.0).buy(2, kind="SL-M", trigger=101.0)

    desk.run(*first, *bar(60, "90 110 80 95", traded=False))
    assert desk.fills == []
    assert desk.shard.instruments["last"][0] == 95_000_000

    desk.run(*bar(120, "98 98 98 98"))
    assert desk.fills == [(10, 98.0), (5, 99.0)]


def test_a_range_is_priced_at_the_close_so_that_no_peak_is_made_up():
    """Bought at 98 in a bar that opened at 100 and closed at 97: equity was never above its beginning."""
    desk = Desk()
    assert after(buys(kind="LIMIT", limit=98.0), "100 100 96 97", desk=desk) == [(10, 98.0)]

    assert desk.account("peak") == desk.account("capital")
    assert desk.account("unrealised") == -10_000_000


def test_older_stops_fill_before_younger_ones_and_stops_before_limits():
    desk = Desk()
    first = bar(0, CALM)
    first[1].buy(1, kind="LIMIT", limit=98.0).buy(2, kind="SL-M", trigger=102.0).buy(3, kind="SL-M", trigger=101.0)
    first[1].buy(4, kind="LIMIT", limit=99.0)

    desk.run(*first, *bar(60, "100 103 97 100"))

    assert desk.fills == [(2, 102.0), (3, 101.0), (1, 98.0), (4, 99.0)]


def test_a_bar_without_a_range_works_orders_by_its_open_and_close():
    desk = Desk()
    first = bar(0, CALM)
    first[1].sell(10, kind="SL-M", trigger=99.0)
    opening, closing = bar(60, "100 103 97 98")
    closing.extent = (60, 0.0, 0.0)

    desk.run(*first, opening, closing)

    assert desk.fills == [(-10, 98.0)]


def test_any_split_of_bars_into_batches_fills_the_same():
    def prints():
        first = bar(0, CALM)
        first[1].buy(10).sell(3, kind="SL-M", trigger=98.0).sell(4, kind="LIMIT", limit=102.0)
        return [*first, *bar(60, "101 101 99 100"), *bar(120, "100 103 97 99")]

    whole, single = Desk(), Desk()
    whole.run(*prints())
    for each in prints():
        single.run(each)

    assert whole.fills == single.fills == [(10, 101.0), (-3, 98.0), (-4, 102.0)]
