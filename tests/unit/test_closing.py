"""Closing time: what the cut-off of MIS, the end of the session and midnight do to orders and positions, and when.

Before August 2026 shares close at 15:30 and MIS ends at 15:20, for derivatives at 15:25.
"""

from datetime import datetime

import pytest

from functions.alerts import ALERTS
from functions.calendar import INDIA
from functions.events import PaperVenue
from functions.orders import PRODUCTS, REASONS
from tests.desk import FREE, TEN, Desk, account, bar, clock, instrument, lax, strategy, tick

AT_LAST = "square_off_at_last_price"
CLOSE, CUT_OFF = 5.5 * 3600, 5 * 3600 + 20 * 60  # 15:30 and 15:20, in seconds after ten


def at(text: str) -> float:
    """Seconds after ten on 6 May 2026 of a time in India."""
    moment = datetime.fromisoformat(text).replace(tzinfo=INDIA)
    return moment.timestamp() - TEN / 1e9


def told(desk):
    """(seconds after ten, reason or "", shares) of every order row, in the order told."""
    return [
        (round(int(o["time"] - TEN) / 1e9, 6), REASONS[o["reason"]], int(o["side"] * o["quantity"]))
        for o in desk.rows("orders")
    ]


def ended(desk):
    return [(when, reason) for when, reason, _ in told(desk) if reason]


def alerts(desk):
    """(seconds after ten, name, count, worth in rupees)."""
    return [
        (round(int(a["time"] - TEN) / 1e9, 6), ALERTS[a["code"]], int(a["observed"]), a["limit"] / 1e6)
        for a in desk.rows("alerts")
    ]


def delivering(**more):
    """A desk whose orders are for delivery."""
    return Desk(strategies=[strategy(product="CNC")], **more)


# --- the session's end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "then", [clock(CLOSE), tick(89.0, CLOSE), tick(89.0, CLOSE + 900), tick(89.0, 86_400), clock(3 * 86_400)]
)
def test_what_rests_at_the_close_is_cancelled_at_the_close_whatever_says_that_it_has_come(then):
    desk = delivering().run(tick(100.0, 1).buy(10, kind="LIMIT", limit=90.0))

    desk.run(then)

    assert ended(desk) == [(CLOSE, "session_end")]
    assert desk.fills == []
    assert (desk.book("working"), desk.account("committed"), desk.account("working")) == (0, 0, 0)


def test_until_the_last_moment_of_the_session_a_resting_order_fills():
    desk = delivering().run(tick(100.0, 1).buy(10, kind="LIMIT", limit=90.0), tick(89.0, CLOSE - 1e-6), clock(CLOSE))

    assert desk.fills == [(10, 90.0)]
    assert ended(desk) == []


@pytest.mark.parametrize(
    ("config", "date", "closes"),
    [
        ({}, "2026-05-06", "15:30"),
        ({}, "2026-08-04", "15:30"),
        ({"closing_auction": True}, "2026-08-04", "15:15"),
        ({"kind": "FUT", "exchange": "NFO"}, "2026-08-04", "15:40"),
        ({}, "2026-11-08", "14:45"),  # Muhurat, assumed as in 2025
        ({}, "2024-03-02", "12:30"),  # disaster recovery: its second part
    ],
)
def test_each_class_of_instruments_closes_at_its_own_time_of_each_day(config, date, closes):
    desk = Desk([instrument(**config)], strategies=[strategy(product="CNC")])
    begins = "14:00" if date == "2026-11-08" else "11:45" if date == "2024-03-02" else "10:00"

    desk.run(tick(100.0, at(f"{date} {begins}")).buy(1, kind="LIMIT", limit=90.0), clock(at(f"{date} 16:00")))

    assert ended(desk) == [(at(f"{date} {closes}"), "session_end")]


