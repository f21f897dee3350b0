"""The account: one fold over everything that happens to a shard of accounts.

    tick ─► quote ─► mark ─► working orders (paper venue) ─► signals (sizing ─► risk ─► order)
      │                        └── of a bar's close: its range first, the stops before the limits
      └── a new second first: P&L snapshots, daily loss, a new day

Risk, venue and portfolio feed back into each other (a fill changes the exposure that the next order is checked
against), so they are one step, composed of the modules imported here. It folds rows from `shard.row` on and may stop
early when an output array is nearly full: any split gives the same rows.
"""

from typing import Final, NamedTuple

import numpy as np

from functions.alerts import move, next_ordinal
from functions.calendar import DAY, IST_OFFSET, PARTS
from functions.closing import Floor, at_moment, next_moment
from functions.execution import (
    PRINT,
    STOPS,
    book_of,
    free_slot,
    new_order,
    queue,
    release,
    tell_order,
    trades_now,
    work,
)  # fmt: skip
from functions.instruments import quote
from functions.kernel import borrow, entry, kernel
from functions.orders import (
    ACKNOWLEDGE,
    CANCELLED,
    FAIL,
    NO_REASON,
    OF_A_SIGNAL,
    PLACE,
    SENT,
    SENT_AND_PLACED,
    SUBMIT,
    TOLD_FAILED,
)  # fmt: skip
from functions.portfolio import (
    NOBODY,
    apply_fill,
    equity,
    mark,
    realised_by,
    touch,
    watermark,
)  # fmt: skip
from functions.risk import SECOND, check, write_refusal
from functions.signals import DEFAULT_PRODUCT, EVERYBODY
from functions.sizing import sized
from functions.statements import on_boundary
from functions.ticks import CLOSING, LEVELS, UNTRADED, Rows

SHARD: Final = np.dtype(
    [
        ("now", "i8"),  # event time: the latest seen
        ("second", "i8"),  # of the one-second grid
        ("day", "i8"),  # IST day number, -1 = nothing seen yet
        ("rates", "i8"),  # row of the charges table that holds today, -1 = none
        ("opens", "i8", (3, PARTS)),  # today's session of each class and part, ns since IST midnight; 0 and 0 = closed
        ("closes", "i8", (3, PARTS)),
        ("cut_offs", "i8", 3),  # when MIS ends for each class today, ns since IST midnight; 0 = no session
        ("unknown", "i8"),  # segments without known charges today, bit venue · 4 + segment
        ("squaring", "i8"),  # bits of the classes past their cut-off in which positions still wait for their order
        ("numbered", "i8"),  # orders so far
        ("booked", "i8"),  # books so far
        ("free", "i8"),  # first free order slot, -1 = none
        ("dirty", "i8"),  # first account to be told at the boundary, -1 = none
        ("ordinal", "i8"),  # rows told so far
        ("row", "i8"),  # where to go on in the batch
        ("signal", "i8"),
        ("orders_told", "i8"),  # rows in the output arrays, in the order of `functions.shard.OUTPUTS`
        ("fills_told", "i8"),
        ("refusals_told", "i8"),
        ("snapshots_told", "i8"),
        ("alerts_told", "i8"),
    ],
    align=True,
)


class Days(NamedTuple):
    """What is known about each day."""

    first: int  # IST day number of the first row of the two tables below
    sessions: Rows  # (days, 3, PARTS, open or close), see `functions.calendar`
    cut_offs: Rows  # (days, 3)
    versions: Rows  # first IST day of each version of the charges
    unknown: Rows  # of each version the segments without known charges, bit venue · 4 + segment


STRATEGY: Final = np.dtype([("first", "i4"), ("count", "i4"), ("product", "i4"), ("spare", "i4")], align=True)


@kernel
def counted(shard, account, book, signed_quantity):
    """One more order on a signal, for the rules on their rate and on repetitions."""
    if account.second != shard.now // SECOND:
        account.second = shard.now // SECOND
        account.second_orders = 0
    account.second_orders += 1
    account.day_orders += 1
    book.signal_time = shard.now
    book.signal_quantity = signed_quantity


