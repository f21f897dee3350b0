"""The paper venue: what would this order get from this quote? Pure, and the same code live and in backtests.

An order meets the *next* tick of its instrument, never the one that caused it. MARKET and triggered SL-M take the best
quote plus slippage. A LIMIT that is marketable against the quote standing at its arrival takes the next one if that is
within its limit; any other waits in the book, and from then on trades at its own limit when a quote reaches it or jumps
over it, because then the market came to it. A triggered SL is a LIMIT that arrives with the tick that woke it. Where the
feed shows a quantity an order takes no more than is displayed; with `walk_depth` it walks the five levels.

Of a bar only four prices are known. Its open is a tick. Within its range a stop fills at its trigger and a limit at its
limit, the stops first, as of two things that may have happened the adverse one counts; both only if they waited before the
bar began, and market orders never. Then its close is a tick.

A book with its bid above its ask is stale on one side, nobody knows which: a buyer pays the higher, a seller gets the lower.
"""

from typing import Final

import numpy as np

from functions.kernel import kernel
from functions.orders import LIMIT, SL, SLM

# Zerodha charges 50 rupees and 18 % GST for each order with which it squares a position off (its support page on charges).
SQUARE_OFF_FEE: Final = 59_000_000

VENUE: Final = np.dtype(
    [
        ("at_quote", "i8"),  # 1: best bid or ask where the feed has them; 0: last price
        ("slippage_bps", "i8"),  # hundredths of a basis point of the price
        ("slippage_per_share", "i8"),  # micro-rupees
        ("slippage_spread", "i8"),  # per cent of the spread
        ("latency", "i8"),  # ns of event time from submission to the venue
        ("partial", "i8"),
        ("walk_depth", "i8"),
        ("square_off", "i8"),  # 1: intraday positions are closed at the cut-off; 0: told
        ("square_off_fee", "i8"),  # micro-rupees for each order of the system
    ],
    align=True,
)


@kernel
def best(side, instrument, venue):
    """The price an aggressive order of this side meets, micro-rupees; 0 = nobody on the other side.

    A feed without quotes trades at the last price; one side empty beside a live other side is a circuit.
    """
    if venue.at_quote == 0 or (instrument.ask == 0 and instrument.bid == 0):
        return instrument.last
    return uncrossed(side, instrument.bid, instrument.ask)


@kernel
def uncrossed(side, bid, ask):
    """The ask to a buyer, the bid to a seller; of two that have crossed the worse one to either."""
    if bid > ask > 0:
        return bid if side > 0 else ask
    return ask if side > 0 else bid


@kernel
def quoted_at(side, levels, n):
    """What the n-th of five levels asks of a buyer or bids to a seller, crossed or not; 0 = nobody there."""
    if side > 0:
        return max(levels.ask[n], levels.bid[0]) if levels.ask[n] > 0 else 0
    return min(levels.bid[n], levels.ask[0]) if levels.ask[0] > 0 else levels.bid[n]


@kernel
def slipped(price, side, instrument, venue):
    """The price after slippage, always against the order (a part of a micro-rupee is a whole one), never below one."""
    slip = (price * venue.slippage_bps + 999_999) // 1_000_000 + venue.slippage_per_share
    if instrument.ask > instrument.bid and instrument.bid > 0:
        slip += ((instrument.ask - instrument.bid) * venue.slippage_spread + 99) // 100
    return max(price + side * slip, 1)


@kernel
def is_triggered(order, instrument):
    """A stop to buy wakes at or above its trigger, a stop to sell at or below."""
    if order.side > 0:
        return instrument.last >= order.trigger
    return instrument.last <= order.trigger


@kernel
def within(price, side, limit):
    """Whether a price is no worse than the limit."""
    return price <= limit if side > 0 else price >= limit


@kernel
def has_limit(order):
    return order.kind == LIMIT or order.kind == SL


@kernel
def waits(order, instrument, venue):
    """Whether a limit order that arrives now joins the book: nobody stands at its limit or better."""
    quoted = best(order.side, instrument, venue)
    return order.kind == LIMIT and not (quoted > 0 and within(quoted, order.side, order.limit))


@kernel
def trade_price(order, quoted, instrument, venue):
    """The price of a trade against this quote, or 0 where the order does not trade."""
    if quoted <= 0:
        return 0
    if not has_limit(order):
        return slipped(quoted, order.side, instrument, venue)
    if not within(quoted, order.side, order.limit):
        return 0
    return order.limit if order.rested != 0 else quoted


@kernel
def stopped_at(order, instrument, venue):
    """What a stop gets whose trigger lies within a bar: its trigger, as the price passed it; 0 = it woke beyond its limit."""
    if order.kind == SLM:
        return slipped(order.trigger, order.side, instrument, venue)
    return order.trigger if within(order.trigger, order.side, order.limit) else 0


@kernel
def reached(order, bar):
    """Whether the prices of a bar came to an order's limit."""
    return bar.low <= order.limit if order.side > 0 else bar.high >= order.limit


@kernel
def displayed(side, instrument, venue):
    """How much an order of this side may take now; -1 = as much as it wants."""
    if venue.partial == 0 or venue.at_quote == 0:
        return -1
    quantity = instrument.ask_quantity if side > 0 else instrument.bid_quantity
    return quantity if quantity > 0 else -1
