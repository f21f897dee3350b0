"""A shard: configuration as arrays, batches in, fresh rows out, and state that can be carried elsewhere."""

import numpy as np
import pytest

from functions.calendar_text import read_calendar
from functions.charges_text import read_charges
from functions.events import PaperVenue, Sizing, StrategyConfig
from functions.market_tables import MarketTables
from functions.shard import NO_DECISIONS, Decisions, Shard, StateMismatch, venue_row
from functions.signals import NO_SIGNALS
from functions.ticks import NO_TICKS
from tests.desk import LAX, TEN, Desk, account, instrument, signal_rows, strategy, tick, tick_rows
from tests.tables import TABLES

TOKENS = [11, 22]


def shard(*, accounts=("b", "a"), strategies=None, instruments=None, **more):
    return Shard(
        instruments or [instrument(t) for t in TOKENS],
        [account(name) for name in accounts],
        strategies or [strategy("z", TOKENS, ["b", "a"]), strategy("m", TOKENS, ["a"])],
        more.pop("tables", TABLES),
        **more,
    )


# --- configuration ----------------------------------------------------------------------------------------------------


def test_accounts_and_strategies_stand_in_the_order_of_their_names_and_instruments_as_given():
    made = shard(instruments=[instrument(22), instrument(11)])

    assert made.account_names == ["a", "b"]
    assert made.strategy_names == ["m", "z"]
    assert made.subscription_names == [("a", "m"), ("a", "z"), ("b", "z")]
    assert (made.tokens, made.index_of) == ([22, 11], {22: 0, 11: 1})


def test_a_signal_is_answered_by_every_account_that_follows_in_the_order_of_their_names():
    made = shard()

    decided = made.run(tick_rows([tick(100.0)]), signal_rows([tick(100.0).buy(1, strategy=1)]))

    assert [made.subscription_names[s] for s in decided.orders["subscription"]] == [("a", "z"), ("b", "z")]


def test_a_strategy_that_no_account_follows_is_heard_and_answered_by_nobody():
    made = shard(strategies=[strategy("m", TOKENS, []), strategy("z", TOKENS, ["a"])])

    decided = made.run(tick_rows([tick(100.0)]), signal_rows([tick(100.0).buy(1, strategy=0).buy(2, strategy=1)]))

    assert decided.orders["quantity"].tolist() == [2]


def test_a_strategy_that_names_an_account_the_shard_does_not_hold_is_refused():
    with pytest.raises(ValueError, match="account 'c' is not one of a, b"):
        shard(strategies=[strategy("m", TOKENS, ["c"])])
    with pytest.raises(ValueError, match="account 'c' is not one of none"):
        Shard([instrument(1)], [], [strategy("m", [1], ["c"])], TABLES)


def test_accounts_of_one_shard_are_all_charged_or_none():
    with pytest.raises(ValueError, match="accounts of one shard are either all charged or none"):
        Shard([instrument(1)], [account("a"), account("b", venue=PaperVenue())], [], TABLES)


def test_a_shard_without_accounts_or_instruments_decides_nothing():
    made = Shard([], [], [], TABLES)

    assert made.run(tick_rows([tick(100.0, instrument=-2)])) == NO_DECISIONS


def test_a_venue_is_read_to_the_last_decimal():
    venue = PaperVenue("last", "1.5", "0.05", 25, 40, False, True)

    assert venue_row(venue) == (0, 150, 50_000, 25, 40_000_000, 0, 1, 1, 59_000_000)
    assert venue_row(PaperVenue(charges=False, square_off="tell")) == (1, 0, 0, 0, 0, 1, 0, 0, 0)


@pytest.mark.parametrize("amount", ["", "1,5", "1e3", "0.1234567", "-", "½"])
def test_an_amount_that_is_none_is_refused(amount):
    with pytest.raises(ValueError, match="not an amount in rupees"):
        venue_row(PaperVenue(slippage_bps=amount))
    with pytest.raises(ValueError, match="not an amount in rupees"):
        shard(strategies=[StrategyConfig("m", "momentum", {}, TOKENS, ["a"], sizing=Sizing("units", amount))])