@kernel
def on_signal(
    shard, accounts, limits, venues, subscriptions, instruments, books, book_index, orders, signal, j, s, row,
    told, refusals, alerts,
):  # fmt: skip
    """One account's answer to a signal: an order, or a refusal with every rule that refused."""
    subscription = subscriptions[s]
    a = int(subscription.account)
    account = accounts[a]
    instrument = instruments[signal.instrument]
    b = book_of(shard, subscriptions, books, book_index, s, int(signal.instrument))
    book = books[b]
    account.signals += 1
    subscription.signals += 1
    quantity = signal.quantity
    if signal.follower == EVERYBODY:
        quantity = sized(signal.quantity, subscription, equity(account), instrument.last, instrument.lot)
    mask = check(shard, account, limits[a], instrument, book, signal, quantity, shard.now)
    if mask != 0:
        account.rejected += 1
        subscription.rejected += 1
        refusal = refusals[shard.refusals_told]
        shard.refusals_told += 1
        write_refusal(refusal, shard, account, limits[a], instrument, book, signal, quantity, shard.now, mask)
        refusal.ordinal = next_ordinal(shard)
        refusal.row = row
        refusal.subscription = s
        refusal.signal = j
        return
    venue = venues[a]
    slot = new_order(
        shard, account, subscription, instrument, book, b, orders, signal, s, quantity, signal.product, venue
    )  # fmt: skip
    counted(shard, account, book, signal.side * quantity)
    order = orders[slot]
    touch(shard, accounts, a)
    move(shard, alerts, order, SUBMIT)
    move(shard, alerts, order, ACKNOWLEDGE)
    if venue.latency == 0:
        move(shard, alerts, order, PLACE)
        tell_order(shard, told, order, SENT_AND_PLACED, NO_REASON, row, j)
    else:
        tell_order(shard, told, order, SENT, NO_REASON, row, j)
    queue(orders, instrument, slot)


@kernel
def open_day(shard, accounts, days):
    """A new IST day: its sessions and charges, and what is counted by the day."""
    while shard.rates + 1 < days.versions.shape[0] and days.versions[shard.rates + 1] <= shard.day:
        shard.rates += 1
    shard.unknown = days.unknown[shard.rates] if shard.rates >= 0 else 0
    day = shard.day - days.first
    covered = 0 <= day < days.sessions.shape[0] and shard.rates >= 0
    for c in range(3):
        for part in range(PARTS):
            shard.opens[c, part] = days.sessions[day, c, part, 0] if covered else 0
            shard.closes[c, part] = days.sessions[day, c, part, 1] if covered else 0
        shard.cut_offs[c] = days.cut_offs[day, c] if covered else 0
    for a in range(accounts.shape[0]):
        account = accounts[a]
        account.day_orders = 0
        account.halted = 0
        account.day_start = equity(account)


@kernel
def on_second(shard, limits, days, snapshots, floor, now):
    """Event time leaves a second, and comes to the next moment at which something ends or to the second of `now`.

    It is the grid on which everything periodic fires, whatever the batches are.
    """
    on_boundary(
        shard, floor.accounts, limits, floor.subscriptions, floor.instruments, floor.books, snapshots, floor.alerts
    )  # fmt: skip
    moment = next_moment(shard)
    day = (now + IST_OFFSET) // DAY
    if moment <= now:
        shard.now = max(shard.now, moment)
        shard.second = moment // SECOND
        at_moment(shard, floor, moment)
    elif day != shard.day:
        shard.day = day
        shard.now = max(shard.now, day * DAY - IST_OFFSET)
        shard.second = (day * DAY - IST_OFFSET) // SECOND
        open_day(shard, floor.accounts, days)
    else:
        shard.second = now // SECOND


