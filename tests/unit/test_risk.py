"""Risk: every rule made to fail alone, at its boundary from both sides, with its limit and what was observed."""

import numpy as np
import pytest

from functions.events import PaperVenue
from functions.risk import RULES, explain
from tests.desk import FREE, Desk, account, instrument, lax, strategy, tick

ALLOWED = []


def refused(desk):
    return desk.refused[-1] if desk.refused else ALLOWED


def first_refusal(desk):
    return plain(desk.rows("refusals")[0])


def plain(row):
    return dict(zip(row.dtype.names, row.tolist(), strict=True))


def buy(desk, quantity=10, price=100.0, at=1.0, **more):
    return desk.run(tick(price, at).buy(quantity, **more))


def test_an_order_within_every_limit_leaves():
    desk = buy(Desk())

    assert desk.refused == []
    assert desk.account("orders") == 1


@pytest.mark.parametrize(
    ("rule", "limits", "good", "bad"),
    [
        ("max_quantity", {"max_quantity": 10}, 10, 11),
        ("max_order_value", {"max_order_value": "1000"}, 10, 11),
        ("position_limit", {"max_position": 10}, 10, 11),
        ("gross_exposure", {"max_gross_exposure": "1000"}, 10, 11),
    ],
)
def test_a_limit_may_be_reached_and_not_passed(rule, limits, good, bad):
    assert refused(buy(Desk(limits=lax(**limits)), good)) == ALLOWED
    assert refused(buy(Desk(limits=lax(**limits)), bad)) == [rule]


def test_cash_covers_the_margin_of_everything_held_working_and_asked_for():
    limits = lax(margin_bps=2_000)

    assert refused(buy(Desk(limits=limits, capital="200"), 10)) == ALLOWED  # 20 % of 1 000
    assert refused(buy(Desk(limits=limits, capital="199.999999"), 10)) == ["cash"]


@pytest.mark.parametrize(
    ("price", "capital", "expected"),
    [(0.05, "0.01665", ALLOWED), (0.05, "0.016649", ["cash"]), (9_999_999.99, "3330000", ALLOWED),
     (9_999_999.99, "3329999.99667", ALLOWED), (9_999_999.99, "3329999.996669", ["cash"])],
)  # fmt: skip
def test_a_margin_is_exact_at_the_smallest_and_the_largest_price(price, capital, expected):
    """33.3 % of one share; what is left over beyond a micro-rupee is due as well."""
    desk = Desk([instrument(tick="0.01")], limits=lax(margin_bps=3_330), capital=capital)

    assert refused(buy(desk, 1, price)) == expected


def test_working_orders_count_as_exposure_before_they_fill():
    desk = Desk(limits=lax(max_gross_exposure="1500"))

    desk.run(tick(100.0, 1).buy(10).buy(10))

    assert desk.refused == [["gross_exposure"]]


def test_a_killed_account_refuses_even_exits():
    desk = Desk()
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2))
    desk.shard.kill("a")

    desk.run(tick(100.0, 3).sell(10))

    assert refused(desk) == ["kill_switch"]


def test_a_resumed_account_trades_again():
    desk = Desk()
    desk.shard.kill("a")
    desk.shard.kill("a", False)

    assert refused(buy(desk)) == ALLOWED


def test_real_money_needs_arming():
    real = account()
    desk = Desk(accounts=[real])
    desk.shard.limits["mode"] = 1

    assert refused(buy(desk, at=1)) == ["mode"]
    desk.shard.arm("a")
    buy(desk, at=2)
    assert desk.account("orders") == 1


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (-45 * 60 - 0.001, ["session"]),  # 09:14:59.999
        (-45 * 60, ALLOWED),  # 09:15:00
        (5.5 * 3600 - 0.001, ALLOWED),  # 15:29:59.999
        (5.5 * 3600, ["session"]),  # 15:30:00
    ],
)
def test_the_session_opens_at_a_quarter_past_nine_and_is_over_at_half_past_three(at, expected):
    assert refused(buy(Desk(), at=at, product="CNC")) == expected


