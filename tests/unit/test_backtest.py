"""Backtest: the pipeline's own steps over a recording; batches never show, what was dropped is counted."""

from datetime import date

import numpy as np
import pytest

from dataflows.backtest import Outcome, dates, run
from functions.codec import decode
from functions.events import PaperVenue
from functions.ids import tick_id
from functions.ticks import DEPTH
from strategies.protocol import Signal, StrategyError
from tests.desk import FREE, LAX, TEN, account, instrument, lax, strategy, tick, tick_rows
from tests.market import walk

HERE = __name__
TOKENS = [11, 22, 33]
INSTRUMENTS = [instrument(t) for t in TOKENS]
TRADER = account("a", limits=lax(max_position=30, max_orders_per_second=9), venue=PaperVenue(slippage_bps="1"))
STRATEGIES = [
    strategy("fade", TOKENS, implementation="mean_reversion", parameters={"quantity": 3}),
    strategy("follow", TOKENS[:2], parameters={"quantity": 2}),
]
DAY_OF_TICKS = walk(900, 3, 0.002, 4, step_ns=100_000_000)


class Script:
    """Buys ten at 101, sells ten at 102, has no answer to 13."""

    def on_tick(self, tick):
        if tick.price == 13.0:
            raise LookupError("not in the script")
        return {101.0: 10, 102.0: -10}.get(tick.price)


class Waits:
    """Asks once to buy far below the market."""

    def __init__(self):
        self.asked = False

    def on_tick(self, tick):
        if self.asked:
            return 0
        self.asked = True
        return Signal(1, "LIMIT", limit=100.0)


def scripted(*ticks, limits=LAX, venue=FREE, **more):
    plan = [strategy("s", (1,), implementation=f"{HERE}:Script")]
    return run(tick_rows(ticks), [instrument(1)], account("a", limits=limits, venue=venue), plan, **more)


def test_a_round_trip_shows_its_profit():
    outcome = scripted(tick(101.0, 1), tick(101.5, 2), tick(102.0, 3), tick(103.0, 4))

    summary = outcome.summary()
    for name in ("deciding_s", "deciding_ticks_per_s"):
        assert summary.pop(name) >= 0
    assert summary == {
        "limited_by": None, "unfilled_by_reason": {},
        "first_date": "2026-05-06", "last_date": "2026-05-06", "ticks": 4, "dropped": {}, "signals": 2, "rejected": 0,
        "rejected_by_rule": {}, "orders": 2, "fills": 2,
        "squared_off": 0, "squared_off_at_last_price": 0, "delivery_sold_on_the_day": 0, "capital": "1000000.00",
        "realised": "15.00", "unrealised": "0.00", "charges": "0.00", "net_pnl": "15.00", "equity": "1000015.00",
        "peak_equity": "1000015.00", "max_drawdown": "0.00", "gross_exposure": "0.00", "max_gross_exposure": "1020.00",
        "positions": [],
    }  # fmt: skip


def test_an_open_position_is_shown_with_its_average_price_and_marked():
    summary = scripted(tick(101.0, 1), tick(101.5, 2), tick(103.0, 3)).summary()

    assert summary["positions"] == [{"strategy": "s", "symbol": "S1", "quantity": 10, "average_price": "101.50"}]
    assert (summary["unrealised"], summary["net_pnl"]) == ("15.00", "15.00")
    assert (summary["gross_exposure"], summary["max_gross_exposure"]) == ("1030.00", "1030.00")


def worth(*prices):
    """Peak equity, deepest fall from it, exposure at its highest and at the end, of ten shares bought at 101.5."""
    bought = [tick(101.0, 1), tick(101.5, 2)]
    summary = scripted(*bought, *(tick(price, 3 + n) for n, price in enumerate(prices))).summary()
    return [summary[name] for name in ("peak_equity", "max_drawdown", "max_gross_exposure", "gross_exposure")]


def test_a_fall_is_counted_from_the_highest_equity_and_is_not_undone_by_a_rise():
    assert worth(104.0, 98.0, 103.0) == ["1000025.00", "60.00", "1040.00", "1030.00"]


