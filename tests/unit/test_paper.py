"""The paper venue: what each kind of order gets from each quote, and when."""

import pytest

from functions.events import PaperVenue
from tests.desk import Desk, account, clock, instrument, lax, strategy, tick

QUOTE = PaperVenue(price="quote", charges=False)


def quote_desk(**venue):
    return Desk(venue=PaperVenue(charges=False, **venue))


def test_a_market_order_fills_at_the_next_tick_and_never_at_its_own():
    desk = Desk()

    desk.run(tick(100.0, 1).buy(10))
    assert desk.fills == []
    desk.run(tick(101.0, 2))

    assert desk.fills == [(10, 101.0)]


def test_an_order_fills_that_came_after_the_newest_of_two_had_filled():
    desk = Desk()
    desk.run(tick(100.0, 1).buy(1, kind="LIMIT", limit=90.0).buy(2), tick(100.0, 2).buy(3))

    desk.run(tick(100.0, 3))

    assert desk.fills == [(2, 100.0), (3, 100.0)]


def test_another_instruments_tick_fills_nothing():
    desk = Desk([instrument(1), instrument(2)])

    desk.run(tick(100.0, 1).buy(10), tick(50.0, 2, instrument=1))

    assert desk.fills == []


def test_a_buyer_pays_the_ask_and_a_seller_gets_the_bid():
    desk = quote_desk()

    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2, bid=99.9, ask=100.1).sell(4), tick(100.0, 3, bid=99.9, ask=100.1))

    assert desk.fills == [(10, 100.1), (-4, 99.9)]


def test_a_feed_without_quotes_trades_at_the_last_price():
    assert quote_desk().run(tick(100.0, 1).buy(10), tick(101.0, 2)).fills == [(10, 101.0)]


def test_at_an_upper_circuit_nobody_sells_so_a_buyer_waits_and_a_seller_trades():
    desk = quote_desk()

    desk.run(tick(110.0, 1).buy(5).sell(3), tick(110.0, 2, bid=110.0, ask=0.0), tick(109.0, 3, bid=108.9, ask=109.1))

    assert desk.fills == [(-3, 110.0), (5, 109.1)]


@pytest.mark.parametrize(
    ("venue", "bought", "sold"),
    [
        ({"slippage_bps": "10"}, 100.2001, 99.8001),  # a tenth of a per cent of the quote
        ({"slippage_per_share": "0.05"}, 100.15, 99.85),
        ({"slippage_spread_percent": 50}, 100.2, 99.8),  # half of a spread of 0.20
        ({"slippage_bps": "10", "slippage_per_share": "0.05"}, 100.2501, 99.7501),
    ],
)
def test_slippage_is_always_against_the_order(venue, bought, sold):
    desk = quote_desk(**venue)

    desk.run(tick(100.0, 1).buy(1).sell(1), tick(100.0, 2, bid=99.9, ask=100.1))

    assert desk.fills == [(1, bought), (-1, sold)]


def test_where_nobody_buys_there_is_no_spread_to_slip_by():
    desk = quote_desk(slippage_spread_percent=50)

    desk.run(tick(90.0, 1).buy(5), tick(90.0, 2, bid=0.0, ask=90.0))

    assert desk.fills == [(5, 90.0)]


@pytest.mark.parametrize(
    ("price", "bps", "bought", "sold"),
    [
        (0.05, "0.01", 0.050001, 0.049999),  # a twentieth of a micro-rupee is a whole one, against the order
        (0.05, "20", 0.0501, 0.0499),
        (9_999_999.95, "0.01", 10_000_009.95, 9_999_989.95),  # 9.99999995 rupees are ten
        (10_000_000.0, "1000", 11_000_000.0, 9_000_000.0),
    ],
)
def test_slippage_is_exact_and_rounded_against_the_order(price, bps, bought, sold):
    desk = quote_desk(price="last", slippage_bps=bps)

    desk.run(tick(price, 1).buy(1).sell(1), tick(price, 2))

    assert [(q, round(p, 6)) for q, p in desk.fills] == [(1, round(bought, 6)), (-1, round(sold, 6))]


@pytest.mark.parametrize("slippage", [{"slippage_per_share": "5"}, {"slippage_per_share": "4.95"}])
def test_a_price_slipped_below_nothing_is_one_micro_rupee(slippage):
    desk = quote_desk(price="last", **slippage)

    desk.run(tick(4.95, 1).sell(2), tick(4.95, 2))

    assert desk.rows("fills")["price"].tolist() == [1]


