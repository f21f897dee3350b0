"""Closing time for every history: neither batches nor clocks nor restarts change what ends, when, or its ids."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.events import PaperVenue
from functions.handover import hand_over
from functions.kernel import COMPILED
from functions.orders import TOLD_FAILED
from functions.portfolio import ACCOUNT_LEVEL
from functions.publication import Publisher
from functions.shard import Shard
from functions.ticks import CLOCK, TICK
from tests.desk import SECOND, TEN, account, instrument, lax, strategy, tick_name
from tests.effort import examples
from tests.market import orders_for, walk
from tests.tables import TABLES

TOKENS = [1, 2, 3]
CONFIGS = [instrument(1), instrument(2, kind="FUT", exchange="NFO"), instrument(3, closing_auction=True)]
EDGES = (5 * 3600 + 20 * 60, 5 * 3600 + 25 * 60, 5.5 * 3600, 86_400)  # cut-offs, close, and the next day
EXAMPLES = 40 if COMPILED else 4


def make_shard() -> Shard:
    telling = PaperVenue(price="last", charges=False, square_off="tell")
    accounts = [
        account("a", limits=lax(max_open_orders=20), venue=PaperVenue(latency_ms=700, charges=False)),
        account("b", limits=lax(max_open_orders=20), venue=telling),
        account(
            "c", limits=lax(max_open_orders=30, max_daily_loss="400"), venue=PaperVenue(slippage_bps="2", charges=False)
        ),
    ]
    plan = [strategy("s0", TOKENS, ["a", "b", "c"]), strategy("s1", TOKENS, ["c"], product="CNC")]
    return Shard(CONFIGS, accounts, plan, TABLES, buffer=32)


def history():
    """Ticks around every edge of the day, some seconds apart, and orders of all kinds and products for them."""
    parts = []
    for n, edge in enumerate((60.0, *EDGES)):
        part = walk(120, len(TOKENS), 0.0008, n, step_ns=170_000_000, start=TEN + int((edge - 10) * SECOND))
        parts.append(part)
    ticks = np.concatenate(parts)
    silent = (
        (ticks["instrument"] == 1) & (ticks["time"] > TEN + EDGES[1] * SECOND) & (ticks["time"] < TEN + 40_000 * SECOND)
    )
    ticks = ticks[~silent]  # the future meets no print after its cut-off
    return ticks, orders_for(ticks, 500, 2, 9)


TICKS, SIGNALS = history()
COUNT = len(TICKS)


def clocked(ticks, signals):
    """The same with a clock at every second that the market's has, up to the close and over the night."""
    seconds = np.arange(int(TICKS["time"][0]) // SECOND + 1, int(TICKS["time"][-1]) // SECOND + 1) * SECOND
    seconds = seconds[np.isin(seconds // SECOND % 7, [0, 3]) | np.isin(seconds, [TEN + int(e) * SECOND for e in EDGES])]
    clocks = np.zeros(len(seconds), TICK)
    clocks["time"], clocks["instrument"] = seconds, CLOCK
    both = np.concatenate([ticks, clocks])
    order = np.lexsort((both["instrument"] >= 0, both["time"]))
    moved = signals.copy()
    moved["row"] = np.flatnonzero(both[order]["instrument"] >= 0)[signals["row"]]
    return both[order], moved


def events(ticks, signals, cuts, *, restart=False, handover=False) -> list[bytes]:
    """Everything told, in order, for these cuts."""
    shard = make_shard()
    publisher = Publisher(shard, "paper")
    names = np.cumsum(ticks["instrument"] >= 0) - 1  # a tick's name does not depend on the clocks before it
    found = []
    for first, last in zip([0, *cuts], [*cuts, len(ticks)], strict=True):
        mine = signals[(signals["row"] >= first) & (signals["row"] < last)].copy()
        mine["row"] -= first
        decided = shard.run(ticks[first:last], mine)
        named = lambda row, first=first: tick_name(int(names[first + row]))  # noqa: E731
        found += [value for _, _, value, _ in publisher.publish(ticks[first:last], mine, decided, named)]
        if restart or handover:
            again = make_shard()
            if restart:
                again.load(shard.to_bytes())
            else:
                hand_over(shard, again)
            names_of = Publisher(again, "paper")
            names_of.load(publisher.to_bytes())
            shard, publisher = again, names_of
    return found


WHOLE = events(TICKS, SIGNALS, [])


def test_the_history_is_worth_folding():
    shard = make_shard()
    decided = shard.run(TICKS, SIGNALS.copy())

    failed = decided.orders[decided.orders["told"] & TOLD_FAILED > 0]
    assert {4, 3} <= set(failed["reason"].tolist())  # square_off and session_end
    assert set(decided.alerts["code"].tolist()) >= {2, 3, 4}
    assert (decided.fills["row"] == -1).any()
    of_c = shard.books["subscription"][: int(shard.shard["booked"][0])] > 0
    assert len(decided.fills) > 100
    assert of_c.any()


@settings(max_examples=examples(EXAMPLES), deadline=None)
@given(st.lists(st.integers(0, COUNT), max_size=20), st.booleans(), st.booleans())
def test_any_split_tells_the_same(cuts, restart, handover):
    assert events(TICKS, SIGNALS, sorted(cuts), restart=restart, handover=handover and not restart) == WHOLE


def test_one_tick_at_a_time_tells_the_same():
    assert events(TICKS, SIGNALS, list(range(1, COUNT))) == WHOLE


@settings(max_examples=examples(EXAMPLES // 4), deadline=None)
@given(st.lists(st.integers(0, COUNT), max_size=8))
def test_clocks_tell_nothing_new_and_nothing_else(cuts):
    """They tell earlier that time has come, not that it had come at another time."""
    ticks, signals = clocked(TICKS, SIGNALS)

    assert events(ticks, signals, sorted(cuts)) == WHOLE


def test_nothing_intraday_is_left_over_night_where_the_venue_closes_it():
    shard = make_shard()
    one_day = TICKS[TICKS["time"] < TEN + 86_000 * SECOND]
    shard.run(one_day, SIGNALS[SIGNALS["row"] < len(one_day)].copy())
    night = np.zeros(1, TICK)
    night["time"], night["instrument"] = TEN + 50_000 * SECOND, CLOCK
    shard.run(night)

    books = shard.books[: int(shard.shard["booked"][0])]
    owner = shard.subscriptions["account"][books["subscription"]]
    closes = shard.venues["square_off"][owner] == 1
    assert not books["intraday"][closes].any()
    assert books["intraday"][~closes].any()
    assert shard.working() == []
    assert not books["working"].any()
    assert not books["delivering"].any()
    assert not books["closing"].any()
    assert not shard.accounts["committed"].any()


def test_what_books_hold_by_product_adds_up_from_the_fills():
    shard = make_shard()
    fills = shard.run(TICKS, SIGNALS.copy()).fills

    for b, book in enumerate(shard.books[: int(shard.shard["booked"][0])]):
        mine = fills[fills["book"] == b]
        signed = mine["side"].astype(np.int64) * mine["quantity"]
        assert book["position"] == signed.sum()
        assert book["intraday"] == signed[mine["product"] == 0].sum()
        assert book["delivery"] == signed[mine["product"] == 1].sum()
    assert ACCOUNT_LEVEL == 0
