"""Portfolio: books per strategy and instrument, rolled up per strategy and account, in exact money.

A fill is decided elsewhere as a complete row and only assigned here (`apply_fill`), so that a rebuild from recorded
fills needs no decision. All money is int64 micro-rupees. Average cost keeps the signed *total* cost and releases it in
proportion, all of it when flat: no rounding ever accumulates.
"""

from typing import Final

import numpy as np

from functions.kernel import kernel
from functions.orders import CNC, MIS

CLEAN: Final = np.int64(-2)  # `dirty` of an account that has not changed since its last snapshot
NOBODY: Final = np.int64(-1)

ACCOUNT: Final = np.dtype(
    [
        ("capital", "i8"),
        ("cash", "i8"),  # capital - purchases + sales - charges
        ("realised", "i8"),  # before charges
        ("unrealised", "i8"),
        ("charges", "i8"),
        ("gross", "i8"),  # sum of |position| at the last price
        ("committed", "i8"),  # what working orders would add to gross
        ("day_start", "i8"),  # equity when the day began
        ("peak", "i8"),  # highest equity
        ("max_drawdown", "i8"),
        ("signals", "i8"),
        ("rejected", "i8"),
        ("orders", "i8"),
        ("fills", "i8"),
        ("working", "i8"),  # orders at the venue now
        ("second", "i8"),  # the event-time second that `second_orders` counts
        ("second_orders", "i8"),
        ("day_orders", "i8"),
        ("halted", "i4"),  # lost its daily allowance: no new exposure until tomorrow
        ("killed", "i4"),
        ("armed", "i4"),
        ("dirty", "i4"),  # next account to be told at the boundary, CLEAN = not in the list
        ("subscriptions", "i4"),  # first subscription of this account
        ("spare", "i4"),
    ],
    align=True,
)

SUBSCRIPTION: Final = np.dtype(  # one strategy trading for one account
    [
        ("amount", "i8"),  # see `functions.sizing`
        ("realised", "i8"),
        ("unrealised", "i8"),
        ("charges", "i8"),
        ("signals", "i8"),
        ("rejected", "i8"),
        ("orders", "i8"),
        ("fills", "i8"),
        ("sizing", "i4"),
        ("account", "i4"),
        ("strategy", "i4"),
        ("next", "i4"),  # next subscription of the account
        ("books", "i4"),  # first book of this subscription
        ("spare", "i4"),
    ],
    align=True,
)

BOOK: Final = np.dtype(
    [
        ("position", "i8"),  # signed
        ("cost", "i8"),  # signed total cost of the position, micro-rupees
        ("working", "i8"),  # signed quantity of working orders
        ("signal_time", "i8"),  # of the last accepted signal, ns
        ("signal_quantity", "i8"),  # signed
        ("intraday", "i8"),  # the part of the position that is MIS, signed
        ("delivery", "i8"),  # the part that is CNC: shares that may be sold as such
        ("delivering", "i8"),  # shares that working CNC orders would sell
        ("closing", "i8"),  # signed quantity of the system's own order
        ("subscription", "i4"),
        ("instrument", "i4"),
        ("next", "i4"),  # next book with a position in the instrument
        ("previous", "i4"),
        ("sibling", "i4"),  # next book of the subscription
        ("spare", "i4"),
    ],
    align=True,
)

FILL: Final = np.dtype(
    [
        ("time", "i8"),
        ("ordinal", "i8"),
        ("number", "i8"),  # of the order
        ("nth", "i8"),  # fill of that order, from 0
        ("row", "i8"),  # of the tick that filled it, in its batch
        ("price", "i8"),
        ("quantity", "i8"),
        ("left", "i8"),
        ("charges", "i8"),
        ("realised", "i8"),
        ("position", "i8"),  # after
        ("cost", "i8"),  # after
        ("reference", "i8"),  # last price when the signal was made
        ("subscription", "i4"),
        ("instrument", "i4"),
        ("side", "i4"),
        ("book", "i4"),
        ("product", "i4"),
        ("spare", "i4"),
    ],
    align=True,
)