def test_a_rise_or_a_fall_at_the_very_end_counts():
    assert worth(104.0, 97.5) == ["1000025.00", "65.00", "1040.00", "975.00"]
    assert worth(98.0, 106.0) == ["1000045.00", "35.00", "1060.00", "1060.00"]


def test_between_the_ends_of_two_seconds_nobody_looks():
    bought = [tick(101.0, 1), tick(101.5, 2)]

    summary = scripted(*bought, tick(98.0, 3.2), tick(102.0, 3.4), tick(102.0, 5)).summary()

    assert (summary["max_drawdown"], summary["max_gross_exposure"]) == ("0.00", "1020.00")


@pytest.mark.compiled
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_what_an_account_held_and_lost_does_not_depend_on_the_batches(batch):
    plan = (DAY_OF_TICKS, INSTRUMENTS, TRADER, STRATEGIES)

    summary, whole = run(*plan, batch=batch).summary(), run(*plan).summary()

    for name in ("deciding_s", "deciding_ticks_per_s"):
        del summary[name], whole[name]
    assert summary == whole
    assert float(whole["max_gross_exposure"]) > float(whole["gross_exposure"]) > 0


def test_refusals_are_counted_by_rule():
    outcome = scripted(
        tick(101.0, 1), tick(101.0, 2), tick(102.0, 3), limits=lax(max_quantity=9, max_order_value="500")
    )

    assert outcome.refusals == {"max_quantity": 3, "max_order_value": 3}
    assert outcome.summary()["rejected"] == 3
    assert len(outcome.fills) == 0


@pytest.mark.parametrize("batch", [1, 100])
def test_the_limit_that_refused_more_than_half_is_told_since_when(batch):
    bought = [tick(101.0, n) for n in range(1, 6)]

    summary = scripted(*bought, limits=lax(max_position=20), batch=batch).summary()

    since = "2026-05-06T04:30:03.000000Z"
    assert summary["limited_by"] == {"limit": "max_position", "value": "20", "since": since, "refused": 3}
    assert scripted(*bought[:4], limits=lax(max_position=20), batch=batch).summary()["limited_by"] is None


def test_an_order_that_waited_in_vain_is_counted_by_its_reason():
    plan = [strategy("s", (1,), implementation=f"{HERE}:Waits")]
    day = tick_rows([tick(101.0, 1), tick(101.0, 6.5 * 3600)])

    outcome = run(day, [instrument(1)], account("a", limits=LAX, venue=FREE), plan)

    assert (outcome.failures, outcome.unfilled) == ([], {"square_off": 1})


def test_what_the_gate_drops_is_counted_by_its_first_reason_and_decides_nothing():
    outcome = scripted(
        tick(100.0, 1), tick(100.0, 1), tick(-101.0, 0.5), tick(101.0, 0.7), tick(101.0, 2), tick(101.0, 3), batch=2
    )

    assert outcome.dropped == {"duplicate": 1, "bad_price": 1, "time_backwards": 1}
    assert (outcome.ticks, outcome.signals) == (6, 2)


def test_a_strategy_that_raises_is_named_and_the_test_goes_on():
    outcome = scripted(tick(13.0, 1), tick(101.0, 2), tick(101.5, 3))

    assert [(f.strategy, f.error, f.message) for f in outcome.failures] == [("s", "LookupError", "not in the script")]
    assert len(outcome.fills) == 1


def test_a_recording_of_nothing_decides_nothing():
    outcome = scripted()

    assert (outcome.ticks, len(outcome.fills), outcome.refusals) == (0, 0, {})
    summary = outcome.summary()
    assert (summary["net_pnl"], summary["equity"], summary["max_drawdown"]) == ("0.00", "1000000.00", "0.00")
    assert (summary["first_date"], summary["last_date"]) == (None, None)


def test_before_it_ran_it_has_no_speed():
    assert Outcome(scripted().shard).summary()["deciding_ticks_per_s"] == 0


@pytest.mark.compiled
@pytest.mark.parametrize("batch", [1, 7, 899, 900, 10_000])
def test_the_size_of_a_batch_changes_no_byte_of_any_event(batch):
    published = []

    outcome = run(DAY_OF_TICKS, INSTRUMENTS, TRADER, STRATEGIES, batch=batch, on_events=published.extend)

    assert published == WHOLE
    assert outcome.signals > 150
    assert len(outcome.fills) > 100