def test_a_limit_order_never_slips():
    desk = quote_desk(slippage_bps="100")

    desk.run(tick(100.0, 1).buy(1, kind="LIMIT", limit=100.1), tick(100.0, 2, bid=99.9, ask=100.1))

    assert desk.fills == [(1, 100.1)]


def test_a_limit_order_that_arrives_marketable_takes_the_better_quote():
    desk = quote_desk()

    desk.run(tick(100.0, 1).buy(1, kind="LIMIT", limit=101.0), tick(100.0, 2, bid=99.9, ask=100.1))

    assert desk.fills == [(1, 100.1)]


def test_a_limit_order_that_has_rested_trades_at_its_own_limit():
    desk = quote_desk()

    desk.run(
        tick(100.0, 1).buy(1, kind="LIMIT", limit=99.0),
        tick(100.0, 2, bid=99.9, ask=100.1),
        tick(98.5, 3, bid=98.4, ask=98.6),
    )

    assert desk.fills == [(1, 99.0)]


@pytest.mark.parametrize(("side", "limit", "after"), [("buy", 99.0, 98.5), ("sell", 101.0, 102.0)])
def test_a_limit_away_from_the_market_waits_from_its_arrival_and_gets_its_limit_when_the_next_price_jumps_over_it(
    side, limit, after
):
    desk = Desk()

    desk.run(getattr(tick(100.0, 1), side)(1, kind="LIMIT", limit=limit), tick(after, 2))

    assert [price for _, price in desk.fills] == [limit]


@pytest.mark.parametrize(
    ("limit", "bought"),
    [
        (100.1, 99.0),  # at the ask when it came: it takes what is offered next
        (100.05, 100.05),  # a tick below the ask: it waited, and the market came to it
    ],
)
def test_the_ask_that_stands_when_a_limit_comes_says_whether_it_waits(limit, bought):
    desk = quote_desk()

    desk.run(tick(100.0, 1, bid=99.9, ask=100.1).buy(1, kind="LIMIT", limit=limit), tick(98.9, 2, bid=98.8, ask=99.0))

    assert desk.fills == [(1, bought)]


@pytest.mark.parametrize(("limit", "sold"), [(99.9, 102.0), (99.95, 99.95)])
def test_the_bid_that_stands_when_a_limit_to_sell_comes_says_whether_it_waits(limit, sold):
    desk = quote_desk()

    desk.run(
        tick(100.0, 1, bid=99.9, ask=100.1).sell(1, kind="LIMIT", limit=limit), tick(102.1, 2, bid=102.0, ask=102.2)
    )

    assert desk.fills == [(-1, sold)]


def test_at_a_circuit_nobody_stands_opposite_so_every_limit_waits():
    desk = quote_desk()

    desk.run(tick(110.0, 1, bid=110.0).buy(1, kind="LIMIT", limit=111.0), tick(109.0, 2, bid=108.9, ask=109.1))

    assert desk.fills == [(1, 111.0)]


def test_a_marketable_limit_that_the_next_quote_leaves_behind_waits_from_then_on():
    desk = Desk()

    desk.run(tick(100.0, 1).buy(1, kind="LIMIT", limit=100.0), tick(100.5, 2), tick(98.0, 3))

    assert desk.fills == [(1, 100.0)]


@pytest.mark.parametrize(
    ("before", "bought"),
    [
        (100.0, 97.0),  # when it arrives the price is at its limit: marketable, it takes the next
        (100.05, 100.0),  # the price has left its limit behind: it waits
    ],
)
def test_with_latency_the_quote_that_stands_when_an_order_arrives_counts(before, bought):
    for first in (99.0, 101.0):  # not the one that stood when it was sent
        desk = Desk(venue=PaperVenue(price="last", charges=False, latency_ms=500))

        desk.run(
            tick(first, 1).buy(1, kind="LIMIT", limit=100.0), tick(101.0, 1.2), tick(before, 1.499), tick(97.0, 1.5)
        )

        assert desk.fills == [(1, bought)]


def test_what_is_left_of_a_marketable_limit_gets_its_limit():
    desk = quote_desk()

    desk.run(
        tick(100.0, 1, bid=99.9, ask=100.0).buy(5, kind="LIMIT", limit=101.0),
        tick(100.0, 2, bid=99.9, ask=100.0, ask_quantity=2), tick(99.0, 3, bid=98.9, ask=99.0, ask_quantity=9),
    )  # fmt: skip

    assert desk.fills == [(2, 100.0), (3, 101.0)]