SECOND_OF_MARCH = -795 * 86_400.0  # 2024-03-02, Saturday, ten o'clock: 09:15-10:00 and 11:30-12:30


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (-45 * 60 - 0.001, ["session"]),
        (-45 * 60, ALLOWED),
        (-0.001, ALLOWED),  # 09:59:59.999
        (0, ["session"]),  # 10:00:00
        (90 * 60 - 0.001, ["session"]),  # 11:29:59.999
        (90 * 60, ALLOWED),  # 11:30:00
        (150 * 60 - 0.001, ALLOWED),  # 12:29:59.999
        (150 * 60, ["session"]),  # 12:30:00
    ],
)
def test_a_session_of_two_parts_is_closed_between_them(at, expected):
    assert refused(buy(Desk(), at=SECOND_OF_MARCH + at, product="CNC")) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [(-3600, "09:15:00-10:00:00"), (60, "11:30:00-12:30:00"), (3 * 3600, "11:30:00-12:30:00")],
)
def test_a_refusal_outside_the_session_names_the_part_that_is_next_or_the_last(at, expected):
    desk = Desk()
    refusal = first_refusal(buy(desk, at=SECOND_OF_MARCH + at, product="CNC"))

    (reason,) = explain(refusal, plain(desk.shard.limits[0]), plain(desk.shard.instruments[0]))
    assert (reason.rule, reason.limit) == ("session", expected)


FIRST_AFTER, LAST = 240, 239  # 2027-01-01, Friday, the first day after the calendar; 2026-12-31, Thursday, its last
LAST_BEFORE, FIRST = -7796, -7793  # 2004-12-31, Friday; 2005-01-03, Monday, its first session


@pytest.mark.parametrize(
    ("days", "expected"), [(FIRST_AFTER, ["session"]), (LAST, ALLOWED), (LAST_BEFORE, ["session"]), (FIRST, ALLOWED)]
)
def test_a_day_that_the_calendar_does_not_know_has_no_session(days, expected):
    """09:55, where every day of the calendar trades."""
    assert refused(buy(Desk(), at=days * 86_400.0 - 300)) == expected


def test_the_table_is_not_read_beyond_its_ends():
    desk = Desk()
    for days in (LAST_BEFORE, FIRST, LAST, FIRST_AFTER, FIRST_AFTER + 400):
        desk.run(tick(100.0, days * 86_400.0))
        known = days in (FIRST, LAST)
        for field in ("opens", "closes", "cut_offs"):
            assert desk.shard.shard[0][field].any() == known, (days, field)


@pytest.mark.parametrize(("days", "expected"), [(-3232, ["session"]), (-3229, ALLOWED)])  # 2017-06-30, 2017-07-03
def test_a_day_before_the_charges_has_no_session_for_an_account_that_pays_them(days, expected):
    at = days * 86_400.0

    assert refused(buy(Desk(venue=PaperVenue(price="last")), at=at)) == expected
    assert refused(buy(Desk(), at=at)) == ALLOWED


@pytest.mark.parametrize(
    ("exchange", "days", "expected"),
    [
        ("BSE", -2836, ["instrument"]),  # 2018-07-31: BSE took ₹1.50 a trade, which no rate can say
        ("BSE", -2835, ALLOWED),
        ("NSE", -2836, ALLOWED),
    ],
)
def test_what_has_no_known_charges_is_not_tradable(exchange, days, expected):
    desk = Desk([instrument(exchange=exchange)], venue=PaperVenue(price="last"))

    assert refused(buy(desk, at=days * 86_400.0)) == expected


def test_an_instrument_is_tradable_again_from_the_day_on_which_its_charges_are_known():
    desk = Desk([instrument(exchange="BSE")], venue=PaperVenue(price="last"))
    buy(desk, at=-2836 * 86_400.0)
    buy(desk, at=-2835 * 86_400.0)

    assert (desk.refused, desk.account("orders")) == ([["instrument"]], 1)


def test_a_holiday_has_no_session():
    first_of_may = -5 * 86_400.0  # 2026-05-01, Maharashtra Day

    assert refused(buy(Desk(), at=first_of_may)) == ["session"]


def test_an_index_cannot_be_bought():
    assert refused(buy(Desk([instrument(kind="INDEX", tick="0")]))) == ["instrument"]


def test_a_disabled_instrument_cannot_be_bought():
    assert refused(buy(Desk([instrument(enabled=False)]))) == ["instrument"]


@pytest.mark.parametrize(
    ("quantity", "expected"), [(75, ALLOWED), (150, ALLOWED), (76, ["lot_multiple"]), (0, ["lot_multiple"])]
)
def test_derivatives_trade_in_whole_lots(quantity, expected):
    assert refused(buy(Desk([instrument(kind="FUT", exchange="NFO", lot=75)]), quantity)) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({"kind": "LIMIT", "limit": 100.05}, ALLOWED),
        ({"kind": "LIMIT", "limit": 100.06}, ["tick_multiple"]),
        ({"kind": "LIMIT"}, ["tick_multiple"]),
        ({"kind": "SL-M", "trigger": 100.5}, ALLOWED),
        ({"kind": "SL-M", "trigger": 100.51}, ["tick_multiple"]),
        ({"kind": "SL", "limit": 101.0}, ["tick_multiple"]),
        ({"kind": "SL", "limit": 101.0, "trigger": 100.5}, ALLOWED),
    ],
)
def test_prices_lie_on_the_tick_and_are_there_when_the_kind_needs_them(order, expected):
    assert refused(buy(Desk(), **order)) == expected


