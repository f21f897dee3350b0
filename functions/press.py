"""The press: what happens on ticks becomes JSON, in a kernel, from templates.

It is the hottest step of a live flow; a test holds what it writes equal to `codec.encode` of the same structs. Which rows
it is given, and what is told beside ticks, is `functions.publication`'s to say.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from functions import topics
from functions.identity import write_id
from functions.kernel import borrow, entry, kernel
from functions.orders import (
    AT_LAST_PRICE,
    KINDS,
    PRODUCTS,
    REASONS,
    TOLD_ACK,
    TOLD_FAILED,
    TOLD_PLACED,
    TOLD_SUBMITTED,
)  # fmt: skip
from functions.signals import EVERYBODY
from functions.templates import ID_LENGTH, Page, U, fill_in, say, say_integer

# --- what the events look like ------------------------------------------------------------------------------------------

EVENT: Final = (
    '{"id":"<id>","type":"%s","timestamp":"<time>","correlation_id":"<correlation>","causation_id":"<cause>",'
    '"source":"%s","version":%d,"broker":"%s","data":{%s}}'
)
_OWNER = '<owner>,"instrument_token":<token>'
_ORDER = f'"order_id":"<order>",{_OWNER}'
_ASKED = '"side":"<side>","quantity":<quantity>'

SIGNAL, REJECTED, VALIDATED, SUBMITTED, ACK, PLACED, FAILED, FILLED = (np.int64(n) for n in range(8))
TEMPLATES: Final = {
    "trading_signal": (
        topics.SIGNALS_RAW,
        f'"signal_id":"<signal>","strategy":"<strategy>","instrument_token":<token>,{_ASKED},"kind":"<kind>",'
        '"product":"<product>","price":<price:price>,"limit_price":<limit>,"trigger_price":<trigger>',
    ),
    "signal_rejected": (
        topics.SIGNALS_REJECTED, f'"signal_id":"<signal>",{_OWNER},{_ASKED},"reasons":[<reasons>]',
    ),
    "signal_validated": (
        topics.SIGNALS_VALIDATED, f'"signal_id":"<signal>",{_OWNER},{_ASKED},"order_id":"<order>"',
    ),
    "order_submitted": (
        topics.ORDERS_SUBMITTED,
        f'{_ORDER},<symbol>,<exchange>,{_ASKED},"kind":"<kind>","product":"<product>","signal_id":"<signal>",'
        '"limit_price":<limit>,"trigger_price":<trigger>,"validity":"DAY"<origin>',
    ),
    "order_ack": (topics.ORDERS_ACK, f'{_ORDER},"broker_order_id":"<order>"'),
    "order_placed": (topics.ORDERS_PLACED, f'{_ORDER},"broker_order_id":"<order>","quantity":<quantity>'),
    "order_failed": (topics.ORDERS_FAILED, f'{_ORDER},"reason":"<reason>","remaining":<quantity>'),
    "order_filled": (
        topics.ORDERS_FILLED,
        f'{_ORDER},<symbol>,{_ASKED},"remaining":<remaining>,"price":"<price>","value":"<value>","charges":"<charges>",'
        '"realised_pnl":"<realised>","position":<position>,"average_price":"<average>","slippage":"<slippage>"',
    ),
}  # fmt: skip

SLOTS: Final = {
    "time": "time", "owner": "phrase", "token": "integer", "strategy": "phrase", "side": "phrase", "quantity": "integer",
    "kind": "phrase", "product": "phrase", "price": "money", "limit": "optional", "trigger": "optional",
    "reasons": "words", "symbol": "phrase", "exchange": "phrase", "reason": "phrase",
    "remaining": "integer", "value": "money", "charges": "money", "realised": "money", "position": "integer",
    "average": "money", "slippage": "money", "origin": "phrase",
}  # fmt: skip
(
    TIME, OWNER, TOKEN, STRATEGY, SIDE, QUANTITY, KIND, PRODUCT, PRICE, LIMIT, TRIGGER, REASONS_GIVEN, SYMBOL, EXCHANGE,
    REASON, REMAINING, VALUE, CHARGES, REALISED, POSITION, AVERAGE, SLIPPAGE, ORIGIN,
) = (np.int64(n) for n in range(len(SLOTS)))  # fmt: skip
IDS: Final = ("id", "correlation", "cause", "signal", "order")
OWN, CORRELATION, CAUSE, OF_SIGNAL, OF_ORDER = (np.int64(n) for n in range(len(IDS)))

# --- what the kernel knows ----------------------------------------------------------------------------------------------

TERMS: Final = np.dtype([("token", "i8"), ("symbol", "i8"), ("exchange", "i8")])  # of an instrument; phrases by number
TRADER: Final = np.dtype([("name", "i8"), ("step", "i8"), ("product", "i8")])  # a strategy
FOLLOWER: Final = np.dtype(  # a strategy on an account
    [("owner", "i8"), ("step", "i8"), ("strategy", "i8"), ("at_market", "i8"), ("at_last", "i8"), ("square_off", "i8")]
)
WORDING: Final = np.dtype(
    [("buy", "i8"), ("sell", "i8"), ("kind", "i8", len(KINDS)), ("product", "i8", len(PRODUCTS)),
     ("reason", "i8", len(REASONS)), ("order", "i8"), ("ack", "i8"), ("placed", "i8"), ("failed", "i8"), ("filled", "i8"),
     ("of_signal", "i8"), ("of_cut_off", "i8")]
)  # fmt: skip
WORKING: Final = np.dtype(  # what later events of an order need to know of its beginning
    [("number", "i8"), ("time", "i8"), ("id", "u1", ID_LENGTH), ("correlation", "u1", ID_LENGTH)]
)
WRITTEN: Final = np.dtype([("ordinal", "i8"), ("template", "i8"), ("key_end", "i8"), ("end", "i8")])
STATE: Final = np.dtype([("working", "i8"), ("events", "i8"), ("end", "i8"), ("key_end", "i8"), ("unknown", "i8")])
LONGEST_KEY: Final = 40 + 1 + 20 + 1 + 20
LAST: Final = np.int64(2**63 - 1)
COLON: Final = np.int64(ord(":"))


class Press(NamedTuple):
    """What the kernel writes with."""

    page: Any
    terms: Any  # of instruments
    traders: Any
    followers: Any
    wording: Any  # one row
    working: Any
    written: Any  # a row an event
    keys: Any  # bytes
    state: Any  # one row
    scratch: Any  # bytes


class Asked(NamedTuple):
    """A batch's signals."""

    signals: Any
    times: Any  # of their ticks
    causes: Any  # ids of their ticks
    ids: Any  # their own
    told: Any


