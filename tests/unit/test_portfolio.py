"""Books and money: average cost, realised and unrealised profit, cash and snapshots, to the micro-rupee."""

from functions.events import PaperVenue
from functions.money import rupees
from functions.portfolio import ACCOUNT_LEVEL, POSITION_LEVEL, STRATEGY_LEVEL
from functions.press import average_price
from tests.desk import RUPEE, Desk, account, clock, instrument, lax, strategy, tick


def trade(desk, *steps):
    """Each (signed quantity, price): the signal on one tick, its fill on the next at that price."""
    for n, (quantity, price) in enumerate(steps):
        first = tick(price, 10 * n + 1)
        first = first.buy(quantity) if quantity > 0 else first.sell(-quantity)
        desk.run(first, tick(price, 10 * n + 2))
    return desk


def test_a_round_trip_realises_the_difference_and_leaves_no_cost():
    desk = trade(Desk(), (10, 100.0), (-10, 103.0))

    assert (desk.book("position"), desk.book("cost")) == (0, 0)
    assert desk.account("realised") == 30 * RUPEE
    assert desk.account("cash") == 1_000_030 * RUPEE
    assert (desk.account("unrealised"), desk.account("gross")) == (0, 0)


def test_buying_more_averages_the_cost():
    desk = trade(Desk(), (10, 100.0), (20, 106.0))

    assert average_price(desk.book("cost"), desk.book("position")) == 104 * RUPEE


def test_closing_a_part_releases_its_share_of_the_cost():
    desk = trade(Desk(), (30, 104.0), (-10, 110.0))

    assert (desk.book("position"), desk.book("cost")) == (20, 2_080 * RUPEE)
    assert desk.account("realised") == 60 * RUPEE


def test_a_short_sale_adds_cash_and_gains_when_the_price_falls():
    desk = trade(Desk(), (-10, 100.0))

    assert desk.account("cash") == 1_001_000 * RUPEE
    desk.run(tick(95.0, 30))
    assert desk.account("unrealised") == 50 * RUPEE


def test_crossing_zero_closes_the_old_side_and_opens_the_new_at_the_trade_price():
    desk = trade(Desk(), (10, 100.0), (-25, 90.0))

    assert (desk.book("position"), desk.book("cost")) == (-15, -1_350 * RUPEE)
    assert desk.account("realised") == -100 * RUPEE


def test_thirds_of_a_price_leave_nothing_behind_when_flat():
    """Three shares at an average no decimal can hold, sold one by one: cost ends at zero, money is exact."""
    desk = trade(Desk(), (1, 100.05), (2, 100.1), (-1, 100.15), (-1, 100.2), (-1, 100.25))

    assert desk.book("cost") == 0
    spent, got = 100_050_000 + 200_200_000, 100_150_000 + 100_200_000 + 100_250_000
    assert desk.account("realised") == got - spent
    assert desk.account("cash") == 1_000_000 * RUPEE + got - spent


def test_gross_exposure_follows_the_last_price_on_both_sides():
    desk = Desk([instrument(1), instrument(2)])
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(50.0, 3, instrument=1).sell(4), tick(50.0, 4, instrument=1))

    desk.run(tick(110.0, 5), tick(60.0, 6, instrument=1))

    assert desk.account("gross") == (10 * 110 + 4 * 60) * RUPEE
    assert desk.account("unrealised") == (10 * 10 - 4 * 10) * RUPEE


def test_equity_is_capital_and_profit_and_never_depends_on_how_cash_is_tied_up():
    desk = trade(Desk(), (10, 100.0), (5, 110.0), (-7, 120.0))
    desk.run(tick(125.0, 60))

    cash, position = desk.account("cash"), desk.book("position")
    equity = sum(desk.account(f) for f in ("capital", "realised", "unrealised")) - desk.account("charges")
    assert equity == cash + position * 125 * RUPEE


def test_charges_reduce_cash_and_net_profit():
    desk = Desk(accounts=[account(venue=PaperVenue(price="last"), limits=lax())])
    trade(desk, (100, 1000.0), (-100, 1010.0))

    assert rupees(desk.account("charges")) == "82.96857"  # 30.3405820 + 52.6279878, rounded per order
    assert desk.account("cash") == 1_000_000 * RUPEE + 1_000 * RUPEE - desk.account("charges")