@pytest.mark.parametrize(
    ("last", "bps", "inside", "outside"),
    [
        (100.0, 200, (98.0, 102.0), (97.99, 102.01)),
        (100.0, 0, (100.0, 100.0), (99.99, 100.01)),
        (0.05, 2_000, (0.04, 0.06), (0.03, 0.07)),  # a paisa is a fifth of the price
        (33.33, 150, (32.84, 33.82), (32.83, 33.83)),  # 0.49995 rupees
        (99_999.0, 1, (99_989.01, 100_008.99), (99_989.0, 100_009.0)),  # 9.9999 rupees
        (9_900_000.0, 100, (9_801_000.0, 9_999_000.0), (9_800_999.99, 9_999_000.01)),
        (100.0, 10_000, (0.01, 200.0), (200.01,)),
    ],
)
def test_a_limit_price_may_be_as_far_from_the_last_price_as_the_bound_and_not_a_paisa_further(
    last, bps, inside, outside
):
    for limits, expected in ((inside, ALLOWED), (outside, ["price_deviation"])):
        for limit in limits:
            desk = Desk([instrument(tick="0.01")], limits=lax(max_price_deviation_bps=bps))
            assert refused(buy(desk, 1, last, kind="LIMIT", limit=limit)) == expected, limit


@pytest.mark.parametrize(("age_ms", "expected"), [(5_000, ALLOWED), (5_001, ["stale_price"])])
def test_a_price_may_be_as_old_as_the_limit_and_no_older(age_ms, expected):
    """A strategy trades S1 on a tick of S2, when S1 last ticked some seconds ago."""
    desk = Desk([instrument(1), instrument(2)], limits=lax(max_price_age_ms=5_000))

    desk.run(tick(100.0, 0), tick(50.0, age_ms / 1000, instrument=1).buy(1, instrument=0))

    assert refused(desk) == expected


def test_no_price_yet_is_no_basis_for_an_order():
    desk = Desk([instrument(1), instrument(2)])

    desk.run(tick(50.0, 0, instrument=1).buy(1, instrument=0))

    assert refused(desk) == ["stale_price", "no_price"]


def test_orders_per_second_are_counted_in_event_time():
    desk = Desk(limits=lax(max_orders_per_second=2))

    desk.run(tick(100.0, 1.0).buy(1).buy(1).buy(1), tick(100.0, 1.999).buy(1), tick(100.0, 2.0).buy(1))

    assert desk.refused == [["orders_per_second"], ["orders_per_second"]]
    assert desk.account("orders") == 3


def test_orders_per_day_begin_anew_the_next_day():
    desk = Desk(limits=lax(max_orders_per_day=1))

    desk.run(tick(100.0, 1).buy(1), tick(100.0, 2).buy(1), tick(100.0, 86_400).buy(1))

    assert desk.refused == [["orders_per_day"]]
    assert desk.account("orders") == 3  # the second one squares off what the first day bought: it is the broker's


def test_the_same_signal_again_within_the_window_is_a_duplicate_and_another_size_is_not():
    desk = Desk(limits=lax(duplicate_window_ms=2_000))

    desk.run(tick(100.0, 1).buy(1), tick(100.0, 2.999).buy(1), tick(100.0, 2.9995).buy(2), tick(100.0, 5).buy(2))

    assert desk.refused == [["duplicate_signal"]]


def test_losing_exactly_the_allowance_still_trades_and_one_paisa_more_halts_for_the_day():
    desk = Desk(limits=lax(max_daily_loss="100"))
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2))

    desk.run(tick(90.0, 3).buy(1))
    desk.run(tick(89.99, 4).buy(1), tick(120.0, 6).buy(1))

    assert desk.refused == [["daily_loss"], ["daily_loss"]]  # a later win does not undo the halt
    assert [int(a["code"]) for a in desk.rows("alerts")] == [1]