def average_price(cost: int, position: int) -> int:
    """Average price of a position in micro-rupees, half up; 0 when flat.

    >>> average_price(-300_000_001, -2), average_price(0, 0)
    (150000001, 0)
    """
    if position == 0:
        return 0
    shares = abs(position)
    whole = abs(cost) // shares
    return whole + (1 if 2 * (abs(cost) - whole * shares) >= shares else 0)


average: Any = kernel(average_price)


@kernel
def give_id(press, slot, time, cause, step, nth):
    """ids[slot] becomes the id of what follows from ids[cause] by a step; `nth` >= 0 is part of the step's name."""
    page = press.page
    at = say(press.scratch, 0, page.ids[cause], 0, ID_LENGTH)
    at = say(press.scratch, at, page.phrases, page.phrase_bounds[step], page.phrase_bounds[step + 1])
    if nth >= 0:
        at = say_integer(press.scratch, at, nth)
    write_id(page.ids[slot], time, press.scratch, at)


@kernel
def copy_id(ids, slot, source):
    say(ids[slot], 0, source, 0, ID_LENGTH)


@kernel
def write(press, template, ordinal, since):
    """One event and its key: strategy, instrument and, of an order, the moment it was made."""
    page = press.page
    state = press.state[0]
    state.end = fill_in(page, state.end, template)
    at = state.key_end
    name = page.values[STRATEGY]
    at = say(press.keys, at, page.phrases, page.phrase_bounds[name], page.phrase_bounds[name + 1])
    press.keys[U(at)] = COLON
    at = say_integer(press.keys, at + 1, page.values[TOKEN])
    if since >= 0:
        press.keys[U(at)] = COLON
        at = say_integer(press.keys, at + 1, since // 1000)
    state.key_end = at
    row = press.written[state.events]
    row.ordinal = ordinal
    row.template = template
    row.key_end = at
    row.end = state.end
    state.events += 1


@kernel
def concern(press, follower, instrument, side, quantity, time):
    """The values that all events of a subscription share."""
    values = press.page.values
    values[TIME] = time
    values[OWNER] = press.followers[follower].owner
    values[STRATEGY] = press.traders[press.followers[follower].strategy].name
    values[TOKEN] = press.terms[instrument].token
    values[SYMBOL] = press.terms[instrument].symbol
    values[EXCHANGE] = press.terms[instrument].exchange
    values[SIDE] = press.wording[0].buy if side > 0 else press.wording[0].sell
    values[QUANTITY] = quantity


@kernel
def tell_signal(press, asked, j, ordinal):
    """trading_signal, once, before its first answer; leaves its id and its tick's in their slots."""
    page = press.page
    values = page.values
    copy_id(page.ids, CORRELATION, asked.causes[j])
    if asked.told[j] == 0:
        asked.told[j] = 1
        signal = asked.signals[j]
        trader = press.traders[signal.strategy]
        wording = press.wording[0]
        copy_id(page.ids, CAUSE, asked.causes[j])
        values[TIME] = asked.times[j]
        values[STRATEGY] = trader.name
        values[TOKEN] = press.terms[signal.instrument].token
        values[SIDE] = wording.buy if signal.side > 0 else wording.sell
        values[QUANTITY] = signal.quantity
        values[KIND] = wording.kind[signal.kind]
        values[PRODUCT] = wording.product[signal.product if signal.product >= 0 else trader.product]
        values[PRICE] = signal.price
        values[LIMIT] = signal.limit
        values[TRIGGER] = signal.trigger
        if signal.follower == EVERYBODY:
            give_id(press, OWN, values[TIME], CAUSE, trader.step, signal.nth)
        else:  # one account's alone: named after it, so that no other shard gives the same name
            give_id(press, OWN, values[TIME], CAUSE, trader.step, -1)
            copy_id(page.ids, CAUSE, page.ids[OWN])
            give_id(press, OWN, values[TIME], CAUSE, press.followers[signal.follower - 1].step, -1)
            copy_id(page.ids, CAUSE, asked.causes[j])
        copy_id(page.ids, OF_SIGNAL, page.ids[OWN])
        copy_id(asked.ids, j, page.ids[OWN])
        write(press, SIGNAL, ordinal, -1)
    copy_id(page.ids, OF_SIGNAL, asked.ids[j])
    copy_id(page.ids, CAUSE, asked.ids[j])


@kernel
def tell_refusal(press, asked, refusal, words):
    tell_signal(press, asked, refusal.signal, refusal.ordinal)
    concern(press, refusal.subscription, refusal.instrument, refusal.side, refusal.quantity, refusal.time)
    press.page.values[REASONS_GIVEN] = words
    give_id(press, OWN, refusal.time, CAUSE, press.followers[refusal.subscription].step, -1)
    write(press, REJECTED, refusal.ordinal, -1)


@kernel
def give_first_id(press, slot, time, text, number):
    """ids[slot] becomes the id of what follows from no event: from a text, and a number where it is not negative."""
    page = press.page
    at = say(press.scratch, 0, page.phrases, page.phrase_bounds[text], page.phrase_bounds[text + 1])
    if number >= 0:
        at = say_integer(press.scratch, at, number)
    write_id(page.ids[slot], time, press.scratch, at)


@kernel
def tell_squared_off(press, order):
    """An order of the system: it follows from the alert of its account and moment, which has been told before."""
    page = press.page
    follower = press.followers[order.subscription]
    concern(press, order.subscription, order.instrument, order.side, order.quantity, order.time)
    alert = follower.at_last if order.reason == AT_LAST_PRICE else follower.at_market
    give_first_id(press, CAUSE, order.time, alert, -1)
    copy_id(page.ids, CORRELATION, page.ids[CAUSE])
    copy_id(page.ids, OF_SIGNAL, page.ids[CAUSE])
    give_first_id(press, OF_ORDER, order.time, follower.square_off, press.terms[order.instrument].token)
    copy_id(page.ids, OWN, page.ids[OF_ORDER])


@kernel
def tell_validated(press, asked, order):
    """The answer to a signal; leaves the ids of the order that it lets leave."""
    page = press.page
    tell_signal(press, asked, order.signal, order.ordinal)
    concern(press, order.subscription, order.instrument, order.side, order.quantity, order.time)
    give_id(press, OWN, order.time, CAUSE, press.followers[order.subscription].step, -1)
    copy_id(page.ids, CAUSE, page.ids[OWN])
    give_id(press, OF_ORDER, order.time, CAUSE, press.wording[0].order, -1)
    copy_id(page.ids, CAUSE, page.ids[OF_SIGNAL])
    write(press, VALIDATED, order.ordinal, -1)
    copy_id(page.ids, CAUSE, page.ids[OWN])
    copy_id(page.ids, OWN, page.ids[OF_ORDER])


@kernel
def tell_submitted(press, asked, order):
    """The order, which works from now on, after what it follows from."""
    page = press.page
    values = page.values
    if order.signal < 0:
        tell_squared_off(press, order)
        values[ORIGIN] = press.wording[0].of_cut_off
    else:
        tell_validated(press, asked, order)
        values[ORIGIN] = press.wording[0].of_signal
    values[KIND] = press.wording[0].kind[order.kind]
    values[PRODUCT] = press.wording[0].product[order.product]
    values[LIMIT] = order.limit
    values[TRIGGER] = order.trigger
    write(press, SUBMITTED, order.ordinal, order.time)
    state = press.state[0]
    known = press.working[state.working]
    state.working += 1
    known.number = order.number
    known.time = order.time
    say(known.id, 0, page.ids[OF_ORDER], 0, ID_LENGTH)
    say(known.correlation, 0, page.ids[CORRELATION], 0, ID_LENGTH)


@kernel
def find(press, number):
    """The slot of a working order; -1 and a note in the state where it is not known."""
    state = press.state[0]
    for n in range(state.working):
        if press.working[n].number == number:
            return n
    state.unknown = number
    return -1


@kernel
def forget(press, slot):
    state = press.state[0]
    state.working -= 1
    press.working[slot] = press.working[state.working]


@kernel
def follow(press, slot):
    """An event of a working order is caused by the order."""
    page = press.page
    known = press.working[slot]
    copy_id(page.ids, OF_ORDER, known.id)
    copy_id(page.ids, CAUSE, known.id)
    copy_id(page.ids, CORRELATION, known.correlation)
    return known.time


@kernel
def tell_stage(press, template, step, order, since):
    give_id(press, OWN, order.time, OF_ORDER, step, -1)
    write(press, template, order.ordinal, since)


@kernel
def tell_order(press, asked, order):
    if order.told & TOLD_SUBMITTED:
        tell_submitted(press, asked, order)
    slot = find(press, order.number)
    if slot < 0:
        return
    since = follow(press, slot)
    wording = press.wording[0]
    concern(press, order.subscription, order.instrument, order.side, order.quantity, order.time)
    if order.told & TOLD_ACK:
        tell_stage(press, ACK, wording.ack, order, since)
    if order.told & TOLD_PLACED:
        tell_stage(press, PLACED, wording.placed, order, since)
    if order.told & TOLD_FAILED:
        press.page.values[REASON] = wording.reason[order.reason]
        tell_stage(press, FAILED, wording.failed, order, since)
        forget(press, slot)


@kernel
def tell_fill(press, fill):
    slot = find(press, fill.number)
    if slot < 0:
        return
    since = follow(press, slot)
    concern(press, fill.subscription, fill.instrument, fill.side, fill.quantity, fill.time)
    values = press.page.values
    values[REMAINING] = fill.left
    values[PRICE] = fill.price
    values[VALUE] = fill.price * fill.quantity
    values[CHARGES] = fill.charges
    values[REALISED] = fill.realised
    values[POSITION] = fill.position
    values[AVERAGE] = average(fill.cost, fill.position)
    values[SLIPPAGE] = fill.side * (fill.price - fill.reference)
    give_id(press, OWN, fill.time, OF_ORDER, press.wording[0].filled, fill.nth)
    write(press, FILLED, fill.ordinal, since)
    if fill.left == 0:
        forget(press, slot)


@entry
def tell(
    signals, times, causes, ids, told, orders, fills, refusals, out, values, slots, ops, starts, phrases, phrase_bounds,
    words, word_bounds, terms, traders, followers, wording, working, written, keys, state, scratch,
):  # fmt: skip
    """Writes the events of a batch in the order of their ordinals; signals that nobody answered come last."""
    page = Page(
        borrow(out), borrow(values), borrow(slots), borrow(ops), borrow(starts), borrow(phrases), borrow(phrase_bounds),
        borrow(words), borrow(word_bounds),
    )  # fmt: skip
    press = Press(
        page, borrow(terms), borrow(traders), borrow(followers), borrow(wording), borrow(working), borrow(written),
        borrow(keys), borrow(state), borrow(scratch),
    )  # fmt: skip
    asked = Asked(borrow(signals), borrow(times), borrow(causes), borrow(ids), borrow(told))
    orders = borrow(orders)
    fills = borrow(fills)
    refusals = borrow(refusals)
    o = f = r = 0
    while o < orders.shape[0] or f < fills.shape[0] or r < refusals.shape[0]:
        order = orders[o].ordinal if o < orders.shape[0] else LAST
        fill = fills[f].ordinal if f < fills.shape[0] else LAST
        refusal = refusals[r].ordinal if r < refusals.shape[0] else LAST
        if order < fill and order < refusal:
            tell_order(press, asked, orders[o])
            o += 1
        elif fill < refusal:
            tell_fill(press, fills[f])
            f += 1
        else:
            tell_refusal(press, asked, refusals[r], r)
            r += 1
    for j in range(asked.told.shape[0]):
        if asked.told[j] == 0:
            tell_signal(press, asked, j, LAST)