def test_each_of_the_two_parts_of_a_day_ends_its_orders_and_between_them_nothing_fills():
    desk = delivering().run(
        tick(100.0, at("2024-03-02 09:59")).buy(1, kind="LIMIT", limit=90.0), tick(80.0, at("2024-03-02 10:30"))
    )
    first = (at("2024-03-02 10:00"), "session_end")
    assert (desk.fills, ended(desk)) == ([], [first])

    desk.run(tick(85.0, at("2024-03-02 11:30")).buy(2, kind="LIMIT", limit=84.0).buy(3, kind="LIMIT", limit=70.0))
    desk.run(tick(84.0, at("2024-03-02 11:31")), tick(60.0, at("2024-03-02 12:30")))
    assert desk.fills == [(2, 84.0)]
    assert ended(desk) == [first, (at("2024-03-02 12:30"), "session_end")]


@pytest.mark.parametrize("stale", ["2026-05-06 09:08", "2026-05-05 10:00"])
def test_a_print_of_before_the_session_that_comes_within_it_fills_nothing(stale):
    """The first packet after a subscription tells the last price of the pre-open, or of yesterday."""
    desk = Desk([instrument(1), instrument(2)], limits=lax(max_price_age_ms=10**9))
    desk.run(tick(100.0, at("2026-05-05 09:59"), instrument=0), tick(50.0, 0, instrument=1).buy(5, instrument=0))

    desk.run(tick(99.0, at(stale)))
    assert desk.fills == []

    desk.run(tick(98.0, 1))
    assert desk.fills == [(5, 98.0)]


def test_the_account_is_told_a_second_after_its_orders_ended():
    desk = delivering().run(tick(100.0, 1).buy(10, kind="LIMIT", limit=90.0), clock(CLOSE + 600))

    times = [round(int(t - TEN) / 1e9, 6) for t in desk.rows("snapshots")["time"]]
    assert sorted(set(times)) == [2.0, CLOSE + 1]


def test_the_account_is_told_a_second_after_what_a_strategy_asked_for_was_cancelled():
    desk = Desk().run(tick(100.0, 1).buy(10, kind="LIMIT", limit=90.0), clock(10))
    desk.shard.cancel("s")
    desk.run(clock(20))

    times = [round(int(t - TEN) / 1e9, 6) for t in desk.rows("snapshots")["time"]]
    assert sorted(set(times)) == [2.0, 11.0]


def test_an_order_that_an_earlier_version_left_over_the_close_expires_at_midnight():
    desk = delivering().run(tick(100.0, 1).buy(10, kind="LIMIT", limit=90.0))
    desk.shard.shard["second"] += int(CLOSE) + 100  # as if the close had passed it by

    desk.run(clock(3 * 86_400))

    assert ended(desk) == [(14 * 3600, "expired")]


# --- the cut-off of MIS -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_an_intraday_position_is_closed_at_the_cut_off_by_an_order_that_fills_at_the_next_print(side):
    opening = tick(100.0, 1).buy(10) if side > 0 else tick(100.0, 1).sell(10)
    desk = Desk().run(opening, tick(101.0, 2), tick(105.0, CUT_OFF + 7))

    assert desk.fills == [(10 * side, 101.0), (-10 * side, 105.0)]
    assert told(desk)[1:] == [(CUT_OFF, "square_off", -10 * side)]
    assert alerts(desk) == [(CUT_OFF, "square_off_at_market", 1, 1010.0)]
    assert (desk.book("position"), desk.book("intraday"), desk.book("closing"), desk.book("working")) == (0, 0, 0, 0)


def test_a_position_is_not_carried_over_night():
    """Bought at 100 on one day, 120 on the next morning: the twenty rupees are not earned."""
    desk = Desk().run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(120.0, 86_400))

    assert desk.fills == [(10, 100.0), (-10, 100.0)]
    assert [round(int(t - TEN) / 1e9) for t in desk.rows("fills")["time"]] == [2, CLOSE]
    assert alerts(desk) == [(CUT_OFF, "square_off_at_market", 1, 1000.0), (CLOSE, AT_LAST, 1, 1000.0)]


def test_delivery_and_carried_positions_stay():
    for product in ("CNC", "NRML"):
        desk = Desk(strategies=[strategy(product=product)])
        desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(120.0, 86_400))

        assert desk.fills == [(10, 100.0)]
        assert (alerts(desk), desk.book("position")) == ([], 10)