def holding(**limits):
    """Ten of S1 bought at 100; S2 has a price."""
    desk = Desk([instrument(1), instrument(2)], limits=lax(**limits))
    return desk.run(tick(50.0, 0.5, instrument=1), tick(100.0, 1).buy(10), tick(100.0, 2))


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(("rule", "limit"), [("daily_loss", "max_daily_loss"), ("drawdown", "max_drawdown")])
@pytest.mark.parametrize(("price", "expected"), [(90.0, False), (89.99, True)])
def test_an_account_that_has_lost_too_much_takes_no_new_exposure_on_either_side(side, rule, limit, price, expected):
    """A short is new exposure as a purchase is."""
    desk = holding(**{limit: "100"}).run(tick(price, 3))

    desk.run(getattr(tick(50.0, 3.5, instrument=1), side)(5))

    assert desk.refused == ([[rule]] if expected else [])


@pytest.mark.parametrize(
    ("rule", "limits"),
    [("position_limit", {"max_position": 10}), ("gross_exposure", {"max_gross_exposure": "1000"})],
)
def test_a_short_may_reach_a_limit_and_not_pass_it(rule, limits):
    for quantity, expected in ((10, ALLOWED), (11, [rule])):
        assert refused(Desk(limits=lax(**limits)).run(tick(100.0, 1).sell(quantity))) == expected


def test_a_second_that_ends_at_exactly_the_allowance_halts_nothing():
    desk = holding(max_daily_loss="100")

    desk.run(tick(90.0, 3), tick(95.0, 5).buy(1))
    assert (desk.refused, desk.account("halted"), len(desk.rows("alerts"))) == ([], 0, 0)

    desk.run(tick(90.0, 7), tick(89.9, 8), tick(95.0, 9).buy(1))
    assert (desk.refused, desk.account("halted"), len(desk.rows("alerts"))) == ([["daily_loss"]], 1, 1)


def test_a_halt_ends_with_the_day():
    desk = Desk(limits=lax(max_daily_loss="100"))
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(80.0, 3), tick(80.0, 4).buy(1))

    desk.run(tick(80.0, 86_400).buy(1))

    assert desk.refused == [["daily_loss"]]


def test_a_halted_account_may_still_get_out():
    desk = Desk(limits=lax(max_daily_loss="100", max_position=10, max_drawdown="50"))
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(80.0, 3))

    desk.run(tick(80.0, 4).sell(10), tick(80.0, 5))

    assert desk.refused == []
    assert desk.book("position") == 0


def test_falling_too_far_from_the_peak_refuses_new_exposure():
    desk = Desk(limits=lax(max_drawdown="100"))
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(120.0, 3), tick(120.0, 4))

    desk.run(tick(110.0, 5).buy(1), tick(109.99, 6).buy(2))

    assert desk.refused == [["drawdown"]]


def test_open_orders_are_limited():
    desk = Desk(limits=lax(max_open_orders=2))

    desk.run(tick(100.0, 1).buy(1, kind="LIMIT", limit=50.0).buy(2, kind="LIMIT", limit=50.0).buy(3))

    assert desk.refused == [["max_open_orders"]]


def test_a_full_pool_of_orders_refuses_even_exits():
    desk = Desk(limits=lax(max_open_orders=64))
    resting = tick(100.0, 1)
    for n in range(64):
        resting.buy(n + 1, kind="LIMIT", limit=50.0)

    desk.run(resting, tick(100.0, 2).sell(1))

    assert desk.refused == [["max_open_orders"]]


def test_a_reversal_is_no_exit():
    """Selling 11 of 10 crosses zero: it is judged as new exposure."""
    desk = Desk(limits=lax(max_position=10))
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2))
    desk.shard.accounts["halted"] = 1

    desk.run(tick(100.0, 3).sell(10), tick(100.0, 4))
    desk.run(tick(100.0, 5).buy(1))

    assert desk.refused == [["daily_loss"]]


def test_a_refusal_names_every_rule_that_failed():
    desk = Desk([instrument(kind="FUT", exchange="NFO", lot=75)], limits=lax(max_quantity=5, max_order_value="50"))
    desk.shard.kill("a")

    buy(desk, 10)

    assert refused(desk) == ["kill_switch", "lot_multiple", "max_quantity", "max_order_value"]


def test_every_refusal_says_limit_and_observed_value_in_words():
    desk = Desk(
        [instrument(tick="0.05")],
        limits=lax(max_quantity=5, max_order_value="50", max_price_deviation_bps=100, max_position=7),
    )
    desk.run(tick(100.0, 1).buy(10, kind="LIMIT", limit=110.01))
    refusal = first_refusal(desk)

    reasons = explain(refusal, plain(desk.shard.limits[0]), plain(desk.shard.instruments[0]))

    assert [tuple(r) for r in reasons] == [
        ("tick_multiple", "0.05", "limit 110.01 trigger 0.00"),
        ("max_quantity", "5", "10"),
        ("max_order_value", "50.00", "1100.10"),
        ("price_deviation", "100 bps", "1001 bps"),
        ("position_limit", "7", "10"),
    ]


