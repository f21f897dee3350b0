"""Closing: what ends by event time. MIS at its cut-off, orders with their session, the rest at midnight.

    cut-off ─► MIS orders cancelled ─► intraday positions closed by market orders of the system, or told
    end of a session's part ─► orders cancelled ─► at the day's last, what is intraday still closed at the last price
    midnight ─► orders that an earlier version left behind

Each is a moment, a whole second of event time, and fires when time has come to it: with a tick, a clock or the next day's
first. So neither batches nor clocks change what is told, when it happened, or its ids.
"""

from typing import Any, Final, NamedTuple

from functions.alerts import (
    INTRADAY_STILL_HELD,
    SQUARE_OFF_AT_LAST_PRICE,
    SQUARE_OFF_AT_MARKET,
    alert,
    move,
)  # fmt: skip
from functions.calendar import DAY, IST_OFFSET, PARTS
from functions.execution import free_slot, new_order, queue, release, tell_order, trade
from functions.kernel import kernel
from functions.orders import (
    ACKNOWLEDGE,
    AT_LAST_PRICE,
    EXPIRED,
    FAIL,
    FILL_ALL,
    MARKET,
    MIS,
    OF_THE_SYSTEM,
    PLACE,
    SENT_AND_PLACED,
    SESSION_END,
    SQUARE_OFF,
    SUBMIT,
    TOLD_FAILED,
)  # fmt: skip
from functions.portfolio import NOBODY, touch
from functions.risk import SECOND
from functions.sizing import notional

CLASSES: Final = 3  # session classes
ALL: Final = (1 << CLASSES) - 1  # a bit each
NEVER: Final = 2**63 - 1
SHARES_AN_ORDER: Final = 30_000  # the broker squares off no more with one order, and charges for each


class Floor(NamedTuple):
    """The arrays that closing works on.

    `asked` is one SIGNAL row for what the system itself asks for, `spare` one ORDER row for what is done at once.
    """

    accounts: Any
    venues: Any
    subscriptions: Any
    instruments: Any
    books: Any
    orders: Any
    rates: Any
    told: Any
    fills: Any
    alerts: Any
    asked: Any
    spare: Any


# --- when -------------------------------------------------------------------------------------------------------------


@kernel
def last_close(shard, c):
    """When the last part of a class's session ends today, ns since IST midnight; 0 = no session."""
    close = shard.closes[c, 0]
    for part in range(1, PARTS):
        close = max(close, shard.closes[c, part])
    return close


@kernel
def next_moment(shard):
    """Event time of what ends next today, after the second that is over; NEVER without a day.

    Square-offs that found no slot for their order try again at the end of the second in which one has come free.
    """
    if shard.day < 0:
        return NEVER
    midnight = shard.day * DAY - IST_OFFSET
    over = (shard.second + 1) * SECOND  # anything earlier has fired
    found = midnight + DAY if midnight + DAY >= over else NEVER
    if shard.squaring != 0 and shard.free >= 0:
        found = min(found, over)
    for c in range(CLASSES):
        for part in range(PARTS):
            close = shard.closes[c, part]
            if close > 0 and midnight + close >= over:
                found = min(found, midnight + close)
        if last_close(shard, c) > 0 and midnight + shard.cut_offs[c] >= over:
            found = min(found, midnight + shard.cut_offs[c])
    return found


# --- orders -----------------------------------------------------------------------------------------------------------


@kernel
def withdraw(shard, floor, instrument, classes, reason):
    """Cancels what works for an instrument of these classes: at a cut-off MIS, at the session's end all but the system's."""
    if classes >> instrument.session_class & 1 == 0:
        return
    slot = int(instrument.working)
    previous = -1
    while slot >= 0:
        order = floor.orders[slot]
        after = int(order.next)
        a = int(floor.subscriptions[order.subscription].account)
        is_of_the_broker = order.origin == OF_THE_SYSTEM and floor.venues[a].square_off != 0
        if is_of_the_broker or (reason == SQUARE_OFF and order.product != MIS):
            previous = slot
        else:
            release(floor.accounts[a], floor.books[order.book], order)
            touch(shard, floor.accounts, a)
            move(shard, floor.alerts, order, FAIL)
            tell_order(shard, floor.told, order, TOLD_FAILED, reason, NOBODY, NOBODY)
            free_slot(shard, floor.orders, instrument, slot, after, previous)
        slot = after


