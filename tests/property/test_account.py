"""What holds for every history of the account: batches never show, nothing is lost, compiled is plain."""

import hashlib
import os
import subprocess
import sys
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.events import PaperVenue
from functions.handover import hand_over
from functions.publication import Publisher
from functions.shard import Shard
from functions.ticks import CLOCK, TICK
from strategies.roster import Roster
from tests.desk import account, instrument, lax, strategy, tick_name
from tests.effort import examples
from tests.market import orders_for, walk
from tests.oracle import Oracle
from tests.tables import TABLES

COUNT, INSTRUMENTS = 3_000, 7
TOKENS = list(range(1, INSTRUMENTS + 1))
TIGHT = lax(
    max_position=15, max_orders_per_second=6, duplicate_window_ms=40, max_daily_loss="300", max_gross_exposure="120000",
    max_open_orders=30, margin_bps=2_000, max_price_age_ms=5_000,
)  # fmt: skip

REAL = PaperVenue(slippage_bps="3", slippage_per_share="0.01", latency_ms=12)


def make_shard() -> Shard:
    instruments = [instrument(t) for t in TOKENS]
    accounts = [account("a", limits=TIGHT, venue=REAL), account("b", limits=lax(max_position=40), venue=PaperVenue())]
    strategies = [strategy("s0", TOKENS, ["a", "b"]), strategy("s1", TOKENS, ["b"], product="CNC")]
    return Shard(instruments, accounts, strategies, TABLES, buffer=32)


def history():
    ticks = walk(COUNT, INSTRUMENTS, 0.0008, 3, step_ns=7_000_000)
    ticks["time"][COUNT // 2 :] += 86_400 * 10**9 - 3 * 3600 * 10**9  # the second half is another day
    return ticks, orders_for(ticks, 2_500, 2, 5)


TICKS, SIGNALS = history()


def fold(cuts: list[int], *, restart: bool = False, handover: bool = False) -> tuple[bytes, bytes]:
    """(all events in order, the final state) for these cuts; `restart` goes through a blob, `handover` to another shard."""
    shard = make_shard()
    publisher = Publisher(shard, "paper")
    events = hashlib.sha256()
    for first, last in zip([0, *cuts], [*cuts, COUNT], strict=True):
        mine = SIGNALS[(SIGNALS["row"] >= first) & (SIGNALS["row"] < last)].copy()
        mine["row"] -= first
        decided = shard.run(TICKS[first:last], mine)
        for event in publisher.publish(
            TICKS[first:last], mine, decided, lambda row, first=first: tick_name(first + row)
        ):
            events.update(repr(event).encode())
        if restart or handover:
            again = make_shard()
            if restart:
                again.load(shard.to_bytes())
            else:
                hand_over(shard, again)
            names = Publisher(again, "paper")
            names.load(publisher.to_bytes())
            shard, publisher = again, names
    return events.digest(), b"".join(shard.snapshot()[name].tobytes() for name in Shard.STATE)


WHOLE = fold([])


def test_the_history_is_worth_folding():
    shard = make_shard()
    decided = shard.run(TICKS, SIGNALS.copy())

    assert min(len(decided.fills), len(decided.refusals), len(decided.snapshots)) > 100
    assert {int(k) for k in np.unique(decided.orders["reason"])} == {0, 3, 4}  # ended with MIS or with the session


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.integers(0, COUNT), max_size=30), st.booleans())
def test_any_split_into_batches_gives_the_same_events_and_state(cuts, restart):
    assert fold(sorted(cuts), restart=restart) == WHOLE


def test_one_tick_at_a_time_gives_the_same_events_and_state():
    assert fold(list(range(1, COUNT))) == WHOLE


@settings(max_examples=examples(12), deadline=None)
@given(st.sets(st.integers(1, COUNT - 1), max_size=12))
def test_a_handover_to_a_shard_of_the_same_configuration_shows_in_no_event(cuts):
    events, _ = fold(sorted(cuts), handover=True)

    assert events == WHOLE[0]