ACCOUNT_LEVEL, STRATEGY_LEVEL, POSITION_LEVEL = (np.int64(n) for n in range(3))
SNAPSHOT: Final = np.dtype(  # an account row, then for each strategy its row and the rows of its open positions
    [
        ("time", "i8"),  # the boundary, ns
        ("ordinal", "i8"),
        ("cash", "i8"),
        ("realised", "i8"),
        ("unrealised", "i8"),
        ("charges", "i8"),
        ("gross", "i8"),
        ("equity", "i8"),
        ("peak", "i8"),
        ("max_drawdown", "i8"),
        ("position", "i8"),
        ("cost", "i8"),
        ("last", "i8"),
        ("level", "i4"),
        ("account", "i4"),
        ("subscription", "i4"),
        ("instrument", "i4"),
    ],
    align=True,
)


@kernel
def equity(account):
    """What the account would be worth flat at the last prices."""
    return account.capital + account.realised + account.unrealised - account.charges


@kernel
def released_cost(cost, closed, held):
    """`cost · closed // held` without leaving 64 bits; held > 0."""
    share = cost // held
    return share * closed + (cost - share * held) * closed // held


@kernel
def realised_by(book, side, quantity, price):
    """(realised P&L, cost of the position after) of a fill in this book."""
    position = book.position
    cost = book.cost
    if position * side >= 0:
        return 0, cost + side * quantity * price
    held = abs(position)
    closed = min(quantity, held)
    released = cost if closed == held else released_cost(cost, closed, held)
    return -released - side * closed * price, cost - released + side * (quantity - closed) * price


@kernel
def touch(shard, accounts, a):
    """The account has changed: it is told at the next boundary."""
    account = accounts[a]
    if account.dirty == CLEAN:
        account.dirty = shard.dirty
        shard.dirty = a


@kernel
def mark(shard, accounts, subscriptions, books, instrument, change):
    """A price moved: every account that holds the instrument, and no other."""
    b = instrument.held
    while b >= 0:
        book = books[b]
        subscription = subscriptions[book.subscription]
        account = accounts[subscription.account]
        gain = book.position * change
        subscription.unrealised += gain
        account.unrealised += gain
        account.gross += abs(book.position) * change
        touch(shard, accounts, subscription.account)
        b = book.next


@kernel
def enter_held(books, instrument, b):
    """The book joins those that hold the instrument."""
    book = books[b]
    book.previous = -1
    book.next = instrument.held
    if instrument.held >= 0:
        books[instrument.held].previous = b
    instrument.held = b


@kernel
def leave_held(books, instrument, b):
    book = books[b]
    if book.previous >= 0:
        books[book.previous].next = book.next
    else:
        instrument.held = book.next
    if book.next >= 0:
        books[book.next].previous = book.previous


@kernel
def apply_fill(account, subscription, instrument, books, fill):
    """Books and money take a fill as it is written; nothing is decided here."""
    book = books[fill.book]
    before = book.position
    signed = fill.side * fill.quantity
    book.position = fill.position
    book.cost = fill.cost
    if fill.product == MIS:
        book.intraday += signed
    elif fill.product == CNC:
        book.delivery += signed
    account.realised += fill.realised
    account.charges += fill.charges
    account.cash -= signed * fill.price + fill.charges
    unrealised = signed * (instrument.last - fill.price) - fill.realised
    account.unrealised += unrealised
    account.gross += (abs(fill.position) - abs(before)) * instrument.last
    account.fills += 1
    subscription.realised += fill.realised
    subscription.charges += fill.charges
    subscription.unrealised += unrealised
    subscription.fills += 1
    if before == 0 and fill.position != 0:
        enter_held(books, instrument, fill.book)
    elif before != 0 and fill.position == 0:
        leave_held(books, instrument, fill.book)


@kernel
def watermark(account):
    """Peak equity and the deepest fall from it."""
    worth = equity(account)
    if worth > account.peak:
        account.peak = worth
    elif account.peak - worth > account.max_drawdown:
        account.max_drawdown = account.peak - worth
