"""Execution: an order from its slot in the pool to its last fill, at the paper venue.

Orders that work hang in a list at their instrument, oldest first; each tick of it meets them in that order.
"""

import numpy as np

from functions.alerts import move, next_ordinal
from functions.calendar import DAY, IST_OFFSET
from functions.costs import charges
from functions.instruments import rate_index
from functions.kernel import kernel
from functions.orders import (
    CNC,
    FILL_ALL,
    FILL_PART,
    MARKET,
    NEW,
    NO_REASON,
    OF_A_SIGNAL,
    OF_THE_SYSTEM,
    PLACE,
    PLACED,
    SL,
    SLM,
    TOLD_PLACED,
    TRIGGER,
    TRIGGERED,
)  # fmt: skip
from functions.paper import (
    best,
    displayed,
    is_triggered,
    quoted_at,
    reached,
    stopped_at,
    trade_price,
    waits,
)  # fmt: skip
from functions.portfolio import (
    NOBODY,
    apply_fill,
    realised_by,
    touch,
    watermark,
)  # fmt: skip
from functions.risk import is_exit, outside_session, reference_price
from functions.ticks import LEVELS

STOPS, LIMITS, PRINT = (np.int64(n) for n in range(3))  # in which order a bar's closing print works orders


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
def new_order(shard, account, subscription, instrument, book, b, orders, signal, s, quantity, product, venue):
    """Takes a slot of the pool for an order that may leave; returns the slot."""
    slot = shard.free
    order = orders[slot]
    shard.free = order.next
    shard.numbered += 1
    order.number = shard.numbered
    order.quantity = quantity
    order.left = quantity
    order.limit = signal.limit
    order.trigger = signal.trigger
    order.active = shard.now + venue.latency
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
    order.rested = waits(order, instrument, venue)
    order.origin = OF_A_SIGNAL
    account.orders += 1
    account.working += 1
    account.committed += quantity * order.reserved
    subscription.orders += 1
    book.working += signal.side * quantity
    if product == CNC and signal.side < 0:
        book.delivering += quantity
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
    fill.product = order.product
    fill.spare = 0


@kernel
def let_go(account, book, order, quantity):
    """What so much of an order has held back, while it worked, is held back no longer."""
    account.committed -= quantity * order.reserved
    book.working -= order.side * quantity
    if order.product == CNC and order.side < 0:
        book.delivering -= quantity
    if order.origin == OF_THE_SYSTEM:
        book.closing -= order.side * quantity


@kernel
def trade(shard, account, subscription, instrument, order, books, rates, fills, row, quantity, price):
    """One fill: decided, told, applied."""
    fill = fills[shard.fills_told]
    shard.fills_told += 1
    write_fill(fill, shard, order, books[order.book], instrument, rates, row, quantity, price)
    fill.ordinal = next_ordinal(shard)
    apply_fill(account, subscription, instrument, books, fill)
    let_go(account, books[order.book], order, quantity)
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
        quoted = quoted_at(order.side, levels, n)
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
def work_in_range(shard, account, subscription, venue, instrument, order, books, rates, fills, alerts, bar, row, phase):
    """One order that waited before a bar meets its range, the stops in their phase and limits in theirs; True when done."""
    if order.active > bar.start or bar.low <= 0 or order.kind == MARKET:
        return False
    stop = order.kind >= SL and order.state != TRIGGERED
    price = 0
    if phase == STOPS and stop and bar.low <= order.trigger <= bar.high:
        move(shard, alerts, order, TRIGGER)
        price = stopped_at(order, instrument, venue)
        if price == 0:  # it waits from here on, somewhere within the bar: of the rest it sees the close
            order.active = shard.now
            order.rested = 1
    elif phase == LIMITS and not stop and order.kind != SLM and reached(order, bar):
        price = order.limit
    if price == 0:
        return False
    trade(shard, account, subscription, instrument, order, books, rates, fills, row, order.left, price)
    move(shard, alerts, order, FILL_ALL)
    account.working -= 1
    return True


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
    shard, accounts, subscriptions, venues, instrument, books, orders, rates, told, fills, alerts, depth, ranges, row, phase
):  # fmt: skip
    """The working orders of this tick's instrument, oldest first: against it, or in two phases against its bar's range."""
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
            if phase == PRINT:
                done = work_order(
                    shard,
                    accounts[a],
                    subscription,
                    venues[a],
                    instrument,
                    order,
                    books,
                    rates,
                    fills,
                    alerts,
                    depth,
                    row,
                )
            else:
                done = work_in_range(
                    shard, accounts[a], subscription, venues[a], instrument, order, books, rates, fills, alerts,
                    ranges[row], row, phase,
                )  # fmt: skip
        else:  # on its way: the last quote before it arrives is the one that it meets
            order.rested = waits(order, instrument, venues[subscriptions[order.subscription].account])
        if done:
            free_slot(shard, orders, instrument, slot, after, previous)
        else:
            previous = slot
        slot = after


@kernel
def trades_now(shard, instrument):
    """Whether the newest print of an instrument lies in its session of today: nothing fills at any other."""
    of_today = (instrument.time + IST_OFFSET) // DAY == shard.day
    return of_today and not outside_session(shard, instrument, instrument.time)


@kernel
def release(account, book, order):
    """What an order that fills no further no longer holds back."""
    account.working -= 1
    let_go(account, book, order, order.left)