def test_of_a_book_of_several_products_the_intraday_part_alone_is_closed():
    desk = Desk().run(tick(100.0, 1).buy(10).buy(4, product="CNC").buy(2, product="NRML"), tick(100.0, 2))
    assert (desk.book("position"), desk.book("intraday"), desk.book("delivery")) == (16, 10, 4)

    desk.run(clock(CUT_OFF), tick(101.0, CUT_OFF + 1))

    assert desk.fills[3:] == [(-10, 101.0)]
    assert (desk.book("position"), desk.book("intraday"), desk.book("delivery")) == (6, 0, 4)


def test_an_intraday_short_beside_delivered_shares_is_bought_back():
    desk = Desk().run(tick(100.0, 1).buy(5, product="CNC").sell(5), tick(100.0, 2))
    assert (desk.book("position"), desk.book("intraday"), desk.book("delivery")) == (0, -5, 5)

    desk.run(tick(90.0, CUT_OFF))

    assert desk.fills[2:] == [(5, 90.0)]
    assert (desk.book("position"), desk.book("intraday"), desk.book("delivery")) == (5, 0, 5)


def test_working_mis_orders_end_at_the_cut_off_and_others_go_on():
    desk = Desk().run(
        tick(100.0, 1).buy(1, kind="LIMIT", limit=90.0).buy(2, kind="LIMIT", limit=91.0, product="CNC")
        .buy(3, kind="SL-M", trigger=110.0).sell(4, kind="LIMIT", limit=120.0, product="NRML"),
        clock(CUT_OFF),
    )  # fmt: skip
    assert [(when, reason, quantity) for when, reason, quantity in told(desk) if reason] == [
        (CUT_OFF, "square_off", 1), (CUT_OFF, "square_off", 3),
    ]  # fmt: skip

    desk.run(tick(89.0, CUT_OFF + 1), clock(CLOSE))
    assert desk.fills == [(2, 91.0)]
    assert ended(desk)[2:] == [(CLOSE, "session_end")]


def test_an_order_on_its_way_ends_at_the_cut_off_as_well():
    desk = Desk(venue=PaperVenue(price="last", charges=False, latency_ms=60_000))

    desk.run(tick(100.0, CUT_OFF - 30).buy(1), tick(100.0, CUT_OFF + 40))

    assert desk.fills == []
    assert ended(desk) == [(CUT_OFF, "square_off")]


def test_each_class_has_its_own_cut_off():
    desk = Desk([instrument(1), instrument(2, kind="FUT", exchange="NFO")])
    desk.run(tick(100.0, 1).buy(1), tick(50.0, 1, instrument=1).buy(2), tick(100.0, 2), tick(50.0, 2, instrument=1))

    desk.run(*(tick(60.0, CUT_OFF + second, instrument=i) for second in (1, 299, 301) for i in (0, 1)))

    assert desk.fills[2:] == [(-1, 60.0), (-2, 60.0)]
    assert [int(t - TEN) // 10**9 - CUT_OFF for t in desk.rows("fills")["time"][2:]] == [1, 301]


def test_on_a_day_without_mis_orders_are_refused_from_the_open_on():
    desk = Desk().run(tick(100.0, at("2024-03-02 09:30")).buy(1))

    assert desk.refused == [["mis_cut_off"]]


def test_a_venue_that_tells_trades_nothing_and_says_what_is_held():
    desk = Desk(venue=PaperVenue(price="last", charges=False, square_off="tell"))
    desk.run(tick(100.0, 1).buy(10), tick(101.0, 2), tick(120.0, 86_400))

    assert desk.fills == [(10, 101.0)]
    assert alerts(desk) == [(CUT_OFF, "intraday_still_held", 1, 1010.0)]
    assert desk.book("intraday") == 10


def test_each_account_by_its_own_venue():
    telling = PaperVenue(price="last", charges=False, square_off="tell")
    desk = Desk(accounts=[account("a"), account("b", venue=telling)], strategies=[strategy(accounts=["a", "b"])])

    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(100.0, CUT_OFF + 1))

    assert [desk.book("position", s) for s in (0, 1)] == [0, 10]
    assert sorted(name for _, name, _, _ in alerts(desk)) == ["intraday_still_held", "square_off_at_market"]


