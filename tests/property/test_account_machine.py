"""The account as a machine of rules: whatever happens in whatever order, money and orders add up, and no restart shows.

Two shards live through the same history: one folds it as it comes in whole pieces and is never stopped, the other folds it
cut anywhere and is put away and restored. A third account, in plain Python, adds up what they say that has been traded.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from functions.alerts import ILLEGAL_TRANSITION
from functions.events import PaperVenue
from functions.handover import hand_over, obstacles
from functions.kernel import COMPILED
from functions.orders import (
    ACKNOWLEDGE,
    FAIL,
    FAILED,
    FILL_ALL,
    FILL_PART,
    FILLED,
    ILLEGAL,
    NEW,
    PLACE,
    SUBMIT,
    TOLD_ACK,
    TOLD_FAILED,
    TOLD_PLACED,
    TOLD_SUBMITTED,
    TRANSITIONS,
)
from functions.risk import RULES, explain
from functions.shard import Decisions, Shard
from functions.signals import SIGNAL
from functions.ticks import CLOCK, NO_DEPTH, TICK
from tests.desk import SECOND, TEN, account, instrument, lax, strategy
from tests.effort import examples
from tests.tables import TABLES

TOKENS = [1, 2, 3]
DAY = 86_400 * SECOND
VENUES = (PaperVenue(), PaperVenue(price="last", latency_ms=300), PaperVenue(slippage_bps="3", partial_fills=False))
LIMITS = (
    lax(max_open_orders=6), lax(max_position=15, max_open_orders=4, max_orders_per_second=3, duplicate_window_ms=300),
    lax(max_open_orders=6, max_daily_loss="30", max_gross_exposure="20000", margin_bps=2_000),
)  # fmt: skip


@dataclass
class Trader:
    """What plain Python knows of one order."""

    quantity: int
    left: int
    state: int = int(NEW)


class Accounts(RuleBasedStateMachine):
    """Random ticks, signals, commands, days, changes of configuration, restarts, and cuts at any place."""

    @initialize(limits=st.sampled_from(LIMITS), venue=st.sampled_from(VENUES))
    def begin(self, limits, venue):
        self.limits, self.venue, self.names = {"a": limits, "b": LIMITS[0]}, venue, ["a", "b"]
        self.whole, self.cut = self.made(), self.made()
        self.now = TEN
        self.prices = [100.0, 250.0, 40.0]
        self.ticks: list[Any] = []
        self.signals: list[Any] = []
        self.cash = dict.fromkeys(self.names, 10**6 * 10**6)
        self.books: dict[tuple[str, str, int], tuple[int, int]] = defaultdict(lambda: (0, 0))  # position, cost
        self.charges: dict[str, int] = defaultdict(int)
        self.realised: dict[str, int] = defaultdict(int)
        self.orders: dict[int, Trader] = {}

    def made(self) -> Shard:
        accounts = [account(name, limits=self.limits[name], venue=self.venue) for name in self.names]
        strategies = [strategy("s", TOKENS, self.names), strategy("t", TOKENS[:2], self.names[-1:], product="CNC")]
        return Shard([instrument(token) for token in TOKENS], accounts, strategies, TABLES, buffer=16)

    # --- what the market does -----------------------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 2), step=st.integers(-60, 60), after_ms=st.sampled_from([0, 1, 40, 300, 999, 1_000, 2_500]),
        shown=st.integers(0, 20),
    )  # fmt: skip
    def tick(self, which, step, after_ms, shown):
        self.now += after_ms * 1_000_000
        price = self.prices[which] = round(max(self.prices[which] + 0.05 * step, 1.0), 2)
        bid, ask = round(price - 0.05, 2), round(price + 0.05, 2)
        row = (self.now, price, bid, ask, shown, shown, len(self.ticks), 0, which, 0)
        self.ticks.append(row)

    @rule(seconds=st.integers(0, 90))
    def clock(self, seconds):
        self.now += seconds * SECOND
        self.ticks.append((self.now, 0.0, 0.0, 0.0, 0, 0, 0, 0, int(CLOCK), 0))

    @rule(days=st.integers(1, 3))
    def a_new_day(self, days):
        self.now += days * DAY
        self.clock(0)

    @precondition(lambda self: self.ticks and self.ticks[-1][8] >= 0)
    @rule(
        quantity=st.integers(0, 12), side=st.sampled_from([-1, 1]), kind=st.integers(0, 3), by=st.integers(0, 1),
        limit=st.integers(-6, 6), trigger=st.integers(-6, 6), product=st.integers(-1, 1),
    )  # fmt: skip
    def signal(self, quantity, side, kind, by, limit, trigger, product):
        which = self.ticks[-1][8]
        at = len(self.ticks) - 1
        paise = round(self.prices[which] * 20) * 50_000
        self.signals.append(
            (
                at, quantity, paise + limit * 50_000 if kind in (1, 2) else 0, paise + trigger * 50_000 if kind >= 2 else 0,
                0, by if which < 2 else 0, which, side, kind, product, 0, 0, 0,
            )
        )  # fmt: skip

    # --- what people do -----------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from("ab"), killed=st.booleans())
    def kill_or_resume(self, name, killed):
        self.fold(cuts=[])
        for shard in (self.whole, self.cut):
            shard.kill(name, killed)

    @rule(name=st.sampled_from("ab"), armed=st.booleans())
    def arm_or_disarm(self, name, armed):
        self.fold(cuts=[])
        for shard in (self.whole, self.cut):
            shard.arm(name, armed)

    @rule(limits=st.sampled_from(LIMITS), more=st.booleans())
    def another_configuration(self, limits, more):
        """An account's limits change, or an account joins: both shards hand over, if nothing would lose its place."""
        self.fold(cuts=[])
        before = dict(self.limits), list(self.names)
        self.limits["a"] = limits
        if more and "c" not in self.names:
            self.names.append("c")
            self.limits["c"] = LIMITS[0]
        made = [self.made(), self.made()]
        if obstacles(self.whole, made[0]):
            self.limits, self.names = before
            return
        for old, new in zip((self.whole, self.cut), made, strict=True):
            hand_over(old, new)
        self.whole, self.cut = made
        self.cash.setdefault(self.names[-1], 10**6 * 10**6)

    @rule()
    def restart(self):
        again = self.made()
        again.load(self.cut.to_bytes())
        self.cut = again

    @rule(name=st.sampled_from("st"))
    def cancel(self, name):
        self.fold(cuts=[])
        told = [shard.cancel(name) for shard in (self.whole, self.cut)]
        assert told[0].orders.tobytes() == told[1].orders.tobytes()
        self.enter(told[0])

    # --- the fold -----------------------------------------------------------------------------------------------------

    @rule(cuts=st.lists(st.floats(0, 1), max_size=4), restart=st.booleans())
    def fold(self, cuts, restart=False):
        ticks = np.array(self.ticks, TICK)
        ordered = sorted(self.signals, key=lambda s: (s[0], s[5]))
        signals = np.array(ordered, SIGNAL)
        for n in range(1, len(signals)):
            same = tuple(signals[n][["row", "strategy"]]) == tuple(signals[n - 1][["row", "strategy"]])
            signals["nth"][n] = signals["nth"][n - 1] + 1 if same else 0
        whole = self.whole.run(ticks, signals.copy())
        pieces: list[Decisions] = []
        edges = sorted({0, len(ticks), *(round(at * len(ticks)) for at in cuts)})
        for first, last in pairwise(edges):
            mine = signals[(signals["row"] >= first) & (signals["row"] < last)].copy()
            mine["row"] -= first
            pieces.append(self.cut.run(ticks[first:last], mine, NO_DEPTH))
            if restart:
                self.restart()
        if pieces:
            for name, field in (("orders", "told"), ("fills", "price"), ("refusals", "mask"), ("snapshots", "equity")):
                parts = [getattr(piece, name)[["ordinal", field]].tolist() for piece in pieces]
                assert [row for part in parts for row in part] == getattr(whole, name)[["ordinal", field]].tolist()
        self.ticks, self.signals = [], []
        self.enter(whole)

    def enter(self, decided: Decisions) -> None:
        """What has been told, into the books of plain Python, in the order in which it was told."""
        rows = [(int(row["ordinal"]), self.entered_order, row) for row in decided.orders]
        rows += [(int(row["ordinal"]), self.entered_fill, row) for row in decided.fills]
        for _, enter, row in sorted(rows, key=lambda each: each[0]):
            enter(row)
        for row in decided.refusals:
            self.explained(row)
        assert not (decided.alerts["code"] == ILLEGAL_TRANSITION).any()

    def moved(self, order: Trader, event: int) -> None:
        after = int(TRANSITIONS[order.state, event])
        assert after != ILLEGAL, (order, event)
        order.state = after

    def entered_order(self, row) -> None:
        number, told = int(row["number"]), int(row["told"])
        if told & TOLD_SUBMITTED:
            assert number not in self.orders
            assert row["quantity"] > 0
            self.orders[number] = Trader(int(row["quantity"]), int(row["quantity"]))
        order = self.orders[number]
        for bit, event in (
            (TOLD_SUBMITTED, SUBMIT), (TOLD_ACK, ACKNOWLEDGE), (TOLD_PLACED, PLACE), (TOLD_FAILED, FAIL),
        ):  # fmt: skip
            if told & bit:
                self.moved(order, int(event))
        assert row["quantity"] == order.left

    def entered_fill(self, row) -> None:
        order = self.orders[int(row["number"])]
        quantity, signed = int(row["quantity"]), int(row["side"] * row["quantity"])
        assert 0 < quantity <= order.left
        order.left -= quantity
        assert row["left"] == order.left
        self.moved(order, int(FILL_PART if order.left else FILL_ALL))
        name, by = self.whole.subscription_names[row["subscription"]]
        at = name, by, int(row["instrument"])
        price, charges = int(row["price"]), int(row["charges"])
        realised, self.books[at] = traded(self.books[at], signed, price)
        assert (row["realised"], row["position"], row["cost"]) == (realised, *self.books[at])
        self.cash[name] -= signed * price + charges
        self.charges[name] += charges
        self.realised[name] += realised

    def explained(self, row) -> None:
        shard = self.whole
        owner = shard.subscriptions["account"][row["subscription"]]
        facts = [
            dict(zip(each.dtype.names, each.tolist(), strict=True))
            for each in (row, shard.limits[owner], shard.instruments[row["instrument"]])
        ]
        reasons = explain(*facts)
        assert reasons
        assert all(reason.rule in RULES and reason.limit and reason.observed for reason in reasons)

    # --- what holds ---------------------------------------------------------------------------------------------------

    @invariant()
    def the_restored_shard_is_the_one_that_never_stopped(self):
        for name in Shard.STATE:
            assert getattr(self.cut, name).tobytes() == getattr(self.whole, name).tobytes(), name

    @invariant()
    def money_is_conserved(self):
        shard = self.whole
        for n, name in enumerate(shard.account_names):
            row = shard.accounts[n]
            mine = {at: book for at, book in self.books.items() if at[0] == name}
            last = [int(price) for price in shard.instruments["last"]]
            worth = sum(position * last[at[2]] for at, (position, _) in mine.items())
            cost = sum(cost for _, cost in mine.values())
            assert row["cash"] == self.cash[name]
            assert (row["charges"], row["realised"]) == (self.charges[name], self.realised[name])
            assert row["unrealised"] == worth - cost
            assert self.cash[name] + cost == row["capital"] + self.realised[name] - self.charges[name]
            equity = row["capital"] + row["realised"] + row["unrealised"] - row["charges"]
            assert equity == self.cash[name] + worth  # cash and positions at the last prices

    @invariant()
    def what_works_is_what_is_counted(self):
        shard = self.whole
        open_orders = {n: o for n, o in self.orders.items() if o.state not in (FILLED, FAILED)}
        assert sorted(shard.working()) == sorted(open_orders)
        slots = [n for n in range(len(shard.orders)) if int(shard.orders["number"][n]) in open_orders]
        rows = [row for row in shard.orders[slots] if row["left"] == open_orders[int(row["number"])].left]
        counted: dict[int, int] = defaultdict(int)
        committed: dict[int, int] = defaultdict(int)
        held: dict[int, int] = defaultdict(int)
        for row in {int(row["number"]): row for row in rows}.values():
            owner = int(shard.subscriptions["account"][row["subscription"]])
            counted[owner] += 1
            committed[owner] += int(row["left"]) * int(row["reserved"])
            held[int(row["book"])] += int(row["side"]) * int(row["left"])
            assert 0 < row["left"] <= row["quantity"]
        for n in range(len(shard.accounts)):
            assert (shard.accounts["working"][n], shard.accounts["committed"][n]) == (counted[n], committed[n])
        for b in range(int(shard.shard["booked"][0])):
            assert shard.books["working"][b] == held[b]

    def teardown(self):
        if hasattr(self, "ticks"):
            self.fold(cuts=[0.5])
            self.money_is_conserved()


def traded(book: tuple[int, int], signed: int, price: int) -> tuple[int, tuple[int, int]]:
    """(realised, the book after): closing releases cost in proportion, all of it when flat."""
    position, cost = book
    if position * signed >= 0:
        return 0, (position + signed, cost + signed * price)
    closed = min(abs(signed), abs(position))
    direction = 1 if position > 0 else -1
    released = cost if closed == abs(position) else cost * closed // abs(position)
    opened = signed + direction * closed
    return direction * closed * price - released, (position + signed, cost - released + opened * price)


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=examples(30 if COMPILED else 3), stateful_step_count=40, deadline=None)
