"""The account: one fold over everything that happens to a shard of accounts.

    tick ─► quote ─► mark ─► working orders (paper venue) ─► signals (sizing ─► risk ─► order)
      └── a new second first: P&L snapshots, daily loss, a new day

Risk, venue and portfolio feed back into each other (a fill changes the exposure that the next order is checked
against), so they are one step, composed of the modules above. `step` is the only entry; it folds rows from
`shard.row` on and may stop early when an output array is nearly full: any split gives the same rows.
"""

from typing import Final

import numpy as np

from functions.calendar import DAY, IST_OFFSET
from functions.costs import charges
from functions.instruments import quote, rate_index
from functions.kernel import borrow, entry, kernel
from functions.orders import (
    ACKNOWLEDGE,
    CANCELLED,
    EXPIRED,
    FAIL,
    FILL_ALL,
    FILL_PART,
    NEW,
    NO_REASON,
    PLACE,
    PLACED,
    SENT,
    SENT_AND_PLACED,
    SL,
    SUBMIT,
    TOLD_FAILED,
    TOLD_PLACED,
    TRIGGER,
    TRIGGERED,
    advance,
)  # fmt: skip
from functions.paper import best, displayed, is_triggered, trade_price
from functions.portfolio import (
    ACCOUNT_LEVEL,
    CLEAN,
    NOBODY,
    POSITION_LEVEL,
    STRATEGY_LEVEL,
    apply_fill,
    equity,
    mark,
    realised_by,
    touch,
    watermark,
)  # fmt: skip
from functions.risk import SECOND, check, is_exit, reference_price, write_refusal
from functions.signals import DEFAULT_PRODUCT, EVERYBODY
from functions.sizing import sized
from functions.ticks import LEVELS