def whole():
    published = []
    run(DAY_OF_TICKS, INSTRUMENTS, TRADER, STRATEGIES, on_events=published.extend)
    return published


WHOLE = whole()


@pytest.mark.compiled
def test_making_the_events_changes_no_decision():
    quiet, told = (
        run(DAY_OF_TICKS, INSTRUMENTS, TRADER, STRATEGIES, on_events=on_events)
        for on_events in (None, lambda events: None)
    )

    assert quiet.fills.tobytes() == told.fills.tobytes()


def test_the_recording_is_left_as_it_was():
    ticks = DAY_OF_TICKS.copy()
    ticks["price"][5] = -1

    before = ticks.tobytes()
    run(ticks, INSTRUMENTS, TRADER, STRATEGIES)

    assert ticks.tobytes() == before


def test_a_signal_is_caused_by_the_tick_as_a_feed_of_the_same_file_names_it():
    """Ordinals count the ticks of one instrument at one instant, dropped ones included."""
    published = []
    ticks = [tick(100.0, 1), tick(-5.0, 1), tick(101.0, 1), tick(101.0, 2)]

    scripted(*ticks, on_events=published.extend)

    causes = [decode(raw).causation_id for topic, _, raw, _ in published if topic == "paper.signals.raw"]
    assert causes == [tick_id(1, TEN + 10**9, 2), tick_id(1, TEN + 2 * 10**9, 0)]


def test_with_levels_a_venue_walks_them_and_dropped_ticks_take_theirs_with_them():
    ticks = [tick(101.0, 1), tick(-1.0, 1.5), tick(101.5, 2)]
    levels = np.zeros(3, DEPTH)
    levels["ask"][1], levels["ask_quantity"][1] = 1_000_000, 10  # of the dropped tick: nobody may trade here
    levels["ask"][2, :2], levels["ask_quantity"][2, :2] = [101_500_000, 101_550_000], [4, 9]

    outcome = scripted(*ticks, levels=levels, venue=PaperVenue(walk_depth=True, charges=False))

    assert outcome.fills[["price", "quantity"]].tolist() == [(101_500_000, 4), (101_550_000, 6)]


@pytest.mark.compiled
def test_levels_follow_their_ticks_through_any_batches():
    levels = np.zeros(len(DAY_OF_TICKS), DEPTH)
    for n in range(5):
        levels["ask"][:, n] = np.rint(DAY_OF_TICKS["ask"] * 20 + n) * 50_000
        levels["bid"][:, n] = np.rint(DAY_OF_TICKS["bid"] * 20 - n) * 50_000
    levels["ask_quantity"] = levels["bid_quantity"] = 1
    walker = account("a", limits=LAX, venue=PaperVenue(walk_depth=True))

    whole, pieces = (
        run(DAY_OF_TICKS, INSTRUMENTS, walker, STRATEGIES, levels=levels, batch=batch) for batch in (10_000, 133)
    )

    names = [name for name in whole.fills.dtype.names or () if name != "row"]
    assert whole.fills[names].tolist() == pieces.fills[names].tolist()
    assert whole.fills["nth"].max() == 2


def test_a_configuration_that_cannot_run_is_refused():
    with pytest.raises(StrategyError, match="strategy s: unknown strategy 'nothing'"):
        run(DAY_OF_TICKS, INSTRUMENTS, TRADER, [strategy("s", TOKENS, implementation="nothing")])
    with pytest.raises(ValueError, match="account 'b' is not one of a"):
        run(DAY_OF_TICKS, INSTRUMENTS, TRADER, [strategy("s", TOKENS, ["b"])])


def test_a_recordings_dates_are_those_of_india():
    midnight_in_india = int(np.datetime64("2026-05-06T18:30", "ns").astype(np.int64))
    ticks = tick_rows([tick(1.0), tick(1.0)])
    ticks["time"] = [midnight_in_india - 1, midnight_in_india]

    assert dates(ticks) == (date(2026, 5, 6), date(2026, 5, 7))
    assert dates(ticks[:0]) is None