def test_two_strategies_keep_their_own_books_in_one_account():
    desk = Desk(strategies=[strategy("fade"), strategy("follow")])

    desk.run(tick(100.0, 1).buy(10, strategy=0).sell(4, strategy=1), tick(100.0, 2), tick(101.0, 3))

    assert (desk.book("position", s=0), desk.book("position", s=1)) == (10, -4)
    assert desk.shard.subscriptions["unrealised"].tolist() == [10 * RUPEE, -4 * RUPEE]
    assert desk.account("unrealised") == 6 * RUPEE


def snapshot_rows(desk):
    return [
        (int(r["level"]), int(r["time"]) // 10**9 % 60, int(r["unrealised"]) // RUPEE) for r in desk.rows("snapshots")
    ]


def test_a_snapshot_is_taken_at_the_end_of_every_second_that_changed_with_the_prices_of_that_boundary():
    desk = Desk()
    desk.run(tick(100.0, 1.0).buy(10), tick(100.0, 1.5), tick(102.0, 1.9), tick(105.0, 2.1), clock(5.0))

    levels = [(int(ACCOUNT_LEVEL), int(STRATEGY_LEVEL), int(POSITION_LEVEL))[n] for n in (0, 1, 2)]
    assert [(level, second) for level, second, _ in snapshot_rows(desk)] == [
        (levels[0], 2), (levels[1], 2), (levels[2], 2), (levels[0], 3), (levels[1], 3), (levels[2], 3),
    ]  # fmt: skip
    assert [money for level, _, money in snapshot_rows(desk) if level == ACCOUNT_LEVEL] == [20, 50]


def test_accounts_that_have_sold_newest_first_are_told_of_no_price_any_more():
    names = ["a", "b", "c"]
    desk = Desk(
        accounts=[account(name) for name in names], strategies=[strategy(name, accounts=[name]) for name in names]
    )
    entry = tick(100.0, 1)
    for n in range(3):
        entry.buy(1, strategy=n)
    desk.run(entry, tick(100.0, 2), tick(100.0, 3).sell(1, strategy=2), tick(100.0, 4))
    desk.run(tick(100.0, 5).sell(1, strategy=1), tick(100.0, 6), clock(8))

    desk.run(tick(101.0, 10), clock(12))

    assert desk.told[-1].snapshots["account"].tolist() == [0, 0, 0]  # its row, its strategy's and its position's


def test_a_second_without_change_has_no_snapshot():
    desk = Desk()
    desk.run(tick(100.0, 1).buy(10), tick(100.0, 2), tick(100.0, 3), tick(100.0, 4), tick(100.0, 5))

    seconds = {int(r["time"]) // 10**9 % 60 for r in desk.rows("snapshots")}
    assert seconds == {2, 3}  # the order, then the fill; the quiet seconds after them tell nothing


def test_closing_two_of_three_releases_two_thirds_of_the_cost_rounded_down_once():
    """300.05 rupees for three: 200.033333 for two, and not twice 100.016666."""
    desk = Desk()
    trade(desk, (2, 100.0), (1, 100.05), (-2, 101.0))

    assert desk.book("cost") == 100_016_667
    assert desk.account("realised") == 202_000_000 - 200_033_333


def test_covering_two_of_three_releases_two_thirds_of_a_short_ones_cost():
    desk = Desk()
    trade(desk, (-2, 100.0), (-1, 100.05), (2, 99.0))

    assert desk.account("realised") + desk.account("unrealised") == 3 * 100_000_000 + 50_000 - 3 * 99_000_000
    assert abs(desk.book("cost") + 100_016_667) <= 1


def test_a_rebuild_knows_the_highest_equity_and_the_deepest_fall():
    """A hundred won, then fifty of it lost."""
    desk = Desk()
    trade(desk, (10, 100.0), (-10, 110.0), (10, 110.0), (-10, 105.0))
    again = Desk()

    again.shard.rebuild(desk.rows("fills"))

    assert (again.account("peak"), again.account("max_drawdown")) == (1_000_100 * RUPEE, 50 * RUPEE)
    assert (desk.account("peak"), desk.account("max_drawdown")) == (1_000_100 * RUPEE, 50 * RUPEE)


def test_books_and_money_are_rebuilt_from_the_fills_alone():
    desk = Desk(accounts=[account(venue=PaperVenue(), limits=lax())])
    trade(desk, (10, 100.0), (-4, 101.0), (-16, 99.0), (3, 98.5))
    again = Desk(accounts=[account(venue=PaperVenue(), limits=lax())])

    again.shard.rebuild(desk.rows("fills"))

    for name in ("realised", "charges", "cash", "unrealised", "gross"):
        assert again.account(name) == desk.account(name), name
    assert (again.book("position"), again.book("cost")) == (desk.book("position"), desk.book("cost"))
