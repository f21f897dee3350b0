"""Orders: their kinds, their one state machine for every venue, and the rows that tell what happened to them.

    submitted ─► acknowledged ─► placed ─► triggered ─► (partly filled)* ─► filled
         └────────────┴────────────┴───────────┴──► failed (rejected, cancelled, at its session's end)

A transition that the table does not hold is illegal: the state stays and an alert is raised, it is never ignored.
"""

from typing import Final

import numpy as np

from functions.kernel import kernel

MARKET, LIMIT, SL, SLM = (np.int64(n) for n in range(4))
KINDS: Final = ("MARKET", "LIMIT", "SL", "SL-M")
MIS, CNC, NRML = (np.int64(n) for n in range(3))
PRODUCTS: Final = ("MIS", "CNC", "NRML")

NEW, SUBMITTED, ACKNOWLEDGED, PLACED, TRIGGERED, FILLED, FAILED = (np.int64(n) for n in range(7))
STATES: Final = ("new", "submitted", "acknowledged", "placed", "triggered", "filled", "failed")

SUBMIT, ACKNOWLEDGE, PLACE, TRIGGER, FILL_PART, FILL_ALL, FAIL = (np.int64(n) for n in range(7))
EVENTS: Final = ("submit", "acknowledge", "place", "trigger", "fill_part", "fill_all", "fail")

ILLEGAL: Final = np.int64(-1)
_LEGAL: Final = {
    (NEW, SUBMIT): SUBMITTED,
    (SUBMITTED, ACKNOWLEDGE): ACKNOWLEDGED,
    (SUBMITTED, FAIL): FAILED,
    (ACKNOWLEDGED, PLACE): PLACED,
    (ACKNOWLEDGED, FAIL): FAILED,
    (PLACED, TRIGGER): TRIGGERED,
    (PLACED, FILL_PART): PLACED,
    (PLACED, FILL_ALL): FILLED,
    (PLACED, FAIL): FAILED,
    (TRIGGERED, FILL_PART): TRIGGERED,
    (TRIGGERED, FILL_ALL): FILLED,
    (TRIGGERED, FAIL): FAILED,
}
TRANSITIONS: Final = np.full((len(STATES), len(EVENTS)), ILLEGAL)
for (_state, _event), _next in _LEGAL.items():
    TRANSITIONS[_state, _event] = _next

# What happened to an order at one moment is one row with these bits; the edge makes one event a bit.
TOLD_SUBMITTED, TOLD_ACK, TOLD_PLACED, TOLD_FAILED = (np.int64(1 << n) for n in range(4))
SENT: Final = np.int64(TOLD_SUBMITTED | TOLD_ACK)
SENT_AND_PLACED: Final = np.int64(SENT | TOLD_PLACED)

# Why an order failed, or, of an order of the system, why it was sent.
NO_REASON, EXPIRED, CANCELLED, SESSION_END, SQUARE_OFF, AT_LAST_PRICE = (np.int64(n) for n in range(6))
REASONS: Final = ("", "expired", "cancelled", "session_end", "square_off", "at_last_price")

OF_A_SIGNAL, OF_THE_SYSTEM = (
    np.int64(n) for n in range(2)
)  # who asked for an order: a strategy, or the broker's cut-off

ORDER: Final = np.dtype(
    [
        ("number", "i8"),  # of this shard, from 1
        ("quantity", "i8"),
        ("left", "i8"),
        ("limit", "i8"),  # micro-rupees; 0 = none
        ("trigger", "i8"),
        ("active", "i8"),  # event time from which the venue works it, ns
        ("reference", "i8"),  # last price when the signal was made, micro-rupees
        ("reserved", "i8"),  # micro-rupees a share that count as exposure while it works; 0 for an exit
        ("turnover", "i8"),  # micro-rupees filled so far: charges are an order's, not a fill's
        ("charged", "i8"),  # micro-rupees; begins below zero by what the order costs beside its turnover
        ("fills", "i8"),
        ("subscription", "i4"),
        ("instrument", "i4"),
        ("side", "i4"),  # +1 buy, -1 sell
        ("kind", "i4"),
        ("product", "i4"),
        ("state", "i4"),
        ("next", "i4"),  # next slot of the instrument's working orders, or of the free list
        ("book", "i4"),
        ("rested", "i4"),  # it waits in the book, so it is the passive side: it gets its limit and nothing better
        ("origin", "i4"),  # OF_A_SIGNAL or OF_THE_SYSTEM
    ],
    align=True,
)

ORDER_EVENT: Final = np.dtype(
    [
        ("time", "i8"),
        ("ordinal", "i8"),  # position in everything that the shard told
        ("number", "i8"),
        ("quantity", "i8"),
        ("limit", "i8"),
        ("trigger", "i8"),
        ("row", "i8"),  # of the tick that caused it, in its batch
        ("subscription", "i4"),
        ("instrument", "i4"),
        ("side", "i4"),
        ("kind", "i4"),
        ("product", "i4"),
        ("told", "i4"),
        ("reason", "i4"),
        ("signal", "i4"),  # index of the signal in its batch, -1 = none
    ],
    align=True,
)


def next_state(state: int, event: int) -> int:
    """The state after an event, or ILLEGAL.

    >>> STATES[next_state(PLACED, FILL_ALL)], next_state(FILLED, FILL_PART)
    ('filled', -1)
    """
    return int(TRANSITIONS[state, event])


@kernel
def advance(order, event):
    """Moves an order on; False (and no move) where the transition is illegal."""
    after = TRANSITIONS[order.state, event]
    if after == ILLEGAL:
        return False
    order.state = after
    return True