def test_clocks_between_the_ticks_change_no_event():
    """Time passing is noticed earlier, but what happened at which boundary is the same."""
    plain, clocked = make_shard(), make_shard()
    seconds = np.unique(TICKS["time"] // 10**9)[1:] * 10**9
    clocks = np.zeros(len(seconds), TICK)
    clocks["time"], clocks["instrument"] = seconds, CLOCK
    both = np.concatenate([TICKS, clocks])
    order = np.lexsort((both["instrument"] >= 0, both["time"]))  # a clock comes before the ticks of its instant
    merged = both[order]
    where = np.flatnonzero(merged["instrument"] >= 0)
    signals = SIGNALS.copy()
    signals["row"] = where[signals["row"]]

    a, b = plain.run(TICKS, SIGNALS.copy()), clocked.run(merged, signals)

    for name in ("fills", "snapshots", "alerts"):
        ignore = ["row"] if name == "fills" else []
        x, y = getattr(a, name).copy(), getattr(b, name).copy()
        for field in ignore:
            x[field] = y[field] = 0
        assert x.tobytes() == y.tobytes(), name
    assert len(a.refusals) == len(b.refusals)


def test_every_signal_is_answered_exactly_once_by_every_account_that_follows_it():
    shard = make_shard()
    decided = shard.run(TICKS, SIGNALS.copy())

    subscribers = shard.strategies["count"]
    expected = np.repeat(np.arange(len(SIGNALS)), subscribers[SIGNALS["strategy"]])
    submitted = decided.orders[(decided.orders["told"] & 1 > 0) & (decided.orders["signal"] >= 0)]
    answered = np.sort(np.concatenate([submitted["signal"], decided.refusals["signal"]]))
    assert np.array_equal(answered, expected)


def test_cash_and_quantity_are_conserved():
    shard = make_shard()
    decided = shard.run(TICKS, SIGNALS.copy())
    fills = decided.fills

    for a in range(2):
        mine = fills[shard.subscriptions["account"][fills["subscription"]] == a]
        signed = mine["side"].astype(np.int64) * mine["quantity"]
        account = shard.accounts[a]
        assert account["cash"] == account["capital"] - int((signed * mine["price"]).sum()) - int(mine["charges"].sum())
    for s in range(len(shard.subscriptions)):
        for i in range(INSTRUMENTS):
            mine = fills[(fills["subscription"] == s) & (fills["instrument"] == i)]
            position = int((mine["side"].astype(np.int64) * mine["quantity"]).sum())
            b = shard.book_index[s, i]
            assert position == (shard.books["position"][b] if b >= 0 else 0)


def test_ordered_quantity_is_filled_ended_or_still_working():
    shard = make_shard()
    decided = shard.run(TICKS, SIGNALS.copy())

    submitted = int(decided.orders["quantity"][decided.orders["told"] & 1 > 0].sum())
    ended = int(decided.orders["quantity"][decided.orders["told"] & 8 > 0].sum())
    working = int(np.abs(shard.books["working"]).sum()), int(shard.accounts["working"].sum())
    left = sum(int(shard.orders[slot]["left"]) for slot in _working_slots(shard))
    assert submitted == int(decided.fills["quantity"].sum()) + ended + left
    assert working[1] == len(_working_slots(shard))


def _working_slots(shard: Shard) -> list[int]:
    slots = []
    for row in shard.instruments:
        slot = int(row["working"])
        while slot >= 0:
            slots.append(slot)
            slot = int(shard.orders[slot]["next"])
    return slots


def test_unrealised_profit_and_exposure_equal_a_recount():
    shard = make_shard()
    shard.run(TICKS, SIGNALS.copy())
    books = shard.books[: int(shard.shard["booked"][0])]
    last = shard.instruments["last"][books["instrument"]]
    owner = shard.subscriptions["account"][books["subscription"]]

    for a in range(2):
        mine = owner == a
        assert shard.accounts["unrealised"][a] == (books["position"] * last - books["cost"])[mine].sum()
        assert shard.accounts["gross"][a] == (np.abs(books["position"]) * last)[mine].sum()


DIGEST = """
from tests.property.test_account import WHOLE
print(WHOLE[0].hex(), __import__("hashlib").sha256(WHOLE[1]).hexdigest())
"""


@pytest.mark.timeout(600)
def test_the_compiled_account_is_the_plain_python_account_byte_for_byte():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", DIGEST], env={**os.environ, "NUMBA_DISABLE_JIT": switch}, capture_output=True, text=True,
            check=True,
        ).stdout
        for switch in ("0", "1")
    ]  # fmt: skip

    assert outputs[0] == outputs[1]


@settings(max_examples=examples(15), deadline=None)
@given(seed=st.integers(0, 10**6), sigma=st.sampled_from([0.0003, 0.0008, 0.002]), instruments=st.integers(1, 12))
def test_fills_and_money_equal_an_independent_account_to_the_micro_rupee(seed, sigma, instruments):
    ticks = walk(2_000, instruments, sigma, seed)
    tokens = list(range(1, instruments + 1))
    configs = [instrument(t) for t in tokens]
    following = strategy("m", tokens, parameters={"quantity": 1})
    roster = Roster(configs, [following])
    shard = Shard(configs, [account(limits=lax(max_position=10), venue=PaperVenue(price="last"))], [following], TABLES)
    oracle = Oracle(date(2026, 5, 6))

    signals, _ = roster.on_batch(ticks)
    fills = shard.run(ticks, signals).fills
    for n, (i, price) in enumerate(zip(ticks["instrument"].tolist(), ticks["price"].tolist(), strict=True)):
        oracle.tick(n, i, price)

    names = ["row", "instrument", "side", "quantity", "price", "charges", "realised", "position"]
    engine = [(r, i, side * q, p, c, g, at) for r, i, side, q, p, c, g, at in fills[names].tolist()]
    assert engine == oracle.fills
    totals = [int(shard.accounts[f][0]) for f in ("signals", "rejected", "realised", "charges", "unrealised")]
    assert totals == [oracle.signals, oracle.refused, oracle.realised, oracle.charges, oracle.unrealised]