def words(rule, desk, row=-1):
    """(limit, observed) of one rule of a refusal, as they are told."""
    reasons = explain(plain(desk.rows("refusals")[row]), plain(desk.shard.limits[0]), plain(desk.shard.instruments[0]))
    return next((limit, observed) for name, limit, observed in reasons if name == rule)


def test_what_counts_orders_counts_the_refused_one():
    desk = Desk(limits=lax(max_orders_per_second=2))
    desk.run(tick(100.0, 1).buy(1).buy(1).buy(1))
    assert words("orders_per_second", desk) == ("2", "3")

    desk = Desk(limits=lax(max_orders_per_day=1))
    desk.run(tick(100.0, 1).buy(1).buy(1))
    assert words("orders_per_day", desk) == ("1", "2")

    desk = Desk(limits=lax(max_open_orders=1))
    desk.run(tick(100.0, 1).buy(1).buy(1))
    assert words("max_open_orders", desk) == ("1", "2")


def test_the_exposure_that_is_told_counts_what_is_held_what_works_and_what_is_asked_for():
    """1 000 rupees held, 900 working, 500 asked for."""
    desk = Desk(limits=lax(max_gross_exposure="2399.99", margin_bps=2_000), capital="100000")
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(100.0, 3).buy(10, kind="LIMIT", limit=90.0))

    desk.run(tick(100.0, 4).buy(5))

    assert words("gross_exposure", desk) == ("2399.99", "2400.00")


def test_the_cash_that_is_told_to_be_needed_counts_what_works():
    desk = Desk(limits=lax(margin_bps=2_000), capital="479.99")
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(100.0, 3).buy(10, kind="LIMIT", limit=90.0))

    desk.run(tick(100.0, 4).buy(5))

    assert "480.00" in words("cash", desk)


def test_a_refusal_for_want_of_a_slot_says_so():
    desk = Desk(limits=lax(max_open_orders=64))
    resting = tick(100.0, 1)
    for n in range(64):
        resting.buy(n + 1, kind="LIMIT", limit=50.0)
    desk.run(resting, tick(100.0, 2).sell(1))

    assert words("max_open_orders", desk) == ("64", "65")
    desk.shard.limits["max_open_orders"] = 100
    assert words("max_open_orders", desk) == ("a free place in the shard", "none free")


def test_an_account_that_has_won_its_loss_back_is_told_to_be_halted():
    desk = Desk(limits=lax(max_daily_loss="100"))
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(80.0, 3), tick(120.0, 5).buy(1))

    assert words("daily_loss", desk) == ("100.00", "halted for today")


def test_an_age_is_told_to_the_nanosecond_and_a_deviation_to_the_hundredth_of_a_basis_point():
    desk = Desk([instrument(1), instrument(2)], limits=lax(max_price_age_ms=5_000))
    desk.run(tick(100.0, 0), tick(50.0, 5.0000001, instrument=1).buy(1, instrument=0))
    assert words("stale_price", desk) == ("5000 ms", "5000.0001 ms")

    desk = Desk([instrument(tick="0.05")], limits=lax(max_price_deviation_bps=200))
    desk.run(tick(99_999.95, 1).buy(1, kind="LIMIT", limit=101_999.95))
    assert words("price_deviation", desk) == ("200 bps", "200.01 bps")


def test_every_rule_has_words():
    desk = Desk()
    buy(desk, 0)
    refusal = first_refusal(desk)
    refusal["mask"] = (1 << len(RULES)) - 1

    assert [r.rule for r in explain(refusal, plain(desk.shard.limits[0]), plain(desk.shard.instruments[0]))] == list(
        RULES
    )


def test_a_quantity_beyond_counting_is_refused_not_wrapped():
    desk = Desk(accounts=[account(limits=lax(max_order_value="100000000"), venue=FREE)])

    desk.run(tick(9_999_999.0, 1).buy(2**62))

    assert "max_order_value" in refused(desk)
    assert np.array_equal(desk.shard.accounts["committed"], [0])


def test_accounts_of_one_strategy_answer_each_by_its_own_limits():
    desk = Desk(
        accounts=[account("a", limits=lax(max_quantity=5)), account("b")], strategies=[strategy(accounts=["a", "b"])]
    )

    desk.run(tick(100.0, 1).buy(10))

    assert desk.refused == [["max_quantity"]]
    assert (desk.account("orders", 0), desk.account("orders", 1)) == (0, 1)