@entry
def step(
    shards, accounts, limits, venues, subscriptions, strategies, instruments, books, book_index, orders, rate_days, rates,
    unknown, sessions, cut_offs, asked, spare, first_day, burst, ticks, depth, ranges, signals, told, fills, refusals,
    snapshots, alerts,
):  # fmt: skip
    """Folds a batch; 0 = all of it, 1 = an output is nearly full: take what is told and call again.

    `burst` is the most signals that one strategy has for one row. `depth` and `ranges` have a row for each tick, or none.
    """
    accounts = borrow(accounts)
    limits = borrow(limits)
    venues = borrow(venues)
    subscriptions = borrow(subscriptions)
    strategies = borrow(strategies)
    instruments = borrow(instruments)
    books = borrow(books)
    book_index = borrow(book_index)
    orders = borrow(orders)
    rates = borrow(rates)
    days = Days(first_day, borrow(sessions), borrow(cut_offs), borrow(rate_days), borrow(unknown))
    ticks = borrow(ticks)
    depth = borrow(depth)
    ranges = borrow(ranges)
    signals = borrow(signals)
    told = borrow(told)
    fills = borrow(fills)
    refusals = borrow(refusals)
    snapshots = borrow(snapshots)
    alerts = borrow(alerts)
    floor = Floor(
        accounts, venues, subscriptions, instruments, books, orders, rates, told, fills, alerts, borrow(asked),
        borrow(spare),
    )  # fmt: skip
    shard = shards[0]
    j = shard.signal
    count = signals.shape[0]
    room = orders.shape[0] + subscriptions.shape[0] * burst
    levels = accounts.shape[0] + subscriptions.shape[0]
    for row in range(shard.row, ticks.shape[0]):
        if (
            shard.orders_told + 2 * room > told.shape[0]
            or shard.fills_told + LEVELS * room > fills.shape[0]
            or shard.refusals_told + room > refusals.shape[0]
            or shard.snapshots_told + levels + shard.booked > snapshots.shape[0]
        ):
            shard.row = row
            shard.signal = j
            return 1
        tick = ticks[row]
        now = max(shard.now, tick.time)
        while now // SECOND != shard.second:
            if (
                shard.orders_told + 2 * orders.shape[0] + shard.booked > told.shape[0]
                or shard.fills_told + orders.shape[0] + shard.booked > fills.shape[0]
                or shard.snapshots_told + levels + shard.booked > snapshots.shape[0]
                or shard.alerts_told + 3 * accounts.shape[0] > alerts.shape[0]
            ):
                shard.row = row
                shard.signal = j
                return 1
            on_second(shard, limits, days, snapshots, floor, now)
        shard.now = now
        if tick.instrument < 0:  # a clock: time passes
            continue
        instrument = instruments[tick.instrument]
        change = quote(instrument, tick)
        if change != 0 and instrument.held >= 0:
            mark(shard, accounts, subscriptions, books, instrument, change)
        if instrument.working >= 0 and tick.quality & UNTRADED == 0 and trades_now(shard, instrument):
            phase = STOPS if tick.quality & CLOSING != 0 and ranges.shape[0] > 0 else PRINT
            while phase <= PRINT:
                work(
                    shard, accounts, subscriptions, venues, instrument, books, orders, rates, told, fills, alerts, depth,
                    ranges, row, phase,
                )  # fmt: skip
                phase += 1
        while j < count and signals[j].row == row:
            signal = signals[j]
            signal.price = instruments[signal.instrument].last
            strategy = strategies[signal.strategy]
            if signal.product == DEFAULT_PRODUCT:
                signal.product = strategy.product
            for s in range(int(strategy.first), int(strategy.first) + int(strategy.count)):
                if signal.follower != EVERYBODY and signal.follower != s + 1:
                    continue
                on_signal(
                    shard, accounts, limits, venues, subscriptions, instruments, books, book_index, orders, signal, j, s,
                    row, told, refusals, alerts,
                )  # fmt: skip
            j += 1
    shard.row = 0
    shard.signal = 0
    return 0


@entry
def cancel(shards, accounts, subscriptions, instruments, books, orders, told, alerts, strategy):
    """What a strategy has asked for and still works is cancelled; the system's orders for it are not."""
    shard = shards[0]
    for i in range(instruments.shape[0]):
        instrument = instruments[i]
        slot = int(instrument.working)
        previous = -1
        while slot >= 0 and shard.orders_told < told.shape[0]:
            order = orders[slot]
            after = int(order.next)
            subscription = subscriptions[order.subscription]
            if subscription.strategy == strategy and order.origin == OF_A_SIGNAL:
                release(accounts[subscription.account], books[order.book], order)
                touch(shard, accounts, subscription.account)
                move(shard, alerts, order, FAIL)
                tell_order(shard, told, order, TOLD_FAILED, CANCELLED, NOBODY, NOBODY)
                free_slot(shard, orders, instrument, slot, after, previous)
            else:
                previous = slot
            slot = after


@entry
def rebuild(shards, accounts, subscriptions, instruments, books, book_index, fills):
    """Evolve only: books and money from recorded fills (who, side, quantity, product, price, charges), no decision taken.

    Writes position, cost and realised P&L after each into its row. Working orders are not restored.
    """
    shard = shards[0]
    for n in range(fills.shape[0]):
        fill = fills[n]
        fill.book = book_of(shard, subscriptions, books, book_index, fill.subscription, fill.instrument)
        book = books[fill.book]
        fill.realised, fill.cost = realised_by(book, fill.side, fill.quantity, fill.price)
        fill.position = book.position + fill.side * fill.quantity
        instrument = instruments[fill.instrument]
        subscription = subscriptions[fill.subscription]
        account = accounts[subscription.account]
        change = fill.price - instrument.last if instrument.last > 0 else 0
        instrument.last = fill.price
        mark(shard, accounts, subscriptions, books, instrument, change)
        apply_fill(account, subscription, instrument, books, fill)
        watermark(account)
    return fills.shape[0]