def test_what_is_displayed_bounds_a_square_off_too_and_the_rest_trades_at_the_last_price():
    desk = Desk(venue=PaperVenue(charges=False))
    quote = {"bid": 99.0, "ask": 100.0, "bid_quantity": 4, "ask_quantity": 100}
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2, **quote), tick(99.5, CUT_OFF + 1, **quote), clock(CLOSE))

    assert desk.fills == [(10, 100.0), (-4, 99.0), (-6, 99.5)]
    assert alerts(desk)[1:] == [(CLOSE, AT_LAST, 1, 597.0)]
    assert (desk.account("working"), desk.book("working"), desk.book("closing")) == (0, 0, 0)
    assert desk.shard.working() == []


def test_a_bar_without_trade_closes_no_position_and_the_next_one_does():
    desk = Desk()
    first = bar(0, "100 100 100 100")
    first[1].buy(10)
    desk.run(*first, *bar(60, "101 101 101 101"), *bar(CUT_OFF, "102 103 99 103", traded=False))
    assert len(desk.fills) == 1

    desk.run(*bar(CUT_OFF + 60, "104 105 99 103"))
    assert desk.fills[1:] == [(-10, 104.0)]


def test_more_positions_than_slots_are_closed_as_slots_come_free():
    tokens = list(range(1, 101))
    desk = Desk([instrument(t) for t in tokens], limits=lax(max_open_orders=64))
    for k in range(100):
        desk.run(tick(100.0, 2_000 + k, instrument=k).buy(1), tick(100.0, 2_000.5 + k, instrument=k))
    assert (len(desk.shard.orders), len(desk.fills)) == (64, 100)

    desk.run(clock(CUT_OFF), *(tick(101.0, CUT_OFF + 1, instrument=k) for k in range(100)))
    assert len(desk.fills) == 164
    desk.run(*(tick(101.0, CUT_OFF + 2.5, instrument=k) for k in range(100)))

    assert desk.fills[100:] == [(-1, 101.0)] * 100
    assert [(when, count) for when, _, count, _ in alerts(desk)] == [(CUT_OFF, 100), (CUT_OFF + 2, 36)]
    assert int(desk.shard.shard["squaring"][0]) == 0


def test_a_position_that_found_no_slot_all_the_time_is_closed_at_the_last_price():
    """Every slot is taken by orders for a future, which trades on until 15:40."""
    desk = Desk(
        [instrument(1), instrument(2, kind="FUT", exchange="NFO")], limits=lax(max_open_orders=64),
        strategies=[strategy("s", (1, 2), product="NRML")],
    )  # fmt: skip
    begins = at("2026-08-04 10:00")
    desk.run(tick(100.0, begins).buy(3, product="MIS"), tick(100.0, begins + 1), tick(50.0, begins + 1, instrument=1))
    resting = tick(50.0, begins + 2, instrument=1)
    for n in range(64):
        resting.buy(n + 1, kind="LIMIT", limit=40.0)
    desk.run(resting, tick(102.0, at("2026-08-04 15:29")), clock(at("2026-08-04 15:31")))

    assert desk.fills == [(3, 100.0), (-3, 102.0)]
    assert [name for _, name, _, _ in alerts(desk)] == [AT_LAST]
    assert len(desk.shard.working()) == 64
    assert (desk.book("position"), desk.account("working")) == (0, 64)


def test_a_killed_account_is_squared_off_too():
    desk = Desk().run(tick(100.0, 1).buy(10), tick(100.0, 2))
    desk.shard.kill("a")

    desk.run(clock(CUT_OFF), tick(99.0, CUT_OFF + 1))

    assert desk.fills[1:] == [(-10, 99.0)]


def test_the_brokers_orders_are_not_counted_as_the_accounts():
    desk = Desk(limits=lax(max_orders_per_day=2))
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), clock(CUT_OFF), tick(99.0, CUT_OFF + 1))

    assert desk.account("day_orders") == 1
    assert desk.account("orders") == 2


def test_a_strategy_that_ends_leaves_the_brokers_order_for_it_alone():
    desk = Desk().run(tick(100.0, 1).buy(10), tick(100.0, 2), clock(CUT_OFF))

    assert len(desk.shard.cancel("s").orders) == 0

    desk.run(tick(99.0, CUT_OFF + 1))
    assert desk.fills[1:] == [(-10, 99.0)]