def test_in_a_crossed_book_a_buyer_pays_the_bid_and_a_seller_gets_the_ask():
    desk = quote_desk()

    desk.run(tick(100.0, 1).buy(1).sell(2), tick(100.0, 2, bid=100.4, ask=99.8))

    assert desk.fills == [(1, 100.4), (-2, 99.8)]


@pytest.mark.parametrize(("limit", "filled"), [(100.4, [(1, 100.4)]), (100.35, [])])
def test_a_limit_is_held_against_the_worse_side_of_a_crossed_book(limit, filled):
    desk = quote_desk()

    desk.run(tick(100.4, 1).buy(1, kind="LIMIT", limit=limit), tick(100.0, 2, bid=100.4, ask=99.8))

    assert desk.fills == filled


def test_a_walk_through_crossed_levels_pays_no_less_than_the_best_bid_and_gets_no_more_than_the_best_ask():
    desk = quote_desk(walk_depth=True)
    book = ([(100.4, 5), (99.7, 5)], [(99.8, 2), (100.2, 2), (100.6, 2)])

    desk.run(tick(100.0, 1).buy(5).sell(7), tick(100.0, 2, bid=100.4, ask=99.8, levels=book))

    assert desk.fills == [(2, 100.4), (2, 100.4), (1, 100.6), (-5, 99.8), (-2, 99.7)]


@pytest.mark.parametrize(("ask", "filled"), [(99.0, True), (99.05, False)])
def test_a_limit_is_inclusive(ask, filled):
    desk = quote_desk()

    desk.run(tick(100.0, 1).buy(1, kind="LIMIT", limit=99.0), tick(99.0, 2, bid=98.9, ask=ask))

    assert bool(desk.fills) is filled


@pytest.mark.parametrize(("last", "filled"), [(104.95, False), (105.0, True)])
def test_a_stop_to_buy_wakes_at_its_trigger(last, filled):
    desk = Desk()

    desk.run(tick(100.0, 1).buy(1, kind="SL-M", trigger=105.0), tick(last, 2))

    assert desk.fills == ([(1, last)] if filled else [])


@pytest.mark.parametrize(("last", "filled"), [(95.05, False), (95.0, True)])
def test_a_stop_to_sell_wakes_at_its_trigger(last, filled):
    desk = Desk()

    desk.run(tick(100.0, 1).sell(1, kind="SL-M", trigger=95.0), tick(last, 2))

    assert desk.fills == ([(-1, last)] if filled else [])


def test_a_triggered_stop_with_a_limit_waits_for_its_limit():
    desk = Desk()

    desk.run(tick(100.0, 1).buy(1, kind="SL", trigger=105.0, limit=106.0), tick(107.0, 2), tick(104.0, 3))

    assert desk.fills == [(1, 106.0)]  # woken at 107, beyond its limit; it rested, so 106 is what it gets


def test_latency_is_event_time_and_the_order_is_placed_when_it_arrives():
    desk = quote_desk(latency_ms=500)

    desk.run(tick(100.0, 1.0).buy(1), tick(101.0, 1.4), tick(102.0, 1.5))

    assert desk.fills == [(1, 102.0)]
    assert [int(o["told"]) for o in desk.rows("orders")] == [0b0011, 0b0100]  # submitted and ack, then placed


def test_an_order_takes_no_more_than_is_displayed():
    desk = quote_desk()

    desk.run(
        tick(100.0, 1).buy(10), tick(100.0, 2, bid=99.9, ask=100.0, ask_quantity=4),
        tick(100.5, 3, bid=99.9, ask=100.5, ask_quantity=100),
    )  # fmt: skip

    assert desk.fills == [(4, 100.0), (6, 100.5)]


def test_partial_fills_can_be_turned_off():
    desk = quote_desk(partial_fills=False)

    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2, bid=99.9, ask=100.0, ask_quantity=4))

    assert desk.fills == [(10, 100.0)]


def test_walking_the_depth_takes_level_after_level_each_as_a_fill():
    desk = quote_desk(walk_depth=True)
    book = ([(99.9, 5)], [(100.1, 4), (100.2, 3), (100.3, 50)])

    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2, bid=99.9, ask=100.1, levels=book))

    assert desk.fills == [(4, 100.1), (3, 100.2), (3, 100.3)]


