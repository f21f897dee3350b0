"""Sizing: how many shares a signal becomes in one account.

A signal says "so many units"; the subscription says what a unit is worth. The result is rounded down to whole lots and
may be zero, which the lot rule then refuses: nothing is rounded up into a trade.
"""

from typing import Final

import numpy as np

from functions.kernel import kernel

UNITS, VALUE, EQUITY_SHARE = (np.int64(n) for n in range(3))
METHODS: Final = {"units": UNITS, "value": VALUE, "equity": EQUITY_SHARE}

CEILING: Final = np.int64(1 << 62)  # what a product that would leave 64 bits is taken for
MAX_UNITS: Final = np.int64(10_000_000)


@kernel
def notional(price, quantity):
    """price · quantity in micro-rupees, never more than CEILING; both non-negative."""
    if price > 0 and quantity > CEILING // price:
        return CEILING
    return price * quantity


@kernel
def share(money, millionths):
    """So many millionths of an amount, rounded down to the micro-rupee; within 64 bits up to ten times the largest capital."""
    whole = money // 1_000_000
    return whole * millionths + (money - whole * 1_000_000) * millionths // 1_000_000


@kernel
def whole_lots(quantity, lot):
    """The largest multiple of the lot that is not more than the quantity."""
    return quantity - quantity % lot if lot > 1 else quantity


@kernel
def sized(units, subscription, equity, price, lot):
    """Order quantity for a signal of this many units (0 where it comes to less than a lot).

    `subscription.amount` is in millionths: of a factor (UNITS), of a rupee (VALUE) or of the equity (EQUITY_SHARE).
    """
    units = min(units, MAX_UNITS)
    if subscription.sizing == UNITS:
        if subscription.amount == 1_000_000:
            return units  # the strategy says the quantity itself: its lots are checked, not mended
        return whole_lots(notional(subscription.amount, units) // 1_000_000, lot)
    if price <= 0:
        return 0
    budget = subscription.amount
    if subscription.sizing == EQUITY_SHARE:
        budget = share(max(equity, 0), subscription.amount)
    return whole_lots(notional(budget, units) // price, lot)