# --- batches ----------------------------------------------------------------------------------------------------------


def test_no_ticks_decide_nothing():
    assert shard().run(NO_TICKS) is NO_DECISIONS


def test_a_tick_that_changes_nothing_decides_nothing():
    decided = shard().run(tick_rows([tick(100.0)]), NO_SIGNALS)

    assert decided is NO_DECISIONS
    assert not decided.any


def test_what_was_told_stays_when_the_next_batch_is_folded():
    desk = Desk()
    first = desk.run(tick(100.0, 1).buy(5), tick(101.0, 2)).told[0].fills
    copy = first.copy()

    desk.run(tick(102.0, 3).sell(5), tick(103.0, 4))

    assert first.tobytes() == copy.tobytes()


def test_the_ordinal_runs_through_everything_that_is_told():
    desk = Desk()
    for n in range(4):
        desk.run(tick(100.0 + n, n).buy(5), tick(101.0 + n, n + 0.5).buy(2_000_000))

    ordinals = sorted(o for name in Decisions._fields for o in desk.rows(name)["ordinal"].tolist())

    assert ordinals == list(range(1, len(ordinals) + 1))
    assert len(ordinals) > 12


def test_the_last_price_is_written_into_each_signal():
    made, t = shard(), tick(100.05).buy(1, strategy=0).buy(1, strategy=0, instrument=1)
    signals = signal_rows([t])

    made.run(tick_rows([t]), signals)

    assert signals["price"].tolist() == [100_050_000, 0]  # the other instrument has no price yet


def test_an_output_that_fills_up_in_the_middle_of_a_batch_loses_nothing():
    ticks = [tick(100.0 + 0.05 * (n % 7), 0.01 * n).buy(1).sell(2_000_000) for n in range(400)]
    small, large = (Desk() for _ in range(2))
    large.shard = Shard([instrument()], [account(limits=LAX)], [strategy()], TABLES, buffer=1 << 16)

    small.run(*ticks)
    large.run(*ticks)

    for name in Decisions._fields:
        assert small.rows(name).tobytes() == large.rows(name).tobytes(), name
    assert len(small.rows("refusals")) == 400


def test_a_strategy_that_fires_three_hundred_signals_at_one_tick_gets_as_many_answers():
    t = tick(100.0, 1)
    for _ in range(300):
        t.buy(2_000_000)
    signals = signal_rows([t])
    signals["nth"] = np.arange(300)
    made = shard(strategies=[strategy("m", TOKENS, ["a", "b"])], buffer=64)

    decided = made.run(tick_rows([t]), signals)

    assert len(decided.refusals) == 600
    assert decided.refusals["signal"].tolist() == [j for j in range(300) for _ in range(2)]


def test_event_time_never_goes_back():
    desk = Desk().run(tick(100.0, 5), tick(101.0, 4.5).buy(1), tick(101.0, 6))

    assert desk.rows("orders")["time"].tolist() == [TEN + 5 * 10**9]


# --- commands ---------------------------------------------------------------------------------------------------------


def test_a_command_reaches_the_account_it_names():
    made = shard()

    made.kill("b")
    made.arm("a")

    assert made.accounts["killed"].tolist() == [0, 1]
    assert made.accounts["armed"].tolist() == [1, 0]
    made.kill("b", False)
    made.arm("a", False)
    assert not made.accounts[["killed", "armed"]].tolist()[0][1]
    with pytest.raises(ValueError, match="account 'x' is not one of a, b"):
        made.kill("x")


def test_an_account_configured_as_killed_begins_killed():
    desk = Desk(accounts=[account(killed=True)]).run(tick(100.0, 1).buy(1))

    assert desk.refused == [["kill_switch"]]


# --- state ------------------------------------------------------------------------------------------------------------


def busy():
    """A desk with positions, working orders and a killed account."""
    desk = Desk([instrument(1), instrument(2)], [account("a"), account("b")], [strategy("s", (1, 2), ("a", "b"))])
    desk.run(
        tick(100.0, 1).buy(10), tick(101.0, 2).buy(3, kind="LIMIT", limit=90.0), tick(55.0, 2.5, instrument=1).sell(4)
    )
    desk.run(tick(56.0, 3, instrument=1))
    desk.shard.kill("b")
    return desk