SHARD: Final = np.dtype(
    [
        ("now", "i8"),  # event time: the latest seen
        ("second", "i8"),  # of the one-second grid
        ("day", "i8"),  # IST day number, -1 = nothing seen yet
        ("rates", "i8"),  # row of the charges table that holds today, -1 = none
        ("opens", "i8", 3),  # today's session of each class, ns since IST midnight; 0 and 0 = closed
        ("closes", "i8", 3),
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

ILLEGAL_TRANSITION, DAILY_LOSS_HALT = (np.int64(n) for n in range(2))
ALERTS: Final = ("illegal_transition", "daily_loss_halt")
ALERT: Final = np.dtype(
    [("time", "i8"), ("ordinal", "i8"), ("observed", "i8"), ("limit", "i8"), ("code", "i4"), ("account", "i4")],
    align=True,
)

STRATEGY: Final = np.dtype([("first", "i4"), ("count", "i4"), ("product", "i4"), ("spare", "i4")], align=True)


@kernel
def next_ordinal(shard):
    shard.ordinal += 1
    return shard.ordinal


@kernel
def alert(shard, alerts, code, account, observed, limit):
    """A row for a human; beyond the room left nothing is lost but the repetition."""
    if shard.alerts_told < alerts.shape[0]:
        row = alerts[shard.alerts_told]
        shard.alerts_told += 1
        row.time = shard.now
        row.ordinal = next_ordinal(shard)
        row.code = code
        row.account = account
        row.observed = observed
        row.limit = limit


@kernel
def move(shard, alerts, order, event):
    """The order's next state; an illegal step is an alert and no step."""
    if not advance(order, event):
        alert(shard, alerts, ILLEGAL_TRANSITION, NOBODY, order.number, event)


@kernel
def book_of(shard, subscriptions, books, book_index, s, i):
    """The book of a subscription and an instrument, opened at first use."""
    b = book_index[s, i]
    if b < 0:
        b = shard.booked
        shard.booked += 1
        book_index[s, i] = b
        book = books[b]
        subscription = subscriptions[s]
        book.subscription = s
        book.instrument = i
        book.next = -1
        book.previous = -1
        book.sibling = subscription.books
        book.signal_time = -DAY
        subscription.books = b
    return b


@kernel
def tell_order(shard, told, order, what, reason, row, signal):
    """One row for everything that happened to an order at this moment."""
    event = told[shard.orders_told]
    shard.orders_told += 1
    event.time = shard.now
    event.ordinal = next_ordinal(shard)
    event.number = order.number
    event.quantity = order.left
    event.limit = order.limit
    event.trigger = order.trigger
    event.row = row
    event.subscription = order.subscription
    event.instrument = order.instrument
    event.side = order.side
    event.kind = order.kind
    event.product = order.product
    event.told = what
    event.reason = reason
    event.signal = signal


@kernel
def new_order(shard, account, subscription, instrument, book, b, orders, signal, s, quantity, product, latency):
    """Takes a slot of the pool for an order that has passed; returns the slot."""
    slot = shard.free
    order = orders[slot]
    shard.free = order.next
    shard.numbered += 1
    order.number = shard.numbered
    order.quantity = quantity
    order.left = quantity
    order.limit = signal.limit
    order.trigger = signal.trigger
    order.active = shard.now + latency
    order.reference = instrument.last
    order.reserved = 0 if is_exit(book, signal.side, quantity) else reference_price(signal, instrument)
    order.turnover = 0
    order.charged = 0
    order.fills = 0
    order.subscription = s
    order.instrument = signal.instrument
    order.side = signal.side
    order.kind = signal.kind
    order.product = product
    order.state = NEW
    order.next = -1
    order.book = b
    order.rested = 0
    if account.second != shard.now // SECOND:
        account.second = shard.now // SECOND
        account.second_orders = 0
    account.second_orders += 1
    account.day_orders += 1
    account.orders += 1
    account.working += 1
    account.committed += quantity * order.reserved
    subscription.orders += 1
    book.working += signal.side * quantity
    book.signal_time = shard.now
    book.signal_quantity = signal.side * quantity
    return slot


@kernel
def queue(orders, instrument, slot):
    """The order joins the instrument's working orders, newest last."""
    if instrument.working < 0:
        instrument.working = slot
    else:
        orders[instrument.newest].next = slot
    instrument.newest = slot


@kernel
def write_fill(fill, shard, order, book, instrument, rates, row, quantity, price):
    """Decides a fill: a complete row, nothing else is touched."""
    fill.time = shard.now
    fill.number = order.number
    fill.nth = order.fills
    fill.row = row
    fill.price = price
    fill.quantity = quantity
    fill.left = order.left - quantity
    fill.realised, fill.cost = realised_by(book, order.side, quantity, price)
    fill.position = book.position + order.side * quantity
    turnover = order.turnover + quantity * price
    rate = rates[shard.rates, rate_index(instrument, order.product)]
    fill.charges = charges(order.side, turnover, rate) - order.charged
    fill.reference = order.reference
    fill.subscription = order.subscription
    fill.instrument = order.instrument
    fill.side = order.side
    fill.book = order.book


@kernel
def trade(shard, account, subscription, instrument, order, books, rates, fills, row, quantity, price):
    """One fill: decided, told, applied."""
    fill = fills[shard.fills_told]
    shard.fills_told += 1
    write_fill(fill, shard, order, books[order.book], instrument, rates, row, quantity, price)
    fill.ordinal = next_ordinal(shard)
    apply_fill(account, subscription, instrument, books, fill)
    books[order.book].working -= order.side * quantity
    account.committed -= quantity * order.reserved
    order.left -= quantity
    order.fills += 1
    order.turnover += quantity * price
    order.charged += fill.charges
    watermark(account)


@kernel
def trade_at_best(shard, account, subscription, venue, instrument, order, books, rates, fills, row):
    """Against the best quote, at most what is displayed."""
    price = trade_price(order, best(order.side, instrument, venue), instrument, venue)
    if price > 0:
        shown = displayed(order.side, instrument, venue)
        quantity = order.left if shown < 0 else min(order.left, shown)
        trade(shard, account, subscription, instrument, order, books, rates, fills, row, quantity, price)


@kernel
def trade_through(shard, account, subscription, venue, instrument, order, books, rates, fills, depth, row):
    """Against the five levels, best first; each level that trades is a fill of its own."""
    levels = depth[row]
    for n in range(LEVELS):
        quoted = levels.ask[n] if order.side > 0 else levels.bid[n]
        shown = levels.ask_quantity[n] if order.side > 0 else levels.bid_quantity[n]
        price = trade_price(order, quoted, instrument, venue)
        if price <= 0 or order.left <= 0:
            break
        if shown > 0:
            trade(
                shard, account, subscription, instrument, order, books, rates, fills, row, min(order.left, shown), price
            )


@kernel
def has_levels(depth, row):
    return depth.shape[0] > 0 and (depth[row].ask[0] > 0 or depth[row].bid[0] > 0)


@kernel
def work_order(shard, account, subscription, venue, instrument, order, books, rates, fills, alerts, depth, row):
    """One working order meets a tick; True when it is done."""
    if order.kind >= SL and order.state != TRIGGERED:
        if not is_triggered(order, instrument):
            return False
        move(shard, alerts, order, TRIGGER)
    before = order.left
    if venue.walk_depth != 0 and has_levels(depth, row):
        trade_through(shard, account, subscription, venue, instrument, order, books, rates, fills, depth, row)
    else:
        trade_at_best(shard, account, subscription, venue, instrument, order, books, rates, fills, row)
    order.rested = 1
    if order.left == 0:
        move(shard, alerts, order, FILL_ALL)
        account.working -= 1
        return True
    if order.left < before:
        move(shard, alerts, order, FILL_PART)
    return False


@kernel
def free_slot(shard, orders, instrument, slot, after, previous):
    """The order leaves the instrument's working orders and its slot returns to the pool."""
    if previous >= 0:
        orders[previous].next = after
    else:
        instrument.working = after
    if after < 0:
        instrument.newest = previous
    orders[slot].next = shard.free
    shard.free = slot


@kernel
def work(
    shard, accounts, subscriptions, venues, instrument, books, orders, rates, told, fills, alerts, depth, row
):  # fmt: skip
    """The working orders of this tick's instrument, oldest first."""
    slot = instrument.working
    previous = -1
    while slot >= 0:
        order = orders[slot]
        after = order.next
        done = False
        if shard.now >= order.active:
            subscription = subscriptions[order.subscription]
            a = int(subscription.account)
            if order.state < PLACED:
                move(shard, alerts, order, PLACE)
                tell_order(shard, told, order, TOLD_PLACED, NO_REASON, row, NOBODY)
            touch(shard, accounts, a)
            done = work_order(
                shard, accounts[a], subscription, venues[a], instrument, order, books, rates, fills, alerts, depth, row
            )
        if done:
            free_slot(shard, orders, instrument, slot, after, previous)
        else:
            previous = slot
        slot = after


@kernel
def expire(shard, accounts, subscriptions, instruments, books, orders, told, alerts):
    """A new day: orders are good for the day, so what still works has expired."""
    for i in range(instruments.shape[0]):
        instrument = instruments[i]
        while instrument.working >= 0:
            slot = int(instrument.working)
            order = orders[slot]
            account = accounts[subscriptions[order.subscription].account]
            release(account, books[order.book], order)
            move(shard, alerts, order, FAIL)
            tell_order(shard, told, order, TOLD_FAILED, EXPIRED, NOBODY, NOBODY)
            free_slot(shard, orders, instrument, slot, int(order.next), -1)


@kernel
def release(account, book, order):
    """What an order that fills no further no longer holds back."""
    account.working -= 1
    account.committed -= order.left * order.reserved
    book.working -= order.side * order.left


@kernel
def on_signal(
    shard, accounts, limits, venues, subscriptions, strategies, instruments, books, book_index, orders, signal, j, s, row,
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
    product = signal.product if signal.product != DEFAULT_PRODUCT else strategies[signal.strategy].product
    latency = venues[a].latency
    slot = new_order(
        shard, account, subscription, instrument, book, b, orders, signal, s, quantity, product, latency
    )  # fmt: skip
    order = orders[slot]
    touch(shard, accounts, a)
    move(shard, alerts, order, SUBMIT)
    move(shard, alerts, order, ACKNOWLEDGE)
    if latency == 0:
        move(shard, alerts, order, PLACE)
        tell_order(shard, told, order, SENT_AND_PLACED, NO_REASON, row, j)
    else:
        tell_order(shard, told, order, SENT, NO_REASON, row, j)
    queue(orders, instrument, slot)


@kernel
def snapshot_row(shard, snapshots, level, a, s, i):
    row = snapshots[shard.snapshots_told]
    shard.snapshots_told += 1
    row.time = (shard.second + 1) * SECOND
    row.ordinal = next_ordinal(shard)
    row.level = level
    row.account = a
    row.subscription = s
    row.instrument = i
    row.cash = 0
    row.realised = 0
    row.unrealised = 0
    row.charges = 0
    row.gross = 0
    row.equity = 0
    row.peak = 0
    row.max_drawdown = 0
    row.position = 0
    row.cost = 0
    row.last = 0
    return row


@kernel
def tell_account(shard, accounts, a, subscriptions, instruments, books, snapshots):
    """The account, its strategies and their open positions, as of the boundary."""
    account = accounts[a]
    row = snapshot_row(shard, snapshots, ACCOUNT_LEVEL, a, NOBODY, NOBODY)
    row.cash = account.cash
    row.realised = account.realised
    row.unrealised = account.unrealised
    row.charges = account.charges
    row.gross = account.gross
    row.equity = equity(account)
    row.peak = account.peak
    row.max_drawdown = account.max_drawdown
    s = account.subscriptions
    while s >= 0:
        subscription = subscriptions[s]
        row = snapshot_row(shard, snapshots, STRATEGY_LEVEL, a, s, NOBODY)
        row.realised = subscription.realised
        row.unrealised = subscription.unrealised
        row.charges = subscription.charges
        b = subscription.books
        while b >= 0:
            book = books[b]
            if book.position != 0:
                row = snapshot_row(shard, snapshots, POSITION_LEVEL, a, s, book.instrument)
                row.position = book.position
                row.cost = book.cost
                row.last = instruments[book.instrument].last
            b = book.sibling
        s = subscription.next


@kernel
def on_boundary(shard, accounts, limits, subscriptions, instruments, books, snapshots, alerts):
    """The end of a second in which something changed, with the prices as of that boundary."""
    a = shard.dirty
    while a >= 0:
        account = accounts[a]
        after = account.dirty
        account.dirty = CLEAN
        watermark(account)
        loss = account.day_start - equity(account)
        if loss > limits[a].max_daily_loss and account.halted == 0:
            account.halted = 1
            alert(shard, alerts, DAILY_LOSS_HALT, a, loss, limits[a].max_daily_loss)
        tell_account(shard, accounts, a, subscriptions, instruments, books, snapshots)
        a = after
    shard.dirty = -1


@kernel
def open_day(shard, accounts, rate_days, sessions, first_day):
    """A new IST day: its sessions and charges, and what is counted by the day."""
    while shard.rates + 1 < rate_days.shape[0] and rate_days[shard.rates + 1] <= shard.day:
        shard.rates += 1
    covered = first_day <= shard.day < first_day + sessions.shape[0] and shard.rates >= 0
    for c in range(3):
        shard.opens[c] = sessions[shard.day - first_day, c, 0] if covered else 0
        shard.closes[c] = sessions[shard.day - first_day, c, 1] if covered else 0
    for a in range(accounts.shape[0]):
        account = accounts[a]
        account.day_orders = 0
        account.halted = 0
        account.day_start = equity(account)


@kernel
def on_second(
    shard, accounts, limits, subscriptions, instruments, books, orders, rate_days, sessions, first_day, told, snapshots,
    alerts, now,
):  # fmt: skip
    """Event time enters another second: the grid on which everything periodic fires, whatever the batches are."""
    on_boundary(shard, accounts, limits, subscriptions, instruments, books, snapshots, alerts)
    day = (now + IST_OFFSET) // DAY
    if day != shard.day:
        shard.now = max(shard.now, day * DAY - IST_OFFSET)
        if shard.day >= 0:
            expire(shard, accounts, subscriptions, instruments, books, orders, told, alerts)
        shard.day = day
        open_day(shard, accounts, rate_days, sessions, first_day)
    shard.second = now // SECOND


@entry
def step(
    shards, accounts, limits, venues, subscriptions, strategies, instruments, books, book_index, orders, rate_days, rates,
    sessions, first_day, burst, ticks, depth, signals, told, fills, refusals, snapshots, alerts,
):  # fmt: skip
    """Folds a batch; 0 = all of it, 1 = an output is nearly full: take what is told and call again.

    `burst` is the most signals that one strategy has for one row.
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
    rate_days = borrow(rate_days)
    rates = borrow(rates)
    sessions = borrow(sessions)
    ticks = borrow(ticks)
    depth = borrow(depth)
    signals = borrow(signals)
    told = borrow(told)
    fills = borrow(fills)
    refusals = borrow(refusals)
    snapshots = borrow(snapshots)
    alerts = borrow(alerts)
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
        if now // SECOND != shard.second:
            on_second(
                shard, accounts, limits, subscriptions, instruments, books, orders, rate_days, sessions, first_day, told,
                snapshots, alerts, now,
            )  # fmt: skip
        shard.now = now
        if tick.instrument < 0:  # a clock: time passes
            continue
        instrument = instruments[tick.instrument]
        change = quote(instrument, tick)
        if change != 0 and instrument.held >= 0:
            mark(shard, accounts, subscriptions, books, instrument, change)
        if instrument.working >= 0:
            work(
                shard,
                accounts,
                subscriptions,
                venues,
                instrument,
                books,
                orders,
                rates,
                told,
                fills,
                alerts,
                depth,
                row,
            )
        while j < count and signals[j].row == row:
            signal = signals[j]
            signal.price = instruments[signal.instrument].last
            strategy = strategies[signal.strategy]
            for s in range(int(strategy.first), int(strategy.first) + int(strategy.count)):
                if signal.follower != EVERYBODY and signal.follower != s + 1:
                    continue
                on_signal(
                    shard, accounts, limits, venues, subscriptions, strategies, instruments, books, book_index, orders,
                    signal, j, s, row, told, refusals, alerts,
                )  # fmt: skip
            j += 1
    shard.row = 0
    shard.signal = 0
    return 0


@entry
def cancel(shards, accounts, subscriptions, instruments, books, orders, told, alerts, strategy):
    """What still works of a strategy is cancelled."""
    shard = shards[0]
    for i in range(instruments.shape[0]):
        instrument = instruments[i]
        slot = int(instrument.working)
        previous = -1
        while slot >= 0 and shard.orders_told < told.shape[0]:
            order = orders[slot]
            after = int(order.next)
            subscription = subscriptions[order.subscription]
            if subscription.strategy == strategy:
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
    """Evolve only: books and money from recorded fills (who, side, quantity, price, charges), no decision taken.

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