def test_what_the_depth_does_not_hold_waits_for_the_next_tick():
    desk = quote_desk(walk_depth=True)

    desk.run(
        tick(100.0, 1).buy(10), tick(100.0, 2, ask=100.1, levels=([], [(100.1, 4)])),
        tick(100.0, 3, ask=100.2, levels=([], [(100.2, 40)])),
    )  # fmt: skip

    assert desk.fills == [(4, 100.1), (6, 100.2)]


def test_a_seller_walks_the_bids_with_the_quantities_of_the_bids():
    desk = Desk(venue=PaperVenue(price="quote", charges=False, walk_depth=True))
    levels = ([(99.0, 2), (98.5, 5), (98.0, 50)], [(101.0, 40), (101.5, 40), (102.0, 40)])

    desk.run(
        tick(100.0, 1).sell(10), tick(100.0, 2, bid=99.0, ask=101.0, bid_quantity=2, ask_quantity=40, levels=levels)
    )

    assert desk.fills == [(-2, 99.0), (-5, 98.5), (-3, 98.0)]


def test_a_limit_stops_the_walk():
    desk = quote_desk(walk_depth=True)
    book = ([], [(100.1, 4), (100.2, 3), (100.3, 50)])

    desk.run(tick(100.0, 1).buy(10, kind="LIMIT", limit=100.2), tick(100.0, 2, ask=100.1, levels=book))

    assert desk.fills == [(4, 100.1), (3, 100.2)]
    assert desk.book("working") == 3


@pytest.mark.parametrize(("opening", "closing"), [("buy", "sell"), ("sell", "buy")])
def test_an_exit_that_works_reserves_no_exposure_and_an_entry_does(opening, closing):
    desk = Desk()
    desk.run(getattr(tick(100.0, 1), opening)(10), tick(100.0, 2))
    limit = 110.0 if closing == "sell" else 90.0

    desk.run(getattr(tick(100.0, 3), closing)(10, kind="LIMIT", limit=limit))
    assert (desk.account("working"), desk.account("committed")) == (1, 0)

    desk.run(getattr(tick(100.0, 4), opening)(5, kind="LIMIT", limit=100.0 - (limit - 100.0)))
    assert desk.account("committed") == 5 * int((200.0 - limit) * 1e6)


@pytest.mark.parametrize("end", ["cancel", "session"])
def test_what_is_left_of_a_part_filled_order_is_released_and_no_more(end):
    """Four of ten at 90: 540 rupees are committed until the rest is cancelled, then nothing, never less."""
    desk = Desk(venue=QUOTE, strategies=[strategy(product="CNC")])
    desk.run(
        tick(100.0, 1).buy(10, kind="LIMIT", limit=90.0),
        tick(90.0, 2, bid=89.95, ask=90.0, bid_quantity=4, ask_quantity=4),
    )
    assert (desk.book("position"), desk.book("working"), desk.account("committed")) == (4, 6, 540_000_000)

    if end == "cancel":
        desk.shard.cancel("s")
    else:
        desk.run(clock(20_000))

    assert (desk.book("working"), desk.account("committed"), desk.account("working")) == (0, 0, 0)


def test_older_orders_trade_before_younger_ones():
    desk = Desk()

    desk.run(tick(100.0, 1).buy(1), tick(100.0, 1.5).buy(2).buy(3), tick(101.0, 2))

    assert desk.fills == [(1, 100.0), (2, 101.0), (3, 101.0)]


def test_brokerage_is_capped_per_order_however_many_fills_it_takes():
    """1 000 shares at 1 000 rupees in ten fills: one brokerage of 20 rupees, not ten."""
    desk = Desk(
        accounts=[account(venue=PaperVenue(), limits=lax())],
        strategies=[strategy(product="MIS")],
    )
    ticks = [tick(1000.0, 1).buy(1000)] + [
        tick(1000.0, 2 + n, bid=999.0, ask=1000.0, ask_quantity=100) for n in range(10)
    ]

    desk.run(*ticks)

    charges = desk.rows("fills")["charges"]
    assert len(charges) == 10
    # turnover 10 lakh: brokerage 20, transaction 30.70, SEBI 1, stamp 30, GST 18 % of (20 + 30.70 - 0.001 + 1)
    assert int(charges.sum()) == 91_005_820