def rest(desk):
    desk.told.clear()
    desk.run(tick(89.0, 4).sell(13), tick(88.0, 5), tick(57.0, 6, instrument=1).buy(4), tick(57.0, 7, instrument=1))
    return [desk.rows(name).tobytes() for name in Decisions._fields]


def test_state_carried_as_a_blob_goes_on_to_the_byte():
    first = busy()
    again = Desk([instrument(1), instrument(2)], [account("a"), account("b")], [strategy("s", (1, 2), ("a", "b"))])

    again.shard.load(first.shard.to_bytes())

    assert rest(again) == rest(first)
    assert again.shard.to_bytes() == first.shard.to_bytes()


def test_a_snapshot_is_a_copy():
    desk = busy()
    state = desk.shard.snapshot()
    before = {name: array.copy() for name, array in state.items()}

    rest(desk)

    assert all(state[name].tobytes() == before[name].tobytes() for name in state)
    assert set(state) == set(Shard.STATE)


def test_a_snapshot_can_be_taken_back_into_the_same_shard():
    desk = busy()
    state = desk.shard.snapshot()
    expected = rest(desk)

    desk.shard.restore(state)

    assert rest(desk) == expected


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"accounts": ("a", "c"), "strategies": [strategy("m", TOKENS, ["a"])]}, "accounts"),
        ({"instruments": [instrument(11), instrument(33)]}, "tokens"),
        ({"strategies": [strategy("m", TOKENS, ["a"])]}, "subscriptions"),
    ],
)
def test_a_snapshot_of_other_accounts_instruments_or_strategies_is_refused(other, what):
    with pytest.raises(StateMismatch, match=f"snapshot has {what} .*, this shard"):
        shard(**other).load(shard().to_bytes())


def test_a_snapshot_of_another_layout_is_refused():
    state = shard().snapshot()
    state["books"] = state["books"][:-1]

    with pytest.raises(StateMismatch, match=r"books: snapshot has \(5,\) rows of another layout, this shard \(6,\)"):
        shard().restore(state)


def test_books_and_money_are_rebuilt_from_the_recorded_fills_alone():
    desk = Desk([instrument(1), instrument(2)], strategies=[strategy("s", (1, 2))])
    desk.run(
        tick(100.0, 1).buy(10), tick(101.0, 2).sell(15), tick(55.0, 3, instrument=1).buy(7), tick(102.0, 4).buy(5),
        tick(56.0, 5, instrument=1), tick(103.0, 6),
    )  # fmt: skip
    again = Desk([instrument(1), instrument(2)], strategies=[strategy("s", (1, 2))])

    again.shard.rebuild(desk.rows("fills"))

    for name in ("cash", "realised", "charges", "fills"):
        assert again.account(name) == desk.account(name), name
    assert [again.book("position", 0, i) for i in (0, 1)] == [desk.book("position", 0, i) for i in (0, 1)] == [0, 7]
    assert [again.book("cost", 0, i) for i in (0, 1)] == [desk.book("cost", 0, i) for i in (0, 1)]


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_state_finds_its_day_in_other_tables():
    """A calendar with a year more and charges of one day alone: rows and versions lie elsewhere, the day is the same."""
    text = (
        b'[2004.holidays]\n01-26 = "a"\n[[hours]]\nfrom = 2004-01-01\nshares = "10:00-11:00"\n'
        b'auction_shares = "10:00-11:00"\nderivatives = "10:00-11:00"\n'
        b'mis = { shares = "10:50", auction_shares = "10:50", derivatives = "10:50" }\n'
    )
    longer = read_calendar(text, TABLES.calendar)
    tariff = TABLES.tariff.as_of(TABLES.tariff.first_date)
    old = shard(accounts=("a",), strategies=[strategy("m", TOKENS, ["a"])])
    old.run(tick_rows([tick(100.0)]))
    new = shard(
        accounts=("a",), strategies=[strategy("m", TOKENS, ["a"])], tables=MarketTables(longer, tariff, "another")
    )

    new.load(old.to_bytes())

    assert (old.shard["rates"][0], new.shard["rates"][0]) == (0, 0)  # both trade free of charges
    for field in ("opens", "closes", "cut_offs"):
        assert (new.shard[field] == old.shard[field]).all()
        assert new.shard[field].any()