@pytest.mark.parametrize(("quantity", "orders"), [(10, 1), (30_000, 1), (30_001, 2)])
def test_the_broker_charges_59_rupees_for_each_30_000_shares_that_it_squares_off(quantity, orders):
    """Turnover q rupees: brokerage 0.03 % up to 20, STT 0.025 %, transaction 0.00307 %, SEBI, GST; and the fee."""
    desk = Desk(accounts=[account(venue=PaperVenue(price="last"), limits=lax())])
    manual = Desk(accounts=[account(venue=PaperVenue(price="last"), limits=lax())])
    desk.run(tick(1.0, 1).buy(quantity), tick(1.0, 2), tick(1.0, CUT_OFF + 1))
    manual.run(tick(1.0, 1).buy(quantity), tick(1.0, 2).sell(quantity), tick(1.0, 3))

    squared, sold = (int(each.rows("fills")["charges"][1]) for each in (desk, manual))
    assert squared - sold == orders * 59_000_000
    assert desk.account("charges") - manual.account("charges") == orders * 59_000_000


def test_without_charges_a_square_off_costs_nothing():
    desk = Desk(venue=FREE).run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(100.0, CUT_OFF + 1))

    assert desk.account("charges") == 0


# --- what may leave ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("when", "refused"), [(CUT_OFF - 1e-6, []), (CUT_OFF, [["mis_cut_off"]])])
def test_mis_ends_at_the_cut_off_for_entries_and_exits_alike(when, refused):
    assert Desk().run(tick(100.0, when).buy(1)).refused == refused

    held = Desk(venue=PaperVenue(price="last", charges=False, square_off="tell"))
    assert held.run(tick(100.0, 1).buy(1), tick(100.0, 2), tick(100.0, when).sell(1)).refused == refused
    assert delivering().run(tick(100.0, when).buy(1)).refused == []


def test_delivery_is_sold_of_what_is_held_and_no_more():
    desk = delivering().run(tick(100.0, 1).buy(10), tick(100.0, 2))

    desk.run(tick(100.0, 3).sell(11), tick(100.0, 4).sell(10), tick(100.0, 5))

    assert desk.refused == [["holdings"]]
    assert desk.fills == [(10, 100.0), (-10, 100.0)]


def test_nothing_held_is_nothing_to_sell_but_intraday():
    desk = Desk().run(tick(100.0, 1).sell(1, product="CNC").sell(2, product="MIS"))

    assert desk.refused == [["holdings"]]
    assert desk.account("orders") == 1


def test_working_sales_are_held_back_and_working_purchases_are_not_yet_there():
    desk = delivering().run(tick(100.0, 1).buy(10), tick(100.0, 2))

    desk.run(tick(100.0, 3).sell(6, kind="LIMIT", limit=110.0).sell(5).buy(5, kind="LIMIT", limit=95.0).sell(5).sell(4))

    assert desk.refused == [["holdings"], ["holdings"]]
    assert desk.book("delivering") == 10


def test_a_sale_that_ends_unfilled_frees_its_shares_and_a_part_that_fills_is_gone():
    desk = delivering(venue=PaperVenue(charges=False))
    quote = {"bid": 110.0, "ask": 110.05, "bid_quantity": 2, "ask_quantity": 50}
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(100.0, 3).sell(6, kind="LIMIT", limit=110.0))
    desk.run(tick(110.0, 4, **quote))
    assert (desk.book("delivery"), desk.book("delivering")) == (8, 4)

    desk.run(clock(CLOSE))
    assert (desk.book("delivery"), desk.book("delivering")) == (8, 0)

    desk.run(tick(100.0, 86_400).sell(9), tick(100.0, 86_401).sell(8))
    assert desk.refused == [["holdings"]]


def test_intraday_shares_are_none_for_delivery():
    desk = Desk().run(tick(100.0, 1).buy(10, product="MIS"), tick(100.0, 2).sell(1, product="CNC"))

    assert desk.refused == [["holdings"]]
    assert PRODUCTS[0] == "MIS"