@kernel
def withdraw_all(shard, floor, classes, reason):
    for i in range(floor.instruments.shape[0]):
        withdraw(shard, floor, floor.instruments[i], classes, reason)


@kernel
def flattening(shard, floor, orders, b, reason):
    """A market order of the system for what a book holds intraday; returns its slot. No rule is asked: it is the broker's."""
    book = floor.books[b]
    subscription = floor.subscriptions[book.subscription]
    a = int(subscription.account)
    instrument = floor.instruments[book.instrument]
    asked = floor.asked[0]
    asked.instrument = book.instrument
    asked.side = -1 if book.intraday > 0 else 1
    asked.kind = MARKET
    slot = new_order(
        shard, floor.accounts[a], subscription, instrument, book, b, orders, asked, book.subscription,
        abs(book.intraday), MIS, floor.venues[a],
    )  # fmt: skip
    order = orders[slot]
    order.active = shard.now
    order.origin = OF_THE_SYSTEM
    order.charged = -floor.venues[a].square_off_fee * ((order.quantity + SHARES_AN_ORDER - 1) // SHARES_AN_ORDER)
    book.closing += order.side * order.quantity
    touch(shard, floor.accounts, a)
    move(shard, floor.alerts, order, SUBMIT)
    move(shard, floor.alerts, order, ACKNOWLEDGE)
    move(shard, floor.alerts, order, PLACE)
    tell_order(shard, floor.told, order, SENT_AND_PLACED, reason, NOBODY, NOBODY)
    return slot


@kernel
def at_last_price(shard, floor, order):
    """What is left of an order of the system trades at the last price seen, and the order is done."""
    subscription = floor.subscriptions[order.subscription]
    account = floor.accounts[subscription.account]
    instrument = floor.instruments[order.instrument]
    touch(shard, floor.accounts, subscription.account)
    trade(
        shard, account, subscription, instrument, order, floor.books, floor.rates, floor.fills, NOBODY, order.left,
        instrument.last,
    )  # fmt: skip
    move(shard, floor.alerts, order, FILL_ALL)
    account.working -= 1


@kernel
def end_late(shard, floor, instrument, b):
    """The system's order for a book, which has met no print or too few, ends at the last price."""
    slot = int(instrument.working)
    previous = -1
    while slot >= 0:
        order = floor.orders[slot]
        if order.book == b and order.origin == OF_THE_SYSTEM:
            at_last_price(shard, floor, order)
            free_slot(shard, floor.orders, instrument, slot, int(order.next), previous)
            return
        previous = slot
        slot = int(order.next)


@kernel
def end_unsent(shard, floor, b):
    """An order that there was no slot for is sent and ends at once, at the last price. It needs no slot of the pool."""
    floor.spare[0].next = shard.free
    shard.free = 0
    slot = flattening(shard, floor, floor.spare, b, AT_LAST_PRICE)
    at_last_price(shard, floor, floor.spare[slot])


# --- positions --------------------------------------------------------------------------------------------------------


@kernel
def is_due(floor, book, classes):
    """Whether a book holds something intraday in these classes of which no order of the system takes care."""
    c = floor.instruments[book.instrument].session_class
    return book.intraday + book.closing != 0 and classes >> c & 1 != 0


@kernel
def announced(shard, floor, a, classes, code):
    """Tells how many intraday positions of an account are due, and what they are worth; whether there are any."""
    count = 0
    worth = 0
    s = floor.accounts[a].subscriptions
    while s >= 0:
        b = floor.subscriptions[s].books
        while b >= 0:
            book = floor.books[b]
            if is_due(floor, book, classes) or (code == SQUARE_OFF_AT_LAST_PRICE and was_late(floor, book, classes)):
                count += 1
                worth += notional(floor.instruments[book.instrument].last, abs(book.intraday))
            b = book.sibling
        s = floor.subscriptions[s].next
    if count > 0:
        alert(shard, floor.alerts, code, a, count, worth)
        touch(shard, floor.accounts, a)
    return count > 0


@kernel
def was_late(floor, book, classes):
    """Whether the system's order for a book has met no print, or too few."""
    return book.closing != 0 and classes >> floor.instruments[book.instrument].session_class & 1 != 0


@kernel
def square_off(shard, floor, classes):
    """An order for every intraday position of these classes, while there are slots; the others wait."""
    for a in range(floor.accounts.shape[0]):
        if floor.venues[a].square_off == 0 or not announced(shard, floor, a, classes, SQUARE_OFF_AT_MARKET):
            continue
        s = floor.accounts[a].subscriptions
        while s >= 0:
            b = floor.subscriptions[s].books
            while b >= 0:
                if is_due(floor, floor.books[b], classes):
                    if shard.free < 0:
                        return
                    slot = flattening(shard, floor, floor.orders, b, SQUARE_OFF)
                    queue(floor.orders, floor.instruments[floor.books[b].instrument], slot)
                b = floor.books[b].sibling
            s = floor.subscriptions[s].next
    shard.squaring &= ~classes


@kernel
def close_at_last(shard, floor, classes):
    """What is intraday still when the session ends has met no print: it is closed at the last price, and told."""
    for a in range(floor.accounts.shape[0]):
        if floor.venues[a].square_off == 0 or not announced(shard, floor, a, classes, SQUARE_OFF_AT_LAST_PRICE):
            continue
        s = floor.accounts[a].subscriptions
        while s >= 0:
            b = floor.subscriptions[s].books
            while b >= 0:
                book = floor.books[b]
                if was_late(floor, book, classes):
                    end_late(shard, floor, floor.instruments[book.instrument], b)
                if is_due(floor, book, classes):
                    end_unsent(shard, floor, b)
                b = book.sibling
            s = floor.subscriptions[s].next


# --- at a moment ------------------------------------------------------------------------------------------------------


@kernel
def tell_held(shard, floor, classes):
    """Accounts whose venue does not square off are told what they hold past the cut-off."""
    for a in range(floor.accounts.shape[0]):
        if floor.venues[a].square_off == 0:
            announced(shard, floor, a, classes, INTRADAY_STILL_HELD)


@kernel
def at_moment(shard, floor, moment):
    """Event time has come to a moment of the day: whatever ends then ends."""
    of_day = moment + IST_OFFSET - shard.day * DAY
    if of_day == DAY:
        withdraw_all(shard, floor, ALL, EXPIRED)
        shard.squaring = 0
        return
    ended = 0  # a part of its session
    done = 0  # the last one
    cut = 0
    for c in range(CLASSES):
        for part in range(PARTS):
            ended |= (shard.closes[c, part] > 0 and shard.closes[c, part] == of_day) << c
        close = last_close(shard, c)
        done |= (close > 0 and close == of_day) << c
        cut |= (close > 0 and shard.cut_offs[c] == of_day) << c
    if ended != 0:
        withdraw_all(shard, floor, ended, SESSION_END)
    if done != 0:
        close_at_last(shard, floor, done)
        shard.squaring &= ~done
    if cut != 0:
        withdraw_all(shard, floor, cut, SQUARE_OFF)
        tell_held(shard, floor, cut)
        shard.squaring |= cut
    if shard.squaring != 0 and shard.free >= 0:
        square_off(shard, floor, shard.squaring)