def test_a_state_takes_its_rates_from_the_tables_of_now():
    charged = account("a", venue=PaperVenue(price="last"))
    old = Shard([instrument(11)], [charged], [strategy("m", [11], ["a"])], TABLES)
    old.run(tick_rows([tick(100.0)]))
    as_of = TABLES.tariff.as_of(TABLES.tariff.first_date)
    new = Shard([instrument(11)], [charged], [strategy("m", [11], ["a"])], TABLES._replace(tariff=as_of))

    new.load(old.to_bytes())

    assert (int(old.shard["rates"][0]), int(new.shard["rates"][0])) == (len(TABLES.tariff.versions) - 1, 0)


def test_a_state_of_a_day_that_the_tables_do_not_know_has_no_session():
    old, new = shard(), shard()
    old.run(tick_rows([tick(100.0)]))
    for day in (-1, new.tables.calendar.first_day - 1, new.tables.calendar.first_day + new.tables.calendar.days, 10**9):
        state = old.snapshot()
        state["shard"]["day"] = day
        new.restore(state)
        assert day == -1 or not new.shard["closes"].any()


def test_what_has_no_known_charges_stays_untradable_over_a_restart():
    configs, at = [instrument(11, exchange="BSE"), instrument(22)], -2836 * 86_400.0  # 2018-07-31
    charged = account("a", venue=PaperVenue(price="last"))
    old = Shard(configs, [charged], [strategy("m", TOKENS, ["a"])], TABLES)
    old.run(tick_rows([tick(100.0, at)]))
    new = Shard(configs, [charged], [strategy("m", TOKENS, ["a"])], TABLES)

    new.load(old.to_bytes())

    assert old.shard["unknown"][0] == new.shard["unknown"][0] == 0b1111_0000  # all of BSE
    assert (new.instruments["segments"] & new.shard["unknown"][0] != 0).tolist() == [True, False]


@pytest.mark.parametrize(("at", "version"), [(-35 * 86_400.0, -1), (-36 * 86_400.0, -2)])  # 2026-04-01, 2026-03-31
def test_a_rate_holds_from_its_first_day_on_after_a_restart_too(at, version):
    charged = account("a", venue=PaperVenue(price="last"))
    old, new = (Shard([instrument(11)], [charged], [strategy("m", [11], ["a"])], TABLES) for _ in range(2))
    old.run(tick_rows([tick(100.0, at)]))

    new.load(old.to_bytes())

    assert old.shard["rates"][0] == new.shard["rates"][0] == len(TABLES.tariff.versions) + version


@pytest.mark.parametrize("unknown", ["delivery", "intraday"])
def test_a_share_whose_delivery_or_day_trade_has_no_known_charges_is_not_tradable(unknown):
    """The product is chosen with each order, so both must be known."""
    text = f'[[rates]]\nitem = "sebi"\nfrom = 2026-05-06\n{unknown} = "unknown"\n'
    tables = TABLES._replace(tariff=read_charges(text.encode(), TABLES.tariff))
    configs = [instrument(11), instrument(22, kind="FUT", exchange="NFO")]
    made = Shard(configs, [account("a", venue=PaperVenue(price="last"))], [strategy("m", TOKENS, ["a"])], tables)

    made.run(tick_rows([tick(100.0)]))

    assert (made.instruments["segments"] & made.shard["unknown"][0] != 0).tolist() == [True, False]


@pytest.mark.parametrize("classes", [-1, 8])
def test_a_state_that_squares_off_a_class_that_is_none_is_refused(classes):
    shard = Desk().shard
    state = shard.snapshot()
    state["shard"]["squaring"] = classes

    with pytest.raises(StateMismatch, match="squared off"):
        shard.restore(state)
